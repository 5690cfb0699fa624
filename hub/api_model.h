/*
 * Requests and results of the server API as plain C, with one field table
 * each: JSON over HTTP and control messages between nodes are read and
 * written by these tables, and docs/API.md is generated from them.
 *
 * In a request's table WH_ALWAYS marks a string or list that must be given and not be empty.
 */
#ifndef HUB_API_MODEL_H
#define HUB_API_MODEL_H

#include "common/protocol/schema.h"

struct api_position {
    uint64_t offset;
    struct wh_slice epoch;
};

struct api_publish_request {
    struct wh_slice channel;
    struct wh_payload data;
    struct wh_slice b64data;
    bool skip_history;
    struct wh_string_map tags;
    struct wh_slice idempotency_key;
    bool delta; /* accepted; deltas are the hub's own business */
    uint64_t version;
    struct wh_slice version_epoch;
};

struct api_broadcast_request {
    struct wh_strings channels;
    struct wh_payload data;
    struct wh_slice b64data;
    bool skip_history;
    struct wh_string_map tags;
    struct wh_slice idempotency_key;
    bool delta;
    uint64_t version;
    struct wh_slice version_epoch;
};

struct api_bool {
    bool value;
};

struct api_override {
    struct api_bool *presence;
    struct api_bool *join_leave;
    struct api_bool *force_push_join_leave;
    struct api_bool *force_positioning;
    struct api_bool *force_recovery;
};

struct api_subscribe_request {
    struct wh_slice user;
    struct wh_slice channel;
    struct wh_slice client;
    struct wh_slice session;
    struct wh_payload info;
    struct wh_slice b64info;
    struct wh_payload data;
    struct wh_slice b64data;
    int64_t expire_at; /* unix seconds */
    struct api_position *recover_since;
    struct api_override *override;
};

struct api_unsubscribe_request {
    struct wh_slice user;
    struct wh_slice channel;
    struct wh_slice client;
    struct wh_slice session;
};

struct api_disconnect {
    uint32_t code;
    struct wh_slice reason;
};

struct api_disconnect_request {
    struct wh_slice user;
    struct wh_slice client;
    struct wh_slice session;
    struct wh_strings whitelist;
    struct api_disconnect *disconnect;
};

struct api_refresh_request {
    struct wh_slice user;
    struct wh_slice client;
    struct wh_slice session;
    bool expired;
    int64_t expire_at; /* unix seconds; 0 = never */
    struct wh_payload info;
};

struct api_channel_request {
    struct wh_slice channel;
};

struct api_history_request {
    struct wh_slice channel;
    int32_t limit;
    struct api_position *since;
    bool reverse;
};

struct api_channels_request {
    struct wh_slice pattern;
};

struct api_rpc_request {
    struct wh_slice method;
    struct wh_payload params;
};

struct api_rpc_result {
    struct wh_payload data;
};

struct api_revoke_token_request {
    struct wh_slice uid; /* the token's jti */
    int64_t expire_at;   /* unix seconds: when the token is worthless anyhow */
};

struct api_invalidate_user_tokens_request {
    struct wh_slice user;
    int64_t issued_before; /* unix seconds */
    int64_t expire_at;
};

/* Results */

struct api_error {
    uint32_t code;
    struct wh_slice message;
};

struct api_publish_response {
    struct api_error *error;
    struct api_position *result;
};

struct api_broadcast_result {
    WH_MESSAGES(struct api_publish_response) responses;
};

struct api_client_info {
    struct wh_slice user;
    struct wh_slice client;
    struct wh_payload conn_info;
    struct wh_payload chan_info;
};

struct api_publication {
    struct wh_payload data;
    struct wh_slice b64data; /* in place of data that is no JSON */
    struct api_client_info *info;
    uint64_t offset;
    struct wh_string_map tags;
};

struct api_history_result {
    WH_MESSAGES(struct api_publication) publications;
    struct wh_slice epoch;
    uint64_t offset;
};

struct api_presence_result {
    WH_MESSAGE_MAP(struct api_client_info) presence;
};

struct api_presence_stats_result {
    uint32_t num_clients;
    uint32_t num_users;
};

struct api_channel_info {
    uint32_t num_clients;
};

struct api_channels_result {
    WH_MESSAGE_MAP(struct api_channel_info) channels;
};

struct api_node {
    struct wh_slice uid;
    struct wh_slice name;
    struct wh_slice version;
    uint32_t num_clients;
    uint32_t num_users;
    uint32_t num_subs;
    uint32_t num_channels;
    uint32_t uptime; /* s */
};

struct api_info_result {
    WH_MESSAGES(struct api_node) nodes;
};

extern const struct wh_schema api_empty_schema;
extern const struct wh_schema api_error_schema;
extern const struct wh_schema api_position_schema;
extern const struct wh_schema api_publish_request_schema;
extern const struct wh_schema api_broadcast_request_schema;
extern const struct wh_schema api_broadcast_result_schema;
extern const struct wh_schema api_subscribe_request_schema;
extern const struct wh_schema api_unsubscribe_request_schema;
extern const struct wh_schema api_disconnect_request_schema;
extern const struct wh_schema api_refresh_request_schema;
extern const struct wh_schema api_channel_request_schema;
extern const struct wh_schema api_presence_result_schema;
extern const struct wh_schema api_presence_stats_result_schema;
extern const struct wh_schema api_history_request_schema;
extern const struct wh_schema api_history_result_schema;
extern const struct wh_schema api_channels_request_schema;
extern const struct wh_schema api_channels_result_schema;
extern const struct wh_schema api_channel_info_schema;
extern const struct wh_schema api_node_schema;
extern const struct wh_schema api_info_result_schema;
extern const struct wh_schema api_rpc_request_schema;
extern const struct wh_schema api_rpc_result_schema;
extern const struct wh_schema api_revoke_token_request_schema;
extern const struct wh_schema api_invalidate_user_tokens_request_schema;

#endif
