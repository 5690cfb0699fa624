/*
 * connect and refresh.
 *
 * Server-side subscriptions run all at once, like subscribe commands; the
 * connect waits for all of them and fails with the first that failed.
 */
#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "hub/command_internal.h"
#include "hub/identity.h"
#include "hub/rates.h"

#include <stdio.h>
#include <wh_version.h>

/* Verify the connection token, or decide without one: WH_NO_ERROR with `out_claims`, a reply
 * error, or a disconnect. */
static enum wh_code authenticate(struct session *session,
                                 struct wh_slice token,
                                 struct token_claims *out_claims)
{
    struct node *node = session->node;
    const struct config *config = node->config;
    if (token.len == 0) {
        if (!config->client.insecure && !config->client.allow_anonymous_connect_without_token) {
            command_log_auth_failure(session, "connect", "no_token");
            return WH_DISCONNECT_BAD_REQUEST;
        }
        *out_claims = (struct token_claims){.user = WH_SLICE_LITERAL("")};
        return WH_NO_ERROR;
    }
    struct identity_asker asker = {"connect", session->id, session->peer};
    return identity_verify(node, token, &node->arena, &asker, out_claims, &session->is_unchecked);
}

/* Server-side subscriptions */

struct connect_op {
    struct pending *pending;
    size_t count;
    size_t left; /* not ready yet */
    struct subscribe_op subs[];
};

static void free_connect_op(struct pending *pending)
{
    struct connect_op *connect = pending->connect;
    for (size_t i = 0; i < connect->count; i++)
        subscribe_end(&connect->subs[i]);
    wh_free(connect);
    pending->connect = NULL;
}

static void fill_result(const struct session *session, struct wh_connect_result *result)
{
    const struct config *config = session->node->config;
    *result = (struct wh_connect_result){
        .client = wh_slice_from_str(session->id),
        .version = WH_SLICE_LITERAL(WH_VERSION),
        .ping = (uint32_t)(config->client.ping_interval_ms / 1000),
        .pong = config->client.ping_interval_ms > 0 && config->client.pong_timeout_ms > 0,
        .time = config->client.connect_include_server_time ? wh_clock_wall_ms() : 0,
    };
    if (session->expire_at) {
        result->expires = true;
        result->ttl = (uint32_t)command_lifetime_s(session->expire_at);
    }
}

static void fail_connect(struct session *session, uint32_t id, enum wh_code code)
{
    command_fail(session, id, code);
    if (!wh_code_is_disconnect(code))
        session_refuse(session);
}

static void undo_sub(struct subscribe_op *op)
{
    struct subscription *subscription = op->subscription;
    subscription->announces = false; /* nobody has heard that it joined */
    subscribe_end(op);
    subscription_end(subscription, 0);
}

/* Make every subscription live and list them in the result; the code of the first that fails. */
static enum wh_code finish_subs(struct session *session,
                                struct connect_op *connect,
                                struct wh_connect_result *result)
{
    struct wh_arena *arena = &session->node->arena;
    struct wh_slice *keys = wh_arena_alloc_array(arena, connect->count, sizeof(*keys));
    struct wh_subscribe_result *values =
        wh_arena_alloc_array(arena, connect->count, sizeof(*values));
    if (keys == NULL || values == NULL)
        return WH_DISCONNECT_SERVER_ERROR;
    for (size_t i = 0; i < connect->count; i++) {
        enum wh_code code = subscribe_finish(&connect->subs[i], &values[i]);
        if (code != WH_NO_ERROR) { /* a refused client gets nothing of the others */
            while (i-- > 0)
                undo_sub(&connect->subs[i]);
            return code;
        }
        keys[i] = connect->subs[i].request.channel;
    }
    result->subs.keys = keys;
    result->subs.values = values;
    result->subs.count = connect->count;
    return WH_NO_ERROR;
}

