/*
 * The environment and the flags.
 *
 * Both give names and texts; a text that begins with '[' is read as YAML where
 * the option is a list.  A secret in argv is refused: every user of the
 * machine can read it there.
 */
#include "common/config/loader.h"

#include <string.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static bool begins_list(struct wh_slice text)
{
    while (text.len > 0 && (text.ptr[0] == ' ' || text.ptr[0] == '\n'))
        text = wh_slice_from(text, 1);
    return text.len > 0 && text.ptr[0] == '[';
}

static void set_option(struct wh_config_loader *loader,
                       const struct wh_option *option,
                       struct wh_slice text,
                       enum wh_option_origin origin,
                       bool is_file)
{
    if (option->type == WH_OPTION_OBJECTS ||
        (option->type == WH_OPTION_STRINGS && begins_list(text))) {
        wh_config_read_list(loader, option, text, origin);
        return;
    }
    wh_config_set(loader, &(struct wh_config_value){.set = &loader->set,
                                                    .option = option,
                                                    .shown_name = option->name,
                                                    .text = text,
                                                    .place = {origin, 0, 0},
                                                    .is_file = is_file});
}

/* "WIREHUB_HTTP_SERVER_PROT" is near to "http_server_prot": compare in the environment's form. */
static void warn_unknown_variable(struct wh_config_loader *loader, struct wh_slice variable)
{
    const struct wh_config_program *program = loader->program;
    const struct wh_option_table *table = program->table;
    struct wh_option_place place = {WH_OPTION_FROM_ENV, 0, 0};
    const char *names[512];
    size_t count = 0;

    if (program->is_foreign_variable && program->is_foreign_variable(variable)) {
        wh_config_problem_foreign(loader, place, NULL);
        return;
    }
    for (size_t i = 0; i < table->count && count < COUNT_OF(names); i++) {
        struct wh_buf name = {0};
        wh_option_write_env_name(program->env_prefix, table->options[i].name, &name);
        names[count++] = wh_config_text(loader, "%s", wh_buf_cstr(&name));
        wh_buf_deinit(&name);
    }
    const char *nearest = wh_nearest_word(variable, names, count);
    if (nearest)
        wh_config_problem(loader, WH_CONFIG_WARNING, place, NULL, "unknown (did you mean %s?)",
                          nearest);
    else
        wh_config_problem(loader, WH_CONFIG_WARNING, place, NULL, "unknown variable");
}

void wh_config_read_environ(struct wh_config_loader *loader, char **environ)
{
    const struct wh_config_program *program = loader->program;
    struct wh_slice prefix = wh_slice_from_str(program->env_prefix);
    const char *config = wh_config_text(loader, "%sCONFIG", program->env_prefix);

    for (char **entry = environ; *entry; entry++) {
        const char *equals = strchr(*entry, '=');
        if (!equals || !wh_slice_starts_with(wh_slice_from_str(*entry), prefix))
            continue;
        struct wh_slice variable = wh_slice(*entry, (size_t)(equals - *entry));
        if (wh_slice_equal_str(variable, config))
            continue;
        bool is_file = false;
        const struct wh_option *option =
            wh_option_find_env(program->table, program->env_prefix, variable, &is_file);
        loader->own_name = wh_config_text(loader, "%.*s", WH_SLICE_ARGS(variable));
        if (option)
            set_option(loader, option, wh_slice_from_str(equals + 1), WH_OPTION_FROM_ENV, is_file);
        else
            warn_unknown_variable(loader, variable);
    }
    loader->own_name = NULL;
}

/* One argument taken apart; `value` is absent when it must be looked for behind. */
struct flag {
    struct wh_slice name; /* without its dashes */
    struct wh_slice value;
    bool is_long;
};

static bool flag_parse(const char *argument, struct flag *out)
{
    struct wh_slice text = wh_slice_from_str(argument);

    if (text.len < 2 || text.ptr[0] != '-')
        return false;
    out->is_long = text.ptr[1] == '-';
    text = wh_slice_from(text, out->is_long ? 2 : 1);
    const char *equals = memchr(text.ptr, '=', text.len);
    out->name = equals ? wh_slice(text.ptr, (size_t)(equals - text.ptr)) : text;
    out->value = equals ? wh_slice_from(text, out->name.len + 1) : WH_SLICE_ABSENT;
    return true;
}

