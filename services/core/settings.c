/*
 * The core's rows and the service's own become one table: the service's
 * offsets are moved behind the core's struct.
 */
#include "services/core/settings.h"

#include "common/base/list.h"
#include "common/config/loader.h"
#include "common/io/redis_address.h"

#include <ctype.h>
#include <stdalign.h>
#include <stddef.h>
#include <string.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define AT(member)      offsetof(struct svc_settings, member)

#define AT_OTLP(member) offsetof(struct svc_settings, opentelemetry.member)

/* Where the service's own struct begins. */
#define OWN_OFFSET                                                                                 \
    ((sizeof(struct svc_settings) + alignof(max_align_t) - 1) / alignof(max_align_t) *             \
     alignof(max_align_t))

static const char *const level_names[] = {"trace", "debug", "info", "warn", "error", "none", NULL};
static const char *const format_names[] = {"auto", "logfmt", "json", NULL};

/* clang-format off */
static const struct wh_option core_rows[] = {
    {.name = "redis.address", .type = WH_OPTION_STRING, .offset = AT(redis.address),
     .default_text = "127.0.0.1:6379", .min = 1, .max = 255,
     .help = "Redis that the hubs use: `host:port`, or `unix:///path`."},
    {.name = "redis.user", .type = WH_OPTION_STRING, .offset = AT(redis.user),
     .help = "Account; empty is the default one."},
    {.name = "redis.password", .type = WH_OPTION_STRING, .flags = WH_OPTION_SECRET,
     .offset = AT(redis.password), .help = "Its password."},
    {.name = "redis.db", .type = WH_OPTION_INTEGER, .offset = AT(redis.db), .max = 65535,
     .help = "Number of the database."},
    {.name = "database.url", .type = WH_OPTION_STRING, .flags = WH_OPTION_SECRET,
     .offset = AT(database.url),
     .help = "PostgreSQL as a URL or as `key=value` pairs of libpq."},
    {.name = "workers", .type = WH_OPTION_INTEGER, .offset = AT(workers), .default_text = "4",
     .min = 1, .max = 64,
     .help = "Threads that run handlers, each with its own connections."},
    {.name = "http.address", .type = WH_OPTION_STRING, .offset = AT(http.address),
     .default_text = "127.0.0.1", .min = 1, .max = 255,
     .help = "Numeric address for `/livez`, `/readyz` and `/metrics`."},
    {.name = "http.port", .type = WH_OPTION_INTEGER, .offset = AT(http.port), .default_text = "0",
     .max = 65535,
     .help = "Their TCP port; 0 lets the kernel choose, and the log says which."},
    {.name = "log.level", .type = WH_OPTION_ENUM, .offset = AT(log.level), .default_text = "info",
     .choices = level_names, .help = "The least level that is written."},
    {.name = "log.format", .type = WH_OPTION_ENUM, .offset = AT(log.format),
     .default_text = "auto", .choices = format_names,
     .help = "`auto` is logfmt on a terminal, JSON otherwise."},
    WH_OTLP_OPTION_ROWS(AT_OTLP),
    {.name = "shutdown.timeout", .type = WH_OPTION_DURATION, .offset = AT(shutdown.timeout_ms),
     .default_text = "30s", .min = 1, .max = 86400000,
     .help = "How long a drain may take after SIGTERM before it is given up."},
    {.name = "rpc.hung_after", .type = WH_OPTION_DURATION, .offset = AT(rpc.hung_after_ms),
     .default_text = "10s", .min = 100, .max = 86400000,
     .help = "When every worker has been busy with one call for this long, the instance says "
             "that it is not alive."},
};
/* clang-format on */

static struct svc_config *config_of(const struct wh_config_program *program)
{
    return WH_CONTAINER_OF(program, struct svc_config, program);
}

/* Each line that the service's own rules wrote is a problem without a place. */
static void report_lines(struct wh_config_loader *loader, struct wh_slice text)
{
    while (text.len > 0) {
        const char *end = memchr(text.ptr, '\n', text.len);
        size_t len = end ? (size_t)(end - text.ptr) : text.len;
        if (len > 0)
            wh_config_problem(loader, WH_CONFIG_ERROR, (struct wh_option_place){0}, NULL, "%.*s",
                              (int)len, text.ptr);
        text = wh_slice_from(text, end ? len + 1 : len);
    }
}

static void check_opentelemetry(struct wh_config_loader *loader)
{
    const struct svc_settings *settings = loader->set.target;
    const char *name;
    const char *problem = wh_otlp_config_check(&settings->opentelemetry, &name);
    const struct wh_option *row = wh_option_find(loader->set.table, wh_slice_from_str(name));
    const struct wh_option_state *state = wh_option_state(&loader->set, row);
    if (problem && !state->is_broken)
        wh_config_problem(loader, WH_CONFIG_ERROR, state->place, row->name, "%s", problem);
}

static void check_rules(struct wh_config_loader *loader)
{
    const struct svc_def *def = config_of(loader->program)->def;
    const struct svc_settings *settings = loader->set.target;
    const struct wh_option *row =
        wh_option_find(loader->set.table, WH_SLICE_LITERAL("redis.address"));
    const struct wh_option_state *state = wh_option_state(&loader->set, row);
    struct wh_redis_address address;
    struct wh_buf problems = {0};

    if (loader->is_out_of_memory || loader->is_unread)
        return;
    if (!state->is_broken && wh_redis_address_parse(settings->redis.address, &address) != WH_OK)
        wh_config_problem(loader, WH_CONFIG_ERROR, state->place, row->name,
                          "is neither host:port nor unix:///path");
    check_opentelemetry(loader);
    if (def->check && loader->error_count == 0)
        def->check(svc_config_own_settings(&loader->set), &problems);
    report_lines(loader, wh_buf_slice(&problems));
    wh_buf_deinit(&problems);
}

