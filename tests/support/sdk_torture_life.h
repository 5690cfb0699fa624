/*
 * One life of sdk_torture.h: what it has made, what its callbacks have noted.  sdk_torture.c does
 * what a program does and judges, sdk_torture_events.c has the callbacks.
 */
#ifndef WH_TEST_SDK_TORTURE_LIFE_H
#define WH_TEST_SDK_TORTURE_LIFE_H

#include "sdk_torture.h"

#include <stdatomic.h>

enum { CALLS_MAX = 48 };

/* cmocka knows its test by thread, and callbacks run on others: a word, and the end. */
_Noreturn void torture_claim_failed(const char *file, int line, const char *claim);
#define CLAIM(claim)                                                                               \
    do {                                                                                           \
        if (!(claim))                                                                              \
            torture_claim_failed(__FILE__, __LINE__, #claim);                                      \
    } while (0)

struct life;

/* One asynchronous call. */
struct call_note {
    struct life *life;
    bool is_started;
    _Atomic bool is_canceled;
    _Atomic unsigned ends, frees;
    struct wh_call *handle;
};

struct sub_note {
    struct life *life;
    const char *channel;
    struct wh_sub *sub;
    bool is_told;         /* an event has come */
    bool is_unsubscribed; /* the last of them was that */
    unsigned made;
    _Atomic unsigned frees;
};

struct life {
    struct torture torture;
    struct wh_runtime *runtime;
    struct wh_client *client;
    unsigned clients_made;
    _Atomic unsigned client_frees, closes;
    _Atomic int inside;
    _Atomic int last_event; /* enum wh_client_state of the latest transition; −1 = none */
    struct sub_note subs[3];
    struct call_note calls[CALLS_MAX];
    size_t call_count;
    const struct wh_publication *kept;
};

/* WH_OK, or the allocation that failed: whether it is the former. */
bool torture_is_made(enum wh_err err);

/* … or what a client says that failed in something earlier. */
bool torture_is_done(enum wh_err err);

/* With these get_token is answered at once; get_state in the second. */
extern const struct wh_client_events torture_events;
extern const struct wh_sub_events torture_sub_events, torture_state_events;

/* `user`: the life, the note of the subscription, the note of the call. */
void torture_on_user_free(void *user);
void torture_on_closed(void *user);
void torture_on_sub_user_free(void *user);
void torture_on_done(struct wh_client *c, const struct wh_error *error, void *user);
void torture_on_rpc(struct wh_client *c,
                    const struct wh_error *error,
                    const struct wh_data *data,
                    void *user);
void torture_on_history(struct wh_client *c,
                        const struct wh_error *error,
                        const struct wh_history *history,
                        void *user);
void torture_on_presence(struct wh_client *c,
                         const struct wh_error *error,
                         const struct wh_presence *presence,
                         void *user);
void torture_on_stats(struct wh_client *c,
                      const struct wh_error *error,
                      const struct wh_presence_stats *stats,
                      void *user);
void torture_on_call_user_free(void *user);

#endif
