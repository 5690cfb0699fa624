/* What a subscription asks the program for: tokens, newer tokens, the state of its channel. */
#include "sub_fixture.h"

#include "common/base/random.h"

static struct fx the_fx;
static const struct wh_sub_events token_events = {.size = sizeof(token_events),
                                                  .get_token = fx_get_token};
static const struct wh_sub_events state_events = {.size = sizeof(state_events),
                                                  .get_state = fx_get_state};
static const struct wh_sub_options with_token = {.size = sizeof(with_token),
                                                 .events = &token_events};
static const struct wh_sub_options with_state = {.size = sizeof(with_state),
                                                 .events = &state_events};

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

/* Connected and subscribing, the log empty. */
static struct wh_sub *begin(struct fx *fx, const struct wh_sub_options *options)
{
    struct wh_sub *sub = fx_sub(fx, "c", options);
    fx_connect(fx);
    fx_forget(fx);
    assert_int_equal(sub_subscribe(sub), WH_OK);
    return sub;
}

static void reply_error(struct fx *fx, uint32_t id, unsigned code, bool temporary)
{
    fx_say(fx, "{\"id\":%u,\"error\":{\"code\":%u,\"message\":\"m\",\"temporary\":%s}}", id, code,
           temporary ? "true" : "false");
}

/* Subscribed with a token that is to be refreshed after 60 s. */
static struct wh_sub *begin_expiring(struct fx *fx)
{
    struct wh_sub *sub = begin(fx, &with_token);
    fx_run(fx);
    fx_answer_token(fx, "t1");
    fx_say(fx, "{\"id\":%u,\"subscribe\":{\"expires\":true,\"ttl\":60}}", fx_take(fx)->id);
    fx_forget(fx);
    return sub;
}

static void a_token_is_asked_for_and_sent(void **state)
{
    struct fx *fx = *state;
    begin(fx, &with_token);
    fx_take_nothing(fx);
    fx_expect(fx, "subscribing c 0 subscribe called\nget_token c\n");
    fx_answer_token(fx, "t1");
    assert_true(wh_slice_equal_str(fx_take(fx)->subscribe->token, "t1"));
}

static void unauthorized_and_the_empty_token_end_it_with_1(void **state)
{
    struct fx *fx = *state;
    struct wh_sub *sub = begin(fx, &with_token);
    for (unsigned round = 0; round < 2; round++) {
        assert_int_equal(sub_subscribe(sub), WH_OK);
        fx_run(fx);
        struct wh_token_request *request = fx->token_request;
        fx->token_request = NULL;
        if (round == 0)
            wh_token_unauthorized(request);
        else
            wh_token_ok(request, "");
        fx_take_nothing(fx);
        fx_expect(fx, "subscribing c 0 subscribe called\nget_token c\n"
                      "unsubscribed c 1 unauthorized\n");
    }
}

static void an_error_or_no_answer_is_asked_again_after_the_back_off(void **state)
{
    struct fx *fx = *state;
    begin(fx, &with_token);
    fx_expect(fx, "subscribing c 0 subscribe called\nget_token c\n");
    struct wh_token_request *request = fx->token_request;
    fx->token_request = NULL;
    wh_token_error(request, "no");
    fx_expect(fx, "error c WH_EUNAVAILABLE 8\n");
    fx_advance(fx, 1100);
    fx_expect(fx, "get_token c\n");
    fx_advance(fx, 10100); /* token_timeout_ms */
    fx_expect(fx, "error c WH_EUNAVAILABLE 8\n");
    fx_advance(fx, 2000);
    fx_expect(fx, "get_token c\n");
}

static void an_expired_token_is_dropped_and_another_asked_for(void **state)
{
    struct fx *fx = *state;
    begin(fx, &with_token);
    fx_run(fx);
    fx_answer_token(fx, "old");
    fx_forget(fx);
    reply_error(fx, fx_take(fx)->id, 109, false);
    fx_advance(fx, 1100);
    fx_expect(fx, "error c WH_ESERVER 109\nget_token c\n");
    fx_answer_token(fx, "new");
    assert_true(wh_slice_equal_str(fx_take(fx)->subscribe->token, "new"));
}

static void an_expired_token_without_get_token_is_a_configuration_error(void **state)
{
    struct fx *fx = *state;
    const struct wh_sub_options options = {.size = sizeof(options), .token = "t"};
    begin(fx, &options);
    fx_forget(fx);
    reply_error(fx, fx_take(fx)->id, 109, false);
    fx_expect(fx, "error c WH_EEXPIRED 12\nunsubscribed c 1 unauthorized\n");
}

