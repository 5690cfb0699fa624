/*
 * A walk over user->sessions ends or changes some of them.  Closing a session
 * takes it off the list, and with the last one the user is gone too, so the
 * next is found before the present one is touched.
 */
#include "hub/node_users.h"

#include "common/base/alloc.h"
#include "common/base/base64.h"
#include "common/base/clock.h"
#include "hub/command.h"
#include "hub/session.h"
#include "hub/subscribe.h"

struct filter {
    struct wh_slice user;
    struct wh_slice client;
    struct wh_slice session;
    struct wh_strings whitelist;
};

static bool is_listed(struct wh_strings list, struct wh_slice text)
{
    for (size_t i = 0; i < list.count; i++)
        if (wh_slice_equal(list.items[i], text))
            return true;
    return false;
}

static bool is_meant(const struct filter *filter, const struct session *session)
{
    struct wh_slice id = wh_slice_from_str(session->id);
    if (filter->session.len > 0 || is_listed(filter->whitelist, id))
        return false;
    return filter->client.len == 0 || wh_slice_equal(filter->client, id);
}

/* Collected first, because what is done to one session may end it or others. */
struct found {
    struct session **items;
    size_t count;
};

static struct found find(struct node *node, const struct filter *filter)
{
    struct user *user = wh_map_get(&node->registry.users, filter->user);
    struct found found = {0};
    if (user == NULL)
        return found;
    found.items = wh_calloc(user->session_count, sizeof(found.items[0]));
    WH_ASSERT(found.items != NULL); /* a program stops when out of memory */
    WH_LIST_EACH(link, &user->sessions)
    {
        struct session *session = WH_CONTAINER_OF(link, struct session, user_link);
        if (is_meant(filter, session))
            found.items[found.count++] = session;
    }
    return found;
}

void node_disconnect_user(struct node *node, const struct api_disconnect_request *request)
{
    struct filter filter = {request->user, request->client, request->session, request->whitelist};
    struct found found = find(node, &filter);
    uint32_t code = WH_DISCONNECT_FORCE;
    struct wh_slice reason = {0};
    if (request->disconnect && request->disconnect->code) {
        code = request->disconnect->code;
        reason = request->disconnect->reason;
    }
    for (size_t i = 0; i < found.count; i++)
        session_close_with(found.items[i], code, reason);
    wh_free(found.items);
}

void node_unsubscribe_user(struct node *node, const struct api_unsubscribe_request *request)
{
    struct filter filter = {
        .user = request->user, .client = request->client, .session = request->session};
    struct found found = find(node, &filter);
    for (size_t i = 0; i < found.count; i++) {
        struct subscription *subscription =
            registry_find(&node->registry, found.items[i], request->channel);
        if (subscription && subscription->state == SUBSCRIPTION_ACTIVE)
            subscription_end(subscription, WH_UNSUBSCRIBE_SERVER);
    }
    wh_free(found.items);
}

static void refresh(struct session *session, const struct api_refresh_request *request)
{
    struct wh_refresh_push push = {0};
    if (wh_payload_is_present(request->info) &&
        command_keep_payload(&session->conn_info, request->info)) {
        session_close(session, WH_DISCONNECT_SERVER_ERROR);
        return;
    }
    session->expire_at = request->expire_at;
    session_reschedule(session);
    if (request->expire_at) {
        push.expires = true;
        push.ttl = (uint32_t)command_lifetime_s(request->expire_at);
    }
    session_push(session, &(struct wh_push){.refresh = &push});
}

void node_refresh_user(struct node *node, const struct api_refresh_request *request)
{
    struct filter filter = {
        .user = request->user, .client = request->client, .session = request->session};
    bool is_over =
        request->expired || (request->expire_at && command_lifetime_s(request->expire_at) <= 0);
    struct found found = find(node, &filter);
    for (size_t i = 0; i < found.count; i++) {
        if (is_over)
            session_close(found.items[i], WH_DISCONNECT_EXPIRED);
        else if (found.items[i]->state == SESSION_READY)
            refresh(found.items[i], request);
    }
    wh_free(found.items);
}

/* subscribe */

struct subscribing {
    size_t left; /* sessions, and this walk itself */
    enum wh_code code;
    node_subscribed *done;
    void *user;
};

static void one_done(void *user, enum wh_code code)
{
    struct subscribing *subscribing = user;
    if (subscribing->code == WH_NO_ERROR)
        subscribing->code = code;
    if (--subscribing->left > 0)
        return;
    subscribing->done(subscribing->user, subscribing->code);
    wh_free(subscribing);
}

static struct token_override given(const struct api_bool *override)
{
    return (struct token_override){.is_set = override != NULL,
                                   .value = override && override->value};
}

static struct subscribe_request make_request(const struct api_subscribe_request *asked,
                                             const struct channel_options *options)
{
    static const struct api_override none;
    const struct api_override *api = asked->override ? asked->override : &none;
    struct token_overrides override = {
        .presence = given(api->presence),
        .join_leave = given(api->join_leave),
        .force_push_join_leave = given(api->force_push_join_leave),
        .force_positioning = given(api->force_positioning),
        .force_recovery = given(api->force_recovery),
    };
    struct subscribe_grant forced = {
        .positioned = options->force_positioning,
        .recoverable = options->force_recovery,
        .gets_joins = options->force_push_join_leave,
    };
    struct subscribe_request request = {
        .channel = asked->channel,
        .is_server_side = true,
        .expire_at = asked->expire_at,
        .chan_info = asked->info,
        .data = asked->data,
    };
    subscribe_decide(&request, options, &forced, &override);
    if (asked->recover_since) {
        request.recover = true;
        request.offset = asked->recover_since->offset;
        request.epoch = asked->recover_since->epoch;
    }
    return request;
}

void node_subscribe_user(struct node *node,
                         const struct api_subscribe_request *asked,
                         node_subscribed *done,
                         void *user)
{
    const struct channel_options *options;
    enum wh_code code = channel_resolve(node->rules, asked->channel, &options);
    struct subscribing *subscribing = wh_calloc(1, sizeof(*subscribing));
    if (code != WH_NO_ERROR || subscribing == NULL) {
        wh_free(subscribing);
        done(user, code != WH_NO_ERROR ? code : WH_ERROR_INTERNAL);
        return;
    }
    *subscribing = (struct subscribing){.left = 1, .done = done, .user = user};
    struct filter filter = {
        .user = asked->user, .client = asked->client, .session = asked->session};
    struct subscribe_request request = make_request(asked, options);
    struct found found = find(node, &filter);
    for (size_t i = 0; i < found.count; i++) {
        struct session *session = found.items[i];
        if (session->state != SESSION_READY ||
            registry_find(&node->registry, session, asked->channel))
            continue;
        subscribing->left++;
        command_server_subscribe(session, &request, one_done, subscribing);
    }
    wh_free(found.items);
    one_done(subscribing, WH_NO_ERROR);
}

/* Numbers */

void node_count(const struct node *node, struct api_node *out_node)
{
    out_node->num_clients = 0;
    out_node->num_subs = 0;
    WH_LIST_EACH(link, &node->sessions)
    {
        const struct session *session = WH_CONTAINER_OF(link, struct session, link);
        out_node->num_clients += session->state == SESSION_READY;
        out_node->num_subs += session->subscription_count;
    }
    out_node->num_users = (uint32_t)node->registry.users.count;
    out_node->num_channels = (uint32_t)node->registry.channels.count;
}
