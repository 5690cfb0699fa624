/*
 * One tracer for all threads, one exporter on the loop.  The exporter flushes after the last thread
 * has ended and keeps the loop running so long; its end frees both.
 */
#include "services/core/tracing.h"

#include "common/base/alloc.h"
#include "common/base/log.h"
#include "common/io/otlp_setup.h"
#include "services/core/db_conn.h"

#include <inttypes.h>
#include <stdio.h>

struct svc_tracing {
    struct wh_telemetry telemetry;
    uint64_t exported, dropped; /* of the main thread */
};

struct wh_tracer *svc_tracer(const struct svc *svc)
{
    return svc && svc->tracing ? svc->tracing->telemetry.tracer : NULL;
}

/* Part */

static void on_counted(void *user, uint64_t exported, uint64_t dropped)
{
    struct svc_tracing *tracing = user;
    tracing->exported += exported;
    tracing->dropped += dropped;
}

static enum wh_err start(struct svc *svc)
{
    char name[96];
    const struct wh_otlp_resource resource = {name, svc->def->version, svc->instance};
    struct wh_buf problem = {0};
    if (!svc->settings->opentelemetry.enabled)
        return WH_OK;
    struct svc_tracing *tracing = wh_calloc(1, sizeof *tracing);
    if (!tracing)
        return WH_ENOMEM;
    snprintf(name, sizeof name, "wirehub-%s", svc->def->name);
    enum wh_err err = wh_telemetry_start(svc->loop, &svc->settings->opentelemetry, &resource,
                                         on_counted, tracing, &tracing->telemetry, &problem);
    if (err) {
        wh_log(WH_LOG_ERROR, "tracing", "start_failed", "problem=%s", wh_buf_cstr(&problem));
        wh_free(tracing);
    } else {
        svc->tracing = tracing;
    }
    wh_buf_deinit(&problem);
    return err;
}

static void on_closed(void *user)
{
    struct svc_tracing *tracing = user;
    wh_telemetry_free(&tracing->telemetry);
    wh_free(tracing);
}

static void stop(struct svc *svc)
{
    struct svc_tracing *tracing = svc->tracing;
    svc->tracing = NULL;
    if (tracing)
        wh_otlp_close(tracing->telemetry.otlp, SVC_TRACE_FLUSH_MS, on_closed, tracing);
}

static void write_metrics(const struct svc *svc, struct wh_buf *out)
{
    if (!svc->tracing)
        return;
    wh_buf_printf(out,
                  "# HELP wirehub_trace_spans_exported_total Spans that the collector took.\n"
                  "# TYPE wirehub_trace_spans_exported_total counter\n"
                  "wirehub_trace_spans_exported_total %" PRIu64 "\n"
                  "# HELP wirehub_trace_spans_dropped_total Spans lost.\n"
                  "# TYPE wirehub_trace_spans_dropped_total counter\n"
                  "wirehub_trace_spans_dropped_total %" PRIu64 "\n",
                  svc->tracing->exported, svc->tracing->dropped);
}

const struct svc_part svc_part_tracing = {
    .name = "tracing",
    .start = start,
    .stop = stop,
    .write_metrics = write_metrics,
};

/* Work */

void svc_trace_begin(struct svc_ctx *ctx,
                     enum wh_span_kind kind,
                     struct wh_slice name,
                     struct wh_slice traceparent)
{
    struct wh_trace parent = {.flags = 0};
    if (wh_trace_parse(traceparent, &parent) != WH_OK)
        parent = (struct wh_trace){.flags = 0};
    ctx->span = wh_span_start(svc_tracer(ctx->svc), &parent, kind, name, &ctx->trace);
    if (!wh_trace_is_valid(&ctx->trace)) /* tracing is off, and nobody gave one */
        wh_trace_begin(0, &ctx->trace);
    wh_trace_format(&ctx->trace, ctx->traceparent_text);
    ctx->traceparent = wh_slice(ctx->traceparent_text, WH_TRACEPARENT_LEN);
    wh_log_set_trace(&ctx->trace);
    if (ctx->db)
        svc_db_set_trace(ctx->db, svc_tracer(ctx->svc), &ctx->trace);
}

void svc_trace_end(struct svc_ctx *ctx, uint32_t code)
{
    if (code != 0) {
        wh_span_number(ctx->span, "wirehub.error.code", code);
        wh_span_fail(ctx->span, wh_slice_from_str(ctx->error_text));
    }
    wh_span_end(ctx->span);
    ctx->span = NULL;
    ctx->trace = (struct wh_trace){.flags = 0};
    ctx->traceparent = WH_SLICE_ABSENT;
    wh_log_set_trace(NULL);
    if (ctx->db)
        svc_db_set_trace(ctx->db, NULL, NULL);
}

struct wh_span *svc_trace_part(const struct svc_ctx *ctx, enum wh_span_kind kind, const char *name)
{
    struct wh_trace trace;
    if (!ctx->span)
        return NULL;
    return wh_span_start(ctx->span->tracer, &ctx->trace, kind, wh_slice_from_str(name), &trace);
}

void svc_trace_adopt(struct svc_ctx *ctx, const char *name, struct wh_slice traceparent)
{
    svc_trace_begin(ctx, WH_SPAN_INTERNAL, wh_slice_from_str(name), traceparent);
}

void svc_trace_leave(struct svc_ctx *ctx, uint32_t code)
{
    svc_trace_end(ctx, code);
}

struct wh_slice svc_traceparent(const struct svc_ctx *ctx)
{
    return ctx->traceparent;
}

struct wh_span *svc_trace_stored(const struct svc *svc,
                                 enum wh_span_kind kind,
                                 const char *name,
                                 struct wh_slice traceparent)
{
    struct wh_trace parent;
    struct wh_trace trace;
    if (!svc_tracer(svc) || wh_trace_parse(traceparent, &parent) != WH_OK)
        return NULL;
    return wh_span_start(svc_tracer(svc), &parent, kind, wh_slice_from_str(name), &trace);
}
