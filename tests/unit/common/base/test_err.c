#include "common/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void every_error_has_a_stable_number_a_name_and_a_text(void **state)
{
    (void)state;
    static const struct {
        enum wh_err err;
        int number;
        const char *name;
        const char *text;
    } cases[] = {
#define X(name, number, text) {name, number, #name, text},
        WH_ERR_LIST(X)
#undef X
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(cases[i].err, cases[i].number);
        assert_int_equal(cases[i].number, i);
        assert_string_equal(wh_err_name(cases[i].err), cases[i].name);
        assert_string_equal(wh_err_text(cases[i].err), cases[i].text);
    }
}

static void a_number_that_is_none_is_named_as_unknown(void **state)
{
    (void)state;
    assert_string_equal(wh_err_name((enum wh_err)12345), "WH_E?");
    assert_string_equal(wh_err_text((enum wh_err)12345), "unknown error");
}

static void a_broken_invariant_says_where_and_aborts(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        signal(SIGABRT, SIG_DFL);
        dup2(ends[1], STDERR_FILENO);
        WH_ASSERT(1 + 1 == 2);
        WH_ASSERT(1 + 1 == 3);
        _exit(0);
    }
    close(ends[1]);
    char said[512] = {0};
    assert_true(read(ends[0], said, sizeof said - 1) > 0);
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_non_null(strstr(said, "test_err.c:"));
    assert_non_null(strstr(said, "1 + 1 == 3"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_has_a_stable_number_a_name_and_a_text),
        cmocka_unit_test(a_number_that_is_none_is_named_as_unknown),
        cmocka_unit_test(a_broken_invariant_says_where_and_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
