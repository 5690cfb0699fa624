/*
 * Files are written beside their place and renamed into it, so that a context
 * is whole or not there, and never readable by others, not even for a moment.
 */
#include "client-sdk/cli/context.h"

#include "client-sdk/cli/commands.h"
#include "common/base/option.h"
#include "common/protocol/json.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_BYTES_MAX = 64, CONTEXT_BYTES_MAX = 64 * 1024, NAMES_MAX = 1024 };

#define TOKEN_ROWS (row_bit("token") | row_bit("token-file") | row_bit("token-cmd"))

/* ---- places ---- */

/* Names become names of files: letters, digits, "-", "_" and, not in front, ".". */
static bool is_name(const char *name)
{
    size_t len = strlen(name);
    size_t good = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");
    return len > 0 && len <= NAME_BYTES_MAX && good == len && name[0] != '.' && name[0] != '-';
}

/* "…/wh" + `rest` in the app's arena; NULL when there is no home. */
static const char *path_of(struct app *app, const char *rest, const char *name)
{
    const char *base = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");
    struct wh_buf path = {0};
    if (base && base[0] == '/')
        wh_buf_printf(&path, "%s/wh%s%s", base, rest, name);
    else if (home && *home)
        wh_buf_printf(&path, "%s/.config/wh%s%s", home, rest, name);
    else
        wh_buf_append_char(&path, '\0');
    struct wh_slice kept = wh_arena_copy(&app->arena, wh_buf_slice(&path));
    bool is_there = wh_buf_error(&path) == WH_OK && path.len > 1;
    wh_buf_deinit(&path);
    return is_there ? kept.ptr : NULL;
}

static const char *file_of(struct app *app, const char *name)
{
    return path_of(app, "/contexts/", name);
}

static int failed(struct app *app, const char *path)
{
    return app_complain(app, CLI_ERROR, "%s: %s", path ? path : "no HOME and no XDG_CONFIG_HOME",
                        strerror(path ? errno : ENOENT));
}

/* Every directory of `path` above its last name, for this user alone. */
static void make_directories(const char *path)
{
    struct wh_buf at = {0};
    for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        wh_buf_reset(&at);
        wh_buf_append(&at, path, (size_t)(slash - path));
        mkdir(wh_buf_cstr(&at), 0700); /* open tells what is wrong */
    }
    wh_buf_deinit(&at);
}

static bool write_all(int fd, struct wh_slice text)
{
    while (text.len > 0) {
        ssize_t len = write(fd, text.ptr, text.len);
        if (len < 0 && errno != EINTR)
            return false;
        text = wh_slice_from(text, len > 0 ? (size_t)len : 0);
    }
    return true;
}

static bool replace_file(struct app *app, const char *path, struct wh_slice text)
{
    struct wh_buf beside = {0};
    make_directories(path);
    wh_buf_printf(&beside, "%s.XXXXXX", path);
    if (wh_buf_error(&beside))
        return false;
    wh_buf_cstr(&beside);
    int fd = mkostemp(beside.ptr, O_CLOEXEC); /* mode 0600 */
    bool is_written = fd >= 0 && write_all(fd, text);
    if (fd >= 0 && close(fd) != 0)
        is_written = false;
    if (is_written && rename(beside.ptr, path) != 0)
        is_written = false;
    if (!is_written) {
        failed(app, path);
        if (fd >= 0)
            unlink(beside.ptr);
    }
    wh_buf_deinit(&beside);
    return is_written;
}

/* The name of the context in use; NULL when none is. */
static const char *current(struct app *app)
{
    const char *path = path_of(app, "/", "current");
    struct wh_slice text;
    if (!path || access(path, R_OK) != 0 || app_read_file(app, path, NAME_BYTES_MAX + 1, &text))
        return NULL;
    char *name = (char *)text.ptr;
    name[strcspn(name, "\n")] = '\0';
    return is_name(name) ? name : NULL;
}

/* ---- rows ---- */

