/*
 * What was done, when and for whom: spans, and the tracer that keeps the finished ones until an
 * exporter takes them (common/io/otlp.h).
 *
 *     struct wh_trace trace;
 *     struct wh_span *span = wh_span_start(tracer, parent, WH_SPAN_CLIENT, name, &trace);
 *     … `trace` goes along with whatever is asked of others …
 *     wh_span_end(span);
 *
 * A span exists only while somebody wants it: with a tracer that is NULL (tracing is off), for a
 * trace that is not sampled, and when memory is short wh_span_start gives NULL, which every other
 * function takes for "nothing to do".
 *
 * A tracer holds at most `capacity` finished spans; what does not fit is dropped and counted.  One
 * mutex, held for a few instructions: spans may be started and ended on any thread; a span itself
 * is used by one thread at a time.
 */
#ifndef WH_BASE_SPAN_H
#define WH_BASE_SPAN_H

#include "common/base/trace.h"

#include <stdbool.h>

/* The numbers of OTLP. */
enum wh_span_kind {
    WH_SPAN_INTERNAL = 1,
    WH_SPAN_SERVER = 2,
    WH_SPAN_CLIENT = 3,
    WH_SPAN_PRODUCER = 4,
    WH_SPAN_CONSUMER = 5
};

enum wh_span_status { WH_SPAN_UNSET = 0, WH_SPAN_OK = 1, WH_SPAN_ERROR = 2 };

enum {
    WH_SPAN_NAME_MAX = 160,     /* bytes; what is longer is cut */
    WH_SPAN_ATTRIBUTES_MAX = 8, /* further ones are left out */
    WH_SPAN_TEXT_MAX = 256,     /* bytes of all text values of a span together */
    WH_SPAN_MESSAGE_MAX = 96,   /* bytes of the status message */
    WH_TRACER_CAPACITY = 4096,  /* finished spans, the usual bound */
};

struct wh_span_attribute {
    const char *key; /* borrowed for the process's life */
    bool is_number;
    int64_t number;
    struct wh_slice text; /* into the span's texts */
};

struct wh_tracer;

/* Read by exporters; written by the functions below alone. */
struct wh_span {
    struct wh_tracer *tracer;
    struct wh_trace trace;               /* its own place */
    uint8_t parent_id[WH_SPAN_ID_BYTES]; /* all zero: the first of its trace */
    struct wh_trace link;                /* another place that it has to do with; or not valid */
    enum wh_span_kind kind;
    enum wh_span_status status;
    uint64_t start_ns; /* unix time */
    uint64_t end_ns;
    uint64_t started_us; /* monotonic: a clock that is set does not lengthen spans */
    size_t attribute_count;
    struct wh_span_attribute attributes[WH_SPAN_ATTRIBUTES_MAX];
    size_t text_len;
    char name[WH_SPAN_NAME_MAX + 1];
    char message[WH_SPAN_MESSAGE_MAX + 1];
    char text[WH_SPAN_TEXT_MAX];
};

struct wh_tracer_options {
    double ratio;    /* 0 to 1, of the traces that begin here */
    size_t capacity; /* spans; at least 1 */
};

/* WH_ENOMEM. */
WH_MUST_CHECK enum wh_err wh_tracer_new(const struct wh_tracer_options *options,
                                        struct wh_tracer **out_tracer);

/* After the last of its spans was ended.  NULL is fine. */
void wh_tracer_free(struct wh_tracer *tracer);

/*
 * Called each time when the finished spans come to half of the capacity, by whichever thread ended
 * the last of them, without the lock; NULL: nobody.  Set before spans are started on other threads,
 * and unset when they have ended.
 */
void wh_tracer_on_half_full(struct wh_tracer *tracer, void (*fn)(void *user), void *user);

/* Move the oldest finished spans, at most `max`, to `out_spans`; each is freed by wh_span_free. */
size_t wh_tracer_take(struct wh_tracer *tracer, struct wh_span **out_spans, size_t max);

/* How many are waiting; how many were lost for want of room or memory since the tracer is there. */
size_t wh_tracer_count(struct wh_tracer *tracer);
uint64_t wh_tracer_dropped(struct wh_tracer *tracer);

/*
 * Begin a piece of work for `parent` (NULL or not valid: for nobody that is known).  `*out_trace`
 * is where it stands: a child of `parent`, or the beginning of a new trace, sampled by the
 * tracer's ratio.  Without a tracer it is `parent` itself, or not valid: what others said goes
 * through unchanged.
 */
struct wh_span *wh_span_start(struct wh_tracer *tracer,
                              const struct wh_trace *parent,
                              enum wh_span_kind kind,
                              struct wh_slice name,
                              struct wh_trace *out_trace);

/*
 * The same at the beginning of a new trace, which takes over the decision of `other` (NULL or not
 * valid: the tracer's ratio decides) and is linked to it: for one of many pieces of work on behalf
 * of something that lives long.  Without a tracer `*out_trace` is not valid.
 */
struct wh_span *wh_span_start_linked(struct wh_tracer *tracer,
                                     const struct wh_trace *other,
                                     enum wh_span_kind kind,
                                     struct wh_slice name,
                                     struct wh_trace *out_trace);

/* Values are copied, text as far as it fits. */
void wh_span_text(struct wh_span *span, const char *key, struct wh_slice value);
void wh_span_number(struct wh_span *span, const char *key, int64_t value);

/* Refer to another place, of another trace for instance; the last one counts. */
void wh_span_link(struct wh_span *span, const struct wh_trace *other);

/* It failed; `message` is for people and may be empty. */
void wh_span_fail(struct wh_span *span, struct wh_slice message);

/* It is done: the tracer has it now. */
void wh_span_end(struct wh_span *span);

/* Forget it: a span that was not ended, or that was taken. */
void wh_span_free(struct wh_span *span);

#endif
