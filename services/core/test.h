/*
 * A context without a service: unit tests call handlers with it, and need
 * neither Redis nor threads.
 *
 *     struct svc_ctx *ctx = svc_test_open(&settings, NULL);
 *     assert_int_equal(svc_test_call(ctx, methods, "greeter.v1.greet",
 *                                    &(struct svc_test_call){.params = "{\"name\":\"Ada\"}"}),
 *                      SVC_OK);
 *     assert_string_equal(svc_test_answer(ctx), "{\"text\":\"Hello, Ada\"}");
 *     svc_test_close(ctx);
 *
 * A handler is called directly, without transaction or idempotency key: what
 * the database adds is for integration tests; test_db.h has a scripted one for
 * handlers that use it.  Aborts when memory ends.
 */
#ifndef SERVICES_CORE_TEST_H
#define SERVICES_CORE_TEST_H

#include "services/core/service.h"

/* Both may be NULL; borrowed. */
struct svc_ctx *svc_test_open(const void *settings, void *state);
void svc_test_close(struct svc_ctx *ctx);

/* Everything may be left out. */
struct svc_test_call {
    const char *params;       /* JSON */
    struct wh_payload raw;    /* when present: in place of `params` */
    const char *user;         /* NULL = "" = anonymous */
    const char *const *roles; /* NULL-terminated */
    const char *key;          /* idempotency key */
    uint64_t timeout_ms;      /* 0 = 4800 */
};

/* Run the method of the table; its code, as a caller would see it (104 when there is none). */
uint32_t svc_test_call(struct svc_ctx *ctx,
                       const struct svc_method *methods,
                       const char *method,
                       const struct svc_test_call *call);

/* Of the last call: the answer as JSON text, "" after an error; and the error's text, "" without
 * one.  Valid until the next. */
const char *svc_test_answer(struct svc_ctx *ctx);
const char *svc_test_error(struct svc_ctx *ctx);

/* The answer as it would go out. */
struct wh_payload svc_test_payload(struct svc_ctx *ctx);

#endif
