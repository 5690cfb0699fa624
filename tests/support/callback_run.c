/* See callback_run.h. */
#include "tests/support/callback_run.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct wh_publication *kept_publication;

static const struct run *running;

_Noreturn void claim_failed(const char *file, int line, const char *claim)
{
    fprintf(stderr, "%s:%d: false: %s (%s inside %s)\n", file, line, claim,
            running && running->act ? running->act->function : "what leaves things as they are",
            running ? running->scene->callback : "nothing");
    abort();
}

static void dispatch(struct wh_client *client, int wait_ms)
{
    struct pollfd fd = {.fd = wh_client_fd(client), .events = POLLIN};
    if (client && poll(&fd, 1, wait_ms) > 0)
        (void)wh_client_dispatch(client, 0);
}

static void turn(struct run *run)
{
    if (run->mode == WH_MODE_LOOP && run->runtime) {
        CLAIM(wh_runtime_run_once(run->runtime, 1) == WH_OK);
        return;
    }
    if (run->mode == WH_MODE_DISPATCH) {
        dispatch(run->asker, 0);
        dispatch(run->ending, 0);
        dispatch(run->client ? run->client : run->closing, 1);
    }
    if (run->mode == WH_MODE_THREADED || (!run->client && !run->closing))
        (void)poll(NULL, 0, 1);
}

void run_until(struct run *run, const _Atomic bool *is_true)
{
    while (!atomic_load(is_true))
        turn(run);
}

void run_enter(struct run *run, const char *callback)
{
    if (strcmp(run->scene->callback, callback) != 0 || atomic_exchange(&run->is_acting, true))
        return;
    for (size_t i = 0; i < act_count; i++) {
        if (acts[i].fn && (run->act ? run->act == &acts[i] : !acts[i].is_alone))
            acts[i].fn(run);
    }
    atomic_store(&run->has_acted, true);
}

void tally_free(void *tally)
{
    atomic_fetch_add(&((struct tally *)tally)->user_frees, 1);
}

void run_enter_own(struct run *run, const char *callback)
{
    CLAIM(!atomic_load(&run->is_freed));
    CLAIM(atomic_fetch_add(&run->inside, 1) == 0);
    run_enter(run, callback);
    CLAIM(atomic_fetch_sub(&run->inside, 1) == 1);
}

/* ---- after the act --------------------------------------------------------------------------- */

static void on_probe(struct wh_client *client,
                     const struct wh_error *error,
                     const struct wh_data *data,
                     void *user)
{
    struct run *run = user;
    (void)client;
    atomic_store(&run->probe, !error && data->ptr ? 2 : 3);
}

/* Whatever was called, the client and its callbacks go on. */
static void probe(struct run *run)
{
    CLAIM(wh_client_connect(run->client) == WH_OK);
    if (run->sub)
        CLAIM(wh_sub_subscribe(run->sub) == WH_OK);
    atomic_store(&run->probe, 1);
    CLAIM(wh_client_rpc(run->client, "echo", wh_json("1"), NULL, on_probe, run) == WH_OK);
    while (atomic_load(&run->probe) == 1)
        turn(run);
    CLAIM(atomic_load(&run->probe) == 2);
    CLAIM(wh_client_state(run->client) == WH_CLIENT_CONNECTED);
}

static bool is_client_over(struct run *run)
{
    return atomic_load(&run->user_frees) > 0;
}

/* Freed or closed by the act: without a word more from us. */
static void await_end(struct run *run)
{
    bool is_pumped = run->mode == WH_MODE_LOOP && !run->runtime;
    while (!is_client_over(run)) {
        CLAIM(!is_pumped); /* the turn in which the runtime went ended everything */
        turn(run);
    }
    while (run->has_closing && !atomic_load(&run->is_closed))
        turn(run);
}

static void claim_counts(struct run *run, bool was_freed_inside)
{
    CLAIM(atomic_load(&run->user_frees) == 1);
    CLAIM(atomic_load(&run->sub_user_frees) == 1);
    int begun = atomic_load(&run->calls.begun), ended = atomic_load(&run->calls.ended);
    CLAIM(atomic_load(&run->calls.user_frees) == begun);
    CLAIM(was_freed_inside ? ended <= begun : ended == begun);
    while (atomic_load(&run->extras.user_frees) < atomic_load(&run->extras.begun))
        turn(run);
    CLAIM(atomic_load(&run->extras.user_frees) == atomic_load(&run->extras.begun));
    while (atomic_load(&run->runtimes_done) < atomic_load(&run->runtimes_begun))
        turn(run);
    CLAIM(atomic_load(&run->runtimes_done) == atomic_load(&run->runtimes_begun));
}

void run_cell(struct run *run)
{
    running = run;
    bool has_asker = !run->act;
    if (has_asker)
        asker_open(run);
    scene_make_client(run);
    run->scene->begin(run);
    run_until(run, &run->has_acted);
    if (run->has_answerer)
        CLAIM(pthread_join(run->answerer, NULL) == 0);
    bool was_freed_inside = atomic_load(&run->is_freed);
    wh_call_free(run->call); /* may outlive its client */
    if (run->client) {
        probe(run);
        wh_client_free(run->client);
        run->client = NULL;
        atomic_store(&run->is_freed, true);
        CLAIM(is_client_over(run));
    } else {
        await_end(run);
    }
    if (run->has_ending)
        run_until(run, &run->is_ending_gone);
    if (has_asker)
        asker_close(run);
    claim_counts(run, was_freed_inside);
    running = NULL;
}
