#include "services/core/outbox.h"

#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/protocol/codec.h"
#include "common/protocol/json.h"
#include "services/core/core.h"
#include "services/core/db_conn.h"
#include "services/core/event.h"

struct wh_slice svc_encode(struct svc_ctx *ctx, const struct wh_schema *schema, const void *message)
{
    struct wh_buf text;
    struct wh_slice copy = WH_SLICE_ABSENT;
    wh_buf_init(&text, SVC_EVENT_BYTES_MAX);
    enum wh_err err = wh_encode(WH_ENCODING_JSON, schema, message, 0, &text);
    if (!err && !wh_buf_error(&text))
        copy = wh_arena_copy(&ctx->arena, wh_buf_slice(&text));
    wh_buf_deinit(&text);
    return copy;
}

/* What must be true, or the relay would have to cope with it. */
static const char *find_problem(const struct svc_emission *emission)
{
    if (!svc_event_type_is_valid(wh_slice_from_str(emission->type)))
        return "type: segments of letters, digits, '-' and '_', and dots";
    if (emission->data.len > SVC_EVENT_BYTES_MAX)
        return "data: at most 1 MiB";
    if (emission->data.ptr && !wh_json_is_valid(emission->data))
        return "data: no JSON";
    if (emission->channel_count > SVC_EVENT_CHANNELS_MAX)
        return "channels: at most 8";
    for (size_t i = 0; i < emission->channel_count; i++) {
        struct wh_slice payload = emission->channels[i].payload;
        if (emission->channels[i].name.len == 0)
            return "channels: one has no name";
        if (payload.len > SVC_EVENT_BYTES_MAX || (payload.ptr && !wh_json_is_valid(payload)))
            return "channels: a payload is no JSON, or above 1 MiB";
    }
    return NULL;
}

static void write_channels(const struct svc_emission *emission, struct wh_buf *out)
{
    wh_buf_append_char(out, '[');
    for (size_t i = 0; i < emission->channel_count; i++) {
        const struct svc_event_channel *channel = &emission->channels[i];
        wh_buf_append_str(out, i > 0 ? ",{\"name\":" : "{\"name\":");
        wh_json_write_string(out, channel->name);
        wh_buf_printf(out, ",\"history_size\":%llu,\"history_ttl_ms\":%llu",
                      (unsigned long long)channel->history_size,
                      (unsigned long long)channel->history_ttl_ms);
        if (channel->payload.ptr) {
            wh_buf_append_str(out, ",\"payload\":");
            wh_json_write_raw(out, channel->payload);
        }
        wh_buf_append_char(out, '}');
    }
    wh_buf_append_char(out, ']');
}

static uint32_t insert(struct svc_ctx *ctx,
                       const struct svc_emission *emission,
                       const char *id,
                       const struct wh_buf *payload,
                       const struct wh_buf *channels)
{
    if (SVC_SQL(ctx, NULL,
                "insert into outbox (event_id, aggregate, type, payload, channels, traceparent) "
                "values ($1, $2, $3, $4, $5, $6)",
                SVC_UUID(wh_slice_from_str(id)),
                SVC_TEXT(emission->subject.ptr ? emission->subject : WH_SLICE_LITERAL("")),
                SVC_STR(emission->type), SVC_JSON(wh_buf_slice(payload)),
                SVC_JSON(wh_buf_slice(channels)), SVC_TEXT(ctx->traceparent)))
        return svc_db_code(ctx);
    ctx->db->has_emitted = true;
    return SVC_OK;
}

uint32_t svc_emit(struct svc_ctx *ctx, const struct svc_emission *emission)
{
    const char *problem = find_problem(emission);
    char id[37];
    struct wh_buf payload = {0};
    struct wh_buf channels = {0};
    WH_ASSERT(ctx->db && ctx->db->is_in_tx && !ctx->db->is_read_only);
    if (problem)
        return svc_fail(ctx, SVC_INTERNAL, "event %s: %s", emission->type, problem);
    wh_random_uuid_v7(id);
    struct svc_event event = {
        .id = wh_slice_from_str(id),
        .source = svc_text(ctx, "/wirehub/%s", ctx->svc ? ctx->svc->def->name : "test"),
        .type = wh_slice_from_str(emission->type),
        .subject = emission->subject,
        .time_ms = (uint64_t)wh_clock_wall_ms(),
        .traceparent = ctx->traceparent,
        .data = {WH_PAYLOAD_JSON, emission->data.ptr ? emission->data : WH_SLICE_LITERAL("null")},
    };
    svc_event_write(&event, &payload);
    write_channels(emission, &channels);
    uint32_t code = wh_buf_error(&payload) || wh_buf_error(&channels)
                        ? svc_fail(ctx, SVC_INTERNAL, "out of memory")
                        : insert(ctx, emission, id, &payload, &channels);
    wh_buf_deinit(&payload);
    wh_buf_deinit(&channels);
    return code;
}