static const struct cli_option *row_of(struct wh_slice name)
{
    for (size_t i = 0; i < cli_connection_options.count; i++)
        if (wh_slice_equal_str(name, cli_connection_options.rows[i].name))
            return &cli_connection_options.rows[i];
    return NULL;
}

static uint32_t row_bit(const char *name)
{
    const struct cli_option *row = row_of(wh_slice_from_str(name));
    WH_ASSERT(row != NULL);
    return UINT32_C(1) << (row - cli_connection_options.rows);
}

static bool is_given(const struct settings *settings, size_t row)
{
    return settings->connection_given & (UINT32_C(1) << row);
}

static void write_value(struct wh_buf *out, const struct cli_option *option, const void *at)
{
    const struct cli_list *list = at;
    switch (option->type) {
    case CLI_FLAG:
        wh_buf_append_str(out, "true");
        break;
    case CLI_LIST:
        for (size_t i = 0; i < list->count; i++) {
            wh_buf_append_char(out, i > 0 ? ',' : '[');
            wh_json_write_string(out, wh_slice_from_str(list->items[i]));
        }
        wh_buf_append_char(out, ']');
        break;
    case CLI_DURATION:
        wh_buf_append_char(out, '"');
        wh_duration_write(*(const uint64_t *)at, out);
        wh_buf_append_char(out, '"');
        break;
    case CLI_CHOICE:
        wh_json_write_string(out, wh_slice_from_str(option->choices[*(const unsigned *)at]));
        break;
    default: /* the others do not occur among the options of the connection */
        wh_json_write_string(out, wh_slice_from_str(*(const char *const *)at));
    }
}

static void write_context(const struct settings *settings, bool with_secrets, struct wh_buf *out)
{
    wh_buf_append_char(out, '{');
    for (size_t i = 0; i < cli_connection_options.count; i++) {
        const struct cli_option *option = &cli_connection_options.rows[i];
        if (!is_given(settings, i) || option->offset == offsetof(struct settings, context))
            continue;
        if (out->len > 1)
            wh_buf_append_char(out, ',');
        wh_json_write_string(out, wh_slice_from_str(option->name));
        wh_buf_append_char(out, ':');
        if ((option->traits & CLI_SECRET) && !with_secrets)
            wh_buf_append_str(out, "\"" WH_OPTION_MASK "\"");
        else
            write_value(out, option, (const char *)settings + option->offset);
    }
    wh_buf_append_char(out, '}');
}

/* ---- reading ---- */

static enum wh_err set_text(struct app *app,
                            const struct cli_option *option,
                            struct wh_slice text,
                            struct settings *settings)
{
    struct wh_buf problem = {0};
    struct wh_slice kept = wh_arena_copy(&app->arena, text);
    enum wh_err err = kept.ptr ? cli_option_set(option, kept.ptr, settings, &problem) : WH_ENOMEM;
    wh_buf_deinit(&problem);
    return err;
}

static enum wh_err read_member(struct app *app,
                               const struct cli_option *option,
                               struct wh_json_reader *reader,
                               struct settings *settings)
{
    struct wh_slice text;
    bool is_set;
    enum wh_err err;
    if (option->type == CLI_FLAG) {
        err = wh_json_read_bool(reader, &is_set);
        return err || !is_set ? err : cli_option_set(option, NULL, settings, NULL);
    }
    if (option->type != CLI_LIST) {
        err = wh_json_read_string(reader, &app->arena, &text);
        return err ? err : set_text(app, option, text, settings);
    }
    err = wh_json_enter(reader, WH_JSON_ARRAY);
    while (!err && (err = wh_json_next_item(reader)) == WH_OK) {
        err = wh_json_read_string(reader, &app->arena, &text);
        if (!err)
            err = set_text(app, option, text, settings);
    }
    return err == WH_EEND ? WH_OK : err;
}

