#include "common/base/option.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum colour { COLOUR_RED, COLOUR_GREEN };

struct texts {
    char **items;
    size_t count;
};

struct room {
    char *name;
    uint64_t seats;
};

struct settings {
    bool verbose;
    uint64_t port;
    uint64_t timeout_ms;
    uint64_t limit;
    char *title;
    char *key;
    enum colour colour;
    struct texts origins;
    struct {
        struct room *items;
        size_t count;
    } rooms;
};

static const char *const colours[] = {"red", "green", NULL};

static const struct wh_option room_rows[] = {
    {.name = "name", .type = WH_OPTION_STRING, .offset = offsetof(struct room, name), .help = "N."},
    {.name = "seats",
     .type = WH_OPTION_INTEGER,
     .offset = offsetof(struct room, seats),
     .default_text = "4",
     .help = "S."},
};

static const struct wh_option_table room_table = {room_rows, 2, sizeof(struct room)};

#define ROW(name_text, kind, member, ...)                                                          \
    {                                                                                              \
        .name = (name_text), .type = WH_OPTION_##kind,                                             \
        .offset = offsetof(struct settings, member), .help = "Help of " name_text ".", __VA_ARGS__ \
    }

static const struct wh_option rows[] = {
    ROW("verbose", BOOL, verbose, .flags = WH_OPTION_RELOADABLE),
    ROW("server.port", INTEGER, port, .default_text = "8000", .min = 1, .max = 65535),
    ROW("server.timeout", DURATION, timeout_ms, .default_text = "25s", .min = 1000),
    ROW("server.limit", SIZE, limit, .default_text = "64KiB"),
    ROW("page.title", STRING, title, .max = 20),
    ROW("page.key", STRING, key, .flags = WH_OPTION_SECRET),
    ROW("page.colour", ENUM, colour, .choices = colours),
    ROW("page.origins", STRINGS, origins, .min = 1, .flags = WH_OPTION_NO_EFFECT_YET),
    ROW("rooms", OBJECTS, rooms, .objects = &room_table),
};

static const struct wh_option_table table = {rows, sizeof(rows) / sizeof(rows[0]),
                                             sizeof(struct settings)};

struct fixture {
    struct wh_arena arena;
    struct settings settings;
    struct wh_option_set set;
    struct wh_buf problem;
    struct wh_buf out;
};

static const struct wh_option_place file_place = {WH_OPTION_FROM_FILE, 7, 3};

static void open_fixture(struct fixture *fixture)
{
    memset(fixture, 0, sizeof(*fixture));
    wh_arena_init(&fixture->arena, 0);
    assert_int_equal(wh_option_set_init(&fixture->set, &table, &fixture->settings, &fixture->arena),
                     WH_OK);
}

static void close_fixture(struct fixture *fixture)
{
    wh_buf_deinit(&fixture->problem);
    wh_buf_deinit(&fixture->out);
    wh_arena_deinit(&fixture->arena);
}

static const struct wh_option *row(const char *name)
{
    const struct wh_option *option = wh_option_find(&table, wh_slice_from_str(name));
    assert_non_null(option);
    return option;
}

static enum wh_err set_text(struct fixture *fixture, const char *name, const char *text)
{
    wh_buf_reset(&fixture->problem);
    return wh_option_set_text(&fixture->set, row(name), wh_slice_from_str(text), file_place,
                              &fixture->problem);
}

static void defaults_are_set_and_known_as_defaults(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture);
    assert_false(fixture.settings.verbose);
    assert_int_equal(fixture.settings.port, 8000);
    assert_int_equal(fixture.settings.timeout_ms, 25000);
    assert_int_equal(fixture.settings.limit, 65536);
    assert_null(fixture.settings.title);
    assert_int_equal(fixture.settings.colour, COLOUR_RED);
    for (size_t i = 0; i < table.count; i++)
        assert_int_equal(fixture.set.states[i].place.origin, WH_OPTION_FROM_DEFAULT);
    close_fixture(&fixture);
}

