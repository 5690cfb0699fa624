#include "services/loadgen/shop.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/protocol/json.h"
#include "services/loadgen/call.h"
#include "services/loadgen/tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    UNDER_WAY_MAX = 1000,
    PRODUCTS_MAX = 100,
    ARENA_MAX = 4 * 1024 * 1024,
    TICK_MS = 5,
    LAST_ANSWERS_MS = 60000, /* after the last order */
    QUANTITY_MAX = 2,
};

struct customer {
    char *token; /* NULL = not signed in */
    bool is_signing_in;
};

struct shop {
    const struct loadgen_options *options;
    struct wh_loop loop;
    struct call_place place;
    struct wh_arena arena; /* of one answer */
    struct tally tally;
    struct wh_timer tick;
    struct wh_timer second;
    struct customer *customers;
    uint32_t signed_up;
    char run[37]; /* in the addresses of this run's customers */
    char products[PRODUCTS_MAX][37];
    size_t product_count;
    uint64_t begun_ms; /* 0 = not yet buying */
    uint64_t begun_orders;
    uint64_t seconds;
    size_t under_way;
    const char *problem; /* why it cannot go on */
};

/* A call of one customer. */
struct errand {
    struct shop *shop;
    struct customer *customer;
};

struct card {
    const char *number;
    unsigned weight;
};

static const struct card cards[] = {
    {"4242424242424242", 80}, /* pays */
    {"4000000000000002", 8},  /* declined */
    {"4000000000000259", 4},  /* slow */
    {"4000000000000341", 4},  /* the answer is lost */
    {"4000000000000408", 4},  /* no answer, and nothing happened */
};
enum { CARD_WEIGHTS = 100, CARD_COUNT = sizeof(cards) / sizeof(cards[0]) };

static void fail(struct shop *shop, const char *problem)
{
    shop->problem = problem;
    wh_loop_stop(&shop->loop);
}

static const char *pick_card(void)
{
    uint64_t dice = wh_random_below(CARD_WEIGHTS);
    for (size_t i = 0; i < CARD_COUNT; i++) {
        if (dice < cards[i].weight)
            return cards[i].number;
        dice -= cards[i].weight;
    }
    return cards[0].number;
}

static bool start_call(struct shop *shop,
                       struct customer *customer,
                       const struct call_request *request,
                       call_done_fn *done)
{
    struct errand *errand = wh_calloc(1, sizeof(*errand));
    if (errand) {
        *errand = (struct errand){shop, customer};
        if (!call_start(&shop->place, request, done, errand)) {
            shop->under_way++;
            return true;
        }
        wh_free(errand);
    }
    fail(shop, "out of memory");
    return false;
}

/* Counts the answer of a call and forgets its errand. */
static struct shop *take_answer(struct errand *errand, const struct call_answer *answer)
{
    struct shop *shop = errand->shop;
    wh_free(errand);
    shop->under_way--;
    shop->tally.repeated += answer->attempts > 1;
    if (!answer->problem)
        tally_latency(&shop->tally, answer->took_us);
    wh_arena_reset(&shop->arena);
    return shop;
}

/* ---- customers ---- */

static void buy(struct shop *shop);
static void sign_up_next(struct shop *shop);
static void begin(struct shop *shop);

static bool keep_token(struct shop *shop,
                       struct customer *customer,
                       const struct call_answer *answer)
{
    struct wh_slice token = call_text_member(answer->body, "access_token", &shop->arena);
    customer->is_signing_in = false;
    if (answer->problem || answer->status != 200 || !token.ptr)
        return false;
    wh_free(customer->token);
    customer->token = wh_malloc(token.len + 1);
    if (!customer->token)
        return false;
    memcpy(customer->token, token.ptr, token.len);
    customer->token[token.len] = '\0';
    return true;
}

static void on_signed_up(void *user, const struct call_answer *answer)
{
    struct errand *errand = user;
    struct customer *customer = errand->customer;
    struct shop *shop = take_answer(errand, answer);
    if (!keep_token(shop, customer, answer)) {
        (void)fprintf(stderr, "wirehub-loadgen: registering: %s (status %ld) %.*s\n",
                      answer->problem ? answer->problem : "refused", answer->status,
                      (int)(answer->body.len < 200 ? answer->body.len : 200),
                      answer->body.ptr ? answer->body.ptr : "");
        fail(shop, "nobody to buy for");
        return;
    }
    shop->signed_up++;
    sign_up_next(shop);
}

static void on_signed_in(void *user, const struct call_answer *answer)
{
    struct errand *errand = user;
    struct customer *customer = errand->customer;
    struct shop *shop = take_answer(errand, answer);
    if (!keep_token(shop, customer, answer))
        tally_count(&shop->tally, TALLY_UNANSWERED);
}

