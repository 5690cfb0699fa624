/*
 * The client commands.
 *
 * The only part that is not plain call-and-answer is the broker: subscribe to
 * a channel that this node does not carry yet, and publish.  Such a command
 * becomes a struct pending at the end of session->pending; when the broker
 * has answered it is marked done, and settle() answers from the head of the
 * list as far as it is done.  Commands of the same kind may overlap in this
 * way, any other command waits (command_must_wait), so what a client can see
 * is one command after the other.
 */
#include "hub/command.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "hub/session.h"

#include <inttypes.h>
#include <wh_version.h>

enum { SUBSCRIBE_TYPE_STREAM = 0, PUBLISH_TYPE_STREAM = 0, LIFETIME_MAX_S = 365 * 24 * 3600 };

/* Pending commands */

static struct pending *pending_new(struct session *session, enum pending_kind kind, uint32_t id)
{
    struct pending *pending = wh_calloc(1, sizeof(*pending));
    if (pending == NULL)
        return NULL;
    pending->session = session;
    pending->kind = kind;
    pending->id = id;
    wh_list_init(&pending->channel_link);
    wh_list_push_back(&session->pending, &pending->link);
    session->pending_count++;
    return pending;
}

/* Off the session's list; the memory stays until the broker is through with it. */
static void pending_drop(struct pending *pending)
{
    if (pending->session) {
        wh_list_remove(&pending->link);
        pending->session->pending_count--;
        pending->session = NULL;
    }
    wh_list_remove(&pending->channel_link);
    if (pending->in_broker)
        return;
    wh_free((void *)pending->data.bytes.ptr);
    wh_free(pending);
}

static void answer_subscribe(struct session *session, struct pending *pending)
{
    struct subscription *subscription = pending->subscription;
    struct registry *registry = &session->node->registry;
    if (pending->code == WH_NO_ERROR && registry_activate(registry, subscription))
        pending->code = WH_ERROR_INTERNAL;
    if (pending->code != WH_NO_ERROR) {
        if (subscription)
            registry_remove(registry, subscription);
        session_reply_error(session, pending->id, (enum wh_code)pending->code);
        return;
    }
    struct wh_subscribe_result result = {
        .expires = pending->ttl > 0,
        .ttl = (uint32_t)pending->ttl,
        .data = pending->data,
    };
    session_reply(session, &(struct wh_reply){.id = pending->id, .subscribe = &result});
    if (subscription->expire_at)
        session_reschedule(session);
}

static void answer_publish(struct session *session, struct pending *pending)
{
    struct wh_empty result = {0};
    if (pending->code != WH_NO_ERROR)
        session_reply_error(session, pending->id, (enum wh_code)pending->code);
    else
        session_reply(session, &(struct wh_reply){.id = pending->id, .publish = &result});
}

/* Answer what is done, in order. */
static void settle(struct session *session)
{
    while (!wh_list_is_empty(&session->pending)) {
        struct pending *head = WH_CONTAINER_OF(session->pending.next, struct pending, link);
        if (!head->is_done)
            break;
        if (head->kind == PENDING_SUBSCRIBE)
            answer_subscribe(session, head);
        else
            answer_publish(session, head);
        pending_drop(head);
    }
    session_resume(session);
}

/* A command failed before it had to wait for anybody: the error goes behind those that do wait. */
static void answer_error(struct session *session,
                         enum pending_kind kind,
                         uint32_t id,
                         enum wh_code code)
{
    struct pending *pending = NULL;
    if (!wh_list_is_empty(&session->pending))
        pending = pending_new(session, kind, id);
    if (pending == NULL) {
        session_reply_error(session, id, code);
        return;
    }
    pending->is_done = true;
    pending->code = code;
}

void command_abandon(struct session *session)
{
    jwks_waiter_cancel(&session->key_waiter);
    while (!wh_list_is_empty(&session->pending))
        pending_drop(WH_CONTAINER_OF(session->pending.next, struct pending, link));
}

/* connect */

