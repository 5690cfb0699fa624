/*
 * A service on services/core that gives back what it got: what `./dev bench rpc` calls through the
 * hub.  Its configuration is that of any service.
 */
#include "services/core/service.h"

static uint32_t echo(struct svc_ctx *ctx, const struct wh_rpc_call *call)
{
    return svc_reply_json(ctx, call->params.bytes);
}

static const struct svc_method methods[] = {
    {.name = "core.v1.echo", .handler = echo, .access = SVC_ANONYMOUS, .idempotent = true},
    {0},
};

int main(int argc, char **argv)
{
    static const struct svc_def def = {
        .name = "core", .version = "1.0.0", .description = "Echo.", .methods = methods};
    return svc_main(argc, argv, &def);
}
