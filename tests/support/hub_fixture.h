/*
 * A node with fake clients, a fake broker and a clock that stands still: whatever happens, happens
 * because the test said so.
 *
 *     struct hub hub;
 *     hub_start(&hub, "--client.queue_max_size=1000", NULL);
 *     struct fake_transport *ann = hub_connect(&hub, WH_ENCODING_JSON);
 *     client_send(ann, "{\"id\":2,\"subscribe\":{\"channel\":\"news\"}}");
 *     client_expect(ann, "{\"id\":2,\"subscribe\":{}}");
 *     hub_stop(&hub);
 *
 * hub_stop fails the test if anything is left over: a session, a channel, a queued byte.
 */
#ifndef TESTS_SUPPORT_HUB_FIXTURE_H
#define TESTS_SUPPORT_HUB_FIXTURE_H

#include "fake_broker.h"
#include "fake_transport.h"
#include "hub/node.h"

/* cmocka.h wants its four headers first; whoever has this one needs nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT(array)     (sizeof(array) / sizeof((array)[0]))
#define HUB_SECRET       "a secret of the unit tests, long enough for all"
#define HUB_WALL_START_S INT64_C(1700000000)

struct hub {
    struct wh_loop loop;
    struct config *config;
    struct metrics_shared *shared;
    struct metrics *metrics;
    struct node node;
    struct fake_broker *broker;
    struct wh_list clients; /* struct fake_transport */
    bool is_closed;
};

/* Anonymous clients may do everything in channels without namespace; further options as flags,
 * "--client.ping_interval=5s", NULL at the end. */
void hub_start(struct hub *hub, ...);
void hub_stop(struct hub *hub);

/* The same on the memory broker; `hub->broker` is NULL.  And a publication that goes into the
 * stream of its channel, with the turn that it needs. */
void hub_start_with_streams(struct hub *hub, ...);
void hub_publish(struct hub *hub, const char *channel, const struct wh_pub *pub);

/* A config as hub_start makes it, for reloads. */
struct config *hub_config(const char *const *flags);

/* Everything that is due, deferred or batched happens. */
void hub_turn(struct hub *hub);

/* Time passes, with a turn at every moment at which something is due. */
void hub_advance(struct hub *hub, uint64_t ms);
void hub_set_wall(struct hub *hub, int64_t wall_s);
int64_t hub_metric(const struct hub *hub, enum metric metric);

/* A client before its connect, and one after it. */
struct fake_transport *hub_open(struct hub *hub, enum wh_encoding encoding);
struct fake_transport *hub_connect(struct hub *hub, enum wh_encoding encoding);
struct fake_transport *hub_connect_as(struct hub *hub, const char *user); /* JSON, with a token */

/* A connection that said goodbye or was cut. */
void hub_cut(struct fake_transport *client);

/* A signed token; static storage, the next call overwrites it. */
const char *hub_token(const char *claims_format, ...) WH_PRINTF(1, 2);

/* printf for commands of JSON clients; one frame. */
void client_send(struct fake_transport *client, const char *format, ...) WH_PRINTF(2, 3);

/* The same command in the encoding of the client. */
void client_command(struct fake_transport *client, const struct wh_command *command);
void client_subscribe(struct fake_transport *client, const char *channel); /* and its reply */

/* After a turn the next message is exactly this text; nothing else is pending when NULL. */
void client_expect(struct fake_transport *client, const char *text);
void client_expect_closed(struct fake_transport *client, uint32_t code);
void client_expect_open(struct fake_transport *client);

/* The next message of any client, decoded; only the first reply in it. */
struct wh_reply client_next(struct fake_transport *client, struct wh_arena *arena);

#endif
