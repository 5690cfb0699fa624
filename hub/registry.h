/*
 * Who is here: channels -> subscriptions and users -> sessions of this node,
 * and the fan-out over them.
 *
 * A channel keeps one dense array of subscribers per lane, so a broadcast
 * touches one slot a subscriber and nothing else.  A lane is an encoding with
 * the channel named in full or by its number (channel compaction).
 * Subscribers with a tags filter or deltas stand apart: registry_internal.h.
 * Publications of one turn are encoded once per lane into one message; at the
 * end of the turn each subscriber gets it in one write.  A broadcast never removes anybody: a
 * session over its limit is doomed and closed after the walk.
 */
#ifndef HUB_REGISTRY_H
#define HUB_REGISTRY_H

#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/protocol/model.h"

enum { REGISTRY_LANES = 2 * WH_ENCODING_COUNT };

struct node;
struct session;
struct feed;
struct channel;
struct channel_options;
struct group;

enum subscription_state {
    SUBSCRIPTION_PENDING, /* waits for the broker; gets nothing yet */
    SUBSCRIPTION_ACTIVE   /* its reply is on the way; live */
};

/* One session × one channel.  Owned by the registry from registry_reserve to registry_remove. */
struct subscription {
    struct session *session;
    struct channel *channel;
    struct group *group;         /* NULL: gets every publication as it is */
    struct wh_list session_link; /* on session->subscriptions */
    uint32_t slot;               /* in the array of its lane, of group or channel; if ACTIVE */
    uint8_t lane;                /* registry_lane */
    enum subscription_state state;
    bool is_positioned; /* a gap must end it: see feed.h */
    bool is_recoverable;
    bool is_server_side; /* made by token or API; insufficient state closes the connection */
    bool has_presence;   /* an entry is kept while it lives */
    bool announces;      /* joins and leaves are published */
    bool gets_joins;     /* they are pushed to it */
    int64_t expire_at;   /* unix seconds; 0 = never */
    char *chan_info;     /* owned copy of a payload; NULL = none */
    size_t chan_info_len;
    enum wh_payload_kind chan_info_kind;
};

struct subscriber_slot {
    struct session *session; /* beside the pointer that is needed only on removal */
    struct subscription *subscription;
};

struct subscriber_array {
    struct subscriber_slot *slots;
    uint32_t count;
    uint32_t capacity;
};

enum channel_link {
    CHANNEL_UNLINKED, /* the broker does not carry it to us */
    CHANNEL_LINKING,  /* asked, not confirmed */
    CHANNEL_LINKED
};

struct channel {
    struct wh_slice name; /* stored behind the struct */
    const struct channel_options *options;
    struct subscriber_array subscribers[REGISTRY_LANES];
    uint32_t reserved;     /* subscriptions, pending ones included, and pins */
    uint32_t joins_wanted; /* active subscriptions that get joins and leaves */
    uint64_t number;       /* its short name in pushes; never used twice by a node */
    struct feed *feed;     /* NULL as long as nobody asked for a position */
    enum channel_link link;
    uint64_t link_id;                    /* which request to the broker LINKING waits for */
    struct wh_list waiting;              /* of struct subscribe_op: those that wait for LINKED */
    struct wh_list groups;               /* of struct group: those who do not get everything */
    struct wh_list batch_link;           /* on registry->batches while something is batched */
    struct wh_buf batch[REGISTRY_LANES]; /* encoded pushes of this turn: one message to be */
};

/* All sessions of one user id. */
struct user {
    struct wh_slice id; /* stored behind the struct */
    struct wh_list sessions;
    uint32_t session_count;
};

struct registry {
    struct node *node;
    struct wh_map channels;
    struct wh_map users;
    struct wh_list batches;
    uint64_t link_ids;        /* the last given */
    uint64_t channel_numbers; /* likewise */
};

void registry_init(struct registry *registry, struct node *node);
void registry_deinit(struct registry *registry); /* nobody may be subscribed any more */

/*
 * Reserve a subscription of `session` to `name`; the channel is made when it is the first.
 * WH_EEXIST: subscribed or being subscribed already.  WH_ENOMEM.
 */
WH_MUST_CHECK enum wh_err registry_reserve(struct registry *registry,
                                           struct session *session,
                                           struct wh_slice name,
                                           const struct channel_options *options,
                                           struct subscription **out_subscription);

/*
 * A reserved subscription is to get only publications whose tags pass `root`, which is not kept.
 * WH_EFORMAT: see filter.h.  WH_ENOMEM.
 */
WH_MUST_CHECK enum wh_err registry_filter(struct subscription *subscription,
                                          const struct wh_filter_node *root);

/* A reserved subscription, in an encoding that has them, is to get deltas.  WH_ENOMEM. */
WH_MUST_CHECK enum wh_err registry_use_deltas(struct subscription *subscription);

/* Whether what a subscription asked for includes `pub`. */
bool registry_wants(const struct subscription *subscription, const struct wh_pub *pub);

/* Make a reserved subscription live: from now on it gets what is published. */
WH_MUST_CHECK enum wh_err registry_activate(struct registry *registry,
                                            struct subscription *subscription);

/* Remove and free, in any state.  With the last one the channel goes and the broker is told. */
void registry_remove(struct registry *registry, struct subscription *subscription);

/* NULL when `session` has none for `name`. */
struct subscription *registry_find(struct registry *registry,
                                   const struct session *session,
                                   struct wh_slice name);

struct channel *registry_channel(struct registry *registry, struct wh_slice name);

/* The same, but only while it is still that channel: for answers that come later. */
struct channel *registry_channel_numbered(struct registry *registry,
                                          struct wh_slice name,
                                          uint64_t number);

/* Active subscriptions. */
uint32_t registry_count(const struct channel *channel);

/* Call `visit` for each active subscription, which it may end; no others. */
void registry_each(struct registry *registry,
                   struct channel *channel,
                   void (*visit)(struct subscription *subscription));

/* Keep a channel while its subscriptions may all go; release may free it. */
void registry_pin(struct channel *channel);
void registry_unpin(struct registry *registry, struct channel *channel);

/* Which array a subscription of this session belongs to. */
uint8_t registry_lane(enum wh_encoding encoding, bool is_compact);

/* A publication came from the broker: queue it for everybody here, unless the channel's stream
 * says that it is old or must wait. */
void registry_publication(struct registry *registry,
                          struct wh_slice name,
                          const struct wh_pub *pub,
                          bool is_plain);

/* Queue a publication for everybody here; written by registry_flush or earlier. */
void registry_broadcast(struct registry *registry,
                        struct channel *channel,
                        const struct wh_pub *pub,
                        bool is_plain);

/* Push a join or leave to those who want it. */
void registry_join(struct registry *registry,
                   struct wh_slice name,
                   const struct wh_info *info,
                   bool is_leave);

/* Write all batches: the end of the turn. */
void registry_flush(struct registry *registry);

/* Attach a session to its user.  WH_ELIMIT past `limit` sessions (0 = none). */
WH_MUST_CHECK enum wh_err registry_attach_user(struct registry *registry,
                                               struct session *session,
                                               struct wh_slice user,
                                               uint64_t limit);
void registry_detach_user(struct registry *registry, struct session *session);

#endif
