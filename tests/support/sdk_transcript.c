#include "tests/support/sdk_transcript.h"

#include "tests/support/failing_alloc.h"
#include "tests/support/sdk_step.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

struct runner {
    struct fake_sdk *fake; /* NULL between cases */
    enum wh_encoding encoding;
    const char *path;
    const char *name; /* of the case */
    size_t line;
    bool is_torture;
    bool is_skipped;
    json_t *frame; /* taken, not compared yet */
    json_t *event;
    bool has_ping;
    struct engine_action action;
};

static _Noreturn void complain(const struct runner *runner,
                               const char *what,
                               json_t *got,
                               const json_t *step)
{
    char *got_text = got ? json_dumps(got, JSON_ENCODE_ANY) : NULL;
    char *step_text = step ? json_dumps(step, JSON_ENCODE_ANY) : NULL;
    fprintf(stderr, "%s:%zu: %s [%s]: %s\n  got      %s\n  expected %s\n", runner->path,
            runner->line, runner->name ? runner->name : "", wh_encoding_name(runner->encoding),
            what, got_text ? got_text : "nothing", step_text ? step_text : "nothing");
    free(got_text);
    free(step_text);
    fail();
    abort(); /* it does not come back */
}

static const char *text_at(const json_t *step, const char *key)
{
    return json_string_value(json_object_get(step, key));
}

static uint64_t number_at(const json_t *step, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(step, key));
}

/* ---- cases ----------------------------------------------------------------------------------- */

static void set_options(struct wh_client_options *options,
                        struct wh_client_events *events,
                        struct wh_header *headers,
                        json_t *given)
{
    const char *key;
    json_t *value;
    json_object_foreach(given, key, value)
    {
        if (strcmp(key, "get_token") == 0) {
            events->get_token = fake_sdk_get_token;
        } else if (strcmp(key, "emulated_headers") == 0) {
            headers->name = json_object_iter_key(json_object_iter(value));
            headers->value = json_string_value(json_object_iter_value(json_object_iter(value)));
            options->emulated_headers = headers;
            options->emulated_header_count = 1;
        } else {
            struct wh_error detail;
            if (wh_client_options_set(options, key, json_string_value(value), &detail) != WH_OK)
                fail_msg("%s", detail.text);
        }
    }
}

bool sdk_transcript_is_for(const json_t *step, enum wh_encoding encoding)
{
    const json_t *only = json_object_get(step, "only");
    json_t *name = json_string(wh_encoding_name(encoding));
    bool is_there = !only || json_equal(only, name);
    for (size_t i = 0; i < json_array_size(only); i++)
        is_there |= json_equal(json_array_get(only, i), name) != 0;
    json_decref(name);
    return is_there;
}

static void finish_case(struct runner *runner);

static void begin_case(struct runner *runner, const json_t *step)
{
    struct wh_client_options options = {
        .size = sizeof(options), .url = "ws://hub", .encoding = runner->encoding};
    struct wh_client_events events = {.size = sizeof(events)};
    struct wh_header header = {NULL, NULL};
    finish_case(runner);
    runner->name = text_at(step, "case");
    runner->is_skipped = !sdk_transcript_is_for(step, runner->encoding);
    if (runner->is_skipped)
        return;
    options.events = &events;
    set_options(&options, &events, &header, json_object_get(step, "options"));
    runner->fake = calloc(1, sizeof(*runner->fake));
    if (fake_sdk_init(runner->fake, &options)) {
        runner->fake->on_harness = runner->is_torture ? failing_alloc_pause : NULL;
        runner->fake->has_bare_texts = json_is_true(json_object_get(step, "bare_texts"));
        return;
    }
    assert_true(runner->is_torture);
    free(runner->fake);
    runner->fake = NULL;
    runner->is_skipped = true;
}

/* ---- what came out --------------------------------------------------------------------------- */

static void look(struct runner *runner)
{
    struct engine *engine = &runner->fake->engine;
    if (runner->action.kind == ENGINE_NO_ACTION)
        runner->action = engine_take_action(engine);
    runner->has_ping |= engine_take_ping(engine);
    if (!runner->event)
        runner->event = fake_sdk_begin_json(runner->fake);
}

/* Taken late: what is asked for in one turn leaves in one frame. */
static void look_at_frame(struct runner *runner)
{
    if (!runner->frame)
        runner->frame = fake_sdk_take_frame(runner->fake);
}

