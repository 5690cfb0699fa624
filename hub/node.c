/*
 * The composition root and what happens to all sessions at once: the end of a
 * turn, drain, reload, close.
 *
 * The end of a turn has one order, on which the guarantees to clients rest:
 * replies become frames, sessions write what is queued (so a subscribe reply
 * leaves before the first publication of that channel), channels write their
 * batches, and those who fell behind or must go are closed last, when nobody
 * walks over them any more.
 */
#include "hub/node.h"

#include "common/base/random.h"
#include "common/protocol/codec.h"
#include "common/protocol/json.h"
#include "hub/control.h"
#include "hub/feed.h"
#include "hub/gateway_rules.h"
#include "hub/presence.h"
#include "hub/rates.h"
#include "hub/revocations.h"
#include "hub/rpc.h"
#include "hub/session.h"
#include "hub/tracing.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    ARENA_BYTES_MAX = 4 * 1024 * 1024, /* what one client message may make us allocate */
    DRAIN_STEP_MS = 50
};

static void on_turn_end(struct wh_task *task)
{
    struct node *node = WH_CONTAINER_OF(task, struct node, at_turn_end);
    struct wh_list *link;
    do {
        session_end_replies(node);
        while ((link = wh_list_pop_front(&node->dirty)) != NULL)
            session_flush(WH_CONTAINER_OF(link, struct session, dirty_link));
        registry_flush(&node->registry);
        while ((link = wh_list_pop_front(&node->doomed)) != NULL) {
            struct session *session = WH_CONTAINER_OF(link, struct session, doomed_link);
            session_close(session, session->doom_code);
        }
        wh_arena_reset(&node->arena); /* what answers of the broker have used */
        /* Resumed input may have produced more of each. */
    } while (node->replies_to || !wh_list_is_empty(&node->dirty) ||
             !wh_list_is_empty(&node->registry.batches));
}

/* Broker */

static void on_publication(void *user,
                           struct wh_slice channel,
                           const struct wh_pub *pub,
                           bool is_plain)
{
    struct node *node = user;
    registry_publication(&node->registry, channel, pub, is_plain);
}

static void on_join(void *user, struct wh_slice channel, const struct wh_info *info, bool is_leave)
{
    struct node *node = user;
    registry_join(&node->registry, channel, info, is_leave);
}

static void on_control(void *user, struct wh_slice message)
{
    struct node *node = user;
    control_receive(node->control, message);
}

/* Who came in while nobody knew which tokens are revoked connects anew, and is checked then. */
static void recheck_tokens(void *user)
{
    struct node *node = user;
    WH_LIST_EACH(link, &node->sessions)
    {
        struct session *session = WH_CONTAINER_OF(link, struct session, link);
        if (session->is_unchecked)
            session_doom(session, WH_DISCONNECT_FORCE_RECONNECT);
    }
}

/* Publications may have been missed: every channel that must not miss any looks for itself. */
static void check_feeds(struct node *node)
{
    size_t cursor = 0;
    struct channel *channel;
    while ((channel = wh_map_next(&node->registry.channels, &cursor)) != NULL)
        if (channel->feed)
            feed_link_returned(channel->feed);
}

static void on_broker_state(void *user, bool is_up, const char *reason)
{
    struct node *node = user;
    if (node->broker_is_up && !is_up)
        node->broker_down_since_ms = wh_loop_now_ms(node->loop);
    if (node->broker_is_up != is_up || (!is_up && strcmp(node->broker_reason, reason) != 0))
        wh_log(is_up ? WH_LOG_INFO : WH_LOG_WARN, "node", is_up ? "broker_up" : "broker_down",
               "broker=%s reason=%s", node->broker ? node->broker->ops->name : "", reason);
    if (is_up && !node->broker_is_up) {
        check_feeds(node);
        control_link_returned(node->control);
        if (node->config->engine.type == ENGINE_REDIS)
            revocations_load(node->revocations, node->broker);
    }
    node->broker_is_up = is_up;
    snprintf(node->broker_reason, sizeof(node->broker_reason), "%s", reason);
}

static enum wh_err make_configured_broker(struct node *node,
                                          const struct broker_events *events,
                                          struct broker **out_broker)
{
    if (node->config->engine.type == ENGINE_REDIS)
        return broker_redis_new(node->loop, node->config, node->id, node->metrics, events,
                                out_broker);
    return broker_memory_new(node->loop, node->id, events, out_broker);
}

