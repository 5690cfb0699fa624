/*
 * Questions to the program that are answered later: tokens, and the state of a
 * channel.  A question outlives whoever asked; only the first answer to a living
 * one counts, and none within token_timeout_ms is answer enough.
 */
#ifndef WH_SDK_TOKENS_H
#define WH_SDK_TOKENS_H

#include "client-sdk/src/engine.h"

enum token_answer { TOKEN_OK, TOKEN_UNAUTHORIZED, TOKEN_ERROR, TOKEN_TIMEOUT };

/* Under the engine's lock, for the question that is still open; the ask is gone then.  `text`: the
 * token (never empty), or the error. */
typedef void token_done_fn(void *asker, enum token_answer answer, struct wh_slice text);

/* Likewise for the state of a channel; `position` with TOKEN_OK only, borrowed. */
typedef void state_done_fn(void *asker,
                           enum token_answer answer,
                           const struct wh_position *position,
                           struct wh_slice text);

/* Queue an EVENT_GET_TOKEN (`sub` NULL) or EVENT_SUB_GET_TOKEN; `done` runs at most once, never
 * inside.  WH_ENOMEM. */
WH_MUST_CHECK enum wh_err token_ask_new(struct engine *engine,
                                        struct wh_sub *sub,
                                        token_done_fn *done,
                                        void *asker,
                                        struct token_ask **out_ask);

/* The same with EVENT_SUB_GET_STATE. */
WH_MUST_CHECK enum wh_err state_ask_new(struct engine *engine,
                                        struct wh_sub *sub,
                                        state_done_fn *done,
                                        void *asker,
                                        struct token_ask **out_ask);
void token_ask_drop(struct token_ask *ask); /* the answer is not wanted any more; NULL is fine */

/*
 * For whoever runs callbacks, right before get_token or get_state: the request, which belongs to
 * the program from now on and keeps the client in memory until it is answered.
 */
struct wh_token_request *token_request_take(struct event *event);
struct wh_state_request *state_request_take(struct event *event);

/* event_free: nobody was asked. */
void token_ask_unref(struct token_ask *ask);

#endif
