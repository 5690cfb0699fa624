/* Subscriptions: states, codes, errors, pushes.  One claim a test; the server is the test. */
#include "sub_fixture.h"

#include "common/base/random.h"

static struct fx the_fx;

static int setup(void **state)
{
    wh_random_seed(1);
    fx_init(&the_fx, WH_ENCODING_JSON);
    *state = &the_fx;
    return 0;
}

static int teardown(void **state)
{
    fx_deinit(*state);
    return 0;
}

static void reply_error(struct fx *fx, uint32_t id, unsigned code, const char *more)
{
    fx_say(fx, "{\"id\":%u,\"error\":{\"code\":%u,\"message\":\"m\"%s}}", id, code, more);
}

/* ---- life -------------------------------------------------------------------------------------
 */

static void a_client_has_one_subscription_to_a_channel(void **state)
{
    struct fx *fx = *state;
    struct wh_sub *sub = fx_sub(fx, "c", NULL), *other = NULL;
    struct wh_error detail;
    assert_int_equal(sub_new(&fx->engine, "c", NULL, &other, &detail), WH_EDUPLICATE);
    assert_non_null(strstr(detail.text, "\"c\""));
    assert_ptr_equal(sub_find(&fx->engine, WH_SLICE_LITERAL("c")), sub);
    sub_forget(sub);
    assert_null(sub_find(&fx->engine, WH_SLICE_LITERAL("c")));
    fx_sub(fx, "c", NULL);
}

static void bad_names_and_options_are_refused_with_a_text(void **state)
{
    struct fx *fx = *state;
    char longest[257];
    memset(longest, 'x', 256);
    longest[256] = '\0';
    struct {
        struct wh_sub_options known;
        char newer[8];
    } newer = {.known = {.size = sizeof(newer)}, .newer = {1}};
    static const struct wh_filter leaf = {.key = "k", .cmp = "ex"};
    static const struct {
        struct wh_sub_options options;
    } bad[] = {
        {{.size = sizeof(struct wh_sub_options), .min_resubscribe_ms = 2, .max_resubscribe_ms = 1}},
        {{.size = sizeof(struct wh_sub_options), .data = {"{", 1, WH_DATA_JSON, 0}}},
        {{.size = sizeof(struct wh_sub_options), .token = "\xFF"}},
        {{.size = sizeof(struct wh_sub_options), .delta = true, .filter = &leaf}},
        {{.size = 0}},
    };
    struct wh_sub *sub = NULL;
    struct wh_error detail;
    assert_int_equal(sub_new(&fx->engine, "", NULL, &sub, &detail), WH_EINVAL);
    assert_int_equal(sub_new(&fx->engine, longest, NULL, &sub, &detail), WH_EINVAL);
    assert_int_equal(sub_new(&fx->engine, "\xFF", NULL, &sub, NULL), WH_EINVAL);
    assert_int_equal(sub_new(&fx->engine, "c", &newer.known, &sub, &detail), WH_EABI);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        detail.text[0] = '\0';
        assert_int_equal(sub_new(&fx->engine, "c", &bad[i].options, &sub, &detail), WH_EINVAL);
        assert_string_not_equal(detail.text, "");
    }
    longest[255] = '\0';
    fx_sub(fx, longest, NULL);
}

static void subscribing_before_connecting_waits(void **state)
{
    struct fx *fx = *state;
    struct wh_sub *sub = fx_sub(fx, "c", NULL);
    assert_int_equal(sub_subscribe(sub), WH_OK);
    assert_int_equal(sub_subscribe(sub), WH_OK);
    fx_take_nothing(fx);
    const struct wh_command *connect = fx_open(fx);
    const struct wh_command *command = fx_take(fx); /* right behind it */
    assert_true(wh_slice_equal_str(command->subscribe->channel, "c"));
    assert_int_equal(command->subscribe->flag, 1);
    assert_false(command->subscribe->recover);
    fx_say(fx,
           "{\"id\":%u,\"connect\":{\"client\":\"x\"}}\n"
           "{\"id\":%u,\"subscribe\":{\"data\":{\"a\":1}}}",
           connect->id, command->id);
    fx_take_nothing(fx);
    fx_expect(fx, "subscribing c 0 subscribe called\nconnecting 0 connect called\nconnected\n"
                  "subscribed c {\"a\":1}\n");
}

