/*
 * What a service consists of beside its handlers, in the order of starting.
 */
#include "services/core/core.h"
#include "services/core/database.h"
#include "services/core/tracing.h"

const struct svc_part *const svc_parts[] = {
    &svc_part_tracing, &svc_part_database, &svc_part_outbox, &svc_part_consumer, NULL,
};

enum wh_err svc_parts_open_thread(struct svc_ctx *ctx)
{
    enum wh_err err = WH_OK;
    for (size_t i = 0; svc_parts[i] && !err; i++) {
        const struct svc_part *part = svc_parts[i];
        if (part->open_thread && (!part->is_wanted || part->is_wanted(ctx->svc->def)))
            err = part->open_thread(ctx);
    }
    return err;
}

void svc_parts_close_thread(struct svc_ctx *ctx)
{
    size_t count = 0;
    while (svc_parts[count])
        count++;
    while (count-- > 0) {
        const struct svc_part *part = svc_parts[count];
        if (part->close_thread && (!part->is_wanted || part->is_wanted(ctx->svc->def)))
            part->close_thread(ctx);
    }
}
