/*
 * The broker as one node sees it: a connection for commands and one for
 * pub/sub, each a pair of pipes with delays of their own.  What is on its way
 * when a link breaks is lost, in either direction; the node notices later.
 *
 * The server's side is here too: whatever arrives is done at once, in one
 * step, and what must be passed on leaves in that order.
 */
#include "sim_internal.h"

#include <stdlib.h>
#include <string.h>

enum { CALL_TIMEOUT_MS = 2000, HISTORY_MAX = 64, SLOW_MS = 1000 };

enum call_kind { CALL_SUBSCRIBE, CALL_PUBLISH, CALL_JOIN, CALL_HISTORY, CALL_PLAIN, CALL_MEMBERS };

/* What the node waits for. */
struct call {
    struct wh_list link;
    uint64_t number;
    enum call_kind kind;
    int channel;
    uint64_t held_number; /* of a subscribe */
    broker_done *done;
    broker_published *published;
    broker_history_done *read;
    presence_members_done *members;
    presence_stats_done *stats;
    void *user;
};

/* A message on a link.  The node may have begun another life when it arrives. */
struct mail {
    int node;
    uint64_t life;
    uint64_t link; /* number */
    uint64_t call;
    enum call_kind kind;
    enum wh_err err;
    int channel;
    uint64_t number; /* of a subscribe or unsubscribe */
    uint32_t id;
    uint64_t history_size;
    struct broker_history_query query;
    uint64_t offset;
    char epoch[SIM_EPOCH_MAX];
    size_t count;
    uint32_t ids[HISTORY_MAX];
    uint64_t offsets[HISTORY_MAX];
    bool is_leave;
    char client[40];
};

static struct sim_broker *broker_of(struct broker *broker)
{
    return WH_CONTAINER_OF(broker, struct sim_broker, base);
}

static struct mail mail_for(const struct sim_broker *broker)
{
    return (struct mail){.node = broker->node->index, .life = broker->node->life};
}

static struct sim_broker *find_broker(struct sim *sim, const struct mail *mail)
{
    struct sim_node *node = &sim->nodes[mail->node];
    return node->is_running && !node->is_closed && node->life == mail->life ? node->broker : NULL;
}

/* Calls */

static struct call *add_call(struct sim_broker *broker, enum call_kind kind, void *user)
{
    struct call *call = calloc(1, sizeof(*call));
    WH_ASSERT(call != NULL);
    call->number = ++broker->call_count;
    call->kind = kind;
    call->user = user;
    wh_list_push_back(&broker->calls, &call->link);
    return call;
}

static struct call *find_call(struct sim_broker *broker, uint64_t number)
{
    WH_LIST_EACH(link, &broker->calls)
    {
        struct call *call = WH_CONTAINER_OF(link, struct call, link);
        if (call->number == number)
            return call;
    }
    return NULL;
}

static struct wh_pub publication(uint32_t id, char text[SIM_TEXT_MAX])
{
    sim_write_id(id, text);
    return (struct wh_pub){
        .data = {.kind = WH_PAYLOAD_JSON, .bytes = wh_slice_from_str(text)},
    };
}

static void answer_history(const struct call *call, const struct mail *mail)
{
    struct wh_pub pubs[HISTORY_MAX];
    char texts[HISTORY_MAX][SIM_TEXT_MAX];
    for (size_t i = 0; i < mail->count; i++) {
        pubs[i] = publication(mail->ids[i], texts[i]);
        pubs[i].offset = mail->offsets[i];
    }
    struct broker_history history = {
        .top = {mail->offset, wh_slice_from_str(mail->epoch)},
        .publications = pubs,
        .count = mail->count,
    };
    call->read(call->user, WH_OK, &history);
}

static void finish(struct sim_broker *broker, struct call *call, const struct mail *mail)
{
    enum wh_err err = mail->err;
    struct sim_node *node = broker->node;
    struct broker_position position = {mail->offset, wh_slice_from_str(mail->epoch)};
    wh_list_remove(&call->link);
    sim_trace(broker->sim, "node %d: call %u of kind %d gives %d", node->index,
              (unsigned)call->number, call->kind, err);
    if (call->done)
        call->done(call->user, err);
    if (call->published)
        call->published(call->user, err, err ? NULL : &position);
    if (call->read && err)
        call->read(call->user, err, NULL);
    else if (call->read)
        answer_history(call, mail);
    if (call->members)
        call->members(call->user, err, err ? NULL : &(struct presence_members){0});
    if (call->stats)
        call->stats(call->user, err, err ? NULL : &(struct presence_stats){0});
    free(call);
    sim_node_touched(node);
}