static void options_are_in_the_command(void **state)
{
    struct fx *fx = *state;
    const char *const vals[] = {"en", "fr"};
    const struct wh_filter leaves[] = {{.key = "lang", .cmp = "in", .vals = vals, .val_count = 2},
                                       {.key = "prio", .cmp = "gte", .val = "3"}};
    const struct wh_filter root = {.op = "and", .nodes = leaves, .node_count = 2};
    const struct wh_position since = {7, "e"};
    const struct wh_sub_options options = {.size = sizeof(options),
                                           .token = "t",
                                           .data = wh_json("{\"d\":1}"),
                                           .positioned = true,
                                           .recoverable = true,
                                           .join_leave = true,
                                           .since = &since,
                                           .filter = &root};
    struct wh_sub *sub = fx_sub(fx, "c", &options);
    fx_connect(fx);
    assert_int_equal(sub_subscribe(sub), WH_OK);
    const struct wh_subscribe_request *request = fx_take(fx)->subscribe;
    assert_true(wh_slice_equal_str(request->token, "t"));
    assert_true(wh_slice_equal_str(request->data.bytes, "{\"d\":1}"));
    assert_true(request->positioned && request->recoverable && request->join_leave);
    assert_true(request->recover && request->offset == 7);
    assert_true(wh_slice_equal_str(request->epoch, "e"));
    assert_int_equal(request->tf->nodes.count, 2);
    assert_true(wh_slice_equal_str(request->tf->nodes.items[0].vals.items[1], "fr"));
    assert_true(wh_slice_equal_str(request->tf->nodes.items[1].val, "3"));
}

static void a_filter_that_is_too_deep_or_too_large_is_refused(void **state)
{
    struct fx *fx = *state;
    struct wh_sub *sub = fx_sub(fx, "c", NULL);
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

static void note_free(void *user)
{
    ++*(int *)user;
}

static void freeing_unsubscribes_silently_and_frees_the_user_once(void **state)
{
    struct fx *fx = *state;
    int freed = 0;
    const struct wh_sub_options options = {
        .size = sizeof(options), .user = &freed, .user_free = note_free};
    struct wh_sub *sub = fx_sub(fx, "c", &options);
    fx_subscribe(fx, sub, "");
    fx_say(fx, "{\"push\":{\"channel\":\"c\",\"pub\":{\"data\":1}}}");
    sub_forget(sub);
    assert_non_null(fx_take(fx)->unsubscribe);
    fx_expect(fx, "free_user\n");
    assert_int_equal(freed, 1);
}

static void closing_ends_all_subscriptions_with_2(void **state)
{
    struct fx *fx = *state;
    int freed = 0;
    const struct wh_sub_options options = {
        .size = sizeof(options), .user = &freed, .user_free = note_free};
    struct wh_sub *sub = fx_sub(fx, "c", &options);
    fx_subscribe(fx, sub, "");
    engine_close(&fx->engine);
    fx_expect(fx, "unsubscribed c 2 client closed\nfree_user\ndisconnected 0 disconnect called\n");
    assert_int_equal(sub_subscribe(sub), WH_ECLOSED);
    assert_int_equal(freed, 1);
}

/* ---- replies ------------------------------------------------------------------------------------
 */

static void temporary_errors_are_tried_again_after_the_back_off(void **state)
{
    struct fx *fx = *state;
    struct wh_sub *sub = fx_sub(fx, "c", NULL);
    fx_connect(fx);
    assert_int_equal(sub_subscribe(sub), WH_OK);
    reply_error(fx, fx_take(fx)->id, 100, ",\"temporary\":true");
    fx_take_nothing(fx);
    fx_advance(fx, 400); /* min 500 */
    fx_take_nothing(fx);
    fx_advance(fx, 700);
    assert_non_null(fx_take(fx)->subscribe);
    fx_expect(fx, "connecting 0 connect called\nconnected\nsubscribing c 0 subscribe called\n"
                  "error c WH_ESERVER 100\n");
}

static void other_errors_end_the_subscription_with_their_code(void **state)
{
    struct fx *fx = *state;
    static const unsigned codes[] = {101, 103, 105, 112, 400, 1999};
    struct wh_sub *sub = fx_sub(fx, "c", NULL);
    fx_connect(fx);
    fx_forget(fx);
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        char expected[100];
        assert_int_equal(sub_subscribe(sub), WH_OK);
        reply_error(fx, fx_take(fx)->id, codes[i], "");
        snprintf(expected, sizeof(expected),
                 "subscribing c 0 subscribe called\nunsubscribed c %u m\n", codes[i]);
        fx_expect(fx, expected);
        fx_advance(fx, 60000);
        fx_take_nothing(fx);
    }
}

