/*
 * Every public function inside every callback, in each mode, against a server without sockets.  The
 * rows are in tests/support/callback_acts.c and callback_scenes.c; here they are compared with the
 * headers, so that what is added there without a row is noticed.
 */
#include "fake_service.h"
#include "tests/support/callback_run.h"

#include <glob.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { CELL_LIMIT_S = 60 /* nothing that ends takes so long */, HEADERS_MAX_BYTES = 1 << 20 };

/* ---- the tables against the headers ---------------------------------------------------------- */

/* All headers, one behind the other. */
static char *read_headers(void)
{
    char *text = calloc(1, HEADERS_MAX_BYTES);
    size_t len = 0;
    glob_t found;
    assert_int_equal(glob(WH_SOURCE_DIR "/client-sdk/include/wirehub/*.h*", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        FILE *file = fopen(found.gl_pathv[i], "r");
        assert_non_null(file);
        len += fread(text + len, 1, HEADERS_MAX_BYTES - 1 - len, file);
        fclose(file);
    }
    globfree(&found);
    assert_in_range(len, 1, HEADERS_MAX_BYTES - 2);
    return text;
}

static bool is_in_name(char c)
{
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* The name that stands before `end`. */
static void name_before(const char *end, char *name, size_t size)
{
    const char *begin = end;
    while (is_in_name(begin[-1]))
        begin--;
    snprintf(name, size, "%.*s", (int)(end - begin), begin);
}

static size_t rows_of_function(const char *name)
{
    size_t rows = 0;
    for (size_t i = 0; i < act_count; i++)
        rows += strcmp(acts[i].function, name) == 0;
    return rows;
}

static bool has_scene(const char *callback)
{
    for (size_t i = 0; i < scene_count; i++) {
        if (strcmp(scenes[i].callback, callback) == 0)
            return true;
    }
    return false;
}

static void every_public_function_has_a_row(void **state)
{
    (void)state;
    char *headers = read_headers();
    size_t functions = 0, missing = 0;
    for (const char *at = headers; (at = strstr(at, "\nWH_API ")) != NULL; at++) {
        char name[64];
        name_before(strchr(at, '('), name, sizeof name);
        functions++;
        if (rows_of_function(name) == 1)
            continue;
        print_error("%s: %zu rows\n", name, rows_of_function(name));
        missing++;
    }
    free(headers);
    assert_int_equal(missing, 0);
    assert_int_equal(functions, act_count);
    for (size_t i = 0; i < act_count; i++)
        assert_true(!acts[i].fn == (acts[i].reason != NULL));
}

/* Members "(*name)(" between `begin` and `end` have scenes "prefix.name". */
static size_t missing_members(const char *begin, const char *end, const char *prefix)
{
    size_t missing = 0, members = 0;
    for (const char *at = begin; (at = strstr(at, "(*")) != NULL && at < end; at++) {
        char name[64], callback[96];
        const char *close = strchr(at, ')');
        if (close[1] != '(')
            continue;
        name_before(close, name, sizeof name);
        snprintf(callback, sizeof callback, "%s.%s", prefix, name);
        members++;
        if (has_scene(callback))
            continue;
        print_error("%s has no scene\n", callback);
        missing++;
    }
    assert_true(members > 0);
    return missing;
}

static void every_callback_has_a_scene(void **state)
{
    (void)state;
    static const struct {
        const char *begin, *prefix;
    } structs[] = {{"struct wh_client_events {", "client"},  {"struct wh_sub_events {", "sub"},
                   {"struct wh_client_options {", "client"}, {"struct wh_sub_options {", "sub"},
                   {"struct wh_call_options {", "call"},     {"wh_client_close(", "close"},
                   {"wh_runtime_close(", "runtime"}};
    /* Types of callbacks, with those of their scenes that are not members of a struct. */
    static const struct {
        const char *type, *scene;
    } types[] = {{"wh_done_cb", "client.publish"},
                 {"wh_done_cb", "client.ping"},
                 {"wh_done_cb", "sub.publish"},
                 {"wh_rpc_cb", "client.rpc"},
                 {"wh_history_cb", "client.history"},
                 {"wh_history_cb", "sub.history"},
                 {"wh_presence_cb", "client.presence"},
                 {"wh_presence_cb", "sub.presence"},
                 {"wh_presence_stats_cb", "client.presence_stats"},
                 {"wh_presence_stats_cb", "sub.presence_stats"},
                 {"wh_publication_cb", "sub.publication"},
                 {"wh_log_cb", NULL /* must not call the library */}};
    char *headers = read_headers();
    size_t missing = 0;
    for (size_t i = 0; i < sizeof structs / sizeof *structs; i++) {
        const char *begin = strstr(headers, structs[i].begin);
        assert_non_null(begin);
        const char *end = strstr(begin, strchr(structs[i].begin, '{') ? "\n}" : ";");
        missing += missing_members(begin, end, structs[i].prefix);
    }
    for (const char *at = headers; (at = strstr(at, "\ntypedef void wh_")) != NULL; at++) {
        char name[64];
        bool is_known = false;
        name_before(strchr(at, '('), name, sizeof name);
        for (size_t i = 0; i < sizeof types / sizeof *types; i++)
            is_known |=
                strcmp(types[i].type, name) == 0 && (!types[i].scene || has_scene(types[i].scene));
        missing += !is_known;
        if (!is_known)
            print_error("%s has no scene\n", name);
    }
    free(headers);
    assert_int_equal(missing, 0);
}

/* ---- the cells ------------------------------------------------------------------------------- */

static char cell_name[160];

static void on_alarm(int signal_number)
{
    (void)signal_number;
    static const char text[] = "hangs: ";
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    (void)!write(STDERR_FILENO, cell_name, strlen(cell_name));
    (void)!write(STDERR_FILENO, "\n", 1);
    abort();
}

static struct wh_runtime *new_runtime(enum wh_mode mode)
{
    struct wh_runtime_options options = WH_RUNTIME_OPTIONS_INIT;
    struct wh_runtime *runtime = NULL;
    options.mode = mode;
    assert_int_equal(wh_runtime_new(&options, &runtime, NULL), WH_OK);
    return runtime;
}

static void one_cell(struct wh_runtime *shared, enum wh_mode mode, size_t scene, size_t act)
{
    struct run *run = calloc(1, sizeof *run);
    run->mode = mode;
    run->scene = &scenes[scene];
    run->act = act < act_count ? &acts[act] : NULL;
    snprintf(cell_name, sizeof cell_name, "%s inside %s, mode %d",
             run->act ? run->act->function : "all others", run->scene->callback, (int)mode);
    if (getenv("WH_TEST_VERBOSE"))
        print_message("%s\n", cell_name);
    bool is_runtime_own = run->act && strcmp(run->act->function, "wh_runtime_free") == 0;
    run->runtime = is_runtime_own ? new_runtime(mode) : shared;
    alarm(CELL_LIMIT_S);
    run_cell(run);
    alarm(0);
    free(run);
}

static void run_mode(enum wh_mode mode)
{
    struct wh_runtime *runtime = new_runtime(mode);
    (void)signal(SIGALRM, on_alarm);
    fake_service_pushes(3);
    for (size_t scene = 0; scene < scene_count; scene++) {
        for (size_t act = 0; act <= act_count; act++) {
            if (act == act_count || (acts[act].fn && acts[act].is_alone))
                one_cell(runtime, mode, scene, act);
        }
    }
    wh_runtime_free(runtime);
    alarm(CELL_LIMIT_S);
    while (fake_service_alive() > 0) /* threads that were left to end alone */
        (void)poll(NULL, 0, 1);
    alarm(0);
}

static void any_function_may_be_called_in_any_callback_threaded(void **state)
{
    (void)state;
    run_mode(WH_MODE_THREADED);
}

static void any_function_may_be_called_in_any_callback_dispatch(void **state)
{
    (void)state;
    run_mode(WH_MODE_DISPATCH);
}

static void any_function_may_be_called_in_any_callback_pumped(void **state)
{
    (void)state;
    run_mode(WH_MODE_LOOP);
}

static int keep_a_publication(void **state)
{
    (void)state;
    struct wh_client_options options = WH_CLIENT_OPTIONS_INIT;
    struct wh_client *client = NULL;
    struct wh_result *result = NULL;
    options.url = "ws://localhost/first";
    assert_int_equal(wh_client_new(&options, &client, NULL), WH_OK);
    assert_int_equal(wh_client_connect_wait(client, CELL_LIMIT_S * 1000, NULL), WH_OK);
    assert_int_equal(wh_client_history_sync(client, "a", NULL, 0, &result, NULL), WH_OK);
    kept_publication = wh_publication_ref(&result->history.publications[0]);
    wh_result_free(result);
    wh_client_free(client);
    return 0;
}

static int drop_the_publication(void **state)
{
    (void)state;
    wh_publication_unref(kept_publication);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_public_function_has_a_row),
        cmocka_unit_test(every_callback_has_a_scene),
        cmocka_unit_test(any_function_may_be_called_in_any_callback_threaded),
        cmocka_unit_test(any_function_may_be_called_in_any_callback_dispatch),
        cmocka_unit_test(any_function_may_be_called_in_any_callback_pumped),
    };
    return cmocka_run_group_tests(tests, keep_a_publication, drop_the_publication);
}