static struct wh_slice group_of(const struct wh_option *option)
{
    const char *dot = strrchr(option->name, '.');

    return wh_slice(option->name, dot ? (size_t)(dot - option->name) : 0);
}

static bool is_first_of_group(const struct wh_option_table *table, size_t index)
{
    struct wh_slice group = group_of(&table->options[index]);

    for (size_t i = 0; i < index; i++) {
        if (wh_slice_equal(group_of(&table->options[i]), group))
            return false;
    }
    return true;
}

static void write_reference(const struct wh_config_program *program, struct wh_buf *out)
{
    const struct wh_option_table *table = program->table;

    wh_buf_printf(out,
                  "# Configuration of %s\n"
                  "\n"
                  "Generated by `%s print-config --markdown`. Read from the weakest to the "
                  "strongest:\n"
                  "defaults, the YAML file named by `-c FILE` or `%sCONFIG`, variables "
                  "(`redis.address` is\n"
                  "`%sREDIS_ADDRESS`), flags (`--redis.address=…`). A secret is never taken from "
                  "a flag;\n"
                  "`NAME_file` gives the path of a file that holds it.\n",
                  program->name, program->name, program->env_prefix, program->env_prefix);
    for (size_t i = 0; i < table->count; i++) {
        struct wh_buf group = {0};
        if (!is_first_of_group(table, i))
            continue;
        wh_buf_append_slice(&group, group_of(&table->options[i]));
        if (group.len == 0)
            wh_buf_append_str(out, "\n## Without a group\n\n");
        else
            wh_buf_printf(out, "\n## `%s`\n\n", wh_buf_cstr(&group));
        wh_option_write_markdown(table, wh_buf_cstr(&group), out);
        wh_buf_deinit(&group);
    }
}

static void write_example(const struct wh_config_program *program, struct wh_buf *out)
{
    const struct svc_def *def = config_of(program)->def;

    wh_buf_printf(out,
                  "# Configuration of %s.  Check it with `%s check-config -c FILE`;\n"
                  "# `%s print-config --markdown` describes every option.\n"
                  "\n"
                  "redis:\n"
                  "  address: 127.0.0.1:6379 # the one that the hubs use\n",
                  program->name, program->name, program->name);
    if (def->migrations)
        wh_buf_printf(out,
                      "\n"
                      "database:\n"
                      "  # or url_file: PATH, or the variable %sDATABASE_URL\n"
                      "  url: postgresql://%s@127.0.0.1:5432/%s\n",
                      program->env_prefix, def->name, def->name);
    wh_buf_append_str(out, "\n"
                           "http:\n"
                           "  address: 127.0.0.1\n"
                           "  port: 0 # /livez /readyz /metrics; 0: the log says which\n"
                           "\n"
                           "log:\n"
                           "  level: info\n");
}

static const char *kept_text(struct wh_arena *arena, struct wh_buf *text)
{
    struct wh_slice copy = WH_SLICE_ABSENT;

    if (wh_buf_error(text) == WH_OK)
        copy = wh_arena_copy(arena, wh_buf_slice(text));
    wh_buf_deinit(text);
    return copy.ptr;
}

/* WIREHUB_GREETER_ */
static const char *env_prefix(struct svc_config *config)
{
    struct wh_buf text = {0};

    wh_buf_append_str(&text, "WIREHUB_");
    for (const char *c = config->def->name; *c; c++)
        wh_buf_append_char(&text, *c == '-' ? '_' : (char)toupper((unsigned char)*c));
    wh_buf_append_char(&text, '_');
    return kept_text(&config->arena, &text);
}

enum wh_err svc_config_init(struct svc_config *config, const struct svc_def *def)
{
    *config = (struct svc_config){.def = def};
    wh_arena_init(&config->arena, 0);
    size_t count = COUNT_OF(core_rows) + def->option_count;
    struct wh_option *rows = wh_arena_alloc_array(&config->arena, count, sizeof *rows);
    struct wh_buf name = {0};
    wh_buf_printf(&name, "wirehub-%s", def->name);
    config->program = (struct wh_config_program){.table = &config->table,
                                                 .name = kept_text(&config->arena, &name),
                                                 .env_prefix = env_prefix(config),
                                                 .check_rules = check_rules,
                                                 .write_reference = write_reference,
                                                 .write_example = write_example};
    if (!rows || !config->program.name || !config->program.env_prefix) {
        svc_config_deinit(config);
        return WH_ENOMEM;
    }
    memcpy(rows, core_rows, sizeof core_rows);
    for (size_t i = 0; i < def->option_count; i++) {
        struct wh_option *row = &rows[COUNT_OF(core_rows) + i];
        *row = def->options[i];
        row->offset += OWN_OFFSET;
    }
    config->table = (struct wh_option_table){rows, count, OWN_OFFSET + def->settings_size};
    return WH_OK;
}

void svc_config_deinit(struct svc_config *config)
{
    wh_arena_deinit(&config->arena);
}

const struct svc_settings *svc_config_settings(const struct wh_option_set *set)
{
    return set->target;
}

const void *svc_config_own_settings(const struct wh_option_set *set)
{
    return (const char *)set->target + OWN_OFFSET;
}
