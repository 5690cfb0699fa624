/*
 * The hub's options: every row once.
 *
 * Names, nesting and defaults are Centrifugo v6's wherever the meaning is the
 * same, so that people can bring their files.  Rows of a group stand together
 * (print-config writes them in this order).  The rows of a token serve twice,
 * and so do those of a channel: for channels without a namespace and for each
 * namespace.
 */
#include "hub/config_internal.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static const char *const engine_names[] = {"memory", "redis", NULL};
static const char *const recovery_names[] = {"stream", "cache", NULL};
static const char *const data_format_names[] = {"", "json", "json_object", "binary", NULL};
static const char *const level_names[] = {"trace", "debug", "info", "warn", "error", "none", NULL};
static const char *const format_names[] = {"auto", "logfmt", "json", NULL};

#define LIVE   WH_OPTION_RELOADABLE
#define IDLE   WH_OPTION_NO_EFFECT_YET
#define SECRET WH_OPTION_SECRET

/* Where a row's member is: in the config, or in the options of a channel. */
#define AT(member)           offsetof(struct config, member)
#define AT_OTLP(member)      offsetof(struct config, opentelemetry.exporter.member)
#define AT_TOKEN(member)     offsetof(struct config, client.token.member)
#define AT_SUB_TOKEN(member) offsetof(struct config, client.subscription_token.member)
#define AT_PLAIN(member)     offsetof(struct config, channel.without_namespace.member)
#define AT_NAMESPACE(member) offsetof(struct namespace_config, options.member)

/* name, type, flags, offset, help, then further members of struct wh_option */
#define ROW(name_text, kind, flag_set, at, help_text, ...)                                         \
    {                                                                                              \
        .name = (name_text), .type = WH_OPTION_##kind, .flags = (flag_set), .offset = (at),        \
        .help = (help_text), __VA_ARGS__                                                           \
    }
#define DEFAULT(text) .default_text = (text)
#define SECONDS(n)    ((n)*UINT64_C(1000))

/* clang-format off */
#define TOKEN_ROWS(prefix, at)                                                                     \
    ROW(prefix "hmac_secret_key", STRING, LIVE | SECRET, at(hmac_secret_key),                      \
        "Shared secret that verifies HS256, HS384 and HS512 tokens; at least 32 bytes."),          \
    ROW(prefix "hmac_previous_secret_key", STRING, LIVE | SECRET, at(hmac_previous_secret_key),    \
        "The secret before the last rotation, accepted as well."),                                 \
    ROW(prefix "hmac_previous_secret_key_valid_until", INTEGER, LIVE,                              \
        at(hmac_previous_secret_key_valid_until),                                                  \
        "Unix time in seconds from which the previous secret is refused; 0 is never.",             \
        .max = INT64_MAX),                                                                         \
    ROW(prefix "rsa_public_key", STRING, LIVE, at(rsa_public_key),                                 \
        "Public key that verifies RS256, RS384 and RS512 tokens: PEM text."),                      \
    ROW(prefix "ecdsa_public_key", STRING, LIVE, at(ecdsa_public_key),                             \
        "Public key that verifies ES256, ES384 and ES512 tokens: PEM text."),                      \
    ROW(prefix "jwks_public_endpoint", STRING, LIVE, at(jwks_public_endpoint),                     \
        "URL of a JSON Web Key Set, used in place of the keys above; tokens need a `kid`."),       \
    ROW(prefix "audience", STRING, LIVE, at(audience),                                             \
        "The `aud` that tokens must have; empty accepts any."),                                    \
    ROW(prefix "audience_regex", STRING, LIVE, at(audience_regex),                                 \
        "The same as a regular expression."),                                                      \
    ROW(prefix "issuer", STRING, LIVE, at(issuer),                                                 \
        "The `iss` that tokens must have; empty accepts any."),                                    \
    ROW(prefix "issuer_regex", STRING, LIVE, at(issuer_regex),                                     \
        "The same as a regular expression."),                                                      \
    ROW(prefix "user_id_claim", STRING, LIVE, at(user_id_claim),                                   \
        "Claim that holds the user id; empty is `sub`.")

