/*
 * event_script: a client that does what it reads and prints what happens to it, on libwirehub.
 * Input and output are described at the head of tests/conformance/event_script.mjs, which does the
 * same on centrifuge-js.
 *
 *     event_script MODE          threaded, dispatch, loop, uv, ev, glib
 */
#include "script_loop.h"

#include <jansson.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TOKENS_MAX = 32, NAME_MAX_BYTES = 64, EPOCH_MAX_BYTES = 256 };

/* What a get_token answers: in turn, the last one for ever. */
struct tokens {
    json_t *answers; /* array; NULL = no callback */
    size_t next;
};

struct entry {
    char name[NAME_MAX_BYTES];
    struct wh_client *client;
    struct tokens tokens;
    bool tells_positions;
};

struct asked { /* a call, or a subscription's callback */
    struct entry *entry;
    char name[NAME_MAX_BYTES]; /* reply: what was done */
    char as[NAME_MAX_BYTES];
    struct tokens tokens;
    uint32_t leave_every, linger_ms, publications; /* 0 = never */
};

static struct script_loop *loop;
static struct entry entries[SCRIPT_CLIENTS_MAX];
static size_t entry_count;
static _Atomic bool is_ending;
static int status;

/* ---- output -----------------------------------------------------------------------------------
 */

/* Takes the reference. */
static void print(json_t *line)
{
    if (!is_ending) {
        char *text = json_dumps(line, JSON_COMPACT | JSON_ENCODE_ANY);
        printf("%s\n", text); /* one call: lines of several threads do not mix */
        fflush(stdout);
        free(text);
    }
    json_decref(line);
}

static void set_data(json_t *line, const struct wh_data *data)
{
    struct wh_data text;
    if (!data->ptr || data->len == 0)
        return;
    if (wh_data_to_json(data, &text)) {
        json_object_set_new(line, "data", json_string("not JSON"));
        return;
    }
    json_t *value = json_loadb(text.ptr, text.len, JSON_DECODE_ANY, NULL);
    json_object_set_new(line, "data", value);
    wh_data_free(&text);
}

static json_t *event(const struct entry *entry, const char *name)
{
    return json_pack("{ssss}", "client", entry->name, "event", name);
}

static void print_transition(const struct entry *entry,
                             const char *name,
                             const char *channel,
                             const struct wh_transition *why)
{
    json_t *line = event(entry, name);
    if (channel)
        json_object_set_new(line, "channel", json_string(channel));
    json_object_set_new(line, "code", json_integer(why->code));
    json_object_set_new(line, "reason", json_string(why->reason));
    print(line);
}

/* What the program would store at this moment: null while there is nothing. */
static void set_stored_position(json_t *line, struct wh_sub *sub)
{
    uint64_t offset;
    char epoch[EPOCH_MAX_BYTES];
    json_t *stored = json_null();
    if (wh_sub_position(sub, &offset, epoch, sizeof epoch) == WH_OK)
        stored = json_pack("[sI]", epoch, (json_int_t)offset);
    json_object_set_new(line, "stored", stored);
}

/* `sub`: NULL for one that the server made. */
static void print_subscribed(const struct entry *entry,
                             struct wh_sub *sub,
                             const char *name,
                             const struct wh_subscribed *subscribed)
{
    json_t *line = event(entry, name);
    json_object_set_new(line, "channel", json_string(subscribed->channel));
    json_object_set_new(line, "recoverable", json_boolean(subscribed->recoverable));
    json_object_set_new(line, "positioned", json_boolean(subscribed->positioned));
    json_object_set_new(line, "was_recovering", json_boolean(subscribed->was_recovering));
    json_object_set_new(line, "recovered", json_boolean(subscribed->recovered));
    if (subscribed->recoverable || subscribed->positioned)
        json_object_set_new(line, "offset", json_integer((json_int_t)subscribed->position.offset));
    if (entry->tells_positions) {
        json_object_set_new(line, "epoch", json_string(subscribed->position.epoch));
        if (sub)
            set_stored_position(line, sub);
    }
    set_data(line, &subscribed->data);
    print(line);
}

