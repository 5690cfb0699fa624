/*
 * Rules are few (config_rules.c bounds them) and looked through in order;
 * compositions are found by a map.
 */
#include "hub/gateway_rules.h"

#include "common/base/alloc.h"
#include "common/base/arena.h"
#include "common/base/map.h"

struct rule {
    struct wh_slice name; /* without its `*` */
    bool is_prefix;
    enum access access;
    struct wh_strings roles;
    uint32_t timeout_ms;
};

struct gateway_rules {
    struct wh_arena arena; /* of everything below */
    struct rule *rules;
    size_t rule_count;
    struct wh_map compositions;
};

/* Copies: a text that does not fit leaves the flag false */

static struct wh_slice copy_text(struct wh_arena *arena, const char *text, bool *is_whole)
{
    struct wh_slice copy = wh_arena_copy(arena, wh_slice_from_str(text ? text : ""));
    *is_whole = *is_whole && copy.ptr != NULL;
    return copy;
}

static struct wh_strings copy_list(struct wh_arena *arena,
                                   const struct string_list *list,
                                   bool *is_whole)
{
    struct wh_strings copy = {0};
    copy.items = wh_arena_alloc_array(arena, list->count, sizeof(*copy.items));
    *is_whole = *is_whole && copy.items != NULL;
    while (*is_whole && copy.count < list->count) {
        copy.items[copy.count] = copy_text(arena, list->items[copy.count], is_whole);
        copy.count++;
    }
    return copy;
}

static bool copy_rule(struct wh_arena *arena, const struct method_config *from, struct rule *to)
{
    bool is_whole = true;
    to->name = copy_text(arena, from->name, &is_whole);
    to->is_prefix = to->name.len > 0 && to->name.ptr[to->name.len - 1] == '*';
    to->name.len -= to->is_prefix;
    to->access = from->access;
    to->roles = copy_list(arena, &from->roles, &is_whole);
    to->timeout_ms = (uint32_t)from->timeout_ms;
    return is_whole;
}

static struct composition *copy_composition(struct wh_arena *arena,
                                            const struct composition_config *from)
{
    bool is_whole = true;
    struct composition *to = wh_arena_alloc(arena, sizeof(*to));
    if (to == NULL)
        return NULL;
    to->name = copy_text(arena, from->name, &is_whole);
    to->access = from->access;
    to->roles = copy_list(arena, &from->roles, &is_whole);
    to->timeout_ms = (uint32_t)from->timeout_ms;
    to->calls = wh_arena_alloc_array(arena, from->calls.count, sizeof(*to->calls));
    if (to->calls == NULL)
        return NULL;
    for (size_t i = 0; i < from->calls.count; i++) {
        to->calls[i].as = copy_text(arena, from->calls.items[i].as, &is_whole);
        to->calls[i].method = copy_text(arena, from->calls.items[i].method, &is_whole);
    }
    to->call_count = from->calls.count;
    return is_whole ? to : NULL;
}

static enum wh_err fill(struct gateway_rules *rules, const struct config *config)
{
    size_t count = config->rpc.methods.count;
    rules->rules = wh_arena_alloc_array(&rules->arena, count, sizeof(*rules->rules));
    if (rules->rules == NULL)
        return WH_ENOMEM;
    for (; rules->rule_count < count; rules->rule_count++)
        if (!copy_rule(&rules->arena, &config->rpc.methods.items[rules->rule_count],
                       &rules->rules[rules->rule_count]))
            return WH_ENOMEM;
    for (size_t i = 0; i < config->rpc.compositions.count; i++) {
        struct composition *composition =
            copy_composition(&rules->arena, &config->rpc.compositions.items[i]);
        if (composition == NULL || wh_map_add(&rules->compositions, composition->name, composition))
            return WH_ENOMEM;
    }
    return WH_OK;
}

enum wh_err gateway_rules_new(const struct config *config, struct gateway_rules **out_rules)
{
    struct gateway_rules *rules = wh_calloc(1, sizeof(*rules));
    if (rules == NULL)
        return WH_ENOMEM;
    wh_arena_init(&rules->arena, 0);
    enum wh_err err = fill(rules, config);
    if (err) {
        gateway_rules_free(rules);
        return err;
    }
    *out_rules = rules;
    return WH_OK;
}

void gateway_rules_free(struct gateway_rules *rules)
{
    if (rules == NULL)
        return;
    wh_map_deinit(&rules->compositions);
    wh_arena_deinit(&rules->arena);
    wh_free(rules);
}

/* Questions */

enum wh_code access_check(enum access access,
                          const struct wh_strings *wanted,
                          struct wh_slice user,
                          const struct wh_strings *roles)
{
    if (access == ACCESS_ANONYMOUS)
        return WH_NO_ERROR;
    if (user.len == 0)
        return WH_ERROR_UNAUTHORIZED;
    if (access == ACCESS_USER)
        return WH_NO_ERROR;
    for (size_t i = 0; i < wanted->count; i++)
        for (size_t j = 0; j < roles->count; j++)
            if (wh_slice_equal(wanted->items[i], roles->items[j]))
                return WH_NO_ERROR;
    return WH_ERROR_PERMISSION_DENIED;
}

static bool matches(const struct rule *rule, struct wh_slice method)
{
    return rule->is_prefix ? wh_slice_starts_with(method, rule->name)
                           : wh_slice_equal(method, rule->name);
}

enum wh_code gateway_rules_check(const struct gateway_rules *rules,
                                 struct wh_slice method,
                                 struct wh_slice user,
                                 const struct wh_strings *roles)
{
    enum wh_code worst = WH_NO_ERROR;
    const struct composition *composition = gateway_rules_find(rules, method);
    if (composition)
        worst = access_check(composition->access, &composition->roles, user, roles);
    for (size_t i = 0; i < rules->rule_count && worst != WH_ERROR_UNAUTHORIZED; i++) {
        const struct rule *rule = &rules->rules[i];
        enum wh_code code = matches(rule, method)
                                ? access_check(rule->access, &rule->roles, user, roles)
                                : WH_NO_ERROR;
        if (code != WH_NO_ERROR)
            worst = code;
    }
    return worst;
}

uint32_t gateway_rules_timeout_ms(const struct gateway_rules *rules, struct wh_slice method)
{
    uint32_t shortest = 0;
    for (size_t i = 0; i < rules->rule_count; i++) {
        const struct rule *rule = &rules->rules[i];
        if (rule->timeout_ms > 0 && (shortest == 0 || rule->timeout_ms < shortest) &&
            matches(rule, method))
            shortest = rule->timeout_ms;
    }
    return shortest;
}

const struct composition *gateway_rules_find(const struct gateway_rules *rules,
                                             struct wh_slice method)
{
    return wh_map_get(&rules->compositions, method);
}
