/*
 * Texts about the options: the reference (docs/CONFIGURATION.md), the flags in
 * --help, and the example that gen-config writes.
 */
#include "hub/config_internal.h"

#include "common/base/random.h"

#include <string.h>

#define SECRET_LETTERS 64

static const char reference_head[] =
    "# Configuration\n"
    "\n"
    "This page is generated from the hub's option table; `wirehub print-config --markdown\n"
    "> docs/CONFIGURATION.md` writes it anew.\n"
    "\n"
    "The hub reads, from the weakest to the strongest:\n"
    "\n"
    "1. its defaults;\n"
    "2. the file named by `--config FILE`, `-c FILE` or `WIREHUB_CONFIG`: YAML, or JSON, which is\n"
    "   a part of YAML;\n"
    "3. variables: `client.ping_interval` is `WIREHUB_CLIENT_PING_INTERVAL`, and\n"
    "   `WIREHUB_CHANNEL_NAMESPACES` holds the list of namespaces as YAML or JSON text;\n"
    "4. flags: `--client.ping_interval=25s`; `--port`, `--address` and `--log-level` are short "
    "for\n"
    "   `--http_server.port`, `--http_server.address` and `--log.level`.\n"
    "\n"
    "`wirehub check-config -c FILE` reports everything that is wrong, `wirehub print-config\n"
    "--origin` shows what is in effect and where it came from, and `wirehub gen-config` writes a\n"
    "file to begin with. Where Centrifugo v6 has an option of the same meaning, the name here is\n"
    "the same; options that it knows and this hub does not are warnings, or errors under\n"
    "`--strict`. Any other unknown name is an error.\n"
    "\n"
    "- **duration**: `300ms`, `25s`, `5m`, `720h`, `1h30m` or `0`.\n"
    "- **size**: bytes, or with a unit: `65536`, `64KiB`, `1MiB`, `1GiB`.\n"
    "- **list of texts**: a YAML list; in variables and flags also texts separated by commas.\n"
    "- **secret**: never printed and never taken from a flag. `NAME_file` gives the path of a "
    "file\n"
    "  that holds it (one line end at the end is dropped), in the file, as a variable\n"
    "  (`WIREHUB_HTTP_API_KEY_FILE`) and as a flag (`--http_api.key_file=PATH`).\n"
    "- **reload**: `yes` is taken over by a running hub on SIGHUP; everything else at its next\n"
    "  start.\n";

/* The group of `option`, everything before its last dot. */
static struct wh_slice group_of(const struct wh_option *option)
{
    const char *dot = strrchr(option->name, '.');

    return wh_slice(option->name, dot ? (size_t)(dot - option->name) : 0);
}

/* Options of a group may stand apart where groups nest; the section comes at the first. */
static bool is_first_of_group(size_t index)
{
    struct wh_slice group = group_of(&config_table.options[index]);

    for (size_t i = 0; i < index; i++) {
        if (wh_slice_equal(group_of(&config_table.options[i]), group))
            return false;
    }
    return true;
}

static void write_section(struct wh_slice group, struct wh_buf *out)
{
    struct wh_buf name = {0};

    wh_buf_append_slice(&name, group);
    if (group.len == 0)
        wh_buf_append_str(out, "\n## Without a group\n\n");
    else
        wh_buf_printf(out, "\n## `%s`\n\n", wh_buf_cstr(&name));
    if (wh_slice_equal_str(group, "channel.without_namespace"))
        wh_buf_append_str(out,
                          "The options of `channel.namespaces[]` but `name`, for channels whose "
                          "name has no namespace.\n");
    else
        wh_option_write_markdown(&config_table, wh_buf_cstr(&name), out);
    wh_buf_deinit(&name);
}

/* What an item of a list has, and the items of lists in it. */
static void write_items(const char *name, const struct wh_option_table *table, struct wh_buf *out)
{
    wh_buf_printf(out, "\n## `%s[]`\n\n", name);
    wh_option_write_markdown(table, "", out);
    for (size_t i = 0; i < table->count; i++) {
        struct wh_buf inner = {0};
        if (table->options[i].type != WH_OPTION_OBJECTS)
            continue;
        wh_buf_printf(&inner, "%s[].%s", name, table->options[i].name);
        write_items(wh_buf_cstr(&inner), table->options[i].objects, out);
        wh_buf_deinit(&inner);
    }
}

void config_write_reference(const struct wh_config_program *program, struct wh_buf *out)
{
    (void)program;
    wh_buf_append_str(out, reference_head);
    for (size_t i = 0; i < config_table.count; i++) {
        const struct wh_option *option = &config_table.options[i];
        if (is_first_of_group(i))
            write_section(group_of(option), out);
        if (option->type == WH_OPTION_OBJECTS)
            write_items(option->name, option->objects, out);
    }
}

void config_write_flags_help(struct wh_buf *out)
{
    wh_config_write_flags_help(&config_program, out);
}

static bool has_effect(const char *name)
{
    const struct wh_option *option = wh_option_find(&config_table, wh_slice_from_str(name));

    return option && !(option->flags & WH_OPTION_NO_EFFECT_YET);
}

void config_write_example(const struct wh_config_program *program, struct wh_buf *out)
{
    char secret[SECRET_LETTERS + 1];

    (void)program;
    wh_random_letters(secret, SECRET_LETTERS);
    wh_buf_printf(out,
                  "# Wirehub configuration.  Check it with `wirehub check-config -c FILE`; every\n"
                  "# option is described in docs/CONFIGURATION.md.  The secrets are fresh and\n"
                  "# random: keep this file to yourself.\n"
                  "\n"
                  "http_server:\n"
                  "  address: 127.0.0.1 # 0.0.0.0 or \"::\" to be reached from elsewhere\n"
                  "  port: 8000\n"
                  "\n"
                  "client:\n"
                  "  token:\n"
                  "    # Sign tokens with it: wirehub gen-token -c FILE --user 42\n"
                  "    hmac_secret_key: \"%s\"\n"
                  "  # Pages from elsewhere that may connect; the hub's own always may.\n"
                  "  allowed_origins: [] # [ \"https://shop.example\" ]\n"
                  "\n",
                  secret);
    if (has_effect("http_api.key")) {
        wh_random_letters(secret, SECRET_LETTERS);
        wh_buf_printf(out, "http_api:\n  key: \"%s\" # backends send it as X-API-Key\n\n", secret);
    }
    wh_buf_append_str(
        out, "channel:\n"
             "  namespaces:\n"
             "    - name: public # public:news\n"
             "      allow_subscribe_for_client: true\n"
             "    - name: personal # personal:inbox#42 is for user 42 alone\n"
             "      allow_user_limited_channels: true\n"
             "\n"
             "engine:\n"
             "  type: memory # redis: several workers and machines, and `PUBLISH wh:ch:…`\n"
             "  redis:\n"
             "    address: 127.0.0.1:6379\n"
             "\n"
             "log:\n"
             "  level: info\n");
}
