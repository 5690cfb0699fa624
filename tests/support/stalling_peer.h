/*
 * A server that goes along up to a point and then stands still: for clients that are to be ended
 * wherever they are.  One connection after another; stalling_peer_stop ends what stands.
 *
 * It answers connect, and subscribe by its channel: "up" yes, "busy" error 100, others not at all;
 * no call is answered, nor a WebSocket ping.
 */
#ifndef WH_TEST_STALLING_PEER_H
#define WH_TEST_STALLING_PEER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum stall_point {
    STALL_AT_ACCEPT,  /* nothing is read (TLS: no hello) */
    STALL_AT_REQUEST, /* the upgrade, or a proxy's CONNECT, was read */
    STALL_AT_CONNECT, /* so was the connect command */
    STALL_AT_CLOSE,   /* so was all that followed; the close frame is not answered */
    STALL_NOWHERE,    /* the close frame is answered */
    STALL_AFTER_SUBS, /* nothing more is read once "up" was subscribed */
    STALL_FLOOD       /* … and publications are sent to it without end */
};

struct stalling_peer {
    enum stall_point point;
    void *peer;
    uint16_t port;
    _Atomic bool has_stalled;  /* the point was reached; not for CLOSE and NOWHERE */
    _Atomic bool was_closed;   /* a close frame came */
    _Atomic unsigned commands; /* that were read */
};

void stalling_peer_start(struct stalling_peer *peer, enum stall_point point);
void stalling_peer_stop(struct stalling_peer *peer);

/* A port that does not answer SYN: a listener with a full backlog. */
struct full_listener {
    int listener, fillers[4];
    uint16_t port;
    unsigned waiting; /* SYNs of the fillers that are not answered */
};

void full_listener_start(struct full_listener *full);
void full_listener_stop(struct full_listener *full);
/* SYNs to the port that wait now. */
unsigned full_listener_waiting(const struct full_listener *full);

#endif
