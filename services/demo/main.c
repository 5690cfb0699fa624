/*
 * wirehub-demo: what moves on the demo page when nobody does anything, and
 * what its buttons ask for.  For demonstrations only, and one instance: two
 * would both publish the ledger.
 */
#include "common/base/random.h"
#include "common/io/http_client.h"
#include "services/demo/demo.h"

#include <stddef.h>
#include <stdlib.h>

#define AT(member) offsetof(struct demo_settings, member)

enum { LEDGER_EVERY_MS = 20, LOAD_EVERY_MS = 10, STATS_EVERY_MS = 1000 };

static const struct svc_method methods[] = {
    {.name = "demo.v1.status", .handler = demo_status, .access = SVC_ANONYMOUS, .idempotent = true},
    {.name = "demo.v1.load", .handler = demo_load, .idempotent = true},
    {0},
};

static const struct svc_job jobs[] = {
    {.name = "ledger", .every_ms = LEDGER_EVERY_MS, .handler = demo_run_ledger},
    {.name = "load", .every_ms = LOAD_EVERY_MS, .handler = demo_run_load},
    {.name = "stats", .every_ms = STATS_EVERY_MS, .handler = demo_run_stats},
    {0},
};

/* clang-format off */
static const struct wh_option options[] = {
    {.name = "ledger.rate", .type = WH_OPTION_INTEGER, .offset = AT(ledger.rate),
     .default_text = "50", .max = 1000,
     .help = "Messages a second on `demo:ledger`."},
    {.name = "ledger.history_size", .type = WH_OPTION_INTEGER, .offset = AT(ledger.history_size),
     .default_text = "6000", .min = 1, .max = 1000000,
     .help = "As `history_size` of the namespace `demo` in the hub's configuration, whose "
             "`client.recovery_max_publication_limit` should be no less."},
    {.name = "ledger.history_ttl", .type = WH_OPTION_DURATION, .offset = AT(ledger.history_ttl_ms),
     .default_text = "10m", .min = 1000, .max = 86400000,
     .help = "As its `history_ttl`."},
    {.name = "load.max_rate", .type = WH_OPTION_INTEGER, .offset = AT(load.max_rate),
     .default_text = "5000", .max = 50000,
     .help = "The most messages a second that `demo.v1.load` may ask for."},
    {.name = "load.lifetime", .type = WH_OPTION_DURATION, .offset = AT(load.lifetime_ms),
     .default_text = "30s", .min = 100, .max = 3600000,
     .help = "How long the load goes on after it was last asked for."},
    {.name = "hub.metrics_url", .type = WH_OPTION_STRING, .offset = AT(hub.metrics_url),
     .default_text = "http://127.0.0.1:8000/metrics", .min = 1, .max = 1000,
     .help = "Metrics of the hub whose numbers `demo:stats` tells."},
};
/* clang-format on */

static void check(const void *own, struct wh_buf *problems)
{
    const struct demo_settings *settings = own;
    if (!wh_http_url_is_valid(settings->hub.metrics_url))
        wh_buf_append_str(problems, "hub.metrics_url: like http://127.0.0.1:8000/metrics\n");
}

static bool start(const void *own, void **out_state)
{
    struct demo_state *state = calloc(1, sizeof(*state));
    if (!state)
        return false;
    state->settings = own;
    state->ledger_feed.next = 1;
    state->load_feed.next = 1;
    wh_random_uuid_v7(state->run);
    load_init(&state->load);
    *out_state = state;
    return true;
}

static void stop(void *own)
{
    struct demo_state *state = own;
    demo_feed_close(&state->ledger_feed);
    demo_feed_close(&state->load_feed);
    demo_stats_free(state->stats);
    load_deinit(&state->load);
    free(state);
}

int main(int argc, char **argv)
{
    return svc_main(argc, argv,
                    &(struct svc_def){
                        .name = "demo",
                        .version = "1.0.0",
                        .description = "What moves on the demo page.",
                        .methods = methods,
                        .jobs = jobs,
                        .options = options,
                        .option_count = sizeof(options) / sizeof(options[0]),
                        .settings_size = sizeof(struct demo_settings),
                        .check = check,
                        .start = start,
                        .stop = stop,
                    });
}