static void a_subscribe_without_reply_reconnects_with_3(void **state)
{
    struct fx *fx = *state;
    struct wh_sub *sub = fx_sub(fx, "c", NULL);
    fx_connect(fx);
    assert_int_equal(sub_subscribe(sub), WH_OK);
    fx_forget(fx);
    fx_advance(fx, 5100);
    fx_expect(fx, "connecting 3 subscribe timeout\n");
    assert_int_equal(sub->state, WH_SUB_SUBSCRIBING);
}

static void an_unsubscribe_that_fails_reconnects_with_4(void **state)
{
    struct fx *fx = *state;
    struct wh_sub *sub = fx_sub(fx, "c", NULL);
    for (unsigned round = 0; round < 2; round++) {
        fx_subscribe(fx, sub, "");
        sub_unsubscribe(sub, 0, "unsubscribe called");
        const struct wh_command *command = fx_take(fx);
        assert_true(wh_slice_equal_str(command->unsubscribe->channel, "c"));
        if (round == 0)
            reply_error(fx, command->id, 100, "");
        else
            fx_advance(fx, 5100);
        fx_expect(fx, "unsubscribed c 0 unsubscribe called\nconnecting 4 unsubscribe error\n");
        engine_disconnect(&fx->engine);
        fx_forget(fx);
    }
}

static void replies_to_what_was_given_up_change_nothing(void **state)
{
    struct fx *fx = *state;
    struct wh_sub *sub = fx_sub(fx, "c", NULL);
    fx_connect(fx);
    assert_int_equal(sub_subscribe(sub), WH_OK);
    uint32_t first = fx_take(fx)->id;
    sub_unsubscribe(sub, 0, "u");
    assert_non_null(fx_take(fx)->unsubscribe);
    assert_int_equal(sub_subscribe(sub), WH_OK);
    uint32_t second = fx_take(fx)->id;
    fx_say(fx, "{\"id\":%u,\"subscribe\":{}}", first);
    assert_int_equal(sub->state, WH_SUB_SUBSCRIBING);
    reply_error(fx, first, 103, "");
    assert_int_equal(sub->state, WH_SUB_SUBSCRIBING);
    fx_say(fx, "{\"id\":%u,\"subscribe\":{}}", second);
    assert_int_equal(sub->state, WH_SUB_SUBSCRIBED);
}

