/*
 * The hub's configuration: one struct, filled from one option table
 * (config.c) out of defaults, file, environment and flags.  Member paths
 * mirror the option names: config->client.ping_interval_ms is
 * `client.ping_interval`.  Durations are milliseconds, sizes bytes.
 *
 * Immutable once loaded; a reload makes a new one.  Strings and arrays belong
 * to the config and die with it.
 */
#ifndef HUB_CONFIG_H
#define HUB_CONFIG_H

#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/config/load.h"
#include "common/io/otlp_setup.h"

enum engine_type { ENGINE_MEMORY, ENGINE_REDIS };
enum recovery_mode { RECOVERY_STREAM, RECOVERY_CACHE };
enum publication_data_format { DATA_ANY_NON_EMPTY, DATA_JSON, DATA_JSON_OBJECT, DATA_BINARY };

/* What client.rate_limit tells apart. */
enum rate_scope { RATE_PER_CONNECTION, RATE_PER_USER, RATE_PER_ADDRESS };
enum rate_class { RATE_TOTAL, RATE_CONNECT, RATE_SUBSCRIBE, RATE_PUBLISH, RATE_RPC, RATE_OTHER };
enum { RATE_SCOPES = RATE_PER_ADDRESS + 1, RATE_CLASSES = RATE_OTHER + 1 };

struct rate_limit {
    uint64_t rate;  /* commands a second; 0 = no limit */
    uint64_t burst; /* as many may come at once; 0 = one second's */
};

struct rate_config {
    struct rate_limit scopes[RATE_SCOPES][RATE_CLASSES];
};

enum access { ACCESS_ANONYMOUS, ACCESS_USER, ACCESS_ROLE };

struct string_list {
    char **items;
    size_t count;
};

/* Keys that verify tokens; every string may be NULL or "" = not set. */
struct token_config {
    bool enabled; /* subscription_token only */
    char *hmac_secret_key;
    char *hmac_previous_secret_key;
    int64_t hmac_previous_secret_key_valid_until; /* unix seconds, 0 = for ever */
    char *rsa_public_key;                         /* PEM text */
    char *ecdsa_public_key;                       /* PEM text */
    char *jwks_public_endpoint;
    char *audience;
    char *audience_regex;
    char *issuer;
    char *issuer_regex;
    char *user_id_claim;
};

/* The options of one namespace, or of channels without one. */
struct channel_options {
    bool presence;
    bool join_leave;
    bool force_push_join_leave;
    uint64_t history_size;
    uint64_t history_ttl_ms;
    uint64_t history_meta_ttl_ms; /* 0 = channel.history_meta_ttl */
    bool force_positioning;
    bool allow_positioning;
    bool force_recovery;
    bool allow_recovery;
    enum recovery_mode force_recovery_mode;
    bool auto_cache_recover;
    bool allow_subscribe_for_client;
    bool allow_subscribe_for_anonymous;
    bool allow_publish_for_client;
    bool allow_publish_for_subscriber;
    bool allow_publish_for_anonymous;
    bool allow_presence_for_client;
    bool allow_presence_for_subscriber;
    bool allow_presence_for_anonymous;
    bool allow_history_for_client;
    bool allow_history_for_subscriber;
    bool allow_history_for_anonymous;
    bool allow_user_limited_channels;
    char *channel_regex;
    enum publication_data_format publication_data_format;
    bool allow_tags_filter;
    struct string_list allowed_delta_types;
    bool delta_publish;
    bool subscribe_proxy_enabled;
    char *subscribe_proxy_name;
    bool publish_proxy_enabled;
    char *publish_proxy_name;
    bool sub_refresh_proxy_enabled;
    char *sub_refresh_proxy_name;
    bool subscribe_stream_proxy_enabled;
    char *subscribe_stream_proxy_name;
};

struct namespace_config {
    char *name;
    struct channel_options options;
};

/* Who may call methods of this name, beside what their service says; a `*` at its end is any rest.
 */
struct method_config {
    char *name;
    enum access access;
    struct string_list roles;
    uint64_t timeout_ms; /* 0 = as the method has it */
};

struct composed_call_config {
    char *as;
    char *method;
};

/* A method of the hub's own that calls others. */
struct composition_config {
    char *name;
    enum access access;
    struct string_list roles;
    uint64_t timeout_ms;
    struct {
        struct composed_call_config *items;
        size_t count;
    } calls;
};

struct config {
    struct {
        char *address;
        uint64_t port;
        char *internal_address;
        uint64_t internal_port; /* 0 = everything on `port` */
        struct {
            bool enabled;
            char *cert_pem; /* path of the file, or PEM text */
            char *key_pem;  /* secret */
            char *client_ca_pem;
        } tls;
    } http_server;

