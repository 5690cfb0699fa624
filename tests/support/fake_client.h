/*
 * What the transport sees of the SDK, without the SDK: an engine that only writes down what it is
 * told, and the shell's lock around it.  Takes the place of engine.c, event.c and client.c in the
 * program that links it.  One thread.
 */
#ifndef WH_TEST_FAKE_CLIENT_H
#define WH_TEST_FAKE_CLIENT_H

#include "client-sdk/src/service.h"
#include "client-sdk/src/shell.h"

enum { FAKE_MESSAGES_MAX = 64, FAKE_FRAMES_MAX = 64 };

struct wh_client {
    struct engine engine; /* zeroed, but for `encoding` */
    struct settings settings;
    struct service *service;
    struct transport *transport;
    bool is_locked;
    bool is_paused;      /* fake_set_reading */
    uint32_t connection; /* number of the last one opened */

    unsigned opened, closed, too_big, pongs;
    enum wh_encoding encoding;
    uint32_t code;
    char reason[128];
    struct wh_error error; /* of the last close; err WH_OK = none was given */
    uint32_t rtt_us;
    struct message *messages[FAKE_MESSAGES_MAX];
    size_t message_count;

    const char *frames[FAKE_FRAMES_MAX]; /* to be sent */
    size_t frame_len[FAKE_FRAMES_MAX];
    size_t frame_count, frames_taken;

    void (*on_unlock)(struct wh_client *client); /* as the shell drives the transport there */
};

/* Settings with defaults and one URL; fails the test when the URL is none. */
void fake_client_init(struct wh_client *client, struct service *service, const char *url);
void fake_client_deinit(struct wh_client *client);

void fake_open(struct wh_client *client);
void fake_close(struct wh_client *client, uint16_t code, const char *reason);
/* `text` is borrowed. */
void fake_send(struct wh_client *client, const char *text, size_t len);
void fake_set_reading(struct wh_client *client, bool is_reading);
void fake_free_transport(struct wh_client *client); /* no call may come after it */

#endif
