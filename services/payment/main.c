/*
 * The payment service: authorises, captures, voids and refunds what the order
 * service asks for, each exactly once.  payment.h has the rules, asked.c what
 * events do, settle.c the talk with the provider, methods.c what users may ask.
 */
#include "services/payment/handlers.h"

#include <stddef.h>

/* clang-format off */
#define ROW(row_name, kind, member, help_text, ...)                                                \
    {                                                                                              \
        .name = "provider." row_name, .type = WH_OPTION_##kind,                                    \
        .offset = offsetof(struct payment_settings, provider.member), .help = (help_text),         \
        __VA_ARGS__                                                                                \
    }

static const struct wh_option options[] = {
    ROW("url", STRING, url,
        "Where the simulated provider keeps its books: a connection string of PostgreSQL.",
        .flags = WH_OPTION_SECRET),
    ROW("latency", DURATION, latency_ms, "How long the simulated provider thinks, give or take half.",
        .default_text = "40ms", .max = 60000),
    ROW("timeout", DURATION, timeout_ms, "How long the provider may take to answer.",
        .default_text = "3s", .min = 10, .max = 60000),
    ROW("breaker.window", DURATION, breaker.window_ms,
        "How far back answers count for the breaker; 0 is no breaker.", .default_text = "10s"),
    ROW("breaker.min_calls", INTEGER, breaker.calls_min,
        "With fewer operations in the window the breaker stays closed.", .default_text = "20"),
    ROW("breaker.failure_percent", INTEGER, breaker.failure_percent,
        "From this share of operations without an answer on the breaker opens.",
        .default_text = "50", .min = 1, .max = 100),
    ROW("breaker.open", DURATION, breaker.open_ms,
        "How long an open breaker waits before it lets one operation through.",
        .default_text = "5s", .min = 1),
};

static const struct svc_method methods[] = {
    {.name = "payments.v1.get", .handler = payment_get, .tx = SVC_TX_READ, .idempotent = true},
    {.name = "payments.v1.list", .handler = payment_list_own, .tx = SVC_TX_READ, .idempotent = true},
    {0},
};

static const struct svc_consumer consumers[] = {
    {"payment.requested.v1", payment_on_requested},
    {"payment.void_requested.v1", payment_on_void_requested},
    {"payment.refund_requested.v1", payment_on_refund_requested},
    {"order.confirmed.v1", payment_on_order_confirmed},
    {0},
};

/* A job has a thread: a provider that takes its time with one payment delays few. */
#define SETTLE(n) {.name = "settle-" #n, .every_ms = 50, .handler = payment_settle}
static const struct svc_job jobs[] = {SETTLE(1), SETTLE(2), SETTLE(3), SETTLE(4), {0}};
/* clang-format on */

static void check(const void *settings, struct wh_buf *problems)
{
    const struct payment_settings *payment = settings;
    if (!payment->provider.url || payment->provider.url[0] == '\0')
        wh_buf_append_str(problems, "provider.url: is needed\n");
}

int main(int argc, char **argv)
{
    static const struct svc_def service = {
        .name = "payment",
        .version = "1.0.0",
        .description = "Authorises, captures, voids and refunds payments of orders.",
        .methods = methods,
        .consumers = consumers,
        .jobs = jobs,
        .migrations = svc_migrations,
        .options = options,
        .option_count = sizeof(options) / sizeof(options[0]),
        .settings_size = sizeof(struct payment_settings),
        .check = check,
        .start = payment_start,
        .stop = payment_stop,
    };
    return svc_main(argc, argv, &service);
}