static void a_value_is_stored_printed_and_remembers_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *printed;
    } cases[] = {
        {"verbose", "true", "true"},
        {"verbose", "false", "false"},
        {"server.port", "1", "1"},
        {"server.port", "65535", "65535"},
        {"server.timeout", "1h30m", "90m"},
        {"server.timeout", "90s", "90s"},
        {"server.timeout", "1500ms", "1500ms"},
        {"server.timeout", "720h", "720h"},
        {"server.limit", "0", "0"},
        {"server.limit", "1048576", "1MiB"},
        {"server.limit", "1000", "1000"},
        {"server.limit", "3GiB", "3GiB"},
        {"page.title", "no", "\"no\""},
        {"page.title", "a \"b\"\n\\é", "\"a \\\"b\\\"\\n\\\\é\""},
        {"page.key", "hunter2", "\"********\""},
        {"page.key", "", "\"\""},
        {"page.colour", "green", "green"},
        {"page.origins", "", "[]"},
        {"page.origins", " a, b\tc ,,", "[\"a\", \"b\", \"c\"]"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture fixture;
        open_fixture(&fixture);
        assert_int_equal(set_text(&fixture, cases[i].name, cases[i].text), WH_OK);
        wh_option_write_value(row(cases[i].name), &fixture.settings, &fixture.out);
        assert_string_equal(wh_buf_cstr(&fixture.out), cases[i].printed);
        struct wh_option_state *kept = wh_option_state(&fixture.set, row(cases[i].name));
        assert_int_equal(kept->place.origin, WH_OPTION_FROM_FILE);
        assert_int_equal(kept->place.line, 7);
        assert_false(kept->is_broken);
        close_fixture(&fixture);
    }
}

static void a_refused_value_says_why_and_leaves_the_old_one(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *problem;
    } cases[] = {
        {"verbose", "yes", "\"yes\" is not true or false (try true)"},
        {"verbose", "off", "\"off\" is not true or false (try false)"},
        {"verbose", "", "\"\" is not true or false"},
        {"server.port", "0", "0 is out of range (1 to 65535)"},
        {"server.port", "65536", "65536 is out of range (1 to 65535)"},
        {"server.port", "-1", "\"-1\" is not a whole number"},
        {"server.port", "80x", "\"80x\" is not a whole number"},
        {"server.port", "99999999999999999999", "\"99999999999999999999\" is not a whole number"},
        {"server.timeout", "5 mins", "\"5 mins\" is not a duration (try 5m)"},
        {"server.timeout", "300", "\"300\" is not a duration (try 5m)"},
        {"server.timeout", "1.5h", "\"1.5h\" is not a duration (try 90m)"},
        {"server.timeout", "7 days", "\"7 days\" is not a duration (try 168h)"},
        {"server.timeout", "250 millis", "\"250 millis\" is not a duration (try 250ms)"},
        {"server.timeout", "soon", "\"soon\" is not a duration (try 25s)"},
        {"server.timeout", "2 months", "\"2 months\" is not a duration (try 25s)"},
        {"server.timeout", "-5s", "\"-5s\" is not a duration (try 25s)"},
        {"server.timeout", "999999999h", "\"999999999h\" is not a duration (try 25s)"},
        {"server.timeout", "1ms", "1ms is out of range (1s or more)"},
        {"server.limit", "64KB", "\"64KB\" is not a size (try 64KiB)"},
        {"server.limit", "2 gigs", "\"2 gigs\" is not a size (try 2GiB)"},
        {"server.limit", "9223372036854775809",
         "\"9223372036854775809\" is not a size (try 64KiB)"},
        {"page.title", "123456789012345678901", "is too long (21 bytes, at most 20)"},
        {"page.title", "\xC3(", "is not valid UTF-8"},
        {"page.key", "********", "is the mask that is printed in place of secrets, not a secret"},
        {"page.colour", "gren", "\"gren\" is none of red, green (try green)"},
        {"page.colour", "blue", "\"blue\" is none of red, green"},
        {"rooms", "x", "must be a list of objects"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture fixture;
        struct settings before;
        open_fixture(&fixture);
        before = fixture.settings;
        assert_int_equal(set_text(&fixture, cases[i].name, cases[i].text), WH_EFORMAT);
        assert_string_equal(wh_buf_cstr(&fixture.problem), cases[i].problem);
        assert_true(wh_option_equal(row(cases[i].name), &before, &fixture.settings));
        assert_true(wh_option_state(&fixture.set, row(cases[i].name))->is_broken);
        close_fixture(&fixture);
    }
}

