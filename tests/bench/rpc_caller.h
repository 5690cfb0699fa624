/*
 * The calling side of `./dev bench rpc` over a socket of our own: what the transports share.
 */
#ifndef BENCH_RPC_CALLER_H
#define BENCH_RPC_CALLER_H

#include "rpc_pace.h"
#include "rpc_stream.h"

enum { PAYLOAD_SIZE_MAX = 4096 };

struct caller {
    struct pace_options options;
    struct pace pace;
    const struct transport *transport;
    struct stream *streams;
    uint32_t stream_count;
    uint32_t stream_next; /* whose turn it is */
    struct stream batch;  /* `out` collects what leaves as one command */
    uint32_t batch_count;
    uint64_t answers; /* so far, where answers come in the order of calls */
    char reply[64];   /* channel or subject of ours */
    char payload[PAYLOAD_SIZE_MAX];
};

struct transport {
    const char *name;
    bool (*open)(struct caller *caller);
    void (*call)(struct caller *caller, uint64_t id); /* puts it into a stream's output */
    void (*end_turn)(struct caller *caller);          /* NULL: nothing but flushing */
    void (*on_input)(struct caller *caller, struct stream *stream, uint64_t now_ns);
};

extern const struct transport raw_transport, echo_transport, list_transport, nats_transport;
extern const struct transport websocket_transport;

#endif