static enum wh_err parse(struct app *app, struct wh_slice json, struct settings *settings)
{
    struct wh_json_reader reader;
    struct wh_slice key;
    wh_json_reader_init(&reader, json);
    enum wh_err err = wh_json_enter(&reader, WH_JSON_OBJECT);
    while (!err && (err = wh_json_next_member(&reader, &app->arena, &key)) == WH_OK) {
        const struct cli_option *option = row_of(key);
        /* One of a newer wh: what it says is not for this one. */
        err = option ? read_member(app, option, &reader, settings) : wh_json_skip(&reader, NULL);
    }
    return err == WH_EEND ? wh_json_finish(&reader) : err;
}

static enum wh_err load(struct app *app, const char *name, struct settings *settings)
{
    struct wh_slice json;
    struct stat about;
    const char *path = is_name(name) ? file_of(app, name) : NULL;
    if (!path || stat(path, &about) != 0) {
        app_complain(app, CLI_USAGE, "there is no context \"%s\" (wh context list)", name);
        return WH_EINVAL;
    }
    if ((about.st_mode & (S_IRWXG | S_IRWXO)) != 0 && !app->out.quiet)
        output_note(&app->out, OUTPUT_NOTE, '!', "%s: others can read it (chmod 600)", path);
    if (app_read_file(app, path, CONTEXT_BYTES_MAX, &json))
        return WH_EINVAL;
    if (parse(app, json, settings)) {
        app_complain(app, CLI_ERROR, "%s: is no context as wh writes it", path);
        return WH_EINVAL;
    }
    return WH_OK;
}

/* ---- merging ---- */

/* Rows of `from` that are not given in `settings`; a token of either kind shuts the others out. */
static void fill(struct settings *settings, const struct settings *from)
{
    uint32_t taken = settings->connection_given;
    if (taken & TOKEN_ROWS)
        taken |= TOKEN_ROWS;
    for (size_t i = 0; i < cli_connection_options.count; i++) {
        static const size_t sizes[] = {
            [CLI_FLAG] = sizeof(bool),         [CLI_COUNT] = sizeof(unsigned),
            [CLI_TEXT] = sizeof(char *),       [CLI_LIST] = sizeof(struct cli_list),
            [CLI_DURATION] = sizeof(uint64_t), [CLI_SIZE] = sizeof(uint64_t),
            [CLI_UNSIGNED] = sizeof(uint64_t), [CLI_SIGNED] = sizeof(int64_t),
            [CLI_RATE] = sizeof(double),       [CLI_CHOICE] = sizeof(unsigned),
        };
        const struct cli_option *option = &cli_connection_options.rows[i];
        if (!is_given(from, i) || (taken & (UINT32_C(1) << i)))
            continue;
        memcpy((char *)settings + option->offset, (const char *)from + option->offset,
               sizes[option->type]);
        settings->connection_given |= UINT32_C(1) << i;
    }
}

static void read_environment(struct settings *from)
{
    const char *url = getenv("WIREHUB_URL"), *token = getenv("WIREHUB_TOKEN");
    if (url && *url) {
        from->url = url;
        from->connection_given |= row_bit("url");
    }
    if (token && *token) {
        from->token = token;
        from->connection_given |= row_bit("token");
    }
}

enum wh_err context_apply(struct app *app)
{
    struct settings environment = {0}, stored = {0};
    const char *name = app->settings.context;
    if (!name) {
        read_environment(&environment);
        name = current(app);
    }
    if (name && load(app, name, &stored))
        return WH_EINVAL;
    fill(&app->settings, &environment);
    fill(&app->settings, &stored);
    return WH_OK;
}

/* ---- the command ---- */

static int use(struct app *app, const char *name)
{
    const char *path = path_of(app, "/", "current");
    struct wh_buf text = {0};
    if (!path)
        return failed(app, path);
    wh_buf_printf(&text, "%s\n", name);
    int status = replace_file(app, path, wh_buf_slice(&text)) ? CLI_OK : CLI_ERROR;
    wh_buf_deinit(&text);
    return status;
}

