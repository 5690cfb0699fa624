/*
 * Does at the provider what is wished, one payment after the other, on several
 * threads and in several processes at once: a payment is claimed under a lease
 * in one transaction, the provider is called outside any, and the answer is
 * written and told in a second one.
 *
 * Whoever dies in between leaves a lease that runs out.  The next one asks the
 * provider what became of the operation before it tries again; and as the
 * provider does an operation once, even two at the same time do no harm.
 */
#include "services/payment/handlers.h"

#include "common/base/breaker.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "services/core/fault.h"
#include "services/core/tracing.h"
#include "services/payment/payment_store.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    SETTLED_AT_ONCE_MAX = 100, /* before the job gives way to its clock */
    LEASE_SPARE_MS = 5000,     /* beyond what the provider may take */
    THREADS_MAX = 64,
};

/* One for the process: what one thread learns about the provider all should know. */
struct payment_state_of_service {
    const struct payment_settings *settings;
    pthread_mutex_t lock;
    struct breaker breaker;
    struct provider *idle[THREADS_MAX]; /* not in use at present */
    size_t idle_count;
};

bool payment_start(const void *settings, void **out_state)
{
    struct payment_state_of_service *state = calloc(1, sizeof(*state));
    if (!state) {
        wh_log(WH_LOG_ERROR, "payment", "out_of_memory", "at=start");
        return false;
    }
    state->settings = settings;
    (void)pthread_mutex_init(&state->lock, NULL);
    *out_state = state;
    return true;
}

void payment_stop(void *opaque)
{
    struct payment_state_of_service *state = opaque;
    while (state->idle_count > 0) {
        struct provider *provider = state->idle[--state->idle_count];
        provider->close(provider);
    }
    (void)pthread_mutex_destroy(&state->lock);
    free(state);
}

/* What breaker_admit let through ends here; NULL: there was no provider to ask. */
static void give_back(struct payment_state_of_service *state,
                      struct provider *provider,
                      uint64_t now_ms,
                      enum breaker_verdict verdict,
                      bool is_probe)
{
    const struct breaker_options options = {
        .window_ms = state->settings->provider.breaker.window_ms,
        .calls_min = state->settings->provider.breaker.calls_min,
        .failure_percent = state->settings->provider.breaker.failure_percent,
        .open_ms = state->settings->provider.breaker.open_ms};
    (void)pthread_mutex_lock(&state->lock);
    breaker_record(&state->breaker, &options, now_ms, verdict, is_probe, wh_random_u64());
    bool is_kept = provider && state->idle_count < THREADS_MAX;
    if (is_kept)
        state->idle[state->idle_count++] = provider;
    (void)pthread_mutex_unlock(&state->lock);
    if (provider && !is_kept)
        provider->close(provider);
}

/* NULL: none to be had, or the breaker is open. */
static struct provider *take_provider(struct payment_state_of_service *state,
                                      uint64_t now_ms,
                                      bool *out_is_probe)
{
    struct provider *provider = NULL;
    (void)pthread_mutex_lock(&state->lock);
    bool is_admitted = breaker_admit(&state->breaker, now_ms, out_is_probe);
    if (is_admitted && state->idle_count > 0)
        provider = state->idle[--state->idle_count];
    (void)pthread_mutex_unlock(&state->lock);
    if (is_admitted && !provider &&
        provider_simulated_new(state->settings->provider.url,
                               (uint32_t)state->settings->provider.latency_ms, &provider))
        give_back(state, NULL, now_ms, BREAKER_NO_VERDICT, *out_is_probe);
    return provider;
}

static const char *provider_result_name(enum provider_result result)
{
    static const char *const names[PROVIDER_RESULT_COUNT] = {"done", "refused", "unknown", "away",
                                                             "no_record"};
    return names[result];
}

static enum breaker_verdict verdict_of(enum provider_result result)
{
    return result == PROVIDER_UNKNOWN || result == PROVIDER_AWAY ? BREAKER_FAILURE
                                                                 : BREAKER_SUCCESS;
}

static void ask_provider(struct payment_state_of_service *state,
                         const struct payment *payment,
                         struct provider_response *out_response)
{
    const struct provider_request request = {
        .operation = payment->wish,
        .payment = payment->id,
        .amount_minor = payment->amount ? payment->amount->amount_minor : 0,
        .currency = payment->amount ? payment->amount->currency : WH_SLICE_LITERAL(""),
        .card = payment->card,
        .timeout_ms = (uint32_t)state->settings->provider.timeout_ms};
    bool is_probe = false;
    *out_response = (struct provider_response){.result = PROVIDER_AWAY};
    struct provider *provider = take_provider(state, wh_clock_monotonic_ms(), &is_probe);
    if (!provider)
        return;
    /* It may have been tried before: then what is known counts. */
    if (payment->attempts > 1)
        provider->lookup(provider, &request, out_response);
    if (payment->attempts <= 1 || out_response->result == PROVIDER_NO_RECORD)
        provider->call(provider, &request, out_response);
    give_back(state, provider, wh_clock_monotonic_ms(), verdict_of(out_response->result), is_probe);
}

