/*
 * glib URL CHANNEL: callbacks in the main loop of a GLib or GTK program, through
 * <wirehub/glib.h>.  Ends after SIGINT or SIGTERM.
 */
#include <wirehub/glib.h>
#include <wirehub/wirehub.h>

#include <glib-unix.h>
#include <stdio.h>

static void on_publication(struct wh_sub *sub, const struct wh_publication *pub, void *user)
{
    (void)sub;
    (void)user;
    g_print("%.*s\n", (int)pub->data.len, (const char *)pub->data.ptr);
}

static gboolean on_signal(gpointer user)
{
    g_main_loop_quit(user);
    return G_SOURCE_CONTINUE;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        g_printerr("usage: glib URL CHANNEL\n");
        return 2;
    }
    struct wh_runtime_options runtime_options = WH_RUNTIME_OPTIONS_INIT;
    runtime_options.mode = WH_MODE_DISPATCH;
    struct wh_runtime *runtime;
    struct wh_error detail;
    if (wh_runtime_new(&runtime_options, &runtime, &detail)) {
        g_printerr("%s\n", detail.text);
        return 1;
    }
    struct wh_client_options options = WH_CLIENT_OPTIONS_INIT;
    options.runtime = runtime;
    struct wh_client *client = wh_client_open(argv[1], &options);
    if (!client || !wh_client_subscribe(client, argv[2], on_publication, NULL)) {
        g_printerr("no client: WIREHUB_LOG=info says why\n");
        return 1;
    }
    GMainLoop *loop = g_main_loop_new(NULL, FALSE);
    guint source = wh_glib_attach(client, NULL);
    g_unix_signal_add(SIGINT, on_signal, loop);
    g_unix_signal_add(SIGTERM, on_signal, loop);
    g_main_loop_run(loop);
    g_source_remove(source); /* before the descriptor is gone */
    wh_client_free(client);
    wh_runtime_free(runtime);
    g_main_loop_unref(loop);
    return 0;
}
