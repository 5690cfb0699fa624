/*
 * Handlers with a scripted database, and what errors of PostgreSQL mean.
 */
#include "services/core/test_db.h"
#include "services/core/db_conn.h"
#include "services/core/outbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static uint32_t buy(struct svc_ctx *ctx, const struct wh_rpc_call *call)
{
    const struct svc_rows *rows = NULL;
    (void)call;
    if (SVC_SQL(ctx, &rows, "select name, stock, note from product where id = $1", SVC_INT(7)))
        return svc_db_code(ctx);
    if (rows->count == 0)
        return svc_fail(ctx, SVC_NOT_FOUND, "no such product");
    if (!svc_row_is_null(rows, 0, 2) || svc_row_int(rows, 0, 1) == 0)
        return svc_fail(ctx, SVC_CONFLICT, "out of stock");
    if (SVC_SQL(ctx, NULL, "update product set stock = stock - 1"))
        return svc_db_code(ctx);
    uint32_t code = svc_emit(ctx, &(struct svc_emission){.type = "product.sold.v1",
                                                         .subject = WH_SLICE_LITERAL("7"),
                                                         .data = WH_SLICE_LITERAL("{\"n\":1}")});
    return code ? code
                : svc_reply_json(
                      ctx, svc_text(ctx, "\"%.*s\"", WH_SLICE_ARGS(svc_row_text(rows, 0, 0))));
}

static const struct svc_method methods[] = {
    {.name = "shop.v1.buy", .handler = buy, .tx = SVC_TX_WRITE},
    {0}};

static uint32_t call_buy(struct svc_ctx *ctx)
{
    return svc_test_call(ctx, methods, "shop.v1.buy", &(struct svc_test_call){.params = "{}"});
}

static void a_handler_sees_what_the_script_says(void **state)
{
    static const char *const mug[] = {"Mug", "3", NULL};
    struct svc_ctx *ctx = svc_test_open(NULL, NULL);
    (void)state;
    svc_test_db_open(ctx);
    assert_int_equal(call_buy(ctx), SVC_NOT_FOUND);
    svc_test_db_rows(ctx, "from product", 3, mug, 3);
    assert_int_equal(call_buy(ctx), SVC_OK);
    assert_string_equal(svc_test_answer(ctx), "\"Mug\"");
    assert_int_equal(svc_test_db_count(ctx, "update product"), 1);
    assert_string_equal(svc_test_db_param(ctx, "from product", 0), "7");
    assert_string_equal(svc_test_db_param(ctx, "into outbox", 2), "product.sold.v1");
    assert_non_null(strstr(svc_test_db_param(ctx, "into outbox", 3), "\"data\":{\"n\":1}"));
    svc_test_close(ctx);
}

static void a_statement_that_fails_has_a_code(void **state)
{
    static const struct {
        enum svc_db_err err;
        uint32_t code;
    } cases[] = {
        {SVC_DB_NOT_UNIQUE, 409},   {SVC_DB_CHECK, 422},        {SVC_DB_INVALID, 107},
        {SVC_DB_TIMEOUT, 1504},     {SVC_DB_UNAVAILABLE, 1503}, {SVC_DB_FAILED, 100},
        {SVC_DB_LOST_COMMIT, 1504},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct svc_ctx *ctx = svc_test_open(NULL, NULL);
        svc_test_db_open(ctx);
        svc_test_db_fails(ctx, "from product", cases[i].err);
        assert_int_equal(call_buy(ctx), cases[i].code);
        svc_test_close(ctx);
    }
}

static void events_that_the_relay_could_not_carry_are_refused(void **state)
{
    static const struct svc_event_channel nameless[] = {{.history_size = 1}};
    const struct svc_emission emissions[] = {
        {.type = "nodots"},
        {.type = "a.b", .data = WH_SLICE_LITERAL("{")},
        {.type = "a.b", .channels = nameless, .channel_count = 1},
        {.type = "a.b", .channel_count = SVC_EVENT_CHANNELS_MAX + 1},
    };
    struct svc_ctx *ctx = svc_test_open(NULL, NULL);
    (void)state;
    svc_test_db_open(ctx);
    for (size_t i = 0; i < sizeof emissions / sizeof emissions[0]; i++)
        assert_int_equal(svc_emit(ctx, &emissions[i]), SVC_INTERNAL);
    assert_int_equal(svc_test_db_count(ctx, "outbox"), 0);
    svc_test_close(ctx);
}