static int64_t lifetime_s(int64_t expire_at)
{
    int64_t left = expire_at - wh_clock_wall_s();
    return left > LIFETIME_MAX_S ? LIFETIME_MAX_S : left;
}

static void log_auth_failure(struct session *session, const char *what, const char *reason)
{
    static struct wh_log_limit limit;
    metrics_count_auth_failure(session->node->metrics, reason);
    wh_log_limited(&limit, WH_LOG_INFO, "command", "auth_failed",
                   "session=%s peer=%s command=%s reason=%s", session->id, session->peer, what,
                   reason);
}

/* Verify the connection token, or decide without one: WH_NO_ERROR with `out_claims`, a reply
 * error, or a disconnect. */
static enum wh_code authenticate(struct session *session,
                                 struct wh_slice token,
                                 struct token_claims *out_claims)
{
    struct node *node = session->node;
    const struct config *config = node->config;
    const char *reason = "";
    if (token.len == 0) {
        if (!config->client.insecure && !config->client.allow_anonymous_connect_without_token) {
            log_auth_failure(session, "connect", "no_token");
            return WH_DISCONNECT_BAD_REQUEST;
        }
        *out_claims = (struct token_claims){.user = WH_SLICE_LITERAL("")};
        return WH_NO_ERROR;
    }
    enum wh_err err = token_verify(node->connection_tokens, TOKEN_CONNECTION, token,
                                   wh_clock_wall_s(), &node->arena, out_claims, &reason);
    if (err == WH_EEXPIRED && config->client.insecure)
        err = WH_OK; /* claims are filled: only time speaks against it */
    if (err)
        log_auth_failure(session, "connect", reason);
    if (err == WH_EEXPIRED)
        return WH_ERROR_TOKEN_EXPIRED;
    if (err == WH_EUNAVAILABLE) /* no key to judge by: temporary, the client comes again */
        return WH_ERROR_INTERNAL;
    if (err)
        return WH_DISCONNECT_INVALID_TOKEN;
    if (config->client.insecure) {
        out_claims->user = WH_SLICE_LITERAL("");
        out_claims->expire_at = 0;
    }
    if (out_claims->user.len == 0 && config->client.disallow_anonymous_connection_tokens)
        return WH_DISCONNECT_PERMISSION_DENIED;
    if (out_claims->expire_at && lifetime_s(out_claims->expire_at) <= 0)
        return WH_ERROR_EXPIRED;
    return WH_NO_ERROR;
}

/* Keep a copy of a payload that lives in the arena; replaces and frees the old one. */
static enum wh_err keep_payload(struct wh_payload *kept, struct wh_payload payload)
{
    char *copy = NULL;
    if (wh_payload_is_present(payload)) {
        copy = wh_malloc(payload.bytes.len + 1);
        if (copy == NULL)
            return WH_ENOMEM;
        memcpy(copy, payload.bytes.ptr, payload.bytes.len);
    }
    wh_free((void *)kept->bytes.ptr);
    *kept = (struct wh_payload){.kind = payload.kind, .bytes = wh_slice(copy, payload.bytes.len)};
    return WH_OK;
}

static void reply_connected(struct session *session, uint32_t id)
{
    const struct config *config = session->node->config;
    struct wh_connect_result result = {
        .client = wh_slice_from_str(session->id),
        .version = WH_SLICE_LITERAL(WH_VERSION),
        .ping = (uint32_t)(config->client.ping_interval_ms / 1000),
        .pong = config->client.ping_interval_ms > 0 && config->client.pong_timeout_ms > 0,
        .time = config->client.connect_include_server_time ? wh_clock_wall_ms() : 0,
    };
    if (session->expire_at) {
        result.expires = true;
        result.ttl = (uint32_t)lifetime_s(session->expire_at);
    }
    session_reply(session, &(struct wh_reply){.id = id, .connect = &result});
}

