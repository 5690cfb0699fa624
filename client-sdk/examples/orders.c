/*
 * orders URL USER: a live list of one user's orders that survives token expiry, lost connections
 * and servers that restart.
 *
 *     TOKEN_COMMAND='wh gen-token --secret-file secret --user 42 --ttl 10m' \
 *         orders ws://localhost:8000/connection/websocket 42
 *
 * It shows the three things that a program of this kind must do and that are easily forgotten: get
 * a fresh token whenever one is asked for, keep the position, and load everything anew when the
 * server says that something was missed for good.
 */
#include <wirehub/wirehub.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Stands for the database that has all orders. */
static void load_all_orders(void)
{
    printf("(all orders loaded from the database)\n");
}

/* Runs on the callback thread: while this command takes its time, events wait and nothing is lost.
 */
static void on_get_token(struct wh_client *client, struct wh_token_request *request, void *user)
{
    (void)client;
    (void)user;
    char token[4096] = "";
    /* Whoever starts the program says what is run.  NOLINTNEXTLINE(cert-env33-c) */
    FILE *command = popen(getenv("TOKEN_COMMAND"), "r");
    if (!command || !fgets(token, sizeof token, command))
        token[0] = '\0';
    int status = command ? pclose(command) : -1;
    token[strcspn(token, "\n")] = '\0';
    if (status != 0)
        wh_token_error(request, "TOKEN_COMMAND failed"); /* will be asked again */
    else if (token[0] == '\0')
        wh_token_unauthorized(request); /* final */
    else
        wh_token_ok(request, token);
}

static void on_subscribed(struct wh_sub *sub, const struct wh_subscribed *subscribed, void *user)
{
    (void)user;
    if (wh_subscribed_lost(subscribed)) {
        printf("%s: something was missed for good\n", wh_sub_channel(sub));
        load_all_orders();
    } else if (subscribed->was_recovering) {
        printf("%s: everything missed comes now\n", wh_sub_channel(sub));
    } else {
        load_all_orders();
    }
    fflush(stdout);
}

static void on_order(struct wh_sub *sub, const struct wh_publication *publication, void *user)
{
    (void)sub;
    (void)user;
    printf("#%llu %.*s\n", (unsigned long long)publication->offset, (int)publication->data.len,
           (const char *)publication->data.ptr);
    fflush(stdout);
}

static void on_transition(struct wh_client *client, const struct wh_transition *why, void *user)
{
    (void)user;
    fprintf(stderr, "%s: %u %s\n", wh_client_state_name(wh_client_state(client)), why->code,
            why->reason);
}

static void on_error(struct wh_client *client, const struct wh_error *error, void *user)
{
    (void)client;
    (void)user;
    fprintf(stderr, "%s\n", error->text);
}

int main(int argc, char **argv)
{
    if (argc != 3 || !getenv("TOKEN_COMMAND")) {
        fprintf(stderr, "usage: TOKEN_COMMAND=… orders URL USER\n");
        return 2;
    }
    sigset_t signals; /* blocked before the library starts its threads */
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);

    const struct wh_client_events events = {WH_CLIENT_EVENTS_INIT, .connecting = on_transition,
                                            .disconnected = on_transition, .error = on_error,
                                            .get_token = on_get_token};
    const struct wh_sub_events sub_events = {WH_SUB_EVENTS_INIT, .subscribed = on_subscribed,
                                             .publication = on_order};
    struct wh_client_options options = WH_CLIENT_OPTIONS_INIT;
    options.url = argv[1];
    options.events = &events;
    struct wh_sub_options sub_options = WH_SUB_OPTIONS_INIT;
    sub_options.recoverable = true;
    sub_options.events = &sub_events;

    char channel[256];
    snprintf(channel, sizeof channel, "orders:live#%s", argv[2]);
    struct wh_client *client = NULL;
    struct wh_sub *sub;
    struct wh_error detail = {0};
    enum wh_err err = wh_client_new(&options, &client, &detail);
    if (!err)
        err = wh_sub_new(client, channel, &sub_options, &sub, &detail);
    if (!err)
        err = wh_sub_subscribe(sub);
    if (!err)
        err = wh_client_connect(client);
    if (err) {
        fprintf(stderr, "%s: %s\n", wh_err_text(err), detail.text);
        wh_client_free(client);
        return 1;
    }
    int signal_number;
    sigwait(&signals, &signal_number);
    wh_client_free(client);
    return 0;
}
