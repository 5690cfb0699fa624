#include "tests/support/transport_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

struct service *service;
unsigned wakes;

void on_wake(void *user)
{
    (void)user;
    wakes++;
}

int fixture_setup(void **state)
{
    (void)state;
    const struct service_options options = {.loop = WH_LOOP_NONE, .on_wake = on_wake};
    struct wh_error detail = {.text = ""};
    if (service_new(&options, &service, &detail) != WH_OK)
        fail_msg("%s", detail.text);
    return 0;
}

int fixture_teardown(void **state)
{
    (void)state;
    service_free(service, NULL, NULL);
    return 0;
}

struct raw_peer *fixture_start(raw_script *script, void *user, struct wh_client *client)
{
    char url[64];
    struct raw_peer *peer = raw_peer_start(script, user, NULL);
    (void)snprintf(url, sizeof url, "ws://127.0.0.1:%u/connection/websocket?x=1",
                   raw_peer_port(peer));
    fake_client_init(client, service, url);
    return peer;
}

void fixture_stop(struct raw_peer *peer, struct wh_client *client)
{
    fake_client_deinit(client);
    raw_peer_stop(peer);
}

/* Until `*counter` is `wanted`. */
void fixture_pump(const unsigned *counter, unsigned wanted)
{
    time_t end = time(NULL) + FIXTURE_LIMIT_S;
    while (*counter < wanted) {
        service_run(service, 50);
        if (time(NULL) > end)
            fail_msg("waited too long");
    }
}

void fixture_pump_messages(const struct wh_client *client, size_t wanted)
{
    time_t end = time(NULL) + FIXTURE_LIMIT_S;
    while (client->message_count < wanted) {
        service_run(service, 50);
        if (client->closed || time(NULL) > end)
            fail_msg("closed, or waited too long: %s", client->error.text);
    }
}

void assert_says(const struct wh_client *client, const char *part)
{
    if (!strstr(client->error.text, part))
        fail_msg("\"%s\" does not say \"%s\"", client->error.text, part);
}

void save_and_echo(struct raw_stream *stream, void *user)
{
    struct saved_request *saved = user;
    if (!raw_read_request(stream))
        return;
    if (saved)
        memcpy(saved->text, stream->request, sizeof saved->text);
    if (raw_upgrade(stream, NULL))
        raw_echo(stream);
}

void text_script(struct raw_stream *stream, void *user)
{
    if (raw_read_request(stream))
        (void)raw_write_text(stream, user);
}

void wait_script(struct raw_stream *stream, void *user)
{
    (void)user;
    raw_wait_end(stream);
}