static void answer_connect(struct session *session, struct pending *pending)
{
    struct connect_op *connect = pending->connect;
    struct wh_connect_result result;
    fill_result(session, &result);
    enum wh_code code = finish_subs(session, connect, &result);
    if (code != WH_NO_ERROR) {
        fail_connect(session, pending->id, code);
        return;
    }
    session_ready(session);
    session_reply(session, &(struct wh_reply){.id = pending->id, .connect = &result});
    for (size_t i = 0; i < connect->count; i++)
        subscribe_announce(&connect->subs[i]);
    session_reschedule(session);
}

static void on_sub_ready(struct subscribe_op *op)
{
    struct session *session = op->session;
    struct pending *pending = WH_CONTAINER_OF(session->pending.next, struct pending, link);
    if (--pending->connect->left == 0)
        pending_done(pending, WH_NO_ERROR);
}

/* What to subscribe to, collected before anything starts; in the arena of the message. */
struct sub_list {
    struct subscribe_request *items;
    size_t count;
    size_t capacity;
};

static bool is_listed(const struct sub_list *list, struct wh_slice channel)
{
    for (size_t i = 0; i < list->count; i++)
        if (wh_slice_equal(list->items[i].channel, channel))
            return true;
    return false;
}

/* What the client said of a channel in connect.subs: where to recover from. */
static const struct wh_subscribe_request *find_wish(const struct wh_connect_request *request,
                                                    struct wh_slice channel)
{
    for (size_t i = 0; i < request->subs.count; i++)
        if (wh_slice_equal(request->subs.keys[i], channel))
            return &request->subs.values[i];
    return NULL;
}

static void add_sub(const struct session *session,
                    struct sub_list *list,
                    struct wh_slice channel,
                    const struct channel_options *options,
                    const struct token_subscription *token,
                    const struct wh_subscribe_request *wish)
{
    static const struct token_overrides none;
    static const struct wh_subscribe_request nothing;
    struct subscribe_grant grant = subscribe_grant(session, options, wish ? wish : &nothing);
    struct subscribe_request *item = &list->items[list->count++];
    *item = (struct subscribe_request){
        .channel = channel,
        .is_server_side = true,
    };
    subscribe_decide(item, options, &grant, token ? &token->override : &none);
    if (token) {
        item->chan_info = token->info;
        item->data = token->data;
    }
    if (wish) {
        item->recover = wish->recover;
        item->offset = wish->offset;
        item->epoch = wish->epoch;
    }
}

/* The personal channel of a user, `ns:#id`; absent for the anonymous. */
static struct wh_slice personal_channel(struct session *session)
{
    const struct config *config = session->node->config;
    const char *name = config->client.subscribe_to_user_personal_channel.personal_channel_namespace;
    struct wh_buf buf = {0};
    if (!config->client.subscribe_to_user_personal_channel.enabled || session->user->id.len == 0)
        return WH_SLICE_ABSENT;
    if (name && name[0]) {
        wh_buf_append_str(&buf, name);
        wh_buf_append_str(&buf, config->channel.namespace_boundary);
    }
    wh_buf_append_str(&buf, config->channel.user_boundary);
    wh_buf_append_slice(&buf, session->user->id);
    struct wh_slice channel = wh_arena_copy(&session->node->arena, wh_buf_slice(&buf));
    wh_buf_deinit(&buf);
    return channel;
}

/* Those of the client's own wish: quietly only what it could have subscribed to by itself. */
static enum wh_code add_wishes(struct session *session,
                               const struct wh_connect_request *request,
                               struct sub_list *list)
{
    const struct channel_rules *rules = session->node->rules;
    struct channel_actor actor = {.user = session->user->id};
    for (size_t i = 0; i < request->subs.count; i++) {
        const struct channel_options *options;
        struct wh_slice channel = request->subs.keys[i];
        if (is_listed(list, channel))
            continue;
        enum wh_code code = channel_resolve(rules, channel, &options);
        if (code == WH_ERROR_UNKNOWN_CHANNEL)
            return WH_DISCONNECT_BAD_REQUEST;
        if (code != WH_NO_ERROR || !channel_may_subscribe(rules, channel, options, &actor))
            continue;
        const struct wh_filter_node *filter = request->subs.values[i].tf;
        if (filter && !options->allow_tags_filter)
            continue;
        add_sub(session, list, channel, options, NULL, &request->subs.values[i]);
        list->items[list->count - 1].tags_filter = filter;
    }
    return WH_NO_ERROR;
}

