/*
 * One arena holds the announcement, what was decoded from it and the table;
 * an index by name points into the table.
 */
#include "hub/rpc_methods.h"

#include "common/base/alloc.h"
#include "common/base/arena.h"
#include "common/base/map.h"
#include "common/protocol/codec.h"

enum { ARENA_BYTES_MAX = 8 * RPC_ANNOUNCEMENT_BYTES_MAX };

struct rpc_methods {
    struct wh_arena arena;
    struct wh_slice source;
    struct wh_slice version;
    struct wh_map by_name; /* struct rpc_method in the arena */
};

static bool parse_access(struct wh_slice text, enum rpc_access *out_access)
{
    static const struct {
        const char *name;
        enum rpc_access access;
    } rows[] = {
        {"", RPC_ACCESS_USER},
        {"user", RPC_ACCESS_USER},
        {"anonymous", RPC_ACCESS_ANONYMOUS},
        {"role", RPC_ACCESS_ROLE},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (wh_slice_equal_str(text, rows[i].name)) {
            *out_access = rows[i].access;
            return true;
        }
    }
    return false;
}

/* WH_EFORMAT, WH_EEXIST: not this one; WH_ENOMEM. */
static enum wh_err add(struct rpc_methods *methods,
                       struct wh_slice service,
                       const struct wh_rpc_method *announced)
{
    struct wh_slice owner;
    enum rpc_access access;
    if (wh_rpc_method_service(announced->name, &owner) || !wh_slice_equal(owner, service) ||
        !parse_access(announced->access, &access))
        return WH_EFORMAT;
    struct rpc_method *method = wh_arena_alloc(&methods->arena, sizeof(*method));
    if (method == NULL)
        return WH_ENOMEM;
    *method = (struct rpc_method){
        .name = announced->name,
        .access = access,
        .roles = announced->roles,
        .timeout_ms = announced->timeout_ms,
        .idempotent = announced->idempotent,
    };
    return wh_map_add(&methods->by_name, method->name, method);
}

static enum wh_err fill(struct rpc_methods *methods,
                        struct wh_slice service,
                        struct wh_slice json,
                        size_t *out_skipped)
{
    struct wh_rpc_service announced = {0};
    size_t skipped = 0;
    methods->source = wh_arena_copy(&methods->arena, json);
    if (methods->source.ptr == NULL)
        return WH_ENOMEM;
    enum wh_err err = wh_decode_whole(WH_ENCODING_JSON, &wh_rpc_service_schema, methods->source,
                                      &methods->arena, &announced);
    if (err)
        return err == WH_ENOMEM ? err : WH_EFORMAT;
    if (announced.methods.count > RPC_METHODS_MAX)
        return WH_ELIMIT;
    methods->version = announced.version;
    for (size_t i = 0; i < announced.methods.count; i++) {
        err = add(methods, service, &announced.methods.items[i]);
        if (err == WH_ENOMEM)
            return err;
        skipped += err != WH_OK;
    }
    *out_skipped = skipped;
    return WH_OK;
}

enum wh_err rpc_methods_parse(struct wh_slice service,
                              struct wh_slice json,
                              struct rpc_methods **out_methods,
                              size_t *out_skipped)
{
    if (json.len == 0)
        return WH_EFORMAT;
    if (json.len > RPC_ANNOUNCEMENT_BYTES_MAX)
        return WH_ELIMIT;
    struct rpc_methods *methods = wh_calloc(1, sizeof(*methods));
    if (methods == NULL)
        return WH_ENOMEM;
    wh_arena_init(&methods->arena, ARENA_BYTES_MAX);
    enum wh_err err = fill(methods, service, json, out_skipped);
    if (err) {
        rpc_methods_free(methods);
        return err;
    }
    *out_methods = methods;
    return WH_OK;
}

void rpc_methods_free(struct rpc_methods *methods)
{
    if (methods == NULL)
        return;
    wh_map_deinit(&methods->by_name);
    wh_arena_deinit(&methods->arena);
    wh_free(methods);
}

static const struct rpc_method *find_own(struct wh_slice name)
{
    static struct wh_slice admin = {"admin", 5};
    static const struct rpc_method own = {
        .access = RPC_ACCESS_ROLE, .roles = {&admin, 1}, .idempotent = true};
    static const char *const names[] = {"$svc.ping", "$svc.info", "$svc.stats"};
    const char *dot = memchr(name.ptr, '.', name.len);
    for (size_t i = 0; dot && i < sizeof(names) / sizeof(names[0]); i++)
        if (wh_slice_equal_str(wh_slice_from(name, (size_t)(dot + 1 - name.ptr)), names[i]))
            return &own;
    return NULL;
}

const struct rpc_method *rpc_methods_find(const struct rpc_methods *methods, struct wh_slice name)
{
    const struct rpc_method *method = methods ? wh_map_get(&methods->by_name, name) : NULL;
    return method || methods == NULL ? method : find_own(name);
}

struct wh_slice rpc_methods_version(const struct rpc_methods *methods)
{
    return methods && methods->version.ptr ? methods->version : WH_SLICE_LITERAL("");
}

size_t rpc_methods_count(const struct rpc_methods *methods)
{
    return methods ? methods->by_name.count : 0;
}

struct wh_slice rpc_methods_source(const struct rpc_methods *methods)
{
    return methods ? methods->source : WH_SLICE_ABSENT;
}
