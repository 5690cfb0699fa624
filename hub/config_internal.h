/*
 * Shared by the config*.c files only.
 */
#ifndef HUB_CONFIG_INTERNAL_H
#define HUB_CONFIG_INTERNAL_H

#include "common/config/loader.h"
#include "hub/config.h"

#define CONFIG_ENV_PREFIX "WIREHUB_"

extern const struct wh_option_table config_table;
extern const struct wh_config_program config_program;

/* Whether Centrifugo v6 knows the option (list items as "channel.namespaces.map"). */
bool config_name_is_foreign(struct wh_slice name);
bool config_variable_is_foreign(struct wh_slice variable);

/* What no single option can know: rules between options (config_rules.c). */
void config_check_rules(struct wh_config_loader *loader);
void config_check_rpc(struct wh_config_loader *loader); /* part of it (config_rules_rpc.c) */

/* Load, but also give the set, with the origin of each value.  On success the caller frees
 * set->target by config_free. */
WH_MUST_CHECK enum wh_err config_load_set(const struct wh_config_source *source,
                                          struct wh_option_set *out_set,
                                          size_t *out_warnings,
                                          struct wh_buf *out_problems);

#endif
