/*
 * States: idle (the timer runs to the next look), sending (a request is under way), waiting (the
 * timer runs to the next try of the same body).  A batch lives as its encoded body and its count
 * from the moment it is taken until it is delivered or dropped.
 *
 * A tracer that is half full calls from any thread: that becomes a uv_async, which alone of all
 * this may be touched from outside the loop.  The async is a block of its own, because libuv needs
 * it until its close callback, which may come after wh_otlp_free.
 */
#include "common/io/otlp.h"

#include "common/base/alloc.h"
#include "common/base/backoff.h"
#include "common/base/log.h"
#include "common/io/http_client.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    RETRY_MAX_MS = 30000,
    ANSWER_BYTES_MAX = 64 * 1024, /* of the collector */
    HEADERS_MAX = 32,
    SPAN_BYTES_USUAL = 512 /* in JSON; only a first guess */
};

static const char path[] = "/v1/traces";

struct wake {
    uv_async_t async;
    struct wh_otlp *otlp; /* NULL once that is gone */
};

struct wh_otlp {
    struct wh_loop *loop;
    struct wh_tracer *tracer;
    struct wh_http_client *http;
    struct wh_http_request *request; /* NULL = none under way */
    struct wake *wake;
    char *url;
    char *headers[HEADERS_MAX];
    size_t header_count;
    char *name, *version, *instance;
    uint32_t interval_ms, timeout_ms;
    struct wh_backoff backoff;
    struct wh_timer timer;
    struct wh_buf body; /* the batch: empty = none */
    size_t batch_count;
    uint64_t dropped_seen; /* of the tracer's count */
    void (*counted)(void *user, uint64_t exported, uint64_t dropped);
    void *counted_user;
    bool is_failing; /* the last try failed: it was said in the log */
    bool is_closing;
    uint64_t close_by_ms; /* loop time */
    struct wh_timer end;  /* once closing: the end, at the latest then */
    void (*closed)(void *user);
    void *closed_user;
};

static void step(struct wh_otlp *otlp);

/* Counting */

static void count(struct wh_otlp *otlp, uint64_t exported, uint64_t dropped)
{
    uint64_t seen = wh_tracer_dropped(otlp->tracer);
    dropped += seen - otlp->dropped_seen;
    otlp->dropped_seen = seen;
    if (otlp->counted && (exported > 0 || dropped > 0))
        otlp->counted(otlp->counted_user, exported, dropped);
}

static void forget_batch(struct wh_otlp *otlp)
{
    wh_buf_deinit(&otlp->body);
    wh_buf_init(&otlp->body, 0);
    otlp->batch_count = 0;
}

static void drop_batch(struct wh_otlp *otlp)
{
    size_t dropped = otlp->batch_count;
    forget_batch(otlp);
    count(otlp, 0, dropped);
}

/* From the loop, because the client cannot be freed in its own callback and our owner may do so. */
static void end_soon(struct wh_otlp *otlp)
{
    wh_loop_timer_start(otlp->loop, &otlp->end, 0);
}

/* Answers */

static bool is_worth_another_try(const struct wh_http_response *response)
{
    if (response->status == 0)
        return true; /* nobody there, or no answer in time */
    return response->status == 429 || response->status == 502 || response->status == 503 ||
           response->status == 504;
}

static void say_failed(struct wh_otlp *otlp, const struct wh_http_response *response, bool is_kept)
{
    static struct wh_log_limit limit;
    otlp->is_failing = true;
    wh_log_limited(&limit, WH_LOG_WARN, "otlp", "export_failed",
                   "status=%d spans=%zu kept=%d problem=%s", (int)response->status,
                   otlp->batch_count, is_kept, response->problem ? response->problem : "");
}

static void say_works(struct wh_otlp *otlp)
{
    if (otlp->is_failing)
        wh_log(WH_LOG_INFO, "otlp", "export_works", "spans=%zu", otlp->batch_count);
    otlp->is_failing = false;
}

static void wait_for_retry(struct wh_otlp *otlp, uint32_t retry_after_s)
{
    uint32_t delay_ms = wh_backoff_next_ms(&otlp->backoff);
    if (retry_after_s > WH_OTLP_RETRY_AFTER_MAX_S)
        retry_after_s = WH_OTLP_RETRY_AFTER_MAX_S;
    if (delay_ms < retry_after_s * 1000)
        delay_ms = retry_after_s * 1000;
    count(otlp, 0, 0);
    wh_loop_timer_start(otlp->loop, &otlp->timer, delay_ms);
}

