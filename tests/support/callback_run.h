/*
 * One cell of "every public function inside every callback": a client and a
 * subscription on fake_service.h, a way to make one callback come, and the
 * functions that are called in it, each judged by what the headers promise.
 *
 *     struct run run = {.runtime = …, .mode = …, .scene = &scenes[i], .act = &acts[j]};
 *     run_cell(&run);
 *
 * Claims that fail end the process: cmocka knows its test by thread, and callbacks come on others.
 * Threads: run_cell on one; what callbacks share with it is atomic.
 */
#ifndef WH_TEST_CALLBACK_RUN_H
#define WH_TEST_CALLBACK_RUN_H

#include <wirehub/wirehub.h>

#include <pthread.h>
#include <stdatomic.h>

#define CLAIM(claim)                                                                               \
    do {                                                                                           \
        if (!(claim))                                                                              \
            claim_failed(__FILE__, __LINE__, #claim);                                              \
    } while (0)

_Noreturn void claim_failed(const char *file, int line, const char *claim);

/* Where the client is while the callback runs, and where it can get without another callback. */
enum client_phase {
    CLIENT_COMING, /* CONNECTING or CONNECTED: it gets there by itself */
    CLIENT_UP,
    CLIENT_WAITS, /* CONNECTING, until a callback behind this one gives a token */
    CLIENT_DOWN
};

enum sub_phase { SUB_COMING, SUB_UP, SUB_WAITS, SUB_DOWN };

struct run;

/* A callback of the headers and what makes it come. */
struct scene {
    const char *callback;           /* "client.connecting", "sub.join", "wh_rpc_cb", …: unique */
    void (*begin)(struct run *run); /* the last that it calls brings the callback: the client may be
                                       gone before that call has returned */
    enum client_phase client;
    enum sub_phase sub;
    bool asks_token, sub_asks_token, asks_state; /* these are set */
    bool is_answer_elsewhere; /* the request is answered on another thread, during the act */
};

/* Acts that leave things as they are run together, in one cell. */
struct act {
    const char *function; /* as the headers have it */
    void (*fn)(struct run *run);
    bool is_alone;      /* it changes a state, or ends something */
    const char *reason; /* why there is no `fn` */
};

extern const struct scene scenes[];
extern const size_t scene_count;
extern const struct act acts[]; /* one row per public function */
extern const size_t act_count;

enum { ASK_TOKEN_OK, ASK_TOKEN_UNAUTHORIZED, ASK_TOKEN_ERROR, ASK_STATE_OK, ASK_STATE_ERROR, ASKS };

struct tally {
    _Atomic int begun, ended, user_frees;
};

struct run {
    enum wh_mode mode;
    struct wh_runtime *runtime; /* NULL after the act gave it back */
    bool is_runtime_own;        /* … which it may: the cell has its own */
    const struct scene *scene;
    const struct act *act; /* NULL = all that are not alone */

    struct wh_client *client;
    struct wh_sub *sub;
    struct wh_client *closing; /* by the act, until `done` */
    bool has_closing;
    struct wh_call *call; /* of the scene */
    _Atomic bool is_acting, has_acted, is_freed, is_closed;
    bool is_answered_once; /* client.error, sub.error: the first answer was an error */
    _Atomic int inside, user_frees, sub_user_frees;
    int told, sub_told; /* the state that events told last: 0 = down, 1 = on the way, 2 = up */
    int last_publication;
    _Atomic bool is_connected;
    _Atomic bool is_up; /* connected, subscribed, and its publication came */
    struct tally calls, extras;
    _Atomic int runtimes_begun, runtimes_done;
    _Atomic int probe; /* 0 = none; 1 = asked; 2 = answered; 3 = failed */
    pthread_t answerer;
    bool has_answerer;

    /* Another client, with questions that wait for an answer from anywhere. */
    struct wh_client *asker;
    struct wh_token_request *token_requests[ASKS];
    struct wh_state_request *state_requests[ASKS];
    _Atomic bool has_asked[ASKS], is_settled[ASKS];
    _Atomic bool is_asker_gone;

    /* And one that only ends. */
    struct wh_client *ending; /* NULL when it has */
    bool has_ending;
    _Atomic bool is_ending_gone;
};

/* Everything from the client's birth to its end, with every claim. */
void run_cell(struct run *run);

/* Turn what the mode has to turn, until. */
void run_until(struct run *run, const _Atomic bool *is_true);

/* For callbacks: act if this is the scene's.  `own`: of the client itself, whose callbacks come one
 * after another and not after it was freed. */
void run_enter(struct run *run, const char *callback);
void run_enter_own(struct run *run, const char *callback);

/* A user_free that counts. */
void tally_free(void *tally);

/* callback_asker.c */
void asker_open(struct run *run);
void asker_close(struct run *run); /* claims that each answer had its effect */

/* callback_scenes.c */
void scene_make_client(struct run *run);

/* A publication of a client that is gone, kept by reference. */
extern const struct wh_publication *kept_publication;

#endif