static enum wh_err start_broker(struct node *node, node_broker_maker *make_broker)
{
    struct broker_events events = {
        .on_publication = on_publication,
        .on_join = on_join,
        .on_control = on_control,
        .on_state = on_broker_state,
        .user = node,
    };
    node->broker_down_since_ms = wh_loop_now_ms(node->loop);
    snprintf(node->broker_reason, sizeof(node->broker_reason), "connecting");
    return make_broker(node, &events, &node->broker);
}

static void on_broker_gone(void *user)
{
    (void)user; /* of a node that could not start: nobody waits */
}

/* Presence on Redis speaks through the broker's connection; in memory it stands alone. */
static enum wh_err start_links(struct node *node, node_broker_maker *make_broker)
{
    bool is_redis = node->config->engine.type == ENGINE_REDIS;
    enum wh_err err = is_redis ? WH_OK : presence_memory_new(node->loop, &node->presence);
    if (err)
        return err;
    err = start_broker(node, make_broker);
    if (err) {
        if (node->presence)
            node->presence->ops->close(node->presence);
        return err;
    }
    if (is_redis)
        err = presence_redis_new(node->loop, node->broker, &node->presence);
    if (err == WH_OK) {
        err = rpc_new(node->loop, node->config, node->id, node->metrics, &node->rpc);
        if (err)
            node->presence->ops->close(node->presence);
        else
            rpc_use_tracer(node->rpc, tracing_tracer(node));
    }
    if (err)
        node->broker->ops->close(node->broker, on_broker_gone, NULL);
    return err;
}

/* Life */

/* All that is derived from a config; either all of it or nothing. */
struct derived {
    struct channel_rules *rules;
    struct gateway_rules *gateway_rules;
    struct token_verifier *connection_tokens;
    struct token_verifier *subscription_tokens;
};

static void derived_free(struct derived *derived)
{
    channel_rules_free(derived->rules);
    gateway_rules_free(derived->gateway_rules);
    token_verifier_free(derived->connection_tokens);
    token_verifier_free(derived->subscription_tokens);
}

static enum wh_err make_verifier(const struct token_config *config,
                                 struct jwks_pool *pool,
                                 struct token_verifier **out_verifier,
                                 struct wh_buf *out_problem)
{
    enum wh_err err = token_verifier_new(config, out_verifier, out_problem);
    return err ? err : token_verifier_use_jwks(*out_verifier, pool);
}

static enum wh_err derive(const struct config *config,
                          struct jwks_pool *pool,
                          struct derived *out_derived,
                          struct wh_buf *out_problem)
{
    struct derived derived = {0};
    const struct token_config *subscription = config->client.subscription_token.enabled
                                                  ? &config->client.subscription_token
                                                  : &config->client.token;
    enum wh_err err = channel_rules_new(config, &derived.rules);
    if (err)
        wh_buf_printf(out_problem, "channel rules: %s", wh_err_text(err));
    if (err == WH_OK)
        err = gateway_rules_new(config, &derived.gateway_rules);
    if (err == WH_OK)
        err = make_verifier(&config->client.token, pool, &derived.connection_tokens, out_problem);
    if (err == WH_OK)
        err = make_verifier(subscription, pool, &derived.subscription_tokens, out_problem);
    if (err) {
        derived_free(&derived);
        return err;
    }
    *out_derived = derived;
    return WH_OK;
}

static void adopt(struct node *node, const struct config *config, const struct derived *derived)
{
    node->config = config;
    node->rules = derived->rules;
    node->gateway_rules = derived->gateway_rules;
    node->connection_tokens = derived->connection_tokens;
    node->subscription_tokens = derived->subscription_tokens;
    if (node->rpc)
        rpc_use_config(node->rpc, config);
}

/* The server's ping is an empty reply in each encoding. */
static enum wh_err make_ping_frames(struct node *node)
{
    for (int i = 0; i < WH_ENCODING_COUNT; i++) {
        wh_buf_reset(&node->scratch);
        enum wh_err err = wh_encode((enum wh_encoding)i, &wh_reply_schema, &(struct wh_reply){0}, 0,
                                    &node->scratch);
        if (err == WH_OK)
            err = wh_frame_new(wh_encoding_opcode((enum wh_encoding)i),
                               wh_buf_slice(&node->scratch), &node->ping_frames[i]);
        if (err)
            return err;
    }
    return WH_OK;
}

