/*
 * What the tests of the transport share: a pumped service, scripts for the server, and waiting.
 */
#ifndef WH_TEST_TRANSPORT_FIXTURE_H
#define WH_TEST_TRANSPORT_FIXTURE_H

#include "tests/support/fake_client.h"
#include "tests/support/raw_peer.h"

enum { FIXTURE_LIMIT_S = 30 /* nothing that works takes so long */ };

extern struct service *service;
extern unsigned wakes; /* how often on_wake ran */

int fixture_setup(void **state);
int fixture_teardown(void **state);

/* A server with this script, and a client that is to connect to it. */
struct raw_peer *fixture_start(raw_script *script, void *user, struct wh_client *client);
void fixture_stop(struct raw_peer *peer, struct wh_client *client);

/* Run the service until `*counter` is `wanted`; fail the test when that takes too long. */
void fixture_pump(const unsigned *counter, unsigned wanted);
void fixture_pump_messages(const struct wh_client *client, size_t wanted);
void assert_says(const struct wh_client *client, const char *part);
void on_wake(void *user);

/* Scripts.  `user`: where to save the request, or NULL. */
struct saved_request {
    char text[8192];
};

void save_and_echo(struct raw_stream *stream, void *user);
void text_script(struct raw_stream *stream, void *user); /* `user` is the answer */
void wait_script(struct raw_stream *stream, void *user);

#endif
