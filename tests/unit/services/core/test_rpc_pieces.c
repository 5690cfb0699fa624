/*
 * The pieces of the call server that decide something: how many calls to take,
 * which were cancelled, how answers are put together, what a definition must be.
 */
#include "services/core/announce.h"
#include "services/core/answers.h"
#include "services/core/cancels.h"
#include "services/core/metrics.h"
#include "services/core/pace.h"
#include "services/core/rpc_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static unsigned count_after(unsigned calls, uint64_t duration_us)
{
    struct svc_pace pace = {0};
    for (unsigned i = 0; i < calls; i++)
        svc_pace_add(&pace, duration_us);
    return svc_pace_count(&pace);
}

static void batches_shrink_with_slow_handlers(void **state)
{
    (void)state;
    assert_int_equal(count_after(0, 0), 1);
    assert_int_equal(count_after(100, 0), SVC_PACE_MAX);
    assert_int_equal(count_after(100, 1), SVC_PACE_MAX);
    assert_in_range(count_after(100, 10), 18, 20);
    assert_int_equal(count_after(100, 100), 2);
    assert_int_equal(count_after(100, 1000), 1);
    assert_int_equal(count_after(1, UINT64_MAX / 2), 1);
}

static void one_long_call_does_not_end_batches_for_long(void **state)
{
    (void)state;
    struct svc_pace pace = {0};
    for (unsigned i = 0; i < 100; i++)
        svc_pace_add(&pace, 2);
    svc_pace_add(&pace, 60 * 1000 * 1000);
    assert_in_range(svc_pace_count(&pace), 1, 2);
    for (unsigned i = 0; i < 30; i++)
        svc_pace_add(&pace, 2);
    assert_in_range(svc_pace_count(&pace), 32, SVC_PACE_MAX);
}

static void a_cancel_is_taken_once_and_only_for_its_call(void **state)
{
    (void)state;
    static struct svc_cancels cancels;
    struct wh_slice a = WH_SLICE_LITERAL("wh:rpc:reply:a"), b = WH_SLICE_LITERAL("wh:rpc:reply:b");
    svc_cancels_add(&cancels, a, 5);
    assert_false(svc_cancels_take(&cancels, b, 5));
    assert_false(svc_cancels_take(&cancels, a, 6));
    assert_true(svc_cancels_take(&cancels, a, 5));
    assert_false(svc_cancels_take(&cancels, a, 5));
}

static void cancels_are_bounded_and_mostly_kept(void **state)
{
    (void)state;
    static struct svc_cancels cancels;
    struct wh_slice a = WH_SLICE_LITERAL("wh:rpc:reply:a");
    unsigned kept = 0;
    for (uint64_t i = 0; i < 100000; i++)
        svc_cancels_add(&cancels, a, i);
    for (uint64_t i = 100000 - 100; i < 100000; i++)
        kept += svc_cancels_take(&cancels, a, i);
    assert_in_range(kept, 85, 100);
    for (uint64_t i = 0; i < 100000; i++)
        kept += svc_cancels_take(&cancels, a, i);
    assert_in_range(kept, 1, SVC_CANCELS);
}

static void answers_of_a_channel_are_one_message(void **state)
{
    (void)state;
    static struct svc_answers answers;
    struct wh_slice a = WH_SLICE_LITERAL("wh:rpc:reply:a"), b = WH_SLICE_LITERAL("wh:rpc:reply:b");
    for (uint64_t id = 1; id <= 3; id++) {
        const struct wh_rpc_answer answer = {.id = id};
        assert_int_equal(svc_answers_add(&answers, id == 2 ? b : a, &answer), WH_OK);
    }
    assert_int_equal(answers.count, 2);
    assert_int_equal(answers.messages[0].count, 2);
    struct wh_arena arena = {0};
    struct wh_slice rest = wh_buf_slice(&answers.messages[0].bytes);
    struct wh_rpc_answer first = {0}, second = {0};
    assert_int_equal(wh_rpc_decode(&wh_rpc_answer_schema, &rest, &arena, &first), WH_OK);
    assert_int_equal(wh_rpc_decode(&wh_rpc_answer_schema, &rest, &arena, &second), WH_OK);
    assert_int_equal(rest.len, 0);
    assert_int_equal(first.id, 1);
    assert_int_equal(second.id, 3);
    svc_answers_clear(&answers);
    assert_int_equal(answers.count, 0);
    svc_answers_deinit(&answers);
    wh_arena_deinit(&arena);
}

