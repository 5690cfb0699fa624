/*
 * The services behind a hub.  The hub itself answers wirehub.$svc.ls with those
 * that have announced themselves; whether one lives is asked of it by its own
 * <service>.$svc.ping.  Both are rpc, for tokens with the role admin.
 */
#include "client-sdk/cli/commands.h"
#include "client-sdk/cli/connection.h"
#include "common/base/clock.h"
#include "common/protocol/json.h"

#include <stdio.h>

enum { SERVICES_MAX = 256 };

struct service {
    struct svc_run *run;
    const char *name, *version;
    uint64_t methods;
    const char *state; /* "alive", or the error of its ping */
    const char *instance;
    uint64_t asked_us, took_us;
};

struct svc_run {
    struct connection connection;
    const char *method; /* of the one call, or of ls */
    struct service services[SERVICES_MAX];
    size_t count, left;
    bool is_answered;
};

/* ---- reading answers ---- */

static const char *copy(struct app *app, struct wh_slice text)
{
    const char *kept = wh_arena_copy(&app->arena, text).ptr;
    return kept ? kept : "";
}

/* The string, or the number as `*out_number`, of `key` in an object; "" when there is none. */
static const char *member(struct app *app,
                          struct wh_slice json,
                          const char *key,
                          uint64_t *out_number)
{
    struct wh_json_reader reader;
    struct wh_slice name, text;
    enum wh_json_type type;
    wh_json_reader_init(&reader, json);
    if (wh_json_enter(&reader, WH_JSON_OBJECT))
        return "";
    while (wh_json_next_member(&reader, &app->arena, &name) == WH_OK) {
        bool is_it = wh_slice_equal_str(name, key);
        if (is_it && wh_json_peek(&reader, &type) == WH_OK && type == WH_JSON_STRING)
            return wh_json_read_string(&reader, &app->arena, &text) ? "" : copy(app, text);
        if (is_it && out_number && wh_json_read_u64(&reader, out_number) == WH_OK)
            return "";
        if (is_it || wh_json_skip(&reader, NULL))
            return "";
    }
    return "";
}

/* The array of `key`, ready for wh_json_next_item. */
static bool enter_list(struct app *app,
                       struct wh_slice json,
                       const char *key,
                       struct wh_json_reader *reader)
{
    struct wh_slice name;
    wh_json_reader_init(reader, json);
    if (wh_json_enter(reader, WH_JSON_OBJECT))
        return false;
    while (wh_json_next_member(reader, &app->arena, &name) == WH_OK) {
        if (wh_slice_equal_str(name, key))
            return wh_json_enter(reader, WH_JSON_ARRAY) == WH_OK;
        if (wh_json_skip(reader, NULL))
            return false;
    }
    return false;
}

/* The answer as JSON in the app's arena. */
static struct wh_slice answer_of(struct app *app, const struct wh_data *data)
{
    struct wh_data json;
    if (!data || !data->ptr || wh_data_to_json(data, &json))
        return WH_SLICE_LITERAL("{}");
    struct wh_slice kept = wh_arena_copy(&app->arena, wh_slice(json.ptr, json.len));
    wh_data_free(&json);
    return kept.ptr ? kept : WH_SLICE_LITERAL("{}");
}

/* ---- ls ---- */

static void write_services(struct svc_run *run)
{
    struct output *out = &run->connection.app->out;
    if (!out->json && run->count > 0)
        printf("%-20s %-10s %7s %9s  %s\n", "SERVICE", "VERSION", "METHODS", "MS", "STATE");
    for (size_t i = 0; i < run->count; i++) {
        const struct service *service = &run->services[i];
        bool is_alive = service->instance != NULL;
        if (out->json) {
            struct wh_buf *line = output_object(out, "service");
            output_text(line, "name", service->name);
            output_text(line, "version", service->version);
            output_number(line, "methods", service->methods);
            output_bool(line, "alive", is_alive);
            output_text(line, "instance", service->instance);
            output_text(line, "error", is_alive ? NULL : service->state);
            if (is_alive)
                output_number(line, "us", service->took_us);
            output_object_end(out, OUTPUT_DATA);
            continue;
        }
        struct wh_buf *line = output_line(out, OUTPUT_DATA, 0);
        wh_buf_printf(line, "%-20s %-10s %7llu ", service->name, service->version,
                      (unsigned long long)service->methods);
        if (is_alive)
            wh_buf_printf(line, "%9.3f  ", (double)service->took_us / 1000);
        else
            wh_buf_printf(line, "%9s  ", "-");
        output_safe(line, wh_slice_from_str(service->state));
        output_line_end(out, OUTPUT_DATA);
    }
}

static void count_down(struct svc_run *run)
{
    if (run->left > 0)
        return;
    write_services(run);
    run->is_answered = true;
    loop_stop(&run->connection.app->loop, CLI_OK);
}

static void on_ping(struct wh_client *client,
                    const struct wh_error *error,
                    const struct wh_data *data,
                    void *user)
{
    struct service *service = user;
    struct svc_run *run = service->run;
    struct app *app = run->connection.app;
    (void)client;
    service->took_us = wh_clock_monotonic_us() - service->asked_us;
    if (error) {
        service->state = copy(app, wh_slice_from_str(error->text));
    } else {
        service->instance = member(app, answer_of(app, data), "instance", NULL);
        service->state = "alive";
    }
    run->left--;
    count_down(run);
}

static void ask_service(struct svc_run *run, struct service *service)
{
    struct wh_buf method = {0};
    wh_buf_printf(&method, "%s.$svc.ping", service->name);
    service->run = run;
    service->asked_us = wh_clock_monotonic_us();
    enum wh_err err = wh_client_rpc(run->connection.client, wh_buf_cstr(&method), wh_json("{}"),
                                    NULL, on_ping, service);
    if (err) {
        service->state = wh_err_text(err);
        run->left--;
    }
    wh_buf_deinit(&method);
}

