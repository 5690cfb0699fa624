#include "sdk_torture_life.h"

#include "torture_alloc.h"

#include <string.h>

static void enter(struct life *life)
{
    CLAIM(atomic_fetch_add(&life->inside, 1) == 0);
}

static void leave(struct life *life)
{
    atomic_fetch_sub(&life->inside, 1);
}

static void note_event(struct life *life, int state)
{
    enter(life);
    int before = atomic_exchange(&life->last_event, state);
    CLAIM(state != WH_CLIENT_CONNECTED || before == WH_CLIENT_CONNECTING);
    CLAIM(state != WH_CLIENT_DISCONNECTED || before == WH_CLIENT_CONNECTING ||
          before == WH_CLIENT_CONNECTED);
    leave(life);
}

static void on_connecting(struct wh_client *c, const struct wh_transition *why, void *user)
{
    (void)c;
    CLAIM(why->reason);
    note_event(user, WH_CLIENT_CONNECTING);
}

static void on_connected(struct wh_client *c, const struct wh_connected *connected, void *user)
{
    (void)c;
    CLAIM(strcmp(connected->client, "c1") == 0);
    note_event(user, WH_CLIENT_CONNECTED);
}

static void on_disconnected(struct wh_client *c, const struct wh_transition *why, void *user)
{
    (void)c;
    CLAIM(why->code == 0);
    note_event(user, WH_CLIENT_DISCONNECTED);
}

static void on_error(struct wh_client *c, const struct wh_error *error, void *user)
{
    (void)c;
    enter(user);
    CLAIM(error->err != WH_OK && error->text[0]);
    leave(user);
}

static void on_message(struct wh_client *c, const struct wh_data *data, void *user)
{
    (void)c;
    enter(user);
    CLAIM(data->ptr);
    leave(user);
}

static void on_get_token(struct wh_client *c, struct wh_token_request *request, void *user)
{
    (void)c;
    enter(user);
    wh_token_ok(request, "token-SECRET");
    leave(user);
}

static void on_server_subscribed(struct wh_client *c, const struct wh_subscribed *s, void *user)
{
    (void)c;
    enter(user);
    CLAIM(strcmp(s->channel, "server") == 0);
    leave(user);
}

static void on_server_channel(struct wh_client *c, const char *channel, void *user)
{
    (void)c;
    enter(user);
    CLAIM(strcmp(channel, "server") == 0);
    leave(user);
}

static void on_server_publication(struct wh_client *c, const struct wh_publication *p, void *user)
{
    (void)c;
    enter(user);
    CLAIM(p->info && strcmp(p->info->user, "\xc3\xbc") == 0 && p->tag_count == 1);
    leave(user);
}

static void on_server_info(struct wh_client *c,
                           const char *channel,
                           const struct wh_client_info *info,
                           void *user)
{
    (void)c;
    enter(user);
    CLAIM(strcmp(channel, "server") == 0 && strcmp(info->client, "y") == 0);
    leave(user);
}

void torture_on_user_free(void *user)
{
    atomic_fetch_add(&((struct life *)user)->client_frees, 1);
}

void torture_on_closed(void *user)
{
    atomic_fetch_add(&((struct life *)user)->closes, 1);
}

static void note_sub(struct sub_note *note, bool is_unsubscribed)
{
    enter(note->life);
    note->is_told = true;
    note->is_unsubscribed = is_unsubscribed;
    leave(note->life);
}

static void on_subscribing(struct wh_sub *s, const struct wh_transition *why, void *user)
{
    (void)s, (void)why;
    note_sub(user, false);
}

static void on_subscribed(struct wh_sub *s, const struct wh_subscribed *subscribed, void *user)
{
    (void)s, (void)subscribed;
    note_sub(user, false);
}

static void on_unsubscribed(struct wh_sub *s, const struct wh_transition *why, void *user)
{
    (void)s, (void)why;
    note_sub(user, true);
}

