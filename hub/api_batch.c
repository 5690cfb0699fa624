/*
 * A batch holds the raw text of each command, which becomes a call of its own
 * when its turn comes.
 */
#include "hub/api_internal.h"

enum batch_method {
#define X(name) BATCH_##name,
    API_BATCH_METHODS(X)
#undef X
        BATCH_METHOD_COUNT
};

/* What stands under the method's name; absent for all but one. */
struct batch_command {
    struct wh_slice bodies[BATCH_METHOD_COUNT];
};

struct batch_request {
    WH_MESSAGES(struct batch_command) commands;
    bool parallel;
};

/* clang-format off */
static const struct wh_field command_fields[] = {
#define X(name) {#name, BATCH_##name + 1, WH_FIELD_RAW_JSON, WH_OMIT_ZERO, sizeof(struct wh_slice) * BATCH_##name, NULL},
    API_BATCH_METHODS(X)
#undef X
};
static const struct wh_schema command_schema = {
    "batch_command", sizeof(struct batch_command), command_fields, BATCH_METHOD_COUNT};

static const struct wh_field request_fields[] = {
    {"commands", 1, WH_FIELD_MESSAGES, WH_OMIT_ZERO, offsetof(struct batch_request, commands), &command_schema},
    {"parallel", 2, WH_FIELD_BOOL, WH_OMIT_ZERO, offsetof(struct batch_request, parallel), NULL},
};
const struct wh_schema api_batch_request_schema = {
    "batch_request", sizeof(struct batch_request), request_fields, 2};
/* clang-format on */

struct batch;

struct batch_call {
    struct api_call call;
    struct batch *batch;
    struct wh_slice reply; /* {"publish":{…}} or {"error":{…}} */
};

struct batch {
    struct api_pump pump;
    struct api_call *call;
    struct batch_call *calls;
};

/* The reply is kept, and what led to it goes, so that a batch holds no more than it must. */
static void finish_one(struct batch_call *one, const char *name)
{
    struct api_call *call = &one->call;
    struct batch *batch = one->batch;
    struct wh_buf text = {0};
    if (call->code != WH_NO_ERROR) {
        wh_buf_append_str(&text, "{\"error\":");
        api_write_error(&text, call);
    } else {
        wh_buf_printf(&text, "{\"%s\":", name);
        wh_buf_append_slice(&text, wh_buf_slice(&call->result));
    }
    wh_buf_append_char(&text, '}');
    if (wh_buf_error(&text) == WH_OK)
        one->reply = wh_arena_copy(&batch->call->arena, wh_buf_slice(&text));
    wh_buf_deinit(&text);
    api_call_deinit(call);
    api_pump_one_done(&batch->pump);
}

static void on_finished(struct api_call *call)
{
    finish_one(WH_CONTAINER_OF(call, struct batch_call, call), call->method->name);
}

static void start_one(struct api_pump *pump, size_t index)
{
    struct batch *batch = WH_CONTAINER_OF(pump, struct batch, pump);
    const struct batch_request *request = batch->call->request;
    const struct batch_command *command = &request->commands.items[index];
    struct batch_call *one = &batch->calls[index];
    one->batch = batch;
    one->call.node = batch->call->node;
    one->call.finished = on_finished;
    for (size_t i = 0; i < BATCH_METHOD_COUNT; i++) {
        if (command->bodies[i].ptr) {
            api_call_start(&one->call, api_find_method(wh_slice_from_str(command_fields[i].name)),
                           command->bodies[i]);
            return;
        }
    }
    one->call.code = WH_ERROR_METHOD_NOT_FOUND;
    finish_one(one, "");
}

static void end_batch(struct api_pump *pump)
{
    struct batch *batch = WH_CONTAINER_OF(pump, struct batch, pump);
    struct wh_buf *out = &batch->call->result;
    bool is_whole = true;
    wh_buf_append_str(out, "{\"replies\":[");
    for (size_t i = 0; i < pump->count; i++) {
        if (i > 0)
            wh_buf_append_char(out, ',');
        wh_buf_append_slice(out, batch->calls[i].reply);
        is_whole &= batch->calls[i].reply.ptr != NULL;
    }
    wh_buf_append_str(out, "]}");
    if (is_whole)
        api_succeed_with_text(batch->call);
    else
        api_finish(batch->call, WH_ERROR_INTERNAL); /* out of memory for some reply */
}

void api_batch(struct api_call *call)
{
    const struct batch_request *request = call->request;
    size_t count = request->commands.count;
    if (count > API_COMMANDS_MAX) {
        api_finish(call, WH_ERROR_BAD_REQUEST);
        return;
    }
    struct batch *batch = wh_arena_alloc(&call->arena, sizeof(*batch));
    if (batch)
        batch->calls = wh_arena_alloc_array(&call->arena, count, sizeof(*batch->calls));
    if (batch == NULL || batch->calls == NULL) {
        api_finish(call, WH_ERROR_INTERNAL);
        return;
    }
    batch->call = call;
    batch->pump = (struct api_pump){
        .count = count,
        .window = request->parallel ? API_IN_FLIGHT_MAX : 1,
        .start = start_one,
        .end = end_batch,
    };
    api_pump_run(&batch->pump);
}
