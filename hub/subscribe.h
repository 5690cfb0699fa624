/*
 * The way from "subscribe" to a live subscription, whoever asks: a client's
 * command, a connect with server-side subscriptions, the server API.
 *
 *   reserve -> link (the broker carries the channel to this node)
 *           -> presence entry
 *           -> read (position, and what was missed)      positioned only
 *           -> catch up (this node broadcast at least so far)      likewise
 *           -> ready -> the owner calls subscribe_finish in its own order
 *
 * subscribe_finish makes the subscription live and hands out the result in one
 * step, so no publication is lost or doubled between the reply and the first
 * push.
 */
#ifndef HUB_SUBSCRIBE_H
#define HUB_SUBSCRIBE_H

#include "common/protocol/codes.h"
#include "hub/node.h"

struct subscribe_op;
typedef void subscribe_ready(struct subscribe_op *op);

/* What is asked for; slices and payloads are copied. */
struct subscribe_request {
    struct wh_slice channel;
    const struct channel_options *options;
    bool positioned;  /* asked for and granted, or forced */
    bool recoverable; /* likewise; implies positioned */
    bool gets_joins;  /* granted or forced */
    bool presence;    /* keep an entry while it lives */
    bool announces;   /* publish its join and leave */
    bool is_server_side;
    bool is_compact;   /* pushes may name the channel by number */
    bool has_deltas;   /* granted */
    bool recover;      /* from `offset`, `epoch` */
    bool must_recover; /* WH_ERROR_UNRECOVERABLE_POSITION rather than starting anew */
    uint64_t offset;
    struct wh_slice epoch;
    const struct wh_filter_node *tags_filter; /* NULL = none; read by subscribe_start only */
    int64_t expire_at;                        /* unix seconds; 0 = never */
    struct wh_payload chan_info;
    struct wh_payload data; /* for the result */
};

/* Embedded by its owner; zeroed before subscribe_start. */
struct subscribe_op {
    struct session *session; /* NULL once ended */
    struct subscription *subscription;
    subscribe_ready *ready;
    struct wh_list channel_link; /* channel->waiting, or the feed's list of those who catch up */
    struct wh_arena arena;       /* of everything below */
    struct subscribe_request request;
    struct subscribe_answer *answer; /* from the broker, outstanding */
    struct feed *feed;               /* while it keeps publications for this op */
    uint64_t life;
    unsigned tries;
    struct broker_position top;
    const struct wh_pub *publications;
    size_t publication_count;
    bool is_recovered;
    bool is_ready;
    enum wh_code code; /* once ready: WH_NO_ERROR, an error or a disconnect */
};

/*
 * Begin.  `op->is_ready` may be true on return; else `ready` is called once, later.
 */
void subscribe_start(struct subscribe_op *op,
                     struct session *session,
                     const struct subscribe_request *request,
                     subscribe_ready *ready);

/*
 * When ready without an error: live from now on.  The result's slices live until subscribe_end.
 * A code other than WH_NO_ERROR: nothing became live.
 */
enum wh_code subscribe_finish(struct subscribe_op *op, struct wh_subscribe_result *out_result);

/* The reply is queued: let others know of the new subscriber. */
void subscribe_announce(struct subscribe_op *op);

/* Free what it holds; the subscription goes with it unless it was finished.  Any state;
 * again is harmless. */
void subscribe_end(struct subscribe_op *op);

/* Called by the channel's broker subscription and by its feed. */
void subscribe_linked(struct subscribe_op *op, enum wh_err err);
void subscribe_caught_up(struct subscribe_op *op, enum wh_err err);

/*
 * End a live subscription: presence entry, leave, broker.  With an unsubscribe code the client is
 * told; 0 = it asked itself, or its connection is gone.
 */
void subscription_end(struct subscription *subscription, uint32_t code);

/* Replace the chan_info, if `info` is present. */
WH_MUST_CHECK enum wh_err subscription_set_info(struct subscription *subscription,
                                                struct wh_payload info);

/* Renew the presence entries of a session. */
void subscription_renew_presence(struct session *session);

/* What the channel's options make of a client's wishes. */
struct subscribe_grant {
    bool positioned, recoverable, gets_joins;
};
struct subscribe_grant subscribe_grant(const struct session *session,
                                       const struct channel_options *options,
                                       const struct wh_subscribe_request *wish);

/*
 * Fill in what options, grants and the overrides of a token or the server API decide: `options`,
 * presence, announces, gets_joins, positioned, recoverable.
 */
void subscribe_decide(struct subscribe_request *request,
                      const struct channel_options *options,
                      const struct subscribe_grant *grant,
                      const struct token_overrides *override);

#endif