static void on_publication(struct wh_sub *s, const struct wh_publication *publication, void *user)
{
    (void)s;
    struct sub_note *note = user;
    enter(note->life);
    CLAIM(strcmp(publication->channel, note->channel) == 0);
    if (!note->life->kept)
        note->life->kept = wh_publication_ref(publication);
    leave(note->life);
}

static void on_sub_error(struct wh_sub *s, const struct wh_error *error, void *user)
{
    (void)s;
    CLAIM(error->text[0]);
    enter(((struct sub_note *)user)->life);
    leave(((struct sub_note *)user)->life);
}

static void on_sub_token(struct wh_sub *s, struct wh_token_request *request, void *user)
{
    (void)s;
    enter(((struct sub_note *)user)->life);
    wh_token_ok(request, "sub-token-SECRET");
    leave(((struct sub_note *)user)->life);
}

static void on_sub_state(struct wh_sub *s, struct wh_state_request *request, void *user)
{
    (void)s;
    const struct wh_position position = {1, "e"};
    enter(((struct sub_note *)user)->life);
    wh_state_ok(request, &position);
    leave(((struct sub_note *)user)->life);
}

void torture_on_sub_user_free(void *user)
{
    atomic_fetch_add(&((struct sub_note *)user)->frees, 1);
}

static void note_end(struct call_note *note, const struct wh_error *error)
{
    enter(note->life);
    /* Where callbacks have a thread of their own one may be running meanwhile. */
    CLAIM(note->life->torture.mode == WH_MODE_THREADED || !atomic_load(&note->is_canceled));
    enum wh_err err = error ? error->err : WH_OK;
    if (err != WH_ESERVER && err != WH_ECLOSED && err != WH_ECONNLOST) /* asked for, or the end */
        (void)torture_is_done(err);
    atomic_fetch_add(&note->ends, 1);
    leave(note->life);
}

void torture_on_done(struct wh_client *c, const struct wh_error *error, void *user)
{
    (void)c;
    note_end(user, error);
}

void torture_on_rpc(struct wh_client *c,
                    const struct wh_error *error,
                    const struct wh_data *data,
                    void *user)
{
    (void)c;
    CLAIM(error || data->ptr);
    note_end(user, error);
}

void torture_on_history(struct wh_client *c,
                        const struct wh_error *error,
                        const struct wh_history *history,
                        void *user)
{
    (void)c;
    CLAIM(error || (history->count == 1 && history->publications[0].info));
    note_end(user, error);
}

void torture_on_presence(struct wh_client *c,
                         const struct wh_error *error,
                         const struct wh_presence *presence,
                         void *user)
{
    (void)c;
    CLAIM(error || (presence->count == 1 && strcmp(presence->clients[0].user, "u") == 0));
    note_end(user, error);
}

void torture_on_stats(struct wh_client *c,
                      const struct wh_error *error,
                      const struct wh_presence_stats *stats,
                      void *user)
{
    (void)c;
    CLAIM(error || (stats->clients == 2 && stats->users == 1));
    note_end(user, error);
}

void torture_on_call_user_free(void *user)
{
    atomic_fetch_add(&((struct call_note *)user)->frees, 1);
}

const struct wh_client_events torture_events = {
    WH_CLIENT_EVENTS_INIT,
    .connecting = on_connecting,
    .connected = on_connected,
    .disconnected = on_disconnected,
    .error = on_error,
    .message = on_message,
    .get_token = on_get_token,
    .server_subscribed = on_server_subscribed,
    .server_subscribing = on_server_channel,
    .server_unsubscribed = on_server_channel,
    .server_publication = on_server_publication,
    .server_join = on_server_info,
    .server_leave = on_server_info,
};

#define SUB_EVENTS                                                                                 \
    WH_SUB_EVENTS_INIT, .subscribing = on_subscribing, .subscribed = on_subscribed,                \
                        .unsubscribed = on_unsubscribed, .publication = on_publication,            \
                        .error = on_sub_error, .get_token = on_sub_token

const struct wh_sub_events torture_sub_events = {SUB_EVENTS};
const struct wh_sub_events torture_state_events = {SUB_EVENTS, .get_state = on_sub_state};