static void handle_connect(struct session *session, const struct wh_command *command)
{
    struct node *node = session->node;
    struct token_claims claims;
    if (session->state != SESSION_NEW) {
        session_close(session, WH_DISCONNECT_BAD_REQUEST);
        return;
    }
    enum wh_code code = authenticate(session, command->connect->token, &claims);
    if (code == WH_NO_ERROR && keep_payload(&session->conn_info, claims.info))
        code = WH_DISCONNECT_SERVER_ERROR;
    if (code == WH_NO_ERROR) {
        enum wh_err err = registry_attach_user(&node->registry, session, claims.user,
                                               node->config->client.user_connection_limit);
        if (err)
            code = err == WH_ELIMIT ? WH_DISCONNECT_CONNECTION_LIMIT : WH_DISCONNECT_SERVER_ERROR;
    }
    if (wh_code_is_disconnect(code)) {
        session_close(session, code);
    } else if (code != WH_NO_ERROR) {
        session_reply_error(session, command->id, code);
        session_refuse(session);
    } else {
        session->expire_at = claims.expire_at;
        session_ready(session);
        reply_connected(session, command->id);
        wh_log(WH_LOG_DEBUG, "command", "connected", "session=%s user=%.*s encoding=%s",
               session->id, WH_SLICE_ARGS(claims.user), wh_encoding_name(session->encoding));
    }
}

/* refresh */

/* In insecure mode everybody is "", whatever the token says. */
static bool is_session_user(const struct session *session, struct wh_slice user)
{
    return session->node->config->client.insecure || wh_slice_equal(user, session->user->id);
}

static void handle_refresh(struct session *session, const struct wh_command *command)
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
    if (err == WH_OK && !is_session_user(session, claims.user)) {
        err = WH_EDENIED;
        reason = "other_user";
    }
    if (err == WH_OK && claims.expire_at && lifetime_s(claims.expire_at) <= 0) {
        err = WH_EEXPIRED;
        reason = "expired";
    }
    if (err) {
        log_auth_failure(session, "refresh", reason);
        if (err == WH_EUNAVAILABLE) { /* the client tries again until its time is up */
            session_reply_error(session, command->id, WH_ERROR_INTERNAL);
            return;
        }
        session_close(session,
                      err == WH_EEXPIRED ? WH_DISCONNECT_EXPIRED : WH_DISCONNECT_INVALID_TOKEN);
        return;
    }
    if (wh_payload_is_present(claims.info) && keep_payload(&session->conn_info, claims.info)) {
        session_reply_error(session, command->id, WH_ERROR_INTERNAL);
        return;
    }
    session->expire_at = claims.expire_at;
    session_reschedule(session);
    struct wh_refresh_result result = {0};
    if (claims.expire_at) {
        result.expires = true;
        result.ttl = (uint32_t)lifetime_s(claims.expire_at);
    }
    session_reply(session, &(struct wh_reply){.id = command->id, .refresh = &result});
}

/* subscribe */

/* A subscription token must speak of this channel and this user; PROTOCOL.md, "Tokens". */
static enum wh_code check_subscription_token(struct session *session,
                                             struct wh_slice token,
                                             struct wh_slice channel,
                                             const char *what,
                                             struct token_claims *out_claims)
{
    struct node *node = session->node;
    const char *reason = "";
    enum wh_err err = token_verify(node->subscription_tokens, TOKEN_SUBSCRIPTION, token,
                                   wh_clock_wall_s(), &node->arena, out_claims, &reason);
    if (err == WH_EEXPIRED && node->config->client.insecure)
        err = WH_OK;
    if (err) {
        log_auth_failure(session, what, reason);
        if (err == WH_EUNAVAILABLE)
            return WH_ERROR_INTERNAL;
        return err == WH_EEXPIRED ? WH_ERROR_TOKEN_EXPIRED : WH_ERROR_PERMISSION_DENIED;
    }
    bool is_ours =
        wh_slice_equal(out_claims->channel, channel) &&
        is_session_user(session, out_claims->user) &&
        (out_claims->client.len == 0 || wh_slice_equal_str(out_claims->client, session->id));
    if (!is_ours) {
        log_auth_failure(session, what, "other_subject");
        return WH_DISCONNECT_INVALID_TOKEN;
    }
    if (node->config->client.insecure)
        out_claims->expire_at = 0;
    if (out_claims->expire_at && lifetime_s(out_claims->expire_at) <= 0)
        return WH_ERROR_EXPIRED;
    return WH_NO_ERROR;
}

