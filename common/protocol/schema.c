/*
 * The field tables.  Names, numbers and types are those of the Centrifuge
 * protocol (package centrifugal.centrifuge.protocol); a name is the JSON and
 * MessagePack key, a number the Protobuf field.  Order in a table is the order
 * on the wire.  What is WH_ALWAYS is what official SDKs index without asking.
 */
#include "common/protocol/schema_rows.h"

/* clang-format off */ /* It would break the stringizing rows, and put two fields on a line. */

/* A result or request without fields: present is all it says. */
static const struct wh_schema empty_schema = {"Empty", sizeof(struct wh_empty), NULL, 0};

#define T wh_error_reply
static const struct wh_field wh_error_fields[] = {
    FIELD(1, code, U32),
    FIELD(2, message, STRING),
    FIELD(3, temporary, BOOL),
};
#undef T
SCHEMA(const, wh_error, "Error", wh_error_reply);

#define T wh_info
static const struct wh_field wh_info_fields[] = {
    FIELD_ALWAYS(1, user, STRING),
    FIELD_ALWAYS(2, client, STRING),
    FIELD(3, conn_info, PAYLOAD),
    FIELD(4, chan_info, PAYLOAD),
};
#undef T
SCHEMA(const, wh_info, "ClientInfo", wh_info);

#define T wh_pub
static const struct wh_field wh_pub_fields[] = {
    FIELD(4, data, PAYLOAD),
    NESTED(5, info, MESSAGE, wh_info),
    FIELD(6, offset, U64),
    FIELD(7, tags, STRING_MAP),
    FIELD(8, delta, BOOL),
    FIELD(9, time, I64),
    FIELD(10, channel, STRING),
    FIELD(11, key, STRING),
    FIELD(12, removed, BOOL),
    FIELD(13, score, SINT64),
    FIELD(14, epoch, STRING),
    FIELD(15, prev_data, PAYLOAD),
    FIELD(16, version, U64),
};
#undef T
SCHEMA(const, wh_pub, "Publication", wh_pub);

#define T wh_stream_position
static const struct wh_field stream_position_fields[] = {
    FIELD(1, offset, U64),
    FIELD(2, epoch, STRING),
};
#undef T
SCHEMA(static const, stream_position, "StreamPosition", wh_stream_position);

static const struct wh_schema filter_node_schema; /* a node holds nodes */

#define T wh_filter_node
static const struct wh_field filter_node_fields[] = {
    FIELD(1, op, STRING),
    FIELD(2, key, STRING),
    FIELD(3, cmp, STRING),
    FIELD(4, val, STRING),
    FIELD(5, vals, STRINGS),
    NESTED(6, nodes, MESSAGES, filter_node),
};
#undef T
SCHEMA(static const, filter_node, "FilterNode", wh_filter_node);

#define T wh_subscribe_request
static const struct wh_field subscribe_request_fields[] = {
    FIELD(1, channel, STRING),
    FIELD(2, token, STRING),
    FIELD(3, recover, BOOL),
    FIELD(6, epoch, STRING),
    FIELD(7, offset, U64),
    FIELD(8, data, PAYLOAD),
    FIELD(9, positioned, BOOL),
    FIELD(10, recoverable, BOOL),
    FIELD(11, join_leave, BOOL),
    FIELD(12, delta, STRING),
    NESTED(13, tf, MESSAGE, filter_node),
    FIELD(14, flag, I64),
    FIELD(15, type, I32),
    FIELD(16, phase, I32),
    FIELD(17, cursor, STRING),
    FIELD(18, limit, I32),
    FIELD(19, asc, BOOL),
};
#undef T
SCHEMA(static const, subscribe_request, "SubscribeRequest", wh_subscribe_request);

#define T wh_connect_request
static const struct wh_field connect_request_fields[] = {
    FIELD(1, token, STRING),
    FIELD(2, data, PAYLOAD),
    NESTED(3, subs, MESSAGE_MAP, subscribe_request),
    FIELD(4, name, STRING),
    FIELD(5, version, STRING),
    FIELD(6, headers, STRING_MAP),
    FIELD(7, flag, I64),
    FIELD(8, dict, STRING),
    FIELD(9, profile, STRING),
};
#undef T
SCHEMA(static const, connect_request, "ConnectRequest", wh_connect_request);