static void on_timeout(struct sim *sim, void *data)
{
    struct mail *mail = data;
    struct sim_broker *broker = find_broker(sim, mail);
    struct call *call = broker ? find_call(broker, mail->call) : NULL;
    if (call == NULL)
        return;
    if (call->kind == CALL_SUBSCRIBE && broker->held[call->channel].number == call->held_number) {
        broker->held[call->channel].is_held = false;
        broker->held[call->channel].is_confirmed = false;
    }
    finish(broker, call, mail);
}

/* The command link */

static void read_stream(struct sim *sim, struct mail *mail)
{
    struct sim_life *life = sim->server.streams[mail->channel];
    const struct broker_history_query *query = &mail->query;
    if (life == NULL)
        life = sim_begin_life(sim, mail->channel);
    mail->offset = life->top;
    memcpy(mail->epoch, life->epoch, SIM_EPOCH_MAX);
    uint64_t limit = query->limit < HISTORY_MAX ? query->limit : HISTORY_MAX;
    if (query->reverse) {
        uint64_t offset = life->top;
        if (query->has_since && query->since <= life->top)
            offset = query->since ? query->since - 1 : 0;
        for (; offset >= life->kept_from && offset > 0 && mail->count < limit; offset--) {
            mail->offsets[mail->count] = offset;
            mail->ids[mail->count++] = life->ids[offset - 1];
        }
        return;
    }
    uint64_t offset =
        query->has_since && query->since + 1 > life->kept_from ? query->since + 1 : life->kept_from;
    for (; offset <= life->top && mail->count < limit; offset++) {
        mail->offsets[mail->count] = offset;
        mail->ids[mail->count++] = life->ids[offset - 1];
    }
}

static void on_message(struct sim *sim, void *data)
{
    struct mail *mail = data;
    struct sim_broker *broker = find_broker(sim, mail);
    if (broker == NULL || mail->link != broker->pubsub.number)
        return;
    char text[SIM_TEXT_MAX];
    struct wh_slice channel = wh_slice_from_str(sim_channels[mail->channel].name);
    if (mail->kind == CALL_JOIN) {
        struct wh_info info = {.user = WH_SLICE_LITERAL("u"),
                               .client = wh_slice_from_str(mail->client)};
        broker->events.on_join(broker->events.user, channel, &info, mail->is_leave);
    } else {
        struct wh_pub pub = publication(mail->id, text);
        pub.offset = mail->offset;
        if (mail->offset)
            pub.epoch = wh_slice_from_str(mail->epoch);
        sim_trace(sim, "node %d: %s #%u offset %u %s", mail->node, sim_channels[mail->channel].name,
                  mail->id, (unsigned)mail->offset, mail->epoch);
        broker->events.on_publication(broker->events.user, channel, &pub, false);
    }
    sim_node_touched(broker->node);
}

static void pass_on(struct sim *sim, const struct mail *message)
{
    for (int i = 0; i < sim->node_count; i++) {
        struct sim_broker *broker = sim->nodes[i].broker;
        struct mail mail = *message;
        if (!sim->nodes[i].is_running || broker == NULL || !broker->at_server[message->channel])
            continue;
        mail.node = i;
        mail.life = sim->nodes[i].life;
        mail.link = broker->pubsub.number;
        sim_after(sim, sim_pipe_delay(sim, &broker->pubsub.back, sim_lag(sim)), on_message, &mail,
                  sizeof(mail));
    }
}

void sim_server_take(struct sim *sim, uint32_t id, uint64_t history_size)
{
    int channel = sim->server.publications[id].channel;
    struct mail message = {.kind = CALL_PUBLISH, .channel = channel, .id = id};
    sim_server_publish(sim, id, history_size);
    if (history_size) {
        message.offset = sim->server.streams[channel]->top;
        memcpy(message.epoch, sim->server.streams[channel]->epoch, SIM_EPOCH_MAX);
    }
    sim_trace(sim, "server: takes %s #%u offset %u %s", sim_channels[channel].name, id,
              (unsigned)message.offset, message.epoch);
    pass_on(sim, &message);
}

static void on_answer(struct sim *sim, void *data)
{
    struct mail *mail = data;
    struct sim_broker *broker = find_broker(sim, mail);
    struct call *call = broker ? find_call(broker, mail->call) : NULL;
    if (call && mail->link == broker->commands.number)
        finish(broker, call, mail);
}

