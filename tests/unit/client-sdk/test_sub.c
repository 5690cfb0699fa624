/* Subscriptions: what transcripts cannot say (limits, memory, the C interface). */
#include "common/base/random.h"
#include "tests/support/fake_sdk.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct fake_sdk the_fake;

static int setup(void **state)
{
    wh_random_seed(1);
    *state = &the_fake;
    return fake_sdk_init(&the_fake, NULL) ? 0 : -1;
}

static int teardown(void **state)
{
    fake_sdk_deinit(*state);
    return 0;
}

static void a_client_has_one_subscription_to_a_channel(void **state)
{
    struct fake_sdk *fake = *state;
    struct wh_sub *sub = fake_sdk_sub(fake, "c", NULL), *other = NULL;
    struct wh_error detail;
    assert_int_equal(sub_new(&fake->engine, "c", NULL, &other, &detail), WH_EDUPLICATE);
    assert_non_null(strstr(detail.text, "\"c\""));
    assert_ptr_equal(sub_find(&fake->engine, WH_SLICE_LITERAL("c")), sub);
    sub_forget(sub);
    assert_null(sub_find(&fake->engine, WH_SLICE_LITERAL("c")));
    fake_sdk_sub(fake, "c", NULL);
}

static void bad_names_and_options_are_refused_with_a_text(void **state)
{
    struct fake_sdk *fake = *state;
    char longest[257];
    memset(longest, 'x', 256);
    longest[256] = '\0';
    struct {
        struct wh_sub_options known;
        char newer[8];
    } newer = {.known = {.size = sizeof(newer)}, .newer = {1}};
    static const struct wh_filter leaf = {.key = "k", .cmp = "ex"};
    static const struct wh_sub_events no_size = {.size = 3};
    static const struct {
        struct wh_sub_options options;
    } bad[] = {
        {{.size = sizeof(struct wh_sub_options), .min_resubscribe_ms = 2, .max_resubscribe_ms = 1}},
        {{.size = sizeof(struct wh_sub_options), .data = {"{", 1, WH_DATA_JSON, 0}}},
        {{.size = sizeof(struct wh_sub_options), .token = "\xFF"}},
        {{.size = sizeof(struct wh_sub_options), .delta = true, .filter = &leaf}},
        {{.size = 0}},
        {{.size = sizeof(struct wh_sub_options), .events = &no_size}},
    };
    struct {
        struct wh_sub_events known;
        char newer[8];
    } newer_events = {.known = {.size = sizeof(newer_events)}, .newer = {1}};
    const struct wh_sub_options with_newer = {.size = sizeof(with_newer),
                                              .events = &newer_events.known};
    struct wh_sub *sub = NULL;
    struct wh_error detail;
    assert_int_equal(sub_new(&fake->engine, "", NULL, &sub, &detail), WH_EINVAL);
    assert_int_equal(sub_new(&fake->engine, longest, NULL, &sub, &detail), WH_EINVAL);
    assert_int_equal(sub_new(&fake->engine, "\xFF", NULL, &sub, NULL), WH_EINVAL);
    assert_int_equal(sub_new(&fake->engine, "c", &newer.known, &sub, &detail), WH_EABI);
    assert_int_equal(sub_new(&fake->engine, "c", &with_newer, &sub, &detail), WH_EABI);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        detail.text[0] = '\0';
        assert_int_equal(sub_new(&fake->engine, "c", &bad[i].options, &sub, &detail), WH_EINVAL);
        assert_string_not_equal(detail.text, "");
    }
    longest[255] = '\0';
    fake_sdk_sub(fake, longest, NULL);
}

static void a_filter_that_is_too_deep_or_too_large_is_refused(void **state)
{
    struct fake_sdk *fake = *state;
    struct wh_sub *sub = fake_sdk_sub(fake, "c", NULL);
    struct wh_filter loop = {.op = "not", .nodes = &loop, .node_count = 1};
    assert_int_equal(sub_set_filter(sub, &loop), WH_EINVAL);
    struct wh_filter chain[SUB_FILTER_DEPTH_MAX + 1] = {0};
    for (size_t i = 0; i < SUB_FILTER_DEPTH_MAX; i++)
        chain[i] = (struct wh_filter){.op = "not", .nodes = &chain[i + 1], .node_count = 1};
    chain[SUB_FILTER_DEPTH_MAX] = (struct wh_filter){.key = "k", .cmp = "ex"};
    assert_int_equal(sub_set_filter(sub, chain), WH_EINVAL);
    assert_int_equal(sub_set_filter(sub, chain + 1), WH_OK);
    assert_int_equal(sub_set_filter(sub, NULL), WH_OK);
    struct wh_filter many = {.op = "or", .nodes = &loop, .node_count = SIZE_MAX / 2};
    assert_int_equal(sub_set_filter(sub, &many), WH_EINVAL);
    char *text = calloc(1, SUB_FILTER_BYTES_MAX + 1);
    memset(text, 'x', SUB_FILTER_BYTES_MAX);
    struct wh_filter large = {.key = text, .cmp = "ex"};
    assert_int_equal(sub_set_filter(sub, &large), WH_EINVAL);
    free(text);
    assert_null(sub->filter);
    struct wh_filter good = {.key = "k", .cmp = "ex"};
    assert_int_equal(sub_set_filter(sub, &good), WH_OK);
    assert_non_null(sub->filter);
    assert_int_equal(sub_set_filter(sub, NULL), WH_OK);
    assert_null(sub->filter);
}

