/*
 * The server calls a service through the hub: one more caller of the gateway,
 * whom the key of the API makes trusted.
 */
#include "hub/api_internal.h"
#include "hub/gateway.h"

struct server_call {
    struct gateway_call base;
    struct api_call *api;
};

static void on_done(struct gateway_call *base, const struct rpc_outcome *outcome)
{
    struct api_call *api = WH_CONTAINER_OF(base, struct server_call, base)->api;
    if (outcome->code == 0) {
        struct api_rpc_result result = {.data = outcome->data};
        api_succeed(api, &result);
        return;
    }
    api->message = wh_arena_copy(&api->arena, outcome->message);
    api_finish(api, (enum wh_code)outcome->code);
}

void api_rpc(struct api_call *call)
{
    const struct api_rpc_request *asked = call->request;
    struct gateway_caller caller = {
        .user = WH_SLICE_LITERAL(""),
        .client = WH_SLICE_LITERAL(""),
        .peer = "",
        .is_server = true,
    };
    struct gateway_request request = {.method = asked->method, .params = asked->params};
    struct server_call *server = wh_arena_alloc(&call->arena, sizeof(*server));
    uint64_t wait_ms;
    enum wh_code code = WH_ERROR_INTERNAL;
    if (server) {
        server->base.done = on_done;
        server->api = call;
        code = gateway_start(call->node, &caller, &request, &server->base, &wait_ms);
    }
    if (code != WH_NO_ERROR)
        api_finish(call, code);
}
