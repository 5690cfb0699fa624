/*
 * What the server does to the connections of a user on this node, whoever
 * asked: the server API here, or another node.  Which connections: those of
 * `user`; with `client` only that one; those with a `session` never, for
 * WebSocket connections have none.
 */
#ifndef HUB_NODE_USERS_H
#define HUB_NODE_USERS_H

#include "common/protocol/codes.h"
#include "hub/api_model.h"
#include "hub/node.h"

/* Close them, but for those of the whitelist. */
void node_disconnect_user(struct node *node, const struct api_disconnect_request *request);

/* End the subscription to the channel, with a push of code 2000. */
void node_unsubscribe_user(struct node *node, const struct api_unsubscribe_request *request);

/* Change when they expire, with a refresh push; or expire them now. */
void node_refresh_user(struct node *node, const struct api_refresh_request *request);

/*
 * Subscribe those that are connected and not subscribed yet, as server-side subscriptions: each
 * gets a subscribe push, then what it missed since `recover_since`.  `done` is called once, maybe
 * before this returns, with the first error.
 */
typedef void node_subscribed(void *user, enum wh_code code);
void node_subscribe_user(struct node *node,
                         const struct api_subscribe_request *request,
                         node_subscribed *done,
                         void *user);

/* What it has: connected clients, users, subscriptions.  `out_node`'s texts are not touched. */
void node_count(const struct node *node, struct api_node *out_node);

#endif
