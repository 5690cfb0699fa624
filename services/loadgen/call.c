#include "services/loadgen/call.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/protocol/json.h"

enum { PAUSE_FIRST_MS = 50, PAUSE_MAX_MS = 3000, RETRY_AFTER_MAX_S = 60, TEXTS_MAX = 64 * 1024 };

struct call {
    const struct call_place *place;
    struct wh_timer pause;
    struct wh_buf url;
    struct wh_buf params;
    struct wh_buf authorization; /* header; empty = none */
    char key[64];                /* header; "" = none */
    call_done_fn *done;
    void *user;
    unsigned attempts;
    uint64_t begun_us;
};

static void end(struct call *call, struct call_answer *answer)
{
    answer->attempts = call->attempts;
    answer->took_us = wh_clock_monotonic_us() - call->begun_us;
    call->done(call->user, answer);
    wh_buf_deinit(&call->url);
    wh_buf_deinit(&call->params);
    wh_buf_deinit(&call->authorization);
    wh_free(call);
}

static bool is_worth_another(const struct wh_http_response *response)
{
    return response->err || response->status == 429 || response->status >= 500;
}

static void on_response(void *user, const struct wh_http_response *response)
{
    struct call *call = user;
    if (is_worth_another(response) && call->attempts < CALL_ATTEMPTS_MAX) {
        uint64_t pause_ms = (uint64_t)PAUSE_FIRST_MS << call->attempts;
        if (pause_ms > PAUSE_MAX_MS)
            pause_ms = PAUSE_MAX_MS;
        uint32_t asked_s = response->retry_after_s;
        pause_ms = 1 + wh_random_below(pause_ms) +
                   (uint64_t)1000 * (asked_s < RETRY_AFTER_MAX_S ? asked_s : RETRY_AFTER_MAX_S);
        wh_loop_timer_start(call->place->loop, &call->pause, pause_ms);
        return;
    }
    struct call_answer answer = {.problem = "not answered"};
    if (response->err)
        answer.problem = response->problem;
    else
        answer = (struct call_answer){.status = response->status, .body = response->body};
    end(call, &answer);
}

static enum wh_err post(struct call *call)
{
    const char *headers[2];
    size_t count = 0;
    const struct wh_http_options options = {.timeout_ms = CALL_TIMEOUT_MS,
                                            .body_bytes_max = CALL_BODY_MAX};
    struct wh_http_request *request = NULL;
    if (wh_buf_slice(&call->authorization).len > 0)
        headers[count++] = wh_buf_cstr(&call->authorization);
    if (call->key[0] != '\0')
        headers[count++] = call->key;
    const struct wh_http_content content = {.body = wh_buf_slice(&call->params),
                                            .type = "application/json",
                                            .headers = headers,
                                            .header_count = count};
    call->attempts++;
    return wh_http_post(call->place->http, wh_buf_cstr(&call->url), &content, &options, on_response,
                        call, &request);
}

static void on_pause_over(struct wh_timer *timer)
{
    struct call *call = WH_CONTAINER_OF(timer, struct call, pause);
    if (post(call))
        end(call, &(struct call_answer){.problem = "out of memory"});
}

static void fill(struct call *call, const struct call_request *request)
{
    char id[37];
    wh_buf_init(&call->url, TEXTS_MAX);
    wh_buf_init(&call->params, TEXTS_MAX);
    wh_buf_init(&call->authorization, TEXTS_MAX);
    wh_buf_printf(&call->url, "%s%s", call->place->url, request->path);
    wh_buf_append_slice(&call->params, request->params);
    if (request->token)
        wh_buf_printf(&call->authorization, "Authorization: Bearer %s", request->token);
    if (!request->has_key)
        return;
    wh_random_uuid_v4(id);
    (void)snprintf(call->key, sizeof(call->key), "Idempotency-Key: %s", id);
}

enum wh_err call_start(const struct call_place *place,
                       const struct call_request *request,
                       call_done_fn *done,
                       void *user)
{
    struct call *call = wh_calloc(1, sizeof(*call));
    if (!call)
        return WH_ENOMEM;
    *call = (struct call){
        .place = place, .done = done, .user = user, .begun_us = wh_clock_monotonic_us()};
    wh_timer_init(&call->pause, on_pause_over);
    fill(call, request);
    enum wh_err err = wh_buf_error(&call->url);
    if (!err)
        err = wh_buf_error(&call->params);
    if (!err)
        err = wh_buf_error(&call->authorization);
    if (!err)
        err = post(call);
    if (err) {
        wh_buf_deinit(&call->url);
        wh_buf_deinit(&call->params);
        wh_buf_deinit(&call->authorization);
        wh_free(call);
    }
    return err;
}

struct wh_slice call_text_member(struct wh_slice body, const char *name, struct wh_arena *arena)
{
    struct wh_json_reader reader;
    struct wh_slice key;
    struct wh_slice text = WH_SLICE_ABSENT;
    wh_json_reader_init(&reader, body);
    if (wh_json_enter(&reader, WH_JSON_OBJECT))
        return WH_SLICE_ABSENT;
    while (!wh_json_next_member(&reader, arena, &key)) {
        if (!wh_slice_equal_str(key, name)) {
            if (wh_json_skip(&reader, NULL))
                break;
            continue;
        }
        return wh_json_read_string(&reader, arena, &text) ? WH_SLICE_ABSENT : text;
    }
    return WH_SLICE_ABSENT;
}
