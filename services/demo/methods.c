#include "common/base/clock.h"
#include "common/protocol/schema_rows.h"
#include "services/demo/demo.h"

struct feed_view {
    struct wh_slice channel;
    uint32_t rate;
    uint32_t max_rate;
    uint64_t published;
    uint64_t off_in_ms;
};

struct ledger_view {
    struct wh_slice channel;
    uint32_t rate;
    uint64_t published;
    uint64_t history_size;
    uint64_t history_ttl_ms;
};

struct status_view {
    struct ledger_view *ledger;
    struct feed_view *load;
};

struct load_params {
    int64_t rate;
};

/* clang-format off */
#define T feed_view
static const struct wh_field feed_view_fields[] = {
    FIELD_ALWAYS(1, channel, STRING),
    FIELD_ALWAYS(2, rate, U32),
    FIELD_ALWAYS(3, max_rate, U32),
    FIELD_ALWAYS(4, published, U64),
    FIELD_ALWAYS(5, off_in_ms, U64),
};
#undef T
#define T ledger_view
static const struct wh_field ledger_view_fields[] = {
    FIELD_ALWAYS(1, channel, STRING),
    FIELD_ALWAYS(2, rate, U32),
    FIELD_ALWAYS(3, published, U64),
    FIELD_ALWAYS(4, history_size, U64),
    FIELD_ALWAYS(5, history_ttl_ms, U64),
};
#undef T
SCHEMA(static const, feed_view, "Load", feed_view);
SCHEMA(static const, ledger_view, "Ledger", ledger_view);
#define T status_view
static const struct wh_field status_view_fields[] = {
    NESTED(1, ledger, MESSAGE, ledger_view),
    NESTED(2, load, MESSAGE, feed_view),
};
#undef T
#define T load_params
static const struct wh_field load_params_fields[] = {
    FIELD_ALWAYS(1, rate, I64),
};
#undef T
SCHEMA(static const, status_view, "Status", status_view);
SCHEMA(static const, load_params, "LoadParams", load_params);
/* clang-format on */

static struct feed_view view_load(struct demo_state *state)
{
    struct feed_view view = {.channel = WH_SLICE_LITERAL(DEMO_LOAD_CHANNEL),
                             .max_rate = (uint32_t)state->settings->load.max_rate,
                             .published = atomic_load(&state->load_feed.published)};
    view.rate = load_rate(&state->load, wh_clock_monotonic_ms(), &view.off_in_ms);
    return view;
}

uint32_t demo_status(struct svc_ctx *ctx, const struct wh_rpc_call *call)
{
    struct demo_state *state = svc_state(ctx);
    const struct demo_settings *settings = state->settings;
    struct feed_view load = view_load(state);
    struct ledger_view ledger = {.channel = WH_SLICE_LITERAL(DEMO_LEDGER_CHANNEL),
                                 .rate = (uint32_t)settings->ledger.rate,
                                 .published = atomic_load(&state->ledger_feed.published),
                                 .history_size = settings->ledger.history_size,
                                 .history_ttl_ms = settings->ledger.history_ttl_ms};
    (void)call;
    return svc_reply(ctx, &status_view_schema, &(struct status_view){&ledger, &load});
}

uint32_t demo_load(struct svc_ctx *ctx, const struct wh_rpc_call *call)
{
    struct demo_state *state = svc_state(ctx);
    const struct demo_settings *settings = state->settings;
    struct load_params in = {.rate = -1};
    if (svc_params(ctx, &load_params_schema, &in) || in.rate < 0 ||
        (uint64_t)in.rate > settings->load.max_rate)
        return svc_fail(ctx, SVC_INVALID, "rate: a whole number from 0 to %llu",
                        (unsigned long long)settings->load.max_rate);
    load_set(&state->load, (uint32_t)in.rate, wh_clock_monotonic_ms(), settings->load.lifetime_ms);
    wh_log(WH_LOG_INFO, "demo", "load", "user=%.*s rate=%lld", WH_SLICE_ARGS(call->user),
           (long long)in.rate);
    struct feed_view view = view_load(state);
    return svc_reply(ctx, &feed_view_schema, &view);
}