static enum wh_code list_subs(struct session *session,
                              const struct wh_connect_request *request,
                              const struct token_claims *claims,
                              struct sub_list *list)
{
    const struct channel_rules *rules = session->node->rules;
    const struct channel_options *options;
    struct wh_slice personal = personal_channel(session);
    list->capacity = claims->subs.count + request->subs.count + 1;
    list->items = wh_arena_alloc_array(&session->node->arena, list->capacity, sizeof(*list->items));
    if (list->items == NULL)
        return WH_DISCONNECT_SERVER_ERROR;
    for (size_t i = 0; i < claims->subs.count; i++) {
        const struct token_subscription *sub = &claims->subs.items[i];
        enum wh_code code = channel_resolve(rules, sub->channel, &options);
        if (code != WH_NO_ERROR)
            return code;
        if (!is_listed(list, sub->channel))
            add_sub(session, list, sub->channel, options, sub, find_wish(request, sub->channel));
    }
    if (personal.ptr && !is_listed(list, personal)) {
        enum wh_code code = channel_resolve(rules, personal, &options);
        if (code != WH_NO_ERROR)
            return code;
        add_sub(session, list, personal, options, NULL, find_wish(request, personal));
    }
    enum wh_code code = add_wishes(session, request, list);
    if (code == WH_NO_ERROR && list->count > session->node->config->client.channel_limit)
        code = WH_DISCONNECT_CHANNEL_LIMIT;
    return code;
}

static enum wh_code start_subs(struct session *session, uint32_t id, const struct sub_list *list)
{
    struct pending *pending = pending_new(session, PENDING_ALONE, id, answer_connect);
    struct connect_op *connect =
        wh_calloc(1, sizeof(*connect) + list->count * sizeof(connect->subs[0]));
    if (pending == NULL || connect == NULL) {
        wh_free(connect);
        if (pending)
            pending_drop(pending);
        return WH_DISCONNECT_SERVER_ERROR;
    }
    pending->connect = connect;
    pending->clean_up = free_connect_op;
    connect->count = list->count;
    for (size_t i = 0; i < list->count; i++) {
        subscribe_start(&connect->subs[i], session, &list->items[i], on_sub_ready);
        connect->left += !connect->subs[i].is_ready;
    }
    if (connect->left == 0)
        pending_done(pending, WH_NO_ERROR);
    return WH_NO_ERROR;
}

/* connect */

static bool is_within_user_rate(struct session *session, struct wh_slice user)
{
    struct node *node = session->node;
    struct rate_caller caller = {.user = user};
    uint64_t wait_ms;
    return rates_take(node->rates, &node->config->client.rate_limit, &caller, RATE_CONNECT,
                      wh_loop_now_ms(node->loop), &wait_ms);
}

static enum wh_code accept_claims(struct session *session, const struct token_claims *claims)
{
    struct node *node = session->node;
    if (command_keep_payload(&session->conn_info, claims->info) ||
        identity_new(claims, &session->identity))
        return WH_DISCONNECT_SERVER_ERROR;
    enum wh_err err = registry_attach_user(&node->registry, session, claims->user,
                                           node->config->client.user_connection_limit);
    if (err)
        return err == WH_ELIMIT ? WH_DISCONNECT_CONNECTION_LIMIT : WH_DISCONNECT_SERVER_ERROR;
    session->expire_at = claims->expire_at;
    return WH_NO_ERROR;
}