/* Offset, tags, data: what publications of a channel and of its history have in common. */
static void set_publication(json_t *line, const struct wh_publication *pub)
{
    if (pub->offset)
        json_object_set_new(line, "offset", json_integer((json_int_t)pub->offset));
    json_t *tags = json_object();
    for (size_t i = 0; i < pub->tag_count; i++)
        json_object_set_new(tags, pub->tags[i].key, json_string(pub->tags[i].value));
    if (pub->tag_count > 0)
        json_object_set(line, "tags", tags);
    json_decref(tags);
    set_data(line, &pub->data);
}

static void print_publication(const struct entry *entry,
                              struct wh_sub *sub,
                              const char *name,
                              const struct wh_publication *pub)
{
    json_t *line = event(entry, name);
    json_object_set_new(line, "channel", json_string(pub->channel));
    if (pub->info)
        json_object_set_new(line, "user", json_string(pub->info->user));
    if (entry->tells_positions && sub)
        set_stored_position(line, sub);
    set_publication(line, pub);
    print(line);
}

static void print_member(const struct entry *entry,
                         const char *name,
                         const char *channel,
                         const struct wh_client_info *info)
{
    json_t *line = event(entry, name);
    json_object_set_new(line, "channel", json_string(channel));
    json_object_set_new(line, "user", json_string(info->user));
    print(line);
}

static void print_error(const struct entry *entry,
                        const char *channel,
                        const struct wh_error *error)
{
    json_t *line = event(entry, "error");
    if (channel)
        json_object_set_new(line, "channel", json_string(channel));
    json_object_set_new(line, "code", json_integer(error->code));
    json_object_set_new(line, "text", json_string(error->text));
    print(line);
}

/* ---- tokens ------------------------------------------------------------------------------------
 */

static void answer_token(struct tokens *tokens, struct wh_token_request *request)
{
    json_t *answer = json_array_get(tokens->answers, tokens->next);
    if (tokens->next + 1 < json_array_size(tokens->answers))
        tokens->next++;
    if (json_is_string(answer))
        wh_token_ok(request, json_string_value(answer));
    else if (json_is_null(answer))
        wh_token_unauthorized(request);
    else
        wh_token_error(request, json_string_value(json_object_get(answer, "error")));
}

/* ---- callbacks of the client
 * ---------------------------------------------------------------------- */

static void on_connecting(struct wh_client *client, const struct wh_transition *why, void *user)
{
    (void)client;
    print_transition(user, "connecting", NULL, why);
}

static void on_connected(struct wh_client *client, const struct wh_connected *connected, void *user)
{
    (void)client;
    json_t *line = event(user, "connected");
    set_data(line, &connected->data);
    print(line);
}

static void on_disconnected(struct wh_client *client, const struct wh_transition *why, void *user)
{
    (void)client;
    print_transition(user, "disconnected", NULL, why);
}

static void on_error(struct wh_client *client, const struct wh_error *error, void *user)
{
    (void)client;
    print_error(user, NULL, error);
}

static void on_message(struct wh_client *client, const struct wh_data *data, void *user)
{
    (void)client;
    json_t *line = event(user, "message");
    set_data(line, data);
    print(line);
}

static void on_get_token(struct wh_client *client, struct wh_token_request *request, void *user)
{
    (void)client;
    struct entry *entry = user;
    print(event(entry, "get_token"));
    answer_token(&entry->tokens, request);
}

static void on_server_subscribed(struct wh_client *client,
                                 const struct wh_subscribed *s,
                                 void *user)
{
    (void)client;
    print_subscribed(user, NULL, "server_subscribed", s);
}

static void on_server_subscribing(struct wh_client *client, const char *channel, void *user)
{
    (void)client;
    json_t *line = event(user, "server_subscribing");
    json_object_set_new(line, "channel", json_string(channel));
    print(line);
}

