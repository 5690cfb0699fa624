/*
 * One message format for all: who sent it, and one of greeting, question and
 * answer.  A message that cannot be read is dropped and counted in the log:
 * it comes from another version, which knows more than this one.
 *
 * A call keeps a list of the nodes that have not answered.  A node that says
 * goodbye, or is forgotten, is waited for no longer: its connections are gone.
 */
#include "hub/control.h"

#include "common/base/alloc.h"
#include "common/base/log.h"
#include "common/protocol/wire.h"
#include "hub/glob.h"
#include "hub/node_users.h"
#include "hub/revocations.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>
#include <wh_version.h>

enum { NODE_ID_LEN = 36, NAME_MAX_LEN = 128, CALLS_MAX = 4096 };

/* Format */

struct control_hello {
    bool is_new; /* say hello at once, I know nobody yet */
};

struct control_message {
    struct wh_slice from;
    uint64_t call; /* of a question and of its answers */
    struct control_hello *hello;
    struct wh_empty *goodbye;
    struct control_question *question;
    struct control_answer *answer;
};

/* clang-format off */
#define FIELD(n, tag, member, type)         {#member, n, WH_FIELD_##type, WH_OMIT_ZERO, offsetof(struct tag, member), NULL}
#define NESTED(n, tag, member, type, inner) {#member, n, WH_FIELD_##type, WH_OMIT_ZERO, offsetof(struct tag, member), &inner##_schema}
#define SCHEMA(tag) static const struct wh_schema tag##_schema = {#tag, sizeof(struct tag), tag##_fields, sizeof(tag##_fields) / sizeof(tag##_fields[0])}

static const struct wh_field control_hello_fields[] = {
    FIELD(1, control_hello, is_new, BOOL),
};
SCHEMA(control_hello);

static const struct wh_field control_question_fields[] = {
    NESTED(1, control_question, disconnect, MESSAGE, api_disconnect_request),
    NESTED(2, control_question, unsubscribe, MESSAGE, api_unsubscribe_request),
    NESTED(3, control_question, subscribe, MESSAGE, api_subscribe_request),
    NESTED(4, control_question, refresh, MESSAGE, api_refresh_request),
    NESTED(5, control_question, revoke_token, MESSAGE, api_revoke_token_request),
    NESTED(6, control_question, invalidate_user_tokens, MESSAGE, api_invalidate_user_tokens_request),
    NESTED(7, control_question, channels, MESSAGE, api_channels_request),
    NESTED(8, control_question, info, MESSAGE, api_empty),
};
SCHEMA(control_question);

static const struct wh_field control_channels_fields[] = {
    NESTED(1, control_channels, channels, MESSAGE_MAP, api_channel_info),
};
SCHEMA(control_channels);

static const struct wh_field control_answer_fields[] = {
    FIELD(1, control_answer, code, U32),
    NESTED(2, control_answer, node, MESSAGE, api_node),
    NESTED(3, control_answer, channels, MESSAGE, control_channels),
};
SCHEMA(control_answer);

static const struct wh_field control_message_fields[] = {
    FIELD(1, control_message, from, STRING),
    FIELD(2, control_message, call, U64),
    NESTED(3, control_message, hello, MESSAGE, control_hello),
    NESTED(4, control_message, goodbye, MESSAGE, api_empty),
    NESTED(5, control_message, question, MESSAGE, control_question),
    NESTED(6, control_message, answer, MESSAGE, control_answer),
};
SCHEMA(control_message);
/* clang-format on */

/* State */

/* Another node. */
struct peer {
    struct wh_list link;
    char id[NODE_ID_LEN + 1];
    uint64_t heard_ms;
};

struct call {
    struct wh_list link; /* control->calls */
    struct control *control;
    uint64_t id;
    struct wh_timer timer;
    enum wh_code code;
    control_answered *answered;
    control_done *done;
    void *user;
    size_t left;                      /* how many of the following are still waited for */
    char (*waiting)[NODE_ID_LEN + 1]; /* "" = answered */
    size_t count;
};

