/* Frames, queues, payload lifetimes: what transcripts cannot say. */
#include "tests/support/failing_alloc.h"
#include "tests/support/fake_sdk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void connect_fake(struct fake_sdk *fake, struct wh_client_options *options)
{
    assert_true(fake_sdk_init(fake, options));
    struct wh_command *command = fake_sdk_handshake(fake);
    json_t *reply = json_pack("{s:i,s:{s:s}}", "id", (int)command->id, "connect", "client", "c");
    fake_sdk_receive(fake, fake->engine.connection, reply);
    json_decref(reply);
    fake_sdk_run(fake);
    assert_int_equal(engine_public_state(&fake->engine), WH_CLIENT_CONNECTED);
}

static void publish(struct fake_sdk *fake, size_t len)
{
    char *text = malloc(len + 1);
    memset(text, 'x', len);
    text[0] = text[len - 1] = '"';
    text[len] = '\0';
    struct call *call = call_new(&fake->client);
    struct call_request request = {.kind = PENDING_PUBLISH, .channel = "c", .data = wh_json(text)};
    assert_int_equal(engine_call(&fake->engine, &request, call), WH_OK);
    call_unref(call);
    free(text);
}

static void frames_are_split_before_a_server_would_refuse_them(void **state)
{
    (void)state;
    static const struct {
        size_t count, len;
    } cases[] = {{1, 10}, {500, 1000}, {100, 20000}, {3, 100000}, {2, ENGINE_FRAME_BYTES / 2}};
    for (int e = 0; e < WH_ENCODING_COUNT; e++) {
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            struct wh_client_options options = {.size = sizeof(options),
                                                .url = "ws://h",
                                                .encoding = (enum wh_encoding)e,
                                                .send_queue_bytes_max = 16 << 20};
            struct fake_sdk fake;
            connect_fake(&fake, &options);
            for (size_t n = 0; n < cases[i].count; n++)
                publish(&fake, cases[i].len);
            size_t seen = 0, frames = 0;
            size_t bytes = engine_out_bytes(&fake.engine);
            json_t *frame;
            while ((frame = fake_sdk_take_frame(&fake))) {
                size_t left = engine_out_bytes(&fake.engine), count = json_array_size(frame);
                assert_true(bytes - left <= ENGINE_FRAME_BYTES + 1 || count == 1);
                for (size_t n = 0; n < count; n++)
                    assert_int_equal(
                        json_integer_value(json_object_get(json_array_get(frame, n), "id")),
                        2 + seen++);
                bytes = left;
                frames++;
                json_decref(frame);
            }
            assert_int_equal(seen, cases[i].count);
            if (cases[i].len < 10000)
                assert_true(frames <=
                            1 + cases[i].count * (cases[i].len + 60) * 10 / 9 / ENGINE_FRAME_BYTES);
            assert_int_equal(bytes, 0);
            fake_sdk_deinit(&fake);
        }
    }
}

static void frames_made_while_others_wait_keep_their_order(void **state)
{
    (void)state;
    struct fake_sdk fake;
    struct wh_client_options options = {
        .size = sizeof(options), .url = "ws://h", .send_queue_bytes_max = 1 << 20};
    connect_fake(&fake, &options);
    json_int_t next = 2;
    for (int round = 0; round < 20; round++) {
        for (int n = 0; n < 3; n++)
            publish(&fake, 15000);
        json_t *frame = fake_sdk_take_frame(&fake);
        assert_non_null(frame);
        for (size_t n = 0; n < json_array_size(frame); n++)
            assert_int_equal(json_integer_value(json_object_get(json_array_get(frame, n), "id")),
                             next++);
        json_decref(frame);
    }
    fake_sdk_deinit(&fake);
}

static void push_message(struct fake_sdk *fake, size_t len)
{
    struct wh_buf text = {0};
    wh_buf_append_str(&text, "{\"push\":{\"message\":{\"data\":\"");
    for (size_t i = 0; i < len; i++)
        wh_buf_append_char(&text, 'x');
    wh_buf_append_str(&text, "\"}}}");
    fake_sdk_receive_bytes(fake, text.ptr, text.len);
    wh_buf_deinit(&text);
}

static void a_full_event_queue_stops_reading_until_half_of_it_is_taken(void **state)
{
    (void)state;
    struct fake_sdk fake;
    struct wh_client_options options = {
        .size = sizeof(options), .url = "ws://h", .event_queue_bytes_max = 100000};
    connect_fake(&fake, &options);
    while (engine_wants_to_read(&fake.engine))
        push_message(&fake, 1000);
    size_t full = fake.engine.events.count;
    assert_in_range(full, 50, 100);
    while (!engine_wants_to_read(&fake.engine))
        json_decref(fake_sdk_take_event(&fake));
    assert_in_range(fake.engine.events.count, full / 2 - 2, full / 2 + 2);
    struct wh_client_stats stats;
    engine_stats(&fake.engine, &stats);
    assert_int_equal(stats.events_waiting, fake.engine.events.count);
    assert_true(stats.event_queue_bytes_high > 100000);
    fake_sdk_deinit(&fake);
}