static void on_server_unsubscribed(struct wh_client *client, const char *channel, void *user)
{
    (void)client;
    json_t *line = event(user, "server_unsubscribed");
    json_object_set_new(line, "channel", json_string(channel));
    print(line);
}

static void on_server_publication(struct wh_client *client,
                                  const struct wh_publication *pub,
                                  void *user)
{
    (void)client;
    print_publication(user, NULL, "server_publication", pub);
}

static void on_server_join(struct wh_client *client,
                           const char *channel,
                           const struct wh_client_info *info,
                           void *user)
{
    (void)client;
    print_member(user, "server_join", channel, info);
}

static void on_server_leave(struct wh_client *client,
                            const char *channel,
                            const struct wh_client_info *info,
                            void *user)
{
    (void)client;
    print_member(user, "server_leave", channel, info);
}

/* ---- callbacks of subscriptions
 * ------------------------------------------------------------------- */

static void on_subscribing(struct wh_sub *sub, const struct wh_transition *why, void *user)
{
    struct asked *asked = user;
    print_transition(asked->entry, "subscribing", wh_sub_channel(sub), why);
}

static void on_subscribed(struct wh_sub *sub, const struct wh_subscribed *subscribed, void *user)
{
    struct asked *asked = user;
    print_subscribed(asked->entry, sub, "subscribed", subscribed);
}

static void on_unsubscribed(struct wh_sub *sub, const struct wh_transition *why, void *user)
{
    struct asked *asked = user;
    print_transition(asked->entry, "unsubscribed", wh_sub_channel(sub), why);
}

static void on_publication(struct wh_sub *sub, const struct wh_publication *pub, void *user)
{
    struct asked *asked = user;
    print_publication(asked->entry, sub, "publication", pub);
    if (asked->leave_every > 0 && ++asked->publications % asked->leave_every == 0) {
        wh_sub_unsubscribe(sub);
        wh_sub_subscribe(sub);
        usleep(1000 * asked->linger_ms); /* the reply may come while this callback runs */
    }
}

static void on_join(struct wh_sub *sub, const struct wh_client_info *info, void *user)
{
    struct asked *asked = user;
    print_member(asked->entry, "join", wh_sub_channel(sub), info);
}

static void on_leave(struct wh_sub *sub, const struct wh_client_info *info, void *user)
{
    struct asked *asked = user;
    print_member(asked->entry, "leave", wh_sub_channel(sub), info);
}

static void on_sub_error(struct wh_sub *sub, const struct wh_error *error, void *user)
{
    struct asked *asked = user;
    print_error(asked->entry, wh_sub_channel(sub), error);
}

static void on_sub_get_token(struct wh_sub *sub, struct wh_token_request *request, void *user)
{
    struct asked *asked = user;
    json_t *line = event(asked->entry, "get_token");
    json_object_set_new(line, "channel", json_string(wh_sub_channel(sub)));
    print(line);
    answer_token(&asked->tokens, request);
}

/* ---- replies
 * ------------------------------------------------------------------------------------- */

static json_t *reply(const struct asked *asked, const struct wh_error *error)
{
    json_t *line =
        json_pack("{ssssss}", "client", asked->entry->name, "reply", asked->name, "as", asked->as);
    if (error) {
        json_object_set_new(line, "code", json_integer(error->code));
        /* centrifuge-js calls only errors of the server temporary; ours says it of time-outs too.
         */
        json_object_set_new(line, "temporary",
                            json_boolean(error->err == WH_ESERVER && error->temporary));
    }
    return line;
}

static void on_done(struct wh_client *client, const struct wh_error *error, void *user)
{
    (void)client;
    print(reply(user, error));
}

static void on_rpc(struct wh_client *client,
                   const struct wh_error *error,
                   const struct wh_data *data,
                   void *user)
{
    (void)client;
    json_t *line = reply(user, error);
    if (!error)
        set_data(line, data);
    print(line);
}