static void on_answer(void *user, const struct wh_http_response *response)
{
    struct wh_otlp *otlp = user;
    bool is_delivered = response->status >= 200 && response->status < 300;
    bool is_kept = !is_delivered && is_worth_another_try(response) && !otlp->is_closing;
    otlp->request = NULL;
    if (is_delivered) {
        uint64_t exported = otlp->batch_count;
        say_works(otlp);
        forget_batch(otlp);
        count(otlp, exported, 0);
    } else {
        say_failed(otlp, response, is_kept);
        if (!is_kept)
            drop_batch(otlp);
    }
    if (is_kept) {
        wait_for_retry(otlp, response->retry_after_s);
        return;
    }
    wh_backoff_reset(&otlp->backoff);
    if (!is_delivered && otlp->is_closing)
        end_soon(otlp); /* it will not be better for the next one */
    else
        step(otlp);
}

/* Sending */

static void take_batch(struct wh_otlp *otlp)
{
    struct wh_span *spans[WH_OTLP_BATCH];
    struct wh_otlp_resource resource = {otlp->name, otlp->version, otlp->instance};
    size_t taken = wh_tracer_take(otlp->tracer, spans, WH_OTLP_BATCH);
    if (taken == 0)
        return;
    (void)wh_buf_reserve(&otlp->body, taken * SPAN_BYTES_USUAL);
    wh_otlp_encode(&resource, spans, taken, &otlp->body);
    for (size_t i = 0; i < taken; i++)
        wh_span_free(spans[i]);
    otlp->batch_count = taken;
    if (wh_buf_error(&otlp->body))
        drop_batch(otlp);
}

/* What time is left while closing; at least 1. */
static uint32_t request_timeout_ms(const struct wh_otlp *otlp)
{
    uint64_t now = wh_loop_now_ms(otlp->loop);
    if (!otlp->is_closing)
        return otlp->timeout_ms;
    uint64_t left = otlp->close_by_ms > now ? otlp->close_by_ms - now : 1;
    return left < otlp->timeout_ms ? (uint32_t)left : otlp->timeout_ms;
}

static void send_batch(struct wh_otlp *otlp)
{
    const struct wh_http_content content = {
        .body = wh_buf_slice(&otlp->body),
        .type = "application/json",
        .headers = (const char *const *)otlp->headers,
        .header_count = otlp->header_count,
    };
    const struct wh_http_options options = {.timeout_ms = request_timeout_ms(otlp),
                                            .body_bytes_max = ANSWER_BYTES_MAX};
    if (wh_http_post(otlp->http, otlp->url, &content, &options, on_answer, otlp, &otlp->request)) {
        drop_batch(otlp); /* no memory */
        wh_loop_timer_start(otlp->loop, &otlp->timer, otlp->interval_ms);
    }
}

/* Go on with what there is, or sleep until there may be more. */
static void step(struct wh_otlp *otlp)
{
    if (otlp->request)
        return;
    if (otlp->batch_count == 0)
        take_batch(otlp);
    count(otlp, 0, 0);
    if (otlp->batch_count > 0)
        send_batch(otlp);
    else if (otlp->is_closing)
        end_soon(otlp);
    else
        wh_loop_timer_start(otlp->loop, &otlp->timer, otlp->interval_ms);
}

static void on_timer(struct wh_timer *timer)
{
    step(WH_CONTAINER_OF(timer, struct wh_otlp, timer));
}

/* End */

static void on_end(struct wh_timer *timer)
{
    struct wh_otlp *otlp = WH_CONTAINER_OF(timer, struct wh_otlp, end);
    struct wh_span *spans[WH_OTLP_BATCH];
    uint64_t dropped = otlp->batch_count;
    size_t taken;
    if (otlp->request)
        wh_http_cancel(otlp->request);
    otlp->request = NULL;
    wh_loop_timer_stop(otlp->loop, &otlp->timer);
    forget_batch(otlp);
    while ((taken = wh_tracer_take(otlp->tracer, spans, WH_OTLP_BATCH)) > 0) {
        dropped += taken;
        for (size_t i = 0; i < taken; i++)
            wh_span_free(spans[i]);
    }
    count(otlp, 0, dropped);
    otlp->closed(otlp->closed_user);
}

void wh_otlp_close(struct wh_otlp *otlp, uint32_t flush_ms, void (*closed)(void *user), void *user)
{
    otlp->is_closing = true;
    otlp->closed = closed;
    otlp->closed_user = user;
    otlp->close_by_ms = wh_loop_now_ms(otlp->loop) + flush_ms;
    wh_loop_timer_start(otlp->loop, &otlp->end, flush_ms);
    if (flush_ms > 0) /* also when it waits to try again: that may be now as well */
        wh_loop_timer_start(otlp->loop, &otlp->timer, 0);
}

/* Half full */

static void on_wake(uv_async_t *async)
{
    const struct wake *wake = WH_CONTAINER_OF(async, struct wake, async);
    struct wh_otlp *otlp = wake->otlp;
    if (otlp && !otlp->is_closing && otlp->batch_count == 0)
        step(otlp);
}