struct control {
    struct node *node;
    struct wh_timer hello_timer;
    struct wh_list peers;
    size_t peer_count;
    struct wh_list calls;
    size_t call_count;
    uint64_t call_ids;
    uint64_t started_ms;
    char name[NAME_MAX_LEN];
    bool has_left;
    bool is_closing;
};

/* Sending */

static enum wh_err encode(struct control *control,
                          struct control_message *message,
                          struct wh_buf *out)
{
    message->from = wh_slice_from_str(control->node->id);
    wh_buf_init(out, CONTROL_ANSWER_BYTES_MAX);
    wh_wire_encode_message(&control_message_schema, message, out);
    return wh_buf_error(out);
}

static void send_message(struct control *control,
                         struct wh_slice to,
                         struct control_message *message,
                         broker_done *done,
                         void *user)
{
    struct broker *broker = control->node->broker;
    struct wh_buf bytes;
    enum wh_err err = encode(control, message, &bytes);
    if (err == WH_OK)
        broker->ops->control(broker, to, wh_buf_slice(&bytes), done, user);
    else
        wh_log(WH_LOG_WARN, "control", "message_too_large", "error=%s", wh_err_name(err));
    wh_buf_deinit(&bytes);
    if (err && done)
        done(user, err);
}

static void say_hello(struct control *control, bool is_new)
{
    struct control_hello hello = {.is_new = is_new};
    send_message(control, WH_SLICE_LITERAL(""), &(struct control_message){.hello = &hello}, NULL,
                 NULL);
}

/* Calls */

static void finish(struct call *call)
{
    struct control *control = call->control;
    size_t silent = call->left;
    if (silent > 0 && call->code == WH_NO_ERROR)
        call->code = WH_ERROR_INTERNAL;
    wh_list_remove(&call->link);
    control->call_count--;
    wh_loop_timer_stop(control->node->loop, &call->timer);
    call->done(call->user, call->code, silent);
    wh_free(call->waiting);
    wh_free(call);
}

static void on_call_timeout(struct wh_timer *timer)
{
    struct call *call = WH_CONTAINER_OF(timer, struct call, timer);
    static struct wh_log_limit limit;
    for (size_t i = 0; i < call->count; i++)
        if (call->waiting[i][0])
            wh_log_limited(&limit, WH_LOG_WARN, "control", "node_silent", "node=%s",
                           call->waiting[i]);
    finish(call);
}

static struct call *find_call(struct control *control, uint64_t id)
{
    WH_LIST_EACH(link, &control->calls)
    {
        struct call *call = WH_CONTAINER_OF(link, struct call, link);
        if (call->id == id)
            return call;
    }
    return NULL;
}

/* True when `node` was waited for. */
static bool strike_off(struct call *call, struct wh_slice node)
{
    for (size_t i = 0; i < call->count; i++) {
        if (call->waiting[i][0] && wh_slice_equal_str(node, call->waiting[i])) {
            call->waiting[i][0] = '\0';
            call->left--;
            return true;
        }
    }
    return false;
}

static void take_answer(struct control *control, const struct control_message *message)
{
    struct call *call = find_call(control, message->call);
    if (call == NULL || !strike_off(call, message->from))
        return; /* too late, or of a node that was not known when it was asked */
    if (call->code == WH_NO_ERROR)
        call->code = (enum wh_code)message->answer->code;
    if (message->answer->code == 0 && call->answered)
        call->answered(call->user, message->answer);
    if (call->left == 0)
        finish(call);
}

