/*
 * What a subscription asks the program for: its token, a newer one when ttl
 * seconds have passed, and the state of its channel.  An answer that is no use (an
 * error, none in time) is told and asked for again later.
 */
#include "client-sdk/src/sub_internal.h"
#include "client-sdk/src/tokens.h"
#include "common/base/random.h"

/* Between a refresh that failed and the next, jittered. */
enum { REFRESH_RETRY_MIN_MS = 10000, REFRESH_RETRY_SPAN_MS = 10000 };

static const char unauthorized[] = "unauthorized";

static void report(struct wh_sub *sub, uint32_t code, const char *what, struct wh_slice text)
{
    struct wh_error error =
        engine_error_make(WH_EUNAVAILABLE, code, true, 0, "%s: %.*s", what, WH_SLICE_ARGS(text));
    engine_error(sub->engine, sub, &error);
}

/* false = told that there is none, and unsubscribed. */
static bool take_token(struct wh_sub *sub, enum token_answer answer, struct wh_slice text)
{
    bool is_usable = answer == TOKEN_OK && text.len > 0;
    if (is_usable) {
        wh_buf_reset(&sub->token);
        wh_buf_append_slice(&sub->token, text);
        if (!wh_buf_error(&sub->token))
            return true;
        wh_buf_deinit(&sub->token); /* asked again after the reconnect */
        engine_reconnect_no_memory(sub->engine);
        return false;
    }
    bool was_subscribed = sub->state == WH_SUB_SUBSCRIBED;
    sub_end(sub, UNSUBSCRIBED_UNAUTHORIZED, wh_slice_from_str(unauthorized));
    if (was_subscribed)
        sub_send_unsubscribe(sub);
    return false;
}

/* ---- the token to subscribe with
 * ------------------------------------------------------------------ */

static void on_token(void *asker, enum token_answer answer, struct wh_slice text)
{
    struct wh_sub *sub = asker;
    sub->token_ask = NULL;
    if (answer == TOKEN_ERROR || answer == TOKEN_TIMEOUT) {
        report(sub, WH_CODE_SUBSCRIBE_TOKEN, "no subscription token", text);
        sub_retry_later(sub);
    } else if (take_token(sub, answer, text)) {
        sub_proceed(sub);
    }
}

void sub_ask_token(struct wh_sub *sub)
{
    if (!sub->token_ask && token_ask_new(sub->engine, sub, on_token, sub, &sub->token_ask))
        sub_retry_later(sub);
}

bool sub_drop_token(struct wh_sub *sub)
{
    if (sub->events.get_token) {
        wh_buf_reset(&sub->token);
        return true;
    }
    struct wh_error error =
        engine_error_make(WH_EEXPIRED, WH_CODE_BAD_CONFIGURATION, false, 0,
                          "the subscription token expired and there is no get_token");
    engine_error(sub->engine, sub, &error);
    sub_end(sub, UNSUBSCRIBED_UNAUTHORIZED, wh_slice_from_str(unauthorized));
    return false;
}

/* ---- refreshing it
 * --------------------------------------------------------------------------------- */

void sub_schedule_refresh(struct wh_sub *sub, uint32_t ttl_s)
{
    struct engine *engine = sub->engine;
    wh_timer_start(&engine->wheel, &sub->refresh_timer, engine->now_ms,
                   ttl_s > 0 ? (uint64_t)ttl_s * 1000 : 1000);
}

static void refresh_later(struct wh_sub *sub)
{
    struct engine *engine = sub->engine;
    wh_timer_start(&engine->wheel, &sub->refresh_timer, engine->now_ms,
                   REFRESH_RETRY_MIN_MS + wh_random_below(REFRESH_RETRY_SPAN_MS));
}

static void send_refresh(struct wh_sub *sub)
{
    struct engine *engine = sub->engine;
    struct wh_sub_refresh_request request = {.channel = wh_slice_from_str(sub->channel),
                                             .token = wh_buf_slice(&sub->token)};
    struct wh_command command = {.sub_refresh = &request};
    enum wh_err err = engine_command(engine, PENDING_SUB_REFRESH, sub, &command);
    if (err == WH_ENOMEM)
        engine_reconnect_no_memory(engine);
    else if (err)
        refresh_later(sub);
}

static void on_refresh_token(void *asker, enum token_answer answer, struct wh_slice text)
{
    struct wh_sub *sub = asker;
    sub->token_ask = NULL;
    if (answer == TOKEN_ERROR || answer == TOKEN_TIMEOUT) {
        report(sub, WH_CODE_SUBSCRIBE_REFRESH_TOKEN, "no subscription token to refresh with", text);
        refresh_later(sub);
    } else if (take_token(sub, answer, text)) {
        send_refresh(sub);
    }
}

void sub_on_refresh_timer(struct wh_timer *timer)
{
    struct wh_sub *sub = WH_CONTAINER_OF(timer, struct wh_sub, refresh_timer);
    if (sub->state != WH_SUB_SUBSCRIBED || sub->token_ask || !sub->events.get_token)
        return;
    if (token_ask_new(sub->engine, sub, on_refresh_token, sub, &sub->token_ask))
        refresh_later(sub);
}

void sub_on_refresh_reply(struct wh_sub *sub, const struct wh_reply *reply)
{
    if (sub->state != WH_SUB_SUBSCRIBED || wh_timer_is_running(&sub->refresh_timer) ||
        sub->token_ask)
        return; /* an answer to an earlier subscription */
    if (!reply) {
        report(sub, WH_CODE_TIMEOUT, "refresh", WH_SLICE_LITERAL("no reply in time"));
        refresh_later(sub);
    } else if (!reply->error) {
        if (reply->sub_refresh && reply->sub_refresh->expires)
            sub_schedule_refresh(sub, reply->sub_refresh->ttl);
    } else if (reply->error->temporary || reply->error->code < 100 ||
               reply->error->code == ERROR_TOKEN_EXPIRED) {
        struct wh_error error = sub_error_of(reply->error);
        engine_error(sub->engine, sub, &error);
        refresh_later(sub);
    } else {
        sub_end(sub, reply->error->code, reply->error->message);
        sub_send_unsubscribe(sub);
    }
}

/* ---- the state of the channel
 * ---------------------------------------------------------------------- */

static void on_state(void *asker,
                     enum token_answer answer,
                     const struct wh_position *position,
                     struct wh_slice text)
{
    struct wh_sub *sub = asker;
    sub->state_ask = NULL;
    struct wh_slice epoch = wh_slice_from_str(position && position->epoch ? position->epoch : "");
    if (answer != TOKEN_OK || epoch.len > SUB_EPOCH_BYTES_MAX) {
        if (answer == TOKEN_OK)
            text = WH_SLICE_LITERAL("the epoch is too long");
        report(sub, WH_CODE_GET_STATE, "no state", text);
        sub_retry_later(sub);
        return;
    }
    sub->must_get_state = false;
    if (position) {
        sub_position_set(&sub->received, epoch, position->offset);
        sub->is_recoverable = true;
    } else {
        sub->received.is_known = false;
        sub->is_recoverable = false;
    }
    sub->delivered = sub->received;
    sub->is_start_pending = false;
    sub->delivered_serial = ++sub->start_serial;
    sub_proceed(sub);
}

void sub_ask_state(struct wh_sub *sub)
{
    if (!sub->state_ask && state_ask_new(sub->engine, sub, on_state, sub, &sub->state_ask))
        sub_retry_later(sub);
}