static void sign(struct shop *shop, struct customer *customer, bool is_new)
{
    struct wh_buf params;
    wh_buf_init(&params, CALL_BODY_MAX);
    wh_buf_printf(&params, "{\"email\":\"load-%s-%zu@example.org\",\"password\":\"load %s\"%s}",
                  shop->run, (size_t)(customer - shop->customers), shop->run,
                  is_new ? ",\"name\":\"Load\"" : "");
    customer->is_signing_in = true;
    (void)start_call(shop, customer,
                     &(struct call_request){.path = is_new ? "/auth/register" : "/auth/login",
                                            .params = wh_buf_slice(&params),
                                            .has_key = is_new},
                     is_new ? on_signed_up : on_signed_in);
    wh_buf_deinit(&params);
}

static void sign_up_next(struct shop *shop)
{
    if (shop->signed_up < shop->options->customers)
        sign(shop, &shop->customers[shop->signed_up], true);
    else
        begin(shop);
}

/* ---- products ---- */

static enum wh_err read_products(struct shop *shop, struct wh_slice body)
{
    struct wh_json_reader reader;
    struct wh_slice key;
    struct wh_slice item;
    enum wh_err err;
    wh_json_reader_init(&reader, body);
    err = wh_json_enter(&reader, WH_JSON_OBJECT);
    while (!err && !(err = wh_json_next_member(&reader, &shop->arena, &key))) {
        if (wh_slice_equal_str(key, "products"))
            break;
        err = wh_json_skip(&reader, NULL);
    }
    if (!err)
        err = wh_json_enter(&reader, WH_JSON_ARRAY);
    while (!err && !(err = wh_json_next_item(&reader)) && shop->product_count < PRODUCTS_MAX) {
        err = wh_json_skip(&reader, &item);
        struct wh_slice id =
            err ? WH_SLICE_ABSENT : call_text_member(item, "product", &shop->arena);
        if (id.len == sizeof(shop->products[0]) - 1)
            memcpy(shop->products[shop->product_count++], id.ptr, id.len);
    }
    return err == WH_EEND ? WH_OK : err;
}

static void on_products(void *user, const struct call_answer *answer)
{
    struct shop *shop = take_answer(user, answer);
    if (answer->problem || answer->status != 200 || read_products(shop, answer->body) ||
        shop->product_count == 0) {
        (void)fprintf(stderr, "wirehub-loadgen: products: %s (status %ld)\n",
                      answer->problem ? answer->problem : "none to be had", answer->status);
        fail(shop, "nothing to buy");
        return;
    }
    sign_up_next(shop);
}

/* ---- orders ---- */

static enum tally_outcome judge(const struct call_answer *answer, enum tally_outcome good)
{
    if (answer->problem || answer->status >= 500 || answer->status == 429)
        return TALLY_UNANSWERED;
    if (answer->status == 200)
        return good;
    return answer->status == 409 ? TALLY_OUT_OF_STOCK : TALLY_REFUSED;
}

static void on_cancelled(void *user, const struct call_answer *answer)
{
    struct shop *shop = take_answer(user, answer);
    tally_count(&shop->tally, judge(answer, TALLY_CANCELLED));
}

static void cancel(struct shop *shop, struct customer *customer, struct wh_slice order)
{
    struct wh_buf params;
    wh_buf_init(&params, CALL_BODY_MAX);
    wh_buf_printf(&params, "{\"order\":\"%.*s\"}", WH_SLICE_ARGS(order));
    (void)start_call(shop, customer,
                     &(struct call_request){.path = "/rpc/orders.v1.cancel",
                                            .params = wh_buf_slice(&params),
                                            .token = customer->token,
                                            .has_key = true},
                     on_cancelled);
    wh_buf_deinit(&params);
}

static void on_ordered(void *user, const struct call_answer *answer)
{
    struct errand *errand = user;
    struct customer *customer = errand->customer;
    struct shop *shop = take_answer(errand, answer);
    enum tally_outcome outcome = judge(answer, TALLY_ORDERED);
    tally_count(&shop->tally, outcome);
    if (answer->status == 401 && !customer->is_signing_in)
        sign(shop, customer, false); /* the token has expired */
    if (outcome != TALLY_ORDERED || wh_random_below(100) >= shop->options->cancel_percent)
        return;
    struct wh_slice order = call_text_member(answer->body, "order", &shop->arena);
    if (order.ptr)
        cancel(shop, customer, order);
}

