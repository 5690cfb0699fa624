/*
 * Callbacks of a client in DISPATCH mode on a libevent loop.  Header only: the library does not
 * know libevent.
 *
 *     struct event *event = wh_libevent_attach(base, client);
 *     …
 *     event_free(event);      before wh_client_free
 */
#ifndef WIREHUB_LIBEVENT_H
#define WIREHUB_LIBEVENT_H

#include <wirehub/client.h>

#include <event2/event.h>

static inline void wh_libevent_on_ready(evutil_socket_t fd, short events, void *user)
{
    (void)fd, (void)events;
    wh_client_dispatch((struct wh_client *)user, 64); /* then others have their turn */
}

/* NULL when libevent has no memory.  Free the event before the client, which must not happen inside
 * a callback. */
static inline struct event *wh_libevent_attach(struct event_base *base, struct wh_client *client)
{
    struct event *event = event_new(base, wh_client_fd(client), (short)(EV_READ | EV_PERSIST),
                                    wh_libevent_on_ready, client);
    if (event && event_add(event, NULL)) {
        event_free(event);
        event = NULL;
    }
    return event;
}

#endif