static void a_nul_byte_is_refused(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture);
    assert_int_equal(wh_option_set_text(&fixture.set, row("page.title"), wh_slice("a\0b", 3),
                                        file_place, &fixture.problem),
                     WH_EFORMAT);
    assert_string_equal(wh_buf_cstr(&fixture.problem), "contains a NUL byte");
    close_fixture(&fixture);
}

static void a_long_value_is_cut_in_the_problem_between_characters(void **state)
{
    (void)state;
    struct fixture fixture;
    static const char letter[] = "é";
    char text[128] = "a";
    open_fixture(&fixture);
    for (size_t i = 0; i < 40; i++)
        memcpy(text + 1 + i * (sizeof(letter) - 1), letter, sizeof(letter));
    assert_int_equal(set_text(&fixture, "server.port", text), WH_EFORMAT);
    assert_non_null(strstr(wh_buf_cstr(&fixture.problem), "é…\" is not"));
    close_fixture(&fixture);
}

static void the_nearest_name_is_found(void **state)
{
    (void)state;
    static const struct {
        const char *name, *nearest;
    } cases[] = {
        {"server.prot", "server.port"},        {"server.Port", "server.port"},
        {"server.time_out", "server.timeout"}, {"serwer", "server"},
        {"sever.port", "server.port"},         {"port", "server.port"},
        {"page.limit", "server.limit"},        {"room", "rooms"},
        {"quite_something_else", NULL},        {"", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct wh_buf out = {0};
        bool found = wh_option_nearest(&table, wh_slice_from_str(cases[i].name), &out);
        assert_int_equal(found, cases[i].nearest != NULL);
        assert_string_equal(wh_buf_cstr(&out), cases[i].nearest ? cases[i].nearest : "");
        wh_buf_deinit(&out);
    }
}

static void groups_and_secret_files_are_known(void **state)
{
    (void)state;
    assert_true(wh_option_is_group(&table, WH_SLICE_LITERAL("server")));
    assert_false(wh_option_is_group(&table, WH_SLICE_LITERAL("serve")));
    assert_false(wh_option_is_group(&table, WH_SLICE_LITERAL("rooms")));
    assert_false(wh_option_is_group(&table, WH_SLICE_LITERAL("")));
    assert_ptr_equal(wh_option_find_secret_file(&table, WH_SLICE_LITERAL("page.key_file")),
                     row("page.key"));
    assert_null(wh_option_find_secret_file(&table, WH_SLICE_LITERAL("page.title_file")));
    assert_null(wh_option_find_secret_file(&table, WH_SLICE_LITERAL("_file")));
}

static void variables_find_their_option(void **state)
{
    (void)state;
    bool is_file = true;
    assert_ptr_equal(
        wh_option_find_env(&table, "APP_", WH_SLICE_LITERAL("APP_SERVER_PORT"), &is_file),
        row("server.port"));
    assert_false(is_file);
    assert_ptr_equal(
        wh_option_find_env(&table, "APP_", WH_SLICE_LITERAL("APP_PAGE_KEY_FILE"), &is_file),
        row("page.key"));
    assert_true(is_file);
    assert_null(wh_option_find_env(&table, "APP_", WH_SLICE_LITERAL("SERVER_PORT"), &is_file));
    assert_null(wh_option_find_env(&table, "APP_", WH_SLICE_LITERAL("APP_server_port"), &is_file));
    assert_null(
        wh_option_find_env(&table, "APP_", WH_SLICE_LITERAL("APP_PAGE_TITLE_FILE"), &is_file));
}

static void objects_have_defaults_and_places_of_their_own(void **state)
{
    (void)state;
    struct fixture fixture;
    open_fixture(&fixture);
    assert_int_equal(wh_option_set_objects(&fixture.set, row("rooms"), 2, file_place), WH_OK);
    struct wh_option_set *rooms = wh_option_state(&fixture.set, row("rooms"))->objects;
    assert_int_equal(wh_option_set_text(&rooms[1], &room_rows[0], WH_SLICE_LITERAL("red"),
                                        file_place, &fixture.problem),
                     WH_OK);
    assert_int_equal(fixture.settings.rooms.count, 2);
    assert_int_equal(fixture.settings.rooms.items[0].seats, 4);
    assert_string_equal(fixture.settings.rooms.items[1].name, "red");
    assert_int_equal(rooms[1].states[0].place.line, 7);
    wh_option_write_value(row("rooms"), &fixture.settings, &fixture.out);
    assert_string_equal(wh_buf_cstr(&fixture.out), "[{}, {\"name\": \"red\"}]");
    close_fixture(&fixture);
}

static void equality_is_by_value(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
    } cases[] = {
        {"verbose", "true"},      {"server.port", "1"},    {"server.timeout", "1s"},
        {"server.limit", "1"},    {"page.title", "x"},     {"page.key", "y"},
        {"page.colour", "green"}, {"page.origins", "a b"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture a, b;
        open_fixture(&a);
        open_fixture(&b);
        assert_true(wh_option_equal(row(cases[i].name), &a.settings, &b.settings));
        assert_int_equal(set_text(&a, cases[i].name, cases[i].text), WH_OK);
        assert_false(wh_option_equal(row(cases[i].name), &a.settings, &b.settings));
        assert_int_equal(set_text(&b, cases[i].name, cases[i].text), WH_OK);
        assert_true(wh_option_equal(row(cases[i].name), &a.settings, &b.settings));
        close_fixture(&a);
        close_fixture(&b);
    }
}

static void a_set_is_printed_as_yaml_with_origins(void **state)
{
    (void)state;
    struct fixture fixture;
    const struct wh_option_print print = {true, "app.yaml", "APP_"};
    open_fixture(&fixture);
    assert_int_equal(set_text(&fixture, "page.key", "hunter2"), WH_OK);
    assert_int_equal(wh_option_set_objects(&fixture.set, row("rooms"), 1, file_place), WH_OK);
    fixture.settings.rooms.items[0].seats = 9;
    wh_option_write_yaml(&fixture.set, &print, &fixture.out);
    assert_string_equal(wh_buf_cstr(&fixture.out), "verbose: false  # default\n"
                                                   "\n"
                                                   "server:\n"
                                                   "  port: 8000  # default\n"
                                                   "  timeout: 25s  # default\n"
                                                   "  limit: 64KiB  # default\n"
                                                   "\n"
                                                   "page:\n"
                                                   "  # title: \"\"  # default\n"
                                                   "  key: \"********\"  # app.yaml:7\n"
                                                   "  colour: red  # default\n"
                                                   "  origins: []  # default\n"
                                                   "rooms:  # app.yaml:7\n"
                                                   "  - seats: 9\n");
    close_fixture(&fixture);
}

static void a_set_is_printed_as_variables_for_a_shell(void **state)
{
    (void)state;
    struct fixture fixture;
    const struct wh_option_print print = {false, NULL, "APP_"};
    open_fixture(&fixture);
    assert_int_equal(set_text(&fixture, "page.title", "it's"), WH_OK);
    assert_int_equal(set_text(&fixture, "page.key", "hunter2"), WH_OK);
    wh_option_write_env(&fixture.set, &print, &fixture.out);
    const char *text = wh_buf_cstr(&fixture.out);
    assert_non_null(strstr(text, "APP_SERVER_TIMEOUT='25s'\n"));
    assert_non_null(strstr(text, "APP_PAGE_TITLE='it'\\''s'\n"));
    assert_non_null(strstr(text, "APP_PAGE_KEY='********'\n"));
    assert_null(strstr(text, "hunter2"));
    close_fixture(&fixture);
}

static void reference_and_help_name_every_fact(void **state)
{
    (void)state;
    struct wh_buf out = {0};
    wh_option_write_markdown(&table, "server", &out);
    const char *text = wh_buf_cstr(&out);
    assert_non_null(strstr(
        text, "| `port` | number | `8000` | restart | Help of server.port. From 1 to 65535. |\n"));
    assert_non_null(strstr(text, "At least 1s."));
    assert_null(strstr(text, "verbose"));
    wh_buf_reset(&out);
    wh_option_write_markdown(&table, "page", &out);
    text = wh_buf_cstr(&out);
    assert_non_null(strstr(text, "| `key` | text, secret | `\"\"` |"));
    assert_non_null(strstr(text, "| `colour` | `red`, `green` | `red` |"));
    assert_non_null(strstr(text, "*No effect in this version.*"));
    wh_buf_reset(&out);
    wh_option_write_help(&table, &out);
    text = wh_buf_cstr(&out);
    assert_non_null(strstr(text, "--page.key_file=path"));
    assert_non_null(strstr(text, "--page.colour=red|green"));
    assert_null(strstr(text, "page.origins"));
    wh_buf_deinit(&out);
}

static void write_file(const char *path, const char *text, size_t len)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static void a_secret_file_loses_one_line_end(void **state)
{
    (void)state;
    static const struct {
        const char *content, *secret;
    } cases[] = {{"s3cret", "s3cret"},       {"s3cret\n", "s3cret"}, {"s3cret\r\n", "s3cret"},
                 {"s3cret\n\n", "s3cret\n"}, {" s ", " s "},         {"", ""}};
    char path[] = "/tmp/wh-test-secret-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture fixture;
        struct wh_slice secret;
        open_fixture(&fixture);
        write_file(path, cases[i].content, strlen(cases[i].content));
        assert_int_equal(wh_option_read_secret(path, &fixture.arena, &secret, &fixture.problem),
                         WH_OK);
        assert_true(wh_slice_equal_str(secret, cases[i].secret));
        close_fixture(&fixture);
    }
    unlink(path);
}

