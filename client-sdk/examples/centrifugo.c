/*
 * centrifugo URL CHANNEL: the same library against an unmodified Centrifugo, in the Protobuf that
 * its other SDKs speak.
 *
 *     centrifugo ws://localhost:8000/connection/websocket news:sports
 *
 * WIREHUB_TOKEN is the connection JWT; CHANNEL is in a namespace of the server's configuration; if
 * that keeps history, what was missed while the connection was away is recovered.
 */
#include <wirehub/wirehub.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static void on_connected(struct wh_client *client, const struct wh_connected *event, void *user)
{
    (void)client;
    (void)user;
    fprintf(stderr, "connected to %s %s as %s\n", event->transport, event->version, event->client);
}

static void on_disconnected(struct wh_client *client, const struct wh_transition *why, void *user)
{
    (void)client;
    (void)user;
    fprintf(stderr, "the server ended it: %u %s\n", why->code, why->reason);
    raise(SIGTERM);
}

static void on_subscribed(struct wh_sub *sub, const struct wh_subscribed *event, void *user)
{
    (void)user;
    fprintf(stderr, "subscribed to %s%s\n", wh_sub_channel(sub),
            event->recovered            ? ", nothing was missed"
            : wh_subscribed_lost(event) ? ", something WAS missed"
                                        : "");
}

static void on_unsubscribed(struct wh_sub *sub, const struct wh_transition *why, void *user)
{
    (void)user;
    fprintf(stderr, "%s is not for us: %u %s\n", wh_sub_channel(sub), why->code, why->reason);
    raise(SIGTERM);
}

static void on_publication(struct wh_sub *sub, const struct wh_publication *pub, void *user)
{
    (void)sub;
    (void)user;
    printf("%.*s\n", (int)pub->data.len, (const char *)pub->data.ptr);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: centrifugo URL CHANNEL\n");
        return 2;
    }
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);

    const struct wh_client_events events = {WH_CLIENT_EVENTS_INIT, .connected = on_connected,
                                            .disconnected = on_disconnected};
    const struct wh_sub_events sub_events = {WH_SUB_EVENTS_INIT, .subscribed = on_subscribed,
                                             .unsubscribed = on_unsubscribed,
                                             .publication = on_publication};
    struct wh_client_options options = WH_CLIENT_OPTIONS_INIT;
    options.encoding = WH_ENCODING_PROTOBUF;
    options.token = getenv("WIREHUB_TOKEN");
    options.events = &events;
    struct wh_sub_options sub_options = WH_SUB_OPTIONS_INIT;
    sub_options.events = &sub_events;

    struct wh_client *client = wh_client_open(argv[1], &options);
    struct wh_sub *sub;
    if (!client || wh_sub_new(client, argv[2], &sub_options, &sub, NULL) || wh_sub_subscribe(sub)) {
        fprintf(stderr, "no client: WIREHUB_LOG=info says why\n");
        return 1;
    }
    int signal_number;
    sigwait(&signals, &signal_number);
    wh_client_free(client);
    return 0;
}
