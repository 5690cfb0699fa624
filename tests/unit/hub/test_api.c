/* The server API without a network: keys, statuses, requests by their tables, the reference. */
#include "hub/api.h"

#include "hub/api_internal.h"
#include "hub_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#define KEY "a key of the unit tests"

struct exchange {
    struct http_exchange base;
    bool is_answered;
    char path[64];
};

static void on_respond(struct http_exchange *base)
{
    struct exchange *exchange = WH_CONTAINER_OF(base, struct exchange, base);
    assert_false(exchange->is_answered);
    exchange->is_answered = true;
}

/* Answered or not when it returns. */
static void start(struct hub *hub, struct exchange *exchange, const char *method, const char *body)
{
    *exchange = (struct exchange){.base.respond = on_respond};
    snprintf(exchange->path, sizeof(exchange->path), API_PREFIX "%s", method);
    exchange->base.request.path = wh_slice_from_str(exchange->path);
    exchange->base.request.body = wh_slice_from_str(body);
    http_start(&hub->node, &exchange->base);
}

static void expect(struct hub *hub,
                   const char *method,
                   const char *body,
                   unsigned status,
                   const char *answer)
{
    struct exchange exchange;
    start(hub, &exchange, method, body);
    for (int i = 0; i < 10 && !exchange.is_answered; i++)
        hub_turn(hub);
    assert_true(exchange.is_answered);
    assert_int_equal(exchange.base.response.status, status);
    assert_string_equal(wh_buf_cstr(&exchange.base.response.owned), answer);
    wh_buf_deinit(&exchange.base.response.owned);
}

static bool opens(const char *configured, struct http_request request)
{
    struct config config = {0};
    char key[64];
    snprintf(key, sizeof(key), "%s", configured ? configured : "");
    config.http_api.key = configured ? key : NULL;
    return api_has_key(&config, &request);
}

static struct http_request with_key(const char *key)
{
    return (struct http_request){.api_key = wh_slice_from_str(key)};
}

static void exactly_the_key_opens(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "a", "a key of the unit test", (KEY " "), ("A" KEY)};
    assert_true(opens(KEY, with_key(KEY)));
    for (size_t i = 0; i < COUNT(wrong); i++)
        assert_false(opens(KEY, with_key(wrong[i])));
    assert_false(opens(KEY, (struct http_request){0}));
    assert_false(opens(NULL, with_key("")));
    assert_false(opens("", with_key("")));
    assert_false(opens("", (struct http_request){0}));
}

static void the_key_may_come_in_three_ways(void **state)
{
    (void)state;
    struct http_request request = {.authorization = WH_SLICE_LITERAL("apikey " KEY)};
    assert_true(opens(KEY, request));
    request.authorization = WH_SLICE_LITERAL("Bearer " KEY);
    assert_false(opens(KEY, request));
    request.query_key = WH_SLICE_LITERAL(KEY);
    assert_true(opens(KEY, request));
    request.api_key = WH_SLICE_LITERAL("wrong"); /* what was said first counts */
    assert_false(opens(KEY, request));
}

static void errors_have_the_statuses_of_transport_mode(void **state)
{
    (void)state;
    static const struct {
        enum wh_code code;
        unsigned status;
    } rows[] = {
        {WH_ERROR_INTERNAL, 500},
        {WH_ERROR_UNKNOWN_CHANNEL, 404},
        {WH_ERROR_METHOD_NOT_FOUND, 404},
        {WH_ERROR_BAD_REQUEST, 400},
        {WH_ERROR_NOT_AVAILABLE, 400},
        {WH_ERROR_UNRECOVERABLE_POSITION, 416},
        {WH_ERROR_CONCURRENT_PAGINATION, 409},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_int_equal(api_status(rows[i].code), rows[i].status);
}

static void required_members_must_be_there_and_not_empty(void **state)
{
    (void)state;
    struct hub hub;
    static const char bad[] = "{\"error\":{\"code\":107,\"message\":\"bad request\"}}";
    hub_start(&hub, NULL);
    expect(&hub, "publish", "{}", 200, bad);
    expect(&hub, "publish", "{\"channel\":\"\",\"data\":1}", 200, bad);
    expect(&hub, "publish", "{\"channel\":null,\"data\":1}", 200, bad);
    expect(&hub, "broadcast", "{\"channels\":[],\"data\":1}", 200, bad);
    expect(&hub, "rpc", "{\"method\":\"\"}", 200, bad);
    expect(&hub, "publish", "{\"channel\":1}", 400, "Bad Request\n");
    expect(&hub, "publish", "", 400, "Bad Request\n");
    hub_stop(&hub);
}

static void the_reference_in_the_docs_is_up_to_date(void **state)
{
    (void)state;
    struct wh_buf table = {0};
    static char page[256 * 1024];
    FILE *file = fopen(WH_SOURCE_DIR "/docs/API.md", "r");
    assert_non_null(file);
    page[fread(page, 1, sizeof(page) - 1, file)] = '\0';
    fclose(file);
    api_write_reference(&table);
    if (strstr(page, wh_buf_cstr(&table)) == NULL)
        fail_msg("docs/API.md is stale: its table is not that of api_write_reference");
    wh_buf_deinit(&table);
}

/* Work that is done at once, later, or in between. */
struct work {
    struct api_pump pump;
    size_t started;
    size_t most;
    size_t later;
    unsigned ended;
};

static void start_work(struct api_pump *pump, size_t index)
{
    struct work *work = WH_CONTAINER_OF(pump, struct work, pump);
    assert_int_equal(index, work->started++);
    if (pump->running > work->most)
        work->most = pump->running;
    if (index % 3 == 0)
        work->later++;
    else
        api_pump_one_done(pump);
}

static void end_work(struct api_pump *pump)
{
    WH_CONTAINER_OF(pump, struct work, pump)->ended++;
}

static void a_pump_starts_all_in_order_and_ends_once(void **state)
{
    (void)state;
    for (size_t count = 0; count < 40; count++) {
        for (size_t window = 1; window < 8; window++) {
            struct work work = {
                .pump = {.count = count, .window = window, .start = start_work, .end = end_work}};
            api_pump_run(&work.pump);
            while (work.later > 0) {
                work.later--;
                api_pump_one_done(&work.pump);
            }
            assert_int_equal(work.started, count);
            assert_true(work.most <= window);
            assert_int_equal(work.ended, 1);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exactly_the_key_opens),
        cmocka_unit_test(the_key_may_come_in_three_ways),
        cmocka_unit_test(errors_have_the_statuses_of_transport_mode),
        cmocka_unit_test(required_members_must_be_there_and_not_empty),
        cmocka_unit_test(the_reference_in_the_docs_is_up_to_date),
        cmocka_unit_test(a_pump_starts_all_in_order_and_ends_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