static void an_absurd_epoch_is_bounded_and_counts_as_lost(void **state)
{
    struct fake_sdk *fake = *state;
    struct wh_sub *sub = fake_sdk_sub(fake, "c", NULL);
    char epoch[4001];
    memset(epoch, 'e', 4000);
    epoch[4000] = '\0';
    fake_sdk_connect(fake);
    assert_int_equal(sub_subscribe(sub), WH_OK);
    fake_sdk_say(
        fake,
        "{\"id\":%u,\"subscribe\":{\"recoverable\":true,\"positioned\":true,\"epoch\":\"%s\","
        "\"offset\":18446744073709551615}}",
        fake_sdk_take_command(fake)->id, epoch);
    fake_sdk_say(fake, "{\"push\":{\"channel\":\"c\",\"pub\":{\"data\":1,\"offset\":1}}}");
    fake_sdk_run(fake);
    fake_sdk_lose(fake);
    fake_sdk_handshake(fake);
    const struct wh_subscribe_request *request = fake_sdk_take_command(fake)->subscribe;
    assert_true(request->recover);
    assert_true(wh_slice_equal_str(request->epoch, "_"));
}

static void payloads_are_not_copied(void **state)
{
    struct fake_sdk *fake = *state;
    struct wh_sub *sub = fake_sdk_sub(fake, "c", NULL);
    fake_sdk_subscribe(fake, sub, "");
    fake_sdk_say(fake, "{\"push\":{\"channel\":\"c\",\"pub\":{\"data\":{\"a\":\"b\"}}}}");
    struct event *event = engine_take_event(&fake->engine);
    const char *data = event->u.publication.data.ptr;
    assert_in_range((uintptr_t)data, (uintptr_t)event->message->bytes,
                    (uintptr_t)event->message->bytes + event->message->len);
    event_free(event);
}

static void a_kept_publication_outlives_all(void **state)
{
    struct fake_sdk *fake = *state;
    const struct wh_sub_options options = {.size = sizeof(options), .delta = true};
    struct wh_sub *sub = fake_sdk_sub(fake, "c", &options);
    fake_sdk_subscribe(fake, sub, RECOVERABLE "0,\"delta\":true");
    fake_sdk_say(fake, "{\"push\":{\"channel\":\"c\",\"pub\":{\"data\":\"{\\\"a\\\":1}\"}}}");
    fake_sdk_run(fake);
    fake_sdk_say(fake,
                 "{\"push\":{\"channel\":\"c\",\"pub\":{\"delta\":true,\"info\":{\"user\":\"u\"},"
                 "\"data\":\"7\\n7:{\\\"a\\\":2}2qLDtY;\"}}}");
    struct event *event = engine_take_event(&fake->engine);
    const struct wh_publication *kept = wh_publication_ref(&event->u.publication);
    event_free(event);
    sub_forget(sub);
    assert_string_equal(kept->channel, "c");
    assert_int_equal(kept->data.len, 7);
    assert_memory_equal(kept->data.ptr, "{\"a\":2}", 7);
    assert_string_equal(kept->info->user, "u");
    wh_publication_unref(kept);
}

static void absurd_names_from_the_server_are_told_and_passed_over(void **state)
{
    struct fake_sdk *fake = *state;
    char name[300];
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    fake_sdk_connect(fake);
    fake_sdk_run(fake);
    fake_sdk_say(fake, "{\"push\":{\"channel\":\"%s\",\"subscribe\":{}}}", name);
    fake_sdk_say(fake, "{\"push\":{\"channel\":\"a\\u0000b\",\"subscribe\":{}}}");
    fake_sdk_say(fake, "{\"push\":{\"subscribe\":{}}}");
    for (unsigned i = 0; i < 3; i++) {
        struct event *event = fake_sdk_begin_event(fake);
        assert_true(event && event->kind == EVENT_ERROR);
        assert_int_equal(event->u.error.err, WH_EFORMAT);
        fake_sdk_end_event(fake);
    }
    assert_null(fake_sdk_begin_event(fake));
    assert_int_equal(fake->engine.server_subs.count, 0);
}

