/* Shared by the api_<area>.c files; nobody else includes it. */
#ifndef HUB_API_INTERNAL_H
#define HUB_API_INTERNAL_H

#include "hub/api.h"
#include "hub/api_model.h"

struct api_call;

struct api_method {
    const char *name;
    const struct wh_schema *request;
    const struct wh_schema *result; /* NULL: writes its own, which is not wrapped in "result" */
    void (*run)(struct api_call *call);
    const char *help;
};

/* One execution of a method, from api_call_start to `finished`, which may come before that returns.
 * Owned by whoever started it. */
struct api_call {
    struct node *node;
    const struct api_method *method;
    struct wh_arena arena;   /* of request and result */
    void *request;           /* the decoded struct of method->request; borrows the body */
    enum wh_code code;       /* of a rpc maybe one of the service's own */
    struct wh_slice message; /* of that; absent = the text of the code.  In the arena */
    bool is_unreadable;      /* the body is not JSON, or of other types than the table says */
    struct wh_buf result;    /* JSON, if code is WH_NO_ERROR */
    void (*finished)(struct api_call *call);
};

/* The call zeroed but for node and finished; `body` lives as long as the call. */
void api_call_start(struct api_call *call, const struct api_method *method, struct wh_slice body);
void api_call_deinit(struct api_call *call);

/* The end of a method, once. */
void api_succeed(struct api_call *call, const void *result);
void api_succeed_with_text(struct api_call *call);         /* call->result is filled */
void api_finish(struct api_call *call, enum wh_code code); /* no error: an empty result */

const struct api_method *api_find_method(struct wh_slice name);
void api_write_error(struct wh_buf *out, const struct api_call *call);

/* `count` pieces of work, at most `window` at once; `end` when all are done. */
struct api_pump {
    size_t count;
    size_t window;
    size_t next;
    size_t running;
    bool is_pumping;
    void (*start)(struct api_pump *pump, size_t index);
    void (*end)(struct api_pump *pump);
};
void api_pump_run(struct api_pump *pump);
void api_pump_one_done(struct api_pump *pump);

/* "" and present when `b64` is not given; then `data`.  WH_ERROR_BAD_REQUEST. */
enum wh_code api_choose_payload(struct wh_arena *arena,
                                struct wh_slice b64,
                                struct wh_payload *data);

typedef void api_run(struct api_call *call);
api_run api_publish, api_broadcast, api_history, api_history_remove;
api_run api_presence, api_presence_stats;
api_run api_subscribe, api_unsubscribe, api_disconnect, api_refresh;
api_run api_channels, api_info, api_rpc, api_batch;
api_run api_revoke_token, api_invalidate_user_tokens;

extern const struct wh_schema api_batch_request_schema;

/* The methods that a batch may hold, in the order of its table. */
#define API_BATCH_METHODS(X)                                                                       \
    X(publish)                                                                                     \
    X(broadcast)                                                                                   \
    X(subscribe)                                                                                   \
    X(unsubscribe)                                                                                 \
    X(disconnect)                                                                                  \
    X(refresh)                                                                                     \
    X(presence)                                                                                    \
    X(presence_stats)                                                                              \
    X(history)                                                                                     \
    X(history_remove)                                                                              \
    X(channels)                                                                                    \
    X(info)                                                                                        \
    X(rpc)                                                                                         \
    X(revoke_token)                                                                                \
    X(invalidate_user_tokens)

#endif