static void replies_of_an_earlier_connection_change_nothing(void **state)
{
    struct fx *fx = *state;
    struct wh_sub *sub = fx_sub(fx, "c", NULL);
    fx_connect(fx);
    assert_int_equal(sub_subscribe(sub), WH_OK);
    uint32_t id = fx_take(fx)->id, connection = fx->connection;
    char text[64];
    snprintf(text, sizeof(text), "{\"id\":%u,\"subscribe\":{}}", id);
    fx_lose(fx);
    fx_give(fx, connection, text, strlen(text));
    fx_advance(fx, 60000);
    assert_true(fx_act(fx));
    fx_give(fx, connection, text, strlen(text));
    fx_give(fx, fx->connection, text, strlen(text)); /* not even on the new one */
    assert_int_equal(sub->state, WH_SUB_SUBSCRIBING);
}

/* ---- lost connections
 * ------------------------------------------------------------------------------ */

static void a_lost_connection_makes_it_subscribing_and_it_comes_back(void **state)
{
    struct fx *fx = *state;
    struct wh_sub *sub = fx_sub(fx, "c", NULL);
    fx_subscribe(fx, sub, RECOVERABLE "5");
    fx_lose(fx);
    fx_expect(fx, "subscribing c 1 transport closed\nconnecting 1 transport closed\n");
    fx_advance(fx, 60000);
    assert_true(fx_act(fx));
    const struct wh_command *connect = fx_take(fx), *command = fx_take(fx);
    assert_true(command->subscribe->recover && command->subscribe->offset == 5);
    fx_say(fx, "{\"id\":%u,\"connect\":{\"client\":\"x\"}}", connect->id);
    fx_say(fx,
           "{\"id\":%u,\"subscribe\":{" RECOVERABLE "5,\"was_recovering\":true,\"recovered\":true,"
           "\"publications\":[{\"data\":6,\"offset\":6},{\"data\":7,\"offset\":7}]}}",
           command->id);
    fx_say(fx, "{\"push\":{\"channel\":\"c\",\"pub\":{\"data\":8,\"offset\":8}}}");
    fx_expect(fx, "connected\nsubscribed c 5:e recoverable recovered\n"
                  "pub c 6 #6\npub c 7 #7\npub c 8 #8\n");
    assert_int_equal(sub_stored_position(sub)->offset, 8);
}

static void disconnect_keeps_it_for_the_next_connect(void **state)
{
    struct fx *fx = *state;
    struct wh_sub *sub = fx_sub(fx, "c", NULL);
    fx_subscribe(fx, sub, "");
    engine_disconnect(&fx->engine);
    fx_expect(fx, "subscribing c 1 transport closed\ndisconnected 0 disconnect called\n");
    fx_open(fx);
    assert_non_null(fx_take(fx)->subscribe);
}

/* ---- positions
 * --------------------------------------------------------------------------------------- */

static void a_reply_that_tells_the_offset_after_the_batch_loses_nothing(void **state)
{
    struct fx *fx = *state;
    const struct wh_position since = {5, "e"};
    const struct wh_sub_options options = {.size = sizeof(options), .since = &since};
    struct wh_sub *sub = fx_sub(fx, "c", &options);
    fx_connect(fx);
    assert_int_equal(sub_subscribe(sub), WH_OK);
    fx_forget(fx);
    /* 4 was seen, 9 was hidden by a filter. */
    fx_say(fx,
           "{\"id\":%u,\"subscribe\":{" RECOVERABLE "9,\"was_recovering\":true,\"recovered\":true,"
           "\"publications\":[{\"data\":4,\"offset\":4},{\"data\":6,\"offset\":6},"
           "{\"data\":8,\"offset\":8}]}}",
           fx_take(fx)->id);
    assert_int_equal(sub->received.offset, 9);
    assert_int_equal(fx->engine.events.count, 3); /* 4 does not even wait */
    fx_expect(fx, "subscribed c 9:e recoverable recovered\npub c 6 #6\npub c 8 #8\n");
    assert_int_equal(sub_stored_position(sub)->offset, 9);
    fx_say(fx, "{\"push\":{\"channel\":\"c\",\"pub\":{\"data\":9,\"offset\":9}}}\n"
               "{\"push\":{\"channel\":\"c\",\"pub\":{\"data\":0}}}\n"
               "{\"push\":{\"channel\":\"c\",\"pub\":{\"data\":10,\"offset\":10}}}");
    assert_int_equal(fx->engine.events.count, 2);
    fx_expect(fx, "pub c 0\npub c 10 #10\n");
}

