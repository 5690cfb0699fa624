/*
 * One WebSocket subscriber of the generator: upgrade, connect, subscribe, then receipts into the
 * meter.  Non-blocking; the owner calls subscriber_on_ready when epoll says so.
 *
 * It shares no code with the hub on purpose: a meter built from the thing it measures would be
 * wrong in the same places.
 */
#ifndef BENCH_SUBSCRIBER_H
#define BENCH_SUBSCRIBER_H

#include "meter.h"

#include <netinet/in.h>

enum subscriber_state {
    SUBSCRIBER_IDLE,
    SUBSCRIBER_CONNECTING, /* TCP */
    SUBSCRIBER_UPGRADING,
    SUBSCRIBER_GREETING, /* connect and subscribe are sent */
    SUBSCRIBER_READY,
    SUBSCRIBER_FAILED,
};

/* What all subscribers of a run have in common; constant while it lasts. */
struct target {
    struct sockaddr_in address;
    const char *path;
    const char *channel;
    const char *token; /* NULL = none */
    int epoll_fd;
    struct meter *meter;
};

/* All zero is idle; `index` is its row in the meter. */
struct subscriber {
    int fd;
    uint32_t index;
    enum subscriber_state state;
    char *rest; /* the incomplete tail of what was read; NULL when there is none */
    size_t rest_length;
    char failure[96];
};

/* Starts connecting.  The outcome shows in `state`. */
void subscriber_open(struct subscriber *subscriber, const struct target *target);

/* The socket is readable, writable or broken. */
void subscriber_on_ready(struct subscriber *subscriber, const struct target *target);

/* Resets the connection, so that no port lingers between the runs of a series. */
void subscriber_close(struct subscriber *subscriber);

#endif