#define T wh_unsubscribe_request
static const struct wh_field unsubscribe_request_fields[] = {
    FIELD(1, channel, STRING),
};
#undef T
SCHEMA(static const, unsubscribe_request, "UnsubscribeRequest", wh_unsubscribe_request);

#define T wh_publish_request
static const struct wh_field publish_request_fields[] = {
    FIELD(1, channel, STRING),
    FIELD(2, data, PAYLOAD),
    FIELD(3, type, I32),
    FIELD(4, key, STRING),
    FIELD(5, removed, BOOL),
};
#undef T
SCHEMA(static const, publish_request, "PublishRequest", wh_publish_request);

#define T wh_presence_request
static const struct wh_field presence_request_fields[] = {
    FIELD(1, channel, STRING),
};
#undef T
SCHEMA(static const, presence_request, "PresenceRequest", wh_presence_request);

#define T wh_presence_stats_request
static const struct wh_field presence_stats_request_fields[] = {
    FIELD(1, channel, STRING),
};
#undef T
SCHEMA(static const, presence_stats_request, "PresenceStatsRequest", wh_presence_stats_request);

#define T wh_history_request
static const struct wh_field history_request_fields[] = {
    FIELD(1, channel, STRING),
    FIELD(7, limit, I32),
    NESTED(8, since, MESSAGE, stream_position),
    FIELD(9, reverse, BOOL),
};
#undef T
SCHEMA(static const, history_request, "HistoryRequest", wh_history_request);

#define T wh_send_request
static const struct wh_field send_request_fields[] = {
    FIELD(1, data, PAYLOAD),
};
#undef T
SCHEMA(static const, send_request, "SendRequest", wh_send_request);

#define T wh_rpc_request
static const struct wh_field rpc_request_fields[] = {
    FIELD(1, data, PAYLOAD),
    FIELD(2, method, STRING),
};
#undef T
SCHEMA(static const, rpc_request, "RPCRequest", wh_rpc_request);

#define T wh_refresh_request
static const struct wh_field refresh_request_fields[] = {
    FIELD(1, token, STRING),
};
#undef T
SCHEMA(static const, refresh_request, "RefreshRequest", wh_refresh_request);

#define T wh_sub_refresh_request
static const struct wh_field sub_refresh_request_fields[] = {
    FIELD(1, channel, STRING),
    FIELD(2, token, STRING),
    FIELD(3, type, I32),
};
#undef T
SCHEMA(static const, sub_refresh_request, "SubRefreshRequest", wh_sub_refresh_request);

#define T wh_command
static const struct wh_field wh_command_fields[] = {
    FIELD(1, id, U32),
    NESTED(4, connect, MESSAGE, connect_request),
    NESTED(5, subscribe, MESSAGE, subscribe_request),
    NESTED(6, unsubscribe, MESSAGE, unsubscribe_request),
    NESTED(7, publish, MESSAGE, publish_request),
    NESTED(8, presence, MESSAGE, presence_request),
    NESTED(9, presence_stats, MESSAGE, presence_stats_request),
    NESTED(10, history, MESSAGE, history_request),
    NESTED(11, ping, MESSAGE, empty),
    NESTED(12, send, MESSAGE, send_request),
    NESTED(13, rpc, MESSAGE, rpc_request),
    NESTED(14, refresh, MESSAGE, refresh_request),
    NESTED(15, sub_refresh, MESSAGE, sub_refresh_request),
};
#undef T
SCHEMA(const, wh_command, "Command", wh_command);

