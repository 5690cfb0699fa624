/*
 * subscribe, unsubscribe, sub_refresh.
 */
#include "hub/command_internal.h"

#include "common/base/clock.h"
#include "hub/delta_view.h"

enum { TYPE_STREAM = 0 };

/* Bits of the request's flag. */
enum { FLAG_COMPACTION = 1, FLAG_MUST_RECOVER = 2 };

static const char delta_type[] = "fossil";

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
        command_log_auth_failure(session, what, reason);
        if (err == WH_EUNAVAILABLE)
            return WH_ERROR_INTERNAL;
        return err == WH_EEXPIRED ? WH_ERROR_TOKEN_EXPIRED : WH_ERROR_PERMISSION_DENIED;
    }
    bool is_ours =
        wh_slice_equal(out_claims->channel, channel) &&
        command_is_session_user(session, out_claims->user) &&
        (out_claims->client.len == 0 || wh_slice_equal_str(out_claims->client, session->id));
    if (!is_ours) {
        command_log_auth_failure(session, what, "other_subject");
        return WH_DISCONNECT_INVALID_TOKEN;
    }
    enum wh_code code = command_check_revocation(session, what, out_claims);
    if (code != WH_NO_ERROR)
        return code;
    if (node->config->client.insecure)
        out_claims->expire_at = 0;
    if (out_claims->expire_at && command_lifetime_s(out_claims->expire_at) <= 0)
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
    if (request->type != TYPE_STREAM)
        return WH_ERROR_NOT_AVAILABLE;
    if (request->delta.len > 0 && !wh_slice_equal_str(request->delta, delta_type))
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
    bool may_filter = (*out_options)->allow_tags_filter && request->delta.len == 0;
    return request->tf && !may_filter ? WH_ERROR_BAD_REQUEST : WH_NO_ERROR;
}

static void answer_subscribe(struct session *session, struct pending *pending)
{
    struct subscribe_op *op = &pending->subscribe;
    struct wh_subscribe_result result;
    enum wh_code code = subscribe_finish(op, &result);
    if (code != WH_NO_ERROR) {
        command_fail(session, pending->id, code);
        return;
    }
    if (op->request.expire_at) {
        result.expires = true;
        result.ttl = (uint32_t)command_lifetime_s(op->request.expire_at);
    }
    session_reply(session, &(struct wh_reply){.id = pending->id, .subscribe = &result});
    subscribe_announce(op);
    session_reschedule(session);
}

static void end_op(struct pending *pending)
{
    subscribe_end(&pending->subscribe);
}

static void on_ready(struct subscribe_op *op)
{
    pending_done(WH_CONTAINER_OF(op, struct pending, subscribe), op->code);
}

/*
 * Every SDK offers compaction, but the official JavaScript one in Protobuf reads the number as a
 * Long object and then finds no subscription under it: pushes would vanish.  So never there.
 */
static bool may_be_compact(const struct session *session, const struct wh_subscribe_request *wish)
{
    return (wish->flag & FLAG_COMPACTION) != 0 && session->encoding != WH_ENCODING_PROTOBUF;
}

static bool allows_fossil(const struct channel_options *options)
{
    const struct string_list *types = &options->allowed_delta_types;
    for (size_t i = 0; i < types->count; i++)
        if (strcmp(types->items[i], delta_type) == 0)
            return true;
    return false;
}

static struct subscribe_request make_request(const struct session *session,
                                             const struct wh_subscribe_request *wish,
                                             const struct channel_options *options,
                                             const struct token_claims *claims)
{
    struct subscribe_grant grant = subscribe_grant(session, options, wish);
    bool is_cached = options->force_recovery_mode == RECOVERY_CACHE && options->auto_cache_recover;
    struct subscribe_request request = {
        .channel = wish->channel,
        .is_compact = may_be_compact(session, wish),
        .recover = wish->recover || is_cached,
        .tags_filter = wish->tf,
        .must_recover = (wish->flag & FLAG_MUST_RECOVER) != 0,
        .offset = wish->offset,
        .epoch = wish->epoch,
        .expire_at = claims->expire_at,
        .chan_info = claims->info,
        .data = claims->data,
    };
    subscribe_decide(&request, options, &grant, &claims->override);
    request.has_deltas = wish->delta.len > 0 && request.positioned &&
                         delta_view_is_offered(session->encoding) && allows_fossil(options);
    return request;
}

void command_subscribe(struct session *session, const struct wh_command *command)
{
    const struct wh_subscribe_request *wish = command->subscribe;
    const struct channel_options *options = NULL;
    struct token_claims claims = {0};
    if (wish->channel.len == 0) {
        session_close(session, WH_DISCONNECT_BAD_REQUEST);
        return;
    }
    enum wh_code code = admit(session, wish, &options, &claims);
    struct pending *pending = NULL;
    if (code == WH_NO_ERROR) {
        pending = pending_new(session, PENDING_SUBSCRIBE, command->id, answer_subscribe);
        if (pending == NULL)
            code = WH_ERROR_INTERNAL;
    }
    if (code != WH_NO_ERROR) {
        command_fail_in_order(session, PENDING_SUBSCRIBE, command->id, code);
        return;
    }
    struct subscribe_request request = make_request(session, wish, options, &claims);
    pending->clean_up = end_op;
    subscribe_start(&pending->subscribe, session, &request, on_ready);
    if (pending->subscribe.is_ready)
        pending_done(pending, pending->subscribe.code);
}

void command_unsubscribe(struct session *session, const struct wh_command *command)
{
    struct wh_slice channel = command->unsubscribe->channel;
    struct wh_empty result = {0};
    if (channel.len == 0) {
        session_close(session, WH_DISCONNECT_BAD_REQUEST);
        return;
    }
    struct subscription *subscription = registry_find(&session->node->registry, session, channel);
    if (subscription)
        subscription_end(subscription, 0);
    session_reply(session, &(struct wh_reply){.id = command->id, .unsubscribe = &result});
}

void command_sub_refresh(struct session *session, const struct wh_command *command)
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
    if (request->type != TYPE_STREAM)
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
        subscription_set_info(subscription, claims.info))
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
        result.ttl = (uint32_t)command_lifetime_s(claims.expire_at);
    }
    session_reply(session, &(struct wh_reply){.id = command->id, .sub_refresh = &result});
}