static void what_could_not_be_recovered_is_lost_and_said(void **state)
{
    struct fx *fx = *state;
    const struct wh_position since = {5, "old"};
    const struct wh_sub_options options = {.size = sizeof(options), .since = &since};
    struct wh_sub *sub = fx_sub(fx, "c", &options);
    fx_connect(fx);
    assert_int_equal(sub_subscribe(sub), WH_OK);
    fx_forget(fx);
    fx_say(fx, "{\"id\":%u,\"subscribe\":{" RECOVERABLE "2,\"was_recovering\":true}}",
           fx_take(fx)->id);
    fx_expect(fx, "subscribed c 2:e recoverable lost\n");
    assert_string_equal(sub_stored_position(sub)->epoch, "e");
}

static void an_absurd_epoch_is_bounded_and_counts_as_lost(void **state)
{
    struct fx *fx = *state;
    struct wh_sub *sub = fx_sub(fx, "c", NULL);
    char epoch[4001];
    memset(epoch, 'e', 4000);
    epoch[4000] = '\0';
    fx_connect(fx);
    assert_int_equal(sub_subscribe(sub), WH_OK);
    fx_say(fx,
           "{\"id\":%u,\"subscribe\":{\"recoverable\":true,\"positioned\":true,\"epoch\":\"%s\","
           "\"offset\":18446744073709551615}}",
           fx_take(fx)->id, epoch);
    fx_say(fx, "{\"push\":{\"channel\":\"c\",\"pub\":{\"data\":1,\"offset\":1}}}");
    fx_forget(fx);
    fx_lose(fx);
    fx_open(fx);
    const struct wh_subscribe_request *request = fx_take(fx)->subscribe;
    assert_true(request->recover);
    assert_true(wh_slice_equal_str(request->epoch, "_"));
}

static void the_epoch_of_the_first_publication_is_adopted(void **state)
{
    struct fx *fx = *state;
    struct wh_sub *sub = fx_sub(fx, "c", NULL);
    fx_subscribe(fx, sub, "\"positioned\":true,\"recoverable\":true");
    fx_say(fx, "{\"push\":{\"channel\":\"c\",\"pub\":{\"data\":1,\"offset\":1,\"epoch\":\"n\"}}}");
    fx_forget(fx);
    assert_string_equal(sub->received.epoch, "n");
    assert_string_equal(sub_stored_position(sub)->epoch, "n");
}

static void unsubscribe_in_callback(struct fx *fx, struct event *event)
{
    (void)fx;
    if (event->kind == EVENT_PUBLICATION && event->u.publication.offset == 2)
        sub_unsubscribe(event->sub, 0, "u");
}

static void unsubscribing_in_a_callback_keeps_what_was_not_seen(void **state)
{
    struct fx *fx = *state;
    struct wh_sub *sub = fx_sub(fx, "c", NULL);
    fx_subscribe(fx, sub, RECOVERABLE "0");
    fx->on_event = unsubscribe_in_callback;
    for (unsigned i = 1; i < 6; i++)
        fx_say(fx, "{\"push\":{\"channel\":\"c\",\"pub\":{\"data\":%u,\"offset\":%u}}}", i, i);
    fx_expect(fx, "pub c 1 #1\npub c 2 #2\nunsubscribed c 0 u\n");
    assert_non_null(fx_take(fx)->unsubscribe);
    assert_int_equal(sub_subscribe(sub), WH_OK);
    assert_int_equal(fx_take(fx)->subscribe->offset, 2);
}

