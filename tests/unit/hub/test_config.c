#include "hub/config.h"
#include "hub/config_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/failing_alloc.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define SECRET          "0123456789abcdef0123456789abcdef"
#define ANYONE          "client: { allow_anonymous_connect_without_token: true }\n"

struct loaded {
    struct config *config; /* NULL after an error */
    enum wh_err err;
    struct wh_buf problems;
};

static struct loaded load(const struct config_source *source)
{
    struct loaded loaded = {0};
    loaded.err = config_load(source, &loaded.config, &loaded.problems);
    assert_int_equal(loaded.config != NULL, loaded.err == WH_OK);
    return loaded;
}

static struct loaded load_text(const char *text)
{
    return load(&(struct config_source){.path = "w.yaml", .text = wh_slice_from_str(text)});
}

static void unload(struct loaded *loaded)
{
    config_free(loaded->config);
    wh_buf_deinit(&loaded->problems);
}

/* What main gives: environ and argv are not const, though nobody writes to them. */
static char *word(const char *text)
{
    return (char *)(uintptr_t)text;
}

static void every_mistake_has_its_exact_message(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *problems;
    } cases[] = {
        {"http_server:\n  port: 70000\n",
         "w.yaml:2:9: http_server.port: 70000 is out of range (0 to 65535)\n"},
        {"http_server:\n  prot: 1\n",
         "w.yaml:2:3: http_server.prot: unknown option (did you mean http_server.port?)\n"},
        {"clients: {}\n", "w.yaml:1:1: clients: unknown option (did you mean client?)\n"},
        {"ping_interval: 3s\n",
         "w.yaml:1:1: ping_interval: unknown option (did you mean client.ping_interval?)\n"},
        {"quuxification: 3s\n", "w.yaml:1:1: quuxification: unknown option\n"},
        {"client.ping_interval: 3s\n",
         "w.yaml:1:1: client.ping_interval: options are written nested here, not with dots\n"},
        {"client: 3\n", "w.yaml:1:9: client: is a group of options, not a value\n"},
        {"- a\n", "w.yaml:1:1: the file must be a group of options\n"},
        {"http_server: { port: }\n",
         "w.yaml:1:22: http_server.port: has no value (write \"\" for an empty one)\n"},
        {"{\"http_server\": {\"address\": null}}",
         "w.yaml:1:29: http_server.address: has no value (write \"\" for an empty one)\n"},
        {"http_server: { address: \"\" }\n",
         "w.yaml:1:25: http_server.address: must not be empty\n"},
        {"http_server: { port: [ 1 ] }\n",
         "w.yaml:1:22: http_server.port: must be a whole number, not a list\n"},
        {"http_server: { address: { a: 1 } }\n",
         "w.yaml:1:25: http_server.address: must be text, not a group of options\n"},
        {"client: { allowed_origins: x }\n",
         "w.yaml:1:28: client.allowed_origins: must be a list\n"},
        {"client: { allowed_origins: [ [] ] }\n",
         "w.yaml:1:30: client.allowed_origins[0]: must be text, not a list\n"},
        {"channel: { namespaces: { a: 1 } }\n",
         "w.yaml:1:24: channel.namespaces: must be a list\n"},
        {"channel: { namespaces: [ a ] }\n",
         "w.yaml:1:26: channel.namespaces[0]: must be a group of options\n"},
        {"client: { insecure: yes }\n",
         "w.yaml:1:21: client.insecure: \"yes\" is not true or false (try true)\n"},
        {"log: { level: warning }\n", "w.yaml:1:15: log.level: \"warning\" is none of trace, "
                                      "debug, info, warn, error, none (try warn)\n"},
        {"workers: 1\nworkers: 1\n", "w.yaml:2:1: workers: is given twice (first on line 1)\n"},
        {"? [ a ]\n: 1\n", "w.yaml:1:3: the name of an option must be text\n"},
        {"workers: !mine 1\n", "w.yaml:1:10: workers: tags are not supported\n"},
        {"a: &x { b: 1 }\n<<: *x\n",
         "w.yaml:1:1: a: unknown option\nw.yaml:2:1: <<: merge keys are not supported\n"},
        {"client:\n\tinsecure: true\n",
         "w.yaml:2:1: YAML is indented with blanks, not with tabs\n"},
        {"a: [\n",
         "w.yaml:2:1: not YAML: did not find expected node content, while parsing a flow node\n"},
        {"workers: 1\n---\nworkers: 1\n", "w.yaml:2:1: a second document in one file\n"},
        {"workers: 1\n# \xFF\n",
         "w.yaml:2:3: is not text in UTF-8 (invalid leading UTF-8 octet)\n"},
        {"client: { ping_interval: 5s }\n", "w.yaml:1:26: client.ping_interval: pong_timeout (8s) "
                                            "must be shorter than ping_interval (5s)\n"},
        {"client: { pong_timeout: 30s }\n", "w.yaml:1:25: client.pong_timeout: pong_timeout (30s) "
                                            "must be shorter than ping_interval (25s)\n"},
        {"drain: { delay: 25s }\n", "w.yaml:1:17: drain.delay: drain.delay and drain.spread "
                                    "together (35s) must be shorter than shutdown.timeout (30s)\n"},
        {"workers: 2\n", "w.yaml:1:10: workers: more than one worker needs engine.type redis: with "
                         "memory, workers would not hear each other\n"},
        {"client: { token: { hmac_secret_key: \"\" } }\n",
         "w.yaml:1:37: client.token.hmac_secret_key: must not be empty: everybody could sign; "
         "leave it out when it is not used\n"},
        {"client: { token: { hmac_secret_key: \"********\" } }\n",
         "w.yaml:1:37: client.token.hmac_secret_key: is the mask that is printed in place of "
         "secrets, not a secret\n"},
        {"client: { token: { hmac_secret_key_file: /nonexistent } }\n",
         "w.yaml:1:42: client.token.hmac_secret_key_file: \"/nonexistent\" cannot be opened: No "
         "such file or directory\n"},
        {"client: { token: { rsa_public_key: abc } }\n",
         "w.yaml:1:36: client.token.rsa_public_key: is not PEM text (-----BEGIN PUBLIC "
         "KEY-----)\n"},
        {"client: { token: { ecdsa_public_key: \"-----BEGIN EC PRIVATE KEY-----\" } }\n",
         "w.yaml:1:38: client.token.ecdsa_public_key: is a private key; the hub needs only the "
         "public one, and this one must stay with whoever signs\n"},
        {"client: { token: { jwks_public_endpoint: \"a.example/keys\" } }\n",
         "w.yaml:1:42: client.token.jwks_public_endpoint: is no http:// or https:// URL\n"},
        {"client: { token: { jwks_public_endpoint: \"file:///keys\" } }\n",
         "w.yaml:1:42: client.token.jwks_public_endpoint: is no http:// or https:// URL\n"},
        {"client: { token: { audience: a, audience_regex: b } }\n",
         "w.yaml:1:49: client.token.audience_regex: excludes audience\n"},
        {"client: { token: { issuer_regex: \"(\" } }\n",
         "w.yaml:1:34: client.token.issuer_regex: is not a regular expression: Unmatched ( or "
         "\\(\n"},
        {"client: { subscription_token: { enabled: true } }\n",
         "w.yaml:1:42: client.subscription_token.enabled: needs a key to verify with\n"},
        {"client: { allowed_origins: [ \"https://a.example/\" ] }\n",
         "w.yaml:1:28: client.allowed_origins: \"https://a.example/\" is not scheme://host[:port] "
         "without a path\n"},
        {"client: { allowed_origins: [ a.example ] }\n",
         "w.yaml:1:28: client.allowed_origins: \"a.example\" is not scheme://host[:port] without a "
         "path\n"},
        {"http_server: { tls: { enabled: true } }\n",
         "w.yaml:1:32: http_server.tls.enabled: needs http_server.tls.cert_pem\nw.yaml:1:32: "
         "http_server.tls.enabled: needs http_server.tls.key_pem\n"},
        {"http_server: { tls: { enabled: true, cert_pem: /no/c, key_pem: /no/k } }\n",
         "w.yaml:1:48: http_server.tls.cert_pem: \"/no/c\" cannot be read: No such file or "
         "directory\nw.yaml:1:64: http_server.tls.key_pem: the file cannot be read: No such file "
         "or directory\n"},
        {"websocket: { handler_prefix: ws }\n",
         "w.yaml:1:30: websocket.handler_prefix: must be a path that begins with /\n"},
        {"channel: { max_length: 0 }\n",
         "w.yaml:1:24: channel.max_length: 0 is out of range (1 to 4096)\n"},
        {"channel: { user_boundary: \":\" }\n",
         "w.yaml:1:27: channel.user_boundary: channel.namespace_boundary and channel.user_boundary "
         "must differ\n"},
        {"engine: { redis: { address: \"redis://:pw@h:1\" } }\n",
         "w.yaml:1:29: engine.redis.address: is neither host:port nor unix:///path (user and "
         "password have options of their own)\n"},
        {"engine: { redis: { address: \"::1:6379\" } }\n",
         "w.yaml:1:29: engine.redis.address: is neither host:port nor unix:///path (user and "
         "password have options of their own)\n"},
        {"channel: { namespaces: [ { name: a } ] }\n",
         "w.yaml:1:34: channel.namespaces[0].name: \"a\" is no name for a namespace (two or more "
         "of a-z A-Z 0-9 - _ .)\n"},
        {"channel: { namespaces: [ {} ] }\n",
         "w.yaml:1:24: channel.namespaces[0].name: is missing\n"},
        {"channel:\n  namespaces:\n  - name: ab\n  - name: cd\n  - name: ab\n",
         "w.yaml:5:11: channel.namespaces[2].name: \"ab\" is also the name of "
         "channel.namespaces[0]\n"},
        {"channel:\n  namespaces:\n  - name: ab\n    history_ttl: 5 mins\n",
         "w.yaml:4:18: channel.namespaces[0].history_ttl: \"5 mins\" is not a duration (try 5m)\n"},
        {"channel: { without_namespace: { channel_regex: \"(\" } }\n",
         "w.yaml:1:48: channel.without_namespace.channel_regex: is not a regular expression: "
         "Unmatched ( or \\(\n"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        /* The one warning that an otherwise empty configuration has. */
        static const char nobody[] = "warning: w.yaml: client.token.hmac_secret_key: nobody can "
                                     "connect: no key for tokens, and no anonymous clients\n";
        struct loaded loaded = load_text(cases[i].yaml);
        const char *problems = wh_buf_cstr(&loaded.problems);
        if (strncmp(problems, nobody, sizeof(nobody) - 1) == 0)
            problems += sizeof(nobody) - 1;
        assert_string_equal(problems, cases[i].problems);
        assert_int_equal(loaded.err, WH_EFORMAT);
        unload(&loaded);
    }
}

