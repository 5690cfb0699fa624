/*
 * Spans as an ExportTraceServiceRequest in OTLP's JSON form (OpenTelemetry protocol 1.x, "JSON
 * Protobuf Encoding": ids in hex, 64-bit integers as strings, enums as numbers).  Pure.
 */
#ifndef WH_PROTOCOL_OTLP_JSON_H
#define WH_PROTOCOL_OTLP_JSON_H

#include "common/base/buf.h"
#include "common/base/span.h"

/* Who speaks; borrowed text in UTF-8, NULL is left out. */
struct wh_otlp_resource {
    const char *service_name; /* "wirehub", "wirehub-order" */
    const char *service_version;
    const char *service_instance_id; /* different for each process */
};

/* Append one request; failures are in the buffer. */
void wh_otlp_encode(const struct wh_otlp_resource *resource,
                    struct wh_span *const *spans,
                    size_t count,
                    struct wh_buf *out);

#endif
