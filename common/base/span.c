/*
 * The tracer is a ring of pointers under a mutex.  When it is full the newest span is the one that
 * is dropped: the beginning of a trace is worth more than a part of its end, and taking never
 * races with dropping.
 */
#include "common/base/span.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"

#include <pthread.h>
#include <stdio.h>

struct wh_tracer {
    pthread_mutex_t lock;
    double ratio;
    size_t capacity;
    size_t head; /* of the oldest */
    size_t count;
    uint64_t dropped;
    void (*on_half_full)(void *user);
    void *user;
    struct wh_span *ring[];
};

/* Tracer */

enum wh_err wh_tracer_new(const struct wh_tracer_options *options, struct wh_tracer **out_tracer)
{
    WH_ASSERT(options->capacity > 0);
    struct wh_tracer *tracer =
        wh_calloc(1, sizeof(*tracer) + options->capacity * sizeof(tracer->ring[0]));
    if (!tracer)
        return WH_ENOMEM;
    pthread_mutex_init(&tracer->lock, NULL);
    tracer->ratio = options->ratio;
    tracer->capacity = options->capacity;
    *out_tracer = tracer;
    return WH_OK;
}

void wh_tracer_free(struct wh_tracer *tracer)
{
    if (!tracer)
        return;
    for (size_t i = 0; i < tracer->count; i++)
        wh_span_free(tracer->ring[(tracer->head + i) % tracer->capacity]);
    pthread_mutex_destroy(&tracer->lock);
    wh_free(tracer);
}

void wh_tracer_on_half_full(struct wh_tracer *tracer, void (*fn)(void *user), void *user)
{
    pthread_mutex_lock(&tracer->lock);
    tracer->on_half_full = fn;
    tracer->user = user;
    pthread_mutex_unlock(&tracer->lock);
}

size_t wh_tracer_take(struct wh_tracer *tracer, struct wh_span **out_spans, size_t max)
{
    pthread_mutex_lock(&tracer->lock);
    size_t count = tracer->count < max ? tracer->count : max;
    for (size_t i = 0; i < count; i++)
        out_spans[i] = tracer->ring[(tracer->head + i) % tracer->capacity];
    tracer->head = (tracer->head + count) % tracer->capacity;
    tracer->count -= count;
    pthread_mutex_unlock(&tracer->lock);
    return count;
}

size_t wh_tracer_count(struct wh_tracer *tracer)
{
    pthread_mutex_lock(&tracer->lock);
    size_t count = tracer->count;
    pthread_mutex_unlock(&tracer->lock);
    return count;
}

uint64_t wh_tracer_dropped(struct wh_tracer *tracer)
{
    pthread_mutex_lock(&tracer->lock);
    uint64_t dropped = tracer->dropped;
    pthread_mutex_unlock(&tracer->lock);
    return dropped;
}

static void count_dropped(struct wh_tracer *tracer)
{
    pthread_mutex_lock(&tracer->lock);
    tracer->dropped++;
    pthread_mutex_unlock(&tracer->lock);
}

static void keep(struct wh_tracer *tracer, struct wh_span *span)
{
    void (*on_half_full)(void *user) = NULL;
    pthread_mutex_lock(&tracer->lock);
    bool is_full = tracer->count == tracer->capacity;
    if (is_full) {
        tracer->dropped++;
    } else {
        tracer->ring[(tracer->head + tracer->count) % tracer->capacity] = span;
        tracer->count++;
        if (tracer->count == (tracer->capacity + 1) / 2)
            on_half_full = tracer->on_half_full;
    }
    void *user = tracer->user;
    pthread_mutex_unlock(&tracer->lock);
    if (is_full)
        wh_span_free(span);
    if (on_half_full)
        on_half_full(user);
}

/* Spans */

static size_t copy_text(char *out, size_t max, struct wh_slice text)
{
    size_t len = text.len < max ? text.len : max;
    if (len > 0)
        memcpy(out, text.ptr, len);
    out[len] = '\0';
    return len;
}