static void on_half_full(void *user)
{
    struct wake *wake = user;
    uv_async_send(&wake->async);
}

static void on_wake_closed(uv_handle_t *handle)
{
    wh_free(WH_CONTAINER_OF(handle, struct wake, async));
}

static enum wh_err wake_new(struct wh_otlp *otlp)
{
    struct wake *wake = wh_calloc(1, sizeof(*wake));
    if (!wake)
        return WH_ENOMEM;
    if (uv_async_init(&otlp->loop->uv, &wake->async, on_wake) != 0) {
        wh_free(wake);
        return WH_ENOMEM;
    }
    uv_unref((uv_handle_t *)&wake->async);
    wake->otlp = otlp;
    otlp->wake = wake;
    wh_tracer_on_half_full(otlp->tracer, on_half_full, wake);
    return WH_OK;
}

/* Life */

static bool copy(const char *text, char **out)
{
    if (!text)
        return true;
    size_t size = strlen(text) + 1;
    *out = wh_malloc(size);
    if (*out)
        memcpy(*out, text, size);
    return *out != NULL;
}

static enum wh_err copy_url(struct wh_otlp *otlp, const char *endpoint)
{
    size_t len = strlen(endpoint);
    while (len > 0 && endpoint[len - 1] == '/')
        len--;
    otlp->url = wh_malloc(len + sizeof(path));
    if (!otlp->url)
        return WH_ENOMEM;
    memcpy(otlp->url, endpoint, len);
    memcpy(otlp->url + len, path, sizeof(path));
    return wh_http_url_is_valid(otlp->url) ? WH_OK : WH_EINVAL;
}

static enum wh_err copy_options(struct wh_otlp *otlp, const struct wh_otlp_options *options)
{
    enum wh_err err = copy_url(otlp, options->endpoint);
    for (size_t i = 0; err == WH_OK && options->headers && options->headers[i]; i++) {
        if (i == HEADERS_MAX || !wh_http_header_is_valid(options->headers[i]))
            return WH_EINVAL;
        if (!copy(options->headers[i], &otlp->headers[i]))
            return WH_ENOMEM;
        otlp->header_count++;
    }
    if (err == WH_OK && !(copy(options->resource.service_name, &otlp->name) &&
                          copy(options->resource.service_version, &otlp->version) &&
                          copy(options->resource.service_instance_id, &otlp->instance)))
        err = WH_ENOMEM;
    return err;
}

enum wh_err wh_otlp_new(struct wh_loop *loop,
                        struct wh_tracer *tracer,
                        const struct wh_otlp_options *options,
                        struct wh_otlp **out_otlp)
{
    struct wh_otlp *otlp = wh_calloc(1, sizeof(*otlp));
    if (!otlp)
        return WH_ENOMEM;
    otlp->loop = loop;
    otlp->tracer = tracer;
    otlp->interval_ms = options->interval_ms ? options->interval_ms : WH_OTLP_INTERVAL_MS;
    otlp->timeout_ms = options->timeout_ms ? options->timeout_ms : WH_OTLP_TIMEOUT_MS;
    otlp->backoff.min_ms = options->retry_min_ms ? options->retry_min_ms : otlp->interval_ms;
    otlp->backoff.max_ms = options->retry_max_ms ? options->retry_max_ms : RETRY_MAX_MS;
    otlp->counted = options->counted;
    otlp->counted_user = options->user;
    wh_timer_init(&otlp->timer, on_timer);
    wh_timer_init(&otlp->end, on_end);
    enum wh_err err = copy_options(otlp, options);
    if (err == WH_OK)
        err = wh_http_client_new(loop, &otlp->http);
    if (err == WH_OK)
        err = wake_new(otlp);
    if (err) {
        wh_otlp_free(otlp);
        return err;
    }
    wh_loop_timer_start(loop, &otlp->timer, otlp->interval_ms);
    *out_otlp = otlp;
    return WH_OK;
}

void wh_otlp_free(struct wh_otlp *otlp)
{
    if (!otlp)
        return;
    if (otlp->wake) {
        wh_tracer_on_half_full(otlp->tracer, NULL, NULL);
        otlp->wake->otlp = NULL;
        uv_close((uv_handle_t *)&otlp->wake->async, on_wake_closed);
    }
    wh_loop_timer_stop(otlp->loop, &otlp->timer);
    wh_loop_timer_stop(otlp->loop, &otlp->end);
    wh_http_client_free(otlp->http);
    wh_buf_deinit(&otlp->body);
    wh_free(otlp->url);
    for (size_t i = 0; i < otlp->header_count; i++)
        wh_free(otlp->headers[i]);
    wh_free(otlp->name);
    wh_free(otlp->version);
    wh_free(otlp->instance);
    wh_free(otlp);
}