static void what_is_only_doubtful_is_a_warning(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *problems;
    } cases[] = {
        {ANYONE, ""},
        {ANYONE "channel:\n", ""},
        {"", "warning: w.yaml: client.token.hmac_secret_key: nobody can connect: no key for "
             "tokens, and no anonymous clients\n"},
        {"client: { token: { hmac_secret_key: short } }\n",
         "warning: w.yaml:1:37: client.token.hmac_secret_key: is shorter than 32 bytes and may be "
         "guessed\n"},
        {ANYONE "channel: { without_namespace: { subscribe_proxy_enabled: true, presence: true } }\n",
         "warning: w.yaml:2:58: channel.without_namespace.subscribe_proxy_enabled: no effect in "
         "this version\n"},
        {ANYONE "channel: { namespaces: [ { name: ab, subscribe_proxy_name: x, publish_proxy_name: y } ] }\n",
         "warning: w.yaml:2:60: channel.namespaces[0].subscribe_proxy_name: no effect in this "
         "version\nwarning: w.yaml:2:83: channel.namespaces[0].publish_proxy_name: no effect in "
         "this version\n"},
        {"client: { token: { jwks_public_endpoint: \"https://a.example/keys\" } }\n", ""},
        {"client: { token: { jwks_public_endpoint: \"http://127.0.0.1:3000/keys\" } }\n", ""},
        {"client: { token: { jwks_public_endpoint: \"http://127.0.0.1.example/keys\" } }\n",
         "warning: w.yaml:1:42: client.token.jwks_public_endpoint: is no https:// URL: whoever "
         "stands between can put in keys of their own\n"},
        {"client: { token: { jwks_public_endpoint: \"https://a.example/\", hmac_secret_key: "
         "0123456789abcdef0123456789abcdef } }\n",
         "warning: w.yaml:1:42: client.token.jwks_public_endpoint: is set, so the other keys of "
         "this group are not used\n"},
        {ANYONE "http_server: { address: 0.0.0.0 }\n", ""},
        {"client: { insecure: true }\nhttp_server: { address: 0.0.0.0 }\n",
         "warning: w.yaml:1:21: client.insecure: everybody who reaches http_server.address may do "
         "everything\n"},
        {"client: { insecure: true, allowed_origins: [ \"*\" ] }\n",
         "warning: w.yaml:1:44: client.allowed_origins: \"*\" lets every page on the web connect "
         "as its visitor\n"},
        {ANYONE "admin: { enabled: true }\n",
         "warning: w.yaml:2:1: admin: known to Centrifugo, not supported here\n"},
        {ANYONE "channel: { namespaces: [ { name: ab, shared_poll: {} } ] }\n",
         "warning: w.yaml:2:38: channel.namespaces[0].shared_poll: known to Centrifugo, not "
         "supported here\n"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct loaded loaded = load_text(cases[i].yaml);
        assert_string_equal(wh_buf_cstr(&loaded.problems), cases[i].problems);
        assert_int_equal(loaded.err, WH_OK);
        unload(&loaded);
    }
}

