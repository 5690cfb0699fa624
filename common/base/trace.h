/*
 * W3C Trace Context (https://www.w3.org/TR/trace-context/, level 1): which trace a piece of work
 * belongs to, and who is its parent in it.  Ids come from wh_random.  Pure; any thread.
 *
 * What came from outside is never an error of the one who sent it: a traceparent that cannot be
 * read counts as none, and a new trace begins.
 */
#ifndef WH_BASE_TRACE_H
#define WH_BASE_TRACE_H

#include "common/base/err.h"
#include "common/base/slice.h"

#include <stdint.h>

enum {
    WH_TRACE_ID_BYTES = 16,
    WH_SPAN_ID_BYTES = 8,
    WH_TRACE_ID_HEX = 2 * WH_TRACE_ID_BYTES, /* characters, without NUL */
    WH_SPAN_ID_HEX = 2 * WH_SPAN_ID_BYTES,
    WH_TRACEPARENT_LEN = 55,    /* characters of one that we write, without NUL */
    WH_TRACESTATE_MAX = 512,    /* bytes; a longer one is dropped whole */
    WH_TRACESTATE_MEMBERS = 32, /* list members; with more it is dropped whole */
};

enum { WH_TRACE_SAMPLED = 1 }; /* in flags */

/* A place in a trace: the span that work is done for.  All zero: in no trace. */
struct wh_trace {
    uint8_t trace_id[WH_TRACE_ID_BYTES];
    uint8_t span_id[WH_SPAN_ID_BYTES];
    uint8_t flags;
};

/* Whether both ids are there. */
bool wh_trace_is_valid(const struct wh_trace *trace);
bool wh_trace_is_sampled(const struct wh_trace *trace); /* and valid */

/*
 * The value of a traceparent header: version 00 exactly, later versions as far as they are 00's
 * beginning; only the sampled flag is kept.  WH_EFORMAT, also for ids of zeros and version ff.
 */
WH_MUST_CHECK enum wh_err wh_trace_parse(struct wh_slice traceparent, struct wh_trace *out_trace);

/* Version 00, NUL-terminated. */
void wh_trace_format(const struct wh_trace *trace, char out[WH_TRACEPARENT_LEN + 1]);

/* The trace id in lower-case hex, NUL-terminated. */
void wh_trace_id_format(const struct wh_trace *trace, char out[WH_TRACE_ID_HEX + 1]);

/* `len` bytes as 2 · len lower-case digits and NUL. */
void wh_trace_hex(const uint8_t *bytes, size_t len, char *out);

/* A tracestate header as it goes on: itself, or absent when it breaks the grammar or a limit. */
struct wh_slice wh_trace_state(struct wh_slice tracestate);

/* "0", "1", "0.25": WH_EFORMAT for anything else, or outside 0 to 1. */
WH_MUST_CHECK enum wh_err wh_trace_ratio_parse(struct wh_slice text, double *out_ratio);

/* A new trace, with ids of its own, sampled with a probability of `ratio` (0 to 1). */
void wh_trace_begin(double ratio, struct wh_trace *out_trace);

/* The same trace and flags, a new span id; may be the same struct. */
void wh_trace_child(const struct wh_trace *parent, struct wh_trace *out_trace);

/*
 * Parent-based sampling in one step: a child of `parent` when that is valid, with its decision;
 * otherwise (or NULL) a new trace.
 */
void wh_trace_continue(const struct wh_trace *parent, double ratio, struct wh_trace *out_trace);

/* Whether `ratio` takes this trace id: the same answer wherever the same rule is used. */
bool wh_trace_ratio_takes(double ratio, const uint8_t trace_id[WH_TRACE_ID_BYTES]);

#endif
