/* What is at its default is left out, as protobuf does it: a status that is unset, a parent or a
 * link that is not there. */
#include "common/protocol/otlp_json.h"

#include "common/protocol/json.h"

#include <inttypes.h>

static const char scope_name[] = "wirehub";

static void write_hex(struct wh_buf *out, const char *name, const uint8_t *id, size_t len)
{
    char text[WH_TRACE_ID_HEX + 1];
    wh_trace_hex(id, len, text);
    wh_buf_printf(out, "\"%s\":\"%s\"", name, text);
}

/* {"key":K,"value":{"stringValue": … } }, with the value still to come. */
static void begin_attribute(struct wh_buf *out, const char *key, bool is_first)
{
    wh_buf_append_str(out, is_first ? "{\"key\":" : ",{\"key\":");
    wh_json_write_string(out, wh_slice_from_str(key));
    wh_buf_append_str(out, ",\"value\":{");
}

static void write_text(struct wh_buf *out, const char *key, struct wh_slice value, bool is_first)
{
    begin_attribute(out, key, is_first);
    wh_buf_append_str(out, "\"stringValue\":");
    wh_json_write_string(out, value);
    wh_buf_append_str(out, "}}");
}

static void write_resource(struct wh_buf *out, const struct wh_otlp_resource *resource)
{
    const struct {
        const char *key;
        const char *value;
    } rows[] = {
        {"service.name", resource->service_name},
        {"service.version", resource->service_version},
        {"service.instance.id", resource->service_instance_id},
    };
    bool is_first = true;
    wh_buf_append_str(out, "\"resource\":{\"attributes\":[");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (!rows[i].value)
            continue;
        write_text(out, rows[i].key, wh_slice_from_str(rows[i].value), is_first);
        is_first = false;
    }
    wh_buf_append_str(out, "]}");
}

static void write_attributes(struct wh_buf *out, const struct wh_span *span)
{
    if (span->attribute_count == 0)
        return;
    wh_buf_append_str(out, ",\"attributes\":[");
    for (size_t i = 0; i < span->attribute_count; i++) {
        const struct wh_span_attribute *attribute = &span->attributes[i];
        if (!attribute->is_number) {
            write_text(out, attribute->key, attribute->text, i == 0);
            continue;
        }
        begin_attribute(out, attribute->key, i == 0);
        wh_buf_printf(out, "\"intValue\":\"%" PRId64 "\"}}", attribute->number);
    }
    wh_buf_append_char(out, ']');
}

static void write_link(struct wh_buf *out, const struct wh_trace *link)
{
    if (!wh_trace_is_valid(link))
        return;
    wh_buf_append_str(out, ",\"links\":[{");
    write_hex(out, "traceId", link->trace_id, WH_TRACE_ID_BYTES);
    wh_buf_append_char(out, ',');
    write_hex(out, "spanId", link->span_id, WH_SPAN_ID_BYTES);
    wh_buf_append_str(out, "}]");
}

static void write_status(struct wh_buf *out, const struct wh_span *span)
{
    if (span->status == WH_SPAN_UNSET)
        return;
    wh_buf_printf(out, ",\"status\":{\"code\":%d", (int)span->status);
    if (span->message[0]) {
        wh_buf_append_str(out, ",\"message\":");
        wh_json_write_string(out, wh_slice_from_str(span->message));
    }
    wh_buf_append_char(out, '}');
}

static void write_span(struct wh_buf *out, const struct wh_span *span)
{
    static const uint8_t no_id[WH_SPAN_ID_BYTES];
    wh_buf_append_char(out, '{');
    write_hex(out, "traceId", span->trace.trace_id, WH_TRACE_ID_BYTES);
    wh_buf_append_char(out, ',');
    write_hex(out, "spanId", span->trace.span_id, WH_SPAN_ID_BYTES);
    if (memcmp(span->parent_id, no_id, sizeof(no_id)) != 0) {
        wh_buf_append_char(out, ',');
        write_hex(out, "parentSpanId", span->parent_id, WH_SPAN_ID_BYTES);
    }
    wh_buf_append_str(out, ",\"name\":");
    wh_json_write_string(out, wh_slice_from_str(span->name));
    wh_buf_printf(out,
                  ",\"kind\":%d,\"startTimeUnixNano\":\"%" PRIu64
                  "\",\"endTimeUnixNano\":\"%" PRIu64 "\",\"flags\":%d",
                  (int)span->kind, span->start_ns, span->end_ns, (int)span->trace.flags);
    write_attributes(out, span);
    write_link(out, &span->link);
    write_status(out, span);
    wh_buf_append_char(out, '}');
}

void wh_otlp_encode(const struct wh_otlp_resource *resource,
                    struct wh_span *const *spans,
                    size_t count,
                    struct wh_buf *out)
{
    wh_buf_append_str(out, "{\"resourceSpans\":[{");
    write_resource(out, resource);
    wh_buf_printf(out, ",\"scopeSpans\":[{\"scope\":{\"name\":\"%s\"},\"spans\":[", scope_name);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            wh_buf_append_char(out, ',');
        write_span(out, spans[i]);
    }
    wh_buf_append_str(out, "]}]}]}");
}