static void strict_refuses_what_only_centrifugo_knows(void **state)
{
    (void)state;
    struct loaded loaded = load(&(struct config_source){
        .path = "w.yaml", .text = WH_SLICE_LITERAL(ANYONE "admin: {}\n"), .strict = true});
    assert_int_equal(loaded.err, WH_EFORMAT);
    assert_string_equal(wh_buf_cstr(&loaded.problems),
                        "w.yaml:2:1: admin: known to Centrifugo, not supported here\n");
    unload(&loaded);
}

static void all_problems_come_in_one_run_in_the_order_of_lines(void **state)
{
    (void)state;
    struct loaded loaded = load_text("client:\n"
                                     "  ping_interval: 5 mins\n"
                                     "  pong_timeout: x\n"
                                     "workers: 3\n"
                                     "log: { levle: info }\n");
    assert_string_equal(
        wh_buf_cstr(&loaded.problems),
        "warning: w.yaml: client.token.hmac_secret_key: nobody can connect: no key for tokens, and "
        "no anonymous clients\n"
        "w.yaml:2:18: client.ping_interval: \"5 mins\" is not a duration (try 5m)\n"
        "w.yaml:3:17: client.pong_timeout: \"x\" is not a duration (try 25s)\n"
        "w.yaml:4:10: workers: more than one worker needs engine.type redis: with memory, workers "
        "would not hear each other\n"
        "w.yaml:5:8: log.levle: unknown option (did you mean log.level?)\n");
    unload(&loaded);
}

static void scalars_take_the_type_of_their_option(void **state)
{
    (void)state;
    struct loaded loaded =
        load_text("client:\n"
                  "  token: { audience: no, issuer: 0x1F, hmac_secret_key: 1e3 }\n"
                  "  allowed_origins: [ \"https://*.shop.example:8443\" ]\n"
                  "engine: { type: redis, redis: { db: 3 } }\n"
                  "http_server: { \"port\": \"8001\" }\n"
                  "log: { level: none }\n"
                  "workers: 4\n");
    assert_int_equal(loaded.err, WH_OK);
    assert_string_equal(loaded.config->client.token.audience, "no");
    assert_string_equal(loaded.config->client.token.issuer, "0x1F");
    assert_string_equal(loaded.config->client.token.hmac_secret_key, "1e3");
    assert_int_equal(loaded.config->client.allowed_origins.count, 1);
    assert_int_equal(loaded.config->engine.type, ENGINE_REDIS);
    assert_int_equal(loaded.config->http_server.port, 8001);
    assert_int_equal(loaded.config->log.level, WH_LOG_NONE);
    unload(&loaded);
}