static void answers_are_full_by_channels_and_by_bytes(void **state)
{
    (void)state;
    static struct svc_answers answers;
    static char large[SVC_MESSAGE_BYTES_MIN];
    char name[64];
    struct wh_rpc_answer answer = {.id = 1};
    for (int i = 0; i < SVC_ANSWER_CHANNELS; i++) {
        assert_false(svc_answers_is_full(&answers));
        snprintf(name, sizeof name, "wh:rpc:reply:%d", i);
        assert_int_equal(svc_answers_add(&answers, wh_slice_from_str(name), &answer), WH_OK);
    }
    assert_true(svc_answers_is_full(&answers));
    struct wh_slice other = WH_SLICE_LITERAL("wh:rpc:reply:other");
    assert_int_equal(svc_answers_add(&answers, other, &answer), WH_ELIMIT);
    svc_answers_clear(&answers);
    answer.data = (struct wh_payload){WH_PAYLOAD_BYTES, wh_slice(large, sizeof large)};
    assert_int_equal(svc_answers_add(&answers, other, &answer), WH_OK);
    assert_true(svc_answers_is_full(&answers));
    svc_answers_deinit(&answers);
}

static void answers_go_to_reply_channels_only(void **state)
{
    (void)state;
    char name[SVC_ANSWER_CHANNEL_MAX + 2] = WH_RPC_REPLY_PREFIX;
    assert_false(svc_answers_is_channel(WH_SLICE_ABSENT));
    assert_false(svc_answers_is_channel(WH_SLICE_LITERAL("wh:ch:market:ticker")));
    assert_false(svc_answers_is_channel(WH_SLICE_LITERAL(WH_RPC_REPLY_PREFIX)));
    assert_true(svc_answers_is_channel(WH_SLICE_LITERAL(WH_RPC_REPLY_PREFIX "x")));
    memset(name + strlen(name), 'x', sizeof name - 1 - strlen(name));
    assert_false(svc_answers_is_channel(wh_slice(name, SVC_ANSWER_CHANNEL_MAX + 1)));
    assert_true(svc_answers_is_channel(wh_slice(name, SVC_ANSWER_CHANNEL_MAX)));
}

static uint32_t handler(struct svc_ctx *ctx, const struct wh_rpc_call *call)
{
    (void)ctx, (void)call;
    return SVC_OK;
}