static void errors_do_not_pile_up_where_nobody_dispatches(void **state)
{
    (void)state;
    struct fake_sdk fake;
    struct wh_client_options options = {
        .size = sizeof(options), .url = "ws://h", .event_queue_bytes_max = 10000};
    assert_true(fake_sdk_init(&fake, &options));
    assert_int_equal(engine_connect(&fake.engine), WH_OK);
    for (int i = 0; i < 1000; i++) {
        engine_closed(&fake.engine, fake.engine.connection, 0, WH_SLICE_ABSENT, NULL);
        fake_sdk_advance(&fake, 20016);
    }
    assert_int_equal(fake.engine.connection, 1001);
    assert_in_range(fake.engine.events.bytes, 10000, 12000);
    fake_sdk_deinit(&fake);
}

static void one_message_costs_one_allocation(void **state)
{
    (void)state;
    struct fake_sdk fake;
    connect_fake(&fake, NULL);
    static const char text[] = "{\"push\":{\"message\":{\"data\":{\"a\":1}}}}";
    failing_alloc_start(SIZE_MAX);
    fake_sdk_receive_bytes(&fake, text, sizeof(text) - 1);
    assert_int_equal(failing_alloc_count, 1);
    failing_alloc_stop();
    struct event *event = engine_take_event(&fake.engine);
    /* Not copied: it lies in the frame. */
    const char *data = event->u.data.ptr;
    assert_true(data > event->message->bytes && data < event->message->bytes + sizeof(text));
    event_free(event);
    fake_sdk_deinit(&fake);
}

static void what_a_program_keeps_outlives_event_and_engine(void **state)
{
    (void)state;
    struct fake_sdk fake;
    connect_fake(&fake, NULL);
    struct call *call = call_new(&fake.client);
    call->cb.done = (wh_done_cb *)(void (*)(void))abort;
    struct call_request request = {.kind = PENDING_HISTORY, .channel = "news"};
    assert_int_equal(engine_call(&fake.engine, &request, call), WH_OK);
    static const char text[] =
        "{\"id\":2,\"history\":{\"publications\":[{\"data\":{\"a\":1},\"offset\":5,"
        "\"tags\":{\"k\":\"v\"}}],\"epoch\":\"e\",\"offset\":5}}";
    fake_sdk_receive_bytes(&fake, text, sizeof(text) - 1);
    struct event *event = engine_take_event(&fake.engine);
    assert_int_equal(event->kind, EVENT_CALL);
    const struct wh_publication *kept =
        wh_publication_ref(&event->u.call.outcome.history.publications[0]);
    event_free(event);
    call_unref(call);
    fake_sdk_deinit(&fake);
    assert_string_equal(kept->channel, "news");
    assert_memory_equal(kept->data.ptr, "{\"a\":1}", 7);
    assert_string_equal(kept->tags[0].key, "k");
    assert_string_equal(kept->tags[0].value, "v");
    wh_publication_unref(kept);
    wh_publication_unref(NULL);
}

static void a_call_that_is_one_too_many_is_refused(void **state)
{
    (void)state;
    struct fake_sdk fake;
    connect_fake(&fake, NULL);
    struct call_request request = {.kind = PENDING_PING};
    for (size_t i = 0;; i++) {
        struct call *call = call_new(&fake.client);
        enum wh_err err = engine_call(&fake.engine, &request, call);
        call_unref(call);
        assert_int_equal(err, i < ENGINE_CALLS_MAX ? WH_OK : WH_EFULL);
        if (err)
            break;
    }
    fake_sdk_deinit(&fake);
}

static void tokens_are_in_no_line_of_the_log(void **state)
{
    (void)state;
    static const struct wh_client_events events = {.size = sizeof(events),
                                                   .get_token = fake_sdk_get_token};
    struct fake_sdk fake;
    struct wh_client_options options = {
        .size = sizeof(options), .url = "ws://h", .token = "s3cret", .events = &events};
    assert_true(fake_sdk_init(&fake, &options));
    assert_int_equal(engine_connect(&fake.engine), WH_OK);
    fake_sdk_open(&fake);
    static const char text[] = "{\"id\":1,\"error\":{\"code\":109,\"message\":\"token expired\"}}";
    json_decref(fake_sdk_take_frame(&fake));
    fake_sdk_receive_bytes(&fake, text, sizeof(text) - 1);
    fake_sdk_advance(&fake, 1016);
    json_t *event;
    while ((event = fake_sdk_take_event(&fake)))
        json_decref(event);
    assert_int_equal(fake.token_request_count, 1);
    failing_alloc_start(1); /* there is no memory to keep it */
    wh_token_ok(fake.token_requests[--fake.token_request_count], "s3cret-too");
    failing_alloc_stop();
    assert_non_null(strstr(fake_sdk_log(), "out of memory"));
    assert_null(strstr(fake_sdk_log(), "s3cret"));
    fake_sdk_deinit(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_are_split_before_a_server_would_refuse_them),
        cmocka_unit_test(frames_made_while_others_wait_keep_their_order),
        cmocka_unit_test(a_full_event_queue_stops_reading_until_half_of_it_is_taken),
        cmocka_unit_test(errors_do_not_pile_up_where_nobody_dispatches),
        cmocka_unit_test(one_message_costs_one_allocation),
        cmocka_unit_test(what_a_program_keeps_outlives_event_and_engine),
        cmocka_unit_test(a_call_that_is_one_too_many_is_refused),
        cmocka_unit_test(tokens_are_in_no_line_of_the_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
