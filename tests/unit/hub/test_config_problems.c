/* What the configuration says about what is wrong or doubtful, word for word. */
#include "tests/unit/hub/config_fixture.h"

struct mistake {
    const char *yaml, *problems;
};

/* The document is not of the form that the table of options asks for. */
static const struct mistake mistakes_of_form[] = {
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
    {"http_server: { address: \"\" }\n", "w.yaml:1:25: http_server.address: must not be empty\n"},
    {"http_server: { port: [ 1 ] }\n",
     "w.yaml:1:22: http_server.port: must be a whole number, not a list\n"},
    {"http_server: { address: { a: 1 } }\n",
     "w.yaml:1:25: http_server.address: must be text, not a group of options\n"},
    {"client: { allowed_origins: x }\n", "w.yaml:1:28: client.allowed_origins: must be a list\n"},
    {"client: { allowed_origins: [ [] ] }\n",
     "w.yaml:1:30: client.allowed_origins[0]: must be text, not a list\n"},
    {"channel: { namespaces: { a: 1 } }\n", "w.yaml:1:24: channel.namespaces: must be a list\n"},
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
    {"client:\n\tinsecure: true\n", "w.yaml:2:1: YAML is indented with blanks, not with tabs\n"},
    {"a: [\n",
     "w.yaml:2:1: not YAML: did not find expected node content, while parsing a flow node\n"},
    {"workers: 1\n---\nworkers: 1\n", "w.yaml:2:1: a second document in one file\n"},
    {"workers: 1\n# \xFF\n", "w.yaml:2:3: is not text in UTF-8 (invalid leading UTF-8 octet)\n"},
};

/* The form is right; the values make no sense, or not together. */
static const struct mistake mistakes_of_meaning[] = {
    {"opentelemetry: { endpoint: \"127.0.0.1:4318\" }\n",
     "w.yaml:1:28: opentelemetry.endpoint: is no http:// or https:// URL\n"},
    {"opentelemetry: { sample_ratio: 1.5 }\n",
     "w.yaml:1:32: opentelemetry.sample_ratio: is not a number from 0 to 1\n"},
    {"opentelemetry: { headers: Bearer }\n",
     "w.yaml:1:27: opentelemetry.headers: is not name=value,name=value\n"},
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
    {"channel: { namespaces: [ {} ] }\n", "w.yaml:1:24: channel.namespaces[0].name: is missing\n"},
    {"channel:\n  namespaces:\n  - name: ab\n  - name: cd\n  - name: ab\n",
     "w.yaml:5:11: channel.namespaces[2].name: \"ab\" is also the name of "
     "channel.namespaces[0]\n"},
    {"channel:\n  namespaces:\n  - name: ab\n    history_ttl: 5 mins\n",
     "w.yaml:4:18: channel.namespaces[0].history_ttl: \"5 mins\" is not a duration (try 5m)\n"},
    {"channel: { without_namespace: { channel_regex: \"(\" } }\n",
     "w.yaml:1:48: channel.without_namespace.channel_regex: is not a regular expression: "
     "Unmatched ( or \\(\n"},
};

static void check_mistakes(const struct mistake *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
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

static void every_mistake_of_form_has_its_exact_message(void **state)
{
    (void)state;
    check_mistakes(mistakes_of_form, COUNT_OF(mistakes_of_form));
}

static void every_mistake_of_meaning_has_its_exact_message(void **state)
{
    (void)state;
    check_mistakes(mistakes_of_meaning, COUNT_OF(mistakes_of_meaning));
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
        {ANYONE
         "channel: { without_namespace: { subscribe_proxy_enabled: true, presence: true } }\n",
         "warning: w.yaml:2:58: channel.without_namespace.subscribe_proxy_enabled: no effect in "
         "this version\n"},
        {ANYONE "channel: { namespaces: [ { name: ab, subscribe_proxy_name: x, publish_proxy_name: "
                "y } ] }\n",
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
    struct loaded loaded = load(&(struct wh_config_source){
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
            load(&(struct wh_config_source){.environ = variables, .argc = argc, .argv = flags});
        assert_string_equal(wh_buf_cstr(&loaded.problems), cases[i].problems);
        bool is_warning = strncmp(cases[i].problems, "warning", 7) == 0;
        assert_int_equal(loaded.err, is_warning ? WH_OK : WH_EFORMAT);
        unload(&loaded);
    }
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
        struct loaded loaded = load(&(struct wh_config_source){.path = cases[i].path});
        assert_int_equal(loaded.err, WH_EFORMAT);
        assert_string_equal(wh_buf_cstr(&loaded.problems), cases[i].problem);
        unload(&loaded);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mistake_of_form_has_its_exact_message),
        cmocka_unit_test(every_mistake_of_meaning_has_its_exact_message),
        cmocka_unit_test(what_is_only_doubtful_is_a_warning),
        cmocka_unit_test(strict_refuses_what_only_centrifugo_knows),
        cmocka_unit_test(all_problems_come_in_one_run_in_the_order_of_lines),
        cmocka_unit_test(variables_and_flags_say_who_is_wrong),
        cmocka_unit_test(a_file_that_cannot_be_read_is_named),
        cmocka_unit_test(a_hostile_document_is_bounded),
        cmocka_unit_test(a_problem_is_one_line_whatever_the_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
