/*
 * Payments in PostgreSQL.  Every function but payment_claim wants an open
 * transaction of `ctx`; what it reads lives until the handler returns.
 */
#ifndef SERVICES_PAYMENT_PAYMENT_STORE_H
#define SERVICES_PAYMENT_PAYMENT_STORE_H

#include "services/core/db.h"
#include "services/payment/payment.h"
#include "services/payment/payment_model.h"

/* Every statement of the service, by name: for the test that asks for their plans. */
struct payment_statement {
    const char *name;
    const char *sql;
};
extern const struct payment_statement payment_statements[]; /* ends with {NULL, NULL} */

struct payment {
    struct wh_slice id;
    struct wh_slice order;
    struct wh_slice user;
    struct svc_money *amount; /* NULL: voided before it was requested */
    struct wh_slice card;     /* "" once it is not needed any more */
    struct wh_slice reason;
    struct wh_slice reference;
    struct wh_slice traceparent; /* of who wished what is to be done next */
    enum payment_state state;
    enum payment_wish wish;
    uint32_t attempts;
    int64_t version;
};

/* The payment under this id, locked until the end of the transaction; `*out_is_there` false:
 * none. */
enum svc_db_err payment_lock(struct svc_ctx *ctx,
                             struct wh_slice id,
                             struct payment *out_payment,
                             bool *out_is_there);

/* A new one.  SVC_DB_OK with nothing written when somebody was faster: the caller reads again. */
enum svc_db_err payment_insert(struct svc_ctx *ctx,
                               const struct payment *payment,
                               bool *out_is_inserted);

/* What became of it: state, wish, reason, reference, attempts, and when to look at it again.  The
 * lease ends.  SVC_DB_OK and `*out_is_written` false: it is not of payment->version any more. */
enum svc_db_err payment_update(struct svc_ctx *ctx,
                               const struct payment *payment,
                               uint32_t due_in_ms,
                               bool *out_is_written);

/* Take the payment that is due longest and that nobody is at, for `lease_ms`.  A transaction of its
 * own. */
enum svc_db_err payment_claim(struct svc_ctx *ctx,
                              uint32_t lease_ms,
                              struct payment *out_payment,
                              bool *out_is_there);

/* For users: their own only.  `cursor` "" = from the newest.  One more than `limit` when there are
 * more. */
enum svc_db_err payment_find(struct svc_ctx *ctx,
                             struct wh_slice user,
                             const struct payment_ref *ref,
                             struct payment_view *out_view,
                             bool *out_is_there);
enum svc_db_err payment_page_read(struct svc_ctx *ctx,
                                  struct wh_slice user,
                                  struct wh_slice cursor,
                                  uint32_t limit,
                                  struct payment_list *out_list);

/* Say the state of the payment as an event: to other services and to its user. */
uint32_t payment_tell(struct svc_ctx *ctx, const struct payment *payment);

#endif
