/*
 * Rules of rpc.methods and rpc.compositions.  What protects something has to
 * be right: whatever would leave a method open that somebody meant to close is
 * an error, what merely does nothing is a warning.
 */
#include "common/protocol/rpc.h"
#include "hub/config_internal.h"
#include "hub/gateway.h"

/* One item of a list. */
struct item {
    struct wh_config_loader *loader;
    const struct wh_option_state *list;
    const struct wh_option_set *set;
    const char *shown; /* "rpc.methods[2]." */
};

static struct item item_of(struct wh_config_loader *loader,
                           const struct wh_option_state *list,
                           size_t index,
                           const char *shown)
{
    return (struct item){loader, list, &list->objects[index], shown};
}

static const struct wh_option_state *state_of(const struct item *item, const char *name)
{
    return wh_option_state(item->set, wh_option_find(item->set->table, wh_slice_from_str(name)));
}

static bool is_given(const struct item *item, const char *name)
{
    return state_of(item, name)->place.origin != WH_OPTION_FROM_DEFAULT;
}

/* At the option, at the first that the item has when that one is missing, or at the list. */
static struct wh_option_place place_of(const struct item *item, const char *name)
{
    if (is_given(item, name))
        return state_of(item, name)->place;
    for (size_t i = 0; i < item->set->table->count; i++)
        if (item->set->states[i].place.origin != WH_OPTION_FROM_DEFAULT)
            return item->set->states[i].place;
    return item->list->place;
}

static void report(const struct item *item,
                   enum wh_config_severity severity,
                   const char *name,
                   const char *text)
{
    if (!state_of(item, name)->is_broken)
        wh_config_problem(item->loader, severity, place_of(item, name),
                          wh_config_text(item->loader, "%s%s", item->shown, name), "%s", text);
}

static bool is_method(const char *name)
{
    struct wh_slice service;
    return wh_rpc_method_service(wh_slice_from_str(name), &service) == WH_OK;
}

/* What methods can begin with: the characters of their names, and nothing behind the star. */
static bool is_pattern(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_$.");
    return name[len] == '*' && name[len + 1] == '\0' && strstr(name, "..") == NULL &&
           name[0] != '.';
}

static bool is_named(const struct item *item, const char *option, const char *name)
{
    if (name == NULL || name[0] == '\0')
        report(item, WH_CONFIG_ERROR, option, "is missing");
    return name && name[0];
}

static void check_who(const struct item *item, enum access access, const struct string_list *roles)
{
    if (state_of(item, "access")->is_broken || state_of(item, "roles")->is_broken)
        return;
    if (access == ACCESS_ROLE && roles->count == 0)
        report(item, WH_CONFIG_ERROR, "access", "role needs roles, or nobody could call it");
    if (access != ACCESS_ROLE && roles->count > 0)
        report(item, WH_CONFIG_ERROR, "roles", "are only asked for with access: role");
}

/* Methods */

static void check_method(const struct item *item, const struct method_config *method)
{
    check_who(item, method->access, &method->roles);
    if (!is_named(item, "name", method->name))
        return;
    if (!is_method(method->name) && !is_pattern(method->name))
        report(item, WH_CONFIG_ERROR, "name",
               wh_config_text(item->loader,
                              "\"%.128s\" is neither a method (orders.v1.create) nor how methods "
                              "begin (orders.*)",
                              method->name));
    else if (method->access == ACCESS_ANONYMOUS && is_given(item, "access"))
        report(item, WH_CONFIG_WARNING, "access",
               "anonymous adds nothing: what a service asks for holds in any case");
    else if (method->access == ACCESS_ANONYMOUS && method->timeout_ms == 0 &&
             method->roles.count == 0)
        report(item, WH_CONFIG_WARNING, "name", "has neither access nor timeout: no effect");
}

/* Compositions */

static bool is_composition(const struct config *config, const char *name, size_t before)
{
    for (size_t i = 0; i < before; i++) {
        const char *known = config->rpc.compositions.items[i].name;
        if (known && strcmp(known, name) == 0)
            return true;
    }
    return false;
}