static void take_list(struct svc_run *run, struct wh_slice json)
{
    struct app *app = run->connection.app;
    struct wh_json_reader reader;
    struct wh_slice item;
    bool is_list = enter_list(app, json, "services", &reader);
    while (is_list && run->count < SERVICES_MAX && wh_json_next_item(&reader) == WH_OK &&
           wh_json_skip(&reader, &item) == WH_OK) {
        struct service *service = &run->services[run->count++];
        service->name = member(app, item, "name", NULL);
        service->version = member(app, item, "version", NULL);
        (void)member(app, item, "methods", &service->methods);
    }
    run->left = run->count;
    for (size_t i = 0; i < run->count; i++)
        ask_service(run, &run->services[i]);
    count_down(run);
}

/* ---- info and stats ---- */

static void write_info(struct app *app, struct wh_slice method)
{
    struct wh_json_reader reader;
    struct wh_slice role;
    struct wh_buf *line = output_line(&app->out, OUTPUT_DATA, 0);
    wh_buf_printf(line, "  %-32s ", member(app, method, "name", NULL));
    output_safe(line, wh_slice_from_str(member(app, method, "access", NULL)));
    bool has_roles = enter_list(app, method, "roles", &reader);
    while (has_roles && wh_json_next_item(&reader) == WH_OK &&
           wh_json_read_string(&reader, &app->arena, &role) == WH_OK) {
        wh_buf_append_char(line, ' ');
        output_safe(line, role);
    }
    output_line_end(&app->out, OUTPUT_DATA);
}

static void write_stats(struct app *app, struct wh_slice method)
{
    uint64_t calls = 0, refused = 0, errors = 0, mean_us = 0;
    (void)member(app, method, "calls", &calls);
    (void)member(app, method, "refused", &refused);
    (void)member(app, method, "errors", &errors);
    (void)member(app, method, "mean_us", &mean_us);
    printf("  %-32s %9llu %9llu %9llu %9.3f\n", member(app, method, "name", NULL),
           (unsigned long long)calls, (unsigned long long)refused, (unsigned long long)errors,
           (double)mean_us / 1000);
}

static void write_answer(struct app *app, struct wh_slice json, bool is_stats)
{
    struct wh_json_reader reader;
    struct wh_slice item;
    struct wh_buf *line = output_line(&app->out, OUTPUT_DATA, 0);
    wh_buf_printf(line, "%s %s, instance %s", member(app, json, "name", NULL),
                  member(app, json, "version", NULL), member(app, json, "instance", NULL));
    output_line_end(&app->out, OUTPUT_DATA);
    if (is_stats)
        printf("  %-32s %9s %9s %9s %9s\n", "METHOD", "CALLS", "REFUSED", "ERRORS", "MEAN MS");
    bool is_list = enter_list(app, json, "methods", &reader);
    while (is_list && wh_json_next_item(&reader) == WH_OK &&
           wh_json_skip(&reader, &item) == WH_OK) {
        if (is_stats)
            write_stats(app, item);
        else
            write_info(app, item);
    }
}

/* ---- the command ---- */

static void on_answer(struct wh_client *client,
                      const struct wh_error *error,
                      const struct wh_data *data,
                      void *user)
{
    struct svc_run *run = user;
    struct app *app = run->connection.app;
    (void)client;
    if (error) {
        cli_connection_fail(&run->connection, run->method, error);
        return;
    }
    struct wh_slice json = answer_of(app, data);
    if (strcmp(run->method, "wirehub.$svc.ls") == 0) {
        take_list(run, json);
        return;
    }
    if (app->out.json) {
        struct wh_buf *line = output_object(&app->out, "service");
        output_data(line, "data", data);
        output_object_end(&app->out, OUTPUT_DATA);
    } else {
        write_answer(app, json, strstr(run->method, ".$svc.stats") != NULL);
    }
    run->is_answered = true;
    loop_stop(&app->loop, CLI_OK);
}

static void on_connected(struct connection *connection, bool is_first)
{
    struct svc_run *run = connection->user;
    if (!is_first)
        return;
    enum wh_err err =
        wh_client_rpc(connection->client, run->method, wh_json("{}"), NULL, on_answer, run);
    struct wh_error error = cli_connection_error(err);
    if (err)
        cli_connection_fail(connection, run->method, &error);
}

int run_svc(struct app *app, int argc, char **argv)
{
    static const struct connection_hooks hooks = {.connected = on_connected};
    static struct svc_run run;
    struct wh_buf method = {0};
    bool is_list = strcmp(argv[1], "ls") == 0;
    bool is_known = is_list || strcmp(argv[1], "info") == 0 || strcmp(argv[1], "stats") == 0;
    if (!is_known)
        return app_usage(app, "svc ls, info or stats; not \"%s\"", argv[1]);
    if (is_list != (argc == 1))
        return app_usage(app, "svc %s %s", argv[1],
                         is_list ? "takes no SERVICE" : "needs a SERVICE");
    int status = cli_connection_open(&run.connection, app, &hooks, &run);
    if (status != CLI_OK)
        return status;
    wh_buf_printf(&method, "%s.$svc.%s", is_list ? "wirehub" : argv[2], argv[1]);
    run.method = wh_buf_cstr(&method);
    status = cli_connection_run(&run.connection);
    wh_buf_deinit(&method);
    return status == CLI_OK && app->loop.is_interrupted && !run.is_answered ? CLI_INTERRUPTED
                                                                            : status;
}
