/*
 * What the broker tests share: a loop, a broker of either kind, and a record
 * of everything it reports.
 */
#ifndef TESTS_HUB_BROKER_FIXTURE_H
#define TESTS_HUB_BROKER_FIXTURE_H

#include "hub/broker.h"
#include "tests/support/redis_server.h"
#include "tests/support/run_loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PUBS_MAX = 2048, WAIT_MS = 15000 };

struct received {
    char channel[64];
    size_t channel_len;
    char data[128];
    size_t data_len;
    enum wh_payload_kind kind;
    uint64_t offset;
    bool is_plain;
};

struct fixture {
    struct wh_loop loop;
    struct redis_server server;
    struct metrics_shared *shared;
    struct metrics *metrics;
    struct config config;
    struct broker *broker;
    struct received pubs[PUBS_MAX];
    size_t pub_count;
    bool is_up;
    bool was_told;
    unsigned ups;
    char reason[256];   /* of the last down */
    char reasons[4096]; /* of all downs, one per line */
    bool is_closed;
};

struct result {
    bool is_done;
    unsigned calls;
    enum wh_err err;
};

static inline void on_result(void *user, enum wh_err err)
{
    struct result *result = user;
    result->is_done = true;
    result->calls++;
    result->err = err;
}

static inline void on_fixture_publication(void *user,
                                          struct wh_slice channel,
                                          const struct wh_publication *pub,
                                          bool is_plain)
{
    struct fixture *f = user;
    assert_true(f->pub_count < PUBS_MAX);
    struct received *received = &f->pubs[f->pub_count++];
    memset(received, 0, sizeof *received);
    assert_true(channel.len < sizeof received->channel);
    memcpy(received->channel, channel.ptr, channel.len);
    received->channel_len = channel.len;
    received->data_len = pub->data.bytes.len;
    if (pub->data.bytes.len < sizeof received->data)
        memcpy(received->data, pub->data.bytes.ptr, pub->data.bytes.len);
    received->kind = pub->data.kind;
    received->offset = pub->offset;
    received->is_plain = is_plain;
}

static inline void on_fixture_state(void *user, bool is_up, const char *reason)
{
    struct fixture *f = user;
    f->is_up = is_up;
    f->was_told = true;
    f->ups += is_up;
    if (is_up) {
        assert_string_equal(reason, "");
        return;
    }
    assert_string_not_equal(reason, "");
    snprintf(f->reason, sizeof f->reason, "%s", reason);
    size_t used = strlen(f->reasons);
    snprintf(f->reasons + used, sizeof f->reasons - used, "%s\n", reason);
}

static inline void on_fixture_closed(void *user)
{
    ((struct fixture *)user)->is_closed = true;
}

/* A fixture without a broker yet; the Redis is named in the config and not started. */
static inline struct fixture *fixture_new(void)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    assert_int_equal(wh_loop_init(&f->loop), WH_OK);
    assert_int_equal(metrics_shared_new(1, &f->shared), WH_OK);
    f->metrics = metrics_open(f->shared, 0);
    redis_server_init(&f->server);
    f->config.engine.type = ENGINE_REDIS;
    f->config.engine.redis.address = f->server.socket;
    return f;
}

static inline void open_broker(struct fixture *f, enum engine_type type)
{
    struct broker_events events = {
        .on_publication = on_fixture_publication, .on_state = on_fixture_state, .user = f};
    enum wh_err err = type == ENGINE_MEMORY
                          ? broker_memory_new(&f->loop, &events, &f->broker)
                          : broker_redis_new(&f->loop, &f->config, f->metrics, &events, &f->broker);
    assert_int_equal(err, WH_OK);
    assert_false(f->was_told);
}

static inline void close_broker(struct fixture *f)
{
    f->broker->ops->close(f->broker, on_fixture_closed, f);
    assert_false(f->is_closed);
    assert_true(run_until_true(&f->loop, &f->is_closed, WAIT_MS));
    f->broker = NULL;
}

static inline void fixture_free(struct fixture *f)
{
    if (f->broker)
        close_broker(f);
    wh_loop_deinit(&f->loop);
    redis_server_deinit(&f->server);
    metrics_shared_free(f->shared);
    free(f);
}

static inline bool has_pubs_of(void *user)
{
    size_t *wanted = ((void **)user)[1];
    return ((struct fixture *)((void **)user)[0])->pub_count >= *wanted;
}

static inline bool wait_for_pubs(struct fixture *f, size_t count)
{
    void *both[] = {f, &count};
    return run_until(&f->loop, has_pubs_of, both, WAIT_MS);
}

static inline bool wait_up(struct fixture *f)
{
    return run_until_true(&f->loop, &f->is_up, WAIT_MS);
}

static inline bool is_down(void *user)
{
    return !((struct fixture *)user)->is_up;
}

static inline bool wait_down(struct fixture *f)
{
    return run_until(&f->loop, is_down, f, WAIT_MS);
}

static inline enum wh_err subscribe_slice(struct fixture *f, struct wh_slice channel)
{
    struct result result = {0};
    f->broker->ops->subscribe(f->broker, channel, on_result, &result);
    assert_false(result.is_done);
    assert_true(run_until_true(&f->loop, &result.is_done, WAIT_MS));
    assert_int_equal(result.calls, 1);
    return result.err;
}

static inline enum wh_err subscribe(struct fixture *f, const char *channel)
{
    return subscribe_slice(f, wh_slice_from_str(channel));
}

static inline void unsubscribe(struct fixture *f, const char *channel)
{
    f->broker->ops->unsubscribe(f->broker, wh_slice_from_str(channel));
}

static inline void start_publish(struct fixture *f,
                                 struct wh_slice channel,
                                 const char *json,
                                 struct result *result)
{
    struct wh_publication pub = {
        .data = {.kind = WH_PAYLOAD_JSON, .bytes = wh_slice_from_str(json)}};
    f->broker->ops->publish(f->broker, channel, &pub, on_result, result);
    assert_false(result->is_done);
}

static inline enum wh_err publish(struct fixture *f, const char *channel, const char *json)
{
    struct result result = {0};
    start_publish(f, wh_slice_from_str(channel), json, &result);
    assert_true(run_until_true(&f->loop, &result.is_done, WAIT_MS));
    assert_int_equal(result.calls, 1);
    return result.err;
}

#endif
