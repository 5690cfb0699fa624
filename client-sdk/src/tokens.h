/*
 * Questions to the program that are answered later: tokens, and the state of a
 * channel.  A question outlives whoever asked; only the first answer to a living
 * one counts, and none within token_timeout_ms is answer enough.
 */
#ifndef WH_SDK_TOKENS_H
#define WH_SDK_TOKENS_H

#include "client-sdk/src/engine.h"

enum token_answer { TOKEN_OK, TOKEN_UNAUTHORIZED, TOKEN_ERROR, TOKEN_TIMEOUT };

/* Under the engine's lock, for the question that is still open.  `text`: the token, or the error.
 */
typedef void token_done_fn(void *asker, enum token_answer answer, struct wh_slice text);

/* Queue an EVENT_GET_TOKEN (`sub` NULL) or EVENT_SUB_GET_TOKEN; `done` runs at most once, never
 * inside.  WH_ENOMEM. */
WH_MUST_CHECK enum wh_err token_ask_new(struct engine *engine,
                                        struct wh_sub *sub,
                                        token_done_fn *done,
                                        void *asker,
                                        struct token_ask **out_ask);
void token_ask_drop(struct token_ask *ask); /* the answer is not wanted any more; NULL is fine */

#endif