static void the_number_of_server_side_subscriptions_is_bounded(void **state)
{
    struct fake_sdk *fake = *state;
    fake_sdk_connect(fake);
    for (unsigned i = 0; i <= ENGINE_SUBS_MAX; i++) {
        fake_sdk_say(fake, "{\"push\":{\"channel\":\"c%u\",\"subscribe\":{}}}", i);
        if (i % 1000 == 0)
            fake_sdk_run(fake);
    }
    assert_int_equal(fake->engine.server_subs.count, ENGINE_SUBS_MAX);
    struct wh_sub *sub;
    assert_int_equal(sub_new(&fake->engine, "x", NULL, &sub, NULL), WH_ELIMIT);
}

static void frames_of_the_smallest_publications_fit_into_their_memory(void **state)
{
    struct fake_sdk *unused = *state;
    (void)unused;
    enum { COUNT = 20000 };
    static struct wh_pub pubs[COUNT];
    static struct wh_subscribe_result result;
    for (size_t i = 0; i < COUNT; i++) {
        pubs[i].data = (struct wh_payload){WH_PAYLOAD_JSON, WH_SLICE_LITERAL("1")};
        pubs[i].offset = i + 1;
    }
    result.recoverable = result.positioned = result.was_recovering = result.recovered = true;
    result.publications.items = pubs;
    result.publications.count = COUNT;
    for (int encoding = WH_ENCODING_JSON; encoding <= WH_ENCODING_PROTOBUF; encoding++) {
        static struct fake_sdk fake;
        struct wh_connect_result connected = {.client = WH_SLICE_LITERAL("x")};
        struct wh_buf frame = {0};
        const struct wh_position since = {0, ""};
        const struct wh_sub_options options = {.size = sizeof(options), .since = &since};
        const struct wh_client_options hub = {
            .size = sizeof(hub), .url = "ws://hub", .encoding = (enum wh_encoding)encoding};
        assert_true(fake_sdk_init(&fake, &hub));
        struct wh_sub *sub = fake_sdk_sub(&fake, "c", &options);
        assert_int_equal(sub_subscribe(sub), WH_OK);
        struct wh_reply reply = {.id = fake_sdk_handshake(&fake)->id, .connect = &connected};
        assert_int_equal(wh_encode((enum wh_encoding)encoding, &wh_reply_schema, &reply, 0, &frame),
                         WH_OK);
        fake_sdk_receive_bytes(&fake, frame.ptr, frame.len);
        wh_buf_reset(&frame);
        reply = (struct wh_reply){.id = fake_sdk_take_command(&fake)->id, .subscribe = &result};
        assert_int_equal(wh_encode((enum wh_encoding)encoding, &wh_reply_schema, &reply, 0, &frame),
                         WH_OK);
        fake_sdk_receive_bytes(&fake, frame.ptr, frame.len);
        /* The same as pushes. */
        wh_buf_reset(&frame);
        for (size_t i = 0; i < COUNT; i++) {
            struct wh_pub pub = pubs[i];
            pub.offset += COUNT;
            struct wh_push push = {.channel = WH_SLICE_LITERAL("c"), .pub = &pub};
            reply = (struct wh_reply){.push = &push};
            assert_int_equal(
                wh_encode((enum wh_encoding)encoding, &wh_reply_schema, &reply, 0, &frame), WH_OK);
        }
        fake_sdk_receive_bytes(&fake, frame.ptr, frame.len);
        fake_sdk_run(&fake);
        assert_int_equal(sub->state, WH_SUB_SUBSCRIBED);
        assert_int_equal(sub_stored_position(sub)->offset, 2 * COUNT);
        wh_buf_deinit(&frame);
        fake_sdk_deinit(&fake);
    }
}

/* ---- calls through subscriptions that wait ---- */

/* How synchronous calls ended: "b2 WH_EUNSUBSCRIBED", a line each. */
static char ends[256];

/* Static where they are made: they outlive a test that fails. */
struct asked {
    char name[8];
    struct call *call;
};

static void on_completion(void *user, const struct call_outcome *outcome)
{
    const struct asked *asked = user;
    size_t len = strlen(ends);
    (void)snprintf(ends + len, sizeof(ends) - len, "%s %s\n", asked->name,
                   wh_err_name(outcome->error ? outcome->error->err : WH_OK));
}

static void ask_publish(struct fake_sdk *fake,
                        struct wh_sub *sub,
                        struct asked *asked,
                        const char *name)
{
    char data[16];
    (void)snprintf(asked->name, sizeof(asked->name), "%s", name);
    (void)snprintf(data, sizeof(data), "\"%s\"", name);
    struct call_request request = {.kind = PENDING_PUBLISH, .sub = sub, .data = wh_json(data)};
    asked->call = call_new(fake->engine.client);
    assert_non_null(asked->call);
    asked->call->completion = on_completion;
    asked->call->user = asked;
    assert_int_equal(engine_call(&fake->engine, &request, asked->call), WH_OK);
}