#define T wh_subscribe_result
static const struct wh_field subscribe_result_fields[] = {
    FIELD(1, expires, BOOL),
    FIELD(2, ttl, U32),
    FIELD(3, recoverable, BOOL),
    FIELD(6, epoch, STRING),
    NESTED(7, publications, MESSAGES, wh_pub),
    FIELD(8, recovered, BOOL),
    FIELD(9, offset, U64),
    FIELD(10, positioned, BOOL),
    FIELD(11, data, PAYLOAD),
    FIELD(12, was_recovering, BOOL),
    FIELD(13, delta, BOOL),
    FIELD(14, id, I64),
};
#undef T
SCHEMA(static const, subscribe_result, "SubscribeResult", wh_subscribe_result);

#define T wh_connect_result
static const struct wh_field connect_result_fields[] = {
    FIELD(1, client, STRING),
    FIELD(2, version, STRING),
    FIELD(3, expires, BOOL),
    FIELD(4, ttl, U32),
    FIELD(5, data, PAYLOAD),
    NESTED(6, subs, MESSAGE_MAP, subscribe_result),
    FIELD(7, ping, U32),
    FIELD(8, pong, BOOL),
    FIELD(9, session, STRING),
    FIELD(10, node, STRING),
    FIELD(11, time, I64),
};
#undef T
SCHEMA(static const, connect_result, "ConnectResult", wh_connect_result);

#define T wh_connect_result
static const struct wh_field connect_push_fields[] = {
    FIELD(1, client, STRING),
    FIELD(2, version, STRING),
    FIELD(3, data, PAYLOAD),
    NESTED(4, subs, MESSAGE_MAP, subscribe_result),
    FIELD(5, expires, BOOL),
    FIELD(6, ttl, U32),
    FIELD(7, ping, U32),
    FIELD(8, pong, BOOL),
    FIELD(9, session, STRING),
    FIELD(10, node, STRING),
    FIELD(11, time, I64),
};
#undef T
SCHEMA(static const, connect_push, "Connect", wh_connect_result);

#define T wh_presence_result
static const struct wh_field presence_result_fields[] = {
    NESTED_ALWAYS(1, presence, MESSAGE_MAP, wh_info),
};
#undef T
SCHEMA(static const, presence_result, "PresenceResult", wh_presence_result);

#define T wh_presence_stats_result
static const struct wh_field presence_stats_result_fields[] = {
    FIELD_ALWAYS(1, num_clients, U32),
    FIELD_ALWAYS(2, num_users, U32),
};
#undef T
SCHEMA(static const, presence_stats_result, "PresenceStatsResult", wh_presence_stats_result);

#define T wh_history_result
static const struct wh_field history_result_fields[] = {
    NESTED_ALWAYS(1, publications, MESSAGES, wh_pub),
    FIELD_ALWAYS(2, epoch, STRING),
    FIELD_ALWAYS(3, offset, U64),
};
#undef T
SCHEMA(static const, history_result, "HistoryResult", wh_history_result);

#define T wh_rpc_result
static const struct wh_field rpc_result_fields[] = {
    FIELD(1, data, PAYLOAD),
};
#undef T
SCHEMA(static const, rpc_result, "RPCResult", wh_rpc_result);

#define T wh_refresh_result
static const struct wh_field refresh_result_fields[] = {
    FIELD(1, client, STRING),
    FIELD(2, version, STRING),
    FIELD(3, expires, BOOL),
    FIELD(4, ttl, U32),
};
#undef T
SCHEMA(static const, refresh_result, "RefreshResult", wh_refresh_result);

#define T wh_sub_refresh_result
static const struct wh_field sub_refresh_result_fields[] = {
    FIELD(1, expires, BOOL),
    FIELD(2, ttl, U32),
};
#undef T
SCHEMA(static const, sub_refresh_result, "SubRefreshResult", wh_sub_refresh_result);

#define T wh_join
static const struct wh_field join_fields[] = {
    NESTED(1, info, MESSAGE, wh_info),
};
#undef T
SCHEMA(static const, join, "Join", wh_join);

#define T wh_unsubscribe_push
static const struct wh_field unsubscribe_push_fields[] = {
    FIELD(2, code, U32),
    FIELD(3, reason, STRING),
};
#undef T
SCHEMA(static const, unsubscribe_push, "Unsubscribe", wh_unsubscribe_push);

