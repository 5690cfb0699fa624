/* Prints every publication in "news". */
#include <wirehub/wirehub.h>

#include <stdio.h>
#include <unistd.h>

static void on_publication(struct wh_sub *sub, const struct wh_publication *pub, void *user)
{
    (void)sub, (void)user;
    printf("%.*s\n", (int)pub->data.len, (const char *)pub->data.ptr);
}

int main(void)
{
    struct wh_client *client = wh_client_open("ws://localhost:8000/connection/websocket", NULL);
    if (!client || !wh_client_subscribe(client, "news", on_publication, NULL))
        return 1;
    pause();
}
