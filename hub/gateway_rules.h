/*
 * What the configuration says of methods: who may call them, how long they
 * may take, and which ones are composed of others.  It adds to what services
 * announce and takes nothing away from it: every rule that matches must be
 * content.  Pure; everything is copied from the configuration.
 */
#ifndef HUB_GATEWAY_RULES_H
#define HUB_GATEWAY_RULES_H

#include "common/protocol/codes.h"
#include "common/protocol/model.h"
#include "hub/config.h"

struct gateway_rules;

struct composition_call {
    struct wh_slice as;     /* the member of params and of the result */
    struct wh_slice method; /* of a service; no composition */
};

struct composition {
    struct wh_slice name;
    enum access access;
    struct wh_strings roles;
    uint32_t timeout_ms; /* 0 = that of its calls */
    struct composition_call *calls;
    size_t call_count;
};

/* The config passed its rules.  WH_ENOMEM. */
WH_MUST_CHECK enum wh_err gateway_rules_new(const struct config *config,
                                            struct gateway_rules **out_rules);
void gateway_rules_free(struct gateway_rules *rules); /* NULL is fine */

/* WH_NO_ERROR, WH_ERROR_UNAUTHORIZED (nobody is logged in), WH_ERROR_PERMISSION_DENIED. */
enum wh_code access_check(enum access access,
                          const struct wh_strings *wanted,
                          struct wh_slice user,
                          const struct wh_strings *roles);

/* All of rpc.methods that match, and the composition's own rule: a missing user is told before a
 * missing role. */
enum wh_code gateway_rules_check(const struct gateway_rules *rules,
                                 struct wh_slice method,
                                 struct wh_slice user,
                                 const struct wh_strings *roles);

/* The shortest of the rules that match; 0 = none says. */
uint32_t gateway_rules_timeout_ms(const struct gateway_rules *rules, struct wh_slice method);

/* NULL when no composition has that name. */
const struct composition *gateway_rules_find(const struct gateway_rules *rules,
                                             struct wh_slice method);

#endif
