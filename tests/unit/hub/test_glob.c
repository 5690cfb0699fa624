/* Patterns of channel names. */
#include "hub/glob.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static bool matches(const char *pattern, const char *text)
{
    return glob_matches((struct wh_slice){pattern, strlen(pattern)},
                        (struct wh_slice){text, strlen(text)});
}

static void patterns_match_whole_names(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *text;
        bool is_match;
    } rows[] = {
        {"", "", true},
        {"", "a", false},
        {"a", "a", true},
        {"a", "ab", false},
        {"ab", "a", false},
        {"*", "", true},
        {"*", "abc", true},
        {"a*", "abc", true},
        {"*c", "abc", true},
        {"*b*", "abc", true},
        {"a*c*e", "abcde", true},
        {"a*c*f", "abcde", false},
        {"**a", "xa", true},
        {"?", "a", true},
        {"?", "", false},
        {"a?c", "abc", true},
        {"[a-c]x", "bx", true},
        {"[a-c]x", "dx", false},
        {"[!a-c]x", "dx", true},
        {"[!a-c]x", "bx", false},
        {"[]]", "]", true},
        {"[a-]", "-", true},
        {"[a", "[a", true},
        {"[", "[", true},
        {"\\*", "*", true},
        {"\\*", "a", false},
        {"\\", "\\", true},
        {"user:*", "user:42", true},
        {"user:*", "users:42", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (matches(rows[i].pattern, rows[i].text) != rows[i].is_match)
            fail_msg("%s against %s", rows[i].pattern, rows[i].text);
}

static void many_stars_take_no_more_than_both_lengths(void **state)
{
    (void)state;
    char pattern[2001], text[20001];
    for (size_t i = 0; i < 2000; i += 2) {
        pattern[i] = '*';
        pattern[i + 1] = 'a';
    }
    pattern[1999] = 'b';
    pattern[2000] = '\0';
    memset(text, 'a', 20000);
    text[20000] = '\0';
    assert_false(matches(pattern, text)); /* would not end in our time otherwise */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_match_whole_names),
        cmocka_unit_test(many_stars_take_no_more_than_both_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
