/*
 * The network side of a worker: accepts sockets, speaks WebSocket and HTTP
 * through libwebsockets, and is the transport under each session.  The only
 * module that sees libwebsockets.  Loop thread only.
 */
#ifndef HUB_SERVER_H
#define HUB_SERVER_H

#include "hub/node.h"

struct server;

/*
 * Serve `node` on listening sockets made elsewhere (not owned, non-blocking from now on).
 * WH_EINVAL with a text: TLS files, the demo folder or libwebsockets' libuv plugin.
 */
WH_MUST_CHECK enum wh_err server_new(struct node *node,
                                     const int *listen_fds,
                                     size_t listen_count,
                                     struct server **out_server,
                                     struct wh_buf *out_problem);

/* Accept nobody from now on: drain begins. */
void server_stop_accepting(struct server *server);

/* Close everything; the loop must go on turning until its handles are gone, then server_free. */
void server_close(struct server *server);
void server_free(struct server *server);

#endif