enum wh_err node_init_with(struct node *node,
                           struct wh_loop *loop,
                           const struct config *config,
                           struct metrics *metrics,
                           struct metrics_shared *shared,
                           node_broker_maker *make_broker,
                           struct wh_buf *out_problem)
{
    struct derived derived;
    struct jwks_pool *pool = NULL;
    enum wh_err err = jwks_pool_new(loop, &jwks_default_times, &pool);
    if (err == WH_OK)
        err = derive(config, pool, &derived, out_problem);
    if (err) {
        jwks_pool_free(pool);
        return err;
    }
    *node = (struct node){.loop = loop, .metrics = metrics, .metrics_shared = shared, .jwks = pool};
    wh_random_uuid_v4(node->id);
    adopt(node, config, &derived);
    registry_init(&node->registry, node);
    wh_list_init(&node->sessions);
    wh_list_init(&node->dirty);
    wh_list_init(&node->doomed);
    wh_arena_init(&node->arena, ARENA_BYTES_MAX);
    wh_task_init(&node->at_turn_end, on_turn_end);
    wh_loop_at_turn_end(loop, &node->at_turn_end); /* before the broker's own: it writes last */
    err = make_ping_frames(node);
    if (err == WH_OK)
        err = tracing_start(node, out_problem);
    if (err == WH_OK)
        err = revocations_new(loop, config->engine.type != ENGINE_REDIS, &node->revocations);
    if (err == WH_OK)
        err = rates_new(metrics, &node->rates);
    if (err == WH_OK)
        revocations_on_first_list(node->revocations, recheck_tokens, node);
    if (err == WH_OK)
        err = control_new(node, &node->control);
    if (err == WH_OK)
        err = start_links(node, make_broker);
    if (err) {
        wh_buf_printf(out_problem, "cannot start: %s", wh_err_text(err));
        node_deinit(node);
        return err;
    }
    return WH_OK;
}

enum wh_err node_init(struct node *node,
                      struct wh_loop *loop,
                      const struct config *config,
                      struct metrics *metrics,
                      struct metrics_shared *shared,
                      struct wh_buf *out_problem)
{
    return node_init_with(node, loop, config, metrics, shared, make_configured_broker, out_problem);
}

static void close_sessions(struct node *node, uint32_t code)
{
    while (!wh_list_is_empty(&node->sessions))
        session_close(WH_CONTAINER_OF(node->sessions.next, struct session, link), code);
}

static void on_rpc_closed(void *user)
{
    struct node *node = user;
    tracing_close(node); /* the last calls have ended */
    node->broker->ops->close(node->broker, node->closed, node->closed_user);
}

void node_close(struct node *node, void (*closed)(void *user), void *user)
{
    node->closed = closed;
    node->closed_user = user;
    node->phase = NODE_STOPPED;
    wh_loop_timer_stop(node->loop, &node->drain_timer);
    control_close(node->control);
    revocations_stop(node->revocations);
    close_sessions(node, WH_DISCONNECT_SHUTDOWN);
    node->presence->ops->close(node->presence);
    jwks_pool_close(node->jwks);
    rpc_close(node->rpc, on_rpc_closed, node);
}

void node_deinit(struct node *node)
{
    wh_task_cancel(&node->at_turn_end);
    control_free(node->control);
    revocations_free(node->revocations);
    rates_free(node->rates);
    registry_deinit(&node->registry);
    for (int i = 0; i < WH_ENCODING_COUNT; i++)
        wh_frame_unref(node->ping_frames[i]);
    tracing_free(node);
    wh_arena_deinit(&node->arena);
    wh_buf_deinit(&node->scratch);
    wh_buf_deinit(&node->replies);
    derived_free(&(struct derived){node->rules, node->gateway_rules, node->connection_tokens,
                                   node->subscription_tokens});
    jwks_pool_free(node->jwks);
}

/* Reload */

/* Channels whose namespace is gone keep their subscribers; nobody new may join. */
static const struct channel_options nothing_allowed;