void command_connect(struct session *session, const struct wh_command *command)
{
    struct token_claims claims;
    struct sub_list list = {0};
    if (session->state != SESSION_NEW) {
        session_close(session, WH_DISCONNECT_BAD_REQUEST);
        return;
    }
    enum wh_code code = authenticate(session, command->connect->token, &claims);
    if (code == WH_NO_ERROR && !is_within_user_rate(session, claims.user))
        code = WH_ERROR_TOO_MANY_REQUESTS;
    if (code == WH_NO_ERROR)
        code = accept_claims(session, &claims);
    if (code == WH_NO_ERROR)
        code = list_subs(session, command->connect, &claims, &list);
    if (code == WH_NO_ERROR && list.count > 0)
        code = start_subs(session, command->id, &list);
    else if (code == WH_NO_ERROR) {
        struct wh_connect_result result;
        fill_result(session, &result);
        session_ready(session);
        session_reply(session, &(struct wh_reply){.id = command->id, .connect = &result});
    }
    if (code != WH_NO_ERROR)
        fail_connect(session, command->id, code);
    else
        wh_log(WH_LOG_DEBUG, "command", "connected", "session=%s user=%.*s encoding=%s",
               session->id, WH_SLICE_ARGS(claims.user), wh_encoding_name(session->encoding));
}

/* refresh */

/* What the new token says takes the place of the old, roles and meta also by being absent. */
static enum wh_err keep_claims(struct session *session, const struct token_claims *claims)
{
    struct identity *identity = NULL;
    bool is_insecure = session->node->config->client.insecure;
    enum wh_err err = is_insecure ? WH_OK : identity_new(claims, &identity);
    if (err == WH_OK && wh_payload_is_present(claims->info))
        err = command_keep_payload(&session->conn_info, claims->info);
    if (err) {
        identity_free(identity);
        return err;
    }
    identity_free(session->identity);
    session->identity = identity;
    return WH_OK;
}

void command_refresh(struct session *session, const struct wh_command *command)
{
    struct node *node = session->node;
    struct token_claims claims;
    const char *reason = "";
    if (command->refresh->token.len == 0) {
        session_close(session, WH_DISCONNECT_BAD_REQUEST);
        return;
    }
    enum wh_err err =
        token_verify(node->connection_tokens, TOKEN_CONNECTION, command->refresh->token,
                     wh_clock_wall_s(), &node->arena, &claims, &reason);
    if (err == WH_EEXPIRED && node->config->client.insecure)
        err = WH_OK;
    if (err == WH_OK && node->config->client.insecure)
        claims.expire_at = 0;
    if (err == WH_OK && !command_is_session_user(session, claims.user)) {
        err = WH_EDENIED;
        reason = "other_user";
    }
    if (err == WH_OK && claims.expire_at && command_lifetime_s(claims.expire_at) <= 0) {
        err = WH_EEXPIRED;
        reason = "expired";
    }
    if (err) {
        command_log_auth_failure(session, "refresh", reason);
        if (err == WH_EUNAVAILABLE) { /* the client tries again until its time is up */
            session_reply_error(session, command->id, WH_ERROR_INTERNAL);
            return;
        }
        session_close(session,
                      err == WH_EEXPIRED ? WH_DISCONNECT_EXPIRED : WH_DISCONNECT_INVALID_TOKEN);
        return;
    }
    enum wh_code code = command_check_revocation(session, "refresh", &claims);
    if (code == WH_ERROR_PERMISSION_DENIED) {
        session_close(session, WH_DISCONNECT_INVALID_TOKEN);
        return;
    }
    if (code != WH_NO_ERROR || keep_claims(session, &claims)) {
        session_reply_error(session, command->id, WH_ERROR_INTERNAL);
        return;
    }
    session->expire_at = claims.expire_at;
    session_reschedule(session);
    struct wh_refresh_result result = {0};
    if (claims.expire_at) {
        result.expires = true;
        result.ttl = (uint32_t)command_lifetime_s(claims.expire_at);
    }
    session_reply(session, &(struct wh_reply){.id = command->id, .refresh = &result});
}
