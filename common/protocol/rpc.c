#include "common/protocol/rpc.h"

#include "common/protocol/codec_walk.h"
#include "common/protocol/schema_rows.h"

/* clang-format off */

#define T wh_rpc_call
static const struct wh_field wh_rpc_call_fields[] = {
    FIELD_ALWAYS(1, v, U32),
    FIELD_ALWAYS(2, id, U64),
    FIELD_ALWAYS(3, method, STRING),
    FIELD(4, params, PAYLOAD),
    FIELD_ALWAYS(5, user, STRING),
    FIELD_ALWAYS(6, client, STRING),
    FIELD(7, roles, STRINGS),
    FIELD(8, meta, PAYLOAD),
    FIELD(9, peer, STRING),
    FIELD(10, key, STRING),
    FIELD_ALWAYS(11, sent_ms, U64),
    FIELD_ALWAYS(12, deadline_ms, U64),
    FIELD_ALWAYS(13, reply, STRING),
    FIELD(14, traceparent, STRING),
    FIELD(15, tracestate, STRING),
};
#undef T
SCHEMA(const, wh_rpc_call, "RPCCall", wh_rpc_call);

#define T wh_rpc_answer
static const struct wh_field wh_rpc_answer_fields[] = {
    FIELD_ALWAYS(1, id, U64),
    FIELD(2, data, PAYLOAD),
    NESTED(3, error, MESSAGE, wh_error),
};
#undef T
SCHEMA(const, wh_rpc_answer, "RPCAnswer", wh_rpc_answer);

#define T wh_rpc_cancel
static const struct wh_field wh_rpc_cancel_fields[] = {
    FIELD_ALWAYS(1, id, U64),
    FIELD_ALWAYS(2, reply, STRING),
};
#undef T
SCHEMA(const, wh_rpc_cancel, "RPCCancel", wh_rpc_cancel);

#define T wh_rpc_method
static const struct wh_field rpc_method_fields[] = {
    FIELD_ALWAYS(1, name, STRING),
    FIELD(2, access, STRING),
    FIELD(3, roles, STRINGS),
    FIELD(4, timeout_ms, U32),
    FIELD(5, idempotent, BOOL),
};
#undef T
SCHEMA(static const, rpc_method, "RPCMethod", wh_rpc_method);

#define T wh_rpc_service
static const struct wh_field wh_rpc_service_fields[] = {
    FIELD(1, version, STRING),
    NESTED_ALWAYS(2, methods, MESSAGES, rpc_method),
};
#undef T
SCHEMA(const, wh_rpc_service, "RPCService", wh_rpc_service);

/* clang-format on */

void wh_rpc_encode(const struct wh_schema *schema, const void *message, struct wh_buf *out)
{
    wh_msgpack_encode_tagged(schema, message, out);
}

enum wh_err wh_rpc_decode(const struct wh_schema *schema,
                          struct wh_slice *rest,
                          struct wh_arena *arena,
                          void *out)
{
    return wh_msgpack_take_tagged(schema, rest, arena, out);
}

static bool is_service_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static bool is_method_char(char c)
{
    return is_service_char(c) || (c >= 'A' && c <= 'Z') || c == '$';
}

enum wh_err wh_rpc_method_service(struct wh_slice method, struct wh_slice *out_service)
{
    size_t service_len = 0; /* 0 = still in the first segment */
    size_t segment = 0;     /* where it begins */
    if (method.len == 0 || method.len > WH_RPC_METHOD_NAME_MAX)
        return WH_EFORMAT;
    for (size_t i = 0; i < method.len; i++) {
        char c = method.ptr[i];
        if (c == '.') {
            if (i == segment)
                return WH_EFORMAT;
            if (service_len == 0)
                service_len = i;
            segment = i + 1;
        } else if (service_len == 0 ? !is_service_char(c) : !is_method_char(c)) {
            return WH_EFORMAT;
        }
    }
    if (service_len == 0 || service_len > WH_RPC_SERVICE_NAME_MAX || segment == method.len)
        return WH_EFORMAT;
    *out_service = wh_slice(method.ptr, service_len);
    return WH_OK;
}
