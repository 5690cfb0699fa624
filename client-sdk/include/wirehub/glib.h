/*
 * Callbacks of a client in DISPATCH mode on a GLib main context.  Header only: the library does not
 * know GLib.
 *
 *     guint source = wh_glib_attach(client, NULL);
 *     …
 *     g_source_remove(source);      before wh_client_free
 */
#ifndef WIREHUB_GLIB_H
#define WIREHUB_GLIB_H

#include <wirehub/client.h>

#include <glib-unix.h>
#include <glib.h>

static inline gboolean wh_glib_on_ready(gint fd, GIOCondition condition, gpointer user)
{
    (void)fd, (void)condition;
    wh_client_dispatch((struct wh_client *)user, 64); /* then others have their turn */
    return G_SOURCE_CONTINUE;
}

/* The id of the source; `context` NULL: the default one.  Callbacks run on the thread of the
 * context.  Remove the source before the client is freed, which must not happen inside a callback.
 */
static inline guint wh_glib_attach(struct wh_client *client, GMainContext *context)
{
    GSource *source = g_unix_fd_source_new(wh_client_fd(client), G_IO_IN);
    g_source_set_callback(source, G_SOURCE_FUNC(wh_glib_on_ready), client, NULL);
    guint id = g_source_attach(source, context);
    g_source_unref(source);
    return id;
}

#endif