/* Its callback returns. */
static void end_event(struct runner *runner)
{
    json_decref(runner->event);
    runner->event = NULL;
    fake_sdk_end_event(runner->fake);
}

static void forget(struct runner *runner)
{
    json_decref(runner->frame);
    runner->frame = NULL;
    end_event(runner);
    runner->has_ping = false;
    runner->action.kind = ENGINE_NO_ACTION;
}

static void expect_nothing_left(struct runner *runner, const json_t *step)
{
    bool is_same_turn = json_object_get(step, "call") || json_object_get(step, "closed");
    look(runner);
    if (!is_same_turn)
        look_at_frame(runner);
    if (runner->is_torture) {
        while (runner->frame || runner->event || runner->action.kind != ENGINE_NO_ACTION) {
            forget(runner);
            look(runner);
        }
        return;
    }
    if (runner->event)
        complain(runner, "an event that nobody expected before this", runner->event, step);
    if (runner->frame)
        complain(runner, "a frame that nobody expected before this", runner->frame, step);
    if (runner->action.kind != ENGINE_NO_ACTION)
        complain(runner, "an action that nobody expected before this", NULL, step);
    if (runner->has_ping)
        complain(runner, "a WebSocket ping that nobody expected before this", NULL, step);
}

static void finish_case(struct runner *runner)
{
    if (!runner->fake)
        return;
    expect_nothing_left(runner, NULL);
    forget(runner);
    fake_sdk_deinit(runner->fake);
    free(runner->fake);
    runner->fake = NULL;
}

/* Every member of `expected` is in `got`. */
static bool is_subset(const json_t *expected, const json_t *got)
{
    const char *key;
    json_t *value;
    if (!json_is_object(expected))
        return json_equal(expected, got);
    json_object_foreach((json_t *)expected, key, value)
    {
        if (strcmp(key, "inside") != 0 && !json_equal(value, json_object_get(got, key)))
            return false;
    }
    return true;
}

static void happen(struct runner *runner, const json_t *step);
static void expect(struct runner *runner, const json_t *step);
static bool is_expectation(const json_t *step);

/* In the callback: what the program does and sees, and what comes meanwhile. */
static void happen_inside(struct runner *runner, const json_t *step)
{
    size_t i;
    json_t *inner;
    json_array_foreach(json_object_get(step, "inside"), i, inner)
    {
        if (!is_expectation(inner))
            happen(runner, inner);
        else if (!runner->is_torture)
            expect(runner, inner);
    }
}

static void expect_event(struct runner *runner, const json_t *step)
{
    look(runner);
    if (!runner->event || !is_subset(step, runner->event))
        complain(runner, "another event", runner->event, step);
    happen_inside(runner, step);
    end_event(runner);
}

static void expect_frame(struct runner *runner, const json_t *step)
{
    look_at_frame(runner);
    if (!runner->frame || !json_equal(json_object_get(step, "out"), runner->frame))
        complain(runner, "another frame", runner->frame, step);
    json_decref(runner->frame);
    runner->frame = NULL;
}

static void expect_action(struct runner *runner, const json_t *step)
{
    look(runner);
    const struct engine_action *action = &runner->action;
    bool is_open = json_object_get(step, "open") != NULL;
    bool is_right =
        is_open ? action->kind == ENGINE_OPEN && action->url_index == number_at(step, "open")
                : action->kind == ENGINE_CLOSE && action->code == number_at(step, "close");
    if (!is_right)
        complain(runner, "another action", json_null(), step);
    runner->action.kind = ENGINE_NO_ACTION;
}

static const struct wh_sub *sub_of(struct runner *runner, const json_t *step)
{
    const struct wh_sub *sub = sdk_step_sub(runner->fake, step);
    if (!sub)
        complain(runner, "no such subscription", NULL, step);
    return sub;
}

static void expect_state(struct runner *runner, const json_t *step)
{
    static const char *const names[] = {"disconnected", "connecting", "connected", "closed"};
    static const char *const sub_names[] = {"unsubscribed", "subscribing", "subscribed"};
    const char *name = json_object_get(step, "channel")
                           ? sub_names[sub_of(runner, step)->state]
                           : names[engine_public_state(&runner->fake->engine)];
    if (strcmp(name, text_at(step, "state")) != 0)
        complain(runner, name, NULL, step);
}

