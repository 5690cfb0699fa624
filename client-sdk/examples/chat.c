/*
 * chat URL ROOM: who is here, who comes and goes, and what they say.  Type to talk; Ctrl-D leaves.
 *
 * The channel needs presence, join_leave and publishing for subscribers; names are those of the
 * tokens (WIREHUB_TOKEN).
 */
#include <wirehub/wirehub.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_BYTES = 1024 };

static const char *name_of(const struct wh_client_info *info)
{
    return info && info->user[0] ? info->user : "somebody";
}

static void on_present(struct wh_client *client,
                       const struct wh_error *error,
                       const struct wh_presence *presence,
                       void *user)
{
    (void)client;
    (void)user;
    if (error) {
        fprintf(stderr, "who is here? %s\n", error->text);
        return;
    }
    printf("* here:");
    for (size_t i = 0; i < presence->count; i++)
        printf(" %s", name_of(&presence->clients[i]));
    printf("\n");
    fflush(stdout);
}

static void on_subscribed(struct wh_sub *sub, const struct wh_subscribed *subscribed, void *user)
{
    (void)subscribed;
    (void)user;
    (void)wh_sub_presence(sub, NULL, on_present, NULL);
}

static void on_join(struct wh_sub *sub, const struct wh_client_info *info, void *user)
{
    (void)sub;
    (void)user;
    printf("* %s came\n", name_of(info));
    fflush(stdout);
}

static void on_leave(struct wh_sub *sub, const struct wh_client_info *info, void *user)
{
    (void)sub;
    (void)user;
    printf("* %s left\n", name_of(info));
    fflush(stdout);
}

static void on_message(struct wh_sub *sub, const struct wh_publication *pub, void *user)
{
    (void)sub;
    (void)user;
    printf("%s: %.*s\n", name_of(pub->info), (int)pub->data.len, (const char *)pub->data.ptr);
    fflush(stdout);
}

static void on_error(struct wh_sub *sub, const struct wh_error *error, void *user)
{
    (void)user;
    fprintf(stderr, "%s: %s\n", wh_sub_channel(sub), error->text);
}

static void on_unsubscribed(struct wh_sub *sub, const struct wh_transition *why, void *user)
{
    (void)user;
    fprintf(stderr, "%s: not admitted any more: %u %s\n", wh_sub_channel(sub), why->code,
            why->reason);
}

/* A line of text as a JSON string; what would need more than an escape is replaced. */
static void quote(const char *line, char *out)
{
    *out++ = '"';
    for (; *line && *line != '\n'; line++) {
        if (*line == '"' || *line == '\\')
            *out++ = '\\';
        *out++ = (unsigned char)*line < ' ' ? ' ' : *line;
    }
    *out++ = '"';
    *out = '\0';
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: chat URL ROOM\n");
        return 2;
    }
    struct wh_client_options options = WH_CLIENT_OPTIONS_INIT;
    options.token = getenv("WIREHUB_TOKEN");
    struct wh_client *client = wh_client_open(argv[1], &options);
    const struct wh_sub_events events = {WH_SUB_EVENTS_INIT,
                                         .subscribed = on_subscribed,
                                         .unsubscribed = on_unsubscribed,
                                         .publication = on_message,
                                         .join = on_join,
                                         .leave = on_leave,
                                         .error = on_error};
    struct wh_sub_options sub_options = WH_SUB_OPTIONS_INIT;
    sub_options.join_leave = true;
    sub_options.events = &events;
    struct wh_sub *sub;
    struct wh_error detail;
    if (!client || wh_sub_new(client, argv[2], &sub_options, &sub, &detail) ||
        wh_sub_subscribe(sub)) {
        fprintf(stderr, "no chat: WIREHUB_LOG=info says why\n");
        return 1;
    }
    char line[LINE_MAX_BYTES], json[2 * LINE_MAX_BYTES + 3];
    while (fgets(line, sizeof line, stdin)) {
        quote(line, json);
        enum wh_err err = wh_client_publish_sync(client, argv[2], wh_json(json), 0, &detail);
        if (err)
            fprintf(stderr, "not said: %s\n", detail.text);
    }
    wh_client_free(client);
    return 0;
}