enum wh_err node_reload(struct node *node, const struct config *config, struct wh_buf *out_problem)
{
    struct derived derived;
    enum wh_err err = derive(config, node->jwks, &derived, out_problem);
    if (err)
        return err;
    struct derived old = {node->rules, node->gateway_rules, node->connection_tokens,
                          node->subscription_tokens};
    adopt(node, config, &derived);
    size_t cursor = 0;
    struct channel *channel;
    while ((channel = wh_map_next(&node->registry.channels, &cursor)) != NULL)
        if (channel_resolve(node->rules, channel->name, &channel->options) != WH_NO_ERROR)
            channel->options = &nothing_allowed;
    derived_free(&old);
    return WH_OK;
}

/* Drain */

struct drain_step {
    size_t quota;   /* sessions to close in this step */
    bool is_forced; /* time is up: those with commands in flight too */
};

static struct drain_step drain_step(const struct node *node)
{
    uint64_t now = wh_loop_now_ms(node->loop);
    uint64_t end = node->drain_started_ms + node->config->drain.spread_ms;
    if (now >= end)
        return (struct drain_step){.quota = SIZE_MAX, .is_forced = now >= end + DRAIN_GRACE_MS};
    uint64_t steps_left = (end - now) / DRAIN_STEP_MS + 1;
    return (struct drain_step){.quota = (size_t)(node->session_count / steps_left) + 1};
}

static void on_drain_timer(struct wh_timer *timer)
{
    struct node *node = WH_CONTAINER_OF(timer, struct node, drain_timer);
    struct drain_step step = drain_step(node);
    WH_LIST_EACH(link, &node->sessions)
    {
        struct session *session = WH_CONTAINER_OF(link, struct session, link);
        if (step.quota == 0)
            break;
        if (session->pending_count + session->call_count > 0 && !step.is_forced)
            continue;
        session_close(session, WH_DISCONNECT_SHUTDOWN);
        step.quota--;
    }
    if (node->session_count > 0 || (node->rest_calls > 0 && !step.is_forced)) {
        wh_loop_timer_start(node->loop, timer, DRAIN_STEP_MS);
        return;
    }
    if (control_leave(node->control)) { /* gives the goodbye a turn to get out */
        wh_loop_timer_start(node->loop, timer, 1);
        return;
    }
    node->drained(node->drained_user);
}

void node_drain(struct node *node, void (*drained)(void *user), void *user)
{
    node->phase = NODE_DRAINING;
    node->drained = drained;
    node->drained_user = user;
    node->drain_started_ms = wh_loop_now_ms(node->loop);
    wh_log(WH_LOG_INFO, "node", "drain", "sessions=%zu spread_ms=%" PRIu64, node->session_count,
           node->config->drain.spread_ms);
    wh_timer_init(&node->drain_timer, on_drain_timer);
    wh_loop_timer_start(node->loop, &node->drain_timer, 0);
}

/* Health */

bool node_is_ready(const struct node *node, struct wh_buf *out_json)
{
    const char *rpc_problem = node->broker_is_up ? rpc_link_problem(node->rpc) : "";
    bool is_ready = node->broker_is_up && rpc_problem[0] == '\0' && node->phase == NODE_SERVING;
    wh_buf_printf(out_json, "{\"ready\":%s,\"checks\":{\"", is_ready ? "true" : "false");
    wh_buf_append_str(out_json, node->broker->ops->name);
    wh_buf_append_str(out_json, "\":");
    if (rpc_problem[0] != '\0') { /* links of its own, which come up a moment apart */
        char text[sizeof(node->broker_reason) + 64];
        snprintf(text, sizeof(text), "down for rpc: %s", rpc_problem);
        wh_json_write_string(out_json, wh_slice_from_str(text));
    } else if (node->broker_is_up) {
        wh_buf_append_str(out_json, "\"up\"");
    } else {
        char text[sizeof(node->broker_reason) + 64];
        uint64_t down_ms = wh_loop_now_ms(node->loop) - node->broker_down_since_ms;
        snprintf(text, sizeof(text), "down %" PRIu64 ".%" PRIu64 "s: %s", down_ms / 1000,
                 down_ms % 1000 / 100, node->broker_reason);
        wh_json_write_string(out_json, wh_slice_from_str(text));
    }
    wh_buf_printf(out_json, ",\"draining\":%s}}\n", node->phase == NODE_SERVING ? "false" : "true");
    return is_ready;
}

void node_update_metrics(struct node *node)
{
    metrics_set(node->metrics, METRIC_LOOP_TURNS, (int64_t)node->loop->turns);
    metrics_set(node->metrics, METRIC_LOOP_BUSY_US, (int64_t)node->loop->busy_us);
}