static void what_is_no_secret_file_is_refused_without_waiting(void **state)
{
    (void)state;
    char path[] = "/tmp/wh-test-secret-XXXXXX";
    char *large = calloc(1, 65537);
    int fd = mkstemp(path);
    assert_true(fd >= 0 && large);
    close(fd);
    write_file(path, large, 65537);
    free(large);
    const struct {
        const char *path, *problem;
    } cases[] = {
        {"/nonexistent", "cannot be opened: No such file or directory"},
        {"/tmp", "is not a regular file"},
        {"/dev/zero", "is not a regular file"},
        {path, "is larger than 65536 bytes"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture fixture;
        struct wh_slice secret;
        open_fixture(&fixture);
        assert_int_equal(
            wh_option_read_secret(cases[i].path, &fixture.arena, &secret, &fixture.problem),
            WH_EIO);
        assert_string_equal(wh_buf_cstr(&fixture.problem), cases[i].problem);
        close_fixture(&fixture);
    }
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_set_and_known_as_defaults),
        cmocka_unit_test(a_value_is_stored_printed_and_remembers_its_place),
        cmocka_unit_test(a_refused_value_says_why_and_leaves_the_old_one),
        cmocka_unit_test(a_nul_byte_is_refused),
        cmocka_unit_test(a_long_value_is_cut_in_the_problem_between_characters),
        cmocka_unit_test(the_nearest_name_is_found),
        cmocka_unit_test(groups_and_secret_files_are_known),
        cmocka_unit_test(variables_find_their_option),
        cmocka_unit_test(objects_have_defaults_and_places_of_their_own),
        cmocka_unit_test(equality_is_by_value),
        cmocka_unit_test(a_set_is_printed_as_yaml_with_origins),
        cmocka_unit_test(a_set_is_printed_as_variables_for_a_shell),
        cmocka_unit_test(reference_and_help_name_every_fact),
        cmocka_unit_test(a_secret_file_loses_one_line_end),
        cmocka_unit_test(what_is_no_secret_file_is_refused_without_waiting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