/* What a program would store. */
static void expect_position(struct runner *runner, const json_t *step)
{
    const struct sub_position *position = sub_stored_position(sub_of(runner, step));
    json_t *got = position ? json_pack("{s:I,s:s}", "offset", (json_int_t)position->offset, "epoch",
                                       position->epoch)
                           : json_null();
    if (!json_equal(got, json_object_get(step, "position")))
        complain(runner, "another position", got, step);
    json_decref(got);
}

static const struct wh_timer *timer_of(struct runner *runner, const json_t *step)
{
    const struct engine *engine = &runner->fake->engine;
    if (json_object_get(step, "channel")) {
        const struct wh_sub *sub = sub_of(runner, step);
        return sub->state == WH_SUB_SUBSCRIBED ? &sub->refresh_timer : &sub->retry_timer;
    }
    return engine->state == ENGINE_CONNECTED ? &engine->refresh_timer : &engine->connect_timer;
}

static void expect_retry(struct runner *runner, const json_t *step)
{
    const json_t *range = json_object_get(step, "retry");
    const struct wh_timer *timer = timer_of(runner, step);
    uint64_t now_ms = runner->fake->engine.now_ms;
    uint64_t due_ms = timer->due_tick * WH_WHEEL_TICK_MS;
    uint64_t min = (uint64_t)json_integer_value(json_array_get(range, 0));
    uint64_t max = (uint64_t)json_integer_value(json_array_get(range, 1));
    if (!wh_timer_is_running(timer) || due_ms < now_ms + min ||
        due_ms > now_ms + max + WH_WHEEL_TICK_MS)
        complain(runner, "the timer is due at another time",
                 json_integer((json_int_t)(due_ms - now_ms)), step);
}

/* ---- what happens ---------------------------------------------------------------------------- */

static void expect_err(struct runner *runner, const json_t *step, enum wh_err err)
{
    const char *expected = text_at(step, "err");
    if (!runner->is_torture && strcmp(wh_err_name(err), expected ? expected : "WH_OK") != 0)
        complain(runner, wh_err_name(err), NULL, step);
}

static void do_step(struct runner *runner, const json_t *step)
{
    enum wh_err err = WH_OK;
    if (!sdk_step_do(runner->fake, step, &err))
        complain(runner, "nothing that can be done", NULL, step);
    expect_err(runner, step, err);
}

static void call_step(struct runner *runner, const json_t *step)
{
    expect_err(runner, step, fake_sdk_call(runner->fake, step));
}

static void opened_step(struct fake_sdk *fake, uint32_t connection, const json_t *step)
{
    if (text_at(step, "opened"))
        engine_opened(&fake->engine, connection, WH_ENCODING_JSON);
    else if (connection != fake->engine.connection)
        engine_opened(&fake->engine, connection, fake->settings.encoding);
    else
        fake_sdk_open(fake);
}

static void closed_step(struct fake_sdk *fake, uint32_t connection, const json_t *step)
{
    const json_t *given = json_object_get(step, "error");
    const char *reason = text_at(step, "reason");
    struct wh_error error = {.err = WH_ECONNECT, .temporary = true};
    error.http_status = (uint32_t)number_at(given, "http_status");
    snprintf(error.text, sizeof(error.text), "%s", given ? text_at(given, "text") : "");
    engine_closed(&fake->engine, connection, (uint32_t)number_at(step, "closed"),
                  wh_slice_from_str(reason ? reason : ""), given ? &error : NULL);
}

static bool is_expectation(const json_t *step)
{
    return json_object_get(step, "event") || json_object_get(step, "out") ||
           json_object_get(step, "open") || json_object_get(step, "close") ||
           json_object_get(step, "state") || json_object_get(step, "ping") ||
           json_object_get(step, "retry") || json_object_get(step, "position");
}

static void expect(struct runner *runner, const json_t *step)
{
    if (json_object_get(step, "event"))
        expect_event(runner, step);
    else if (json_object_get(step, "out"))
        expect_frame(runner, step);
    else if (json_object_get(step, "open") || json_object_get(step, "close"))
        expect_action(runner, step);
    else if (json_object_get(step, "state"))
        expect_state(runner, step);
    else if (json_object_get(step, "position"))
        expect_position(runner, step);
    else if (json_object_get(step, "retry"))
        expect_retry(runner, step);
    else {
        look(runner);
        if (!runner->has_ping)
            complain(runner, "no WebSocket ping", NULL, step);
        runner->has_ping = false;
    }
}