/* ---- pushes
 * -------------------------------------------------------------------------------------------- */

static void publications_joins_and_leaves_are_events(void **state)
{
    struct fx *fx = *state;
    struct wh_sub *sub = fx_sub(fx, "c", NULL);
    fx_subscribe(fx, sub, "");
    fx_say(fx,
           "{\"push\":{\"channel\":\"c\",\"pub\":{\"data\":[1e2],\"tags\":{\"k\":\"v\"},"
           "\"info\":{\"user\":\"u\",\"client\":\"y\"}}}}\n"
           "{\"push\":{\"channel\":\"c\",\"join\":{\"info\":{\"user\":\"u\",\"client\":\"y\"}}}}\n"
           "{\"push\":{\"channel\":\"c\",\"leave\":{\"info\":{\"user\":\"u\",\"client\":\"y\"}}}}\n"
           "{\"push\":{\"channel\":\"c\",\"join\":{}}}\n"
           "{\"push\":{\"channel\":\"other\",\"pub\":{\"data\":1}}}");
    fx_expect(fx, "pub c [1e2] k=v by u/y\njoin c u/y\nleave c u/y\n");
}

static void payloads_are_not_copied(void **state)
{
    struct fx *fx = *state;
    struct wh_sub *sub = fx_sub(fx, "c", NULL);
    fx_subscribe(fx, sub, "");
    fx_say(fx, "{\"push\":{\"channel\":\"c\",\"pub\":{\"data\":{\"a\":\"b\"}}}}");
    struct event *event = engine_take_event(&fx->engine);
    const char *data = event->u.publication.data.ptr;
    assert_in_range((uintptr_t)data, (uintptr_t)event->message->bytes,
                    (uintptr_t)event->message->bytes + event->message->len);
    event_free(event);
}

static void numbers_stand_for_channels_until_the_connection_is_lost(void **state)
{
    struct fx *fx = *state;
    struct wh_sub *sub = fx_sub(fx, "c", NULL);
    fx_subscribe(fx, sub, "\"id\":77");
    fx_say(fx, "{\"push\":{\"id\":77,\"pub\":{\"data\":1}}}");
    fx_say(fx, "{\"push\":{\"id\":78,\"pub\":{\"data\":2}}}");
    fx_say(fx, "{\"push\":{\"channel\":\"c\",\"pub\":{\"data\":3}}}");
    fx_expect(fx, "pub c 1\npub c 3\n");
    fx_lose(fx);
    assert_int_equal(fx->engine.sub_by_number.count, 0);
    fx_advance(fx, 60000);
    assert_true(fx_act(fx));
    uint32_t connect = fx_take(fx)->id, subscribe = fx_take(fx)->id;
    fx_say(fx, "{\"id\":%u,\"connect\":{\"client\":\"x\"}}", connect);
    fx_say(fx, "{\"id\":%u,\"subscribe\":{}}", subscribe);
    fx_forget(fx);
    fx_say(fx, "{\"push\":{\"id\":77,\"pub\":{\"data\":4}}}");
    fx_expect(fx, "");
}

static void two_channels_with_one_number_do_no_harm(void **state)
{
    struct fx *fx = *state;
    struct wh_sub *first = fx_sub(fx, "a", NULL), *second = fx_sub(fx, "b", NULL);
    fx_subscribe(fx, first, "\"id\":1");
    fx_subscribe(fx, second, "\"id\":1");
    sub_forget(second);
    fx_say(fx, "{\"push\":{\"id\":1,\"pub\":{\"data\":1}}}");
    fx_expect(fx, "pub a 1\n");
    sub_forget(first);
    fx_say(fx, "{\"push\":{\"id\":1,\"pub\":{\"data\":1}}}");
    fx_expect(fx, "");
}

