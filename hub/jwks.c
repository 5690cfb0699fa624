/*
 * One timer per endpoint is due when the next fetch is: after an hour, or after the back-off.  A
 * fetch for an unknown kid only comes before its time.  So there is at most one fetch, and the
 * timer never runs beside it.
 *
 * Waiters stand on `waiting` while a fetch is under way and move to `waking` when it ends; from
 * there a few are called each tick, because each will verify a signature and thousands may have
 * waited: all at once would hold up everybody else.
 */
#include "hub/jwks.h"

#include "common/base/alloc.h"
#include "common/base/backoff.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/io/http_client.h"
#include "hub/jwk.h"

#include <openssl/err.h>

#include <stdio.h>

enum { WAKE_COUNT = 64, STATUS_OK = 200 };

const struct jwks_times jwks_default_times = {
    .fetch_timeout = 1000,
    .refresh = 3600 * 1000,
    .unknown_kid = 10 * 1000,
    .retry_min = 500,
    .retry_max = 10 * 1000,
};

struct jwks_pool {
    struct wh_loop *loop;
    const struct jwks_times *times;
    struct wh_http_client *http; /* NULL until the first endpoint is opened */
    struct wh_list endpoints;
    bool is_closed;
};

struct jwks {
    struct jwks_pool *pool;
    struct wh_list link;
    size_t refs;
    char *url;
    struct jwk_set keys;
    bool is_loaded; /* a set came at least once */
    struct wh_http_request *fetch;
    struct wh_timer timer; /* the next fetch */
    struct wh_backoff backoff;
    uint64_t asked_ms; /* when an unknown kid last caused a fetch */
    bool was_asked;
    struct wh_list waiting, waking;
    size_t waiter_count;
    struct wh_timer waker;
    bool is_waking; /* a waiter is being called */
    char problem[160];
};

/* ---- waiters ---- */

void jwks_waiter_init(struct jwks_waiter *waiter, void (*fn)(struct jwks_waiter *waiter))
{
    wh_list_init(&waiter->link);
    waiter->jwks = NULL;
    waiter->fn = fn;
}

bool jwks_waiter_is_waiting(const struct jwks_waiter *waiter)
{
    return waiter->jwks != NULL;
}

void jwks_waiter_cancel(struct jwks_waiter *waiter)
{
    if (!waiter->jwks)
        return;
    wh_list_remove(&waiter->link);
    waiter->jwks->waiter_count--;
    waiter->jwks = NULL;
}

enum wh_err jwks_wait(struct jwks *jwks, struct jwks_waiter *waiter)
{
    WH_ASSERT(!waiter->jwks);
    if (!jwks->fetch || jwks->is_waking)
        return WH_EUNAVAILABLE;
    if (jwks->waiter_count == JWKS_WAITERS_MAX)
        return WH_ELIMIT;
    wh_list_push_back(&jwks->waiting, &waiter->link);
    waiter->jwks = jwks;
    jwks->waiter_count++;
    return WH_OK;
}

/* Call up to `count` of those whose fetch has ended. */
static void wake(struct jwks *jwks, size_t count)
{
    jwks->is_waking = true;
    while (count-- > 0 && !wh_list_is_empty(&jwks->waking)) {
        struct jwks_waiter *waiter = WH_CONTAINER_OF(jwks->waking.next, struct jwks_waiter, link);
        jwks_waiter_cancel(waiter);
        waiter->fn(waiter);
    }
    jwks->is_waking = false;
}

static void on_waker(struct wh_timer *timer)
{
    struct jwks *jwks = WH_CONTAINER_OF(timer, struct jwks, waker);
    wake(jwks, WAKE_COUNT);
    if (!wh_list_is_empty(&jwks->waking))
        wh_loop_timer_start(jwks->pool->loop, timer, 0);
}

/* The fetch has ended. */
static void release_waiters(struct jwks *jwks)
{
    struct wh_list *link;
    while ((link = wh_list_pop_front(&jwks->waiting)) != NULL)
        wh_list_push_back(&jwks->waking, link);
    if (!wh_list_is_empty(&jwks->waking))
        wh_loop_timer_start(jwks->pool->loop, &jwks->waker, 0);
}

/* ---- fetching ---- */

