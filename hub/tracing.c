/*
 * Spans belong to scopes, and a scope's span has one owner: the running command (tracing->now)
 * until a pending command takes it, then that.  tracing->now may also show a span that a pending
 * command owns, while that is answered; scopes that are interrupted are chained behind it.  Whoever
 * ends a span takes it out of all of them.
 */
#include "hub/tracing.h"

#include "common/base/alloc.h"
#include "common/base/log.h"
#include "common/io/otlp_setup.h"
#include "common/protocol/codes.h"
#include "hub/http.h"
#include "hub/session.h"

#include <stdio.h>
#include <strings.h>
#include <wh_version.h>

struct tracing {
    struct wh_telemetry telemetry;
    struct tracing_scope now;
};

/* Life */

static void on_counted(void *user, uint64_t exported, uint64_t dropped)
{
    const struct node *node = user;
    metrics_add(node->metrics, METRIC_TRACE_SPANS_EXPORTED, (int64_t)exported);
    metrics_add(node->metrics, METRIC_TRACE_SPANS_DROPPED, (int64_t)dropped);
}

enum wh_err tracing_start(struct node *node, struct wh_buf *out_problem)
{
    const struct wh_otlp_resource resource = {"wirehub", WH_VERSION, node->id};
    if (!node->config->opentelemetry.exporter.enabled)
        return WH_OK;
    struct tracing *tracing = wh_calloc(1, sizeof(*tracing));
    if (!tracing)
        return WH_ENOMEM;
    enum wh_err err =
        wh_telemetry_start(node->loop, &node->config->opentelemetry.exporter, &resource, on_counted,
                           node, &tracing->telemetry, out_problem);
    if (err) {
        wh_free(tracing);
        return err;
    }
    node->tracing = tracing;
    return WH_OK;
}

static void on_closed(void *user)
{
    (void)user; /* the loop ends when nothing is left */
}

void tracing_close(struct node *node)
{
    if (node->tracing)
        wh_otlp_close(node->tracing->telemetry.otlp, TRACING_FLUSH_MS, on_closed, NULL);
}

void tracing_free(struct node *node)
{
    if (!node->tracing)
        return;
    wh_telemetry_free(&node->tracing->telemetry);
    wh_free(node->tracing);
    node->tracing = NULL;
}

struct wh_tracer *tracing_tracer(const struct node *node)
{
    return node->tracing ? node->tracing->telemetry.tracer : NULL;
}

/* Scopes */

static void set_now(struct tracing *tracing, const struct tracing_scope *scope)
{
    tracing->now = *scope;
    wh_log_set_trace(&scope->trace);
}

struct tracing_scope tracing_now(const struct node *node)
{
    return node->tracing ? node->tracing->now : (struct tracing_scope){.span = NULL};
}

struct tracing_scope tracing_take(struct node *node)
{
    struct tracing_scope scope = tracing_now(node);
    scope.outer = NULL;
    if (!node->tracing)
        return scope;
    if (scope.is_taken)
        scope.span = NULL; /* another has it */
    scope.is_taken = true;
    node->tracing->now.is_taken = true;
    return scope;
}

void tracing_enter(struct node *node,
                   const struct tracing_scope *scope,
                   struct tracing_scope *outer)
{
    if (!node->tracing)
        return;
    *outer = node->tracing->now;
    set_now(node->tracing, scope);
    node->tracing->now.outer = outer;
}

void tracing_leave(struct node *node, const struct tracing_scope *outer)
{
    if (node->tracing)
        set_now(node->tracing, outer);
}

void tracing_end(struct node *node, struct tracing_scope *scope)
{
    struct wh_span *span = scope->span;
    scope->span = NULL;
    if (!span)
        return;
    for (struct tracing_scope *at = &node->tracing->now; at; at = at->outer)
        if (at->span == span)
            at->span = NULL;
    wh_span_end(span);
}