static void happen(struct runner *runner, const json_t *step)
{
    struct fake_sdk *fake = runner->fake;
    const char *text = text_at(step, "in_text");
    uint32_t connection = (uint32_t)number_at(step, "connection");
    if (connection == 0)
        connection = fake->engine.connection;
    if (json_object_get(step, "do"))
        do_step(runner, step);
    else if (json_object_get(step, "call"))
        call_step(runner, step);
    else if (json_object_get(step, "opened"))
        opened_step(fake, connection, step);
    else if (json_object_get(step, "closed"))
        closed_step(fake, connection, step);
    else if (json_object_get(step, "in"))
        fake_sdk_receive(fake, connection, json_object_get(step, "in"));
    else if (text)
        fake_sdk_receive_bytes(fake, text, strlen(text));
    else if (json_object_get(step, "advance"))
        fake_sdk_advance(fake, number_at(step, "advance"));
    else
        complain(runner, "no such step", NULL, step);
}

static void run_step(struct runner *runner, const json_t *step);

/* What would be the same lines at the head of many cases. */
static void be_connected(struct runner *runner)
{
    static const char *const steps[] = {
        "{\"do\":\"connect\"}",
        "{\"event\":\"connecting\",\"code\":0,\"reason\":\"connect called\"}",
        "{\"open\":0}",
        "{\"opened\":true}",
        "{\"out\":[{\"id\":1,\"connect\":{\"name\":\"c\"}}]}",
        "{\"in\":{\"id\":1,\"connect\":{\"client\":\"x\",\"version\":\"v\"}}}",
        "{\"event\":\"connected\",\"client\":\"x\",\"version\":\"v\"}",
    };
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        json_t *step = json_loads(steps[i], 0, NULL);
        run_step(runner, step);
        json_decref(step);
    }
}

static void run_step(struct runner *runner, const json_t *step)
{
    if (json_object_get(step, "case")) {
        begin_case(runner, step);
        const char *given = text_at(step, "given");
        if (given && !runner->is_skipped) {
            assert_string_equal(given, "connected");
            be_connected(runner);
        }
        return;
    }
    if (runner->is_skipped)
        return;
    if (!runner->fake)
        complain(runner, "a step before the first case", NULL, step);
    if (is_expectation(step)) {
        if (!runner->is_torture)
            expect(runner, step);
        else
            happen_inside(runner, step);
        return;
    }
    if (!json_object_get(step, "waiting"))
        expect_nothing_left(runner, step);
    happen(runner, step);
}

/* Blank lines and lines that begin with # are for people. */
json_t *sdk_transcript_load(const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file)
        fail_msg("%s: cannot open", path);
    json_t *steps = json_array();
    char line[8192];
    while (fgets(line, sizeof(line), file)) {
        json_error_t error;
        bool is_blank = line[0] == '\n' || line[0] == '#';
        json_t *step = is_blank ? json_null() : json_loads(line, 0, &error);
        if (!step)
            fail_msg("%s:%zu: %s", path, json_array_size(steps) + 1, error.text);
        json_array_append_new(steps, step);
    }
    fclose(file);
    return steps;
}

static void run(struct runner *runner, const json_t *steps, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        const json_t *step = json_array_get(steps, i);
        runner->line = i + 1;
        if (!json_is_null(step))
            run_step(runner, step);
    }
    finish_case(runner);
}

void sdk_transcript_run(const char *path, enum wh_encoding encoding)
{
    json_t *steps = sdk_transcript_load(path);
    struct runner runner = {.path = path, .encoding = encoding};
    run(&runner, steps, 0, json_array_size(steps));
    json_decref(steps);
}

static size_t case_end(const json_t *steps, size_t from)
{
    size_t at = from + 1;
    while (at < json_array_size(steps) && !json_object_get(json_array_get(steps, at), "case"))
        at++;
    return at;
}

size_t sdk_transcript_torture(const char *path, enum wh_encoding encoding)
{
    size_t failed = 0;
    json_t *steps = sdk_transcript_load(path);
    for (size_t from = 0; from < json_array_size(steps); from = case_end(steps, from)) {
        if (!json_object_get(json_array_get(steps, from), "case"))
            continue;
        for (size_t nth = 1;; nth++) {
            struct runner runner = {.path = path, .encoding = encoding, .is_torture = true};
            failing_alloc_start(nth);
            run(&runner, steps, from, case_end(steps, from));
            if (!failing_alloc_stop())
                break;
            failed++;
        }
    }
    json_decref(steps);
    return failed;
}