static void log_skipped(struct jwks *jwks, struct wh_buf *lines)
{
    if (jwks->keys.skipped == 0)
        return;
    struct wh_slice text = wh_buf_slice(lines);
    const char *end = memchr(text.ptr, '\n', text.len);
    struct wh_slice first = wh_slice(text.ptr, end ? (size_t)(end - text.ptr) : text.len);
    wh_log(WH_LOG_WARN, "jwks", "keys_skipped", "count=%zu first=%.*s", jwks->keys.skipped,
           WH_SLICE_ARGS(first));
}

/* Replace the keys by those in `body`. */
static enum wh_err take_set(struct jwks *jwks, struct wh_slice body)
{
    struct jwk_set set;
    struct wh_buf lines = {0};
    enum wh_err err = jwk_set_parse(body, "jwks_public_endpoint", &set, &lines);
    if (err) {
        snprintf(jwks->problem, sizeof(jwks->problem), "%s",
                 err == WH_EFORMAT ? "the answer is no JSON Web Key Set" : wh_err_text(err));
    } else {
        jwk_set_deinit(&jwks->keys);
        jwks->keys = set;
        jwks->is_loaded = true;
        jwks->problem[0] = '\0';
        wh_log(set.count > 0 ? WH_LOG_INFO : WH_LOG_WARN, "jwks", "fetched", "keys=%zu skipped=%zu",
               set.count, set.skipped);
        log_skipped(jwks, &lines);
    }
    wh_buf_deinit(&lines);
    return err;
}

static enum wh_err take_response(struct jwks *jwks, const struct wh_http_response *response)
{
    if (response->err) {
        snprintf(jwks->problem, sizeof(jwks->problem), "%s", response->problem);
        return response->err;
    }
    if (response->status != STATUS_OK) {
        snprintf(jwks->problem, sizeof(jwks->problem), "HTTP status %ld", response->status);
        return WH_EIO;
    }
    return take_set(jwks, response->body);
}

/* When the next fetch is due.  Workers started together must not stay in step. */
static void schedule(struct jwks *jwks, bool has_failed)
{
    const struct jwks_times *times = jwks->pool->times;
    uint64_t delay_ms = times->refresh - wh_random_below(times->refresh / 10);
    if (has_failed)
        delay_ms = wh_backoff_next_ms(&jwks->backoff);
    else
        wh_backoff_reset(&jwks->backoff);
    wh_loop_timer_start(jwks->pool->loop, &jwks->timer, delay_ms);
    if (has_failed)
        wh_log(WH_LOG_WARN, "jwks", "fetch_failed", "reason=%s keys=%zu retry_ms=%u", jwks->problem,
               jwks->keys.count, (unsigned)delay_ms);
}

static void on_fetched(void *user, const struct wh_http_response *response)
{
    struct jwks *jwks = user;
    jwks->fetch = NULL;
    ERR_clear_error(); /* what TLS left there would break another connection of this thread */
    schedule(jwks, take_response(jwks, response) != WH_OK);
    release_waiters(jwks);
}

/* Whether a fetch is under way afterwards. */
static bool fetch(struct jwks *jwks)
{
    struct jwks_pool *pool = jwks->pool;
    const struct wh_http_options options = {
        .timeout_ms = pool->times->fetch_timeout,
        .body_bytes_max = JWK_SET_BYTES_MAX,
        .redirects_max = JWKS_REDIRECTS_MAX,
    };
    if (jwks->fetch || pool->is_closed)
        return jwks->fetch != NULL;
    wh_loop_timer_stop(pool->loop, &jwks->timer);
    enum wh_err err = wh_http_get(pool->http, jwks->url, &options, on_fetched, jwks, &jwks->fetch);
    if (!err)
        return true;
    snprintf(jwks->problem, sizeof(jwks->problem), "%s", wh_err_text(err));
    schedule(jwks, true);
    return false;
}

static void on_timer(struct wh_timer *timer)
{
    fetch(WH_CONTAINER_OF(timer, struct jwks, timer));
}

/* ---- life ---- */

enum wh_err jwks_pool_new(struct wh_loop *loop,
                          const struct jwks_times *times,
                          struct jwks_pool **out_pool)
{
    struct jwks_pool *pool = wh_calloc(1, sizeof(*pool));
    if (!pool)
        return WH_ENOMEM;
    pool->loop = loop;
    pool->times = times;
    wh_list_init(&pool->endpoints);
    *out_pool = pool;
    return WH_OK;
}