static void defaults_are_those_that_are_promised(void **state)
{
    (void)state;
    struct loaded loaded = load(&(struct config_source){.path = NULL});
    const struct config *config = loaded.config;
    assert_int_equal(loaded.err, WH_OK);
    assert_string_equal(config->http_server.address, "127.0.0.1");
    assert_int_equal(config->http_server.port, 8000);
    assert_string_equal(config->websocket.handler_prefix, "/connection/websocket");
    assert_int_equal(config->websocket.message_size_limit, 65536);
    assert_int_equal(config->websocket.write_timeout_ms, 1000);
    assert_int_equal(config->client.ping_interval_ms, 25000);
    assert_int_equal(config->client.pong_timeout_ms, 8000);
    assert_int_equal(config->client.stale_close_delay_ms, 10000);
    assert_int_equal(config->client.channel_limit, 128);
    assert_int_equal(config->client.queue_max_size, 1048576);
    assert_int_equal(config->channel.max_length, 255);
    assert_string_equal(config->channel.private_prefix, "$");
    assert_int_equal(config->channel.history_meta_ttl_ms, UINT64_C(720) * 3600 * 1000);
    assert_int_equal(config->shutdown.timeout_ms, 30000);
    assert_int_equal(config->drain.delay_ms, 0);
    assert_int_equal(config->drain.spread_ms, 10000);
    assert_int_equal(config->log.level, WH_LOG_INFO);
    assert_int_equal(config->log.format, WH_LOG_AUTO);
    assert_int_equal(config->workers, 0);
    assert_null(config->client.token.hmac_secret_key);
    unload(&loaded);
}

static void namespaces_fill_their_options(void **state)
{
    (void)state;
    struct loaded loaded =
        load_text(ANYONE "channel:\n"
                         "  without_namespace: { allow_publish_for_client: true }\n"
                         "  namespaces:\n"
                         "    - name: chat\n"
                         "      allow_subscribe_for_client: true\n"
                         "      publication_data_format: json_object\n"
                         "    - { name: raw.bin, publication_data_format: binary }\n");
    assert_int_equal(loaded.err, WH_OK);
    const struct config *config = loaded.config;
    assert_int_equal(config->channel.namespaces.count, 2);
    const struct namespace_config *items = config->channel.namespaces.items;
    assert_string_equal(items[0].name, "chat");
    assert_true(items[0].options.allow_subscribe_for_client);
    assert_false(items[1].options.allow_subscribe_for_client);
    assert_int_equal(items[0].options.publication_data_format, DATA_JSON_OBJECT);
    assert_int_equal(items[1].options.publication_data_format, DATA_BINARY);
    assert_true(config->channel.without_namespace.allow_publish_for_client);
    assert_false(items[0].options.allow_publish_for_client);
    unload(&loaded);
}

static void the_stronger_source_wins(void **state)
{
    (void)state;
    char *variables[] = {word("WIREHUB_HTTP_SERVER_PORT=8002"), word("HOME=/"),
                         word("WIREHUB_WORKERS=1"), NULL};
    char *flags[] = {word("--http_server.port=8003")};
    struct config_source source = {
        .path = "w.yaml", .text = WH_SLICE_LITERAL(ANYONE "http_server: { port: 8001 }\n")};
    static const uint64_t expected[] = {8001, 8002, 8003};

    for (size_t i = 0; i < COUNT_OF(expected); i++) {
        source.environ = i >= 1 ? variables : NULL;
        source.argc = i >= 2 ? 1 : 0;
        source.argv = flags;
        struct loaded loaded = load(&source);
        assert_int_equal(loaded.err, WH_OK);
        assert_int_equal(loaded.config->http_server.port, expected[i]);
        unload(&loaded);
    }
}