struct wh_span *tracing_part(struct node *node, enum wh_span_kind kind, struct wh_slice name)
{
    struct wh_trace trace;
    if (!node->tracing || !wh_trace_is_sampled(&node->tracing->now.trace))
        return NULL;
    return wh_span_start(tracing_tracer(node), &node->tracing->now.trace, kind, name, &trace);
}

/* Errors */

void tracing_fail_scope(const struct tracing_scope *scope, uint32_t code, struct wh_slice message)
{
    if (!scope->span)
        return;
    wh_span_number(scope->span, "wirehub.error.code", code);
    wh_span_fail(scope->span, message.ptr ? message : wh_slice_from_str(wh_code_text(code)));
}

void tracing_failed(const struct node *node, uint32_t code, struct wh_slice message)
{
    if (node->tracing)
        tracing_fail_scope(&node->tracing->now, code, message);
}

/* Commands */

void tracing_keep_origin(struct session *session, struct wh_slice traceparent)
{
    struct wh_trace origin;
    if (!session->node->tracing || wh_trace_parse(wh_slice_trim(traceparent), &origin) != WH_OK)
        return;
    if (!session->trace)
        session->trace = wh_malloc(sizeof(*session->trace));
    if (session->trace)
        *session->trace = origin;
}

/* Names of headers know no case. */
static void keep_connect_header(struct session *session, const struct wh_connect_request *connect)
{
    static const char name[] = "traceparent";
    for (size_t i = 0; i < connect->headers.count; i++) {
        const struct wh_string_pair *header = &connect->headers.items[i];
        if (header->key.len == strlen(name) &&
            strncasecmp(header->key.ptr, name, strlen(name)) == 0)
            tracing_keep_origin(session, header->value);
    }
}

static void describe(struct wh_span *span, const struct session *session)
{
    if (!span)
        return;
    wh_span_text(span, "wirehub.session", wh_slice_from_str(session->id));
    wh_span_text(span, "network.peer.address", wh_slice_from_str(session->peer));
}

/* A connect is a part of what its client does; of the commands after it each is a trace of its
 * own, because a connection may live for days. */
bool tracing_begin_command(struct session *session,
                           const char *name,
                           const struct wh_connect_request *connect,
                           struct tracing_scope *outer)
{
    struct node *node = session->node;
    struct tracing_scope scope = {.span = NULL};
    char text[32];
    if (!node->tracing || !name)
        return false;
    if (connect)
        keep_connect_header(session, connect);
    snprintf(text, sizeof(text), "ws.command %s", name);
    scope.span = (connect ? wh_span_start : wh_span_start_linked)(
        tracing_tracer(node), session->trace, WH_SPAN_SERVER, wh_slice_from_str(text),
        &scope.trace);
    describe(scope.span, session);
    tracing_enter(node, &scope, outer);
    return true;
}

void tracing_end_command(struct node *node, const struct tracing_scope *outer)
{
    if (!node->tracing->now.is_taken)
        tracing_end(node, &node->tracing->now);
    tracing_leave(node, outer);
}

/* HTTP */

void tracing_begin_http(const struct node *node,
                        const struct http_request *request,
                        struct wh_slice name,
                        struct tracing_scope *out_scope)
{
    struct wh_trace parent;
    *out_scope = (struct tracing_scope){.span = NULL};
    bool has_parent = wh_trace_parse(request->traceparent, &parent) == WH_OK;
    out_scope->span = wh_span_start(tracing_tracer(node), has_parent ? &parent : NULL,
                                    WH_SPAN_SERVER, name, &out_scope->trace);
}

struct wh_slice tracing_traceparent(const struct tracing_scope *scope,
                                    char buffer[WH_TRACEPARENT_LEN + 1])
{
    if (!wh_trace_is_valid(&scope->trace))
        return WH_SLICE_ABSENT;
    wh_trace_format(&scope->trace, buffer);
    return wh_slice(buffer, WH_TRACEPARENT_LEN);
}