/* A claimed payment and what the provider said to it; owns what it says, for rows end where a
 * transaction begins. */
struct settlement {
    char payment[64];
    enum payment_wish wish; /* as it was when it was claimed: what the provider was asked */
    struct provider_response response;
};

static uint32_t try_again_later(struct svc_ctx *ctx, struct payment *payment)
{
    bool is_written = false;
    uint32_t limit_ms = payment_retry_ms(payment->attempts);
    if (payment_update(ctx, payment, (uint32_t)wh_random_below(limit_ms) + 1, &is_written))
        return svc_db_code(ctx);
    return SVC_OK;
}

static uint32_t write_answer(struct svc_ctx *ctx, void *user)
{
    const struct settlement *settlement = user;
    const struct provider_response *response = &settlement->response;
    struct payment payment;
    bool is_there = false;
    bool is_written = false;
    if (payment_lock(ctx, wh_slice_from_str(settlement->payment), &payment, &is_there))
        return svc_db_code(ctx);
    if (!is_there)
        return svc_fail(ctx, SVC_INTERNAL, "a claimed payment is gone");
    if (response->result != PROVIDER_DONE && response->result != PROVIDER_REFUSED)
        return try_again_later(ctx, &payment);
    struct payment_next next =
        payment_answered(payment.state, payment.wish, settlement->wish,
                         response->result == PROVIDER_DONE ? PAYMENT_DONE : PAYMENT_REFUSED);
    if (next.is_odd && payment.wish == settlement->wish) {
        wh_log(WH_LOG_ERROR, "payment", "odd_answer", "payment=%.*s state=%s wish=%s reason=%s",
               WH_SLICE_ARGS(payment.id), payment_state_name(payment.state),
               payment_wish_name(payment.wish), response->reason);
        return try_again_later(ctx, &payment);
    }
    if (next.is_odd)
        return SVC_OK; /* overtaken: another one has settled it */
    payment.state = next.state;
    payment.wish = next.wish;
    payment.attempts = 0;
    if (response->result == PROVIDER_REFUSED)
        payment.reason = wh_slice_from_str(response->reason);
    if (response->reference[0] != '\0')
        payment.reference = wh_slice_from_str(response->reference);
    if (payment_update(ctx, &payment, 0, &is_written))
        return svc_db_code(ctx);
    return next.is_told ? payment_tell(ctx, &payment) : SVC_OK;
}

/* In the trace of whoever wished it. */
static uint32_t settle_claimed(struct svc_ctx *ctx,
                               const struct payment *payment,
                               struct settlement *settlement)
{
    svc_fault("after_claim");
    struct wh_span *span = svc_trace_part(ctx, WH_SPAN_CLIENT, payment_wish_name(payment->wish));
    wh_span_text(span, "peer.service", WH_SLICE_LITERAL("payment provider"));
    ask_provider(svc_state(ctx), payment, &settlement->response);
    if (settlement->response.result != PROVIDER_DONE)
        wh_span_fail(span, wh_slice_from_str(provider_result_name(settlement->response.result)));
    wh_span_end(span);
    svc_fault("after_provider"); /* it has happened there, and nobody here knows */
    wh_log(WH_LOG_INFO, "payment", "provider_answered",
           "payment=%s operation=%s result=%s attempt=%u reason=%s", settlement->payment,
           payment_wish_name(payment->wish), provider_result_name(settlement->response.result),
           (unsigned)payment->attempts, settlement->response.reason);
    return svc_tx(ctx, SVC_TX_WRITE, write_answer, settlement);
}

/* One payment; `*out_is_done` false: nothing is due.  A claim is one statement, without a
 * transaction around it: when its answer is lost, the lease runs out. */
static uint32_t settle_one(struct svc_ctx *ctx, bool *out_is_done)
{
    struct payment_state_of_service *state = svc_state(ctx);
    struct settlement settlement = {.response = {.result = PROVIDER_AWAY}};
    struct payment payment;
    uint32_t lease_ms = (uint32_t)state->settings->provider.timeout_ms + LEASE_SPARE_MS;
    *out_is_done = false;
    if (payment_claim(ctx, lease_ms, &payment, out_is_done))
        return svc_db_code(ctx);
    if (!*out_is_done)
        return SVC_OK;
    settlement.wish = payment.wish;
    (void)snprintf(settlement.payment, sizeof(settlement.payment), "%.*s",
                   WH_SLICE_ARGS(payment.id));
    svc_trace_adopt(ctx, "payment.settle", payment.traceparent);
    svc_fault_about(wh_slice_from_str(payment_wish_name(settlement.wish)));
    uint32_t code = settle_claimed(ctx, &payment, &settlement);
    svc_trace_leave(ctx, code);
    return code;
}

uint32_t payment_settle(struct svc_ctx *ctx)
{
    bool is_done = true;
    uint32_t code = SVC_OK;
    for (int i = 0; i < SETTLED_AT_ONCE_MAX && is_done && !code && !svc_is_stopping(ctx); i++)
        code = settle_one(ctx, &is_done);
    return code;
}
