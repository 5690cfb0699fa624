#include "services/core/idempotency.h"

#include "common/protocol/schema_rows.h"
#include "services/core/core.h"
#include "services/core/db_conn.h"
#include "services/core/tx.h"

#include <openssl/evp.h>
#include <stdio.h>

enum { HASH_BYTES = 32 };

struct keyed {
    struct wh_slice idempotency_key;
};

/* clang-format off */
#define T keyed
static const struct wh_field keyed_fields[] = {
    FIELD(1, idempotency_key, STRING),
};
#undef T
SCHEMA(static const, keyed, "Keyed", keyed);
/* clang-format on */

struct method_work {
    const struct svc_method *method;
    const struct wh_rpc_call *call;
    struct wh_slice key;
    char hash[HASH_BYTES];
};

enum wh_err svc_idempotency_key(struct svc_ctx *ctx,
                                const struct wh_rpc_call *call,
                                struct wh_slice *out_key)
{
    struct keyed keyed = {.idempotency_key = call->key};
    /* Parameters that cannot be read are for the handler to refuse. */
    if (call->key.len == 0 && svc_params(ctx, &keyed_schema, &keyed))
        keyed.idempotency_key = WH_SLICE_ABSENT;
    struct wh_slice key = keyed.idempotency_key;
    if (key.len > SVC_IDEMPOTENCY_KEY_MAX || (key.len > 0 && memchr(key.ptr, '\0', key.len)))
        return WH_ELIMIT;
    *out_key = key;
    return WH_OK;
}

/* Method and parameters, each with its length before it. */
static void hash_call(const struct wh_rpc_call *call, char out[HASH_BYTES])
{
    char head[64];
    unsigned len = 0;
    int head_len = snprintf(head, sizeof head, "%zu:%u:", call->method.len,
                            wh_payload_is_present(call->params) ? (unsigned)call->params.kind : 9);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    WH_ASSERT(md != NULL);
    bool is_good = EVP_DigestInit_ex(md, EVP_sha256(), NULL) &&
                   EVP_DigestUpdate(md, head, (size_t)head_len) &&
                   EVP_DigestUpdate(md, call->method.ptr, call->method.len) &&
                   EVP_DigestUpdate(md, call->params.bytes.ptr, call->params.bytes.len) &&
                   EVP_DigestFinal_ex(md, (unsigned char *)out, &len);
    WH_ASSERT(is_good && len == HASH_BYTES);
    EVP_MD_CTX_free(md);
}

static struct svc_param user_of(const struct wh_rpc_call *call)
{
    return SVC_TEXT(call->user.ptr ? call->user : WH_SLICE_LITERAL(""));
}

/* The answer that the first call got, or why there is none for this one. */
static uint32_t replay(struct svc_ctx *ctx, const struct method_work *work)
{
    const struct svc_rows *rows = NULL;
    if (SVC_SQL(ctx, &rows,
                "select request_hash = $3, reply_kind, reply from idempotency "
                "where user_id = $1 and key = $2",
                user_of(work->call), SVC_TEXT(work->key),
                SVC_BYTES(wh_slice(work->hash, sizeof work->hash))))
        return svc_db_code(ctx);
    if (rows->count == 0) { /* its time was over between two statements */
        ctx->db->err = SVC_DB_RETRY;
        return SVC_INTERNAL;
    }
    if (!svc_row_bool(rows, 0, 0))
        return svc_fail(ctx, SVC_CONFLICT, "the idempotency key was used for another request");
    if (svc_row_is_null(rows, 0, 2))
        ctx->has_reply = false;
    else
        svc_ctx_set_reply(ctx, (struct wh_payload){(enum wh_payload_kind)svc_row_int(rows, 0, 1),
                                                   svc_row_text(rows, 0, 2)});
    return SVC_OK;
}

static uint32_t claim(struct svc_ctx *ctx, void *user, bool *out_is_done)
{
    const struct method_work *work = user;
    const struct svc_rows *rows = NULL;
    if (SVC_SQL(ctx, &rows,
                "insert into idempotency (user_id, key, method, request_hash) "
                "values ($1, $2, $3, $4) on conflict do nothing returning 1",
                user_of(work->call), SVC_TEXT(work->key), SVC_TEXT(work->call->method),
                SVC_BYTES(wh_slice(work->hash, sizeof work->hash))))
        return svc_db_code(ctx);
    if (rows->count == 1)
        return SVC_OK;
    *out_is_done = true;
    return replay(ctx, work);
}

static uint32_t call_handler(struct svc_ctx *ctx, void *user)
{
    const struct method_work *work = user;
    return work->method->handler(ctx, work->call);
}

static uint32_t keep_reply(struct svc_ctx *ctx, void *user)
{
    const struct method_work *work = user;
    struct svc_param reply = ctx->has_reply ? SVC_BYTES(wh_buf_slice(&ctx->reply)) : SVC_NULL;
    if (SVC_SQL(ctx, NULL,
                "update idempotency set reply_kind = $3, reply = $4 "
                "where user_id = $1 and key = $2",
                user_of(work->call), SVC_TEXT(work->key), SVC_INT(ctx->reply_kind), reply))
        return svc_db_code(ctx);
    return SVC_OK;
}

uint32_t svc_run_method(struct svc_ctx *ctx,
                        const struct svc_method *method,
                        const struct wh_rpc_call *call)
{
    struct method_work work = {.method = method, .call = call};
    struct svc_tx_work tx = {.mode = method->tx, .body = call_handler, .user = &work};
    if (method->tx == SVC_TX_WRITE || method->requires_key) {
        if (svc_idempotency_key(ctx, call, &work.key))
            return svc_fail(ctx, SVC_INVALID, "idempotency_key: at most %d bytes",
                            SVC_IDEMPOTENCY_KEY_MAX);
        if (work.key.len > 0 && method->tx == SVC_TX_WRITE) {
            hash_call(call, work.hash);
            tx.claim = claim;
            tx.seal = keep_reply;
        } else if (work.key.len == 0 && method->requires_key) {
            return svc_fail(ctx, SVC_INVALID, "idempotency_key is needed");
        }
    }
    return method->tx == SVC_TX_NONE ? method->handler(ctx, call) : svc_tx_run(ctx, &tx);
}
