#include "services/core/free_methods.h"

#include "common/protocol/json.h"
#include "services/core/metrics.h"

const char *const svc_free_names[] = {"$svc.ping", "$svc.info", "$svc.stats", NULL};

const char *svc_access_name(enum svc_access access)
{
    static const char *const names[] = {"user", "anonymous", "role"};
    return names[access];
}

static void write_text(struct wh_buf *out, const char *name, const char *value)
{
    wh_buf_printf(out, "\"%s\":", name);
    wh_json_write_string(out, wh_slice_from_str(value ? value : ""));
}

static void write_identity(const struct svc *svc, struct wh_buf *out)
{
    write_text(out, "name", svc->def->name);
    wh_buf_append_char(out, ',');
    write_text(out, "instance", svc->instance);
    wh_buf_append_char(out, ',');
    write_text(out, "version", svc->def->version);
}

static void write_ping(const struct svc *svc, struct wh_buf *out)
{
    write_identity(svc, out);
}

static void write_roles(const struct svc_method *method, struct wh_buf *out)
{
    wh_buf_append_str(out, ",\"roles\":[");
    for (size_t i = 0; method->roles && method->roles[i]; i++) {
        wh_buf_append_str(out, i > 0 ? "," : "");
        wh_json_write_string(out, wh_slice_from_str(method->roles[i]));
    }
    wh_buf_append_char(out, ']');
}

static void write_info(const struct svc *svc, struct wh_buf *out)
{
    write_identity(svc, out);
    wh_buf_append_char(out, ',');
    write_text(out, "description", svc->def->description);
    wh_buf_append_str(out, ",\"methods\":[");
    for (const struct svc_method *method = svc->def->methods; method->name; method++) {
        wh_buf_append_str(out, method == svc->def->methods ? "{" : ",{");
        write_text(out, "name", method->name);
        wh_buf_append_char(out, ',');
        write_text(out, "access", svc_access_name(method->access));
        if (method->access == SVC_ROLE)
            write_roles(method, out);
        wh_buf_printf(out, ",\"timeout_ms\":%u,\"idempotent\":%s}", (unsigned)method->timeout_ms,
                      method->idempotent ? "true" : "false");
    }
    wh_buf_append_char(out, ']');
}

/* Errors are ours; what was the caller's fault is counted apart. */
static void write_stats(const struct svc *svc, struct wh_buf *out)
{
    write_identity(svc, out);
    wh_buf_printf(out, ",\"started_ms\":%llu,\"methods\":[", (unsigned long long)svc->started_ms);
    for (size_t i = 0; svc->def->methods[i].name; i++) {
        struct svc_method_totals totals = svc_metrics_method(svc->metrics, i);
        uint64_t calls = 0;
        for (size_t j = 0; j < SVC_OUTCOME_COUNT; j++)
            calls += totals.calls[j];
        uint64_t fine = totals.calls[SVC_OUTCOME_OK] + totals.calls[SVC_OUTCOME_REFUSED];
        wh_buf_append_str(out, i == 0 ? "{" : ",{");
        write_text(out, "name", svc->def->methods[i].name);
        wh_buf_printf(out, ",\"calls\":%llu,\"refused\":%llu,\"errors\":%llu,\"mean_us\":%llu}",
                      (unsigned long long)calls,
                      (unsigned long long)totals.calls[SVC_OUTCOME_REFUSED],
                      (unsigned long long)(calls - fine),
                      (unsigned long long)(calls > 0 ? totals.total_us / calls : 0));
    }
    wh_buf_append_char(out, ']');
}

bool svc_free_run(struct svc_ctx *ctx, struct wh_slice method, uint32_t *out_code)
{
    static void (*const writers[])(const struct svc *, struct wh_buf *) = {write_ping, write_info,
                                                                           write_stats};
    const char *dot = method.ptr ? memchr(method.ptr, '.', method.len) : NULL;
    struct wh_slice name =
        dot ? wh_slice_from(method, (size_t)(dot - method.ptr) + 1) : WH_SLICE_ABSENT;

    for (size_t i = 0; svc_free_names[i]; i++) {
        if (!wh_slice_equal_str(name, svc_free_names[i]))
            continue;
        struct wh_buf text;
        wh_buf_init(&text, SVC_ANSWER_BYTES_MAX);
        wh_buf_append_char(&text, '{');
        writers[i](ctx->svc, &text);
        wh_buf_append_char(&text, '}');
        struct wh_slice whole = wh_buf_error(&text) ? WH_SLICE_ABSENT : wh_buf_slice(&text);
        *out_code = svc_reply_json(ctx, whole);
        wh_buf_deinit(&text);
        return true;
    }
    return false;
}
