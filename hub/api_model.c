/*
 * The field tables.  The numbers are those of no other protocol: the API has
 * no Protobuf form; they only follow the order.
 */
#include "hub/api_model.h"

#include "common/protocol/schema_rows.h"

/* clang-format off */ /* It would break the rows. */

const struct wh_schema api_empty_schema = {"api_empty", sizeof(struct wh_empty), NULL, 0};

#define T api_error
static const struct wh_field api_error_fields[] = {
    FIELD_ALWAYS(1, code, U32),
    FIELD_ALWAYS(2, message, STRING),
};
#undef T
SCHEMA(const, api_error, "api_error", api_error);

#define T api_position
static const struct wh_field api_position_fields[] = {
    FIELD(1, offset, U64),
    FIELD(2, epoch, STRING),
};
#undef T
SCHEMA(const, api_position, "api_position", api_position);

#define T api_publish_request
static const struct wh_field api_publish_request_fields[] = {
    FIELD_ALWAYS(1, channel, STRING),
    FIELD(2, data, PAYLOAD),
    FIELD(3, b64data, STRING),
    FIELD(4, skip_history, BOOL),
    FIELD(5, tags, STRING_MAP),
    FIELD(6, idempotency_key, STRING),
    FIELD(7, delta, BOOL),
    FIELD(8, version, U64),
    FIELD(9, version_epoch, STRING),
};
#undef T
SCHEMA(const, api_publish_request, "api_publish_request", api_publish_request);

#define T api_broadcast_request
static const struct wh_field api_broadcast_request_fields[] = {
    FIELD_ALWAYS(1, channels, STRINGS),
    FIELD(2, data, PAYLOAD),
    FIELD(3, b64data, STRING),
    FIELD(4, skip_history, BOOL),
    FIELD(5, tags, STRING_MAP),
    FIELD(6, idempotency_key, STRING),
    FIELD(7, delta, BOOL),
    FIELD(8, version, U64),
    FIELD(9, version_epoch, STRING),
};
#undef T
SCHEMA(const, api_broadcast_request, "api_broadcast_request", api_broadcast_request);

#define T api_publish_response
static const struct wh_field api_publish_response_fields[] = {
    NESTED(1, error, MESSAGE, api_error),
    NESTED(2, result, MESSAGE, api_position),
};
#undef T
SCHEMA(static const, api_publish_response, "api_publish_response", api_publish_response);

#define T api_broadcast_result
static const struct wh_field api_broadcast_result_fields[] = {
    NESTED_ALWAYS(1, responses, MESSAGES, api_publish_response),
};
#undef T
SCHEMA(const, api_broadcast_result, "api_broadcast_result", api_broadcast_result);

#define T api_bool
static const struct wh_field api_bool_fields[] = {
    FIELD(1, value, BOOL),
};
#undef T
SCHEMA(static const, api_bool, "api_bool", api_bool);

#define T api_override
static const struct wh_field api_override_fields[] = {
    NESTED(1, presence, MESSAGE, api_bool),
    NESTED(2, join_leave, MESSAGE, api_bool),
    NESTED(3, force_push_join_leave, MESSAGE, api_bool),
    NESTED(4, force_positioning, MESSAGE, api_bool),
    NESTED(5, force_recovery, MESSAGE, api_bool),
};
#undef T
SCHEMA(static const, api_override, "api_override", api_override);

#define T api_subscribe_request
static const struct wh_field api_subscribe_request_fields[] = {
    FIELD(1, user, STRING),
    FIELD_ALWAYS(2, channel, STRING),
    FIELD(3, client, STRING),
    FIELD(4, session, STRING),
    FIELD(5, info, PAYLOAD),
    FIELD(6, b64info, STRING),
    FIELD(7, data, PAYLOAD),
    FIELD(8, b64data, STRING),
    FIELD(9, expire_at, I64),
    NESTED(10, recover_since, MESSAGE, api_position),
    NESTED(11, override, MESSAGE, api_override),
};
#undef T
SCHEMA(const, api_subscribe_request, "api_subscribe_request", api_subscribe_request);

#define T api_unsubscribe_request
static const struct wh_field api_unsubscribe_request_fields[] = {
    FIELD(1, user, STRING),
    FIELD_ALWAYS(2, channel, STRING),
    FIELD(3, client, STRING),
    FIELD(4, session, STRING),
};
#undef T
SCHEMA(const, api_unsubscribe_request, "api_unsubscribe_request", api_unsubscribe_request);

#define T api_disconnect
static const struct wh_field api_disconnect_fields[] = {
    FIELD(1, code, U32),
    FIELD(2, reason, STRING),
};
#undef T
SCHEMA(static const, api_disconnect, "api_disconnect", api_disconnect);

#define T api_disconnect_request
static const struct wh_field api_disconnect_request_fields[] = {
    FIELD(1, user, STRING),
    FIELD(2, client, STRING),
    FIELD(3, session, STRING),
    FIELD(4, whitelist, STRINGS),
    NESTED(5, disconnect, MESSAGE, api_disconnect),
};
#undef T
SCHEMA(const, api_disconnect_request, "api_disconnect_request", api_disconnect_request);

#define T api_refresh_request
static const struct wh_field api_refresh_request_fields[] = {
    FIELD(1, user, STRING),
    FIELD(2, client, STRING),
    FIELD(3, session, STRING),
    FIELD(4, expired, BOOL),
    FIELD(5, expire_at, I64),
    FIELD(6, info, PAYLOAD),
};
#undef T
SCHEMA(const, api_refresh_request, "api_refresh_request", api_refresh_request);

