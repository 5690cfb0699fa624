/*
 * Callbacks of a client in DISPATCH mode on a libuv loop.  Header only: the library does not know
 * libuv.  (LOOP mode, which runs all of the library on the loop, needs no adapter.)
 *
 *     uv_poll_t poll;
 *     wh_uv_attach(&loop, &poll, client);
 *     …
 *     uv_close((uv_handle_t *)&poll, NULL);      before wh_client_free
 */
#ifndef WIREHUB_UV_H
#define WIREHUB_UV_H

#include <wirehub/client.h>

#include <uv.h>

static inline void wh_uv_on_ready(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events;
    wh_client_dispatch((struct wh_client *)poll->data, 64); /* then others have their turn */
}

/* 0, or libuv's error.  `poll` is the caller's memory, `poll->data` the client; close it before the
 * client is freed, which must not happen inside a callback. */
static inline int wh_uv_attach(uv_loop_t *loop, uv_poll_t *poll, struct wh_client *client)
{
    int err = uv_poll_init(loop, poll, wh_client_fd(client));
    poll->data = client;
    return err ? err : uv_poll_start(poll, UV_READABLE, wh_uv_on_ready);
}

#endif
