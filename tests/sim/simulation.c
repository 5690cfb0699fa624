/*
 * The clock, the nodes and the faults.
 *
 * One heap of events orders everything; between two of them each node's
 * timing wheel is moved to the new time, in steps as small as its timers ask
 * for.  A node is never run by its loop: a turn is one call of the loop's own
 * prepare callback, as libuv makes it before it sleeps.
 */
#include "sim_internal.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/random.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define START_MS      UINT64_C(1000000)
#define WALL_START_MS INT64_C(1700000000000)

const struct sim_channel_row sim_channels[SIM_CHANNELS] = {
    {"stream:a", SIM_STREAM, false, 12},  {"stream:b", SIM_STREAM, false, 12},
    {"position:p", SIM_STREAM, false, 8}, {"live:l", SIM_LIVE, false, 0},
    {"cache:c", SIM_CACHE, false, 3},     {"room:r", SIM_STREAM, false, 20},
    {"server:s", SIM_STREAM, true, 12},   {"server:t", SIM_STREAM, true, 12},
};

#define OPEN                                                                                       \
    "allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true, "                      \
    "allow_publish_for_client: true, allow_publish_for_anonymous: true, "                          \
    "allow_history_for_client: true, allow_history_for_anonymous: true, "                          \
    "allow_presence_for_client: true, allow_presence_for_anonymous: true"

static const char config_text[] =
    "client:\n"
    "  allow_anonymous_connect_without_token: true\n"
    "  recovery_max_publication_limit: 10\n"
    "  channel_position_check_delay: 20s\n"
    "  queue_max_size: 6000\n"
    "  token: {hmac_secret_key: \"a secret of the simulation, long enough for all\"}\n"
    "channel:\n"
    "  namespaces:\n"
    "    - {name: stream, history_size: 12, history_ttl: 300s, force_recovery: true, " OPEN "}\n"
    "    - {name: position, history_size: 8, history_ttl: 300s, force_positioning: true, " OPEN
    "}\n"
    "    - {name: live, " OPEN "}\n"
    "    - {name: cache, history_size: 3, history_ttl: 300s, force_recovery: true,\n"
    "       force_recovery_mode: cache, " OPEN "}\n"
    "    - {name: room, history_size: 20, history_ttl: 300s, force_recovery: true,\n"
    "       presence: true, join_leave: true, force_push_join_leave: true, " OPEN "}\n"
    "    - {name: server, history_size: 12, history_ttl: 300s, force_recovery: true, " OPEN "}\n";

/* Maps order their entries by a key from the kernel; a replay needs the same one every time. */
void __wrap_wh_random_kernel(void *out, size_t len);
void __wrap_wh_random_kernel(void *out, size_t len)
{
    memset(out, 7, len);
}

/* The loop's time is ours alone. */
void uv_update_time(uv_loop_t *loop)
{
    (void)loop;
}

int sim_channel_index(struct wh_slice name)
{
    for (int i = 0; i < SIM_CHANNELS; i++)
        if (wh_slice_equal_str(name, sim_channels[i].name))
            return i;
    return -1;
}

/* Dice and voice */