static void on_command(struct sim *sim, void *data)
{
    struct mail *mail = data;
    struct sim_broker *broker = find_broker(sim, mail);
    if (broker == NULL || mail->link != broker->commands.number)
        return;
    switch (mail->kind) {
    case CALL_PUBLISH:
        sim_server_take(sim, mail->id, mail->history_size);
        if (mail->history_size) {
            mail->offset = sim->server.streams[mail->channel]->top;
            memcpy(mail->epoch, sim->server.streams[mail->channel]->epoch, SIM_EPOCH_MAX);
        }
        break;
    case CALL_JOIN:
        pass_on(sim, mail);
        break;
    case CALL_HISTORY:
        read_stream(sim, mail);
        break;
    case CALL_SUBSCRIBE:
    case CALL_PLAIN:
    case CALL_MEMBERS:
        break;
    }
    uint64_t delay_ms = sim_lag(sim) + sim_below(sim, broker->commands.slow_ms + 1);
    sim_after(sim, sim_pipe_delay(sim, &broker->commands.back, delay_ms), on_answer, mail,
              sizeof(*mail));
}

static void send_command(struct sim_broker *broker, struct call *call, struct mail *mail)
{
    struct sim *sim = broker->sim;
    mail->call = call->number;
    mail->kind = call->kind;
    sim_trace(sim, "node %d: call %u of kind %d for %s", mail->node, (unsigned)call->number,
              call->kind, sim_channels[mail->channel].name);
    struct mail timeout = mail_for(broker);
    timeout.call = call->number;
    timeout.err = WH_EUNAVAILABLE;
    bool is_refused = !broker->commands.is_up && sim_chance(sim, 50);
    sim_after(sim, is_refused ? sim_below(sim, 20) : CALL_TIMEOUT_MS, on_timeout, &timeout,
              sizeof(timeout));
    if (!broker->commands.is_up)
        return;
    mail->link = broker->commands.number;
    sim_after(sim, sim_pipe_delay(sim, &broker->commands.there, sim_lag(sim)), on_command, mail,
              sizeof(*mail));
}

/* The pub/sub link */

static void tell_state(struct sim_broker *broker)
{
    bool is_up = broker->pubsub.is_up && broker->commands.is_up && broker->is_restored;
    if (is_up == broker->is_told_up)
        return;
    broker->is_told_up = is_up;
    sim_trace(broker->sim, "node %d: broker is %s", broker->node->index, is_up ? "up" : "down");
    broker->events.on_state(broker->events.user, is_up, is_up ? "" : "cut");
    sim_node_touched(broker->node);
}

static struct call *find_subscribe(struct sim_broker *broker, int channel)
{
    WH_LIST_EACH(link, &broker->calls)
    {
        struct call *call = WH_CONTAINER_OF(link, struct call, link);
        if (call->kind == CALL_SUBSCRIBE && call->channel == channel)
            return call;
    }
    return NULL;
}

static void on_confirmed(struct sim *sim, void *data)
{
    struct mail *mail = data;
    struct sim_broker *broker = find_broker(sim, mail);
    if (broker == NULL || mail->link != broker->pubsub.number)
        return;
    struct sim_held *held = &broker->held[mail->channel];
    if (!held->is_held || held->number != mail->number)
        return;
    held->is_confirmed = true;
    mail->err = WH_OK;
    struct call *call;
    while ((call = find_subscribe(broker, mail->channel)) != NULL)
        finish(broker, call, mail);
}

static void on_subscribe(struct sim *sim, void *data)
{
    struct mail *mail = data;
    struct sim_broker *broker = find_broker(sim, mail);
    if (broker == NULL || mail->link != broker->pubsub.number)
        return;
    broker->at_server[mail->channel] = true;
    sim_after(sim, sim_pipe_delay(sim, &broker->pubsub.back, sim_lag(sim)), on_confirmed, mail,
              sizeof(*mail));
}

static void send_subscribe(struct sim_broker *broker, int channel)
{
    struct mail mail = mail_for(broker);
    mail.link = broker->pubsub.number;
    mail.channel = channel;
    mail.number = broker->held[channel].number;
    sim_after(broker->sim, sim_pipe_delay(broker->sim, &broker->pubsub.there, sim_lag(broker->sim)),
              on_subscribe, &mail, sizeof(mail));
}

