/*
 * The main loop of event_script in each way in which libwirehub can be run: lines of standard input
 * are handed to one function, in order, on the thread on which that mode wants to be called.
 */
#ifndef SCRIPT_LOOP_H
#define SCRIPT_LOOP_H

#include <wirehub/wirehub.h>

enum { SCRIPT_CLIENTS_MAX = 16 };

struct script_loop;

/* "threaded", "dispatch", "loop", "uv", "ev", "glib"; NULL for any other word. */
struct script_loop *script_loop_new(const char *mode);

struct wh_runtime *script_loop_runtime(struct script_loop *loop);

/* In DISPATCH: run the callbacks of this client too, from now on. */
void script_loop_watch(struct script_loop *loop, struct wh_client *client);

/* Until `on_line` returns false or standard input ends. */
void script_loop_run(struct script_loop *loop, bool (*on_line)(char *line));

/* Close the clients, the runtime and the loop; aborts when something is left on it. */
void script_loop_end(struct script_loop *loop, struct wh_client **clients, size_t count);

#endif