static void push_unsubscribe(struct fx *fx, unsigned code)
{
    fx_say(fx, "{\"push\":{\"channel\":\"c\",\"unsubscribe\":{\"code\":%u,\"reason\":\"r\"}}}",
           code);
}

static void a_push_below_2500_ends_it(void **state)
{
    struct fx *fx = *state;
    struct wh_sub *sub = fx_sub(fx, "c", NULL);
    fx_subscribe(fx, sub, "");
    fx_say(fx, "{\"push\":{\"channel\":\"c\",\"pub\":{\"data\":1}}}");
    push_unsubscribe(fx, 2499);
    push_unsubscribe(fx, 2499); /* once */
    fx_take_nothing(fx);
    fx_expect(fx, "pub c 1\nunsubscribed c 2499 r\n");
}

static void a_push_from_2500_subscribes_again_at_once_or_with_back_off(void **state)
{
    struct fx *fx = *state;
    struct wh_sub *sub = fx_sub(fx, "c", NULL);
    fx_subscribe(fx, sub, RECOVERABLE "3");
    fx_advance(fx, 21000); /* it has lasted */
    push_unsubscribe(fx, 2500);
    const struct wh_command *command = fx_take(fx);
    assert_true(command->subscribe->recover && command->subscribe->offset == 3);
    fx_expect(fx, "subscribing c 2500 r\n");
    fx_say(fx, "{\"id\":%u,\"subscribe\":{" RECOVERABLE "3}}", command->id);
    fx_forget(fx);
    push_unsubscribe(fx, 2500);
    fx_take_nothing(fx);
    fx_expect(fx, "subscribing c 2500 r later\n");
    fx_advance(fx, 1100);
    assert_non_null(fx_take(fx)->subscribe);
}

static void an_invalidated_position_is_one_that_no_server_has(void **state)
{
    struct fx *fx = *state;
    struct wh_sub *sub = fx_sub(fx, "c", NULL);
    fx_subscribe(fx, sub, RECOVERABLE "3");
    fx_advance(fx, 21000);
    push_unsubscribe(fx, 2502);
    const struct wh_subscribe_request *request = fx_take(fx)->subscribe;
    assert_true(request->recover && request->offset == 0);
    assert_true(wh_slice_equal_str(request->epoch, "_"));
}

static void closing_with_3014_invalidates_all(void **state)
{
    struct fx *fx = *state;
    struct wh_sub *sub = fx_sub(fx, "c", NULL);
    fx_subscribe(fx, sub, RECOVERABLE "3");
    /* What waits is delivered, but unsubscribing does not go back behind it. */
    fx_say(fx, "{\"push\":{\"channel\":\"c\",\"pub\":{\"data\":4,\"offset\":4}}}");
    engine_closed(&fx->engine, fx->connection, 3014, WH_SLICE_LITERAL("state invalidated"), NULL);
    fx_expect(fx, "pub c 4 #4\nsubscribing c 1 transport closed\n"
                  "connecting 3014 state invalidated\n");
    sub_unsubscribe(sub, 0, "u");
    assert_int_equal(sub_subscribe(sub), WH_OK);
    fx_open(fx);
    const struct wh_subscribe_request *request = fx_take(fx)->subscribe;
    assert_true(wh_slice_equal_str(request->epoch, "_"));
}

static void pushes_between_unsubscribe_and_the_new_reply_are_of_the_old_one(void **state)
{
    struct fx *fx = *state;
    struct wh_sub *sub = fx_sub(fx, "c", NULL);
    fx_subscribe(fx, sub, "\"id\":5");
    sub_unsubscribe(sub, 0, "u");
    assert_int_equal(sub_subscribe(sub), WH_OK);
    fx_say(fx, "{\"push\":{\"channel\":\"c\",\"pub\":{\"data\":1}}}");
    fx_say(fx, "{\"push\":{\"id\":5,\"pub\":{\"data\":1}}}");
    push_unsubscribe(fx, 2000);
    fx_expect(fx, "unsubscribed c 0 u\nsubscribing c 0 subscribe called\n");
}

