/* argv against the tables. */
#include "client-sdk/cli/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
enum { WORDS_MAX = 16 };

struct parsed {
    enum wh_err err;
    struct settings settings;
    const struct cli_command *command;
    char *argv[WORDS_MAX];
    int count;
    char problem[256];
};

/* "wh" and the words of `line`, parted by blanks, in `copy`. */
static struct parsed parse(const char *line, char copy[256])
{
    struct parsed parsed = {.argv = {(char *)"wh"}};
    struct wh_buf problem = {0};
    int argc = 1;
    char *rest;
    snprintf(copy, 256, "%s", line);
    for (char *word = strtok_r(copy, " ", &rest); word && argc < WORDS_MAX;
         word = strtok_r(NULL, " ", &rest))
        parsed.argv[argc++] = word;
    parsed.err =
        cli_parse(argc, parsed.argv, &parsed.settings, &parsed.command, &parsed.count, &problem);
    snprintf(parsed.problem, sizeof(parsed.problem), "%s", wh_buf_cstr(&problem));
    wh_buf_deinit(&problem);
    return parsed;
}

static void options_may_stand_anywhere(void **state)
{
    static const char *const lines[] = {
        "-u x --json sub -n 3 a b",
        "sub a -ux b --json -n3",
        "sub --url=x --count=3 a b --json",
        "--json sub a b -n 3 --url x",
    };
    char copy[256];
    (void)state;
    for (size_t i = 0; i < COUNT(lines); i++) {
        struct parsed parsed = parse(lines[i], copy);
        assert_int_equal(parsed.err, WH_OK);
        assert_string_equal(parsed.command->name, "sub");
        assert_string_equal(parsed.settings.url, "x");
        assert_true(parsed.settings.json);
        assert_int_equal(parsed.settings.count, 3);
        assert_int_equal(parsed.count, 2);
        assert_string_equal(parsed.argv[1], "a");
        assert_string_equal(parsed.argv[2], "b");
    }
}

static void letters_may_stand_together(void **state)
{
    char copy[256];
    (void)state;
    struct parsed parsed = parse("sub -qvvn2 x", copy);
    assert_int_equal(parsed.err, WH_OK);
    assert_true(parsed.settings.quiet);
    assert_int_equal(parsed.settings.verbose, 2);
    assert_int_equal(parsed.settings.count, 2);
}

static void behind_two_dashes_nothing_is_an_option(void **state)
{
    char copy[256];
    (void)state;
    struct parsed parsed = parse("pub news -- -5", copy);
    assert_int_equal(parsed.err, WH_OK);
    assert_int_equal(parsed.count, 2);
    assert_string_equal(parsed.argv[2], "-5");
}

static void the_key_of_a_token_is_not_that_of_tls(void **state)
{
    char copy[256];
    (void)state;
    struct parsed token = parse("gen-token --key k", copy);
    assert_int_equal(token.err, WH_OK);
    assert_string_equal(token.settings.key_file, "k");
    assert_null(token.settings.tls_key);
    struct parsed tls = parse("stats c --key k", copy);
    assert_string_equal(tls.settings.tls_key, "k");
    assert_null(tls.settings.key_file);
}

static void defaults_are_those_of_the_table(void **state)
{
    char copy[256];
    (void)state;
    struct parsed parsed = parse("bench", copy);
    assert_int_equal(parsed.settings.timeout_ms, 5000);
    assert_int_equal(parsed.settings.clients, 10);
    assert_int_equal(parsed.settings.size, 128);
    assert_string_equal(parsed.settings.channel, "bench");
    assert_int_equal(parsed.settings.connection_given, 0);
    assert_int_equal(parse("sub x", copy).settings.count, 0);
    assert_int_equal(parse("pub x 1", copy).settings.count, 1);
}

static void what_is_wrong_is_told_with_what_was_meant(void **state)
{
    static const struct {
        const char *line, *told;
    } rows[] = {
        {"subs x", "did you mean sub?"},
        {"sub --cuont 1 x", "did you mean --count?"},
        {"sub --count x y", "--count takes a number from 1 on, not \"x\""},
        {"sub --count=0 y", "from 1 on"},
        {"sub -n", "--count needs its COUNT"},
        {"sub", "too few arguments"},
        {"stats a b", "too many arguments"},
        {"--json=1 stats a", "--json takes no value"},
        {"ping --interval 5", "a time like"},
        {"-e xml stats a", "one of json, msgpack, protobuf"},
        {"pub --rate 0 a 1", "a number above 0"},
        {"history --limit -2 a", "--limit takes"},
        {"bench --clients 99999", "from 1 to 10000"},
        {"gen-token --url x", "no option --url"},
        {"sub -Z x", "no option -Z"},
    };
    char copy[256];
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct parsed parsed = parse(rows[i].line, copy);
        assert_int_equal(parsed.err, WH_EFORMAT);
        if (!strstr(parsed.problem, rows[i].told))
            fail_msg("%s: %s", rows[i].line, parsed.problem);
    }
}

static void durations_have_days_too(void **state)
{
    uint64_t ms;
    (void)state;
    assert_int_equal(cli_duration_parse("7d", &ms), WH_OK);
    assert_true(ms == 7 * UINT64_C(86400000));
    assert_int_equal(cli_duration_parse("1h30m", &ms), WH_OK);
    assert_int_equal(ms, 5400000);
    assert_int_equal(cli_duration_parse("d", &ms), WH_EFORMAT);
    assert_int_equal(cli_duration_parse("-1d", &ms), WH_EFORMAT);
    assert_int_equal(cli_duration_parse("99999999999999999999d", &ms), WH_EFORMAT);
    assert_int_equal(cli_duration_parse("", &ms), WH_EFORMAT);
}

/* A name twice in what one command can be given would hide one of the two. */
static void no_command_has_an_option_twice(void **state)
{
    (void)state;
    for (size_t c = 0; c < cli_command_count; c++) {
        const struct cli_options *tables[] = {&cli_commands[c].options, &cli_output_options};
        for (size_t i = 0; i < tables[0]->count; i++)
            for (size_t t = 0; t < COUNT(tables); t++)
                for (size_t j = t == 0 ? i + 1 : 0; j < tables[t]->count; j++) {
                    const struct cli_option *a = &tables[0]->rows[i], *b = &tables[t]->rows[j];
                    assert_string_not_equal(a->name, b->name);
                    assert_true(a->letter == 0 || a->letter != b->letter);
                }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_may_stand_anywhere),
        cmocka_unit_test(letters_may_stand_together),
        cmocka_unit_test(behind_two_dashes_nothing_is_an_option),
        cmocka_unit_test(the_key_of_a_token_is_not_that_of_tls),
        cmocka_unit_test(defaults_are_those_of_the_table),
        cmocka_unit_test(what_is_wrong_is_told_with_what_was_meant),
        cmocka_unit_test(durations_have_days_too),
        cmocka_unit_test(no_command_has_an_option_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
