/*
 * A service with a database that does what tests ask of it: counters, events
 * about them, and failures on request.
 */
#include "common/protocol/codec.h"
#include "common/protocol/schema_rows.h"
#include "services/core/db.h"
#include "services/core/migrate.h"
#include "services/core/outbox.h"

struct request {
    struct wh_slice name;
    int64_t by;
    struct wh_slice sql;  /* run before anything else */
    struct wh_slice text; /* of the event */
    bool emit;
    uint32_t refuse; /* code, after everything was done */
};

struct result {
    struct wh_slice name;
    int64_t value;
};

/* clang-format off */
#define T request
static const struct wh_field request_fields[] = {
    FIELD(1, name, STRING),
    FIELD(2, by, I64),
    FIELD(3, sql, STRING),
    FIELD(4, text, STRING),
    FIELD(5, emit, BOOL),
    FIELD(6, refuse, U32),
};
#undef T
SCHEMA(static const, request, "Request", request);

#define T result
static const struct wh_field result_fields[] = {
    FIELD_ALWAYS(1, name, STRING),
    FIELD_ALWAYS(2, value, I64),
};
#undef T
SCHEMA(static const, result, "Result", result);
/* clang-format on */

/* A statement of the test's own; only here is text from outside a statement. */
static uint32_t run_sql(struct svc_ctx *ctx, struct wh_slice sql)
{
    struct wh_slice text = sql.len > 0 ? svc_text(ctx, "%.*s", WH_SLICE_ARGS(sql)) : sql;
    if (text.len > 0 && SVC_SQL(ctx, NULL, text.ptr))
        return svc_db_code(ctx);
    return SVC_OK;
}

static uint32_t emit(struct svc_ctx *ctx, const struct request *in, const struct result *out)
{
    struct wh_slice data = svc_encode(ctx, &result_schema, out);
    struct svc_event_channel channel = {
        .name = WH_SLICE_LITERAL("counters"), .history_size = 1000, .history_ttl_ms = 600000};
    return svc_emit(ctx, &(struct svc_emission){.type = "counter.changed.v1",
                                                .subject = in->name,
                                                .data = data,
                                                .channels = &channel,
                                                .channel_count = 1});
}

static uint32_t add(struct svc_ctx *ctx, const struct wh_rpc_call *call)
{
    struct request in = {.by = 0};
    const struct svc_rows *rows = NULL;
    (void)call;
    if (svc_params(ctx, &request_schema, &in) || in.name.len == 0)
        return svc_fail(ctx, SVC_INVALID, "name is needed");
    uint32_t code = run_sql(ctx, in.sql);
    if (code)
        return code;
    if (SVC_SQL(ctx, &rows,
                "insert into counter as old (name, value) values ($1, $2) "
                "on conflict (name) do update set value = old.value + excluded.value "
                "returning value",
                SVC_TEXT(in.name), SVC_INT(in.by)))
        return svc_db_code(ctx);
    struct result out = {in.name, svc_row_int(rows, 0, 0)};
    if (in.emit && (code = emit(ctx, &in, &out)))
        return code;
    if (in.refuse)
        return svc_fail(ctx, in.refuse, "refused as asked");
    return svc_reply(ctx, &result_schema, &out);
}

static uint32_t get(struct svc_ctx *ctx, const struct wh_rpc_call *call)
{
    struct request in = {.by = 0};
    const struct svc_rows *rows = NULL;
    (void)call;
    if (svc_params(ctx, &request_schema, &in))
        return svc_fail(ctx, SVC_INVALID, "unreadable");
    uint32_t code = run_sql(ctx, in.sql);
    if (code)
        return code;
    if (SVC_SQL(ctx, &rows, "select value from counter where name = $1", SVC_TEXT(in.name)))
        return svc_db_code(ctx);
    if (rows->count == 0)
        return svc_fail(ctx, SVC_NOT_FOUND, "no such counter");
    return svc_reply(ctx, &result_schema, &(struct result){in.name, svc_row_int(rows, 0, 0)});
}

/* An event's data is a request: its sql is run, and that it was seen is noted. */
static uint32_t on_note(struct svc_ctx *ctx, const struct svc_event *event)
{
    struct request in = {.by = 0};
    struct wh_arena *arena = svc_arena(ctx);
    if (wh_decode_whole(WH_ENCODING_JSON, &request_schema, event->data.bytes, arena, &in))
        return svc_fail(ctx, SVC_INVALID, "unreadable");
    uint32_t code = run_sql(ctx, in.sql);
    if (code)
        return code;
    if (SVC_SQL(ctx, NULL, "insert into seen (event_id, subject, text) values ($1, $2, $3)",
                SVC_TEXT(event->id),
                SVC_TEXT(event->subject.ptr ? event->subject : WH_SLICE_LITERAL("")),
                SVC_TEXT(in.text.ptr ? in.text : WH_SLICE_LITERAL(""))))
        return svc_db_code(ctx);
    return in.refuse ? svc_fail(ctx, in.refuse, "refused as asked") : SVC_OK;
}

static const struct svc_method methods[] = {
    {.name = "counters.v1.add", .handler = add, .access = SVC_ANONYMOUS, .tx = SVC_TX_WRITE},
    {.name = "counters.v1.add_keyed",
     .handler = add,
     .access = SVC_ANONYMOUS,
     .tx = SVC_TX_WRITE,
     .requires_key = true},
    {.name = "counters.v1.get", .handler = get, .access = SVC_ANONYMOUS, .tx = SVC_TX_READ},
    {0}};

static const struct svc_consumer consumers[] = {{"note.made.v1", on_note}, {0}};

int main(int argc, char **argv)
{
    return svc_main(argc, argv,
                    &(struct svc_def){.name = "counters",
                                      .version = "1.0.0",
                                      .description = "Counters for tests of services/core.",
                                      .methods = methods,
                                      .consumers = consumers,
                                      .migrations = svc_migrations});
}