static void on_unsubscribe(struct sim *sim, void *data)
{
    struct mail *mail = data;
    struct sim_broker *broker = find_broker(sim, mail);
    if (broker && mail->link == broker->pubsub.number)
        broker->at_server[mail->channel] = false;
}

static void on_linger_end(struct sim *sim, void *data)
{
    struct mail *mail = data;
    struct sim_broker *broker = find_broker(sim, mail);
    if (broker == NULL || broker->held[mail->channel].number != mail->number)
        return;
    broker->held[mail->channel].is_confirmed = false;
    if (!broker->pubsub.is_up)
        return;
    mail->link = broker->pubsub.number;
    sim_after(sim, sim_pipe_delay(sim, &broker->pubsub.there, sim_lag(sim)), on_unsubscribe, mail,
              sizeof(*mail));
}

static void on_short_way(struct sim *sim, void *data)
{
    struct mail *mail = data;
    struct sim_broker *broker = find_broker(sim, mail);
    struct call *call = broker ? find_call(broker, mail->call) : NULL;
    if (call)
        finish(broker, call, mail);
}

/* Healing is due SIM_HEAL_MS after the link was reported up, whatever happened before. */
struct promise {
    struct mail node;
    uint64_t faults;
    struct {
        char epoch[SIM_EPOCH_MAX];
        uint64_t top;
    } streams[SIM_CHANNELS];
};

static void on_promise_due(struct sim *sim, void *data)
{
    struct promise *promise = data;
    struct sim_broker *broker = find_broker(sim, &promise->node);
    if (broker == NULL || broker->faults != promise->faults)
        return;
    for (int c = 0; c < sim->client_count; c++) {
        struct sim_client *client = &sim->clients[c];
        if (client->conn == NULL || client->conn->node != broker->node)
            continue;
        for (int i = 0; i < SIM_CHANNELS; i++)
            if (promise->streams[i].top > 0)
                sim_client_check_reached(client, i, promise->streams[i].epoch,
                                         promise->streams[i].top);
    }
}

static void expect_healing(struct sim_broker *broker)
{
    struct sim *sim = broker->sim;
    if (broker->commands.slow_ms > SLOW_MS || broker->commands.back.last_ms > sim->now_ms + SLOW_MS)
        return; /* nobody can heal faster than the broker answers */
    struct promise promise = {
        .node = mail_for(broker),
        .faults = broker->faults,
    };
    for (int i = 0; i < SIM_CHANNELS; i++) {
        const struct sim_life *life = sim->server.streams[i];
        if (life == NULL)
            continue;
        memcpy(promise.streams[i].epoch, life->epoch, SIM_EPOCH_MAX);
        promise.streams[i].top = life->top;
    }
    sim_after(sim, SIM_HEAL_MS, on_promise_due, &promise, sizeof(promise));
}

/* Every held channel is confirmed. */
static void on_restored(struct sim *sim, void *data)
{
    struct mail *mail = data;
    struct sim_broker *broker = find_broker(sim, mail);
    if (broker == NULL || mail->link != broker->pubsub.number)
        return;
    broker->is_restored = true;
    bool was_up = broker->is_told_up;
    tell_state(broker);
    if (broker->is_told_up && !was_up)
        expect_healing(broker);
}

static void on_restoring(struct sim *sim, void *data)
{
    struct mail *mail = data;
    struct sim_broker *broker = find_broker(sim, mail);
    if (broker &&
        mail->link == broker->pubsub.number) /* behind the subscribes, as they come back */
        sim_after(sim, sim_pipe_delay(sim, &broker->pubsub.back, 0), on_restored, mail,
                  sizeof(*mail));
}

static void on_pubsub_return(struct sim *sim, void *data)
{
    struct mail *mail = data;
    struct sim_broker *broker = find_broker(sim, mail);
    if (broker == NULL || mail->link != broker->pubsub.number)
        return;
    tell_state(broker); /* if nobody noticed so far */
    broker->pubsub.is_up = true;
    for (int i = 0; i < SIM_CHANNELS; i++)
        if (broker->held[i].is_held)
            send_subscribe(broker, i);
    sim_after(sim, sim_pipe_delay(sim, &broker->pubsub.there, sim_lag(sim)), on_restoring, mail,
              sizeof(*mail));
}

static void on_notice(struct sim *sim, void *data)
{
    struct sim_broker *broker = find_broker(sim, data);
    if (broker)
        tell_state(broker);
}