static void variables_and_flags_say_who_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *variable, *flags[2], *problems;
    } cases[] = {
        {"WIREHUB_HTTP_SERVER_PROT=1",
         {0},
         "warning: WIREHUB_HTTP_SERVER_PROT: unknown (did you mean WIREHUB_HTTP_SERVER_PORT?)\n"},
        {"WIREHUB_ZZZ=1", {0}, "warning: WIREHUB_ZZZ: unknown variable\n"},
        {"WIREHUB_ADMIN_PASSWORD=1",
         {0},
         "warning: WIREHUB_ADMIN_PASSWORD: known to Centrifugo, not supported here\n"},
        {"WIREHUB_HTTP_SERVER_PORT=x",
         {0},
         "WIREHUB_HTTP_SERVER_PORT: \"x\" is not a whole number\n"},
        {"WIREHUB_CHANNEL_NAMESPACES=[{name: ab, presense: true}]",
         {0},
         "WIREHUB_CHANNEL_NAMESPACES:1:13: channel.namespaces[0].presense: unknown option (did you "
         "mean presence?)\n"},
        {"WIREHUB_CHANNEL_NAMESPACES=[{name: a}]",
         {0},
         "WIREHUB_CHANNEL_NAMESPACES:1:9: channel.namespaces[0].name: \"a\" is no name for a "
         "namespace (two or more of a-z A-Z 0-9 - _ .)\n"},
        {"WIREHUB_CHANNEL_NAMESPACES=", {0}, "WIREHUB_CHANNEL_NAMESPACES: must be a list\n"},
        {"WIREHUB_HTTP_API_KEY_FILE=/nonexistent",
         {0},
         "WIREHUB_HTTP_API_KEY_FILE: \"/nonexistent\" cannot be opened: No such file or "
         "directory\n"},
        {NULL, {"--port"}, "--port: needs a value\n"},
        {NULL, {"--port", "--client.insecure"}, "--port: needs a value\n"},
        {NULL, {"--prot=1"}, "--prot: unknown flag (did you mean --port?)\n"},
        {NULL,
         {"--server.port=1"},
         "--server.port: unknown flag (did you mean --http_server.port?)\n"},
        {NULL, {"--orgin"}, "--orgin: unknown flag\n"},
        {NULL, {"--stric"}, "--stric: unknown flag (did you mean --strict?)\n"},
        {NULL, {"--nothing-like-it"}, "--nothing-like-it: unknown flag\n"},
        {NULL,
         {"--admin.enabled"},
         "warning: --admin.enabled: known to Centrifugo, not supported here\n"},
        {NULL, {"-x"}, "-x: unexpected argument\n"},
        {NULL, {"serve"}, "serve: unexpected argument\n"},
        {NULL, {"--config"}, "--config: needs a value\n"},
        {NULL,
         {"--client.ping_interval", "2 mins"},
         "--client.ping_interval: \"2 mins\" is not a duration (try 2m)\n"},
        {NULL,
         {"--workers=2"},
         "--workers: more than one worker needs engine.type redis: with memory, workers would not "
         "hear each other\n"},
        {NULL,
         {"--http_api.key=topsecret"},
         "--http_api.key: a secret on the command line can be read by every user of the machine; "
         "use the variable WIREHUB_HTTP_API_KEY or --http_api.key_file=PATH\n"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char *variables[] = {word(cases[i].variable), NULL};
        char *flags[] = {word("--client.allow_anonymous_connect_without_token"),
                         word(cases[i].flags[0]), word(cases[i].flags[1])};
        int argc = cases[i].flags[1] ? 3 : cases[i].flags[0] ? 2 : 1;
        struct loaded loaded =
            load(&(struct config_source){.environ = variables, .argc = argc, .argv = flags});
        assert_string_equal(wh_buf_cstr(&loaded.problems), cases[i].problems);
        bool is_warning = strncmp(cases[i].problems, "warning", 7) == 0;
        assert_int_equal(loaded.err, is_warning ? WH_OK : WH_EFORMAT);
        unload(&loaded);
    }
}

static void flags_have_four_forms_and_callers_keep_theirs(void **state)
{
    (void)state;
    static const char *const own[] = {"--user=", "--quiet", NULL};
    char *flags[] = {word("--http_server.port"),
                     word("8001"),
                     word("--log-level=debug"),
                     word("--client.insecure"),
                     word("--user"),
                     word("42"),
                     word("--user=43"),
                     word("--quiet"),
                     word("--demo.enabled"),
                     word("false"),
                     word("--address"),
                     word("::1"),
                     word("--client.allowed_origins=https://a.example, https://b.example")};
    struct loaded loaded = load(
        &(struct config_source){.argc = (int)COUNT_OF(flags), .argv = flags, .own_flags = own});
    assert_string_equal(wh_buf_cstr(&loaded.problems), "");
    assert_int_equal(loaded.err, WH_OK);
    assert_int_equal(loaded.config->http_server.port, 8001);
    assert_string_equal(loaded.config->http_server.address, "::1");
    assert_int_equal(loaded.config->log.level, WH_LOG_DEBUG);
    assert_true(loaded.config->client.insecure);
    assert_int_equal(loaded.config->client.allowed_origins.count, 2);
    unload(&loaded);
}

static char *make_file(const char *text)
{
    static char path[64];
    strcpy(path, "/tmp/wh-test-config-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    return path;
}

static void the_file_is_found_by_path_flag_or_variable(void **state)
{
    (void)state;
    char *path = make_file(ANYONE "http_server: { port: 8001 }\n");
    char with_equals[96], variable[96];
    snprintf(with_equals, sizeof(with_equals), "--config=%s", path);
    snprintf(variable, sizeof(variable), "WIREHUB_CONFIG=%s", path);
    char *variables[] = {variable, NULL};
    char *short_flag[] = {word("-c"), path};
    char *long_flag[] = {with_equals};
    const struct config_source sources[] = {
        {.path = path},
        {.argc = 2, .argv = short_flag},
        {.argc = 1, .argv = long_flag},
        {.environ = variables},
    };
    for (size_t i = 0; i < COUNT_OF(sources); i++) {
        struct loaded loaded = load(&sources[i]);
        assert_string_equal(wh_buf_cstr(&loaded.problems), "");
        assert_int_equal(loaded.config->http_server.port, 8001);
        unload(&loaded);
    }
    unlink(path);
}

static void a_file_that_cannot_be_read_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *path, *problem;
    } cases[] = {
        {"/nonexistent.yaml", "/nonexistent.yaml: cannot be opened: No such file or directory\n"},
        {"/tmp", "/tmp: cannot be read: Is a directory\n"},
        {"-", "-: standard input is not read; give the name of a file\n"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct loaded loaded = load(&(struct config_source){.path = cases[i].path});
        assert_int_equal(loaded.err, WH_EFORMAT);
        assert_string_equal(wh_buf_cstr(&loaded.problems), cases[i].problem);
        unload(&loaded);
    }
}