/* Everything that can refuse a subscribe before the broker is asked. */
static enum wh_code admit(struct session *session,
                          const struct wh_subscribe_request *request,
                          const struct channel_options **out_options,
                          struct token_claims *out_claims)
{
    struct node *node = session->node;
    const struct config *config = node->config;
    if (request->type != SUBSCRIBE_TYPE_STREAM)
        return WH_ERROR_NOT_AVAILABLE;
    if (request->delta.len > 0 && !wh_slice_equal_str(request->delta, "fossil"))
        return WH_DISCONNECT_BAD_REQUEST;
    if (request->channel.len > config->channel.max_length)
        return WH_ERROR_BAD_REQUEST;
    if (registry_find(&node->registry, session, request->channel))
        return WH_ERROR_ALREADY_SUBSCRIBED;
    if (session->subscription_count >= config->client.channel_limit)
        return WH_ERROR_LIMIT_EXCEEDED;
    enum wh_code code = channel_resolve(node->rules, request->channel, out_options);
    if (code != WH_NO_ERROR)
        return code;
    struct channel_actor actor = {.user = session->user->id};
    if (request->token.len > 0) {
        code = check_subscription_token(session, request->token, request->channel, "subscribe",
                                        out_claims);
        if (code != WH_NO_ERROR)
            return code;
        actor.has_token = true;
    }
    if (!channel_may_subscribe(node->rules, request->channel, *out_options, &actor))
        return WH_ERROR_PERMISSION_DENIED;
    return request->tf ? WH_ERROR_BAD_REQUEST : WH_NO_ERROR; /* filters are not offered yet */
}

/* An asynchronous question to the broker about one channel, by name: it may be gone by then. */
struct link_request {
    struct node *node;
    uint64_t link_id; /* of the channel when it asked: another channel may have the name by now */
    struct wh_slice name;
};

static void on_linked(void *user, enum wh_err err)
{
    struct link_request *request = user;
    struct channel *channel = registry_channel(&request->node->registry, request->name);
    if (channel && channel->link_id == request->link_id) {
        channel->link = err ? CHANNEL_UNLINKED : CHANNEL_LINKED;
        struct wh_list waiting;
        wh_list_init(&waiting);
        struct wh_list *link;
        while ((link = wh_list_pop_front(&channel->waiting)) != NULL)
            wh_list_push_back(&waiting, link);
        while ((link = wh_list_pop_front(&waiting)) != NULL) {
            struct pending *pending = WH_CONTAINER_OF(link, struct pending, channel_link);
            pending->is_done = true;
            pending->code = err ? WH_ERROR_INTERNAL : WH_NO_ERROR;
            settle(pending->session);
        }
    }
    wh_free(request);
}

/* Ask the broker to carry `channel` to this node. */
static enum wh_err link_channel(struct node *node, struct channel *channel)
{
    struct link_request *request = wh_calloc(1, sizeof(*request) + channel->name.len + 1);
    if (request == NULL)
        return WH_ENOMEM;
    memcpy(request + 1, channel->name.ptr, channel->name.len);
    request->node = node;
    request->link_id = channel->link_id = ++node->registry.link_ids;
    request->name = wh_slice(request + 1, channel->name.len);
    channel->link = CHANNEL_LINKING;
    node->broker->ops->subscribe(node->broker, channel->name, on_linked, request);
    return WH_OK;
}

static enum wh_err keep_chan_info(struct subscription *subscription, struct wh_payload info)
{
    struct wh_payload kept = {
        .kind = subscription->chan_info_kind,
        .bytes = wh_slice(subscription->chan_info, subscription->chan_info_len),
    };
    enum wh_err err = keep_payload(&kept, info);
    if (err)
        return err;
    subscription->chan_info = (char *)kept.bytes.ptr;
    subscription->chan_info_len = kept.bytes.len;
    subscription->chan_info_kind = kept.kind;
    return WH_OK;
}

