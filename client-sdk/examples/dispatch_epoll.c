/*
 * dispatch_epoll URL CHANNEL: callbacks in your own thread, beside whatever else your epoll loop
 * waits for; here stdin, whose lines are published.
 *
 * The library does its I/O in a thread of its own; the descriptor is the same for the whole life of
 * the client, whatever happens to its connections.
 */
#include <wirehub/wirehub.h>

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 4096 };

static void on_publication(struct wh_sub *sub, const struct wh_publication *pub, void *user)
{
    (void)user;
    printf("%s: %.*s\n", wh_sub_channel(sub), (int)pub->data.len, (const char *)pub->data.ptr);
    fflush(stdout);
}

static void on_published(struct wh_client *client, const struct wh_error *error, void *user)
{
    (void)client;
    (void)user;
    if (error)
        fprintf(stderr, "not published: %s\n", error->text);
}

/* False at the end of stdin. */
static bool publish_line(struct wh_sub *sub)
{
    char line[LINE_MAX_BYTES];
    if (!fgets(line, sizeof line, stdin))
        return false;
    line[strcspn(line, "\n")] = '\0';
    enum wh_err err = wh_sub_publish(sub, wh_json(line), NULL, on_published, NULL);
    if (err)
        fprintf(stderr, "not published: %s\n", wh_err_text(err));
    return true;
}

static void watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: dispatch_epoll URL CHANNEL\n");
        return 2;
    }
    struct wh_runtime_options runtime_options = WH_RUNTIME_OPTIONS_INIT;
    runtime_options.mode = WH_MODE_DISPATCH;
    struct wh_error detail;
    struct wh_runtime *runtime;
    if (wh_runtime_new(&runtime_options, &runtime, &detail)) {
        fprintf(stderr, "%s\n", detail.text);
        return 1;
    }
    struct wh_client_options options = WH_CLIENT_OPTIONS_INIT;
    options.runtime = runtime;
    struct wh_client *client = wh_client_open(argv[1], &options);
    struct wh_sub *sub = client ? wh_client_subscribe(client, argv[2], on_publication, NULL) : NULL;
    if (!sub) {
        fprintf(stderr, "no client: WIREHUB_LOG=info says why\n");
        return 1;
    }
    setvbuf(stdin, NULL, _IONBF, 0); /* a line that stdio has swallowed would not wake epoll */
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(epoll, STDIN_FILENO);
    watch(epoll, wh_client_fd(client));
    for (bool is_running = true; is_running;) {
        struct epoll_event event;
        if (epoll_wait(epoll, &event, 1, -1) != 1)
            continue;
        if (event.data.fd == STDIN_FILENO)
            is_running = publish_line(sub);
        else
            wh_client_dispatch(client, 64); /* at most so many, then the others have their turn */
    }
    close(epoll);
    wh_client_free(client);
    wh_runtime_free(runtime);
    return 0;
}