static void a_definition_must_make_sense(void **state)
{
    (void)state;
    static const char *const roles[] = {"r", NULL};
    static const struct {
        struct svc_method methods[3];
        const char *name;
        const char *problem; /* NULL = fine */
    } cases[] = {
        {{{.name = "a.v1.x", .handler = handler}, {.name = "b.y", .handler = handler}}, "a", NULL},
        {{{.name = "a.v1.x", .handler = handler, .access = SVC_ROLE, .roles = roles}}, "a", NULL},
        {{{.name = "a.v1.x", .handler = handler, .access = SVC_ROLE}}, "a", "go together"},
        {{{.name = "a.v1.x", .handler = handler, .roles = roles}}, "a", "go together"},
        {{{.name = "a.v1.x", .handler = handler}, {.name = "a.v1.x", .handler = handler}},
         "a",
         "twice"},
        {{{.name = "a.v1.x"}}, "a", "no handler"},
        {{{.name = "noname", .handler = handler}}, "a", "not a name"},
        {{{.name = "a.$svc.ping", .handler = handler}}, "a", "core's own"},
        {{{.name = "a.v1.x", .handler = handler, .tx = SVC_TX_WRITE}}, "a", "need migrations"},
        {{{.name = "a.v1.x", .handler = handler, .requires_key = true}}, "a", "need migrations"},
        {{{0}}, "a", "at least one"},
        {{{.name = "a.v1.x", .handler = handler}}, "A", "the name"},
        {{{.name = "a.v1.x", .handler = handler}}, "", "the name"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct svc_def def = {
            .name = cases[i].name, .version = "1", .methods = cases[i].methods};
        struct svc_segments segments;
        struct wh_buf problem = {0};
        enum wh_err err = svc_def_check(&def, &segments, &problem);
        assert_int_equal(err, cases[i].problem ? WH_EINVAL : WH_OK);
        if (cases[i].problem)
            assert_non_null(strstr(wh_buf_cstr(&problem), cases[i].problem));
        wh_buf_deinit(&problem);
    }
}

static void an_announcement_has_the_methods_of_its_segment(void **state)
{
    (void)state;
    static const struct svc_method methods[] = {
        {.name = "a.v1.x", .handler = handler, .timeout_ms = 9, .idempotent = true},
        {.name = "b.v1.y", .handler = handler, .access = SVC_ANONYMOUS},
        {0}};
    const struct svc_def def = {.name = "a", .version = "1.0", .methods = methods};
    struct wh_buf text = {0};
    svc_announce_write(&def, WH_SLICE_LITERAL("a"), &text);
    assert_string_equal(
        wh_buf_cstr(&text),
        "{\"version\":\"1.0\",\"methods\":["
        "{\"name\":\"a.v1.x\",\"access\":\"user\",\"timeout_ms\":9,\"idempotent\":true},"
        "{\"name\":\"a.$svc.ping\",\"access\":\"role\",\"roles\":[\"admin\"],\"idempotent\":true},"
        "{\"name\":\"a.$svc.info\",\"access\":\"role\",\"roles\":[\"admin\"],\"idempotent\":true},"
        "{\"name\":\"a.$svc.stats\",\"access\":\"role\",\"roles\":[\"admin\"],\"idempotent\":true}]"
        "}");
    wh_buf_deinit(&text);
}

static void numbers_of_all_threads_add_up(void **state)
{
    (void)state;
    struct svc_metrics *metrics = svc_metrics_new(2, 2);
    svc_metrics_call(metrics, 0, 1, SVC_OUTCOME_OK, 10);
    svc_metrics_call(metrics, 1, 1, SVC_OUTCOME_OK, UINT64_C(30));
    svc_metrics_call(metrics, 1, 0, SVC_OUTCOME_BUSY, 1);
    svc_metrics_count(metrics, 0, SVC_COUNT_EXPIRED);
    svc_metrics_count(metrics, 1, SVC_COUNT_EXPIRED);
    struct svc_method_totals totals = svc_metrics_method(metrics, 1);
    assert_int_equal(totals.calls[SVC_OUTCOME_OK], 2);
    assert_int_equal(totals.total_us, 40);
    assert_int_equal(svc_metrics_method(metrics, 0).calls[SVC_OUTCOME_BUSY], 1);
    assert_int_equal(svc_metrics_counter(metrics, SVC_COUNT_EXPIRED), 2);
    svc_metrics_free(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_shrink_with_slow_handlers),
        cmocka_unit_test(one_long_call_does_not_end_batches_for_long),
        cmocka_unit_test(a_cancel_is_taken_once_and_only_for_its_call),
        cmocka_unit_test(cancels_are_bounded_and_mostly_kept),
        cmocka_unit_test(answers_of_a_channel_are_one_message),
        cmocka_unit_test(answers_are_full_by_channels_and_by_bytes),
        cmocka_unit_test(answers_go_to_reply_channels_only),
        cmocka_unit_test(a_definition_must_make_sense),
        cmocka_unit_test(an_announcement_has_the_methods_of_its_segment),
        cmocka_unit_test(numbers_of_all_threads_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
