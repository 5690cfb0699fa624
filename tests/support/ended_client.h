/*
 * A client that is going to be ended, with all that its callbacks were told: tests/unit/client-sdk/
 * shell/test_ends.c.  Callbacks claim order, codes, and that nothing comes after the end.
 *
 * Threads: one program thread; what callbacks share with it before the end is atomic.
 */
#ifndef WH_TEST_ENDED_CLIENT_H
#define WH_TEST_ENDED_CLIENT_H

#include "tests/support/stalling_peer.h"

#include <wirehub/wirehub.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { PATIENCE_MS = 600 * 1000, SUBS = 6, CALLS = 16 };

/* For callbacks: cmocka knows its test by thread. */
#define CLAIM(claim)                                                                               \
    do {                                                                                           \
        if (!(claim)) {                                                                            \
            fprintf(stderr, "%s:%d: false: %s (%s)\n", __FILE__, __LINE__, #claim, cell_name);     \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

extern char cell_name[128]; /* of the one that runs */

struct place;
struct cell;

struct ended { /* a call or a subscription */
    struct cell *cell;
    struct wh_sub *sub;
    bool is_begun;
    int told, ends, user_frees; /* told: 0 = down, 1 = on the way, 2 = up */
};

struct cell {
    const struct place *place;
    enum wh_mode mode;
    struct wh_runtime *runtime;
    struct wh_client *client;
    struct stalling_peer peer;
    struct full_listener full;
    int refusing; /* bound, but nobody listens */
    struct ended subs[SUBS], calls[CALLS];
    size_t call_count;
    struct wh_token_request *requests[2]; /* of the client, of a subscription */
    struct wh_state_request *state_request;
    _Atomic bool has_request, has_sub_request, has_state_request;
    _Atomic bool is_connecting, is_connected, has_failed, has_sub_failed, is_up, is_blocked;
    _Atomic bool is_ending, is_muted, is_over, is_done;
    bool was_freed_inside;
    int told, user_frees;
    _Atomic bool is_gate_shut; /* the callback of a publication blocks */
};

/* All callbacks but get_token; cell_get_token is that.  `user` is the cell. */
extern const struct wh_client_events cell_events;
void cell_get_token(struct wh_client *client, struct wh_token_request *request, void *user);
void cell_user_free(void *user);
void cell_done(void *user); /* of wh_client_close */

/* Subscribe; "idle" is only made, "token" and "state" ask for theirs. */
void cell_subscribe(struct cell *cell, size_t i, const char *channel);

/* Each call that there is; one of them without a callback. */
void cell_call_all(struct cell *cell);
void cell_sub_call_all(struct cell *cell, struct wh_sub *sub);

/* After the end: everything was told it, once. */
void cell_claim_ends(const struct cell *cell);

/* Answer the questions of a client that is no more. */
void cell_answer_late(struct cell *cell);

#endif