static void handle_subscribe(struct session *session, const struct wh_command *command)
{
    const struct wh_subscribe_request *request = command->subscribe;
    struct node *node = session->node;
    const struct channel_options *options = NULL;
    struct subscription *subscription = NULL;
    struct token_claims claims = {0};
    if (request->channel.len == 0) {
        session_close(session, WH_DISCONNECT_BAD_REQUEST);
        return;
    }
    enum wh_code code = admit(session, request, &options, &claims);
    if (wh_code_is_disconnect(code)) {
        session_close(session, code);
        return;
    }
    struct pending *pending = NULL;
    if (code == WH_NO_ERROR) {
        pending = pending_new(session, PENDING_SUBSCRIBE, command->id);
        if (pending == NULL ||
            registry_reserve(&node->registry, session, request->channel, options, &subscription) ||
            keep_chan_info(subscription, claims.info) || keep_payload(&pending->data, claims.data))
            code = WH_ERROR_INTERNAL;
    }
    if (code == WH_NO_ERROR) {
        struct channel *channel = subscription->channel;
        pending->subscription = subscription;
        subscription->expire_at = claims.expire_at;
        pending->ttl = claims.expire_at ? lifetime_s(claims.expire_at) : 0;
        pending->is_done = channel->link == CHANNEL_LINKED;
        if (!pending->is_done)
            wh_list_push_back(&channel->waiting, &pending->channel_link);
        if (channel->link == CHANNEL_UNLINKED && link_channel(node, channel))
            code = WH_ERROR_INTERNAL;
    }
    if (code != WH_NO_ERROR) {
        if (pending)
            pending_drop(pending);
        if (subscription)
            registry_remove(&node->registry, subscription);
        answer_error(session, PENDING_SUBSCRIBE, command->id, code);
        return;
    }
    settle(session);
}

static void handle_unsubscribe(struct session *session, const struct wh_command *command)
{
    struct wh_slice channel = command->unsubscribe->channel;
    struct registry *registry = &session->node->registry;
    struct wh_empty result = {0};
    if (channel.len == 0) {
        session_close(session, WH_DISCONNECT_BAD_REQUEST);
        return;
    }
    struct subscription *subscription = registry_find(registry, session, channel);
    if (subscription)
        registry_remove(registry, subscription);
    session_reply(session, &(struct wh_reply){.id = command->id, .unsubscribe = &result});
}

static void handle_sub_refresh(struct session *session, const struct wh_command *command)
{
    const struct wh_sub_refresh_request *request = command->sub_refresh;
    const struct channel_options *options;
    struct token_claims claims = {0};
    if (request->channel.len == 0) {
        session_close(session, WH_DISCONNECT_BAD_REQUEST);
        return;
    }
    struct subscription *subscription =
        registry_find(&session->node->registry, session, request->channel);
    enum wh_code code = WH_NO_ERROR;
    if (request->type != SUBSCRIBE_TYPE_STREAM)
        code = WH_ERROR_NOT_AVAILABLE;
    else if (subscription == NULL)
        code = WH_ERROR_PERMISSION_DENIED;
    else if (channel_resolve(session->node->rules, request->channel, &options) != WH_NO_ERROR)
        code = WH_ERROR_UNKNOWN_CHANNEL; /* a reload took its namespace away */
    else if (request->token.len == 0)
        code = WH_ERROR_BAD_REQUEST;
    else
        code = check_subscription_token(session, request->token, request->channel, "sub_refresh",
                                        &claims);
    if (code == WH_ERROR_PERMISSION_DENIED && subscription) /* a forged token, not a missing one */
        code = WH_DISCONNECT_INVALID_TOKEN;
    if (code == WH_NO_ERROR && wh_payload_is_present(claims.info) &&
        keep_chan_info(subscription, claims.info))
        code = WH_ERROR_INTERNAL;
    if (wh_code_is_disconnect(code)) {
        session_close(session, code);
        return;
    }
    if (code != WH_NO_ERROR) {
        session_reply_error(session, command->id, code);
        return;
    }
    subscription->expire_at = claims.expire_at;
    session_reschedule(session);
    struct wh_sub_refresh_result result = {0};
    if (claims.expire_at) {
        result.expires = true;
        result.ttl = (uint32_t)lifetime_s(claims.expire_at);
    }
    session_reply(session, &(struct wh_reply){.id = command->id, .sub_refresh = &result});
}

