#include "services/demo/stats.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static const char page[] =
    "# HELP wirehub_connections Connections that completed connect.\n"
    "# TYPE wirehub_connections gauge\n"
    "wirehub_connections{transport=\"websocket\",encoding=\"json\"} 3\n"
    "wirehub_connections{transport=\"websocket\",encoding=\"msgpack\"} 2\n"
    "wirehub_connections_total{transport=\"websocket\",encoding=\"json\"} 900\n"
    "wirehub_users 4\n"
    "wirehub_channels 7\n"
    "wirehub_subscriptions 15\n"
    "wirehub_messages_sent_total{kind=\"publication\"} 1000\n"
    "wirehub_messages_sent_total{kind=\"reply\"} 20\n"
    "wirehub_publications_received_total{source=\"hub\"} 100\n"
    "wirehub_publications_received_total{source=\"plain\"} 11\n"
    "wirehub_worker_restarts_total 1\n"
    "wirehub_rpc_seconds_bucket{service=\"users\",outcome=\"ok\",le=\"0.001\"} 0\n"
    "wirehub_rpc_seconds_bucket{service=\"users\",outcome=\"ok\",le=\"0.01\"} 10\n"
    "wirehub_rpc_seconds_bucket{service=\"users\",outcome=\"ok\",le=\"+Inf\"} 10\n"
    "wirehub_rpc_seconds_sum{service=\"users\",outcome=\"ok\"} 0.050000\n"
    "wirehub_rpc_seconds_count{service=\"users\",outcome=\"ok\"} 10\n"
    "wirehub_rpc_seconds_bucket{service=\"orders\",outcome=\"ok\",le=\"0.001\"} 8\n"
    "wirehub_rpc_seconds_bucket{service=\"orders\",outcome=\"ok\",le=\"0.01\"} 8\n"
    "wirehub_rpc_seconds_bucket{service=\"orders\",outcome=\"ok\",le=\"+Inf\"} 10\n"
    "wirehub_rpc_seconds_count{service=\"orders\",outcome=\"ok\"} 10\n";

static void sums_are_over_all_labels_of_that_very_series(void **state)
{
    bool is_found;
    (void)state;
    struct wh_slice text = wh_slice_from_str(page);
    assert_true(exposition_sum(text, "wirehub_connections", &is_found) == 5);
    assert_true(is_found);
    assert_true(exposition_sum(text, "wirehub_users", NULL) == 4);
    assert_true(exposition_sum(text, "wirehub", &is_found) == 0);
    assert_false(is_found);
    assert_true(exposition_sum(WH_SLICE_LITERAL(""), "wirehub_users", &is_found) == 0);
    assert_false(is_found);
}

static void lines_that_cannot_be_read_do_not_count(void **state)
{
    static const char *const lines[] = {
        "x",           "x ",
        "x 1 2",       "x{ 1",
        "x{a=\"b\" 1", "x one",
        "# x 1",       "x 0x",
        "x nan",       "x} 1",
        " 1",          "x\t1",
        "{} 1",        "x{}",
        "x 1e",        "\n\n",
        "x  ",         "x 1 ",
        "x{a=\"b\"}1", "y 1",
        "xx 1",        "x 11111111111111111111111111111111111111111111111111111111111111111111",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        if (exposition_sum(wh_slice_from_str(lines[i]), "x", NULL) != 0)
            fail_msg("counted: %s", lines[i]);
    assert_true(exposition_sum(WH_SLICE_LITERAL("x 1"), "x", NULL) == 1);
    assert_true(exposition_sum(WH_SLICE_LITERAL("x{} 1\nx 2\n"), "x", NULL) == 3);
}

static void a_histogram_is_over_all_labels_in_the_order_of_its_bounds(void **state)
{
    struct exposition_histogram histogram;
    (void)state;
    exposition_histogram(wh_slice_from_str(page), "wirehub_rpc_seconds", &histogram);
    assert_int_equal(histogram.count, 3);
    assert_true(histogram.le[0] == 0.001 && histogram.le[1] == 0.01 && isinf(histogram.le[2]));
    assert_true(histogram.below[0] == 8 && histogram.below[1] == 18 && histogram.below[2] == 20);
    exposition_histogram(WH_SLICE_LITERAL("h_bucket{le=\"+Inf\"} 3\nh_bucket{le=\"1\",a=\"b\"} 2\n"
                                          "h_bucket{a=\"le=\"} 9\nh_bucket{file=\"2\"} 9\n"),
                         "h", &histogram);
    assert_int_equal(histogram.count, 2);
    assert_true(histogram.below[0] == 2 && histogram.below[1] == 3);
}

static void more_buckets_than_there_is_room_for_are_left_out(void **state)
{
    char text[64 * 2 * EXPOSITION_BUCKETS_MAX] = "";
    size_t len = 0;
    struct exposition_histogram histogram;
    (void)state;
    for (int i = 0; i < 2 * EXPOSITION_BUCKETS_MAX; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "h_bucket{le=\"%d\"} %d\n", i, i);
    exposition_histogram(wh_slice_from_str(text), "h", &histogram);
    assert_int_equal(histogram.count, EXPOSITION_BUCKETS_MAX);
}

static void quantiles_are_interpolated_within_their_bucket(void **state)
{
    const struct exposition_histogram histogram = {
        .count = 3, .le = {1, 2, INFINITY}, .below = {50, 90, 100}};
    const struct exposition_histogram one = {.count = 2, .le = {1, INFINITY}, .below = {0, 4}};
    (void)state;
    assert_true(exposition_quantile(&histogram, 0.25) == 0.5);
    assert_true(exposition_quantile(&histogram, 0.5) == 1);
    assert_true(exposition_quantile(&histogram, 0.7) == 1.5);
    assert_true(exposition_quantile(&histogram, 0.99) == 2); /* past the last bound */
    assert_true(exposition_quantile(&one, 0.5) == 1);
}

/* ---- stats ---- */

static struct stats_look look_at(uint64_t at_ms, double sent, double calls)
{
    struct stats_look look = {
        .at_ms = at_ms,
        .connections = 3,
        .totals = {.messages_sent = sent, .publications = sent / 2, .rpc = calls},
        .rpc_seconds = {.count = 2, .le = {0.002, INFINITY}, .below = {calls, calls}}};
    return look;
}

static const char *written(struct stats_history *history, const struct stats_look *look)
{
    static char text[1024];
    struct wh_buf out = {0};
    stats_write(history, look, &out);
    snprintf(text, sizeof(text), "%s", wh_buf_cstr(&out));
    wh_buf_deinit(&out);
    return text;
}

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("no %s in %s", part, text);
}

