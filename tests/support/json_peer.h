/*
 * fake_server.h behind a real WebSocket (raw_peer.h): a script for raw_peer_start.  JSON without
 * subprotocol; pings are answered, closes as well.
 */
#ifndef WH_TEST_JSON_PEER_H
#define WH_TEST_JSON_PEER_H

#include "raw_peer.h"

/* `user`: NULL, or where to save the request of the upgrade, char[8192]. */
void json_peer_script(struct raw_stream *stream, void *user);

#endif