static void sqlstates_have_their_class(void **state)
{
    static const struct {
        const char *sqlstate;
        enum svc_db_err err;
    } cases[] = {
        {"23505", SVC_DB_NOT_UNIQUE},  {"23514", SVC_DB_CHECK},       {"23503", SVC_DB_CHECK},
        {"22P02", SVC_DB_INVALID},     {"40001", SVC_DB_RETRY},       {"40P01", SVC_DB_RETRY},
        {"55P03", SVC_DB_RETRY},       {"57014", SVC_DB_TIMEOUT},     {"57P01", SVC_DB_UNAVAILABLE},
        {"08006", SVC_DB_UNAVAILABLE}, {"53300", SVC_DB_UNAVAILABLE}, {"42P01", SVC_DB_FAILED},
        {"40002", SVC_DB_FAILED},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(svc_db_classify(cases[i].sqlstate), cases[i].err);
}

/* A connection that notes what goes with its statements. */
static char seen_comment[WH_TRACEPARENT_LEN + 1];

static enum svc_db_err note_comment(struct svc_db *db,
                                    const char *sql,
                                    const struct svc_param *params,
                                    size_t count,
                                    struct svc_rows **out_rows)
{
    (void)sql;
    (void)params;
    (void)count;
    (void)out_rows;
    memcpy(seen_comment, db->comment, sizeof seen_comment);
    return SVC_DB_INVALID;
}

static void run_traced(struct wh_tracer *tracer, const char *traceparent)
{
    static const struct svc_db_ops ops = {.query = note_comment};
    struct svc_db db = {.ops = &ops, .deadline_ms = UINT64_MAX};
    struct wh_trace trace;
    assert_int_equal(wh_trace_parse(wh_slice_from_str(traceparent), &trace), WH_OK);
    svc_db_set_trace(&db, tracer, &trace);
    assert_int_equal(svc_db_query(&db, "select $1", NULL, 0, NULL), SVC_DB_INVALID);
    assert_string_equal(db.comment, "");
    svc_db_set_trace(&db, NULL, NULL);
}

#define TRACE_ID "4bf92f3577b34da6a3ce929d0e0e4736"

static void statements_of_a_sampled_trace_alone_carry_it(void **state)
{
    (void)state;
    run_traced(NULL, "00-" TRACE_ID "-00f067aa0ba902b7-01");
    assert_string_equal(seen_comment, "00-" TRACE_ID "-00f067aa0ba902b7-01");
    run_traced(NULL, "00-" TRACE_ID "-00f067aa0ba902b7-00");
    assert_string_equal(seen_comment, "");
}

static void a_statement_is_a_span_without_its_parameters(void **state)
{
    struct wh_tracer *tracer = NULL;
    struct wh_span *span = NULL;
    char traceparent[WH_TRACEPARENT_LEN + 1];
    (void)state;
    assert_int_equal(wh_tracer_new(&(struct wh_tracer_options){.ratio = 0, .capacity = 4}, &tracer),
                     WH_OK);
    run_traced(tracer, "00-" TRACE_ID "-00f067aa0ba902b7-00");
    assert_int_equal(wh_tracer_count(tracer), 0);
    run_traced(tracer, "00-" TRACE_ID "-00f067aa0ba902b7-01");
    assert_int_equal(wh_tracer_take(tracer, &span, 1), 1);
    assert_string_equal(span->name, "sql");
    assert_string_equal(span->message, "invalid");
    assert_int_equal(span->attribute_count, 2);
    assert_string_equal(span->attributes[1].key, "db.statement");
    assert_true(wh_slice_equal_str(span->attributes[1].text, "select $1"));
    wh_trace_format(&span->trace, traceparent);
    assert_string_equal(seen_comment, traceparent);
    wh_span_free(span);
    wh_tracer_free(tracer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_handler_sees_what_the_script_says),
        cmocka_unit_test(a_statement_that_fails_has_a_code),
        cmocka_unit_test(events_that_the_relay_could_not_carry_are_refused),
        cmocka_unit_test(sqlstates_have_their_class),
        cmocka_unit_test(statements_of_a_sampled_trace_alone_carry_it),
        cmocka_unit_test(a_statement_is_a_span_without_its_parameters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