static void a_page_of_a_hub_is_read_whole(void **state)
{
    struct stats_look look;
    struct stats_history history = {0};
    (void)state;
    assert_true(stats_read(wh_slice_from_str(page), 1, &look));
    assert_string_equal(written(&history, &look),
                        "{\"connections\":5,\"users\":4,\"channels\":7,\"subscriptions\":15,"
                        "\"worker_restarts\":1,\"rates\":null,\"totals\":{\"messages_sent\":1020,"
                        "\"publications\":111,\"rpc\":20},\"rpc_ms\":null}");
    assert_false(stats_read(WH_SLICE_LITERAL("<html>not found</html>"), 1, &look));
}

static void rates_are_those_since_the_look_before(void **state)
{
    struct stats_history history = {0};
    (void)state;
    struct stats_look first = look_at(1000, 100, 0), second = look_at(3000, 301, 5);
    (void)written(&history, &first);
    assert_has(written(&history, &second),
               "\"rates\":{\"messages_sent\":100.5,\"publications\":50.3,\"rpc\":2.5}");
}

static void quantiles_are_those_of_the_window(void **state)
{
    struct stats_history history = {0};
    (void)state;
    for (uint64_t second = 0; second < 30; second++) {
        struct stats_look look = look_at(1000 + second * 1000, 0, second < 25 ? 100 : 104);
        const char *text = written(&history, &look);
        assert_true(history.count <= STATS_WINDOW_MS / 1000 + 1);
        if (second == 24)
            assert_has(text, "\"rpc_ms\":null"); /* the hundred are long ago */
        if (second == 25)
            assert_has(text, "\"rpc_ms\":{\"p50\":1,\"p99\":1.98,\"calls\":4,\"window_ms\":10000}");
    }
}

static void looks_that_come_too_often_do_not_pile_up(void **state)
{
    struct stats_history history = {0};
    (void)state;
    for (uint64_t i = 0; i < 5 * STATS_LOOKS_MAX; i++) {
        struct stats_look look = look_at(1000 + i, (double)i, 0);
        (void)written(&history, &look);
        assert_true(history.count <= STATS_LOOKS_MAX);
    }
}

static void a_hub_that_was_started_anew_has_no_rates_yet(void **state)
{
    struct stats_history history = {0};
    (void)state;
    struct stats_look before = look_at(1000, 500, 9), after = look_at(2000, 3, 0),
                      later = look_at(3000, 13, 0);
    (void)written(&history, &before);
    assert_has(written(&history, &after), "\"rates\":null");
    assert_has(written(&history, &later), "\"messages_sent\":10,");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_over_all_labels_of_that_very_series),
        cmocka_unit_test(lines_that_cannot_be_read_do_not_count),
        cmocka_unit_test(a_histogram_is_over_all_labels_in_the_order_of_its_bounds),
        cmocka_unit_test(more_buckets_than_there_is_room_for_are_left_out),
        cmocka_unit_test(quantiles_are_interpolated_within_their_bucket),
        cmocka_unit_test(a_page_of_a_hub_is_read_whole),
        cmocka_unit_test(rates_are_those_since_the_look_before),
        cmocka_unit_test(quantiles_are_those_of_the_window),
        cmocka_unit_test(looks_that_come_too_often_do_not_pile_up),
        cmocka_unit_test(a_hub_that_was_started_anew_has_no_rates_yet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
