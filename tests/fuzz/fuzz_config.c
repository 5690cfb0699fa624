/*
 * The configuration reader on arbitrary text: it must end, own nothing
 * afterwards, say something when it refuses, and print what it accepts in a
 * form that it accepts again.
 *
 * The first byte chooses the source: the file, a variable that holds the list
 * of namespaces, or a flag.
 */
#include "hub/config_internal.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_again(const struct wh_option_set *set)
{
    const struct wh_option_print print = {true, "fuzz.yaml", CONFIG_ENV_PREFIX};
    struct wh_buf text = {0}, problems = {0};
    struct wh_option_set second;
    size_t warnings;

    wh_option_write_yaml(set, &print, &text);
    const struct wh_config_source source = {.path = "fuzz.yaml", .text = wh_buf_slice(&text)};
    enum wh_err err = config_load_set(&source, &second, &warnings, &problems);
    for (size_t i = 0; i < config_table.count && err == WH_OK; i++) {
        const struct wh_option *option = &config_table.options[i];
        bool is_masked = option->flags & WH_OPTION_SECRET;
        WH_ASSERT(is_masked || wh_option_equal(option, set->target, second.target));
    }
    if (err == WH_OK)
        config_free(second.target);
    else /* only a mask may be refused */
        WH_ASSERT(err == WH_ENOMEM || strstr(wh_buf_cstr(&problems), "is the mask"));
    wh_buf_deinit(&text);
    wh_buf_deinit(&problems);
}

static void load(const struct wh_config_source *source)
{
    struct wh_buf problems = {0};
    struct wh_option_set set;
    size_t warnings;

    enum wh_err err = config_load_set(source, &set, &warnings, &problems);
    if (err == WH_OK) {
        read_again(&set);
        config_free(set.target);
    } else {
        WH_ASSERT(err == WH_ENOMEM || problems.len > 0);
    }
    wh_buf_deinit(&problems);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char variable[] = "WIREHUB_CHANNEL_NAMESPACES=";

    if (size == 0)
        return 0;
    struct wh_buf text = {0};
    if (data[0] == 'v')
        wh_buf_append_str(&text, variable);
    wh_buf_append(&text, data + 1, size - 1);
    char *copy = strdup(wh_buf_cstr(&text));
    char *words[] = {copy, NULL};
    if (!copy)
        abort();
    if (data[0] == 'v')
        load(&(struct wh_config_source){.environ = words});
    else if (data[0] == 'f')
        load(&(struct wh_config_source){.argc = 1, .argv = words});
    else
        load(&(struct wh_config_source){.path = "fuzz.yaml", .text = wh_buf_slice(&text)});
    free(copy);
    wh_buf_deinit(&text);
    return 0;
}
