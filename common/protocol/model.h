/*
 * The client protocol as plain C structs (Centrifuge protocol v2).  Field
 * meaning: docs/PROTOCOL.md; names, numbers and presence rules: schema.c.
 *
 * Decoded structs own nothing: slices point into the frame or the arena.
 * Absent sub-message = NULL; absent string, payload, list or map = zero.
 */
#ifndef WH_PROTOCOL_MODEL_H
#define WH_PROTOCOL_MODEL_H

#include "common/protocol/payload.h"

struct wh_strings {
    struct wh_slice *items;
    size_t count;
};

struct wh_string_pair {
    struct wh_slice key;
    struct wh_slice value;
};

struct wh_string_map {
    struct wh_string_pair *items;
    size_t count;
};

/* Parallel arrays: values[i], a struct of the field's schema, belongs to keys[i]. */
#define WH_MESSAGE_MAP(type)                                                                       \
    struct {                                                                                       \
        struct wh_slice *keys;                                                                     \
        type *values;                                                                              \
        size_t count;                                                                              \
    }

#define WH_MESSAGES(type)                                                                          \
    struct {                                                                                       \
        type *items;                                                                               \
        size_t count;                                                                              \
    }

struct wh_error_reply {
    uint32_t code;
    struct wh_slice message;
    bool temporary;
};

struct wh_info {
    struct wh_slice user;
    struct wh_slice client;
    struct wh_payload conn_info;
    struct wh_payload chan_info;
};

struct wh_pub {
    struct wh_payload data;
    struct wh_info *info;
    uint64_t offset;
    struct wh_string_map tags;
    bool delta;
    int64_t time; /* ms since 1970 UTC */
    struct wh_slice channel;
    struct wh_slice key;
    bool removed;
    int64_t score;
    struct wh_slice epoch;
    struct wh_payload prev_data;
    uint64_t version;
};

struct wh_stream_position {
    uint64_t offset;
    struct wh_slice epoch;
};

struct wh_filter_node;
typedef WH_MESSAGES(struct wh_filter_node) wh_filter_nodes;

struct wh_filter_node {
    struct wh_slice op;
    struct wh_slice key;
    struct wh_slice cmp;
    struct wh_slice val;
    struct wh_strings vals;
    wh_filter_nodes nodes;
};

struct wh_empty {
    char nothing; /* C has no empty structs */
};

/* Requests */

struct wh_subscribe_request {
    struct wh_slice channel;
    struct wh_slice token;
    bool recover;
    struct wh_slice epoch;
    uint64_t offset;
    struct wh_payload data;
    bool positioned;
    bool recoverable;
    bool join_leave;
    struct wh_slice delta;
    struct wh_filter_node *tf;
    int64_t flag;
    int32_t type;
    int32_t phase;
    struct wh_slice cursor;
    int32_t limit;
    bool asc;
};

struct wh_connect_request {
    struct wh_slice token;
    struct wh_payload data;
    WH_MESSAGE_MAP(struct wh_subscribe_request) subs;
    struct wh_slice name;
    struct wh_slice version;
    struct wh_string_map headers;
    int64_t flag;
    struct wh_slice dict;
    struct wh_slice profile;
};

struct wh_unsubscribe_request {
    struct wh_slice channel;
};

struct wh_publish_request {
    struct wh_slice channel;
    struct wh_payload data;
    int32_t type;
    struct wh_slice key;
    bool removed;
};

struct wh_presence_request {
    struct wh_slice channel;
};

struct wh_presence_stats_request {
    struct wh_slice channel;
};

struct wh_history_request {
    struct wh_slice channel;
    int32_t limit;
    struct wh_stream_position *since;
    bool reverse;
};

struct wh_send_request {
    struct wh_payload data;
};

struct wh_rpc_request {
    struct wh_payload data;
    struct wh_slice method;
};

struct wh_refresh_request {
    struct wh_slice token;
};

struct wh_sub_refresh_request {
    struct wh_slice channel;
    struct wh_slice token;
    int32_t type;
};

struct wh_command {
    uint32_t id;
    struct wh_connect_request *connect;
    struct wh_subscribe_request *subscribe;
    struct wh_unsubscribe_request *unsubscribe;
    struct wh_publish_request *publish;
    struct wh_presence_request *presence;
    struct wh_presence_stats_request *presence_stats;
    struct wh_history_request *history;
    struct wh_empty *ping;
    struct wh_send_request *send;
    struct wh_rpc_request *rpc;
    struct wh_refresh_request *refresh;
    struct wh_sub_refresh_request *sub_refresh;
};

/* Results */

struct wh_subscribe_result {
    bool expires;
    uint32_t ttl; /* s */
    bool recoverable;
    struct wh_slice epoch;
    WH_MESSAGES(struct wh_pub) publications;
    bool recovered;
    uint64_t offset;
    bool positioned;
    struct wh_payload data;
    bool was_recovering;
    bool delta;
    int64_t id;
};

/* Shared by the connect result and the connect push. */
struct wh_connect_result {
    struct wh_slice client;
    struct wh_slice version;
    bool expires;
    uint32_t ttl; /* s */
    struct wh_payload data;
    WH_MESSAGE_MAP(struct wh_subscribe_result) subs;
    uint32_t ping; /* s */
    bool pong;
    struct wh_slice session;
    struct wh_slice node;
    int64_t time; /* ms */
};

struct wh_presence_result {
    WH_MESSAGE_MAP(struct wh_info) presence;
};

struct wh_presence_stats_result {
    uint32_t num_clients;
    uint32_t num_users;
};

struct wh_history_result {
    WH_MESSAGES(struct wh_pub) publications;
    struct wh_slice epoch;
    uint64_t offset;
};

struct wh_rpc_result {
    struct wh_payload data;
};

struct wh_refresh_result {
    struct wh_slice client;
    struct wh_slice version;
    bool expires;
    uint32_t ttl; /* s */
};

struct wh_sub_refresh_result {
    bool expires;
    uint32_t ttl; /* s */
};

/* Pushes */

struct wh_join {
    struct wh_info *info;
};

struct wh_unsubscribe_push {
    uint32_t code;
    struct wh_slice reason;
};

struct wh_subscribe_push {
    bool recoverable;
    struct wh_slice epoch;
    uint64_t offset;
    bool positioned;
    struct wh_payload data;
};

struct wh_message_push {
    struct wh_payload data;
};

struct wh_disconnect_push {
    uint32_t code;
    struct wh_slice reason;
    bool reconnect;
};

struct wh_refresh_push {
    bool expires;
    uint32_t ttl; /* s */
};

struct wh_push {
    int64_t id; /* channel number, with compaction */
    struct wh_slice channel;
    struct wh_pub *pub;
    struct wh_join *join;
    struct wh_join *leave;
    struct wh_unsubscribe_push *unsubscribe;
    struct wh_message_push *message;
    struct wh_subscribe_push *subscribe;
    struct wh_connect_result *connect;
    struct wh_disconnect_push *disconnect;
    struct wh_refresh_push *refresh;
};

struct wh_reply {
    uint32_t id;
    struct wh_error_reply *error;
    struct wh_push *push;
    struct wh_connect_result *connect;
    struct wh_subscribe_result *subscribe;
    struct wh_empty *unsubscribe;
    struct wh_empty *publish;
    struct wh_presence_result *presence;
    struct wh_presence_stats_result *presence_stats;
    struct wh_history_result *history;
    struct wh_empty *ping;
    struct wh_rpc_result *rpc;
    struct wh_refresh_result *refresh;
    struct wh_sub_refresh_result *sub_refresh;
};

#endif