static void an_answer_after_unsubscribe_is_dropped(void **state)
{
    struct fx *fx = *state;
    struct wh_sub *sub = begin(fx, &with_token);
    fx_run(fx);
    sub_unsubscribe(sub, 0, "u");
    fx_answer_token(fx, "t");
    fx_take_nothing(fx);
    assert_int_equal(sub->token.len, 0);
    /* One that was not even asked yet is not asked any more. */
    fx_forget(fx);
    assert_int_equal(sub_subscribe(sub), WH_OK);
    sub_unsubscribe(sub, 0, "u");
    fx_expect(fx, "subscribing c 0 subscribe called\nunsubscribed c 0 u\n");
}

static void an_answer_serves_the_next_connection(void **state)
{
    struct fx *fx = *state;
    begin(fx, &with_token);
    fx_run(fx);
    fx_lose(fx);
    fx_answer_token(fx, "t");
    fx_open(fx);
    assert_true(wh_slice_equal_str(fx_take(fx)->subscribe->token, "t"));
    fx_run(fx);
    assert_null(fx->token_request);
}

static void a_question_is_asked_once_over_lost_connections(void **state)
{
    struct fx *fx = *state;
    static const struct wh_sub_options *const options[] = {&with_token, &with_state};
    for (size_t i = 0; i < 2; i++) {
        struct wh_sub *sub = begin(fx, options[i]);
        fx_forget(fx);
        fx_lose(fx);
        engine_reconnect_now(&fx->engine); /* before the question times out */
        fx_forget(fx);
        fx_connect(fx);
        fx_expect(fx, "connected\n");
        if (i == 0)
            fx_answer_token(fx, "t");
        else
            fx_answer_state(fx, 1, "e");
        assert_non_null(fx_take(fx)->subscribe);
        sub_forget(sub);
        engine_disconnect(&fx->engine);
    }
}

/* ---- refresh ------------------------------------------------------------------------------------
 */

static void a_token_is_refreshed_when_its_ttl_has_passed(void **state)
{
    struct fx *fx = *state;
    begin_expiring(fx);
    fx_advance(fx, 59000);
    fx_expect(fx, "");
    fx_advance(fx, 1100);
    fx_expect(fx, "get_token c\n");
    fx_answer_token(fx, "t2");
    const struct wh_command *command = fx_take(fx);
    assert_true(wh_slice_equal_str(command->sub_refresh->token, "t2"));
    assert_true(wh_slice_equal_str(command->sub_refresh->channel, "c"));
    fx_say(fx, "{\"id\":%u,\"sub_refresh\":{\"expires\":true,\"ttl\":60}}", command->id);
    fx_advance(fx, 60100);
    fx_expect(fx, "get_token c\n");
}

static void a_refresh_that_fails_for_now_is_tried_again_after_10_to_20_s(void **state)
{
    struct fx *fx = *state;
    begin_expiring(fx);
    fx_advance(fx, 60100);
    fx_run(fx);
    fx_answer_token(fx, "t2");
    fx_forget(fx);
    reply_error(fx, fx_take(fx)->id, 100, true);
    fx_expect(fx, "error c WH_ESERVER 100\n");
    fx_advance(fx, 9900);
    fx_expect(fx, "");
    fx_advance(fx, 10200);
    fx_expect(fx, "get_token c\n");
    fx_answer_token(fx, "t3");
    assert_non_null(fx_take(fx)->sub_refresh);
    fx_advance(fx, 5100); /* no reply */
    fx_expect(fx, "error c WH_EUNAVAILABLE 1\n");
    fx_advance(fx, 20100);
    fx_expect(fx, "get_token c\n");
    struct wh_token_request *request = fx->token_request;
    fx->token_request = NULL;
    wh_token_error(request, "no");
    fx_expect(fx, "error c WH_EUNAVAILABLE 9\n");
    fx_advance(fx, 20100);
    fx_expect(fx, "get_token c\n");
}

static void a_refresh_that_fails_for_good_ends_it(void **state)
{
    struct fx *fx = *state;
    begin_expiring(fx);
    fx_advance(fx, 60100);
    fx_run(fx);
    fx_answer_token(fx, "t2");
    fx_forget(fx);
    reply_error(fx, fx_take(fx)->id, 103, false);
    assert_non_null(fx_take(fx)->unsubscribe);
    fx_expect(fx, "unsubscribed c 103 m\n");
}

