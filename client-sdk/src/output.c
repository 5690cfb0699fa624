/*
 * What comes out of the engine: actions, frames, events.
 *
 * Commands are encoded straight into `out`, which holds whole frames one
 * behind the other: `out_ends` has the ends of those that are full, the last one, from
 * `out_start`, still grows.  A frame grows until it is taken or past ENGINE_FRAME_BYTES: what a
 * program asks for in one turn leaves in one frame.
 */
#include "client-sdk/src/engine.h"
#include "client-sdk/src/trace.h"

struct engine_action engine_take_action(struct engine *engine)
{
    struct engine_action *action =
        engine->close.kind != ENGINE_NO_ACTION ? &engine->close : &engine->open;
    struct engine_action taken = *action;
    action->kind = ENGINE_NO_ACTION;
    return taken;
}

bool engine_take_ping(struct engine *engine)
{
    bool wants_ping = engine->wants_ping && engine->is_open;
    if (wants_ping)
        engine->wants_ping = false;
    return wants_ping;
}

/* ---- frames ---------------------------------------------------------------------------------- */

size_t engine_out_bytes(const struct engine *engine)
{
    return engine->out.len - engine->out_taken;
}

static size_t ends_count(const struct engine *engine)
{
    return engine->out_ends.len / sizeof(size_t);
}

static size_t end_at(const struct engine *engine, size_t index)
{
    size_t end;
    memcpy(&end, engine->out_ends.ptr + index * sizeof(end), sizeof(end));
    return end;
}

/* The frame that grows is full. */
static enum wh_err end_frame(struct engine *engine)
{
    size_t end = engine->out.len;
    wh_buf_append(&engine->out_ends, &end, sizeof(end));
    if (wh_buf_error(&engine->out_ends)) {
        engine->out_ends.err = WH_OK;
        return WH_ENOMEM;
    }
    engine->out_start = end;
    return WH_OK;
}

static enum wh_err encode(struct engine *engine, const struct wh_command *command)
{
    size_t before = engine->out.len;
    enum wh_err err =
        wh_encode(engine->encoding, &wh_command_schema, command, engine->out_start, &engine->out);
    if (err) {
        /* A command may be missing from a frame, half a command not; the buffer is good again. */
        wh_buf_truncate(&engine->out, before);
        engine->out.err = WH_OK;
    }
    return err;
}

enum wh_err engine_put(struct engine *engine, const struct wh_command *command)
{
    size_t before = engine->out.len;
    enum wh_err err = encode(engine, command);
    if (err || before == engine->out_start ||
        engine->out.len - engine->out_start <= ENGINE_FRAME_BYTES)
        return err;
    wh_buf_truncate(&engine->out, before);
    err = end_frame(engine);
    return err ? err : encode(engine, command);
}

bool engine_has_frame(const struct engine *engine)
{
    if (!engine->is_open)
        return false;
    return engine->out_ends_taken < ends_count(engine) ||
           (engine->out.len > engine->out_start && engine->batch_depth == 0);
}

bool engine_take_frame(struct engine *engine, struct wh_buf *frame)
{
    if (!engine_has_frame(engine))
        return false;
    size_t end = engine->out.len;
    bool is_full = engine->out_ends_taken < ends_count(engine);
    if (is_full)
        end = end_at(engine, engine->out_ends_taken);
    wh_buf_append(frame, engine->out.ptr + engine->out_taken, end - engine->out_taken);
    if (wh_buf_error(frame)) {
        engine_reconnect_no_memory(engine);
        return false;
    }
    if (trace_enabled(WH_SEVERITY_TRACE, "wire"))
        trace_frame("out", wh_buf_slice(frame), engine->encoding == WH_ENCODING_JSON);
    engine->stats.frames_out++;
    engine->stats.bytes_out += end - engine->out_taken;
    engine->out_taken = end;
    if (is_full)
        engine->out_ends_taken++;
    else
        engine->out_start = end;
    if (end == engine->out.len) {
        wh_buf_reset(&engine->out);
        wh_buf_reset(&engine->out_ends);
        engine->out_taken = engine->out_start = engine->out_ends_taken = 0;
    }
    return true;
}

void engine_batch(struct engine *engine, int change)
{
    if (change > 0)
        engine->batch_depth++;
    else if (engine->batch_depth > 0)
        engine->batch_depth--;
}

/* ---- events and counters --------------------------------------------------------------------- */

bool engine_wants_to_read(struct engine *engine)
{
    size_t limit = engine->settings->event_queue_bytes_max;
    if (engine->events.bytes > limit)
        engine->is_reading_paused = true;
    else if (engine->events.bytes <= limit / 2)
        engine->is_reading_paused = false;
    return !engine->is_reading_paused;
}

struct event *engine_take_event(struct engine *engine)
{
    return event_queue_pop(&engine->events);
}

enum wh_client_state engine_public_state(const struct engine *engine)
{
    switch (engine->state) {
    case ENGINE_DISCONNECTED:
        return WH_CLIENT_DISCONNECTED;
    case ENGINE_CONNECTED:
        return WH_CLIENT_CONNECTED;
    case ENGINE_CLOSED:
        return WH_CLIENT_CLOSED;
    default:
        return WH_CLIENT_CONNECTING;
    }
}

void engine_stats(const struct engine *engine, struct wh_client_stats *out_stats)
{
    *out_stats = engine->stats;
    out_stats->events_waiting = engine->events.count;
    out_stats->event_queue_bytes = engine->events.bytes;
    out_stats->send_queue_bytes = engine_out_bytes(engine) + engine->unsent_bytes;
    out_stats->calls_in_flight = engine->pending_count;
}
