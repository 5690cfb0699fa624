/*
 * A node is one worker process: the composition root.  Everything a worker
 * has hangs off this struct; there are no other globals.  One thread.
 */
#ifndef HUB_NODE_H
#define HUB_NODE_H

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/frame.h"
#include "common/io/loop.h"
#include "hub/auth.h"
#include "hub/broker.h"
#include "hub/channel.h"
#include "hub/config.h"
#include "hub/metrics.h"
#include "hub/registry.h"

struct demo;
struct session;
struct tracing;

/* A session with commands in flight is spared this long past drain.spread. */
enum { DRAIN_GRACE_MS = 2500 };

enum node_phase {
    NODE_SERVING,
    NODE_DRAINING, /* accepts nobody, closes sessions with 3001 over drain.spread */
    NODE_STOPPED
};

struct node {
    char id[37]; /* a UUID: this worker's address among all */
    struct wh_loop *loop;
    const struct config *config; /* borrowed; replaced by node_reload */
    struct channel_rules *rules;
    struct gateway_rules *gateway_rules;
    struct jwks_pool *jwks; /* keys that the verifiers fetch; outlives a reload */
    struct token_verifier *connection_tokens;
    struct token_verifier *subscription_tokens;
    struct metrics *metrics;
    struct metrics_shared *metrics_shared;
    struct registry registry;
    struct broker *broker;
    struct rpc *rpc;
    struct presence *presence;
    struct control *control;
    struct revocations *revocations;
    struct rates *rates;
    struct tracing *tracing; /* NULL = off */
    struct demo *demo;       /* NULL = off; whoever made it frees it */
    bool broker_is_up;
    char broker_reason[128]; /* why it is down */
    uint64_t broker_down_since_ms;
    enum node_phase phase;

    struct wh_list sessions; /* all that are not closing */
    size_t session_count;
    size_t rest_calls;     /* under way: a drain waits for them as for commands */
    struct wh_list dirty;  /* sessions with frames to write at the end of the turn */
    struct wh_list doomed; /* sessions to close at the end of the turn */
    struct wh_task at_turn_end;

    struct wh_frame *ping_frames[WH_ENCODING_COUNT];
    struct wh_arena arena;      /* of the message being processed */
    struct wh_buf scratch;      /* of the function that uses it; never across a call */
    struct wh_buf replies;      /* replies of one session not yet made into a frame */
    struct session *replies_to; /* NULL = none */

    void (*closed)(void *user);
    void *closed_user;
    struct wh_timer drain_timer;
    uint64_t drain_started_ms;
    void (*drained)(void *user);
    void *drained_user;
};

/*
 * Borrows `config` until node_deinit or a node_reload.  Starts the broker; nothing is accepted yet.
 * `out_problem` gets the text when a key or the broker's address is unusable (WH_EINVAL).  After
 * a failure there is nothing to close.
 */
WH_MUST_CHECK enum wh_err node_init(struct node *node,
                                    struct wh_loop *loop,
                                    const struct config *config,
                                    struct metrics *metrics,
                                    struct metrics_shared *shared,
                                    struct wh_buf *out_problem);

/* The same with a broker of the caller's own instead of the one that config->engine names. */
typedef enum wh_err node_broker_maker(struct node *node,
                                      const struct broker_events *events,
                                      struct broker **out_broker);
WH_MUST_CHECK enum wh_err node_init_with(struct node *node,
                                         struct wh_loop *loop,
                                         const struct config *config,
                                         struct metrics *metrics,
                                         struct metrics_shared *shared,
                                         node_broker_maker *make_broker,
                                         struct wh_buf *out_problem);

/* Close every session at once, then the broker; `closed` is called when all is gone. */
void node_close(struct node *node, void (*closed)(void *user), void *user);

/* After `closed`: frees the memory. */
void node_deinit(struct node *node);

/*
 * Work with a new, valid config from now on; after WH_OK the old one is no longer referred to.
 * WH_EINVAL with a text when a key in it is unusable: nothing changed.
 */
WH_MUST_CHECK enum wh_err node_reload(struct node *node,
                                      const struct config *config,
                                      struct wh_buf *out_problem);

/* Close all sessions with 3001, spread over drain.spread; `drained` once nobody is left. */
void node_drain(struct node *node, void (*drained)(void *user), void *user);

/* Whether this worker should get traffic; writes the JSON body of /readyz. */
bool node_is_ready(const struct node *node, struct wh_buf *out_json);

/* Refresh gauges that are cheaper to compute on demand. */
void node_update_metrics(struct node *node);

#endif