#define T api_channel_request
static const struct wh_field api_channel_request_fields[] = {
    FIELD_ALWAYS(1, channel, STRING),
};
#undef T
SCHEMA(const, api_channel_request, "api_channel_request", api_channel_request);

#define T api_client_info
static const struct wh_field api_client_info_fields[] = {
    FIELD_ALWAYS(1, user, STRING),
    FIELD_ALWAYS(2, client, STRING),
    FIELD(3, conn_info, PAYLOAD),
    FIELD(4, chan_info, PAYLOAD),
};
#undef T
SCHEMA(static const, api_client_info, "api_client_info", api_client_info);

#define T api_presence_result
static const struct wh_field api_presence_result_fields[] = {
    NESTED_ALWAYS(1, presence, MESSAGE_MAP, api_client_info),
};
#undef T
SCHEMA(const, api_presence_result, "api_presence_result", api_presence_result);

#define T api_presence_stats_result
static const struct wh_field api_presence_stats_result_fields[] = {
    FIELD_ALWAYS(1, num_clients, U32),
    FIELD_ALWAYS(2, num_users, U32),
};
#undef T
SCHEMA(const, api_presence_stats_result, "api_presence_stats_result", api_presence_stats_result);

#define T api_history_request
static const struct wh_field api_history_request_fields[] = {
    FIELD_ALWAYS(1, channel, STRING),
    FIELD(2, limit, I32),
    NESTED(3, since, MESSAGE, api_position),
    FIELD(4, reverse, BOOL),
};
#undef T
SCHEMA(const, api_history_request, "api_history_request", api_history_request);

#define T api_publication
static const struct wh_field api_publication_fields[] = {
    FIELD(1, data, PAYLOAD),
    FIELD(2, b64data, STRING),
    NESTED(3, info, MESSAGE, api_client_info),
    FIELD(4, offset, U64),
    FIELD(5, tags, STRING_MAP),
};
#undef T
SCHEMA(static const, api_publication, "api_publication", api_publication);

#define T api_history_result
static const struct wh_field api_history_result_fields[] = {
    NESTED_ALWAYS(1, publications, MESSAGES, api_publication),
    FIELD_ALWAYS(2, epoch, STRING),
    FIELD_ALWAYS(3, offset, U64),
};
#undef T
SCHEMA(const, api_history_result, "api_history_result", api_history_result);

#define T api_channels_request
static const struct wh_field api_channels_request_fields[] = {
    FIELD(1, pattern, STRING),
};
#undef T
SCHEMA(const, api_channels_request, "api_channels_request", api_channels_request);

#define T api_channel_info
static const struct wh_field api_channel_info_fields[] = {
    FIELD_ALWAYS(1, num_clients, U32),
};
#undef T
SCHEMA(const, api_channel_info, "api_channel_info", api_channel_info);

#define T api_channels_result
static const struct wh_field api_channels_result_fields[] = {
    NESTED_ALWAYS(1, channels, MESSAGE_MAP, api_channel_info),
};
#undef T
SCHEMA(const, api_channels_result, "api_channels_result", api_channels_result);

#define T api_node
static const struct wh_field api_node_fields[] = {
    FIELD_ALWAYS(1, uid, STRING),
    FIELD_ALWAYS(2, name, STRING),
    FIELD_ALWAYS(3, version, STRING),
    FIELD_ALWAYS(4, num_clients, U32),
    FIELD_ALWAYS(5, num_users, U32),
    FIELD_ALWAYS(6, num_subs, U32),
    FIELD_ALWAYS(7, num_channels, U32),
    FIELD_ALWAYS(8, uptime, U32),
};
#undef T
SCHEMA(const, api_node, "api_node", api_node);

#define T api_info_result
static const struct wh_field api_info_result_fields[] = {
    NESTED_ALWAYS(1, nodes, MESSAGES, api_node),
};
#undef T
SCHEMA(const, api_info_result, "api_info_result", api_info_result);

#define T api_rpc_request
static const struct wh_field api_rpc_request_fields[] = {
    FIELD_ALWAYS(1, method, STRING),
    FIELD(2, params, PAYLOAD),
};
#undef T
SCHEMA(const, api_rpc_request, "api_rpc_request", api_rpc_request);

#define T api_rpc_result
static const struct wh_field api_rpc_result_fields[] = {
    FIELD(1, data, PAYLOAD),
};
#undef T
SCHEMA(const, api_rpc_result, "api_rpc_result", api_rpc_result);

#define T api_revoke_token_request
static const struct wh_field api_revoke_token_request_fields[] = {
    FIELD_ALWAYS(1, uid, STRING),
    FIELD(2, expire_at, I64),
};
#undef T
SCHEMA(const, api_revoke_token_request, "api_revoke_token_request", api_revoke_token_request);

#define T api_invalidate_user_tokens_request
static const struct wh_field api_invalidate_user_tokens_request_fields[] = {
    FIELD_ALWAYS(1, user, STRING),
    FIELD(2, issued_before, I64),
    FIELD(3, expire_at, I64),
};
#undef T
SCHEMA(const, api_invalidate_user_tokens_request, "api_invalidate_user_tokens_request", api_invalidate_user_tokens_request);