static void a_secret_may_stand_in_a_file_of_its_own(void **state)
{
    (void)state;
    char *path = make_file(SECRET "\n");
    char yaml[160], variable[160], flag[160];
    snprintf(yaml, sizeof(yaml), "client: { token: { hmac_secret_key_file: %s } }\n", path);
    snprintf(variable, sizeof(variable), "WIREHUB_CLIENT_TOKEN_HMAC_SECRET_KEY_FILE=%s", path);
    snprintf(flag, sizeof(flag), "--client.token.hmac_secret_key_file=%s", path);
    char *variables[] = {variable, NULL};
    char *flags[] = {flag};
    const struct config_source sources[] = {
        {.path = "w.yaml", .text = wh_slice_from_str(yaml)},
        {.environ = variables},
        {.argc = 1, .argv = flags},
    };
    for (size_t i = 0; i < COUNT_OF(sources); i++) {
        struct loaded loaded = load(&sources[i]);
        assert_string_equal(wh_buf_cstr(&loaded.problems), "");
        assert_string_equal(loaded.config->client.token.hmac_secret_key, SECRET);
        unload(&loaded);
    }
    snprintf(yaml, sizeof(yaml),
             "client: { token: { hmac_secret_key: %s, hmac_secret_key_file: %s } }\n", SECRET,
             path);
    struct loaded loaded = load_text(yaml);
    assert_non_null(
        strstr(wh_buf_cstr(&loaded.problems), "is given twice, as it is and as a file"));
    unload(&loaded);
    unlink(path);
}

/* A value of each type that is not the default of any option. */
static const char *sample(const struct wh_option *option)
{
    static const struct {
        const char *name, *text;
    } special[] = {
        {"http_server.internal_port", "9001"},
        {"websocket.handler_prefix", "/ws"},
        {"client.ping_interval", "77s"},
        {"shutdown.timeout", "77s"},
        {"engine.redis.address", "redis.example:6380"},
        {"workers", "1"},
    };
    for (size_t i = 0; i < COUNT_OF(special); i++) {
        if (strcmp(special[i].name, option->name) == 0)
            return special[i].text;
    }
    bool is_mark = option->type == WH_OPTION_STRING && option->max == 16;
    bool is_pem = strstr(option->name, "_public_key") != NULL;
    switch (option->type) {
    case WH_OPTION_BOOL:
        return "true";
    case WH_OPTION_INTEGER:
        return "77";
    case WH_OPTION_DURATION:
        return "7s";
    case WH_OPTION_SIZE:
        return "77KiB";
    case WH_OPTION_ENUM:
        return option->choices[1];
    case WH_OPTION_STRINGS:
        return strstr(option->name, "delta") ? "[fossil]" : "[https://x.example]";
    case WH_OPTION_OBJECTS:
        return "[{name: ab}]";
    default:
        return is_mark ? "%" : is_pem ? "-----BEGIN PUBLIC KEY-----" : SECRET;
    }
}

/* "a.b.c" and a value as nested YAML. */
static void write_nested(const char *name, const char *value, struct wh_buf *out)
{
    size_t depth = 0;
    for (const char *dot = strchr(name, '.'); dot; dot = strchr(name, '.')) {
        wh_buf_printf(out, "{%.*s: ", (int)(dot - name), name);
        name = dot + 1;
        depth++;
    }
    wh_buf_printf(out, "{%s: %s}", name, value);
    while (depth-- > 0)
        wh_buf_append_char(out, '}');
}

static void check_sample(const struct config_source *source,
                         const struct wh_option *option,
                         enum wh_option_origin origin)
{
    struct config_source nothing = {.path = NULL};
    struct wh_option_set set, plain;
    struct wh_buf problems = {0};
    size_t warnings;

    assert_int_equal(config_load_set(&nothing, &plain, &warnings, &problems), WH_OK);
    enum wh_err err = config_load_set(source, &set, &warnings, &problems);
    /* Some options are errors alone; their value was refused only if it is called broken. */
    if (err == WH_EFORMAT) {
        assert_null(strstr(wh_buf_cstr(&problems), " is not "));
        assert_null(strstr(wh_buf_cstr(&problems), "unknown"));
    } else {
        assert_int_equal(err, WH_OK);
        assert_false(wh_option_equal(option, set.target, plain.target));
        assert_int_equal(wh_option_state(&set, option)->place.origin, origin);
        config_free(set.target);
    }
    config_free(plain.target);
    wh_buf_deinit(&problems);
}

static void every_option_can_be_set_by_file_variable_and_flag(void **state)
{
    (void)state;
    for (size_t i = 0; i < config_table.count; i++) {
        const struct wh_option *option = &config_table.options[i];
        struct wh_buf yaml = {0}, variable = {0}, flag = {0};
        const char *text = sample(option);
        bool is_mark = strcmp(text, "%") == 0;

        write_nested(option->name, is_mark ? "\"%\"" : text, &yaml);
        wh_option_write_env_name("WIREHUB_", option->name, &variable);
        wh_buf_printf(&variable, "=%s", text);
        wh_buf_printf(&flag, "--%s=%s", option->name, text);
        char *variables[] = {word(wh_buf_cstr(&variable)), NULL};
        char *flags[] = {word(wh_buf_cstr(&flag))};

        check_sample(&(struct config_source){.path = "w", .text = wh_buf_slice(&yaml)}, option,
                     WH_OPTION_FROM_FILE);
        check_sample(&(struct config_source){.environ = variables}, option, WH_OPTION_FROM_ENV);
        if (!(option->flags & WH_OPTION_SECRET))
            check_sample(&(struct config_source){.argc = 1, .argv = flags}, option,
                         WH_OPTION_FROM_FLAG);
        wh_buf_deinit(&yaml);
        wh_buf_deinit(&variable);
        wh_buf_deinit(&flag);
    }
}