/* A span at `trace`; NULL when that is not sampled, or no memory is left. */
static struct wh_span *span_new(struct wh_tracer *tracer,
                                const struct wh_trace *trace,
                                enum wh_span_kind kind,
                                struct wh_slice name)
{
    if (!wh_trace_is_sampled(trace))
        return NULL;
    struct wh_span *span = wh_calloc(1, sizeof(*span));
    if (!span) {
        count_dropped(tracer);
        return NULL;
    }
    span->tracer = tracer;
    span->trace = *trace;
    span->kind = kind;
    span->start_ns = (uint64_t)wh_clock_wall_ns();
    span->started_us = wh_clock_monotonic_us();
    copy_text(span->name, WH_SPAN_NAME_MAX, name);
    return span;
}

struct wh_span *wh_span_start(struct wh_tracer *tracer,
                              const struct wh_trace *parent,
                              enum wh_span_kind kind,
                              struct wh_slice name,
                              struct wh_trace *out_trace)
{
    struct wh_trace from = {0};
    if (parent && wh_trace_is_valid(parent))
        from = *parent; /* a copy: it may be *out_trace */
    if (!tracer) {
        *out_trace = from;
        return NULL;
    }
    wh_trace_continue(&from, tracer->ratio, out_trace);
    struct wh_span *span = span_new(tracer, out_trace, kind, name);
    if (span)
        memcpy(span->parent_id, from.span_id, sizeof(span->parent_id));
    return span;
}

struct wh_span *wh_span_start_linked(struct wh_tracer *tracer,
                                     const struct wh_trace *other,
                                     enum wh_span_kind kind,
                                     struct wh_slice name,
                                     struct wh_trace *out_trace)
{
    if (!tracer) {
        *out_trace = (struct wh_trace){0};
        return NULL;
    }
    if (!other || !wh_trace_is_valid(other))
        return wh_span_start(tracer, NULL, kind, name, out_trace);
    wh_trace_begin(wh_trace_is_sampled(other) ? 1 : 0, out_trace);
    struct wh_span *span = span_new(tracer, out_trace, kind, name);
    wh_span_link(span, other);
    return span;
}

static struct wh_span_attribute *add_attribute(struct wh_span *span, const char *key)
{
    if (!span || span->attribute_count == WH_SPAN_ATTRIBUTES_MAX)
        return NULL;
    struct wh_span_attribute *attribute = &span->attributes[span->attribute_count++];
    attribute->key = key;
    return attribute;
}

void wh_span_text(struct wh_span *span, const char *key, struct wh_slice value)
{
    struct wh_span_attribute *attribute = add_attribute(span, key);
    if (!attribute)
        return;
    size_t room = WH_SPAN_TEXT_MAX - span->text_len;
    size_t len = value.len < room ? value.len : room;
    char *at = span->text + span->text_len;
    if (len > 0)
        memcpy(at, value.ptr, len);
    attribute->text = wh_slice(at, len);
    span->text_len += len;
}

void wh_span_number(struct wh_span *span, const char *key, int64_t value)
{
    struct wh_span_attribute *attribute = add_attribute(span, key);
    if (!attribute)
        return;
    attribute->is_number = true;
    attribute->number = value;
}

void wh_span_link(struct wh_span *span, const struct wh_trace *other)
{
    if (span && other)
        span->link = *other;
}

void wh_span_fail(struct wh_span *span, struct wh_slice message)
{
    if (!span)
        return;
    span->status = WH_SPAN_ERROR;
    copy_text(span->message, WH_SPAN_MESSAGE_MAX, message);
}

void wh_span_end(struct wh_span *span)
{
    if (!span)
        return;
    span->end_ns = span->start_ns + (wh_clock_monotonic_us() - span->started_us) * 1000;
    keep(span->tracer, span);
}

void wh_span_free(struct wh_span *span)
{
    wh_free(span);
}
