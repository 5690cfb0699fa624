/*
 * The hub's configuration out of its table: common/config reads, one arena
 * holds the config and everything in it.
 */
#include "hub/config_internal.h"

/* Flags with a name of their own, for what is typed most. */
static const struct wh_config_flag short_flags[] = {
    {"port", "http_server.port"},
    {"address", "http_server.address"},
    {"log-level", "log.level"},
    {NULL, NULL},
};

const struct wh_config_program config_program = {
    .table = &config_table,
    .name = "wirehub",
    .env_prefix = CONFIG_ENV_PREFIX,
    .short_flags = short_flags,
    .is_foreign_name = config_name_is_foreign,
    .is_foreign_variable = config_variable_is_foreign,
    .foreign_text = "known to Centrifugo, not supported here",
    .strict_help = "options that Centrifugo knows and this hub does not are errors",
    .check_rules = config_check_rules,
    .write_reference = config_write_reference,
    .write_example = config_write_example,
};

int config_check_main(int argc, char **argv)
{
    return wh_config_check_main(&config_program, argc, argv);
}

int config_print_main(int argc, char **argv)
{
    return wh_config_print_main(&config_program, argc, argv);
}

int config_generate_main(int argc, char **argv)
{
    return wh_config_generate_main(&config_program, argc, argv);
}

void config_free(struct config *config)
{
    if (!config)
        return;
    struct wh_option_set set = {.arena = config->arena};
    wh_config_unload(&set);
}

enum wh_err config_load_set(const struct wh_config_source *source,
                            struct wh_option_set *out_set,
                            size_t *out_warnings,
                            struct wh_buf *out_problems)
{
    enum wh_err err = wh_config_load(&config_program, source, out_set, out_warnings, out_problems);

    if (err == WH_OK)
        ((struct config *)out_set->target)->arena = out_set->arena;
    return err;
}

enum wh_err config_load(const struct wh_config_source *source,
                        struct config **out_config,
                        struct wh_buf *out_problems)
{
    struct wh_option_set set;
    size_t warnings;
    enum wh_err err = config_load_set(source, &set, &warnings, out_problems);

    if (err == WH_OK)
        *out_config = set.target;
    return err;
}

void config_diff(const struct config *old_config,
                 const struct config *new_config,
                 struct wh_buf *out_reloadable,
                 struct wh_buf *out_restart)
{
    for (size_t i = 0; i < config_table.count; i++) {
        const struct wh_option *option = &config_table.options[i];
        bool is_reloadable = option->flags & WH_OPTION_RELOADABLE;
        struct wh_buf *out = is_reloadable ? out_reloadable : out_restart;
        if (wh_option_equal(option, old_config, new_config))
            continue;
        wh_buf_append_str(out, out->len > 0 ? "," : "");
        wh_buf_append_str(out, option->name);
    }
}
