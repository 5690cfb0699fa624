/*
 * What the API asks of nodes: verbs on the connections of a user wherever
 * they are, what there is over all nodes, tokens that every node must refuse.
 */
#include "hub/api_internal.h"

#include "common/base/clock.h"
#include "common/protocol/copy.h"
#include "hub/control.h"
#include "hub/revocations.h"

enum { CODE_MIN = 3000, CODE_MAX = 4999, REASON_MAX = 123 };

static void on_verb_done(void *user, enum wh_code code, size_t silent)
{
    (void)silent; /* a node that did not answer may not have done it: that is an error */
    api_finish(user, code);
}

static void ask(struct api_call *call, const struct control_question *question)
{
    control_ask(call->node->control, question, NULL, on_verb_done, call);
}

/* Whose connections: "" is everybody without a name, so it is taken only with a client. */
static bool names_somebody(struct wh_slice user, struct wh_slice client)
{
    return user.len > 0 || client.len > 0;
}

static struct wh_slice present(struct wh_slice text)
{
    return text.ptr ? text : WH_SLICE_LITERAL("");
}

/* Users */

static enum wh_code resolve(struct api_call *call, struct wh_slice channel)
{
    const struct channel_options *options;
    return channel_resolve(call->node->rules, channel, &options);
}

void api_subscribe(struct api_call *call)
{
    struct api_subscribe_request *request = call->request;
    enum wh_code code = resolve(call, request->channel);
    if (code == WH_NO_ERROR &&
        (!names_somebody(request->user, request->client) || request->expire_at < 0))
        code = WH_ERROR_BAD_REQUEST;
    if (code == WH_NO_ERROR && request->expire_at && request->expire_at <= wh_clock_wall_s())
        code = WH_ERROR_EXPIRED;
    if (code == WH_NO_ERROR)
        code = api_choose_payload(&call->arena, request->b64info, &request->info);
    if (code == WH_NO_ERROR)
        code = api_choose_payload(&call->arena, request->b64data, &request->data);
    if (code != WH_NO_ERROR) {
        api_finish(call, code);
        return;
    }
    request->b64info = request->b64data = WH_SLICE_ABSENT;
    request->user = present(request->user);
    ask(call, &(struct control_question){.subscribe = request});
}

void api_unsubscribe(struct api_call *call)
{
    struct api_unsubscribe_request *request = call->request;
    enum wh_code code = resolve(call, request->channel);
    if (code == WH_NO_ERROR && !names_somebody(request->user, request->client))
        code = WH_ERROR_BAD_REQUEST;
    if (code != WH_NO_ERROR)
        api_finish(call, code);
    else
        ask(call, &(struct control_question){.unsubscribe = request});
}

static bool is_valid_disconnect(const struct api_disconnect *disconnect)
{
    return disconnect == NULL || disconnect->code == 0 ||
           (disconnect->code >= CODE_MIN && disconnect->code <= CODE_MAX &&
            disconnect->reason.len <= REASON_MAX);
}

void api_disconnect(struct api_call *call)
{
    struct api_disconnect_request *request = call->request;
    if (!names_somebody(request->user, request->client) ||
        !is_valid_disconnect(request->disconnect))
        api_finish(call, WH_ERROR_BAD_REQUEST);
    else
        ask(call, &(struct control_question){.disconnect = request});
}

void api_refresh(struct api_call *call)
{
    struct api_refresh_request *request = call->request;
    if (!names_somebody(request->user, request->client) || request->expire_at < 0)
        api_finish(call, WH_ERROR_BAD_REQUEST);
    else
        ask(call, &(struct control_question){.refresh = request});
}

/* Everything there is */

struct found_channel {
    struct wh_slice name;
    uint32_t num_clients;
};

struct listing {
    struct api_call *call;
    struct wh_map by_name; /* struct found_channel in the arena */
    bool is_incomplete;    /* out of memory */
};

static void add_channel(struct listing *listing, struct wh_slice name, uint32_t num_clients)
{
    struct wh_arena *arena = &listing->call->arena;
    struct found_channel *found = wh_map_get(&listing->by_name, name);
    if (found == NULL) {
        found = wh_arena_alloc(arena, sizeof(*found));
        if (found)
            found->name = wh_arena_copy(arena, name);
        if (found == NULL || found->name.ptr == NULL ||
            wh_map_add(&listing->by_name, found->name, found)) {
            listing->is_incomplete = true;
            return;
        }
    }
    found->num_clients += num_clients;
}

static void on_channels(void *user, const struct control_answer *answer)
{
    struct listing *listing = user;
    for (size_t i = 0; answer->channels && i < answer->channels->channels.count; i++)
        add_channel(listing, answer->channels->channels.keys[i],
                    answer->channels->channels.values[i].num_clients);
}

