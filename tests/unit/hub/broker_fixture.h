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
    char epoch[16];
    bool is_plain;
};

struct joined {
    char channel[32];
    char user[32];
    char client[64];
    bool is_leave;
};

enum { JOINS_MAX = 16, CONTROLS_MAX = 16, HISTORY_MAX = 512 };

struct fixture {
    struct wh_loop loop;
    struct redis_server server;
    struct metrics_shared *shared;
    struct metrics *metrics;
    struct config config;
    const char *node_id;
    struct broker *broker;
    struct received pubs[PUBS_MAX];
    size_t pub_count;
    struct joined joins[JOINS_MAX];
    size_t join_count;
    char controls[CONTROLS_MAX][64];
    size_t control_count;
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
    uint64_t offset; /* of a publish */
    char epoch[16];
};

/* The answer to a history query. */
struct answer {
    bool is_done;
    unsigned calls;
    enum wh_err err;
    uint64_t top;
    char epoch[16];
    size_t count;
    uint64_t offsets[HISTORY_MAX];
    char data[HISTORY_MAX][32];
};

/* This node's id unless a test says otherwise. */
#define NODE_ID "11111111-1111-4111-8111-111111111111"

static inline void copy_text(char *out, size_t size, struct wh_slice text)
{
    assert_true(text.len < size);
    memcpy(out, text.ptr ? text.ptr : "", text.len);
    out[text.len] = '\0';
}

static inline void on_result(void *user, enum wh_err err)
{
    struct result *result = user;
    result->is_done = true;
    result->calls++;
    result->err = err;
}

static inline void on_publish_result(void *user,
                                     enum wh_err err,
                                     const struct broker_position *position)
{
    struct result *result = user;
    on_result(user, err);
    assert_int_equal(position == NULL, err != WH_OK);
    if (err)
        return;
    result->offset = position->offset;
    copy_text(result->epoch, sizeof result->epoch, position->epoch);
}

static inline void on_answer(void *user, enum wh_err err, const struct broker_history *history)
{
    struct answer *answer = user;
    answer->is_done = true;
    answer->calls++;
    answer->err = err;
    assert_int_equal(history == NULL, err != WH_OK);
    if (err)
        return;
    answer->top = history->top.offset;
    copy_text(answer->epoch, sizeof answer->epoch, history->top.epoch);
    assert_true(history->count <= HISTORY_MAX);
    answer->count = history->count;
    for (size_t i = 0; i < history->count; i++) {
        answer->offsets[i] = history->publications[i].offset;
        copy_text(answer->data[i], sizeof answer->data[i], history->publications[i].data.bytes);
    }
}

static inline void on_fixture_join(void *user,
                                   struct wh_slice channel,
                                   const struct wh_info *info,
                                   bool is_leave)
{
    struct fixture *f = user;
    assert_true(f->join_count < JOINS_MAX);
    struct joined *joined = &f->joins[f->join_count++];
    copy_text(joined->channel, sizeof joined->channel, channel);
    copy_text(joined->user, sizeof joined->user, info->user);
    copy_text(joined->client, sizeof joined->client, info->client);
    joined->is_leave = is_leave;
}

static inline void on_fixture_control(void *user, struct wh_slice message)
{
    struct fixture *f = user;
    assert_true(f->control_count < CONTROLS_MAX);
    copy_text(f->controls[f->control_count++], sizeof f->controls[0], message);
}

static inline void on_fixture_publication(void *user,
                                          struct wh_slice channel,
                                          const struct wh_pub *pub,
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
    copy_text(received->epoch, sizeof received->epoch, pub->epoch);
    assert_int_equal(pub->offset == 0, pub->epoch.len == 0);
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
    f->node_id = NODE_ID;
    f->config.engine.type = ENGINE_REDIS;
    f->config.engine.redis.address = f->server.socket;
    return f;
}

static inline void open_broker(struct fixture *f, enum engine_type type)
{
    struct broker_events events = {
        .on_publication = on_fixture_publication,
        .on_join = on_fixture_join,
        .on_control = on_fixture_control,
        .on_state = on_fixture_state,
        .user = f,
    };
    enum wh_err err =
        type == ENGINE_MEMORY
            ? broker_memory_new(&f->loop, f->node_id, &events, &f->broker)
            : broker_redis_new(&f->loop, &f->config, f->node_id, f->metrics, &events, &f->broker);
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

static inline void start_publish_with(struct fixture *f,
                                      struct wh_slice channel,
                                      const char *json,
                                      const struct broker_publish_options *options,
                                      struct result *result)
{
    struct wh_pub pub = {.data = {.kind = WH_PAYLOAD_JSON, .bytes = wh_slice_from_str(json)}};
    f->broker->ops->publish(f->broker, channel, &pub, options, on_publish_result, result);
    assert_false(result->is_done);
}

static inline void start_publish(struct fixture *f,
                                 struct wh_slice channel,
                                 const char *json,
                                 struct result *result)
{
    start_publish_with(f, channel, json, NULL, result);
}

static inline struct result publish_with(struct fixture *f,
                                         const char *channel,
                                         const char *json,
                                         const struct broker_publish_options *options)
{
    struct result result = {0};
    start_publish_with(f, wh_slice_from_str(channel), json, options, &result);
    assert_true(run_until_true(&f->loop, &result.is_done, WAIT_MS));
    assert_int_equal(result.calls, 1);
    return result;
}

static inline enum wh_err publish(struct fixture *f, const char *channel, const char *json)
{
    return publish_with(f, channel, json, NULL).err;
}

static inline struct answer history(struct fixture *f,
                                    struct wh_slice channel,
                                    struct broker_history_query query)
{
    struct answer answer = {0};
    f->broker->ops->history(f->broker, channel, &query, on_answer, &answer);
    assert_false(answer.is_done);
    assert_true(run_until_true(&f->loop, &answer.is_done, WAIT_MS));
    assert_int_equal(answer.calls, 1);
    return answer;
}

static inline enum wh_err history_remove(struct fixture *f, const char *channel)
{
    struct result result = {0};
    f->broker->ops->history_remove(f->broker, wh_slice_from_str(channel), on_result, &result);
    assert_false(result.is_done);
    assert_true(run_until_true(&f->loop, &result.is_done, WAIT_MS));
    return result.err;
}

#endif