#define RATE_AT(scope, class, member)                                                              \
    offsetof(struct config, client.rate_limit.scopes[RATE_PER_##scope][RATE_##class].member)

#define RATE_ROWS(scope_name, scope, class_name, class, what)                                      \
    ROW("client.rate_limit." scope_name "." class_name ".rate", INTEGER, LIVE,                     \
        RATE_AT(scope, class, rate), "How many " what " a second; 0 is no limit.", .max = 1000000),\
    ROW("client.rate_limit." scope_name "." class_name ".burst", INTEGER, LIVE,                    \
        RATE_AT(scope, class, burst), "How many may come at once; 0 is one second's.",             \
        .max = 1000000)

#define RATE_SCOPE_ROWS(name, scope, of_what)                                                      \
    RATE_ROWS(name, scope, "total", TOTAL, "commands and calls " of_what),            \
    RATE_ROWS(name, scope, "subscribe", SUBSCRIBE, "subscribes " of_what),                         \
    RATE_ROWS(name, scope, "publish", PUBLISH, "publishes " of_what),                              \
    RATE_ROWS(name, scope, "rpc", RPC, "calls " of_what),                                          \
    RATE_ROWS(name, scope, "other", OTHER, "commands of other kinds " of_what)

#define CHANNEL_BOOL(prefix, at, option, flags, help)                                              \
    ROW(prefix #option, BOOL, LIVE | (flags), at(option), help)

#define PROXY_ROWS(prefix, at, event)                                                              \
    ROW(prefix #event "_proxy_enabled", BOOL, LIVE | IDLE, at(event##_proxy_enabled),              \
        "Ask a backend at this event (" #event ")."),                                              \
    ROW(prefix #event "_proxy_name", STRING, LIVE | IDLE, at(event##_proxy_name),                  \
        "Which backend is asked.", DEFAULT("default"))

#define CHANNEL_ROWS(p, at)                                                                        \
    CHANNEL_BOOL(p, at, presence, 0, "Keep track of who is subscribed."),                       \
    CHANNEL_BOOL(p, at, join_leave, 0, "Generate join and leave messages."),                    \
    CHANNEL_BOOL(p, at, force_push_join_leave, 0,                                               \
                 "Deliver them to subscribers that did not ask, too."),                            \
    ROW(p "history_size", INTEGER, LIVE, at(history_size),                                  \
        "How many publications a channel keeps; goes with `history_ttl`.", .max = 10000000),       \
    ROW(p "history_ttl", DURATION, LIVE, at(history_ttl_ms),                                \
        "How long it keeps them, in whole seconds; goes with `history_size`."),                    \
    ROW(p "history_meta_ttl", DURATION, LIVE, at(history_meta_ttl_ms),                      \
        "How long a channel's position outlives its history; 0 is `channel.history_meta_ttl`."),   \
    CHANNEL_BOOL(p, at, force_positioning, 0, "Positioning for every subscription."),           \
    CHANNEL_BOOL(p, at, allow_positioning, 0, "Positioning for clients that ask."),             \
    CHANNEL_BOOL(p, at, force_recovery, 0, "Recovery for every subscription."),                 \
    CHANNEL_BOOL(p, at, allow_recovery, 0, "Recovery for clients that ask."),                   \
    ROW(p "force_recovery_mode", ENUM, LIVE, at(force_recovery_mode),                       \
        "What is recovered: all that was missed, or the latest publication.",                      \
        .choices = recovery_names),                                                                \
    CHANNEL_BOOL(p, at, auto_cache_recover, 0,                                                  \
                 "In cache mode, send the latest publication to new subscribers as well."),        \
    CHANNEL_BOOL(p, at, allow_subscribe_for_client, 0, "Users may subscribe without a subscription token."),    \
    CHANNEL_BOOL(p, at, allow_subscribe_for_anonymous, 0, "With the option before, anonymous clients may as well."),            \
    CHANNEL_BOOL(p, at, allow_publish_for_client, 0, "Users may publish."),                        \
    CHANNEL_BOOL(p, at, allow_publish_for_subscriber, 0, "Subscribers may publish."),              \
    CHANNEL_BOOL(p, at, allow_publish_for_anonymous, 0,                                            \
                 "Either of them may be anonymous."),                                              \
    CHANNEL_BOOL(p, at, allow_presence_for_client, 0, "Users may ask for presence."),           \
    CHANNEL_BOOL(p, at, allow_presence_for_subscriber, 0, "Subscribers may ask for it."),       \
    CHANNEL_BOOL(p, at, allow_presence_for_anonymous, 0, "Either of them may be anonymous."),   \
    CHANNEL_BOOL(p, at, allow_history_for_client, 0, "Users may read history."),                \
    CHANNEL_BOOL(p, at, allow_history_for_subscriber, 0, "Subscribers may read it."),           \
    CHANNEL_BOOL(p, at, allow_history_for_anonymous, 0, "Either of them may be anonymous."),    \
    CHANNEL_BOOL(p, at, allow_user_limited_channels, 0,                                            \
                 "Names such as `news#42,43` admit exactly those users."),                         \
    ROW(p "channel_regex", STRING, LIVE, at(channel_regex),                                        \
        "What the name behind the namespace must match, in place of being ASCII."),                \
    ROW(p "publication_data_format", ENUM, LIVE, at(publication_data_format),                      \
        "What a publication must be; `\"\"` is anything but nothing.",                             \
        .choices = data_format_names),                                                             \
    CHANNEL_BOOL(p, at, allow_tags_filter, 0, "Subscribers may filter by tags."),                  \
    ROW(p "allowed_delta_types", STRINGS, LIVE, at(allowed_delta_types),                           \
        "Delta compressions that subscribers may ask for: `fossil`."),                             \
    CHANNEL_BOOL(p, at, delta_publish, IDLE, "Deltas for all publications; always so here."),      \
    PROXY_ROWS(p, at, subscribe),                                                                  \
    PROXY_ROWS(p, at, publish),                                                                    \
    PROXY_ROWS(p, at, sub_refresh),                                                                \
    PROXY_ROWS(p, at, subscribe_stream)

static const struct wh_option namespace_rows[] = {
    ROW("name", STRING, LIVE, offsetof(struct namespace_config, name),
        "What stands before the boundary: two or more of `a-z A-Z 0-9 - _ .`."),
    CHANNEL_ROWS("", AT_NAMESPACE),
};

static const struct wh_option_table namespace_table = {
    namespace_rows, COUNT_OF(namespace_rows), sizeof(struct namespace_config)};

static const char *const access_names[] = {"anonymous", "user", "role", NULL};

static const struct wh_option method_rows[] = {
    ROW("name", STRING, LIVE, offsetof(struct method_config, name),
        "A method, as `orders.v1.create`, or how methods begin, as `orders.v1.*`; `*` is all.",
        .min = 1, .max = 128),
    ROW("access", ENUM, LIVE, offsetof(struct method_config, access),
        "Who may call them: a user, or a user with one of `roles`.  It adds to what the service asks for and never opens what that keeps closed.",
        .choices = access_names),
    ROW("roles", STRINGS, LIVE, offsetof(struct method_config, roles),
        "With access `role`: one of these has to be in the token's claim `roles`.",
        .min = 1, .max = 128),
    ROW("timeout", DURATION, LIVE, offsetof(struct method_config, timeout_ms),
        "A shorter time than the service gives itself; 0 is that one.", .max = SECONDS(60)),
};
static const struct wh_option_table method_table = {
    method_rows, COUNT_OF(method_rows), sizeof(struct method_config)};

static const struct wh_option composed_rows[] = {
    ROW("as", STRING, LIVE, offsetof(struct composed_call_config, as),
        "The member of the result, and of the caller's params what this call gets.",
        .min = 1, .max = 64),
    ROW("method", STRING, LIVE, offsetof(struct composed_call_config, method),
        "The method of a service.", .min = 1, .max = 128),
};
static const struct wh_option_table composed_table = {
    composed_rows, COUNT_OF(composed_rows), sizeof(struct composed_call_config)};

static const struct wh_option composition_rows[] = {
    ROW("name", STRING, LIVE, offsetof(struct composition_config, name),
        "The method that clients call, as `shop.v1.home`.", .min = 1, .max = 128),
    ROW("access", ENUM, LIVE, offsetof(struct composition_config, access),
        "Who may call it; each method in it asks for itself besides.", DEFAULT("user"),
        .choices = access_names),
    ROW("roles", STRINGS, LIVE, offsetof(struct composition_config, roles),
        "With access `role`: one of these has to be in the token's claim `roles`.",
        .min = 1, .max = 128),
    ROW("timeout", DURATION, LIVE, offsetof(struct composition_config, timeout_ms),
        "After this time what is not there yet is an error (1504); 0 is each method's own time.",
        .max = SECONDS(60)),
    ROW("calls", OBJECTS, LIVE, offsetof(struct composition_config, calls),
        "The methods, called at once with the caller's identity.", .objects = &composed_table),
};
static const struct wh_option_table composition_table = {
    composition_rows, COUNT_OF(composition_rows), sizeof(struct composition_config)};

static const struct wh_option rows[] = {
    ROW("http_server.address", STRING, 0, AT(http_server.address),
        "Address to listen on; `0.0.0.0` or `::` is every interface.",
        DEFAULT("127.0.0.1"), .min = 1, .max = 255),
    ROW("http_server.port", INTEGER, 0, AT(http_server.port), "TCP port to listen on; 0 lets the kernel choose, and the log says which.",
        DEFAULT("8000"), .max = 65535),
    ROW("http_server.internal_address", STRING, IDLE, AT(http_server.internal_address),
        "Address of the internal endpoints; empty is `http_server.address`.", .max = 255),
    ROW("http_server.internal_port", INTEGER, IDLE, AT(http_server.internal_port),
        "Port of its own for the server API, metrics and health; 0 is `http_server.port`.",
        .max = 65535),
    ROW("http_server.tls.enabled", BOOL, 0, AT(http_server.tls.enabled),
        "Serve wss:// and https:// in place of ws:// and http://."),
    ROW("http_server.tls.cert_pem", STRING, 0, AT(http_server.tls.cert_pem),
        "Certificate chain: path of a file, or PEM text."),
    ROW("http_server.tls.key_pem", STRING, SECRET, AT(http_server.tls.key_pem),
        "Its private key: path of a file, or PEM text."),
    ROW("http_server.tls.client_ca_pem", STRING, 0, AT(http_server.tls.client_ca_pem),
        "Clients must show a certificate of this authority: path of a file, or PEM text."),

    ROW("websocket.handler_prefix", STRING, 0, AT(websocket.handler_prefix),
        "Path of the WebSocket endpoint.", DEFAULT("/connection/websocket"), .min = 1, .max = 255),
    ROW("websocket.message_size_limit", SIZE, LIVE, AT(websocket.message_size_limit),
        "Largest message taken from a client; a larger one closes the connection (1009).",
        DEFAULT("64KiB"), .min = 1024, .max = 64 * 1024 * 1024),
    ROW("websocket.write_timeout", DURATION, LIVE, AT(websocket.write_timeout_ms),
        "How long a connection may take nothing while data waits for it.",
        DEFAULT("1s"), .min = 1),

    ROW("client.insecure", BOOL, LIVE, AT(client.insecure),
        "Anyone connects and may do everything: for development only."),
    ROW("client.allow_anonymous_connect_without_token", BOOL, LIVE,
        AT(client.allow_anonymous_connect_without_token),
        "Clients without a token connect as anonymous."),
    ROW("client.disallow_anonymous_connection_tokens", BOOL, LIVE,
        AT(client.disallow_anonymous_connection_tokens), "Refuse tokens without a user id."),
    ROW("client.ping_interval", DURATION, LIVE, AT(client.ping_interval_ms),
        "Time between pings to a client; longer than `client.pong_timeout`.",
        DEFAULT("25s"), .min = SECONDS(1), .max = SECONDS(86400)),
    ROW("client.pong_timeout", DURATION, LIVE, AT(client.pong_timeout_ms),
        "How long its answer may take before the connection is closed (3012).",
        DEFAULT("8s"), .min = SECONDS(1), .max = SECONDS(86400)),
    ROW("client.expired_close_delay", DURATION, LIVE, AT(client.expired_close_delay_ms),
        "Time to refresh an expired connection before it is closed (3005).", DEFAULT("25s")),
    ROW("client.expired_sub_close_delay", DURATION, LIVE,
        AT(client.expired_sub_close_delay_ms), "The same for a subscription.", DEFAULT("25s")),
    ROW("client.stale_close_delay", DURATION, LIVE, AT(client.stale_close_delay_ms),
        "Time to send connect after the socket has opened.", DEFAULT("10s"), .min = 1),
    ROW("client.channel_limit", INTEGER, LIVE, AT(client.channel_limit),
        "Subscriptions of one connection.", DEFAULT("128"), .min = 1, .max = 1000000),
    ROW("client.queue_max_size", SIZE, LIVE, AT(client.queue_max_size),
        "Bytes that may wait for a slow client before it is closed (3008).",
        DEFAULT("1MiB"), .min = 1024),
    ROW("client.presence_update_interval", DURATION, LIVE,
        AT(client.presence_update_interval_ms), "How often presence is renewed.",
        DEFAULT("27s"), .min = SECONDS(1)),
    ROW("client.concurrency", INTEGER, LIVE | IDLE, AT(client.concurrency),
        "Commands of one connection that run at once; 0 is in order.", .max = 10000),
    ROW("client.channel_position_check_delay", DURATION, LIVE,
        AT(client.channel_position_check_delay_ms),
        "How often a positioned subscription is compared with its stream.",
        DEFAULT("40s"), .min = SECONDS(1)),
    ROW("client.user_connection_limit", INTEGER, LIVE, AT(client.user_connection_limit),
        "Connections of one user to one worker; 0 is no limit.", .max = 100000000),
    ROW("client.connection_limit", INTEGER, LIVE, AT(client.connection_limit),
        "Connections to one worker; 0 is no limit.", .max = 100000000),
    ROW("client.connection_rate_limit", INTEGER, LIVE, AT(client.connection_rate_limit),
        "New connections a second to one worker; 0 is no limit.", .max = 100000000),
    ROW("client.history_max_publication_limit", INTEGER, LIVE,
        AT(client.history_max_publication_limit), "Publications in one history reply.",
        DEFAULT("300"), .max = 1000000),
    ROW("client.recovery_max_publication_limit", INTEGER, LIVE,
        AT(client.recovery_max_publication_limit), "Publications recovered by one subscribe.",
        DEFAULT("300"), .max = 1000000),
    ROW("client.connect_include_server_time", BOOL, LIVE, AT(client.connect_include_server_time),
        "Tell clients the server's time when they connect."),
    ROW("client.user_id_http_header", STRING, LIVE | IDLE, AT(client.user_id_http_header),
        "Header of the upgrade that holds the user id; for trusted proxies only."),
    ROW("client.allowed_origins", STRINGS, LIVE, AT(client.allowed_origins),
        "Pages that may connect besides the hub's own, as `https://*.example.com`; `*` is all.",
        .min = 1, .max = 255),
    ROW("client.subscribe_to_user_personal_channel.enabled", BOOL, LIVE,
        AT(client.subscribe_to_user_personal_channel.enabled),
        "Subscribe each user to a channel of their own when they connect."),
    ROW("client.subscribe_to_user_personal_channel.personal_channel_namespace", STRING,
        LIVE, AT(client.subscribe_to_user_personal_channel.personal_channel_namespace),
        "The namespace of those channels."),
    ROW("client.subscribe_to_user_personal_channel.single_connection", BOOL, LIVE | IDLE,
        AT(client.subscribe_to_user_personal_channel.single_connection),
        "A new connection of a user closes the one before."),
    TOKEN_ROWS("client.token.", AT_TOKEN),
    ROW("client.subscription_token.enabled", BOOL, LIVE, AT_SUB_TOKEN(enabled),
        "Verify subscription tokens with the keys below, not with those of `client.token`."),
    TOKEN_ROWS("client.subscription_token.", AT_SUB_TOKEN),
    RATE_SCOPE_ROWS("connection", CONNECTION, "of one connection"),
    RATE_SCOPE_ROWS("user", USER, "of a user (per worker, REST included)"),
    RATE_ROWS("user", USER, "connect", CONNECT, "connects of one user to one worker"),
    RATE_SCOPE_ROWS("address", ADDRESS, "from an address (per worker, REST too)"),
    RATE_ROWS("address", ADDRESS, "connect", CONNECT, "connects from one address to one worker"),

    ROW("http_api.key", STRING, LIVE | SECRET, AT(http_api.key),
        "What backends send as `X-API-Key`."),

    ROW("channel.private_prefix", STRING, LIVE, AT(channel.private_prefix),
        "Names that begin so need a subscription token.", DEFAULT("$"), .max = 16),
    ROW("channel.namespace_boundary", STRING, LIVE, AT(channel.namespace_boundary),
        "Ends the namespace in a name.", DEFAULT(":"), .min = 1, .max = 16),
    ROW("channel.user_boundary", STRING, LIVE, AT(channel.user_boundary),
        "Begins the list of users in a name.", DEFAULT("#"), .min = 1, .max = 16),
    ROW("channel.user_separator", STRING, LIVE, AT(channel.user_separator),
        "Separates those users.", DEFAULT(","), .min = 1, .max = 16),
    ROW("channel.max_length", INTEGER, LIVE, AT(channel.max_length),
        "Bytes of a channel's name.", DEFAULT("255"), .min = 1, .max = 4096),
    ROW("channel.history_meta_ttl", DURATION, LIVE, AT(channel.history_meta_ttl_ms),
        "How long a channel's position outlives its history.",
        DEFAULT("720h"), .min = SECONDS(1)),
    CHANNEL_ROWS("channel.without_namespace.", AT_PLAIN),
    ROW("channel.namespaces", OBJECTS, LIVE, AT(channel.namespaces),
        "Channels named `name:…`, each namespace with options of its own.",
        .objects = &namespace_table),

    ROW("engine.type", ENUM, 0, AT(engine.type),
        "What carries publications between clients: this process, or Redis.",
        .choices = engine_names),
    ROW("engine.redis.address", STRING, 0, AT(engine.redis.address),
        "`host:port` or `unix:///path`.", DEFAULT("127.0.0.1:6379"), .min = 1, .max = 512),
    ROW("engine.redis.sentinel_address", STRING, IDLE, AT(engine.redis.sentinel_address),
        "Sentinels, as `host:port` separated by commas; found through them, not by `address`."),
    ROW("engine.redis.sentinel_master_name", STRING, IDLE, AT(engine.redis.sentinel_master_name),
        "The name of the master that they watch."),
    ROW("engine.redis.user", STRING, 0, AT(engine.redis.user), "User of Redis' ACL."),
    ROW("engine.redis.password", STRING, SECRET, AT(engine.redis.password), "Password of Redis."),
    ROW("engine.redis.db", INTEGER, 0, AT(engine.redis.db), "Number of the database.",
        .max = 65535),

    ROW("rpc.timeout", DURATION, LIVE, AT(rpc.timeout_ms),
        "How long a call may take when its method announces nothing else.",
        DEFAULT("4800ms"), .min = 1, .max = SECONDS(60)),
    ROW("rpc.queue_limit", INTEGER, LIVE, AT(rpc.queue_limit),
        "Calls that may wait in the queue of a service before new ones get error 111.",
        DEFAULT("10000"), .min = 1, .max = 100000000),
    ROW("rpc.service_inflight_limit", INTEGER, LIVE, AT(rpc.service_inflight_limit),
        "Calls from one worker to one service that may be under way.",
        DEFAULT("4096"), .min = 1, .max = 65536),
    ROW("rpc.connection_inflight_limit", INTEGER, LIVE, AT(rpc.connection_inflight_limit),
        "Calls of one connection that may be under way.",
        DEFAULT("256"), .min = 1, .max = 65536),
    ROW("rpc.breaker.window", DURATION, LIVE, AT(rpc.breaker.window_ms),
        "How far back the circuit breaker of a service looks; 0 is no breaker.",
        DEFAULT("10s"), .max = SECONDS(3600)),
    ROW("rpc.breaker.calls_min", INTEGER, LIVE, AT(rpc.breaker.calls_min),
        "Fewer calls in the window than this decide nothing.",
        DEFAULT("20"), .min = 1, .max = 1000000),
    ROW("rpc.breaker.failure_percent", INTEGER, LIVE, AT(rpc.breaker.failure_percent),
        "From this share of errors 100 and 1504 on calls get 1503 at once.",
        DEFAULT("50"), .min = 1, .max = 100),
    ROW("rpc.breaker.consecutive_timeouts", INTEGER, LIVE, AT(rpc.breaker.consecutive_timeouts),
        "So many 1504 in a row do the same; 0 is never.", DEFAULT("10"), .max = 1000000),
    ROW("rpc.breaker.open", DURATION, LIVE, AT(rpc.breaker.open_ms),
        "After this time, give or take a fifth, one call is let through to see.",
        DEFAULT("5s"), .min = 1, .max = SECONDS(3600)),
    ROW("rpc.methods", OBJECTS, LIVE, AT(rpc.methods),
        "Who may call which methods, beside what their services ask for.",
        .objects = &method_table),
    ROW("rpc.compositions", OBJECTS, LIVE, AT(rpc.compositions),
        "Methods of the hub's own that call several others at once.",
        .objects = &composition_table),

    ROW("shutdown.timeout", DURATION, LIVE, AT(shutdown.timeout_ms),
        "After this time a stopping hub ends, whatever is left.", DEFAULT("30s"), .min = 1),

    ROW("drain.delay", DURATION, LIVE, AT(drain.delay_ms),
        "Time between not being ready any more and the first closed client.", DEFAULT("0")),
    ROW("drain.spread", DURATION, LIVE, AT(drain.spread_ms),
        "Clients are told to reconnect elsewhere (3001) evenly over this time.",
        DEFAULT("10s")),

    ROW("log.level", ENUM, LIVE, AT(log.level), "The least important events that are logged.",
        DEFAULT("info"), .choices = level_names),
    ROW("log.format", ENUM, 0, AT(log.format),
        "`auto` is logfmt on a terminal and JSON elsewhere.", .choices = format_names),

    WH_OTLP_OPTION_ROWS(AT_OTLP),
    ROW("opentelemetry.api", BOOL, 0, AT(opentelemetry.api),
        "Record calls of the server API as well."),

    ROW("demo.enabled", BOOL, 0, AT(demo.enabled), "Serve the demo page at `/` and `/demo`, and let users kill workers (docs/DEMO.md)."),
    ROW("demo.dir", STRING, 0, AT(demo.dir), "The folder of its files. Empty: `../share/wirehub/demo` from the program, as installed."),

    ROW("workers", INTEGER, 0, AT(workers),
        "Processes; 0 is one per core with Redis and one with the memory engine.", .max = 1024),
};
/* clang-format on */

const struct wh_option_table config_table = {rows, COUNT_OF(rows), sizeof(struct config)};

/*
 * Names that Centrifugo v6 knows and this hub does not: the option or all that
 * stands below it.  Not complete, and need not be: it only decides between a
 * warning and an error.
 */
static const char *const foreign_names[] = {
    "admin",
    "broker",
    "channel.namespaces.map",
    "channel.namespaces.map_clients_presence_channel_prefix",
    "channel.namespaces.map_users_presence_channel_prefix",
    "channel.namespaces.shared_poll",
    "channel.namespaces.subscription_type",
    "channel.namespaces.subscription_types",
    "channel.patterns",
    "channel.proxy",
    "channel.without_namespace.map",
    "channel.without_namespace.map_clients_presence_channel_prefix",
    "channel.without_namespace.map_users_presence_channel_prefix",
    "channel.without_namespace.shared_poll",
    "channel.without_namespace.subscription_type",
    "channel.without_namespace.subscription_types",
    "client.allowed_delta_types",
    "client.channel_position_max_time_lag",
    "client.connect_code_to_unidirectional_disconnect",
    "client.connect_proxy_name",
    "client.insecure_skip_token_signature_verify",
    "client.proxy",
    "client.refresh_proxy_name",
    "client.rpc_proxy_name",
    "consumers",
    "database",
    "debug",
    "dev",
    "emulation",
    "enable_unreleased_features",
    "engine.redis.connect_timeout",
    "engine.redis.cluster_address",
    "engine.redis.force_resp2",
    "engine.redis.io_timeout",
    "engine.redis.prefix",
    "engine.redis.presence_hash_field_ttl",
    "engine.redis.presence_user_mapping",
    "engine.redis.replica_client",
    "engine.redis.sentinel_password",
    "engine.redis.sentinel_tls",
    "engine.redis.sentinel_user",
    "engine.redis.sharded_pub_sub_partitions",
    "engine.redis.tls",
    "graphite",
    "grpc_api",
    "health",
    "http_api.disabled",
    "http_api.error_mode",
    "http_api.external",
    "http_api.handler_prefix",
    "http_api.insecure",
    "http_server.http3",
    "http_server.internal_tls",
    "http_server.tls.insecure_skip_verify",
    "http_server.tls.server_ca_pem",
    "http_server.tls.server_name",
    "http_server.tls_autocert",
    "http_server.tls_external",
    "http_stream",
    "init",
    "log.file",
    "map_broker",
    "nats",
    "node",
    "pid_file",
    "presence_manager",
    "prometheus",
    "proxies",
    "push_notifications",
    "rpc.namespace_boundary",
    "rpc.namespaces",
    "rpc.ping",
    "rpc.without_namespace",
    "sse",
    "swagger",
    "uni_grpc",
    "uni_http_stream",
    "uni_sse",
    "uni_websocket",
    "usage_stats",
    "websocket.compression",
    "websocket.compression_level",
    "websocket.compression_min_size",
    "websocket.disabled",
    "websocket.read_buffer_size",
    "websocket.use_write_buffer_pool",
    "websocket.write_buffer_size",
    "webtransport",
};

bool config_name_is_foreign(struct wh_slice name)
{
    for (size_t i = 0; i < COUNT_OF(foreign_names); i++) {
        struct wh_slice known = wh_slice_from_str(foreign_names[i]);
        if (wh_slice_starts_with(name, known) &&
            (name.len == known.len || name.ptr[known.len] == '.'))
            return true;
    }
    return false;
}

bool config_variable_is_foreign(struct wh_slice variable)
{
    bool is_foreign = false;

    for (size_t i = 0; i < COUNT_OF(foreign_names) && !is_foreign; i++) {
        struct wh_buf known = {0};
        wh_option_write_env_name(CONFIG_ENV_PREFIX, foreign_names[i], &known);
        struct wh_slice name = wh_buf_slice(&known);
        is_foreign = wh_buf_error(&known) == WH_OK && wh_slice_starts_with(variable, name) &&
                     (variable.len == name.len || variable.ptr[name.len] == '_');
        wh_buf_deinit(&known);
    }
    return is_foreign;
}
