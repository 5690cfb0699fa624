/*
 * The table for people: reference pages and --help.
 */
#include "common/base/option_internal.h"

#include <string.h>

static const char *type_name(const struct wh_option *option)
{
    static const char *const names[] = {
        [WH_OPTION_BOOL] = "boolean",      [WH_OPTION_INTEGER] = "number",
        [WH_OPTION_DURATION] = "duration", [WH_OPTION_SIZE] = "size",
        [WH_OPTION_STRING] = "text",       [WH_OPTION_STRINGS] = "list of texts",
        [WH_OPTION_ENUM] = "choice",       [WH_OPTION_OBJECTS] = "list of objects"};

    return names[option->type];
}

static void write_choices(const struct wh_option *option,
                          const char *quote,
                          const char *separator,
                          struct wh_buf *out)
{
    for (unsigned i = 0; option->choices[i]; i++) {
        const char *name = option->choices[i][0] ? option->choices[i] : "\"\"";
        wh_buf_printf(out, "%s%s%s%s", i ? separator : "", quote, name, quote);
    }
}

static void write_default(const struct wh_option *option, struct wh_buf *out)
{
    const char *text = option->default_text;

    if (text)
        wh_buf_append_str(out, *text ? text : "\"\"");
    else if (option->type == WH_OPTION_BOOL)
        wh_buf_append_str(out, "false");
    else if (option->type == WH_OPTION_ENUM)
        wh_buf_append_str(out, option->choices[0][0] ? option->choices[0] : "\"\"");
    else if (option->type == WH_OPTION_STRINGS || option->type == WH_OPTION_OBJECTS)
        wh_buf_append_str(out, "[]");
    else if (option->type == WH_OPTION_STRING)
        wh_buf_append_str(out, "\"\"");
    else
        wh_buf_append_char(out, '0');
}

static bool is_in_group(const struct wh_option *option, const char *group)
{
    const char *dot = strrchr(option->name, '.');
    size_t len = dot ? (size_t)(dot - option->name) : 0;

    return len == strlen(group) && memcmp(option->name, group, len) == 0;
}

static void write_type(const struct wh_option *option, struct wh_buf *out)
{
    if (option->type == WH_OPTION_ENUM)
        write_choices(option, "`", ", ", out);
    else
        wh_buf_append_str(out, type_name(option));
    if (option->flags & WH_OPTION_SECRET)
        wh_buf_append_str(out, ", secret");
}

static void write_range(const struct wh_option *option, struct wh_buf *out)
{
    bool is_number = option->type == WH_OPTION_INTEGER || option->type == WH_OPTION_DURATION ||
                     option->type == WH_OPTION_SIZE;

    if (!is_number || (option->min == 0 && option->max == 0))
        return;
    if (option->max == (uint64_t)INT64_MAX)
        return;
    wh_buf_append_str(out, option->max ? " From " : " At least ");
    wh_option_write_number(option, option->min, out);
    if (option->max) {
        wh_buf_append_str(out, " to ");
        wh_option_write_number(option, option->max, out);
    }
    wh_buf_append_char(out, '.');
}

void wh_option_write_markdown(const struct wh_option_table *table,
                              const char *group,
                              struct wh_buf *out)
{
    wh_buf_append_str(out,
                      "| option | type | default | reload | meaning |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < table->count; i++) {
        const struct wh_option *option = &table->options[i];
        const char *dot = strrchr(option->name, '.');
        if (!is_in_group(option, group))
            continue;
        wh_buf_printf(out, "| `%s` | ", dot ? dot + 1 : option->name);
        write_type(option, out);
        wh_buf_append_str(out, " | `");
        write_default(option, out);
        wh_buf_printf(out, "` | %s | %s", option->flags & WH_OPTION_RELOADABLE ? "yes" : "restart",
                      option->help);
        write_range(option, out);
        if (option->flags & WH_OPTION_NO_EFFECT_YET)
            wh_buf_append_str(out, " *No effect in this version.*");
        wh_buf_append_str(out, " |\n");
    }
}

void wh_option_write_help(const struct wh_option_table *table, struct wh_buf *out)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct wh_option *option = &table->options[i];
        bool is_secret = option->flags & WH_OPTION_SECRET;

        if (option->flags & WH_OPTION_NO_EFFECT_YET)
            continue;
        wh_buf_printf(out, "  --%s%s=", option->name, is_secret ? "_file" : "");
        if (option->type == WH_OPTION_ENUM)
            write_choices(option, "", "|", out);
        else
            wh_buf_append_str(out, is_secret ? "path" : type_name(option));
        wh_buf_printf(out, "\n        %s", option->help);
        if (!is_secret) {
            wh_buf_append_str(out, " Default: ");
            write_default(option, out);
            wh_buf_append_char(out, '.');
        }
        wh_buf_append_char(out, '\n');
    }
}