static void check_call(const struct item *item,
                       const struct config *config,
                       const struct composition_config *composition,
                       size_t index)
{
    const struct composed_call_config *call = &composition->calls.items[index];
    if (is_named(item, "method", call->method)) {
        if (!is_method(call->method))
            report(item, WH_CONFIG_ERROR, "method",
                   wh_config_text(item->loader, "\"%.128s\" is no name of a method", call->method));
        else if (is_composition(config, call->method, config->rpc.compositions.count))
            report(item, WH_CONFIG_ERROR, "method",
                   "is a composition itself; only methods of services can be composed");
    }
    if (!is_named(item, "as", call->as))
        return;
    for (size_t i = 0; i < index; i++)
        if (composition->calls.items[i].as && strcmp(composition->calls.items[i].as, call->as) == 0)
            report(item, WH_CONFIG_ERROR, "as",
                   wh_config_text(item->loader, "\"%.64s\" is the name of an earlier call too",
                                  call->as));
}

static void check_calls(const struct item *item,
                        const struct config *config,
                        const struct composition_config *composition)
{
    const struct wh_option_state *list = state_of(item, "calls");
    size_t count = composition->calls.count;
    if (count == 0 || count > GATEWAY_CALLS_MAX)
        report(item, WH_CONFIG_ERROR, "calls",
               wh_config_text(item->loader, "needs 1 to %d methods", GATEWAY_CALLS_MAX));
    for (size_t i = 0; i < count && i < GATEWAY_CALLS_MAX && !list->is_broken; i++) {
        struct item call = item_of(item->loader, list, i,
                                   wh_config_text(item->loader, "%scalls[%zu].", item->shown, i));
        check_call(&call, config, composition, i);
    }
}

static void check_composition(const struct item *item, const struct config *config, size_t index)
{
    const struct composition_config *composition = &config->rpc.compositions.items[index];
    check_who(item, composition->access, &composition->roles);
    check_calls(item, config, composition);
    if (!is_named(item, "name", composition->name))
        return;
    if (!is_method(composition->name))
        report(item, WH_CONFIG_ERROR, "name",
               wh_config_text(item->loader, "\"%.128s\" is no name of a method (shop.v1.home)",
                              composition->name));
    else if (is_composition(config, composition->name, index))
        report(item, WH_CONFIG_ERROR, "name", "is the name of an earlier composition too");
}

/* Both */

static const struct wh_option_state *find_list(struct wh_config_loader *loader,
                                               const char *name,
                                               size_t count,
                                               size_t max)
{
    const struct wh_option_state *list =
        wh_option_state(&loader->set, wh_option_find(loader->set.table, wh_slice_from_str(name)));
    const struct config *config = loader->set.target;
    if (count > max)
        wh_config_problem(loader, WH_CONFIG_ERROR, list->place, name, "has more than %zu items",
                          max);
    else if (count > 0 && config->engine.type == ENGINE_MEMORY)
        wh_config_problem(loader, WH_CONFIG_WARNING, list->place, name,
                          "no effect: calls need engine.type redis");
    return list->is_broken || count > max ? NULL : list;
}

void config_check_rpc(struct wh_config_loader *loader)
{
    const struct config *config = loader->set.target;
    size_t count = config->rpc.methods.count;
    const struct wh_option_state *list = find_list(loader, "rpc.methods", count, GATEWAY_RULES_MAX);
    for (size_t i = 0; list && i < count && !loader->is_out_of_memory; i++) {
        struct item item = item_of(loader, list, i, wh_config_text(loader, "rpc.methods[%zu].", i));
        check_method(&item, &config->rpc.methods.items[i]);
    }
    count = config->rpc.compositions.count;
    list = find_list(loader, "rpc.compositions", count, GATEWAY_COMPOSITIONS_MAX);
    for (size_t i = 0; list && i < count && !loader->is_out_of_memory; i++) {
        struct item item =
            item_of(loader, list, i, wh_config_text(loader, "rpc.compositions[%zu].", i));
        check_composition(&item, config, i);
    }
}
