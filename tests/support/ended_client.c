/* See ended_client.h. */
#include "tests/support/ended_client.h"

#include <poll.h>
#include <string.h>

char cell_name[128];

/* ---- callbacks ------------------------------------------------------------------------------- */

/* After the end, and after a free inside a callback, only user_free runs. */
static bool hears(const struct cell *cell)
{
    return !atomic_load(&cell->is_over) && !atomic_load(&cell->is_muted);
}

static void on_connecting(struct wh_client *c, const struct wh_transition *why, void *user)
{
    struct cell *cell = user;
    (void)c, (void)why;
    CLAIM(hears(cell) && cell->told == 0);
    cell->told = 1;
    atomic_store(&cell->is_connecting, true);
}
static void on_connected(struct wh_client *c, const struct wh_connected *connected, void *user)
{
    struct cell *cell = user;
    (void)c, (void)connected;
    CLAIM(hears(cell) && cell->told == 1);
    cell->told = 2;
    atomic_store(&cell->is_connected, true);
}
static void on_disconnected(struct wh_client *c, const struct wh_transition *why, void *user)
{
    struct cell *cell = user;
    (void)c;
    CLAIM(hears(cell) && cell->told != 0 && why->code == 0);
    cell->told = 0;
}
static void on_error(struct wh_client *c, const struct wh_error *error, void *user)
{
    struct cell *cell = user;
    (void)c, (void)error;
    CLAIM(hears(cell));
    atomic_store(&cell->has_failed, true);
}
void cell_get_token(struct wh_client *c, struct wh_token_request *request, void *user)
{
    struct cell *cell = user;
    (void)c;
    cell->requests[0] = request;
    atomic_store(&cell->has_request, true);
}
void cell_user_free(void *user)
{
    struct cell *cell = user;
    CLAIM(!atomic_load(&cell->is_over));
    cell->user_frees++;
    atomic_store(&cell->is_over, true);
}
void cell_done(void *user)
{
    struct cell *cell = user;
    CLAIM(atomic_load(&cell->is_over));
    atomic_store(&cell->is_done, true);
}

static void on_subscribing(struct wh_sub *s, const struct wh_transition *why, void *user)
{
    struct ended *sub = user;
    (void)s, (void)why;
    CLAIM(hears(sub->cell) && (sub->told == 0 || sub->told == 2));
    sub->told = 1;
}
static void on_subscribed(struct wh_sub *s, const struct wh_subscribed *subscribed, void *user)
{
    struct ended *sub = user;
    (void)s, (void)subscribed;
    CLAIM(hears(sub->cell) && sub->told == 1);
    sub->told = 2;
    atomic_store(&sub->cell->is_up, true);
}
static void on_unsubscribed(struct wh_sub *s, const struct wh_transition *why, void *user)
{
    struct ended *sub = user;
    (void)s;
    CLAIM(hears(sub->cell) && sub->told != 0);
    CLAIM(atomic_load(&sub->cell->is_ending) && why->code == 2);
    sub->told = 0;
    sub->ends++;
}
static void on_publication(struct wh_sub *s, const struct wh_publication *p, void *user)
{
    struct ended *sub = user;
    (void)s, (void)p;
    CLAIM(hears(sub->cell) && sub->told == 2);
    atomic_store(&sub->cell->is_blocked, true);
    while (atomic_load(&sub->cell->is_gate_shut))
        (void)poll(NULL, 0, 1);
}
static void on_sub_error(struct wh_sub *s, const struct wh_error *error, void *user)
{
    struct ended *sub = user;
    (void)s, (void)error;
    atomic_store(&sub->cell->has_sub_failed, true);
}
static void on_sub_get_token(struct wh_sub *s, struct wh_token_request *request, void *user)
{
    struct ended *sub = user;
    (void)s;
    sub->cell->requests[1] = request;
    atomic_store(&sub->cell->has_sub_request, true);
}
static void on_sub_get_state(struct wh_sub *s, struct wh_state_request *request, void *user)
{
    struct ended *sub = user;
    (void)s;
    sub->cell->state_request = request;
    atomic_store(&sub->cell->has_state_request, true);
}

static void end_call(struct ended *call, const struct wh_error *error)
{
    CLAIM(hears(call->cell) && call->ends == 0 && call->user_frees == 0);
    CLAIM(error && error->err == WH_ECLOSED && error->code == WH_CODE_CLIENT_CLOSED);
    for (size_t i = 0; i < SUBS; i++)
        CLAIM(call->cell->subs[i].ends == 0); /* calls end before subscriptions */
    call->ends++;
}
static void on_call_done(struct wh_client *c, const struct wh_error *e, void *user)
{
    (void)c;
    end_call(user, e);
}
static void on_rpc(struct wh_client *c,
                   const struct wh_error *e,
                   const struct wh_data *r,
                   void *user)
{
    (void)c, (void)r;
    end_call(user, e);
}
static void on_history(struct wh_client *c,
                       const struct wh_error *e,
                       const struct wh_history *r,
                       void *user)
{
    (void)c, (void)r;
    end_call(user, e);
}
static void on_presence(struct wh_client *c,
                        const struct wh_error *e,
                        const struct wh_presence *r,
                        void *user)
{
    (void)c, (void)r;
    end_call(user, e);
}
static void on_stats(struct wh_client *c,
                     const struct wh_error *e,
                     const struct wh_presence_stats *r,
                     void *user)
{
    (void)c, (void)r;
    end_call(user, e);
}
static void on_ended_user_free(void *user)
{
    struct ended *ended = user;
    CLAIM(ended->user_frees == 0 && !atomic_load(&ended->cell->is_over));
    ended->user_frees++;
}

