/*
 * One socket to one Redis, from connect to close: bytes out, replies in.
 * What they mean, and what to do when it breaks, is redis.c's business.
 *
 * Commands collect in one buffer and leave in one write at the end of the
 * loop turn.  The socket stays registered for reading all its life; waiting
 * to write is the exception for a peer that does not keep up.
 *
 * Internal to common/io.  Loop thread only.
 */
#ifndef WH_IO_REDIS_LINK_H
#define WH_IO_REDIS_LINK_H

#include "common/io/loop.h"
#include "common/io/redis_reply.h"

struct wh_redis_link;

struct wh_redis_link_events {
    void (*on_connected)(void *user);
    /* The reply is borrowed until this returns. */
    void (*on_reply)(void *user, const struct wh_redis_reply *reply);
    /* Connecting failed or the connection broke, "connect: Connection refused"; at most once and
     * the last event but on_closed.  The link closes itself. */
    void (*on_lost)(void *user, const char *reason);
    /* The socket and the struct are gone: the last event of every link. */
    void (*on_closed)(void *user);
    void *user;
};

struct wh_redis_link_options {
    const char *path;               /* a unix socket; NULL = `address` */
    const struct sockaddr *address; /* copied by the kernel at once */
    size_t queue_bytes_max;         /* bytes not yet taken by the kernel */
    size_t reply_bytes_max;
    struct wh_redis_link_events events;
};

/* Start connecting; no event comes before this returns.  WH_ENOMEM: nothing happened; WH_EIO: no
 * socket could be had, and on_closed still comes. */
WH_MUST_CHECK enum wh_err wh_redis_link_open(struct wh_loop *loop,
                                             const struct wh_redis_link_options *options,
                                             struct wh_redis_link **out_link);

/* Queue one command, binary-safe, for this turn's end.  WH_ELIMIT, WH_ENOMEM: nothing was queued.
 */
WH_MUST_CHECK enum wh_err wh_redis_link_write(struct wh_redis_link *link,
                                              const struct wh_slice *argv,
                                              size_t argc);

/* Bytes read so far: tells a slow peer from a silent one. */
uint64_t wh_redis_link_bytes_read(const struct wh_redis_link *link);

/* No event from now on but on_closed.  Harmless when it is closing already. */
void wh_redis_link_close(struct wh_redis_link *link);

#endif
