/*
 * What a definition must be to make sense.  A mistake here is the author's and
 * is found at the first start, in every test.
 */
#include "services/core/free_methods.h"
#include "services/core/rpc_server.h"

static bool add_segment(struct svc_segments *segments, struct wh_slice name)
{
    for (size_t i = 0; i < segments->count; i++) {
        if (wh_slice_equal(segments->names[i], name))
            return true;
    }
    if (segments->count == SVC_SEGMENTS_MAX)
        return false;
    segments->names[segments->count++] = name;
    return true;
}

static void check_method(const struct svc_def *def,
                         const struct svc_method *method,
                         struct svc_segments *segments,
                         struct wh_buf *problem)
{
    struct wh_slice segment;
    struct wh_slice name = wh_slice_from_str(method->name);

    if (wh_rpc_method_service(name, &segment) != WH_OK)
        wh_buf_printf(problem, "method \"%s\": not a name like orders.v1.create\n", method->name);
    else if (!add_segment(segments, segment))
        wh_buf_printf(problem, "method \"%s\": more than %d first segments\n", method->name,
                      (int)SVC_SEGMENTS_MAX);
    else if (wh_slice_starts_with(wh_slice_from(name, segment.len + 1), WH_SLICE_LITERAL("$svc.")))
        wh_buf_printf(problem, "method \"%s\": $svc is the core's own\n", method->name);
    if (!method->handler)
        wh_buf_printf(problem, "method \"%s\": has no handler\n", method->name);
    if ((method->access == SVC_ROLE) != (method->roles && method->roles[0]))
        wh_buf_printf(problem, "method \"%s\": SVC_ROLE and roles go together\n", method->name);
    if ((method->tx != SVC_TX_NONE || method->requires_key) && !def->migrations)
        wh_buf_printf(problem, "method \"%s\": transactions and keys need migrations\n",
                      method->name);
    for (const struct svc_method *other = def->methods; other < method; other++) {
        if (wh_slice_equal_str(name, other->name))
            wh_buf_printf(problem, "method \"%s\": is there twice\n", method->name);
    }
}

static void check_rest(const struct svc_def *def, struct wh_buf *problem)
{
    for (const struct svc_consumer *consumer = def->consumers; consumer && consumer->type;
         consumer++) {
        if (!consumer->handler || !def->migrations)
            wh_buf_printf(problem, "consumer of \"%s\": needs a handler, and migrations\n",
                          consumer->type);
    }
    for (const struct svc_job *job = def->jobs; job && job->name; job++) {
        if (!job->handler || job->every_ms == 0 || (job->is_exclusive && !def->migrations))
            wh_buf_printf(
                problem, "job \"%s\": needs a handler and a period; an exclusive one, migrations\n",
                job->name);
    }
}

enum wh_err svc_def_check(const struct svc_def *def,
                          struct svc_segments *out_segments,
                          struct wh_buf *problem)
{
    struct svc_segments segments = {.count = 0};
    size_t before = problem->len;
    size_t name_len = def->name ? strlen(def->name) : 0;

    if (name_len == 0 || name_len > WH_RPC_SERVICE_NAME_MAX ||
        strspn(def->name, "abcdefghijklmnopqrstuvwxyz0123456789-") != name_len)
        wh_buf_append_str(problem, "the name must be of a-z, 0-9 and '-'\n");
    if (!def->version || !def->version[0])
        wh_buf_append_str(problem, "a version is needed\n");
    if (!def->methods || !def->methods[0].name)
        wh_buf_append_str(problem, "a service has at least one method\n");
    for (const struct svc_method *method = def->methods; method && method->name; method++)
        check_method(def, method, &segments, problem);
    check_rest(def, problem);
    if (problem->len > before)
        return WH_EINVAL;
    *out_segments = segments;
    return WH_OK;
}
