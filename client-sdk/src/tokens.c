/*
 * A question to the program: one object with two owners.  The asker's share
 * lasts until the answer, the time-out or token_ask_drop; the program's from the event
 * until it answers.  Whatever is answered to a question that is over is dropped.
 *
 * `refs` is atomic; all else is under the engine's lock, which an answer takes
 * through the client.  The program's share keeps the client (token_request_take), the event's does
 * not: events are freed with their client.
 */
#include "client-sdk/src/tokens.h"

#include "client-sdk/src/shell.h"
#include "client-sdk/src/sub.h"
#include "common/base/alloc.h"

struct token_ask {
    _Atomic uint32_t refs;
    struct engine *engine;
    struct wh_client *client;
    bool is_open; /* the asker waits */
    struct wh_timer timer;
    token_done_fn *token_done;
    state_done_fn *state_done;
    void *asker;
};

/* The public handles are the same object. */
static struct token_ask *ask_of(void *request)
{
    return request;
}

void token_ask_unref(struct token_ask *ask)
{
    if (ask && atomic_fetch_sub_explicit(&ask->refs, 1, memory_order_acq_rel) == 1)
        wh_free(ask);
}

/* Close the question and tell the asker; it may drop the ask's memory, so nothing after. */
static void finish(struct token_ask *ask,
                   enum token_answer answer,
                   const struct wh_position *position,
                   struct wh_slice text)
{
    if (!ask->is_open)
        return;
    ask->is_open = false;
    wh_timer_stop(&ask->engine->wheel, &ask->timer);
    if (ask->token_done)
        ask->token_done(ask->asker, answer, text);
    else
        ask->state_done(ask->asker, answer, position, text);
    token_ask_unref(ask);
}

static void on_timeout(struct wh_timer *timer)
{
    struct token_ask *ask = WH_CONTAINER_OF(timer, struct token_ask, timer);
    finish(ask, TOKEN_TIMEOUT, NULL, WH_SLICE_LITERAL("no answer in time"));
}

static struct token_ask *ask_new(struct engine *engine,
                                 struct wh_sub *sub,
                                 enum event_kind kind,
                                 void *asker)
{
    struct event *event = event_new(kind, NULL, 0);
    struct token_ask *ask = event ? wh_calloc(1, sizeof(*ask)) : NULL;
    if (!ask) {
        event_free(event);
        return NULL;
    }
    atomic_init(&ask->refs, 2);
    ask->engine = engine;
    ask->client = engine->client;
    ask->is_open = true;
    ask->asker = asker;
    wh_timer_init(&ask->timer, on_timeout);
    wh_timer_start(&engine->wheel, &ask->timer, engine->now_ms, engine->settings->token_timeout_ms);
    if (kind == EVENT_SUB_GET_STATE)
        event->u.state_request = (struct wh_state_request *)(void *)ask;
    else
        event->u.token_request = (struct wh_token_request *)(void *)ask;
    if (sub) {
        atomic_fetch_add(&sub->refs, 1);
        event->sub = sub;
        event->sub_generation = sub->generation;
    }
    engine_push(engine, event);
    return ask;
}

enum wh_err token_ask_new(struct engine *engine,
                          struct wh_sub *sub,
                          token_done_fn *done,
                          void *asker,
                          struct token_ask **out_ask)
{
    struct token_ask *ask =
        ask_new(engine, sub, sub ? EVENT_SUB_GET_TOKEN : EVENT_GET_TOKEN, asker);
    if (!ask)
        return WH_ENOMEM;
    ask->token_done = done;
    *out_ask = ask;
    return WH_OK;
}

enum wh_err state_ask_new(struct engine *engine,
                          struct wh_sub *sub,
                          state_done_fn *done,
                          void *asker,
                          struct token_ask **out_ask)
{
    struct token_ask *ask = ask_new(engine, sub, EVENT_SUB_GET_STATE, asker);
    if (!ask)
        return WH_ENOMEM;
    ask->state_done = done;
    *out_ask = ask;
    return WH_OK;
}

void token_ask_drop(struct token_ask *ask)
{
    if (!ask)
        return;
    WH_ASSERT(ask->is_open);
    ask->is_open = false;
    wh_timer_stop(&ask->engine->wheel, &ask->timer);
    token_ask_unref(ask);
}

/* ---- the program's side ------------------------------------------------------------------------
 */

struct wh_token_request *token_request_take(struct event *event)
{
    struct wh_token_request *request = event->u.token_request;
    event->u.token_request = NULL;
    client_ref(ask_of(request)->client);
    return request;
}

struct wh_state_request *state_request_take(struct event *event)
{
    struct wh_state_request *request = event->u.state_request;
    event->u.state_request = NULL;
    client_ref(ask_of(request)->client);
    return request;
}

static void answer(void *request,
                   enum token_answer answer,
                   const struct wh_position *position,
                   struct wh_slice text)
{
    struct token_ask *ask = ask_of(request);
    if (!ask)
        return;
    struct wh_client *client = ask->client;
    if (!client_is_forked(client)) {
        client_lock(client);
        finish(ask, answer, position, text);
        client_unlock(client);
    }
    token_ask_unref(ask);
    client_unref(client);
}

static struct wh_slice text_or(const char *text, const char *otherwise)
{
    return wh_slice_from_str(text && *text ? text : otherwise);
}

void wh_token_ok(struct wh_token_request *request, const char *token)
{
    bool is_empty = !token || !*token;
    answer(request, is_empty ? TOKEN_UNAUTHORIZED : TOKEN_OK, NULL, text_or(token, "unauthorized"));
}

void wh_token_unauthorized(struct wh_token_request *request)
{
    answer(request, TOKEN_UNAUTHORIZED, NULL, WH_SLICE_LITERAL("unauthorized"));
}

void wh_token_error(struct wh_token_request *request, const char *text)
{
    answer(request, TOKEN_ERROR, NULL, text_or(text, "no token"));
}

void wh_state_ok(struct wh_state_request *request, const struct wh_position *position)
{
    static const struct wh_position none = {0, ""};
    answer(request, TOKEN_OK, position ? position : &none, WH_SLICE_LITERAL(""));
}

void wh_state_error(struct wh_state_request *request, const char *text)
{
    answer(request, TOKEN_ERROR, NULL, text_or(text, "no state"));
}