static struct call *call_new(struct control *control)
{
    struct call *call = wh_calloc(1, sizeof(*call));
    char(*waiting)[NODE_ID_LEN + 1] = wh_calloc(control->peer_count + 1, sizeof(*waiting));
    if (call == NULL || waiting == NULL) {
        wh_free(call);
        wh_free(waiting);
        return NULL;
    }
    call->control = control;
    call->id = ++control->call_ids;
    call->waiting = waiting;
    memcpy(waiting[call->count++], control->node->id, NODE_ID_LEN);
    WH_LIST_EACH(link, &control->peers)
    memcpy(waiting[call->count++], WH_CONTAINER_OF(link, struct peer, link)->id, NODE_ID_LEN);
    call->left = call->count;
    wh_timer_init(&call->timer, on_call_timeout);
    wh_list_push_back(&control->calls, &call->link);
    control->call_count++;
    return call;
}

/* A question under way, whose call may be over when the broker says how it went. */
struct asking {
    struct control *control;
    uint64_t call;
};

static void on_question_sent(void *user, enum wh_err err)
{
    struct asking *asking = user;
    struct call *call = err == WH_ECLOSED ? NULL : find_call(asking->control, asking->call);
    if (call && err) /* nobody will answer: no use to wait */
        wh_loop_timer_start(asking->control->node->loop, &call->timer, 0);
    wh_free(asking);
}

void control_ask(struct control *control,
                 const struct control_question *question,
                 control_answered *answered,
                 control_done *done,
                 void *user)
{
    struct control_question copy = *question;
    bool is_refused = control->is_closing || control->call_count >= CALLS_MAX;
    struct asking *asking = is_refused ? NULL : wh_calloc(1, sizeof(*asking));
    struct call *call = asking ? call_new(control) : NULL;
    if (call == NULL) {
        wh_free(asking);
        done(user, WH_ERROR_INTERNAL, 0);
        return;
    }
    call->answered = answered;
    call->done = done;
    call->user = user;
    *asking = (struct asking){control, call->id};
    wh_loop_timer_start(control->node->loop, &call->timer,
                        copy.subscribe ? CONTROL_SUBSCRIBE_TIMEOUT_MS : CONTROL_TIMEOUT_MS);
    send_message(control, WH_SLICE_LITERAL(""),
                 &(struct control_message){.call = call->id, .question = &copy}, on_question_sent,
                 asking);
}

/* Answering */

static void answer(struct control *control,
                   struct wh_slice to,
                   uint64_t call,
                   struct control_answer *answer)
{
    send_message(control, to, &(struct control_message){.call = call, .answer = answer}, NULL,
                 NULL);
}

/* A subscribe is answered when all its connections are through. */
struct subscribing {
    struct control *control;
    uint64_t call;
    char from[NODE_ID_LEN + 1];
};

static void on_subscribed(void *user, enum wh_code code)
{
    struct subscribing *subscribing = user;
    struct control_answer result = {.code = code};
    if (!subscribing->control->is_closing)
        answer(subscribing->control, wh_slice_from_str(subscribing->from), subscribing->call,
               &result);
    wh_free(subscribing);
}

static void start_subscribe(struct control *control, const struct control_message *message)
{
    struct subscribing *subscribing = wh_calloc(1, sizeof(*subscribing));
    WH_ASSERT(subscribing != NULL);
    subscribing->control = control;
    subscribing->call = message->call;
    memcpy(subscribing->from, message->from.ptr, NODE_ID_LEN);
    node_subscribe_user(control->node, message->question->subscribe, on_subscribed, subscribing);
}

static void describe(struct control *control, struct api_node *out_node)
{
    struct node *node = control->node;
    *out_node = (struct api_node){
        .uid = wh_slice_from_str(node->id),
        .name = wh_slice_from_str(control->name),
        .version = WH_SLICE_LITERAL(WH_VERSION),
        .uptime = (uint32_t)((wh_loop_now_ms(node->loop) - control->started_ms) / 1000),
    };
    node_count(node, out_node);
}