/* publish */

static bool has_format(struct wh_payload data, enum publication_data_format format)
{
    struct wh_payload as_is = data;
    if (data.kind == WH_PAYLOAD_BYTES) /* bytes that happen to be JSON count as JSON */
        as_is = wh_payload_classify(data.bytes);
    switch (format) {
    case DATA_ANY_NON_EMPTY:
        return data.bytes.len > 0;
    case DATA_BINARY:
        return true;
    case DATA_JSON:
        return as_is.kind == WH_PAYLOAD_JSON;
    case DATA_JSON_OBJECT:
        return as_is.kind == WH_PAYLOAD_JSON && as_is.bytes.ptr[0] == '{';
    }
    return false;
}

static enum wh_code admit_publish(struct session *session,
                                  const struct wh_publish_request *request,
                                  const struct subscription *subscription)
{
    struct node *node = session->node;
    const struct channel_options *options;
    if (request->type != PUBLISH_TYPE_STREAM)
        return WH_ERROR_NOT_AVAILABLE;
    enum wh_code code = channel_resolve(node->rules, request->channel, &options);
    if (code != WH_NO_ERROR)
        return code;
    if (!wh_payload_is_present(request->data) ||
        !has_format(request->data, options->publication_data_format) ||
        wh_payload_check(request->data))
        return WH_ERROR_BAD_REQUEST;
    struct channel_actor actor = {
        .user = session->user->id,
        .is_subscribed = subscription && subscription->state == SUBSCRIPTION_ACTIVE,
    };
    return channel_may_publish(node->rules, options, &actor) ? WH_NO_ERROR
                                                             : WH_ERROR_PERMISSION_DENIED;
}

static void on_published(void *user, enum wh_err err)
{
    struct pending *pending = user;
    struct session *session = pending->session;
    pending->in_broker = false;
    if (session == NULL) { /* the client left meanwhile */
        pending_drop(pending);
        return;
    }
    pending->is_done = true;
    pending->code = err ? WH_ERROR_INTERNAL : WH_NO_ERROR;
    settle(session);
}

static void handle_publish(struct session *session, const struct wh_command *command)
{
    const struct wh_publish_request *request = command->publish;
    struct node *node = session->node;
    if (request->channel.len == 0) {
        session_close(session, WH_DISCONNECT_BAD_REQUEST);
        return;
    }
    struct subscription *subscription = registry_find(&node->registry, session, request->channel);
    enum wh_code code = admit_publish(session, request, subscription);
    struct pending *pending = NULL;
    if (code == WH_NO_ERROR) {
        pending = pending_new(session, PENDING_PUBLISH, command->id);
        if (pending == NULL)
            code = WH_ERROR_INTERNAL;
    }
    if (code != WH_NO_ERROR) {
        answer_error(session, PENDING_PUBLISH, command->id, code);
        return;
    }
    struct wh_client_info info = session_info(session, subscription);
    struct wh_publication pub = {.data = request->data, .info = &info};
    pending->in_broker = true;
    node->broker->ops->publish(node->broker, request->channel, &pub, on_published, pending);
}

/* The rest */

static void handle_send(struct session *session, const struct wh_command *command)
{
    (void)command; /* nobody listens to messages yet, and silence would hide that */
    session_close(session, WH_DISCONNECT_NOT_AVAILABLE);
}

static void handle_ping(struct session *session, const struct wh_command *command)
{
    struct wh_empty result = {0};
    session_reply(session, &(struct wh_reply){.id = command->id, .ping = &result});
}

