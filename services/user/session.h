/*
 * What log-in, registration and refresh have in common: a family of refresh
 * tokens begun or carried on, and the answer with both tokens.
 * Thread of the context only.
 */
#ifndef SERVICES_USER_SESSION_H
#define SERVICES_USER_SESSION_H

#include "services/user/user_store.h"

struct session {
    char family[37];
    char token[REFRESH_TOKEN_TEXT + 1]; /* the live refresh token */
    struct key_rows keys;               /* as of its transaction */
};

/* Make up a family and its first token, before any transaction. */
void session_prepare(struct session *session);

/*
 * In a writing transaction: store the first token of `session` for the account.
 * SVC_OK; 1503 when no key signs yet; as svc_db_code.
 */
uint32_t session_open(struct svc_ctx *ctx, struct session *session, struct wh_slice account);

/* In a transaction: which keys there are, and publish them. */
uint32_t session_read_keys(struct svc_ctx *ctx, struct session *session);

/* After the commit: sign an access token and answer. */
uint32_t session_reply(struct svc_ctx *ctx,
                       const struct session *session,
                       const struct user_view *user);

#endif