static int add(struct app *app, const char *name)
{
    const char *path = file_of(app, name);
    struct wh_buf json = {0};
    if (!path)
        return failed(app, path);
    if ((app->settings.connection_given & ~row_bit("context")) == 0)
        return app_usage(app, "which options? For example: wh context add %s -u wss://...", name);
    write_context(&app->settings, true, &json);
    wh_buf_append_char(&json, '\n');
    int status = replace_file(app, path, wh_buf_slice(&json)) ? CLI_OK : CLI_ERROR;
    wh_buf_deinit(&json);
    if (status == CLI_OK && !current(app))
        status = use(app, name);
    return status;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static size_t read_names(struct app *app, const char **names)
{
    const char *path = path_of(app, "/contexts", "");
    DIR *directory = path ? opendir(path) : NULL;
    struct dirent *entry;
    size_t count = 0;
    while (directory && count < NAMES_MAX && (entry = readdir(directory)) != NULL)
        if (is_name(entry->d_name))
            names[count++] = wh_arena_copy(&app->arena, wh_slice_from_str(entry->d_name)).ptr;
    if (directory)
        closedir(directory);
    qsort(names, count, sizeof(names[0]), by_name);
    return count;
}

static int list(struct app *app)
{
    const char *names[NAMES_MAX];
    const char *used = current(app);
    size_t count = read_names(app, names);
    for (size_t i = 0; i < count; i++) {
        struct settings stored = {0};
        bool is_used = used && strcmp(used, names[i]) == 0;
        if (load(app, names[i], &stored))
            continue;
        if (app->out.json) {
            struct wh_buf *line = output_object(&app->out, "context");
            output_text(line, "name", names[i]);
            output_bool(line, "current", is_used);
            output_text(line, "url", stored.url);
            output_object_end(&app->out, OUTPUT_DATA);
        } else {
            printf("%c %-20s %s\n", is_used ? '*' : ' ', names[i], stored.url ? stored.url : "");
        }
    }
    return CLI_OK;
}

static int show(struct app *app, const char *name)
{
    struct settings stored = {0};
    struct wh_buf json = {0};
    if (!name && !(name = current(app)))
        return app_complain(app, CLI_ERROR, "no context is in use");
    if (load(app, name, &stored))
        return CLI_USAGE;
    write_context(&stored, false, &json);
    if (app->out.json) {
        struct wh_buf *line = output_object(&app->out, "context");
        output_text(line, "name", name);
        wh_buf_append_str(line, ",\"options\":");
        wh_buf_append_slice(line, wh_buf_slice(&json));
        output_object_end(&app->out, OUTPUT_DATA);
    } else {
        struct wh_buf *line = output_line(&app->out, OUTPUT_DATA, 0);
        wh_buf_printf(line, "%s ", name);
        output_pretty(line, wh_buf_slice(&json));
        output_line_end(&app->out, OUTPUT_DATA);
    }
    wh_buf_deinit(&json);
    return CLI_OK;
}

static int rm(struct app *app, const char *name)
{
    const char *used = current(app), *path = file_of(app, name);
    const char *pointer = path_of(app, "/", "current");
    if (!path || unlink(path) != 0)
        return failed(app, path);
    if (used && strcmp(used, name) == 0 && unlink(pointer) != 0)
        return failed(app, pointer);
    return CLI_OK;
}

int run_context(struct app *app, int argc, char **argv)
{
    const char *verb = argv[1], *name = argc > 1 ? argv[2] : NULL;
    struct settings stored = {0};
    if (strcmp(verb, "list") == 0)
        return list(app);
    if (name && !is_name(name))
        return app_usage(app, "\"%s\" is no name: letters, digits, - _ and ., at most %d", name,
                         NAME_BYTES_MAX);
    if (strcmp(verb, "show") == 0)
        return show(app, name);
    if (!name)
        return app_usage(app, "context %s needs a NAME", verb);
    if (strcmp(verb, "add") == 0)
        return add(app, name);
    if (strcmp(verb, "rm") == 0)
        return rm(app, name);
    if (strcmp(verb, "use") == 0)
        return load(app, name, &stored) ? CLI_USAGE : use(app, name);
    return app_usage(app, "context add, list, use, show or rm; not \"%s\"", verb);
}
