/*
 * The MessagePack of calls and answers (docs/REDIS.md, "Serve a method"), as lean as a program that
 * does nothing else can have it.
 */
#ifndef BENCH_RPC_ENVELOPE_H
#define BENCH_RPC_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ENVELOPE_MAX = 8192 };

struct bytes {
    const char *at;
    size_t length;
};

/* What a service needs of a call, and a caller of an answer; absent members are zero. */
struct envelope {
    uint64_t id;
    uint64_t deadline_ms;
    struct bytes method;
    struct bytes reply;
    unsigned kind;
    struct bytes payload; /* "params" or "data" */
    bool is_error;
};

/* JSON of `size` bytes: {"pad":"xxx…"}. */
void payload_fill(char *out, size_t size);

/* Both return the length; `out` has ENVELOPE_MAX bytes. */
size_t envelope_call(char *out,
                     uint64_t id,
                     const char *method,
                     const char *reply,
                     struct bytes params);
size_t envelope_answer(char *out, uint64_t id, unsigned kind, struct bytes data);

/* Takes one map from *at; false when the bytes are none. */
bool envelope_take(const char **at, const char *end, struct envelope *out_envelope);

#endif
