/*
 * The library's log (log.c): lines of "name=value" fields to the program's
 * sink, or to stderr when the environment asks.  Silent otherwise.  Tokens never go in.
 *
 * Any thread, with or without locks: a sink must not call the library.
 */
#ifndef WH_SDK_TRACE_H
#define WH_SDK_TRACE_H

#include "common/base/buf.h"
#include "common/base/err.h"

#include <wirehub/runtime.h>

/* Whether anybody listens: ask before anything costly is put together. */
bool trace_enabled(enum wh_severity severity, const char *area);

/* One line, without what looks like a JWT and without control characters.  `fields_format` gives
 * the fields, "code=%u reason=\"%s\""; "" = none. */
WH_PRINTF(4, 5)
void trace_line(enum wh_severity severity,
                const char *area,
                const char *event,
                const char *fields_format,
                ...);

/* A frame, in area "wire" with TRACE: the text of a text frame, without secrets; of a binary one
 * its length. */
void trace_frame(const char *event, struct wh_slice frame, bool is_text);

/* Append JSON `text`, escaped for a quoted field, with "***" for the values of members that are
 * named like tokens, passwords, cookies or keys, whatever kind of value it is, for all headers, and
 * for strings that look like a JWT or say what an Authorization header says. */
void trace_redact(struct wh_buf *out, struct wh_slice text);

#endif
