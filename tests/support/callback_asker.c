/*
 * A client whose subscriptions have each asked a question that is still open: so that the functions
 * that answer can be called in any callback of any other client.
 */
#include "tests/support/callback_run.h"

#include <string.h>

static const char *const channels[ASKS] = {"token-ok", "token-unauthorized", "token-error",
                                           "state-ok", "state-error"};

static size_t index_of(const struct wh_sub *sub)
{
    size_t i = 0;
    while (strcmp(channels[i], wh_sub_channel(sub)) != 0)
        i++;
    return i;
}

/* The second time, after an answer that was an error. */
static void on_get_token(struct wh_sub *sub, struct wh_token_request *request, void *user)
{
    struct run *run = user;
    size_t i = index_of(sub);
    if (atomic_load(&run->has_asked[i])) {
        wh_token_ok(request, "later");
        return;
    }
    run->token_requests[i] = request;
    atomic_store(&run->has_asked[i], true);
}

static void on_get_state(struct wh_sub *sub, struct wh_state_request *request, void *user)
{
    static const struct wh_position start = {1, "e"};
    struct run *run = user;
    size_t i = index_of(sub);
    if (atomic_load(&run->has_asked[i])) {
        wh_state_ok(request, &start);
        return;
    }
    run->state_requests[i] = request;
    atomic_store(&run->has_asked[i], true);
}

static void on_subscribed(struct wh_sub *sub, const struct wh_subscribed *subscribed, void *user)
{
    struct run *run = user;
    size_t i = index_of(sub);
    (void)subscribed;
    if (i == ASK_TOKEN_OK || i == ASK_STATE_OK)
        atomic_store(&run->is_settled[i], true);
}

static void on_unsubscribed(struct wh_sub *sub, const struct wh_transition *why, void *user)
{
    struct run *run = user;
    if (index_of(sub) == ASK_TOKEN_UNAUTHORIZED && why->code == 1)
        atomic_store(&run->is_settled[ASK_TOKEN_UNAUTHORIZED], true);
}

static void on_error(struct wh_sub *sub, const struct wh_error *error, void *user)
{
    struct run *run = user;
    size_t i = index_of(sub);
    CLAIM(error->code ==
          (i == ASK_TOKEN_ERROR ? (uint32_t)WH_CODE_SUBSCRIBE_TOKEN : (uint32_t)WH_CODE_GET_STATE));
    CLAIM(strstr(error->text, "because"));
    atomic_store(&run->is_settled[i], true);
}

static void on_gone(void *user)
{
    atomic_store(&((struct run *)user)->is_asker_gone, true);
}

void asker_open(struct run *run)
{
    static const struct wh_sub_events asks_token = {
        WH_SUB_EVENTS_INIT, .get_token = on_get_token, .subscribed = on_subscribed,
        .unsubscribed = on_unsubscribed, .error = on_error};
    static const struct wh_sub_events asks_state = {WH_SUB_EVENTS_INIT, .get_state = on_get_state,
                                                    .subscribed = on_subscribed, .error = on_error};
    struct wh_client_options options = WH_CLIENT_OPTIONS_INIT;
    options.url = "ws://localhost/asker";
    options.runtime = run->runtime;
    options.user = run;
    options.user_free = on_gone;
    CLAIM(wh_client_new(&options, &run->asker, NULL) == WH_OK);
    CLAIM(wh_client_connect(run->asker) == WH_OK);
    for (size_t i = 0; i < ASKS; i++) {
        struct wh_sub_options wanted = WH_SUB_OPTIONS_INIT;
        struct wh_sub *sub = NULL;
        wanted.events = i < ASK_STATE_OK ? &asks_token : &asks_state;
        wanted.user = run;
        wanted.min_resubscribe_ms = 1;
        wanted.max_resubscribe_ms = 2;
        CLAIM(wh_sub_new(run->asker, channels[i], &wanted, &sub, NULL) == WH_OK);
        CLAIM(wh_sub_subscribe(sub) == WH_OK);
    }
    for (size_t i = 0; i < ASKS; i++)
        run_until(run, &run->has_asked[i]);
}

void asker_close(struct run *run)
{
    for (size_t i = 0; i < ASKS; i++)
        run_until(run, &run->is_settled[i]);
    wh_client_free(run->asker);
    run->asker = NULL;
    CLAIM(atomic_load(&run->is_asker_gone));
}