/* No fetch, no timer, nobody who waits. */
static void stop(struct jwks *jwks)
{
    struct wh_loop *loop = jwks->pool->loop;
    if (jwks->fetch)
        wh_http_cancel(jwks->fetch);
    jwks->fetch = NULL;
    wh_loop_timer_stop(loop, &jwks->timer);
    release_waiters(jwks);
    wh_loop_timer_stop(loop, &jwks->waker);
    wake(jwks, SIZE_MAX);
}

void jwks_pool_close(struct jwks_pool *pool)
{
    pool->is_closed = true;
    WH_LIST_EACH(link, &pool->endpoints)
    stop(WH_CONTAINER_OF(link, struct jwks, link));
}

void jwks_pool_free(struct jwks_pool *pool)
{
    if (!pool)
        return;
    WH_ASSERT(wh_list_is_empty(&pool->endpoints));
    wh_http_client_free(pool->http);
    wh_free(pool);
}

static struct jwks *find_endpoint(struct jwks_pool *pool, const char *url)
{
    WH_LIST_EACH(link, &pool->endpoints)
    {
        struct jwks *jwks = WH_CONTAINER_OF(link, struct jwks, link);
        if (strcmp(jwks->url, url) == 0)
            return jwks;
    }
    return NULL;
}

static struct jwks *jwks_new(struct jwks_pool *pool, const char *url)
{
    size_t size = strlen(url) + 1;
    struct jwks *jwks = wh_calloc(1, sizeof(*jwks));
    if (!jwks)
        return NULL;
    jwks->url = wh_malloc(size);
    if (!jwks->url) {
        wh_free(jwks);
        return NULL;
    }
    memcpy(jwks->url, url, size);
    jwks->pool = pool;
    jwks->backoff =
        (struct wh_backoff){.min_ms = pool->times->retry_min, .max_ms = pool->times->retry_max};
    wh_list_init(&jwks->waiting);
    wh_list_init(&jwks->waking);
    wh_timer_init(&jwks->timer, on_timer);
    wh_timer_init(&jwks->waker, on_waker);
    wh_list_init(&jwks->link);
    wh_list_push_back(&pool->endpoints, &jwks->link);
    return jwks;
}

enum wh_err jwks_open(struct jwks_pool *pool, const char *url, struct jwks **out_jwks)
{
    if (!wh_http_url_is_valid(url))
        return WH_EINVAL;
    enum wh_err err = pool->http ? WH_OK : wh_http_client_new(pool->loop, &pool->http);
    if (err)
        return err;
    struct jwks *jwks = find_endpoint(pool, url);
    if (!jwks) {
        jwks = jwks_new(pool, url);
        if (!jwks)
            return WH_ENOMEM;
        fetch(jwks);
    }
    jwks->refs++;
    *out_jwks = jwks;
    return WH_OK;
}

void jwks_release(struct jwks *jwks)
{
    if (!jwks || --jwks->refs > 0)
        return;
    wh_list_remove(&jwks->link);
    stop(jwks);
    jwk_set_deinit(&jwks->keys);
    wh_free(jwks->url);
    wh_free(jwks);
}

/* ---- looking up ---- */

/* Whether a fetch that is under way, or now begun for its sake, may still bring a kid. */
static bool ask(struct jwks *jwks)
{
    if (jwks->is_waking)
        return false; /* asked just now */
    if (jwks->fetch)
        return true;
    if (!jwks->is_loaded || jwks->problem[0])
        return false; /* backing off */
    uint64_t now_ms = wh_loop_now_ms(jwks->pool->loop);
    if (jwks->was_asked && now_ms - jwks->asked_ms < jwks->pool->times->unknown_kid)
        return false;
    jwks->was_asked = true;
    jwks->asked_ms = now_ms;
    return fetch(jwks);
}

enum wh_err jwks_find(struct jwks *jwks,
                      struct wh_slice kid,
                      const struct token_algorithm *algorithm,
                      const struct token_key **out_key)
{
    bool is_known;
    const struct token_key *key = jwk_set_find(&jwks->keys, kid, algorithm, &is_known);
    if (key) {
        *out_key = key;
        return WH_OK;
    }
    if (is_known)
        return WH_EUNSUPPORTED;
    if (ask(jwks))
        return WH_EUNAVAILABLE;
    return jwks->is_loaded && !jwks->problem[0] ? WH_ENOTFOUND : WH_EUNAVAILABLE;
}

const char *jwks_problem(const struct jwks *jwks)
{
    return jwks->problem;
}