enum flag_kind { FLAG_FOREIGN, FLAG_BARE, FLAG_WITH_VALUE };

static enum flag_kind match_own_flag(const char *argument, const char *own)
{
    size_t len = strlen(own);
    bool takes_value = len > 0 && own[len - 1] == '=';
    size_t name_len = takes_value ? len - 1 : len;

    if (strncmp(argument, own, name_len) != 0)
        return FLAG_FOREIGN;
    if (argument[name_len] == '\0')
        return takes_value ? FLAG_WITH_VALUE : FLAG_BARE;
    return takes_value && argument[name_len] == '=' ? FLAG_BARE : FLAG_FOREIGN;
}

/* FLAG_WITH_VALUE: the value is the next argument. */
static enum flag_kind own_flag_kind(const struct wh_config_source *source, const char *argument)
{
    static const char *const always[] = {"--config=", "-c=", "--strict", "--help", "-h", NULL};
    const char *const *lists[] = {always, source->own_flags};

    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        for (const char *const *own = lists[i]; own && *own; own++) {
            enum flag_kind kind = match_own_flag(argument, *own);
            if (kind != FLAG_FOREIGN)
                return kind;
        }
    }
    return FLAG_FOREIGN;
}

static const struct wh_option *find_flag(const struct wh_config_program *program,
                                         struct wh_slice name,
                                         bool *out_is_file)
{
    const struct wh_option *option = wh_option_find(program->table, name);
    const struct wh_config_flag *flag = program->short_flags;

    *out_is_file = false;
    for (; flag && flag->flag && !option; flag++) {
        if (wh_slice_equal_str(name, flag->flag))
            return wh_option_find(program->table, wh_slice_from_str(flag->option));
    }
    if (!option) {
        option = wh_option_find_secret_file(program->table, name);
        *out_is_file = option != NULL;
    }
    return option;
}

/* Names without a dot are short flags or the caller's own; those with one are options. */
static bool write_nearest_flag(const struct wh_config_program *program,
                               const struct wh_config_source *source,
                               struct wh_slice name,
                               struct wh_buf *out)
{
    const char *names[32] = {"config", "strict", "help"};
    size_t count = 3;
    const struct wh_config_flag *flag = program->short_flags;

    for (; flag && flag->flag && count < COUNT_OF(names); flag++)
        names[count++] = flag->flag;
    for (const char *const *own = source->own_flags; own && *own && count < COUNT_OF(names); own++)
        names[count++] = *own + strspn(*own, "-");
    const char *nearest = wh_nearest_word(name, names, count);
    if (nearest) {
        wh_buf_append(out, nearest, strcspn(nearest, "="));
        return true;
    }
    if (!wh_option_nearest(program->table, name, out))
        return false;
    return wh_option_find(program->table, wh_buf_slice(out)) != NULL;
}

static void refuse_flag(struct wh_config_loader *loader,
                        const struct wh_config_source *source,
                        struct wh_slice name)
{
    const struct wh_config_program *program = loader->program;
    struct wh_option_place place = {WH_OPTION_FROM_FLAG, 0, 0};
    struct wh_buf nearest = {0};

    if (program->is_foreign_name && program->is_foreign_name(name))
        wh_config_problem_foreign(loader, place, NULL);
    else if (write_nearest_flag(program, source, name, &nearest))
        wh_config_problem(loader, WH_CONFIG_ERROR, place, NULL, "unknown flag (did you mean --%s?)",
                          wh_buf_cstr(&nearest));
    else
        wh_config_problem(loader, WH_CONFIG_ERROR, place, NULL, "unknown flag");
    wh_buf_deinit(&nearest);
}

static void refuse_secret(struct wh_config_loader *loader, const struct wh_option *option)
{
    struct wh_option_place place = {WH_OPTION_FROM_FLAG, 0, 0};
    struct wh_buf variable = {0};

    wh_option_write_env_name(loader->program->env_prefix, option->name, &variable);
    wh_config_problem(loader, WH_CONFIG_ERROR, place, NULL,
                      "a secret on the command line can be read by every user of the machine; use "
                      "the variable %s or --%s_file=PATH",
                      wh_buf_cstr(&variable), option->name);
    wh_buf_deinit(&variable);
}

