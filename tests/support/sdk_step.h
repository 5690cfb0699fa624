/*
 * What a program does in a transcript of the SDK's engine: {"do":VERB,…,"err":"WH_OK"}.
 *
 *   connect, disconnect, reconnect_now, close, batch_begin, batch_end, pong, too_big
 *   set_token (token), cancel (name)
 *   token_ok (token), token_unauthorized, token_error (text)   answer the oldest request, of the
 *   state_ok (offset, epoch), state_error (text)               client or of a subscription
 * with a channel:
 *   new_sub      token, data, positioned, recoverable, join_leave, delta, since {offset, epoch},
 *                filter (as the protocol writes it), min_resubscribe_ms, max_resubscribe_ms;
 *                get_token, get_state: the program is asked; user: there is one to be freed
 *   subscribe    makes the subscription first, as new_sub does, where there is none
 *   unsubscribe, free_sub, set_sub_token (token), set_filter (filter)
 */
#ifndef WH_TEST_SDK_STEP_H
#define WH_TEST_SDK_STEP_H

#include "tests/support/fake_sdk.h"

/* false = no such verb.  What there is nothing to do for (no request waits: memory failed) is done
 * at once. */
bool sdk_step_do(struct fake_sdk *fake, const json_t *step, enum wh_err *out_err);

/* The subscription to the step's channel; NULL = none. */
struct wh_sub *sdk_step_sub(struct fake_sdk *fake, const json_t *step);

#endif