static void handle_not_available(struct session *session, const struct wh_command *command)
{
    session_reply_error(session, command->id, WH_ERROR_NOT_AVAILABLE);
}

static void handle_pong(struct session *session)
{
    if (!session->pong_due)
        session_close(session, WH_DISCONNECT_BAD_REQUEST);
    session->pong_due = false;
}

typedef void command_handler(struct session *session, const struct wh_command *command);

struct command_row {
    size_t request; /* offset of the request pointer in struct wh_command */
    command_handler *handle;
};

/* If a client sets several requests the first in this order counts. */
static const struct command_row commands[] = {
    {offsetof(struct wh_command, connect), handle_connect},
    {offsetof(struct wh_command, subscribe), handle_subscribe},
    {offsetof(struct wh_command, unsubscribe), handle_unsubscribe},
    {offsetof(struct wh_command, publish), handle_publish},
    {offsetof(struct wh_command, presence), handle_not_available},
    {offsetof(struct wh_command, presence_stats), handle_not_available},
    {offsetof(struct wh_command, history), handle_not_available},
    {offsetof(struct wh_command, rpc), handle_not_available},
    {offsetof(struct wh_command, send), handle_send},
    {offsetof(struct wh_command, refresh), handle_refresh},
    {offsetof(struct wh_command, sub_refresh), handle_sub_refresh},
    {offsetof(struct wh_command, ping), handle_ping},
};

static const struct command_row *find_row(const struct wh_command *command)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        const void *request;
        memcpy(&request, (const char *)command + commands[i].request, sizeof(request));
        if (request)
            return &commands[i];
    }
    return NULL;
}

/* Whether what is pending, if anything, may stay unanswered while this command is executed. */
static bool overlaps_pending(const struct session *session, const struct wh_command *command)
{
    if (wh_list_is_empty(&session->pending) || command->id == 0)
        return true;
    const struct pending *last = WH_CONTAINER_OF(session->pending.prev, struct pending, link);
    const struct command_row *row = find_row(command);
    command_handler *overlapping =
        last->kind == PENDING_SUBSCRIBE ? handle_subscribe : handle_publish;
    return row && row->handle == overlapping;
}

/*
 * Whether the key of the command's token is being fetched.  Nothing has been done for the command
 * yet, so it can be executed from its start once the fetch has ended.
 */
static bool awaits_key(struct session *session, const struct wh_command *command)
{
    struct node *node = session->node;
    const struct command_row *row = find_row(command);
    command_handler *handle = row && command->id != 0 ? row->handle : NULL;
    bool is_ready = session->state == SESSION_READY;
    const struct token_verifier *verifier = node->connection_tokens;
    struct wh_slice token = WH_SLICE_ABSENT;
    if (handle == handle_connect && session->state == SESSION_NEW) {
        token = command->connect->token;
    } else if (handle == handle_refresh && is_ready) {
        token = command->refresh->token;
    } else if (handle == handle_subscribe && is_ready) {
        verifier = node->subscription_tokens;
        token = command->subscribe->token;
    } else if (handle == handle_sub_refresh && is_ready) {
        verifier = node->subscription_tokens;
        token = command->sub_refresh->token;
    }
    return token.len > 0 &&
           token_verifier_wait(verifier, token, &node->arena, &session->key_waiter);
}

bool command_must_wait(struct session *session, const struct wh_command *command)
{
    return !overlaps_pending(session, command) || awaits_key(session, command);
}

void command_execute(struct session *session, const struct wh_command *command)
{
    const struct command_row *row = find_row(command);
    bool is_first = session->state == SESSION_NEW;
    if (is_first && (row == NULL || command->connect == NULL || command->id == 0)) {
        session_close(session, WH_DISCONNECT_BAD_REQUEST);
        return;
    }
    if (command->id == 0 && command->send == NULL) {
        handle_pong(session);
        return;
    }
    if (row == NULL) {
        session_close(session, WH_DISCONNECT_BAD_REQUEST);
        return;
    }
    row->handle(session, command);
}
