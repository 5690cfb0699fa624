/*
 * Values and whole sets back as text: what print-config shows, in a form that
 * the program reads again (secrets apart, which are masked and refused as
 * input), and the comparison that a reload needs.
 */
#include "common/base/option_internal.h"

#include <string.h>

static struct wh_option_list load_list(const struct wh_option *option, const void *target)
{
    struct wh_option_list list;

    wh_option_load(option, target, &list, sizeof(list));
    return list;
}

static const void *item_at(const struct wh_option *option, struct wh_option_list list, size_t index)
{
    return (const char *)list.items + index * option->objects->size;
}

static void write_string(const struct wh_option *option, const void *target, struct wh_buf *out)
{
    const char *text;

    wh_option_load(option, target, &text, sizeof(text));
    if ((option->flags & WH_OPTION_SECRET) && text && *text)
        wh_buf_append_str(out, "\"" WH_OPTION_MASK "\"");
    else
        wh_option_write_quoted(wh_slice_from_str(text ? text : ""), 0, out);
}

static void write_strings(const struct wh_option *option, const void *target, struct wh_buf *out)
{
    struct wh_option_list list = load_list(option, target);
    const char *const *items = list.items;

    wh_buf_append_char(out, '[');
    for (size_t i = 0; i < list.count; i++) {
        wh_buf_append_str(out, i ? ", " : "");
        wh_option_write_quoted(wh_slice_from_str(items[i]), 0, out);
    }
    wh_buf_append_char(out, ']');
}

/* A zeroed item with the table's defaults, to compare with; NULL without memory. */
static void *default_item(const struct wh_option_table *table, struct wh_arena *arena)
{
    struct wh_option_set set;
    void *item = wh_arena_alloc(arena, table->size);

    return item && wh_option_set_init(&set, table, item, arena) == WH_OK ? item : NULL;
}

/* `{"name": "chat", "history_size": 10}`: what differs from the defaults. */
static void write_objects(const struct wh_option *option, const void *target, struct wh_buf *out)
{
    struct wh_option_list list = load_list(option, target);
    struct wh_arena arena;

    wh_arena_init(&arena, 0);
    const void *plain = default_item(option->objects, &arena);
    wh_buf_append_char(out, '[');
    for (size_t i = 0; i < list.count && plain; i++) {
        const void *item = item_at(option, list, i);
        const char *separator = "";
        wh_buf_append_str(out, i ? ", {" : "{");
        for (size_t j = 0; j < option->objects->count; j++) {
            const struct wh_option *member = &option->objects->options[j];
            if (wh_option_equal(member, item, plain))
                continue;
            wh_buf_printf(out, "%s\"%s\": ", separator, member->name);
            wh_option_write_value(member, item, out);
            separator = ", ";
        }
        wh_buf_append_char(out, '}');
    }
    wh_buf_append_char(out, ']');
    wh_arena_deinit(&arena);
}

void wh_option_write_value(const struct wh_option *option, const void *target, struct wh_buf *out)
{
    uint64_t number;
    unsigned choice;
    bool truth;

    switch (option->type) {
    case WH_OPTION_BOOL:
        wh_option_load(option, target, &truth, sizeof(truth));
        wh_buf_append_str(out, truth ? "true" : "false");
        break;
    case WH_OPTION_INTEGER:
    case WH_OPTION_DURATION:
    case WH_OPTION_SIZE:
        wh_option_load(option, target, &number, sizeof(number));
        wh_option_write_number(option, number, out);
        break;
    case WH_OPTION_ENUM:
        wh_option_load(option, target, &choice, sizeof(choice));
        wh_buf_append_str(out, option->choices[choice][0] ? option->choices[choice] : "\"\"");
        break;
    case WH_OPTION_STRING:
        write_string(option, target, out);
        break;
    case WH_OPTION_STRINGS:
        write_strings(option, target, out);
        break;
    case WH_OPTION_OBJECTS:
        write_objects(option, target, out);
        break;
    }
}