static void buy(struct shop *shop)
{
    struct customer *customer = &shop->customers[wh_random_below(shop->options->customers)];
    struct wh_buf params;
    if (shop->under_way >= UNDER_WAY_MAX) {
        tally_count(&shop->tally, TALLY_LEFT_OUT);
        return;
    }
    wh_buf_init(&params, CALL_BODY_MAX);
    wh_buf_printf(&params, "{\"lines\":[{\"product\":\"%s\",\"quantity\":%u}],\"card\":\"%s\"}",
                  shop->products[wh_random_below(shop->product_count)],
                  (unsigned)wh_random_below(QUANTITY_MAX) + 1, pick_card());
    (void)start_call(shop, customer,
                     &(struct call_request){.path = "/rpc/orders.v1.create",
                                            .params = wh_buf_slice(&params),
                                            .token = customer->token,
                                            .has_key = true},
                     on_ordered);
    wh_buf_deinit(&params);
}

static double elapsed_s(const struct shop *shop)
{
    return (double)(wh_clock_monotonic_ms() - shop->begun_ms) / 1000;
}

static void on_tick(struct wh_timer *timer)
{
    struct shop *shop = WH_CONTAINER_OF(timer, struct shop, tick);
    double now_s = elapsed_s(shop);
    bool is_over = now_s >= shop->options->duration_s;
    double until_s = is_over ? shop->options->duration_s : now_s;
    uint64_t due = (uint64_t)(until_s * shop->options->rate);
    for (; shop->begun_orders < due && !shop->problem; shop->begun_orders++)
        buy(shop);
    bool is_late = now_s * 1000 >= shop->options->duration_s * 1000 + LAST_ANSWERS_MS;
    if (is_over && (shop->under_way == 0 || is_late)) {
        shop->tally.counts[TALLY_UNANSWERED] += shop->under_way;
        wh_loop_stop(&shop->loop);
        return;
    }
    wh_loop_timer_start(&shop->loop, timer, TICK_MS);
}

static void on_second(struct wh_timer *timer)
{
    struct shop *shop = WH_CONTAINER_OF(timer, struct shop, second);
    tally_show_second(&shop->tally, ++shop->seconds, shop->under_way);
    wh_loop_timer_start(&shop->loop, timer, 1000);
}

static void begin(struct shop *shop)
{
    printf("%u customers, %zu products; %g orders a second for %g s\n", shop->options->customers,
           shop->product_count, shop->options->rate, shop->options->duration_s);
    (void)fflush(stdout);
    shop->tally.latency_count = 0; /* signing up is not what is measured */
    shop->begun_ms = wh_clock_monotonic_ms();
    wh_loop_timer_start(&shop->loop, &shop->tick, TICK_MS);
    if (!shop->options->is_quiet)
        wh_loop_timer_start(&shop->loop, &shop->second, 1000);
}

static int report(struct shop *shop)
{
    if (shop->problem) {
        (void)fprintf(stderr, "wirehub-loadgen: %s at %s\n", shop->problem, shop->options->url);
        return EXIT_FAILURE;
    }
    tally_show_summary(&shop->tally, elapsed_s(shop));
    return shop->tally.counts[TALLY_UNANSWERED] == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static bool prepare(struct shop *shop)
{
    wh_random_uuid_v4(shop->run);
    wh_arena_init(&shop->arena, ARENA_MAX);
    wh_timer_init(&shop->tick, on_tick);
    wh_timer_init(&shop->second, on_second);
    shop->place = (struct call_place){.loop = &shop->loop, .url = shop->options->url};
    shop->customers = wh_calloc(shop->options->customers, sizeof(*shop->customers));
    return shop->customers && tally_init(&shop->tally) &&
           !wh_http_client_new(&shop->loop, &shop->place.http);
}

/* What is under way when it ends is left to the end of the process: nobody can wait for it. */
int shop_run(const struct loadgen_options *options)
{
    static struct shop shop;
    shop.options = options;
    if (wh_loop_init(&shop.loop) || !prepare(&shop)) {
        (void)fputs("wirehub-loadgen: out of memory\n", stderr);
        return EXIT_FAILURE;
    }
    if (start_call(&shop, NULL,
                   &(struct call_request){.path = "/rpc/products.v1.list",
                                          .params = WH_SLICE_LITERAL("{\"limit\":100}")},
                   on_products))
        wh_loop_run(&shop.loop);
    int status = report(&shop);
    wh_loop_timer_stop(&shop.loop, &shop.tick);
    wh_loop_timer_stop(&shop.loop, &shop.second);
    wh_http_client_free(shop.place.http);
    for (uint32_t i = 0; i < options->customers; i++)
        wh_free(shop.customers[i].token);
    wh_free(shop.customers);
    wh_arena_deinit(&shop.arena);
    tally_deinit(&shop.tally);
    return status;
}
