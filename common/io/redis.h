/*
 * One logical connection to one Redis: connects, authenticates, keeps itself
 * connected for ever (back-off 50 ms to 2 s with full jitter), and carries
 * commands.  Down is a normal state: nothing here fails for good.
 *
 * Commands are arrays of byte strings, never text to be parsed, so names and
 * payloads of strangers are safe whatever bytes they hold.  All commands of a
 * loop turn leave in one write.
 *
 * Loop thread only.  Callbacks never come before the call that caused them
 * returned, and any of them may call anything here.
 */
#ifndef WH_IO_REDIS_H
#define WH_IO_REDIS_H

#include "common/io/loop.h"
#include "common/io/redis_reply.h"

struct wh_redis;

enum {
    WH_REDIS_TIMEOUT_MS = 2000,
    WH_REDIS_QUEUE_BYTES_MAX = 16 * 1024 * 1024,
    WH_REDIS_REPLY_BYTES_MAX = 64 * 1024 * 1024,
    WH_REDIS_REASON_MAX = 192,
};

struct wh_redis_options {
    const char *address;  /* see redis_address.h */
    const char *user;     /* NULL or "" = the default user */
    const char *password; /* NULL or "" = no AUTH */
    uint64_t db;          /* SELECT; 0 = none */

    /* Each 0 = the default above. */
    uint32_t connect_timeout_ms; /* look-up, connect, AUTH, SELECT and PING together */
    uint32_t command_timeout_ms; /* from sending to reply */
    size_t queue_bytes_max;      /* commands that the kernel has not taken yet */
    size_t reply_bytes_max;      /* one reply */

    /* Not NULL: a pub/sub connection.  After the handshake every reply goes here, borrowed until
     * return; wh_redis_send is not for such a connection, wh_redis_write is. */
    void (*on_push)(void *user, const struct wh_redis_reply *reply);
    void *push_user;
};

/* Everything in `options` is copied.  Connecting starts with the next loop turn.
 * WH_EINVAL: the address cannot be understood; WH_ENOMEM. */
WH_MUST_CHECK enum wh_err wh_redis_new(struct wh_loop *loop,
                                       const struct wh_redis_options *options,
                                       struct wh_redis **out_redis);

/*
 * For ever.  Requests under way end with WH_ECLOSED, then `closed` is called and `redis` is gone.
 * A name look-up under way is waited for: the resolver's time-out bounds that.
 */
void wh_redis_close(struct wh_redis *redis, void (*closed)(void *user), void *user);

/* Connected, authenticated, and the server is a primary that has loaded its data. */
bool wh_redis_is_up(const struct wh_redis *redis);

/* Why it is down; "" when up.  Valid until the state changes. */
const char *wh_redis_reason(const struct wh_redis *redis);

/* Break the connection and make a new one after a back-off: for who knows that the peer is dead. */
void wh_redis_reconnect(struct wh_redis *redis, const char *reason);

/* What happened so far, for metrics. */
struct wh_redis_stats {
    uint64_t commands;   /* taken for sending, those of the handshake not counted */
    uint64_t errors;     /* commands that Redis refused or that got no answer */
    uint64_t reconnects; /* times it came up after having been up before */
};
const struct wh_redis_stats *wh_redis_stats(const struct wh_redis *redis);

/*
 * Be told of every change: up (reason ""), down, and down for another reason than before, such as
 * "connect: Connection refused", "redis: WRONGPASS …", "no reply for 2.0 s".  Embedded by its
 * owner, who unwatches before `closed`.
 */
struct wh_redis_watch {
    struct wh_list link;
    void (*on_state)(struct wh_redis_watch *watch, bool is_up, const char *reason);
};
void wh_redis_watch(struct wh_redis *redis, struct wh_redis_watch *watch);
void wh_redis_unwatch(struct wh_redis_watch *watch);

/*
 * One command under way.  Embedded by its owner, who leaves it alone until `done`, which is called
 * exactly once and gives the memory back:
 *
 *     WH_OK            Redis answered; `reply` (borrowed until return) may be of type ERROR
 *     WH_EUNAVAILABLE  down: it was not sent
 *     WH_ELIMIT        queue_bytes_max: it was not sent
 *     WH_ENOMEM        it was not sent
 *     WH_ETIMEOUT      no answer in time, the connection was given up: it may have been done
 *     WH_EIO           the connection broke: it may have been done
 *     WH_ECLOSED       wh_redis_close
 *
 * For all but WH_OK `reply` is NULL.  Do not send again from inside `done` after WH_EUNAVAILABLE:
 * that would never end.
 */
struct wh_redis_request {
    struct wh_list link;
    uint64_t deadline_ms;
    enum wh_err err;
    void (*done)(struct wh_redis_request *request,
                 enum wh_err err,
                 const struct wh_redis_reply *reply);
};

/* Send one command; `argv` is copied.  Commands are done in the order sent. */
void wh_redis_send(struct wh_redis *redis,
                   struct wh_redis_request *request,
                   const struct wh_slice *argv,
                   size_t argc);

/* For a pub/sub connection: send without expecting an answer of its own.
 * WH_EUNAVAILABLE, WH_ELIMIT, WH_ENOMEM: nothing was sent. */
WH_MUST_CHECK enum wh_err wh_redis_write(struct wh_redis *redis,
                                         const struct wh_slice *argv,
                                         size_t argc);

#endif
