/*
 * Tokens that are not good any more though their signature is: by id (jti),
 * and all of a user issued before a moment.  Each node has the whole list in
 * memory, so checking costs no question; with Redis the list is also kept in
 * the hash wh:revoked, read whenever the link comes up, and the other nodes
 * are told by a control message.
 */
#ifndef HUB_REVOCATIONS_H
#define HUB_REVOCATIONS_H

#include "hub/api_model.h"
#include "hub/auth.h"
#include "hub/broker.h"

enum { REVOCATIONS_MAX = 1000000, REVOCATION_SWEEP_MS = 60000 };

struct revocations;

/* `is_loaded`: there is nothing to read first. */
WH_MUST_CHECK enum wh_err revocations_new(struct wh_loop *loop,
                                          bool is_loaded,
                                          struct revocations **out_revocations);
void revocations_stop(struct revocations *revocations); /* its timer, for the loop to end */
void revocations_free(struct revocations *revocations); /* NULL is fine */

enum revocation_verdict {
    TOKEN_IS_GOOD,
    TOKEN_IS_REVOKED,
    TOKEN_IS_UNDECIDED /* the list has not been read yet: Redis has been away since the start */
};
enum revocation_verdict revocations_check(const struct revocations *revocations,
                                          const struct token_claims *claims);

/*
 * An `expire_at` of 0 is for ever.  Joined with what is known of the same token or user already:
 * the later times win, and the request gets them.  WH_ELIMIT past REVOCATIONS_MAX, WH_ENOMEM.
 */
WH_MUST_CHECK enum wh_err revocations_add_token(struct revocations *revocations,
                                                struct api_revoke_token_request *request);
WH_MUST_CHECK enum wh_err revocations_add_user(struct revocations *revocations,
                                               struct api_invalidate_user_tokens_request *request);

/*
 * The hash of a redis broker; revocations_redis.c.  A field is "t:<jti>" or "u:<user>", its value
 * "<expire_at> <issued_before>" in unix seconds.  `done` may come before these return.
 */
void revocations_store(struct broker *broker,
                       char kind,
                       struct wh_slice id,
                       int64_t expire_at,
                       int64_t issued_before,
                       broker_done *done,
                       void *user);
/* Read all, now; whoever finds fields past their time deletes them. */
void revocations_load(struct revocations *revocations, struct broker *broker);
void revocations_set_loaded(struct revocations *revocations);

/*
 * Called once, when the list was read for the first time and is not empty: who came in undecided
 * may be on it.
 */
void revocations_on_first_list(struct revocations *revocations, void (*fn)(void *user), void *user);

#endif
