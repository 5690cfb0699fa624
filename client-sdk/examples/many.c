/*
 * many URL CHANNEL COUNT: that many clients in one process, on one runtime: two threads, however
 * many they are.  A small load generator; counts what all of them hear until SIGINT.
 */
#include <wirehub/wirehub.h>

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

struct counts {
    _Atomic unsigned long long connected, subscribed, publications;
};

static void on_connected(struct wh_client *client, const struct wh_connected *event, void *user)
{
    (void)client;
    (void)event;
    struct counts *counts = user;
    counts->connected++;
}

static void on_subscribed(struct wh_sub *sub, const struct wh_subscribed *event, void *user)
{
    (void)sub;
    (void)event;
    struct counts *counts = user;
    counts->subscribed++;
}

static void on_publication(struct wh_sub *sub, const struct wh_publication *event, void *user)
{
    (void)sub;
    (void)event;
    struct counts *counts = user;
    counts->publications++;
}

static enum wh_err start(struct wh_runtime *runtime,
                         const char *url,
                         const char *channel,
                         struct counts *counts,
                         struct wh_client **out_client)
{
    static const struct wh_client_events events = {WH_CLIENT_EVENTS_INIT,
                                                   .connected = on_connected};
    static const struct wh_sub_events sub_events = {WH_SUB_EVENTS_INIT, .subscribed = on_subscribed,
                                                    .publication = on_publication};
    struct wh_client_options options = WH_CLIENT_OPTIONS_INIT;
    options.url = url;
    options.events = &events;
    options.user = counts;
    options.runtime = runtime;
    struct wh_sub_options sub_options = WH_SUB_OPTIONS_INIT;
    sub_options.events = &sub_events;
    sub_options.user = counts;
    struct wh_sub *sub;
    struct wh_error detail;
    enum wh_err err = wh_client_new(&options, out_client, &detail);
    if (err) {
        fprintf(stderr, "%s\n", detail.text);
        return err;
    }
    err = wh_sub_new(*out_client, channel, &sub_options, &sub, &detail);
    if (!err)
        err = wh_sub_subscribe(sub);
    if (!err)
        err = wh_client_connect(*out_client);
    return err;
}

/* Once a second, until SIGINT or SIGTERM. */
static void report(const sigset_t *signals, const struct counts *counts)
{
    const struct timespec second = {.tv_sec = 1};
    while (sigtimedwait(signals, NULL, &second) < 0) {
        printf("connected %llu, subscribed %llu, publications %llu\n", counts->connected,
               counts->subscribed, counts->publications);
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    static struct counts counts;
    size_t count = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
    if (count == 0) {
        fprintf(stderr, "usage: many URL CHANNEL COUNT\n");
        return 2;
    }
    struct rlimit files; /* one descriptor each, and a few */
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);

    struct wh_runtime *runtime;
    struct wh_error detail;
    struct wh_client **clients = calloc(count, sizeof(struct wh_client *));
    if (!clients || wh_runtime_new(NULL, &runtime, &detail)) {
        free(clients);
        return 1;
    }
    enum wh_err err = WH_OK;
    for (size_t i = 0; i < count && !err; i++)
        err = start(runtime, argv[1], argv[2], &counts, &clients[i]);
    if (err)
        fprintf(stderr, "%s\n", wh_err_text(err));
    else
        report(&signals, &counts);
    for (size_t i = 0; i < count; i++)
        wh_client_free(clients[i]);
    wh_runtime_free(runtime);
    free(clients);
    return err ? 1 : 0;
}