static enum wh_err list_channels(struct node *node,
                                 struct wh_slice pattern,
                                 struct wh_arena *arena,
                                 struct control_channels *out)
{
    size_t max = node->registry.channels.count;
    struct wh_slice *keys = wh_arena_alloc_array(arena, max, sizeof(*keys));
    struct api_channel_info *values = wh_arena_alloc_array(arena, max, sizeof(*values));
    const struct channel *channel;
    size_t cursor = 0, count = 0;
    if (keys == NULL || values == NULL)
        return WH_ENOMEM;
    while ((channel = wh_map_next(&node->registry.channels, &cursor)) != NULL) {
        uint32_t subscribers = registry_count(channel);
        if (subscribers == 0 || (pattern.len > 0 && !glob_matches(pattern, channel->name)))
            continue;
        keys[count] = channel->name;
        values[count++].num_clients = subscribers;
    }
    out->channels.keys = keys;
    out->channels.values = values;
    out->channels.count = count;
    return WH_OK;
}

static void answer_info(struct control *control, const struct control_message *message)
{
    struct api_node self;
    describe(control, &self);
    answer(control, message->from, message->call, &(struct control_answer){.node = &self});
}

static void answer_channels(struct control *control, const struct control_message *message)
{
    struct wh_arena arena = {0};
    struct control_channels channels = {0};
    struct control_answer result = {.channels = &channels};
    if (list_channels(control->node, message->question->channels->pattern, &arena, &channels))
        result = (struct control_answer){.code = WH_ERROR_INTERNAL};
    answer(control, message->from, message->call, &result);
    wh_arena_deinit(&arena);
}

static uint32_t code_of(enum wh_err err)
{
    return err ? WH_ERROR_INTERNAL : WH_NO_ERROR;
}

static void take_question(struct control *control, const struct control_message *message)
{
    const struct control_question *question = message->question;
    struct node *node = control->node;
    struct control_answer done = {0};
    if (question->info) {
        answer_info(control, message);
        return;
    }
    if (question->channels) {
        answer_channels(control, message);
        return;
    }
    if (question->subscribe) {
        start_subscribe(control, message);
        return;
    }
    if (question->disconnect)
        node_disconnect_user(node, question->disconnect);
    else if (question->unsubscribe)
        node_unsubscribe_user(node, question->unsubscribe);
    else if (question->refresh)
        node_refresh_user(node, question->refresh);
    else if (question->revoke_token)
        done.code = code_of(revocations_add_token(node->revocations, question->revoke_token));
    else if (question->invalidate_user_tokens)
        done.code =
            code_of(revocations_add_user(node->revocations, question->invalidate_user_tokens));
    else
        done.code = WH_ERROR_METHOD_NOT_FOUND; /* of a newer version */
    answer(control, message->from, message->call, &done);
}

/* Who is there */

static struct peer *find_peer(struct control *control, struct wh_slice id)
{
    WH_LIST_EACH(link, &control->peers)
    {
        struct peer *peer = WH_CONTAINER_OF(link, struct peer, link);
        if (wh_slice_equal_str(id, peer->id))
            return peer;
    }
    return NULL;
}

static void remember(struct control *control, struct wh_slice id)
{
    struct peer *peer = find_peer(control, id);
    if (peer == NULL) {
        peer = wh_calloc(1, sizeof(*peer));
        if (peer == NULL)
            return;
        memcpy(peer->id, id.ptr, NODE_ID_LEN);
        wh_list_push_back(&control->peers, &peer->link);
        control->peer_count++;
        wh_log(WH_LOG_DEBUG, "control", "node_found", "node=%s", peer->id);
    }
    peer->heard_ms = wh_loop_now_ms(control->node->loop);
}

static void forget(struct control *control, struct peer *peer)
{
    wh_log(WH_LOG_DEBUG, "control", "node_gone", "node=%s", peer->id);
    wh_list_remove(&peer->link);
    control->peer_count--;
    WH_LIST_EACH(link, &control->calls)
    {
        struct call *call = WH_CONTAINER_OF(link, struct call, link);
        if (strike_off(call, wh_slice_from_str(peer->id)) && call->left == 0)
            finish(call);
    }
    wh_free(peer);
}