void sim_broker_cut_pubsub(struct sim_broker *broker, uint64_t for_ms)
{
    struct sim *sim = broker->sim;
    struct mail mail = mail_for(broker);
    sim_trace(sim, "node %d: pub/sub link cut for %u ms", mail.node, (unsigned)for_ms);
    broker->faults++;
    broker->pubsub.is_up = false;
    broker->is_restored = false;
    mail.link = ++broker->pubsub.number;
    memset(broker->at_server, 0, sizeof(broker->at_server));
    for (int i = 0; i < SIM_CHANNELS; i++)
        broker->held[i].is_confirmed = false;
    sim_after(sim, sim_below(sim, 1000), on_notice, &mail, sizeof(mail));
    sim_after(sim, for_ms, on_pubsub_return, &mail, sizeof(mail));
}

static void on_commands_return(struct sim *sim, void *data)
{
    struct mail *mail = data;
    struct sim_broker *broker = find_broker(sim, mail);
    if (broker == NULL || mail->link != broker->commands.number)
        return;
    bool was_up = broker->is_told_up;
    tell_state(broker);
    broker->commands.is_up = true;
    tell_state(broker);
    if (broker->is_told_up && !was_up)
        expect_healing(broker);
}

void sim_broker_cut_commands(struct sim_broker *broker, uint64_t for_ms)
{
    struct sim *sim = broker->sim;
    struct mail mail = mail_for(broker);
    sim_trace(sim, "node %d: command link cut for %u ms", mail.node, (unsigned)for_ms);
    broker->faults++;
    broker->commands.is_up = false;
    mail.link = ++broker->commands.number;
    sim_after(sim, sim_below(sim, 1000), on_notice, &mail, sizeof(mail));
    sim_after(sim, for_ms, on_commands_return, &mail, sizeof(mail));
}

/* The interface */

static void sub(struct broker *base, struct wh_slice name, broker_done *done, void *user)
{
    struct sim_broker *broker = broker_of(base);
    struct call *call = add_call(broker, CALL_SUBSCRIBE, user);
    int channel = call->channel = sim_channel_index(name);
    struct sim_held *held = &broker->held[channel];
    struct mail mail = mail_for(broker);
    mail.call = call->number;
    call->done = done;
    call->held_number = ++held->number;
    held->is_held = true;
    if (held->is_confirmed && broker->pubsub.is_up) {
        sim_after(broker->sim, sim_below(broker->sim, 3), on_short_way, &mail, sizeof(mail));
        return;
    }
    held->is_confirmed = false;
    mail.err = WH_EUNAVAILABLE;
    sim_after(broker->sim, CALL_TIMEOUT_MS, on_timeout, &mail, sizeof(mail));
    if (broker->pubsub.is_up)
        send_subscribe(broker, channel);
}

static void unsub(struct broker *base, struct wh_slice name)
{
    struct sim_broker *broker = broker_of(base);
    struct mail mail = mail_for(broker);
    mail.channel = sim_channel_index(name);
    broker->held[mail.channel].is_held = false;
    mail.number = ++broker->held[mail.channel].number;
    sim_after(broker->sim, sim_chance(broker->sim, 50) ? 0 : sim_below(broker->sim, 1200),
              on_linger_end, &mail, sizeof(mail));
}

static void publish(struct broker *base,
                    struct wh_slice name,
                    const struct wh_pub *pub,
                    const struct broker_publish_options *options,
                    broker_published *done,
                    void *user)
{
    struct sim_broker *broker = broker_of(base);
    struct call *call = add_call(broker, CALL_PUBLISH, user);
    struct mail mail = mail_for(broker);
    call->published = done;
    mail.channel = sim_channel_index(name);
    mail.id = sim_read_id(pub->data.bytes);
    mail.history_size = options ? options->history_size : 0;
    send_command(broker, call, &mail);
}

static void publish_join(struct broker *base,
                         struct wh_slice name,
                         const struct wh_info *info,
                         bool is_leave,
                         broker_done *done,
                         void *user)
{
    struct sim_broker *broker = broker_of(base);
    struct call *call = add_call(broker, CALL_JOIN, user);
    struct mail mail = mail_for(broker);
    call->done = done;
    mail.channel = sim_channel_index(name);
    mail.is_leave = is_leave;
    memcpy(mail.client, info->client.ptr, info->client.len < 39 ? info->client.len : 39);
    send_command(broker, call, &mail);
}

