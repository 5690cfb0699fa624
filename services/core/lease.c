#include "services/core/lease.h"

#include "services/core/core.h"
#include "services/core/db_conn.h"

bool svc_lease_take(struct svc_ctx *ctx, const char *name, uint32_t ms)
{
    const struct svc_rows *rows = NULL;
    enum svc_db_err err =
        SVC_SQL(ctx, &rows,
                "insert into lease as old (name, holder, until) "
                "values ($1, $2, now() + $3 * interval '1 millisecond') "
                "on conflict (name) do update set holder = excluded.holder, until = excluded.until "
                "where old.holder = excluded.holder or old.until < now() returning 1",
                SVC_STR(name), SVC_UUID(wh_slice_from_str(ctx->svc->instance)), SVC_INT(ms));
    return !err && rows->count == 1;
}

void svc_lease_give(struct svc_ctx *ctx, const char *name)
{
    if (SVC_SQL(ctx, NULL, "delete from lease where name = $1 and holder = $2", SVC_STR(name),
                SVC_UUID(wh_slice_from_str(ctx->svc->instance))))
        wh_log(WH_LOG_WARN, "lease", "kept", "lease=%s reason=%s", name, ctx->db->reason);
}