static void nobody_authorized_at_refresh_ends_it_with_1(void **state)
{
    struct fx *fx = *state;
    begin_expiring(fx);
    fx_advance(fx, 60100);
    fx_run(fx);
    fx_answer_token(fx, "");
    assert_non_null(fx_take(fx)->unsubscribe);
    fx_expect(fx, "get_token c\nunsubscribed c 1 unauthorized\n");
}

static void a_ttl_of_136_years_does_not_wrap(void **state)
{
    struct fx *fx = *state;
    begin(fx, &with_token);
    fx_run(fx);
    fx_answer_token(fx, "t1");
    fx_say(fx, "{\"id\":%u,\"subscribe\":{\"expires\":true,\"ttl\":4294967295}}", fx_take(fx)->id);
    fx_forget(fx);
    fx_advance(fx, (uint64_t)50 * 24 * 3600 * 1000);
    fx_expect(fx, "");
}

/* ---- state
 * --------------------------------------------------------------------------------------- */

static void the_state_is_asked_first_and_its_position_recovered_from(void **state)
{
    struct fx *fx = *state;
    begin(fx, &with_state);
    fx_take_nothing(fx);
    fx_expect(fx, "subscribing c 0 subscribe called\nget_state c\n");
    fx_answer_state(fx, 41, "e");
    const struct wh_subscribe_request *request = fx_take(fx)->subscribe;
    assert_int_equal(request->flag, 3);
    assert_true(request->recover && request->offset == 41);
    assert_true(wh_slice_equal_str(request->epoch, "e"));
}

static void error_112_asks_for_the_state_again(void **state)
{
    struct fx *fx = *state;
    begin(fx, &with_state);
    fx_run(fx);
    fx_answer_state(fx, 41, "e");
    fx_forget(fx);
    reply_error(fx, fx_take(fx)->id, 112, false);
    fx_expect(fx, "get_state c\n"); /* at once */
    fx_answer_state(fx, 50, "f");
    const struct wh_command *command = fx_take(fx);
    assert_int_equal(command->subscribe->offset, 50);
    reply_error(fx, command->id, 112, false);
    fx_expect(fx, ""); /* then with back-off: nobody asks a database in a circle */
    fx_advance(fx, 2000);
    fx_expect(fx, "get_state c\n");
}

static void a_state_that_cannot_be_had_is_asked_again(void **state)
{
    struct fx *fx = *state;
    begin(fx, &with_state);
    fx_forget(fx);
    struct wh_state_request *request = fx->state_request;
    fx->state_request = NULL;
    wh_state_error(request, "no");
    fx_expect(fx, "error c WH_EUNAVAILABLE 13\n");
    fx_advance(fx, 1100);
    fx_expect(fx, "get_state c\n");
    char epoch[300];
    memset(epoch, 'e', sizeof(epoch) - 1);
    epoch[sizeof(epoch) - 1] = '\0';
    fx_answer_state(fx, 1, epoch);
    fx_expect(fx, "error c WH_EUNAVAILABLE 13\n");
}

static void since_stands_for_the_first_state(void **state)
{
    struct fx *fx = *state;
    const struct wh_position since = {7, "e"};
    const struct wh_sub_options options = {
        .size = sizeof(options), .events = &state_events, .since = &since};
    begin(fx, &options);
    const struct wh_command *command = fx_take(fx);
    assert_int_equal(command->subscribe->offset, 7);
    fx_forget(fx);
    reply_error(fx, command->id, 112, false);
    fx_expect(fx, "get_state c\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_token_is_asked_for_and_sent),
        TEST(unauthorized_and_the_empty_token_end_it_with_1),
        TEST(an_error_or_no_answer_is_asked_again_after_the_back_off),
        TEST(an_expired_token_is_dropped_and_another_asked_for),
        TEST(an_expired_token_without_get_token_is_a_configuration_error),
        TEST(an_answer_after_unsubscribe_is_dropped),
        TEST(an_answer_serves_the_next_connection),
        TEST(a_question_is_asked_once_over_lost_connections),
        TEST(a_token_is_refreshed_when_its_ttl_has_passed),
        TEST(a_refresh_that_fails_for_now_is_tried_again_after_10_to_20_s),
        TEST(a_refresh_that_fails_for_good_ends_it),
        TEST(nobody_authorized_at_refresh_ends_it_with_1),
        TEST(a_ttl_of_136_years_does_not_wrap),
        TEST(the_state_is_asked_first_and_its_position_recovered_from),
        TEST(error_112_asks_for_the_state_again),
        TEST(a_state_that_cannot_be_had_is_asked_again),
        TEST(since_stands_for_the_first_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
