#include "services/core/health.h"

#include "common/io/redis.h"
#include "services/core/announce.h"
#include "services/core/rpc_server.h"

void svc_write_dead(const struct svc *svc, struct wh_buf *out)
{
    struct svc_rpc_state state = svc_rpc_server_state(svc->rpc);

    if (state.workers > 0 && state.hung == state.workers)
        wh_buf_printf(out, "workers: all %u are hung in a call\n", state.workers);
}

void svc_write_unserving(const struct svc *svc, struct wh_buf *out)
{
    struct svc_rpc_state state = svc_rpc_server_state(svc->rpc);

    if (atomic_load(&svc->is_draining))
        wh_buf_append_str(out, "draining\n");
    svc_write_dead(svc, out);
    if (state.connected == 0)
        wh_buf_append_str(out, "workers: none is connected to Redis\n");
}

void svc_write_unready(const struct svc *svc, struct wh_buf *out)
{
    svc_write_unserving(svc, out);
    if (!svc->redis || !wh_redis_is_up(svc->redis))
        wh_buf_printf(out, "redis: %s\n", svc->redis ? wh_redis_reason(svc->redis) : "not started");
    else if (!svc->announce || !svc_announce_is_alive(svc->announce))
        wh_buf_append_str(out, "announce: not subscribed\n");
    for (size_t i = 0; svc_parts[i]; i++) {
        const struct svc_part *part = svc_parts[i];
        if (part->write_unready && (!part->is_wanted || part->is_wanted(svc->def)))
            part->write_unready(svc, out);
    }
    if (svc->def->write_unready)
        svc->def->write_unready(svc->state, out);
}
