/*
 * Transactions as the core wraps them around handlers: tried again when that
 * helps, looked up when the answer to COMMIT was lost.
 *
 * What makes a lost COMMIT decidable is a row that the transaction writes and
 * that only it writes: the claim of a caller's key or of an event, else a note
 * with an id of its own (table commit_note).  The next attempt begins by
 * inserting that row again, which waits for a server that is still at it, and
 * then either succeeds (nothing had happened) or meets the row (it had).
 *
 * For the files of services/core only.
 */
#ifndef SERVICES_CORE_TX_H
#define SERVICES_CORE_TX_H

#include "services/core/db.h"

struct svc_tx_work {
    enum svc_tx mode;
    /*
     * The transaction's first statements, when they claim something by a row that tells a lost
     * COMMIT.  `*out_is_done`: it was claimed before, so there is nothing to do: what this returns
     * is the answer, and the transaction is rolled back.  NULL: the note is used.
     */
    uint32_t (*claim)(struct svc_ctx *ctx, void *user, bool *out_is_done);
    svc_tx_body *body;
    svc_tx_body *seal; /* the last statements, after a body that returned 0; may be NULL */
    void *user;
};

/* svc_tx with the whole of it. */
uint32_t svc_tx_run(struct svc_ctx *ctx, const struct svc_tx_work *work);

/* Serialization failures, deadlocks and lost COMMITs since the start of the process. */
struct svc_tx_counts {
    uint64_t retries;
    uint64_t lost_commits;
};
struct svc_tx_counts svc_tx_counts(void);

#endif