static uint64_t dice(struct sim *sim)
{
    sim->dice += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = sim->dice;
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint64_t sim_below(struct sim *sim, uint64_t bound)
{
    return bound ? dice(sim) % bound : 0;
}

bool sim_chance(struct sim *sim, unsigned percent)
{
    return sim_below(sim, 100) < percent;
}

/* Mostly short, now and then long. */
uint64_t sim_lag(struct sim *sim)
{
    return sim_chance(sim, 90) ? sim_below(sim, sim->lag_ms) : sim_below(sim, 10 * sim->lag_ms);
}

void sim_trace(struct sim *sim, const char *format, ...)
{
    va_list args;
    if (!sim->options->is_verbose)
        return;
    va_start(args, format);
    printf("%7" PRIu64 " ", sim->now_ms - START_MS);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
}

void sim_fail(struct sim *sim, const char *format, ...)
{
    struct sim_report *report = sim->report;
    va_list args;
    if (report->has_failed)
        return;
    report->has_failed = true;
    report->at_ms = sim->now_ms - START_MS;
    va_start(args, format);
    vsnprintf(report->problem, sizeof(report->problem), format, args);
    va_end(args);
    sim_trace(sim, "VIOLATION: %s", report->problem);
}

/* Events: a binary heap */

static bool is_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static void sift_down(struct sim *sim, size_t index)
{
    struct sim_event **heap = sim->heap;
    for (;;) {
        size_t least = index, left = 2 * index + 1;
        for (size_t child = left; child < left + 2 && child < sim->event_count; child++)
            if (is_before(heap[child], heap[least]))
                least = child;
        if (least == index)
            return;
        struct sim_event *swap = heap[index];
        heap[index] = heap[least];
        heap[least] = swap;
        index = least;
    }
}

void sim_after(struct sim *sim, uint64_t delay_ms, sim_fn *fn, const void *data, size_t len)
{
    struct sim_event *event = malloc(sizeof(*event) + len);
    WH_ASSERT(event != NULL);
    event->at_ms = sim->now_ms + delay_ms;
    event->order = ++sim->event_order;
    event->fn = fn;
    if (len)
        memcpy(event->data, data, len);
    if (sim->event_count == sim->event_capacity) {
        sim->event_capacity = sim->event_capacity ? sim->event_capacity * 2 : 64;
        sim->heap = realloc(sim->heap, sim->event_capacity * sizeof(*sim->heap));
        WH_ASSERT(sim->heap != NULL);
    }
    size_t index = sim->event_count++;
    while (index > 0 && is_before(event, sim->heap[(index - 1) / 2])) {
        sim->heap[index] = sim->heap[(index - 1) / 2];
        index = (index - 1) / 2;
    }
    sim->heap[index] = event;
}

static struct sim_event *next_event(struct sim *sim)
{
    struct sim_event *event = sim->heap[0];
    sim->heap[0] = sim->heap[--sim->event_count];
    sift_down(sim, 0);
    return event;
}

uint64_t sim_pipe_delay(struct sim *sim, struct sim_pipe *pipe, uint64_t delay_ms)
{
    if (sim->now_ms + delay_ms > pipe->last_ms)
        pipe->last_ms = sim->now_ms + delay_ms;
    return pipe->last_ms - sim->now_ms;
}

/* Nodes */

static void turn(struct sim_node *node)
{
    node->is_turn_due = false;
    if (node->is_running)
        node->loop.before_sleep.prepare_cb(&node->loop.before_sleep);
}

static void on_turn(struct sim *sim, void *data)
{
    struct sim_node *node = *(struct sim_node **)data;
    (void)sim;
    if (node->is_turn_due)
        turn(node);
}

void sim_node_touched(struct sim_node *node)
{
    if (node->is_turn_due)
        return;
    node->is_turn_due = true;
    sim_after(node->sim, sim_chance(node->sim, 70) ? 0 : sim_below(node->sim, 3), on_turn, &node,
              sizeof(node));
}

static enum wh_err make_broker(struct node *hub_node,
                               const struct broker_events *events,
                               struct broker **out_broker)
{
    struct sim_node *node = WH_CONTAINER_OF(hub_node, struct sim_node, node);
    node->broker = sim_broker_new(node->sim, node, events);
    /* Ours is as slow and unsure as the broker. */
    hub_node->presence->ops->close(hub_node->presence);
    hub_node->presence = &node->broker->presence;
    *out_broker = &node->broker->base;
    return WH_OK;
}

static void start_node(struct sim *sim, struct sim_node *node)
{
    struct wh_buf problem = {0};
    enum wh_err err = wh_loop_init(&node->loop);
    WH_ASSERT(err == WH_OK);
    node->loop.uv.time = sim->now_ms;
    wh_wheel_init(&node->loop.wheel, sim->now_ms);
    err = node_init_with(&node->node, &node->loop, sim->config, sim->metrics, sim->shared,
                         make_broker, &problem);
    WH_ASSERT(err == WH_OK);
    wh_buf_deinit(&problem);
    node->life++;
    node->is_running = true;
    node->is_closed = false;
    node->is_up = true;
    sim_broker_cut_pubsub(node->broker, sim_below(sim, 50)); /* it connects */
    sim_node_touched(node);
}

static void on_node_start(struct sim *sim, void *data)
{
    start_node(sim, *(struct sim_node **)data);
}

/* All sessions, channels and timers must be gone with the broker. */
static void check_empty(struct sim *sim, struct sim_node *node)
{
    if (node->node.session_count || node->node.registry.channels.count ||
        node->node.registry.users.count)
        sim_fail(sim, "node %d: %zu sessions, %zu channels, %zu users left over", node->index,
                 node->node.session_count, node->node.registry.channels.count,
                 node->node.registry.users.count);
    else if (node->loop.wheel.count)
        sim_fail(sim, "node %d: %zu timers left over", node->index, node->loop.wheel.count);
}

static void end_sessions(struct sim *sim, const struct sim_node *node)
{
    WH_LIST_EACH(link, &sim->conns)
    {
        struct sim_conn *conn = WH_CONTAINER_OF(link, struct sim_conn, link);
        struct session *session = conn->session;
        if (conn->node != node || session == NULL)
            continue;
        conn->session = NULL;
        session_transport_closed(session);
        sim_conn_end(conn);
    }
}

static void on_broker_closed(void *user)
{
    struct sim_node *node = user;
    struct sim *sim = node->sim;
    node->is_closed = true;
    end_sessions(sim, node);
    turn(node);
    check_empty(sim, node);
    node->is_running = false;
    if (node->node.registry.channels.count == 0 && node->node.registry.users.count == 0)
        node_deinit(&node->node); /* else it would stop the program before it can report */
    wh_loop_deinit(&node->loop);
    if (!sim->is_over)
        sim_after(sim, 100 + sim_below(sim, 1500), on_node_start, &node, sizeof(node));
}

static void stop_node(struct sim *sim, struct sim_node *node)
{
    if (!node->is_up)
        return;
    sim_trace(sim, "node %d: stops", node->index);
    node->is_up = false;
    node_close(&node->node, on_broker_closed, node);
    sim_node_touched(node);
}

/* Faults: each run has some kinds of them (swarm testing: all kinds at once hide each other). */

enum fault {
    FAULT_PUBSUB_CUT,
    FAULT_COMMANDS_CUT,
    FAULT_BOTH_CUT,
    FAULT_SLOW_COMMANDS,
    FAULT_SLOW_WHILE_CUT,
    FAULT_RESTART_EMPTY,
    FAULT_RESTART_SNAPSHOT,
    FAULT_RESTART_SAME,
    FAULT_HISTORY_EXPIRES,
    FAULT_META_EXPIRES,
    FAULT_NODE_RESTARTS,
    FAULT_CLIENT_CUT,
    FAULT_CLIENT_STALLS,
    FAULT_COUNT
};

static void cut_all(struct sim *sim)
{
    for (int i = 0; i < sim->node_count; i++) {
        if (!sim->nodes[i].is_up)
            continue;
        uint64_t for_ms = 10 + sim_below(sim, 1500);
        sim_broker_cut_commands(sim->nodes[i].broker, for_ms + sim_below(sim, 50));
        sim_broker_cut_pubsub(sim->nodes[i].broker, for_ms + sim_below(sim, 50));
    }
}

static void restart_server(struct sim *sim, enum sim_restart kind)
{
    sim_trace(sim, "server: restarts (%d)", kind);
    cut_all(sim);
    sim_server_restart(sim, kind);
}

static void break_node(struct sim *sim, struct sim_node *node, enum fault fault)
{
    struct sim_broker *broker = node->broker;
    uint64_t for_ms = sim_chance(sim, 70) ? sim_below(sim, 600) : sim_below(sim, 6000);
    if (!node->is_up)
        return;
    if (fault == FAULT_NODE_RESTARTS) {
        stop_node(sim, node);
        return;
    }
    if (fault == FAULT_SLOW_COMMANDS) {
        broker->commands.slow_ms = sim_chance(sim, 50) ? 0 : (unsigned)sim_below(sim, 2500);
        broker->faults++;
        return;
    }
    if (fault == FAULT_SLOW_WHILE_CUT) { /* answers that speak of before the loss come after it */
        broker->commands.slow_ms = (unsigned)sim_below(sim, 1000);
        sim_broker_cut_pubsub(broker, sim_below(sim, 600));
        return;
    }
    if (fault != FAULT_PUBSUB_CUT)
        sim_broker_cut_commands(broker, for_ms);
    if (fault != FAULT_COMMANDS_CUT)
        sim_broker_cut_pubsub(broker, for_ms);
}

static void break_client(struct sim *sim, struct sim_client *client, enum fault fault)
{
    struct sim_conn *conn = client->conn;
    if (conn == NULL)
        return;
    if (fault == FAULT_CLIENT_STALLS) {
        sim_conn_stall(conn, sim_below(sim, 4000));
        return;
    }
    sim_trace(sim, "client %d: cut", client->index);
    sim_conn_drop(conn);
    sim_client_closed(client, conn, 0);
}

static void strike(struct sim *sim, enum fault fault)
{
    switch (fault) {
    case FAULT_RESTART_EMPTY:
        restart_server(sim, SIM_RESTART_EMPTY);
        break;
    case FAULT_RESTART_SNAPSHOT:
        restart_server(sim, SIM_RESTART_SNAPSHOT);
        break;
    case FAULT_RESTART_SAME:
        restart_server(sim, SIM_RESTART_SAME);
        break;
    case FAULT_HISTORY_EXPIRES:
    case FAULT_META_EXPIRES:
        sim_server_forget(sim, (int)sim_below(sim, SIM_CHANNELS), fault == FAULT_META_EXPIRES);
        break;
    case FAULT_CLIENT_CUT:
    case FAULT_CLIENT_STALLS:
        break_client(sim, &sim->clients[sim_below(sim, (uint64_t)sim->client_count)], fault);
        break;
    default:
        break_node(sim, &sim->nodes[sim_below(sim, (uint64_t)sim->node_count)], fault);
        break;
    }
}

static void on_fault(struct sim *sim, void *data)
{
    (void)data;
    if (sim->is_calm)
        return;
    enum fault fault = (enum fault)sim_below(sim, FAULT_COUNT);
    if (sim->faults & 1U << fault)
        strike(sim, fault);
    if (sim_chance(sim, 20))
        sim_server_snapshot(sim);
    sim_after(sim, sim_below(sim, 600), on_fault, NULL, 0);
}

/* Services publish, clients do what they like. */

static void on_service(struct sim *sim, void *data)
{
    (void)data;
    if (sim->is_calm)
        return;
    int channel = (int)sim_below(sim, SIM_CHANNELS);
    uint64_t count = sim_chance(sim, 90) ? 1 : sim_below(sim, 15);
    for (uint64_t i = 0; i < count; i++)
        sim_server_take(sim, sim_publication_new(sim, channel), sim_channels[channel].history_size);
    sim_after(sim, sim_below(sim, 200), on_service, NULL, 0);
}

static void on_client(struct sim *sim, void *data)
{
    struct sim_client *client = *(struct sim_client **)data;
    if (sim->is_calm)
        return;
    sim_client_act(client);
    sim_after(sim, sim_below(sim, 500), on_client, &client, sizeof(client));
}

static void on_watch(struct sim *sim, void *data)
{
    (void)data;
    for (int i = 0; i < sim->client_count; i++)
        sim_client_check_patience(&sim->clients[i]);
    sim_after(sim, 100, on_watch, NULL, 0);
}

/* The end */

static void on_calm(struct sim *sim, void *data)
{
    (void)data;
    sim_trace(sim, "calm");
    for (int i = 0; i < sim->node_count; i++) {
        struct sim_node *node = &sim->nodes[i];
        if (!node->is_up)
            continue;
        node->broker->commands.slow_ms = 0;
        if (!node->broker->commands.is_up)
            sim_broker_cut_commands(node->broker, 50);
        if (!node->broker->pubsub.is_up)
            sim_broker_cut_pubsub(node->broker, 50);
    }
    WH_LIST_EACH(link, &sim->conns)
    {
        struct sim_conn *conn = WH_CONTAINER_OF(link, struct sim_conn, link);
        if (conn->slow_until_ms > sim->now_ms)
            conn->slow_until_ms = sim->now_ms;
    }
    sim->is_calm = true;
    for (int i = 0; i < sim->client_count; i++)
        sim_client_want_all(&sim->clients[i]);
}

static void on_judgement(struct sim *sim, void *data)
{
    (void)data;
    for (int i = 0; i < sim->client_count; i++)
        sim_client_check_top(&sim->clients[i]);
    for (int i = 0; i < sim->client_count; i++)
        sim_client_retire(&sim->clients[i]);
}

static void on_stop(struct sim *sim, void *data)
{
    (void)data;
    sim->is_over = true;
    for (int i = 0; i < sim->node_count; i++) {
        struct node *node = &sim->nodes[i].node;
        if (sim->nodes[i].is_up && (node->session_count || node->registry.channels.count))
            sim_fail(sim, "node %d: %zu sessions and %zu channels without any client", i,
                     node->session_count, node->registry.channels.count);
        stop_node(sim, &sim->nodes[i]);
    }
}

/* Time */

static void set_time(struct sim *sim, uint64_t now_ms)
{
    sim->now_ms = now_ms;
    wh_clock_set_fake(now_ms, WALL_START_MS + (int64_t)(now_ms - START_MS));
    for (int i = 0; i < sim->node_count; i++)
        sim->nodes[i].loop.uv.time = now_ms;
}

/* Fire the timers of all nodes up to `until`, in the order of time. */
static void run_timers(struct sim *sim, uint64_t until_ms)
{
    for (;;) {
        uint64_t step_ms = UINT64_MAX;
        for (int i = 0; i < sim->node_count; i++) {
            struct sim_node *node = &sim->nodes[i];
            if (!node->is_running)
                continue;
            uint64_t next_ms = wh_wheel_next_ms(&node->loop.wheel, sim->now_ms);
            if (next_ms < step_ms)
                step_ms = next_ms ? next_ms : 1;
        }
        if (step_ms > until_ms - sim->now_ms)
            break;
        set_time(sim, sim->now_ms + step_ms);
        for (int i = 0; i < sim->node_count; i++) {
            struct sim_node *node = &sim->nodes[i];
            if (!node->is_running)
                continue;
            wh_wheel_advance(&node->loop.wheel, sim->now_ms);
            turn(node);
        }
        if (sim->event_count > 0 && sim->heap[0]->at_ms <= sim->now_ms)
            return; /* a timer caused something that comes first */
    }
}

static void run(struct sim *sim, uint64_t until_ms)
{
    while ((!sim->report->has_failed || sim->is_over) && sim->event_count > 0) {
        uint64_t at_ms = sim->heap[0]->at_ms;
        if (at_ms > until_ms)
            break;
        if (at_ms > sim->now_ms) {
            run_timers(sim, at_ms);
            if (sim->heap[0]->at_ms < at_ms || sim->now_ms > at_ms)
                continue;
            set_time(sim, at_ms);
        }
        struct sim_event *event = next_event(sim);
        event->fn(sim, event->data);
        free(event);
        sim->report->steps++;
    }
}

/* A run */

static void init(struct sim *sim)
{
    struct wh_buf problems = {0};
    struct wh_config_source source = {
        .path = "simulation.yaml",
        .text = wh_slice(config_text, sizeof(config_text) - 1),
    };
    sim->dice = sim->options->seed ^ UINT64_C(0x5eed);
    wh_random_seed(sim->options->seed);
    wh_log_set_level(WH_LOG_NONE);
    enum wh_err err = config_load(&source, &sim->config, &problems);
    if (err)
        fprintf(stderr, "%s\n", wh_buf_cstr(&problems));
    WH_ASSERT(err == WH_OK);
    wh_buf_deinit(&problems);
    err = metrics_shared_new(1, &sim->shared);
    WH_ASSERT(err == WH_OK);
    sim->metrics = metrics_open(sim->shared, 0);
    wh_list_init(&sim->conns);
    sim->node_count = 1 + (int)sim_below(sim, SIM_NODES_MAX);
    sim->client_count = 2 + (int)sim_below(sim, SIM_CLIENTS_MAX - 1);
    sim->lag_ms = 1 + (unsigned)sim_below(sim, 20);
    sim->faults = (unsigned)dice(sim);
    sim->faults &= (unsigned)dice(sim); /* a quarter of them */
    if (sim_chance(sim, 30))
        sim->faults |= (unsigned)dice(sim);
    set_time(sim, START_MS);
    for (int i = 0; i < sim->node_count; i++) {
        sim->nodes[i].sim = sim;
        sim->nodes[i].index = i;
        start_node(sim, &sim->nodes[i]);
    }
    for (int i = 0; i < sim->client_count; i++) {
        struct sim_client *client = &sim->clients[i];
        sim_client_init(sim, client, i);
        sim_after(sim, sim_below(sim, 300), on_client, &client, sizeof(client));
    }
}

static void deinit(struct sim *sim)
{
    for (int i = 0; i < sim->client_count; i++)
        sim_client_retire(&sim->clients[i]);
    if (!sim->is_over)
        on_stop(sim, NULL);
    run(sim, sim->now_ms + 100);
    while (!wh_list_is_empty(&sim->conns)) {
        struct sim_conn *conn = WH_CONTAINER_OF(sim->conns.next, struct sim_conn, link);
        sim_conn_free(conn);
    }
    for (int i = 0; i < sim->client_count; i++)
        sim_client_deinit(&sim->clients[i]);
    while (sim->event_count > 0)
        free(next_event(sim));
    free(sim->heap);
    sim_server_deinit(sim);
    metrics_shared_free(sim->shared);
    config_free(sim->config);
    wh_clock_set_real();
}

void simulate(const struct sim_options *options, struct sim_report *out_report)
{
    struct sim *sim = calloc(1, sizeof(*sim));
    WH_ASSERT(sim != NULL);
    *out_report = (struct sim_report){0};
    sim->options = options;
    sim->report = out_report;
    init(sim);
    sim_after(sim, 0, on_service, NULL, 0);
    sim_after(sim, 0, on_fault, NULL, 0);
    sim_after(sim, 0, on_watch, NULL, 0);
    sim_after(sim, SIM_FAULTS_END_MS, on_calm, NULL, 0);
    sim_after(sim, SIM_FAULTS_END_MS + SIM_CALM_MS, on_judgement, NULL, 0);
    sim_after(sim, SIM_FAULTS_END_MS + SIM_CALM_MS + 5000, on_stop, NULL, 0);
    run(sim, START_MS + SIM_FAULTS_END_MS + SIM_CALM_MS + 10000);
    deinit(sim);
    free(sim);
}