static void on_channels_done(void *user, enum wh_code code, size_t silent)
{
    struct listing *listing = user;
    struct api_call *call = listing->call;
    struct api_channels_result result = {0};
    size_t max = listing->by_name.count, cursor = 0, count = 0;
    struct wh_slice *keys = wh_arena_alloc_array(&call->arena, max, sizeof(*keys));
    struct api_channel_info *values = wh_arena_alloc_array(&call->arena, max, sizeof(*values));
    const struct found_channel *found;
    while (keys && values && (found = wh_map_next(&listing->by_name, &cursor)) != NULL) {
        keys[count] = found->name;
        values[count++].num_clients = found->num_clients;
    }
    wh_map_deinit(&listing->by_name);
    result.channels.keys = keys;
    result.channels.values = values;
    result.channels.count = count;
    bool has_failed = code != WH_NO_ERROR && (silent == 0 || count == 0);
    if (has_failed || listing->is_incomplete || keys == NULL || values == NULL)
        api_finish(call, WH_ERROR_INTERNAL);
    else
        api_succeed(call, &result);
}

void api_channels(struct api_call *call)
{
    struct listing *listing = wh_arena_alloc(&call->arena, sizeof(*listing));
    if (listing == NULL) {
        api_finish(call, WH_ERROR_INTERNAL);
        return;
    }
    listing->call = call;
    control_ask(call->node->control, &(struct control_question){.channels = call->request},
                on_channels, on_channels_done, listing);
}

struct node_entry {
    struct api_node node;
    struct node_entry *next;
};

struct roll_call {
    struct api_call *call;
    struct node_entry *first;
    size_t count;
};

static void on_node(void *user, const struct control_answer *answer)
{
    struct roll_call *roll = user;
    struct wh_arena *arena = &roll->call->arena;
    struct node_entry *entry = wh_arena_alloc(arena, sizeof(*entry));
    if (answer->node == NULL || entry == NULL ||
        wh_copy(&api_node_schema, answer->node, arena, &entry->node))
        return;
    entry->next = roll->first;
    roll->first = entry;
    roll->count++;
}

static void on_roll_called(void *user, enum wh_code code, size_t silent)
{
    struct roll_call *roll = user;
    struct api_call *call = roll->call;
    struct api_info_result result = {0};
    struct api_node *items = wh_arena_alloc_array(&call->arena, roll->count, sizeof(*items));
    (void)code; /* a node that is silent is left out */
    (void)silent;
    for (struct node_entry *entry = roll->first; items && entry; entry = entry->next)
        items[result.nodes.count++] = entry->node;
    result.nodes.items = items;
    if (items == NULL || roll->count == 0)
        api_finish(call, WH_ERROR_INTERNAL);
    else
        api_succeed(call, &result);
}

void api_info(struct api_call *call)
{
    struct wh_empty nothing = {0};
    struct roll_call *roll = wh_arena_alloc(&call->arena, sizeof(*roll));
    if (roll == NULL) {
        api_finish(call, WH_ERROR_INTERNAL);
        return;
    }
    roll->call = call;
    control_ask(call->node->control, &(struct control_question){.info = &nothing}, on_node,
                on_roll_called, roll);
}

/* Tokens: written down first, so that a node that starts now learns of it, then told to all */

static void tell_all_of_token(void *user, enum wh_err err)
{
    struct api_call *call = user;
    if (err)
        api_finish(call, WH_ERROR_INTERNAL);
    else
        ask(call, &(struct control_question){.revoke_token = call->request});
}

static void tell_all_of_user(void *user, enum wh_err err)
{
    struct api_call *call = user;
    if (err)
        api_finish(call, WH_ERROR_INTERNAL);
    else
        ask(call, &(struct control_question){.invalidate_user_tokens = call->request});
}

static void write_down(struct api_call *call,
                       char kind,
                       struct wh_slice id,
                       int64_t expire_at,
                       int64_t issued_before,
                       broker_done *done)
{
    if (call->node->config->engine.type == ENGINE_REDIS)
        revocations_store(call->node->broker, kind, id, expire_at, issued_before, done, call);
    else
        done(call, WH_OK);
}

static bool is_end(int64_t expire_at)
{
    return expire_at == 0 || expire_at > wh_clock_wall_s();
}

void api_revoke_token(struct api_call *call)
{
    struct api_revoke_token_request *request = call->request;
    if (!is_end(request->expire_at))
        api_finish(call, WH_ERROR_BAD_REQUEST);
    else if (revocations_add_token(call->node->revocations, request))
        api_finish(call, WH_ERROR_INTERNAL);
    else
        write_down(call, 't', request->uid, request->expire_at, 0, tell_all_of_token);
}

void api_invalidate_user_tokens(struct api_call *call)
{
    struct api_invalidate_user_tokens_request *request = call->request;
    if (request->issued_before == 0)
        request->issued_before = wh_clock_wall_s();
    if (!is_end(request->expire_at) || request->issued_before < 0)
        api_finish(call, WH_ERROR_BAD_REQUEST);
    else if (revocations_add_user(call->node->revocations, request))
        api_finish(call, WH_ERROR_INTERNAL);
    else
        write_down(call, 'u', request->user, request->expire_at, request->issued_before,
                   tell_all_of_user);
}