#define T wh_subscribe_push
static const struct wh_field subscribe_push_fields[] = {
    FIELD(1, recoverable, BOOL),
    FIELD(4, epoch, STRING),
    FIELD(5, offset, U64),
    FIELD(6, positioned, BOOL),
    FIELD(7, data, PAYLOAD),
};
#undef T
SCHEMA(static const, subscribe_push, "Subscribe", wh_subscribe_push);

#define T wh_message_push
static const struct wh_field message_push_fields[] = {
    FIELD(1, data, PAYLOAD),
};
#undef T
SCHEMA(static const, message_push, "Message", wh_message_push);

#define T wh_disconnect_push
static const struct wh_field disconnect_push_fields[] = {
    FIELD(1, code, U32),
    FIELD(2, reason, STRING),
    FIELD(3, reconnect, BOOL),
};
#undef T
SCHEMA(static const, disconnect_push, "Disconnect", wh_disconnect_push);

#define T wh_refresh_push
static const struct wh_field refresh_push_fields[] = {
    FIELD(1, expires, BOOL),
    FIELD(2, ttl, U32),
};
#undef T
SCHEMA(static const, refresh_push, "Refresh", wh_refresh_push);

#define T wh_push
static const struct wh_field wh_push_fields[] = {
    FIELD(1, id, I64),
    FIELD(2, channel, STRING),
    NESTED(4, pub, MESSAGE, wh_pub),
    NESTED(5, join, MESSAGE, join),
    NESTED(6, leave, MESSAGE, join),
    NESTED(7, unsubscribe, MESSAGE, unsubscribe_push),
    NESTED(8, message, MESSAGE, message_push),
    NESTED(9, subscribe, MESSAGE, subscribe_push),
    NESTED(10, connect, MESSAGE, connect_push),
    NESTED(11, disconnect, MESSAGE, disconnect_push),
    NESTED(12, refresh, MESSAGE, refresh_push),
};
#undef T
SCHEMA(const, wh_push, "Push", wh_push);

#define T wh_reply
static const struct wh_field wh_reply_fields[] = {
    FIELD(1, id, U32),
    NESTED(2, error, MESSAGE, wh_error),
    NESTED(4, push, MESSAGE, wh_push),
    NESTED(5, connect, MESSAGE, connect_result),
    NESTED(6, subscribe, MESSAGE, subscribe_result),
    NESTED(7, unsubscribe, MESSAGE, empty),
    NESTED(8, publish, MESSAGE, empty),
    NESTED(9, presence, MESSAGE, presence_result),
    NESTED(10, presence_stats, MESSAGE, presence_stats_result),
    NESTED(11, history, MESSAGE, history_result),
    NESTED(12, ping, MESSAGE, empty),
    NESTED(13, rpc, MESSAGE, rpc_result),
    NESTED(14, refresh, MESSAGE, refresh_result),
    NESTED(15, sub_refresh, MESSAGE, sub_refresh_result),
};
#undef T
SCHEMA(const, wh_reply, "Reply", wh_reply);

const struct wh_schema *const wh_schemas[] = {
    &wh_error_schema,
    &wh_info_schema,
    &wh_pub_schema,
    &stream_position_schema,
    &filter_node_schema,
    &subscribe_request_schema,
    &connect_request_schema,
    &unsubscribe_request_schema,
    &publish_request_schema,
    &presence_request_schema,
    &presence_stats_request_schema,
    &history_request_schema,
    &send_request_schema,
    &rpc_request_schema,
    &refresh_request_schema,
    &sub_refresh_request_schema,
    &wh_command_schema,
    &subscribe_result_schema,
    &connect_result_schema,
    &connect_push_schema,
    &presence_result_schema,
    &presence_stats_result_schema,
    &history_result_schema,
    &rpc_result_schema,
    &refresh_result_schema,
    &sub_refresh_result_schema,
    &join_schema,
    &unsubscribe_push_schema,
    &subscribe_push_schema,
    &message_push_schema,
    &disconnect_push_schema,
    &refresh_push_schema,
    &wh_push_schema,
    &wh_reply_schema,
    &empty_schema,
    NULL,
};
