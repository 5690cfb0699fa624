/* A machine without the plug-ins of libwebsockets for event loops: they are Debian packages of
 * their own, and whoever has not installed one is told which. */
#include <wirehub/wirehub.h>

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static unsigned refused;

/* In place of libc's: there are no plug-ins. */
void *dlopen(const char *path, int flags)
{
    static void *(*real)(const char *, int);
    if (path && strstr(path, "evlib")) {
        refused++;
        return NULL;
    }
    if (!real)
        real = (void *(*)(const char *, int))dlsym(RTLD_NEXT, "dlopen");
    return real(path, flags);
}

static void a_missing_plug_in_is_named_with_its_package(void **state)
{
    (void)state;
    static const struct {
        enum wh_loop loop;
        const char *package;
    } cases[] = {
        {WH_LOOP_UV, "libwebsockets-evlib-uv"},
        {WH_LOOP_EV, "libwebsockets-evlib-ev"},
        {WH_LOOP_GLIB, "libwebsockets-evlib-glib"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int not_a_loop; /* nobody gets as far as looking at it */
        struct wh_runtime_options options = WH_RUNTIME_OPTIONS_INIT;
        struct wh_runtime *runtime = NULL;
        struct wh_error error = {.err = WH_OK};
        options.mode = WH_MODE_LOOP;
        options.loop = cases[i].loop;
        options.foreign = &not_a_loop;
        refused = 0;
        assert_int_equal(wh_runtime_new(&options, &runtime, &error), WH_ELOOP);
        assert_true(refused > 0);
        assert_null(runtime);
        assert_int_equal(error.err, WH_ELOOP);
        assert_non_null(strstr(error.text, cases[i].package));
        assert_int_equal(wh_runtime_new(&options, &runtime, NULL), WH_ELOOP);
    }
}

static void without_plug_ins_the_other_modes_work(void **state)
{
    (void)state;
    static const enum wh_mode modes[] = {WH_MODE_THREADED, WH_MODE_DISPATCH, WH_MODE_LOOP};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        struct wh_runtime_options options = WH_RUNTIME_OPTIONS_INIT;
        struct wh_runtime *runtime = NULL;
        options.mode = modes[i];
        assert_int_equal(wh_runtime_new(&options, &runtime, NULL), WH_OK);
        wh_runtime_free(runtime);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_plug_in_is_named_with_its_package),
        cmocka_unit_test(without_plug_ins_the_other_modes_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