static bool strings_equal(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool lists_equal(const struct wh_option *option, const void *target_a, const void *target_b)
{
    struct wh_option_list a = load_list(option, target_a);
    struct wh_option_list b = load_list(option, target_b);

    if (a.count != b.count)
        return false;
    for (size_t i = 0; i < a.count; i++) {
        if (option->type == WH_OPTION_STRINGS) {
            if (strcmp(((char *const *)a.items)[i], ((char *const *)b.items)[i]) != 0)
                return false;
            continue;
        }
        for (size_t j = 0; j < option->objects->count; j++) {
            if (!wh_option_equal(&option->objects->options[j], item_at(option, a, i),
                                 item_at(option, b, i)))
                return false;
        }
    }
    return true;
}

bool wh_option_equal(const struct wh_option *option, const void *target_a, const void *target_b)
{
    static const size_t sizes[] = {[WH_OPTION_BOOL] = sizeof(bool),
                                   [WH_OPTION_INTEGER] = sizeof(uint64_t),
                                   [WH_OPTION_DURATION] = sizeof(uint64_t),
                                   [WH_OPTION_SIZE] = sizeof(uint64_t),
                                   [WH_OPTION_ENUM] = sizeof(unsigned)};
    const char *a, *b;

    if (option->type == WH_OPTION_STRINGS || option->type == WH_OPTION_OBJECTS)
        return lists_equal(option, target_a, target_b);
    if (option->type == WH_OPTION_STRING) {
        wh_option_load(option, target_a, &a, sizeof(a));
        wh_option_load(option, target_b, &b, sizeof(b));
        return strings_equal(a, b);
    }
    return memcmp((const char *)target_a + option->offset, (const char *)target_b + option->offset,
                  sizes[option->type]) == 0;
}

static void write_origin(const struct wh_option *option,
                         struct wh_option_place place,
                         const struct wh_option_print *print,
                         struct wh_buf *out)
{
    if (!print->with_origins)
        return;
    wh_buf_append_str(out, "  # ");
    switch (place.origin) {
    case WH_OPTION_FROM_DEFAULT:
        wh_buf_append_str(out, "default");
        break;
    case WH_OPTION_FROM_FILE:
        wh_buf_printf(out, "%s:%u", print->file_name ? print->file_name : "file", place.line);
        break;
    case WH_OPTION_FROM_ENV:
        wh_option_write_env_name(print->env_prefix, option->name, out);
        break;
    case WH_OPTION_FROM_FLAG:
        wh_buf_printf(out, "--%s", option->name);
        break;
    }
}

/* Open the groups of `name` that `previous` was not in; returns the depth of the leaf. */
static unsigned write_groups(const char *previous, const char *name, struct wh_buf *out)
{
    unsigned depth = 0;
    bool is_same = true;

    for (const char *dot = strchr(name, '.'); dot; dot = strchr(dot + 1, '.')) {
        size_t len = (size_t)(dot - name);
        is_same = is_same && strncmp(previous, name, len + 1) == 0;
        if (!is_same) {
            const char *start = dot;
            while (start > name && start[-1] != '.')
                start--;
            wh_buf_printf(out, "%s%*s%.*s:\n", depth || out->len == 0 ? "" : "\n", (int)depth * 2,
                          "", (int)(dot - start), start);
        }
        depth++;
    }
    return depth;
}

/* An option without a value is shown, but commented out: for some, "" is not the same as unset. */
static bool is_unset(const struct wh_option *option, const void *target)
{
    const char *text;

    if (option->type != WH_OPTION_STRING)
        return false;
    wh_option_load(option, target, &text, sizeof(text));
    return text == NULL;
}

static const char *leaf_name(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot ? dot + 1 : name;
}

/* A list of objects, one member a line, each only where it is not the default. */
static void write_yaml_objects(const struct wh_option_set *set,
                               const struct wh_option *option,
                               int indent,
                               struct wh_buf *out)
{
    struct wh_option_list list = load_list(option, set->target);
    struct wh_arena arena;

    wh_arena_init(&arena, 0);
    const void *plain = default_item(option->objects, &arena);
    for (size_t i = 0; i < list.count && plain; i++) {
        const void *item = item_at(option, list, i);
        bool is_first = true;
        for (size_t j = 0; j < option->objects->count; j++) {
            const struct wh_option *member = &option->objects->options[j];
            if (wh_option_equal(member, item, plain))
                continue;
            wh_buf_printf(out, "%*s%s%s: ", indent, "", is_first ? "- " : "  ", member->name);
            wh_option_write_value(member, item, out);
            wh_buf_append_char(out, '\n');
            is_first = false;
        }
        if (is_first)
            wh_buf_printf(out, "%*s- {}\n", indent, "");
    }
    wh_arena_deinit(&arena);
}

void wh_option_write_yaml(const struct wh_option_set *set,
                          const struct wh_option_print *print,
                          struct wh_buf *out)
{
    const char *previous = "";

    for (size_t i = 0; i < set->table->count; i++) {
        const struct wh_option *option = &set->table->options[i];
        unsigned depth = write_groups(previous, option->name, out);
        bool is_block =
            option->type == WH_OPTION_OBJECTS && load_list(option, set->target).count > 0;
        previous = option->name;
        wh_buf_printf(out, "%*s%s%s:", (int)depth * 2, "",
                      is_unset(option, set->target) ? "# " : "", leaf_name(option->name));
        if (!is_block) {
            wh_buf_append_char(out, ' ');
            wh_option_write_value(option, set->target, out);
        }
        write_origin(option, set->states[i].place, print, out);
        wh_buf_append_char(out, '\n');
        if (is_block)
            write_yaml_objects(set, option, (int)depth * 2 + 2, out);
    }
}

static void write_shell_quoted(struct wh_slice text, struct wh_buf *out)
{
    wh_buf_append_char(out, '\'');
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\'')
            wh_buf_append_str(out, "'\\''");
        else
            wh_buf_append_char(out, text.ptr[i]);
    }
    wh_buf_append_char(out, '\'');
}

/* In the environment a string stands as it is; everything else as in the file. */
static void write_env_value(const struct wh_option *option, const void *target, struct wh_buf *out)
{
    struct wh_buf value = {0};
    const char *text = NULL;

    if (option->type == WH_OPTION_STRING) {
        wh_option_load(option, target, &text, sizeof(text));
        bool is_masked = (option->flags & WH_OPTION_SECRET) && text && *text;
        wh_buf_append_str(&value, is_masked ? WH_OPTION_MASK : text ? text : "");
    } else if (option->type != WH_OPTION_ENUM || option->choices[0][0]) {
        wh_option_write_value(option, target, &value);
    } else {
        unsigned choice;
        wh_option_load(option, target, &choice, sizeof(choice));
        wh_buf_append_str(&value, option->choices[choice]);
    }
    write_shell_quoted(wh_buf_slice(&value), out);
    wh_buf_deinit(&value);
}

void wh_option_write_env(const struct wh_option_set *set,
                         const struct wh_option_print *print,
                         struct wh_buf *out)
{
    for (size_t i = 0; i < set->table->count; i++) {
        const struct wh_option *option = &set->table->options[i];
        wh_buf_append_str(out, is_unset(option, set->target) ? "# " : "");
        wh_option_write_env_name(print->env_prefix, option->name, out);
        wh_buf_append_char(out, '=');
        write_env_value(option, set->target, out);
        write_origin(option, set->states[i].place, print, out);
        wh_buf_append_char(out, '\n');
    }
}
