/*
 * The order of the checks is that of the costs of a mistake: the signature
 * before anything that the token says, its revocation before its use.
 */
#include "hub/identity.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "hub/node.h"
#include "hub/revocations.h"

/* Copies */

static size_t size_of(const struct token_claims *claims)
{
    size_t size = sizeof(struct identity) + claims->roles.count * sizeof(struct wh_slice);
    for (size_t i = 0; i < claims->roles.count; i++)
        size += claims->roles.items[i].len;
    return size + claims->meta.bytes.len;
}

static struct wh_slice put(char **at, struct wh_slice bytes)
{
    struct wh_slice copy = wh_slice(*at, bytes.len);
    if (bytes.len > 0)
        memcpy(*at, bytes.ptr, bytes.len);
    *at += bytes.len;
    return copy;
}

enum wh_err identity_new(const struct token_claims *claims, struct identity **out_identity)
{
    *out_identity = NULL;
    if (claims->roles.count == 0 && !wh_payload_is_present(claims->meta))
        return WH_OK;
    struct identity *identity = wh_calloc(1, size_of(claims));
    if (identity == NULL)
        return WH_ENOMEM;
    identity->roles.items = (struct wh_slice *)(void *)(identity + 1);
    identity->roles.count = claims->roles.count;
    char *at = (char *)(identity->roles.items + claims->roles.count);
    for (size_t i = 0; i < claims->roles.count; i++)
        identity->roles.items[i] = put(&at, claims->roles.items[i]);
    identity->meta.kind = claims->meta.kind;
    if (wh_payload_is_present(claims->meta))
        identity->meta.bytes = put(&at, claims->meta.bytes);
    *out_identity = identity;
    return WH_OK;
}

void identity_free(struct identity *identity)
{
    wh_free(identity);
}

/* Tokens */

void identity_log_failure(struct node *node, const struct identity_asker *asker, const char *reason)
{
    static struct wh_log_limit limit;
    metrics_count_auth_failure(node->metrics, reason);
    wh_log_limited(&limit, WH_LOG_INFO, "identity", "auth_failed",
                   "session=%s peer=%s command=%s reason=%s", asker->session, asker->peer,
                   asker->what, reason);
}

enum wh_code identity_check_revocation(struct node *node,
                                       const struct identity_asker *asker,
                                       const struct token_claims *claims,
                                       bool *out_is_unchecked)
{
    switch (revocations_check(node->revocations, claims)) {
    case TOKEN_IS_GOOD:
        break;
    case TOKEN_IS_REVOKED:
        identity_log_failure(node, asker, "revoked");
        return WH_ERROR_PERMISSION_DENIED;
    case TOKEN_IS_UNDECIDED: /* clients are let in while Redis is away; see node.c */
        *out_is_unchecked = true;
        break;
    }
    return WH_NO_ERROR;
}

static enum wh_code code_of(enum wh_err err)
{
    switch (err) {
    case WH_OK:
        return WH_NO_ERROR;
    case WH_EEXPIRED:
        return WH_ERROR_TOKEN_EXPIRED;
    case WH_EUNAVAILABLE: /* no key to judge by: temporary, the client comes again */
        return WH_ERROR_INTERNAL;
    default:
        return WH_DISCONNECT_INVALID_TOKEN;
    }
}

enum wh_code identity_verify(struct node *node,
                             struct wh_slice token,
                             struct wh_arena *arena,
                             const struct identity_asker *asker,
                             struct token_claims *out_claims,
                             bool *out_is_unchecked)
{
    const struct config *config = node->config;
    const char *reason = "";
    enum wh_err err = token_verify(node->connection_tokens, TOKEN_CONNECTION, token,
                                   wh_clock_wall_s(), arena, out_claims, &reason);
    if (err == WH_EEXPIRED && config->client.insecure)
        err = WH_OK; /* claims are filled: only time speaks against it */
    if (err) {
        identity_log_failure(node, asker, reason);
        return code_of(err);
    }
    if (identity_check_revocation(node, asker, out_claims, out_is_unchecked) != WH_NO_ERROR)
        return WH_DISCONNECT_INVALID_TOKEN;
    if (config->client.insecure) { /* everybody is nobody then */
        out_claims->user = WH_SLICE_LITERAL("");
        out_claims->roles = (struct wh_strings){0};
        out_claims->meta = (struct wh_payload){0};
        out_claims->expire_at = 0;
    }
    if (out_claims->user.len == 0 && config->client.disallow_anonymous_connection_tokens)
        return WH_DISCONNECT_PERMISSION_DENIED;
    if (out_claims->expire_at && out_claims->expire_at <= wh_clock_wall_s())
        return WH_ERROR_EXPIRED;
    return WH_NO_ERROR;
}