static void no_two_options_share_a_variable(void **state)
{
    (void)state;
    for (size_t i = 0; i < config_table.count; i++) {
        struct wh_buf name = {0};
        bool is_file = true;
        wh_option_write_env_name("WIREHUB_", config_table.options[i].name, &name);
        assert_ptr_equal(
            wh_option_find_env(&config_table, "WIREHUB_", wh_buf_slice(&name), &is_file),
            &config_table.options[i]);
        assert_false(is_file);
        assert_false(config_variable_is_foreign(wh_buf_slice(&name)));
        assert_false(config_name_is_foreign(wh_slice_from_str(config_table.options[i].name)));
        wh_buf_deinit(&name);
    }
}

static void what_is_printed_can_be_read_again(void **state)
{
    (void)state;
    struct wh_option_set first, second;
    struct wh_buf text = {0}, again = {0}, problems = {0};
    size_t warnings;
    const struct wh_option_print print = {true, "w.yaml", "WIREHUB_"};
    const struct config_source source = {
        .path = "w.yaml",
        .text = WH_SLICE_LITERAL(
            ANYONE
            "channel:\n  namespaces:\n  - { name: ab, channel_regex: \"^[a-z]\\\\.#\\\"$\" }\n"
            "  without_namespace: { publication_data_format: json }\n")};
    assert_int_equal(config_load_set(&source, &first, &warnings, &problems), WH_OK);
    wh_option_write_yaml(&first, &print, &text);
    const struct config_source reread = {.path = "w.yaml", .text = wh_buf_slice(&text)};
    assert_int_equal(config_load_set(&reread, &second, &warnings, &problems), WH_OK);
    assert_string_equal(wh_buf_cstr(&problems), "");
    for (size_t i = 0; i < config_table.count; i++)
        assert_true(wh_option_equal(&config_table.options[i], first.target, second.target));
    config_free(first.target);
    config_free(second.target);
    wh_buf_deinit(&text);
    wh_buf_deinit(&again);
    wh_buf_deinit(&problems);
}

static void secrets_are_never_printed(void **state)
{
    (void)state;
    for (size_t i = 0; i < config_table.count; i++) {
        const struct wh_option *option = &config_table.options[i];
        static const char *const values[] = {SECRET "zz", "\"" SECRET "\\0\"", "[" SECRET "]"};
        if (!(option->flags & WH_OPTION_SECRET))
            continue;
        for (size_t j = 0; j < COUNT_OF(values); j++) {
            struct wh_buf yaml = {0}, out = {0};
            struct wh_option_set set;
            size_t warnings;
            const struct wh_option_print print = {true, "w.yaml", "WIREHUB_"};
            write_nested(option->name, values[j], &yaml);
            const struct config_source source = {.path = "w.yaml", .text = wh_buf_slice(&yaml)};
            if (config_load_set(&source, &set, &warnings, &out) == WH_OK) {
                wh_option_write_yaml(&set, &print, &out);
                wh_option_write_env(&set, &print, &out);
                assert_non_null(strstr(wh_buf_cstr(&out), "********"));
                config_free(set.target);
            }
            assert_null(strstr(wh_buf_cstr(&out), SECRET));
            wh_buf_deinit(&yaml);
            wh_buf_deinit(&out);
        }
    }
}

static void a_hostile_document_is_bounded(void **state)
{
    (void)state;
    static const struct {
        const char *head, *unit, *tail, *problem;
        int count;
    } cases[] = {
        {"a: ", "[", "", "nested too deeply", 200000},
        {"a: ", "{a: ", "", "nested too deeply", 100000},
        {"", "k: 1\n", "", "too many options in one place", 300},
        {"client: { allowed_origins: [", "x,", "] }", "has too many items", 1100},
        {"channel: { namespaces: [ &a {a1: 1, a2: 1}, ", "*a,", "] }", "more", 900},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct wh_buf yaml = {0};
        wh_buf_append_str(&yaml, cases[i].head);
        for (int j = 0; j < cases[i].count; j++)
            wh_buf_append_str(&yaml, cases[i].unit);
        wh_buf_append_str(&yaml, cases[i].tail);
        struct loaded loaded = load_text(wh_buf_cstr(&yaml));
        assert_int_equal(loaded.err, WH_EFORMAT);
        assert_non_null(strstr(wh_buf_cstr(&loaded.problems), cases[i].problem));
        assert_true(loaded.problems.len < 100000);
        unload(&loaded);
        wh_buf_deinit(&yaml);
    }
}

static void a_problem_is_one_line_whatever_the_input(void **state)
{
    (void)state;
    struct loaded loaded = load_text("\"a\\nwarning: \\e[31m\": 1\n");
    const char *problems = wh_buf_cstr(&loaded.problems);
    assert_null(strstr(problems, "\nwarning: \x1b"));
    assert_null(strchr(problems, '\x1b'));
    unload(&loaded);
}

static void a_diff_tells_what_needs_a_restart(void **state)
{
    (void)state;
    struct loaded a = load_text(ANYONE);
    struct loaded b =
        load_text("client: { insecure: true, token: { hmac_secret_key: " SECRET " } }\n"
                  "http_server: { port: 8001 }\n"
                  "channel: { namespaces: [ { name: ab } ] }\n"
                  "log: { level: debug }\n");
    struct wh_buf live = {0}, restart = {0};
    config_diff(a.config, b.config, &live, &restart);
    assert_string_equal(wh_buf_cstr(&live),
                        "client.insecure,client.allow_anonymous_connect_without_token,"
                        "client.token.hmac_secret_key,channel.namespaces,log.level");
    assert_string_equal(wh_buf_cstr(&restart), "http_server.port");
    wh_buf_reset(&live);
    wh_buf_reset(&restart);
    config_diff(b.config, b.config, &live, &restart);
    assert_int_equal(live.len + restart.len, 0);
    wh_buf_deinit(&live);
    wh_buf_deinit(&restart);
    unload(&a);
    unload(&b);
}

