#include "tests/support/failing_alloc.h"
#include "tests/unit/hub/config_fixture.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

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
    struct loaded loaded = load(&(struct wh_config_source){.path = NULL});
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
    struct wh_config_source source = {
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
        &(struct wh_config_source){.argc = (int)COUNT_OF(flags), .argv = flags, .own_flags = own});
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
    const struct wh_config_source sources[] = {
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
    const struct wh_config_source sources[] = {
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
        {"opentelemetry.endpoint", "https://otlp.example:4318"},
        {"opentelemetry.sample_ratio", "0.5"},
        {"opentelemetry.headers", "name=value"},
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

static void check_sample(const struct wh_config_source *source,
                         const struct wh_option *option,
                         enum wh_option_origin origin)
{
    struct wh_config_source nothing = {.path = NULL};
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

        check_sample(&(struct wh_config_source){.path = "w", .text = wh_buf_slice(&yaml)}, option,
                     WH_OPTION_FROM_FILE);
        check_sample(&(struct wh_config_source){.environ = variables}, option, WH_OPTION_FROM_ENV);
        if (!(option->flags & WH_OPTION_SECRET))
            check_sample(&(struct wh_config_source){.argc = 1, .argv = flags}, option,
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
    const struct wh_config_source source = {
        .path = "w.yaml",
        .text = WH_SLICE_LITERAL(
            ANYONE
            "channel:\n  namespaces:\n  - { name: ab, channel_regex: \"^[a-z]\\\\.#\\\"$\" }\n"
            "  without_namespace: { publication_data_format: json }\n")};
    assert_int_equal(config_load_set(&source, &first, &warnings, &problems), WH_OK);
    wh_option_write_yaml(&first, &print, &text);
    const struct wh_config_source reread = {.path = "w.yaml", .text = wh_buf_slice(&text)};
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
            const struct wh_config_source source = {.path = "w.yaml", .text = wh_buf_slice(&yaml)};
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
    config_write_example(&config_program, &one);
    config_write_example(&config_program, &two);
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
    const struct wh_config_source source = {
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
    config_write_reference(&config_program, &expected);
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
        cmocka_unit_test(scalars_take_the_type_of_their_option),
        cmocka_unit_test(defaults_are_those_that_are_promised),
        cmocka_unit_test(namespaces_fill_their_options),
        cmocka_unit_test(the_stronger_source_wins),
        cmocka_unit_test(flags_have_four_forms_and_callers_keep_theirs),
        cmocka_unit_test(the_file_is_found_by_path_flag_or_variable),
        cmocka_unit_test(a_secret_may_stand_in_a_file_of_its_own),
        cmocka_unit_test(every_option_can_be_set_by_file_variable_and_flag),
        cmocka_unit_test(no_two_options_share_a_variable),
        cmocka_unit_test(what_is_printed_can_be_read_again),
        cmocka_unit_test(secrets_are_never_printed),
        cmocka_unit_test(a_diff_tells_what_needs_a_restart),
        cmocka_unit_test(the_generated_example_has_no_problem_and_fresh_secrets),
        cmocka_unit_test(an_example_is_created_for_its_owner_and_never_overwritten),
        cmocka_unit_test(no_memory_is_an_error_and_never_a_wrong_config),
        cmocka_unit_test(the_reference_page_is_up_to_date),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
