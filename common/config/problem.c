/*
 * Problems: collected while the sources are read in whatever order, written in
 * the order in which a person mends a file.
 */
#include "common/config/loader.h"

#include <stdarg.h>
#include <stdlib.h>

static const char *keep(struct wh_config_loader *loader, struct wh_buf *text)
{
    struct wh_slice copy = WH_SLICE_ABSENT;

    if (wh_buf_error(text) == WH_OK)
        copy = wh_arena_copy(loader->arena, wh_slice(text->ptr ? text->ptr : "", text->len));
    wh_buf_deinit(text);
    if (!copy.ptr)
        loader->is_out_of_memory = true;
    return copy.ptr ? copy.ptr : "";
}

const char *wh_config_text(struct wh_config_loader *loader, const char *format, ...)
{
    struct wh_buf text = {0};
    va_list args;

    va_start(args, format);
    wh_buf_vprintf(&text, format, args);
    va_end(args);
    return keep(loader, &text);
}

/* The variable or flag that set `name`; of a namespace's option the whole list was set. */
static void write_own_name(const struct wh_config_loader *loader,
                           enum wh_option_origin origin,
                           const char *name,
                           struct wh_buf *out)
{
    if (loader->own_name) {
        wh_buf_append_str(out, loader->own_name);
        return;
    }
    struct wh_buf option = {0};
    wh_buf_append(&option, name, strcspn(name, "["));
    if (origin == WH_OPTION_FROM_ENV)
        wh_option_write_env_name(loader->program->env_prefix, wh_buf_cstr(&option), out);
    else
        wh_buf_printf(out, "--%s", wh_buf_cstr(&option));
    wh_buf_deinit(&option);
}

static void write_place(const struct wh_config_loader *loader,
                        struct wh_option_place place,
                        const char *name,
                        struct wh_buf *out)
{
    bool is_own = place.origin == WH_OPTION_FROM_ENV || place.origin == WH_OPTION_FROM_FLAG;

    if (is_own) {
        write_own_name(loader, place.origin, name ? name : "", out);
        wh_buf_append_char(out, ':');
    } else if (loader->file_name) {
        wh_buf_printf(out, "%s:", loader->file_name);
    }
    if (place.line > 0)
        wh_buf_printf(out, "%u:%u:", place.line, place.column);
    if (out->len > 0)
        wh_buf_append_char(out, ' ');
    /* A plain variable or flag names its option already. */
    if (name && (!is_own || place.line > 0 || strchr(name, '[')))
        wh_buf_printf(out, "%s: ", name);
}

void wh_config_problem(struct wh_config_loader *loader,
                       enum wh_config_severity severity,
                       struct wh_option_place place,
                       const char *name,
                       const char *format,
                       ...)
{
    struct wh_buf text = {0};
    va_list args;

    if (severity == WH_CONFIG_ERROR)
        loader->error_count++;
    if (loader->problem_count == WH_CONFIG_PROBLEMS_MAX) {
        loader->problems_dropped++;
        return;
    }
    write_place(loader, place, name, &text);
    va_start(args, format);
    wh_buf_vprintf(&text, format, args);
    va_end(args);
    /* A problem is one line whatever the input was. */
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7F)
            text.ptr[i] = '?';
    }
    loader->problems[loader->problem_count++] =
        (struct wh_config_problem){place, severity == WH_CONFIG_WARNING, keep(loader, &text)};
}

void wh_config_problem_foreign(struct wh_config_loader *loader,
                               struct wh_option_place place,
                               const char *name)
{
    wh_config_problem(loader, loader->strict ? WH_CONFIG_ERROR : WH_CONFIG_WARNING, place, name,
                      "%s", loader->program->foreign_text);
}

static bool comes_before(const struct wh_config_problem *a, const struct wh_config_problem *b)
{
    if (a->place.origin != b->place.origin)
        return a->place.origin < b->place.origin;
    if (a->place.line != b->place.line)
        return a->place.line < b->place.line;
    return a->place.column < b->place.column;
}

void wh_config_problems_write(struct wh_config_loader *loader, struct wh_buf *out)
{
    struct wh_config_problem *problems = loader->problems;

    /* Insertion sort: stable, and the list is short and nearly in order. */
    for (size_t i = 1; i < loader->problem_count; i++) {
        struct wh_config_problem problem = problems[i];
        size_t j = i;
        for (; j > 0 && comes_before(&problem, &problems[j - 1]); j--)
            problems[j] = problems[j - 1];
        problems[j] = problem;
    }
    for (size_t i = 0; i < loader->problem_count; i++)
        wh_buf_printf(out, "%s%s\n", problems[i].is_warning ? "warning: " : "", problems[i].text);
    if (loader->problems_dropped > 0)
        wh_buf_printf(out, "and %zu more\n", loader->problems_dropped);
}