static void on_hello_timer(struct wh_timer *timer)
{
    struct control *control = WH_CONTAINER_OF(timer, struct control, hello_timer);
    uint64_t now = wh_loop_now_ms(control->node->loop);
    WH_LIST_EACH(link, &control->peers)
    {
        struct peer *peer = WH_CONTAINER_OF(link, struct peer, link);
        if (now - peer->heard_ms > CONTROL_FORGET_MS)
            forget(control, peer);
    }
    say_hello(control, false);
    wh_loop_timer_start(control->node->loop, timer, CONTROL_HELLO_MS);
}

void control_link_returned(struct control *control)
{
    if (control->has_left)
        return;
    say_hello(control, true);
    wh_loop_timer_start(control->node->loop, &control->hello_timer, CONTROL_HELLO_MS);
}

/* Receiving */

static void dispatch(struct control *control, const struct control_message *message)
{
    bool is_own = wh_slice_equal_str(message->from, control->node->id);
    struct peer *peer = NULL;
    if (!is_own && message->goodbye == NULL)
        remember(control, message->from);
    if (message->hello && message->hello->is_new && !is_own && !control->has_left)
        say_hello(control, false);
    else if (message->goodbye && (peer = find_peer(control, message->from)) != NULL)
        forget(control, peer);
    else if (message->question)
        take_question(control, message);
    else if (message->answer)
        take_answer(control, message);
}

void control_receive(struct control *control, struct wh_slice bytes)
{
    struct wh_arena arena = {0};
    struct control_message message = {0};
    if (control->is_closing)
        return;
    enum wh_err err = wh_wire_decode_message(&control_message_schema, bytes, &arena, &message);
    if (err == WH_OK && message.from.len == NODE_ID_LEN) {
        dispatch(control, &message);
    } else {
        static struct wh_log_limit limit;
        wh_log_limited(&limit, WH_LOG_WARN, "control", "message_unreadable", "bytes=%zu",
                       bytes.len);
    }
    wh_arena_deinit(&arena);
}

/* Life */

enum wh_err control_new(struct node *node, struct control **out_control)
{
    struct control *control = wh_calloc(1, sizeof(*control));
    char host[64] = "";
    if (control == NULL)
        return WH_ENOMEM;
    control->node = node;
    control->started_ms = wh_loop_now_ms(node->loop);
    (void)gethostname(host, sizeof(host) - 1);
    snprintf(control->name, sizeof(control->name), "%s_%d", host, (int)getpid());
    wh_list_init(&control->peers);
    wh_list_init(&control->calls);
    wh_timer_init(&control->hello_timer, on_hello_timer);
    wh_loop_timer_start(node->loop, &control->hello_timer, CONTROL_HELLO_MS);
    *out_control = control;
    return WH_OK;
}

bool control_leave(struct control *control)
{
    struct wh_empty nothing = {0};
    if (control->has_left)
        return false;
    control->has_left = true;
    wh_loop_timer_stop(control->node->loop, &control->hello_timer);
    send_message(control, WH_SLICE_LITERAL(""), &(struct control_message){.goodbye = &nothing},
                 NULL, NULL);
    return true;
}

void control_close(struct control *control)
{
    (void)control_leave(control);
    control->is_closing = true;
    while (!wh_list_is_empty(&control->calls))
        finish(WH_CONTAINER_OF(control->calls.next, struct call, link));
    while (!wh_list_is_empty(&control->peers)) {
        struct wh_list *link = wh_list_pop_front(&control->peers);
        wh_free(WH_CONTAINER_OF(link, struct peer, link));
    }
}

void control_free(struct control *control)
{
    if (control)
        wh_loop_timer_stop(control->node->loop, &control->hello_timer);
    wh_free(control);
}
