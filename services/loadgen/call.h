/*
 * One call of a customer: a POST to the hub that is made again, under the same
 * idempotency key, until the answer is one that will not change or patience
 * ends.  Loop thread only.
 */
#ifndef SERVICES_LOADGEN_CALL_H
#define SERVICES_LOADGEN_CALL_H

#include "common/base/arena.h"
#include "common/io/http_client.h"

enum {
    CALL_TIMEOUT_MS = 15000, /* of one attempt */
    CALL_ATTEMPTS_MAX = 8,
    CALL_BODY_MAX = 1024 * 1024,
};

struct call_place {
    struct wh_loop *loop;
    struct wh_http_client *http;
    const char *url; /* of the hub */
};

struct call_answer {
    long status; /* HTTP's; 0 = none came */
    struct wh_slice body;
    const char *problem; /* NULL, or why there is no answer */
    unsigned attempts;
    uint64_t took_us; /* from the first attempt to this answer */
};

typedef void call_done_fn(void *user, const struct call_answer *answer);

struct call_request {
    const char *path; /* "/rpc/orders.v1.create" */
    struct wh_slice params;
    const char *token; /* NULL = anonymous */
    bool has_key;      /* gets an idempotency key of its own */
};

/* Everything is copied; `done` runs exactly once, later, and may start calls.  WH_ENOMEM. */
WH_MUST_CHECK enum wh_err call_start(const struct call_place *place,
                                     const struct call_request *request,
                                     call_done_fn *done,
                                     void *user);

/* A member of the object `body` that is a string, in `arena`; absent when there is none. */
struct wh_slice call_text_member(struct wh_slice body, const char *name, struct wh_arena *arena);

#endif
