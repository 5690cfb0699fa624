/*
 * Domain events as CloudEvents 1.0 in JSON, both directions.  Pure.
 */
#ifndef SERVICES_CORE_EVENT_H
#define SERVICES_CORE_EVENT_H

#include "services/core/service.h"

enum {
    SVC_EVENT_ID_MAX = 128,  /* bytes */
    SVC_EVENT_TYPE_MAX = 128 /* bytes; segments of letters, digits, '-', '_', and dots */
};

/* One object; `event->data` must be JSON or absent.  Failures are in the buffer. */
void svc_event_write(const struct svc_event *event, struct wh_buf *out);

/*
 * Slices point into `text` or the arena.  Members that we do not know are skipped.
 * WH_EFORMAT: no CloudEvent 1.0 with id, source and type, or a value over its limit, with what is
 * wrong in `*out_problem` (static); WH_ENOMEM.
 */
WH_MUST_CHECK enum wh_err svc_event_read(struct wh_slice text,
                                         struct wh_arena *arena,
                                         struct svc_event *out_event,
                                         const char **out_problem);

/* Whether `type` names an event: two segments or more. */
bool svc_event_type_is_valid(struct wh_slice type);

/* "wh:events:order" for "order.confirmed.v1". */
void svc_event_stream(struct wh_slice type, struct wh_buf *out);

/* RFC 3339 with milliseconds, "2026-01-31T12:00:00.000Z"; parsed with any offset and fraction. */
void svc_time_write(int64_t unix_ms, struct wh_buf *out);
WH_MUST_CHECK enum wh_err svc_time_read(struct wh_slice text, int64_t *out_unix_ms);

#endif