/* Minimal publications are the worst case of memory for a byte of the frame. */
static void frames_of_the_smallest_publications_fit_into_their_memory(void **state)
{
    struct fx *unused = *state;
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
        static struct fx fx;
        struct wh_connect_result connected = {.client = WH_SLICE_LITERAL("x")};
        struct wh_buf frame = {0};
        const struct wh_position since = {0, ""};
        const struct wh_sub_options options = {.size = sizeof(options), .since = &since};
        fx_init(&fx, (enum wh_encoding)encoding);
        fx.is_quiet = true;
        struct wh_sub *sub = fx_sub(&fx, "c", &options);
        assert_int_equal(sub_subscribe(sub), WH_OK);
        struct wh_reply reply = {.id = fx_open(&fx)->id, .connect = &connected};
        assert_int_equal(wh_encode((enum wh_encoding)encoding, &wh_reply_schema, &reply, 0, &frame),
                         WH_OK);
        fx_give(&fx, fx.connection, frame.ptr, frame.len);
        wh_buf_reset(&frame);
        reply = (struct wh_reply){.id = fx_take(&fx)->id, .subscribe = &result};
        assert_int_equal(wh_encode((enum wh_encoding)encoding, &wh_reply_schema, &reply, 0, &frame),
                         WH_OK);
        fx_give(&fx, fx.connection, frame.ptr, frame.len);
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
        fx_give(&fx, fx.connection, frame.ptr, frame.len);
        fx_run(&fx);
        assert_int_equal(sub->state, WH_SUB_SUBSCRIBED);
        assert_int_equal(sub_stored_position(sub)->offset, 2 * COUNT);
        wh_buf_deinit(&frame);
        fx_deinit(&fx);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_client_has_one_subscription_to_a_channel),
        TEST(bad_names_and_options_are_refused_with_a_text),
        TEST(subscribing_before_connecting_waits),
        TEST(options_are_in_the_command),
        TEST(a_filter_that_is_too_deep_or_too_large_is_refused),
        TEST(freeing_unsubscribes_silently_and_frees_the_user_once),
        TEST(closing_ends_all_subscriptions_with_2),
        TEST(temporary_errors_are_tried_again_after_the_back_off),
        TEST(other_errors_end_the_subscription_with_their_code),
        TEST(a_subscribe_without_reply_reconnects_with_3),
        TEST(an_unsubscribe_that_fails_reconnects_with_4),
        TEST(replies_to_what_was_given_up_change_nothing),
        TEST(replies_of_an_earlier_connection_change_nothing),
        TEST(a_lost_connection_makes_it_subscribing_and_it_comes_back),
        TEST(disconnect_keeps_it_for_the_next_connect),
        TEST(a_reply_that_tells_the_offset_after_the_batch_loses_nothing),
        TEST(what_could_not_be_recovered_is_lost_and_said),
        TEST(an_absurd_epoch_is_bounded_and_counts_as_lost),
        TEST(the_epoch_of_the_first_publication_is_adopted),
        TEST(unsubscribing_in_a_callback_keeps_what_was_not_seen),
        TEST(publications_joins_and_leaves_are_events),
        TEST(payloads_are_not_copied),
        TEST(numbers_stand_for_channels_until_the_connection_is_lost),
        TEST(two_channels_with_one_number_do_no_harm),
        TEST(a_push_below_2500_ends_it),
        TEST(a_push_from_2500_subscribes_again_at_once_or_with_back_off),
        TEST(an_invalidated_position_is_one_that_no_server_has),
        TEST(closing_with_3014_invalidates_all),
        TEST(pushes_between_unsubscribe_and_the_new_reply_are_of_the_old_one),
        TEST(frames_of_the_smallest_publications_fit_into_their_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