static void history(struct broker *base,
                    struct wh_slice name,
                    const struct broker_history_query *query,
                    broker_history_done *done,
                    void *user)
{
    struct sim_broker *broker = broker_of(base);
    struct call *call = add_call(broker, CALL_HISTORY, user);
    struct mail mail = mail_for(broker);
    call->read = done;
    mail.channel = sim_channel_index(name);
    mail.query = *query;
    send_command(broker, call, &mail);
}

static void plain(struct sim_broker *broker, broker_done *done, void *user)
{
    struct call *call = add_call(broker, CALL_PLAIN, user);
    struct mail mail = mail_for(broker);
    call->done = done;
    send_command(broker, call, &mail);
}

static void history_remove(struct broker *base, struct wh_slice name, broker_done *done, void *user)
{
    (void)name;
    plain(broker_of(base), done, user);
}

static void control(struct broker *base,
                    struct wh_slice node_id,
                    struct wh_slice message,
                    broker_done *done,
                    void *user)
{
    (void)node_id;
    (void)message;
    plain(broker_of(base), done, user);
}

static void on_close_end(struct sim *sim, void *data)
{
    struct mail *mail = data;
    struct sim_broker *broker = find_broker(sim, mail);
    struct wh_list *link;
    if (broker == NULL)
        return;
    mail->err = WH_ECLOSED;
    while ((link = broker->calls.next) != &broker->calls)
        finish(broker, WH_CONTAINER_OF(link, struct call, link), mail);
    broker->node->broker = NULL;
    broker->closed(broker->closed_user);
    free(broker);
}

static void close_broker(struct broker *base, void (*closed)(void *user), void *user)
{
    struct sim_broker *broker = broker_of(base);
    struct mail mail = mail_for(broker);
    broker->closed = closed;
    broker->closed_user = user;
    sim_after(broker->sim, sim_below(broker->sim, 20), on_close_end, &mail, sizeof(mail));
}

static const struct broker_ops broker_ops = {
    .name = "simulated",
    .subscribe = sub,
    .unsubscribe = unsub,
    .publish = publish,
    .publish_join = publish_join,
    .history = history,
    .history_remove = history_remove,
    .control = control,
    .close = close_broker,
};

/* Presence: answers, delays and failures; what it says is always the same. */

static struct sim_broker *presence_of(struct presence *presence)
{
    return WH_CONTAINER_OF(presence, struct sim_broker, presence);
}

static void presence_add(struct presence *presence,
                         struct wh_slice channel,
                         const struct wh_info *info,
                         uint64_t ttl_ms,
                         broker_done *done,
                         void *user)
{
    (void)channel;
    (void)info;
    (void)ttl_ms;
    plain(presence_of(presence), done, user);
}

static void presence_remove(struct presence *presence,
                            struct wh_slice channel,
                            struct wh_slice client,
                            struct wh_slice user_id,
                            broker_done *done,
                            void *user)
{
    (void)channel;
    (void)client;
    (void)user_id;
    plain(presence_of(presence), done, user);
}

static void presence_members(struct presence *presence,
                             struct wh_slice channel,
                             presence_members_done *done,
                             void *user)
{
    (void)channel;
    struct call *call = add_call(presence_of(presence), CALL_MEMBERS, user);
    struct mail mail = mail_for(presence_of(presence));
    call->members = done;
    send_command(presence_of(presence), call, &mail);
}

static void presence_stats(struct presence *presence,
                           struct wh_slice channel,
                           presence_stats_done *done,
                           void *user)
{
    (void)channel;
    struct call *call = add_call(presence_of(presence), CALL_MEMBERS, user);
    struct mail mail = mail_for(presence_of(presence));
    call->stats = done;
    send_command(presence_of(presence), call, &mail);
}

static void presence_close(struct presence *presence)
{
    (void)presence; /* it ends with the broker */
}

static const struct presence_ops presence_ops = {
    .add = presence_add,
    .remove = presence_remove,
    .members = presence_members,
    .stats = presence_stats,
    .close = presence_close,
};

struct sim_broker *sim_broker_new(struct sim *sim,
                                  struct sim_node *node,
                                  const struct broker_events *events)
{
    struct sim_broker *broker = calloc(1, sizeof(*broker));
    WH_ASSERT(broker != NULL);
    broker->base.ops = &broker_ops;
    broker->presence.ops = &presence_ops;
    broker->events = *events;
    broker->sim = sim;
    broker->node = node;
    broker->commands.is_up = true;
    wh_list_init(&broker->calls);
    return broker;
}