static size_t waiting(const struct wh_sub *sub)
{
    size_t count = 0;
    for (const struct wh_list *at = sub->unsent.next; at != &sub->unsent; at = at->next)
        count++;
    return count;
}

static void expect_publish(struct fake_sdk *fake, const char *data)
{
    const struct wh_command *command = fake_sdk_take_command(fake);
    if (!command || !command->publish)
        fail_msg("no publish was sent");
    else
        assert_true(wh_slice_equal_str(command->publish->data.bytes, data));
}

static uint32_t take_subscribe(struct fake_sdk *fake)
{
    const struct wh_command *command = fake_sdk_take_command(fake);
    if (!command || !command->subscribe)
        fail_msg("no subscribe was sent");
    return command ? command->id : 0;
}

static void calls_wait_for_their_own_subscription_only(void **state)
{
    struct fake_sdk *fake = *state;
    struct wh_sub *a = fake_sdk_sub(fake, "a", NULL), *b = fake_sdk_sub(fake, "b", NULL);
    static struct asked calls[6];
    ends[0] = '\0';
    assert_int_equal(sub_subscribe(a), WH_OK);
    assert_int_equal(sub_subscribe(b), WH_OK);
    fake_sdk_connect(fake);
    const uint32_t id = take_subscribe(fake);
    (void)take_subscribe(fake);
    static const char *const names[] = {"a1", "b1", "a2", "b2", "a3", "b3"};
    for (size_t i = 0; i < 6; i++)
        ask_publish(fake, i % 2 ? b : a, &calls[i], names[i]);
    assert_null(fake_sdk_take_command(fake));
    assert_int_equal(waiting(a), 3);
    assert_int_equal(waiting(b), 3);
    engine_cancel(&fake->engine, calls[2].call); /* a2: a synchronous call ends without a word */
    fake_sdk_say(fake, "{\"id\":%u,\"subscribe\":{}}", id);
    expect_publish(fake, "\"a1\"");
    expect_publish(fake, "\"a3\"");
    assert_null(fake_sdk_take_command(fake));
    assert_int_equal(waiting(a), 0);
    assert_int_equal(waiting(b), 3);
    assert_string_equal(ends, "");
    sub_unsubscribe(b, 0, "u");
    assert_int_equal(waiting(b), 0);
    assert_int_equal(fake->engine.unsent_bytes, 0);
    assert_string_equal(ends, "b1 WH_EUNSUBSCRIBED\nb2 WH_EUNSUBSCRIBED\nb3 WH_EUNSUBSCRIBED\n");
    engine_close(&fake->engine);
    for (size_t i = 0; i < 6; i++)
        call_unref(calls[i].call);
}

/* They go where everything that waits goes, and leave nothing behind. */
static void calls_that_wait_end_by_time_and_with_their_subscription(void **state)
{
    struct fake_sdk *fake = *state;
    struct wh_sub *a = fake_sdk_sub(fake, "a", NULL);
    static struct asked late, early;
    ends[0] = '\0';
    assert_int_equal(sub_subscribe(a), WH_OK);
    fake_sdk_connect(fake);
    (void)take_subscribe(fake);
    ask_publish(fake, a, &late, "late");
    fake_sdk_advance(fake, 4000);
    ask_publish(fake, a, &early, "early");
    fake_sdk_lose(fake);
    assert_int_equal(waiting(a), 2); /* for the next connection */
    fake_sdk_advance(fake, 2000);
    assert_int_equal(waiting(a), 1);
    assert_string_equal(ends, "late WH_ETIMEOUT\n");
    sub_forget(a);
    assert_string_equal(ends, "late WH_ETIMEOUT\nearly WH_EUNSUBSCRIBED\n");
    engine_close(&fake->engine);
    call_unref(late.call);
    call_unref(early.call);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_client_has_one_subscription_to_a_channel),
        TEST(calls_wait_for_their_own_subscription_only),
        TEST(calls_that_wait_end_by_time_and_with_their_subscription),
        TEST(bad_names_and_options_are_refused_with_a_text),
        TEST(a_filter_that_is_too_deep_or_too_large_is_refused),
        TEST(an_absurd_epoch_is_bounded_and_counts_as_lost),
        TEST(payloads_are_not_copied),
        TEST(a_kept_publication_outlives_all),
        TEST(absurd_names_from_the_server_are_told_and_passed_over),
        TEST(the_number_of_server_side_subscriptions_is_bounded),
        TEST(frames_of_the_smallest_publications_fit_into_their_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