const struct wh_client_events cell_events = {WH_CLIENT_EVENTS_INIT, .connecting = on_connecting,
                                             .connected = on_connected,
                                             .disconnected = on_disconnected, .error = on_error};

/* ---- what it has ----------------------------------------------------------------------------- */

void cell_subscribe(struct cell *cell, size_t i, const char *channel)
{
    struct wh_sub_events events = {WH_SUB_EVENTS_INIT,
                                   .subscribing = on_subscribing,
                                   .subscribed = on_subscribed,
                                   .unsubscribed = on_unsubscribed,
                                   .publication = on_publication,
                                   .error = on_sub_error};
    struct wh_sub_options options = WH_SUB_OPTIONS_INIT;
    struct ended *sub = &cell->subs[i];
    events.get_token = strcmp(channel, "token") == 0 ? on_sub_get_token : NULL;
    events.get_state = strcmp(channel, "state") == 0 ? on_sub_get_state : NULL;
    options.events = &events;
    options.user = sub;
    options.user_free = on_ended_user_free;
    options.min_resubscribe_ms = options.max_resubscribe_ms = PATIENCE_MS;
    CLAIM(wh_sub_new(cell->client, channel, &options, &sub->sub, NULL) == WH_OK);
    sub->is_begun = true;
    if (strcmp(channel, "idle") != 0)
        CLAIM(wh_sub_subscribe(sub->sub) == WH_OK);
}

static struct ended *next_call(struct cell *cell, struct wh_call_options *options)
{
    struct ended *call = &cell->calls[cell->call_count++];
    CLAIM(cell->call_count <= CALLS);
    *options = (struct wh_call_options){.size = sizeof *options};
    options->user_free = on_ended_user_free;
    call->is_begun = true;
    return call;
}

void cell_call_all(struct cell *cell)
{
    struct wh_client *c = cell->client;
    struct wh_call_options o;
    struct wh_data one = wh_json("1");
    struct ended *e = next_call(cell, &o);
    CLAIM(wh_client_rpc(c, "m", one, &o, on_rpc, e) == WH_OK);
    e = next_call(cell, &o);
    CLAIM(wh_client_publish(c, "a", one, &o, on_call_done, e) == WH_OK);
    e = next_call(cell, &o);
    CLAIM(wh_client_history(c, "a", NULL, &o, on_history, e) == WH_OK);
    e = next_call(cell, &o);
    CLAIM(wh_client_presence(c, "a", &o, on_presence, e) == WH_OK);
    e = next_call(cell, &o);
    CLAIM(wh_client_presence_stats(c, "a", &o, on_stats, e) == WH_OK);
    e = next_call(cell, &o);
    CLAIM(wh_client_ping(c, &o, on_call_done, e) == WH_OK);
    e = next_call(cell, &o);
    o.user_free = on_ended_user_free;
    CLAIM(wh_client_rpc(c, "m", one, &o, NULL, e) == WH_OK); /* nobody hears of it */
    e->ends = 1;
}

void cell_sub_call_all(struct cell *cell, struct wh_sub *sub)
{
    struct wh_call_options o;
    struct ended *e = next_call(cell, &o);
    CLAIM(wh_sub_publish(sub, wh_json("1"), &o, on_call_done, e) == WH_OK);
    e = next_call(cell, &o);
    CLAIM(wh_sub_history(sub, NULL, &o, on_history, e) == WH_OK);
    e = next_call(cell, &o);
    CLAIM(wh_sub_presence(sub, &o, on_presence, e) == WH_OK);
    e = next_call(cell, &o);
    CLAIM(wh_sub_presence_stats(sub, &o, on_stats, e) == WH_OK);
}

void cell_answer_late(struct cell *cell)
{
    static const struct wh_position start_of_all = {0, ""};
    for (size_t i = 0; i < sizeof cell->requests / sizeof *cell->requests; i++)
        wh_token_ok(cell->requests[i], "late");
    wh_state_ok(cell->state_request, &start_of_all);
}

void cell_claim_ends(const struct cell *cell)
{
    bool is_told = !cell->was_freed_inside;
    CLAIM(cell->user_frees == 1);
    CLAIM(!is_told || cell->told == 0);
    for (size_t i = 0; i < SUBS; i++) {
        CLAIM(!is_told || cell->subs[i].told == 0);
        CLAIM(cell->subs[i].user_frees == cell->subs[i].is_begun);
    }
    for (size_t i = 0; i < CALLS; i++) {
        CLAIM(!is_told || cell->calls[i].ends == cell->calls[i].is_begun);
        CLAIM(cell->calls[i].user_frees == cell->calls[i].is_begun);
    }
}