static void the_generated_example_has_no_problem_and_fresh_secrets(void **state)
{
    (void)state;
    struct wh_buf one = {0}, two = {0};
    config_write_example(&one);
    config_write_example(&two);
    struct loaded a = load_text(wh_buf_cstr(&one));
    struct loaded b = load_text(wh_buf_cstr(&two));
    assert_string_equal(wh_buf_cstr(&a.problems), "");
    assert_int_equal(a.err, WH_OK);
    assert_int_equal(strlen(a.config->client.token.hmac_secret_key), 64);
    assert_string_not_equal(a.config->client.token.hmac_secret_key,
                            b.config->client.token.hmac_secret_key);
    unload(&a);
    unload(&b);
    wh_buf_deinit(&one);
    wh_buf_deinit(&two);
}

static void an_example_is_created_for_its_owner_and_never_overwritten(void **state)
{
    (void)state;
    char folder[] = "/tmp/wh-test-config-XXXXXX";
    char path[64];
    struct stat info;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/w.yaml", folder);
    char *argv[] = {word("gen-config"), word("-o"), path, NULL};
    assert_int_equal(config_generate_main(3, argv), 0);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_int_equal(config_generate_main(3, argv), 1);
    char *check[] = {word("check-config"), word("--strict"), word("-c"), path, NULL};
    assert_int_equal(config_check_main(4, check), 0);
    unlink(path);
    assert_int_equal(config_check_main(4, check), 1);
    rmdir(folder);
}

static void no_memory_is_an_error_and_never_a_wrong_config(void **state)
{
    (void)state;
    const struct config_source source = {
        .path = "w.yaml",
        .text = WH_SLICE_LITERAL(ANYONE "channel: { namespaces: [ { name: ab } ] }\n"
                                        "http_server: { port: 8001 }\n")};
    for (size_t nth = 1;; nth++) {
        struct wh_buf problems = {0};
        struct config *config = NULL;
        failing_alloc_start(nth);
        enum wh_err err = config_load(&source, &config, &problems);
        bool has_failed = failing_alloc_stop();
        if (err == WH_OK) {
            assert_int_equal(config->http_server.port, 8001);
            assert_int_equal(config->channel.namespaces.count, 1);
        } else {
            assert_int_equal(err, WH_ENOMEM);
        }
        config_free(config);
        wh_buf_deinit(&problems);
        if (!has_failed)
            break;
    }
}

static void the_reference_page_is_up_to_date(void **state)
{
    (void)state;
    static const char path[] = WH_SOURCE_DIR "/docs/CONFIGURATION.md";
    struct wh_buf expected = {0}, found = {0};
    config_write_reference(&expected);
    FILE *file = fopen(path, "r");
    for (int c = file ? getc(file) : EOF; c != EOF; c = getc(file))
        wh_buf_append_char(&found, (char)c);
    if (file)
        fclose(file);
    bool is_fresh = wh_slice_equal(wh_buf_slice(&expected), wh_buf_slice(&found));
    wh_buf_deinit(&expected);
    wh_buf_deinit(&found);
    if (!is_fresh)
        fail_msg("docs/CONFIGURATION.md is stale; run: "
                 "wirehub print-config --markdown > docs/CONFIGURATION.md");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mistake_has_its_exact_message),
        cmocka_unit_test(what_is_only_doubtful_is_a_warning),
        cmocka_unit_test(strict_refuses_what_only_centrifugo_knows),
        cmocka_unit_test(all_problems_come_in_one_run_in_the_order_of_lines),
        cmocka_unit_test(scalars_take_the_type_of_their_option),
        cmocka_unit_test(defaults_are_those_that_are_promised),
        cmocka_unit_test(namespaces_fill_their_options),
        cmocka_unit_test(the_stronger_source_wins),
        cmocka_unit_test(variables_and_flags_say_who_is_wrong),
        cmocka_unit_test(flags_have_four_forms_and_callers_keep_theirs),
        cmocka_unit_test(the_file_is_found_by_path_flag_or_variable),
        cmocka_unit_test(a_file_that_cannot_be_read_is_named),
        cmocka_unit_test(a_secret_may_stand_in_a_file_of_its_own),
        cmocka_unit_test(every_option_can_be_set_by_file_variable_and_flag),
        cmocka_unit_test(no_two_options_share_a_variable),
        cmocka_unit_test(what_is_printed_can_be_read_again),
        cmocka_unit_test(secrets_are_never_printed),
        cmocka_unit_test(a_hostile_document_is_bounded),
        cmocka_unit_test(a_problem_is_one_line_whatever_the_input),
        cmocka_unit_test(a_diff_tells_what_needs_a_restart),
        cmocka_unit_test(the_generated_example_has_no_problem_and_fresh_secrets),
        cmocka_unit_test(an_example_is_created_for_its_owner_and_never_overwritten),
        cmocka_unit_test(no_memory_is_an_error_and_never_a_wrong_config),
        cmocka_unit_test(the_reference_page_is_up_to_date),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