    struct {
        char *handler_prefix; /* "/connection/websocket" */
        uint64_t message_size_limit;
        uint64_t write_timeout_ms;
    } websocket;

    struct {
        bool insecure;
        bool allow_anonymous_connect_without_token;
        bool disallow_anonymous_connection_tokens;
        uint64_t ping_interval_ms;
        uint64_t pong_timeout_ms;
        uint64_t expired_close_delay_ms;
        uint64_t expired_sub_close_delay_ms;
        uint64_t stale_close_delay_ms;
        uint64_t channel_limit;
        uint64_t queue_max_size;
        uint64_t presence_update_interval_ms;
        uint64_t concurrency;
        uint64_t channel_position_check_delay_ms;
        uint64_t user_connection_limit; /* 0 = none */
        uint64_t connection_limit;      /* 0 = none */
        uint64_t connection_rate_limit; /* per second, 0 = none */
        uint64_t history_max_publication_limit;
        uint64_t recovery_max_publication_limit;
        bool connect_include_server_time;
        char *user_id_http_header;
        struct string_list allowed_origins;
        struct {
            bool enabled;
            char *personal_channel_namespace;
            bool single_connection;
        } subscribe_to_user_personal_channel;
        struct token_config token;
        struct token_config subscription_token;
        struct rate_config rate_limit;
    } client;

    struct {
        char *key; /* secret */
    } http_api;

    struct {
        char *private_prefix;     /* "$" */
        char *namespace_boundary; /* ":" */
        char *user_boundary;      /* "#" */
        char *user_separator;     /* "," */
        uint64_t max_length;      /* bytes */
        uint64_t history_meta_ttl_ms;
        struct channel_options without_namespace;
        struct {
            struct namespace_config *items;
            size_t count;
        } namespaces;
    } channel;

    struct {
        enum engine_type type;
        struct {
            char *address; /* host:port, or unix:///path */
            char *sentinel_address;
            char *sentinel_master_name;
            char *user;
            char *password; /* secret */
            uint64_t db;
        } redis;
    } engine;

    struct {
        uint64_t timeout_ms; /* of a method that announces none */
        uint64_t queue_limit;
        uint64_t service_inflight_limit;
        uint64_t connection_inflight_limit;
        struct {
            uint64_t window_ms; /* 0 = never opens */
            uint64_t calls_min;
            uint64_t failure_percent;
            uint64_t consecutive_timeouts; /* 0 = they alone never open it */
            uint64_t open_ms;
        } breaker;
        struct {
            struct method_config *items;
            size_t count;
        } methods;
        struct {
            struct composition_config *items;
            size_t count;
        } compositions;
    } rpc;

    struct {
        uint64_t timeout_ms;
    } shutdown;

    struct {
        uint64_t delay_ms;
        uint64_t spread_ms;
    } drain;

    struct {
        enum wh_log_level level;
        enum wh_log_format format;
    } log;

    struct {
        bool enabled; /* the demo page at / and /demo, and hub.v1.kill */
        char *dir;    /* where its files are */
    } demo;

    struct {
        struct wh_otlp_config exporter; /* enabled, endpoint, sample_ratio, headers */
        bool api;                       /* spans for the server API, too */
    } opentelemetry;

    uint64_t workers; /* 0 = one per core with redis, one with memory */

    struct wh_arena *arena; /* owns everything above */
};

/*
 * Load defaults, file, WIREHUB_… variables and flags (common/config/load.h).
 * WH_OK with *out_config, possibly with warnings; WH_EFORMAT when there was any error; WH_ENOMEM.
 */
WH_MUST_CHECK enum wh_err config_load(const struct wh_config_source *source,
                                      struct config **out_config,
                                      struct wh_buf *out_problems);
void config_free(struct config *config);

/*
 * The verbs check-config, print-config and gen-config, --help texts and docs/CONFIGURATION.md:
 * all written from the same table.  argv[0] is the verb.  They return the exit status.
 */
int config_check_main(int argc, char **argv);
int config_print_main(int argc, char **argv);
int config_generate_main(int argc, char **argv);
void config_write_reference(const struct wh_config_program *program,
                            struct wh_buf *out); /* Markdown */
void config_write_flags_help(struct wh_buf *out);

/* A commented configuration with fresh random secrets, ready to run. */
void config_write_example(const struct wh_config_program *program, struct wh_buf *out);

/*
 * What differs between two loaded configs, as option names separated by commas: those a running
 * hub can take over and those that need a restart.
 */
void config_diff(const struct config *old_config,
                 const struct config *new_config,
                 struct wh_buf *out_reloadable,
                 struct wh_buf *out_restart);

#endif
