/*
 * The service and transport of client-sdk/src/service.h without sockets: every
 * connection leads to the server of fake_server.h.  A client that does not read is not answered.
 * Link it in place of the real one.
 */
#ifndef WH_TEST_FAKE_SERVICE_H
#define WH_TEST_FAKE_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

/* From now on connections open but nothing is read or answered on them. */
void fake_service_stall(bool is_stalled);

/* So many pushes follow each subscribe; 1 at the start. */
void fake_service_pushes(uint32_t count);

/* One turn of a foreign loop, for the service that was made last and has loop WH_LOOP_UV: what has
 * come is received, and who asked to be woken is.  false = the loop would wait. */
bool fake_service_turn(void);

/* Transports and services that live. */
int fake_service_alive(void);

#endif
