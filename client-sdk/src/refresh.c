/*
 * The token of the connection after it was used: asked for again when its
 * ttl has passed, sent by a refresh command, tried again later when that fails.
 */
#include "client-sdk/src/engine.h"
#include "client-sdk/src/tokens.h"
#include "common/base/random.h"

enum { RETRY_MIN_MS = 5000, RETRY_SPREAD_MS = 5000 };

static void retry_later(struct engine *engine, const struct wh_error *error)
{
    engine_error(engine, NULL, error);
    uint64_t delay_ms = RETRY_MIN_MS + wh_random_below(RETRY_SPREAD_MS + 1);
    wh_timer_start(&engine->wheel, &engine->refresh_timer, engine->now_ms, delay_ms);
}

static void send_refresh(struct engine *engine)
{
    struct wh_refresh_request request = {.token = wh_buf_slice(&engine->token)};
    struct wh_command command = {.refresh = &request};
    engine->is_token_new = false;
    engine->is_refresh_due = false;
    if (engine_command(engine, PENDING_REFRESH, NULL, &command) != WH_OK) {
        struct wh_error error =
            engine_error_make(WH_ENOMEM, WH_CODE_REFRESH_TOKEN, true, 0, "out of memory");
        retry_later(engine, &error);
    }
}

static void on_token(void *asker, enum token_answer answer, struct wh_slice text)
{
    struct engine *engine = asker;
    engine->token_ask = NULL;
    if (answer == TOKEN_UNAUTHORIZED) {
        engine_fail(engine, 1, WH_SLICE_LITERAL("unauthorized"));
        return;
    }
    if (answer == TOKEN_OK && engine_store_token(engine, text) == WH_OK) {
        send_refresh(engine);
        return;
    }
    enum wh_err err = answer == TOKEN_TIMEOUT ? WH_ETIMEOUT : WH_EUNAVAILABLE;
    if (answer == TOKEN_OK) {
        err = WH_ENOMEM;
        text = WH_SLICE_LITERAL("out of memory"); /* it was the token */
    }
    struct wh_error error = engine_error_make(err, WH_CODE_REFRESH_TOKEN, true, 0,
                                              "no new token: %.*s", WH_SLICE_ARGS(text));
    retry_later(engine, &error);
}

/* The connection is CONNECTED: shut() stops the timer. */
static void on_timer(struct wh_timer *timer)
{
    struct engine *engine = WH_CONTAINER_OF(timer, struct engine, refresh_timer);
    if (engine->is_token_new) {
        send_refresh(engine);
    } else if (!engine->settings->events.get_token) {
        engine->is_refresh_due = true;
        struct wh_error error = engine_error_make(WH_EEXPIRED, WH_CODE_BAD_CONFIGURATION, false, 0,
                                                  "the token expires and there is no get_token");
        engine_error(engine, NULL, &error);
    } else if (token_ask_new(engine, NULL, on_token, engine, &engine->token_ask) != WH_OK) {
        struct wh_error error =
            engine_error_make(WH_ENOMEM, WH_CODE_REFRESH_TOKEN, true, 0, "out of memory");
        retry_later(engine, &error);
    }
}

void refresh_init(struct engine *engine)
{
    wh_timer_init(&engine->refresh_timer, on_timer);
}

void refresh_schedule(struct engine *engine, uint32_t ttl_s)
{
    uint64_t ttl_ms = ttl_s > 0 ? (uint64_t)ttl_s * 1000 : 1000;
    wh_timer_start(&engine->wheel, &engine->refresh_timer, engine->now_ms, ttl_ms);
}

void refresh_on_token(struct engine *engine)
{
    if (engine->state == ENGINE_CONNECTED && engine->is_refresh_due && engine->is_token_new)
        send_refresh(engine);
}

void refresh_on_reply(struct engine *engine, const struct wh_reply *reply)
{
    if (reply && !reply->error) {
        if (reply->refresh && reply->refresh->expires)
            refresh_schedule(engine, reply->refresh->ttl);
        return;
    }
    if (reply && !reply->error->temporary && reply->error->code >= 100) {
        engine_fail(engine, reply->error->code, reply->error->message);
        return;
    }
    struct wh_slice text = reply ? reply->error->message : WH_SLICE_LITERAL("no reply");
    struct wh_error error = engine_error_make(reply ? WH_ESERVER : WH_ETIMEOUT,
                                              reply ? reply->error->code : WH_CODE_TIMEOUT, true, 0,
                                              "refresh: %.*s", WH_SLICE_ARGS(text));
    retry_later(engine, &error);
}
