/*
 * Traces of a service: what a thread does for a call or an event is a span that continues the
 * traceparent that came with it, and each log line in between names the trace.
 *
 * With tracing off (the options `opentelemetry.…`) there are no spans; the log names the trace all
 * the same, and what is emitted carries it on.
 */
#ifndef SERVICES_CORE_TRACING_H
#define SERVICES_CORE_TRACING_H

#include "common/base/span.h"
#include "services/core/core.h"

enum { SVC_TRACE_FLUSH_MS = 2000 }; /* how long a service that ends waits for its collector */

/* Started first and stopped last. */
extern const struct svc_part svc_part_tracing;

/* NULL = off.  Any thread. */
struct wh_tracer *svc_tracer(const struct svc *svc);

/*
 * The context works from now on at a place of its own in the trace of `traceparent`; in a new trace
 * when that is absent or malformed.  ctx->traceparent is that place until svc_trace_end: what an
 * event that the handler emits has to store, and what its statements belong to.  `name`:
 * "<method>" or "event <type>".
 */
void svc_trace_begin(struct svc_ctx *ctx,
                     enum wh_span_kind kind,
                     struct wh_slice name,
                     struct wh_slice traceparent);

/* It is done; `code` is what the caller gets, 0 = success. */
void svc_trace_end(struct svc_ctx *ctx, uint32_t code);

/*
 * A part of the work in hand, such as a request to somebody else (statements are parts already, by
 * db.c): ended by wh_span_end, on this thread,
 * before svc_trace_end.  NULL unless it is recorded, which wh_span_… functions take.
 */
struct wh_span *svc_trace_part(const struct svc_ctx *ctx, enum wh_span_kind kind, const char *name);

/*
 * Work without a context, on any thread, that goes on where a stored traceparent stands
 * ("outbox.relay"): a span for wh_span_end, or NULL.
 */
struct wh_span *svc_trace_stored(const struct svc *svc,
                                 enum wh_span_kind kind,
                                 const char *name,
                                 struct wh_slice traceparent);

#endif