/* A boolean takes the argument behind only when it is one: `--client.insecure serve`. */
static bool takes_next(const struct wh_option *option, const char *next)
{
    if (!next || strncmp(next, "--", 2) == 0)
        return false;
    return option->type != WH_OPTION_BOOL || strcmp(next, "true") == 0 ||
           strcmp(next, "false") == 0;
}

/* Returns how many arguments were used. */
static int read_flag(struct wh_config_loader *loader,
                     const struct wh_config_source *source,
                     struct flag flag,
                     const char *next)
{
    struct wh_option_place place = {WH_OPTION_FROM_FLAG, 0, 0};
    bool is_file;
    const struct wh_option *option = find_flag(loader->program, flag.name, &is_file);
    bool is_next = option && !flag.value.ptr && takes_next(option, next);

    loader->own_name = wh_config_text(loader, "--%.*s", WH_SLICE_ARGS(flag.name));
    if (is_next)
        flag.value = wh_slice_from_str(next);
    if (!option)
        refuse_flag(loader, source, flag.name);
    else if ((option->flags & WH_OPTION_SECRET) && !is_file)
        refuse_secret(loader, option);
    else if (!flag.value.ptr && option->type != WH_OPTION_BOOL)
        wh_config_problem(loader, WH_CONFIG_ERROR, place, NULL, "needs a value");
    else
        set_option(loader, option, flag.value.ptr ? flag.value : WH_SLICE_LITERAL("true"),
                   WH_OPTION_FROM_FLAG, is_file);
    return is_next ? 2 : 1;
}

void wh_config_read_flags(struct wh_config_loader *loader, const struct wh_config_source *source)
{
    struct wh_option_place place = {WH_OPTION_FROM_FLAG, 0, 0};

    for (int i = 0; i < source->argc;) {
        const char *argument = source->argv[i];
        const char *next = i + 1 < source->argc ? source->argv[i + 1] : NULL;
        enum flag_kind kind = own_flag_kind(source, argument);
        struct flag flag;

        loader->own_name = argument;
        if (kind == FLAG_WITH_VALUE && !next)
            wh_config_problem(loader, WH_CONFIG_ERROR, place, NULL, "needs a value");
        if (kind != FLAG_FOREIGN) {
            i += kind == FLAG_WITH_VALUE ? 2 : 1;
        } else if (flag_parse(argument, &flag) && flag.is_long) {
            i += read_flag(loader, source, flag, next);
        } else {
            wh_config_problem(loader, WH_CONFIG_ERROR, place, NULL, "unexpected argument");
            i++;
        }
    }
    loader->own_name = NULL;
}

bool wh_config_has_flag(const struct wh_config_source *source, const char *flag)
{
    for (int i = 0; i < source->argc; i++) {
        if (strcmp(source->argv[i], flag) == 0)
            return true;
    }
    return false;
}

static const char *find_path_flag(const struct wh_config_source *source)
{
    static const char *const names[] = {"--config", "-c"};
    const char *path = NULL; /* the last one counts, as with every flag */

    for (int i = 0; i < source->argc; i++) {
        for (size_t j = 0; j < COUNT_OF(names); j++) {
            size_t len = strlen(names[j]);
            if (strncmp(source->argv[i], names[j], len) != 0)
                continue;
            if (source->argv[i][len] == '=')
                path = source->argv[i] + len + 1;
            else if (source->argv[i][len] == '\0' && i + 1 < source->argc)
                path = source->argv[i + 1];
        }
    }
    return path;
}

const char *wh_config_find_path(const struct wh_config_program *program,
                                const struct wh_config_source *source)
{
    static const struct wh_slice name = {"CONFIG=", 7};
    struct wh_slice prefix = wh_slice_from_str(program->env_prefix);
    const char *path = source->path ? source->path : find_path_flag(source);

    for (char **entry = source->environ; entry && *entry && !path; entry++) {
        struct wh_slice rest = wh_slice_from_str(*entry);
        if (!wh_slice_starts_with(rest, prefix))
            continue;
        rest = wh_slice_from(rest, prefix.len);
        if (wh_slice_starts_with(rest, name) && rest.len > name.len)
            path = rest.ptr + name.len;
    }
    return path;
}