static void on_history(struct wh_client *client,
                       const struct wh_error *error,
                       const struct wh_history *history,
                       void *user)
{
    (void)client;
    json_t *line = reply(user, error);
    if (!error) {
        json_t *publications = json_array();
        for (size_t i = 0; i < history->count; i++) {
            json_t *pub = json_object();
            set_publication(pub, &history->publications[i]);
            json_array_append_new(publications, pub);
        }
        json_object_set_new(line, "publications", publications);
        json_object_set_new(line, "offset", json_integer((json_int_t)history->position.offset));
    }
    print(line);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void on_presence(struct wh_client *client,
                        const struct wh_error *error,
                        const struct wh_presence *presence,
                        void *user)
{
    (void)client;
    json_t *line = reply(user, error);
    if (!error) {
        const char **users = calloc(presence->count + 1, sizeof(char *));
        json_t *sorted = json_array();
        for (size_t i = 0; i < presence->count; i++)
            users[i] = presence->clients[i].user;
        qsort(users, presence->count, sizeof(char *), compare_texts);
        for (size_t i = 0; i < presence->count; i++)
            json_array_append_new(sorted, json_string(users[i]));
        free(users);
        json_object_set_new(line, "users", sorted);
    }
    print(line);
}

static void on_presence_stats(struct wh_client *client,
                              const struct wh_error *error,
                              const struct wh_presence_stats *stats,
                              void *user)
{
    (void)client;
    json_t *line = reply(user, error);
    if (!error) {
        json_object_set_new(line, "clients", json_integer(stats->clients));
        json_object_set_new(line, "users", json_integer(stats->users));
    }
    print(line);
}

static void free_asked(void *user)
{
    struct asked *asked = user;
    json_decref(asked->tokens.answers);
    free(asked);
}

/* ---- commands
 * ------------------------------------------------------------------------------------- */

static const char *text_of(const json_t *command, const char *key)
{
    return json_string_value(json_object_get(command, key));
}

static uint32_t number_of(const json_t *command, const char *key)
{
    return (uint32_t)json_integer_value(json_object_get(command, key));
}

static bool is_true(const json_t *command, const char *key)
{
    return json_is_true(json_object_get(command, key));
}

/* JSON text of the member, kept until the command is done; absent without it. */
static struct wh_data data_of(const json_t *command, char **out_text)
{
    json_t *value = json_object_get(command, "data");
    *out_text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    return wh_json(*out_text);
}

static void fatal(const char *why)
{
    print(json_pack("{ss}", "fatal", why));
    status = 2;
}

static struct asked *new_asked(struct entry *entry, const json_t *command)
{
    struct asked *asked = calloc(1, sizeof *asked);
    const char *as = text_of(command, "as");
    asked->entry = entry;
    snprintf(asked->name, sizeof asked->name, "%s", text_of(command, "do"));
    snprintf(asked->as, sizeof asked->as, "%s", as ? as : "");
    asked->tokens.answers = json_incref(json_object_get(command, "tokens"));
    return asked;
}

static bool make_client(const json_t *command)
{
    struct entry *entry = &entries[entry_count];
    if (entry_count == SCRIPT_CLIENTS_MAX)
        return false;
    snprintf(entry->name, sizeof entry->name, "%s", text_of(command, "client"));
    entry->tokens.answers = json_incref(json_object_get(command, "tokens"));
    entry->tells_positions = is_true(command, "positions");
    const struct wh_client_events events = {
        WH_CLIENT_EVENTS_INIT,
        .connecting = on_connecting,
        .connected = on_connected,
        .disconnected = on_disconnected,
        .error = on_error,
        .message = on_message,
        .get_token = entry->tokens.answers ? on_get_token : NULL,
        .server_subscribed = on_server_subscribed,
        .server_subscribing = on_server_subscribing,
        .server_unsubscribed = on_server_unsubscribed,
        .server_publication = on_server_publication,
        .server_join = on_server_join,
        .server_leave = on_server_leave,
    };
    char *data;
    struct wh_client_options options = WH_CLIENT_OPTIONS_INIT;
    struct wh_error detail;
    options.runtime = script_loop_runtime(loop);
    options.url = text_of(command, "url");
    options.token = text_of(command, "token");
    options.connect_data = data_of(command, &data);
    options.timeout_ms = number_of(command, "timeout_ms");
    options.connect_timeout_ms = number_of(command, "connect_timeout_ms");
    options.min_reconnect_ms = number_of(command, "min_reconnect_ms");
    options.max_reconnect_ms = number_of(command, "max_reconnect_ms");
    options.max_server_ping_delay_ms = number_of(command, "max_server_ping_delay_ms");
    options.events = &events;
    options.user = entry;
    const char *encoding = text_of(command, "encoding");
    enum wh_err err =
        encoding ? wh_client_options_set(&options, "encoding", encoding, &detail) : WH_OK;
    options.encoding_required = true;
    if (!err)
        err = wh_client_new(&options, &entry->client, &detail);
    free(data);
    if (err) {
        json_decref(entry->tokens.answers);
        fatal(detail.text);
        return false;
    }
    entry_count++;
    script_loop_watch(loop, entry->client);
    return true;
}

static bool make_subscription(struct entry *entry, const json_t *command)
{
    struct asked *asked = new_asked(entry, command);
    const struct wh_sub_events events = {
        WH_SUB_EVENTS_INIT,
        .subscribing = on_subscribing,
        .subscribed = on_subscribed,
        .unsubscribed = on_unsubscribed,
        .publication = on_publication,
        .join = on_join,
        .leave = on_leave,
        .error = on_sub_error,
        .get_token = asked->tokens.answers ? on_sub_get_token : NULL,
    };
    const json_t *since = json_object_get(command, "since");
    struct wh_position position = {0};
    char *data;
    struct wh_sub_options options = WH_SUB_OPTIONS_INIT;
    options.token = text_of(command, "token");
    options.data = data_of(command, &data);
    options.recoverable = is_true(command, "recoverable");
    options.positioned = is_true(command, "positioned");
    options.join_leave = is_true(command, "join_leave");
    options.delta = is_true(command, "delta");
    asked->leave_every = number_of(command, "leave_every");
    asked->linger_ms = number_of(command, "linger_ms");
    options.min_resubscribe_ms = number_of(command, "min_resubscribe_ms");
    options.max_resubscribe_ms = number_of(command, "max_resubscribe_ms");
    if (since) {
        position.offset = (uint64_t)json_integer_value(json_object_get(since, "offset"));
        position.epoch = text_of(since, "epoch");
        options.since = &position;
    }
    options.events = &events;
    options.user = asked;
    options.user_free = free_asked;
    struct wh_sub *sub;
    struct wh_error detail;
    enum wh_err err =
        wh_sub_new(entry->client, text_of(command, "channel"), &options, &sub, &detail);
    free(data);
    if (err) {
        free_asked(asked);
        fatal(detail.text);
    }
    return err == WH_OK;
}

/* A call that could not even start is answered by the code of its error. */
static void refuse(struct asked *asked, enum wh_err err)
{
    struct wh_error error = {.err = err};
    error.code = err == WH_EDISCONNECTED ? WH_CODE_CLIENT_DISCONNECTED
                 : err == WH_ECLOSED     ? WH_CODE_CLIENT_CLOSED
                                         : 100000 + (uint32_t)err; /* shows up in no script */
    print(reply(asked, &error));
    free_asked(asked);
}

/* False when `name` is no call. */
static bool call(struct entry *entry, const char *name, const json_t *command)
{
    struct asked *asked = new_asked(entry, command);
    struct wh_call_options options = WH_CALL_OPTIONS_INIT;
    options.user_free = free_asked;
    const char *channel = text_of(command, "channel");
    char *text;
    struct wh_data data = data_of(command, &text);
    enum wh_err err;
    if (strcmp(name, "publish") == 0) {
        err = wh_client_publish(entry->client, channel, data, &options, on_done, asked);
    } else if (strcmp(name, "rpc") == 0) {
        err =
            wh_client_rpc(entry->client, text_of(command, "method"), data, &options, on_rpc, asked);
    } else if (strcmp(name, "send") == 0) {
        err = wh_client_send(entry->client, data);
        print(reply(asked, NULL));
        free_asked(asked);
        asked = NULL;
    } else if (strcmp(name, "history") == 0) {
        const json_t *since = json_object_get(command, "since");
        struct wh_position position = {0};
        struct wh_history_options history = WH_HISTORY_OPTIONS_INIT;
        history.limit = (int32_t)json_integer_value(json_object_get(command, "limit"));
        history.reverse = is_true(command, "reverse");
        if (since) {
            position.offset = (uint64_t)json_integer_value(json_object_get(since, "offset"));
            position.epoch = text_of(since, "epoch");
            history.since = &position;
        }
        err = wh_client_history(entry->client, channel, &history, &options, on_history, asked);
    } else if (strcmp(name, "presence") == 0) {
        err = wh_client_presence(entry->client, channel, &options, on_presence, asked);
    } else if (strcmp(name, "presence_stats") == 0) {
        err = wh_client_presence_stats(entry->client, channel, &options, on_presence_stats, asked);
    } else {
        free(text);
        free_asked(asked);
        return false;
    }
    free(text);
    if (err && asked)
        refuse(asked, err);
    return true;
}

static bool act(struct entry *entry, const char *name, const json_t *command)
{
    const char *channel = text_of(command, "channel");
    struct wh_sub *sub = channel ? wh_client_sub(entry->client, channel) : NULL;
    enum wh_err err = WH_OK;
    if (strcmp(name, "connect") == 0)
        err = wh_client_connect(entry->client);
    else if (strcmp(name, "disconnect") == 0)
        err = wh_client_disconnect(entry->client);
    else if (strcmp(name, "subscription") == 0)
        return make_subscription(entry, command);
    else if (strcmp(name, "subscribe") == 0 && sub)
        err = wh_sub_subscribe(sub);
    else if (strcmp(name, "unsubscribe") == 0 && sub)
        err = wh_sub_unsubscribe(sub);
    else if (strcmp(name, "remove") == 0 && sub)
        wh_sub_free(sub);
    else if (!call(entry, name, command))
        err = WH_ENOTFOUND;
    if (err)
        fatal(wh_err_text(err));
    return err == WH_OK;
}

static struct entry *entry_of(const json_t *command)
{
    for (size_t i = 0; i < entry_count; i++) {
        if (strcmp(entries[i].name, text_of(command, "client")) == 0)
            return &entries[i];
    }
    return NULL;
}

static bool on_line(char *line)
{
    json_t *command = json_loads(line, 0, NULL);
    const char *name = text_of(command, "do");
    bool is_fine = false;
    if (!name) {
        fatal("no command");
    } else if (strcmp(name, "end") == 0) {
        json_decref(command);
        return false;
    } else if (strcmp(name, "client") == 0) {
        is_fine = make_client(command);
    } else {
        struct entry *entry = entry_of(command);
        if (entry)
            is_fine = act(entry, name, command);
        else
            fatal("no such client");
    }
    if (is_fine)
        print(json_pack("{ss}", "done", name));
    json_decref(command);
    return is_fine;
}

int main(int argc, char **argv)
{
    loop = argc == 2 ? script_loop_new(argv[1]) : NULL;
    if (!loop) {
        fprintf(stderr, "usage: event_script threaded|dispatch|loop|uv|ev|glib\n");
        return 2;
    }
    script_loop_run(loop, on_line);
    is_ending = true;
    struct wh_client *clients[SCRIPT_CLIENTS_MAX];
    for (size_t i = 0; i < entry_count; i++)
        clients[i] = entries[i].client;
    script_loop_end(loop, clients, entry_count);
    for (size_t i = 0; i < entry_count; i++)
        json_decref(entries[i].tokens.answers);
    return status;
}
