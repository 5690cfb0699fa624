/* URLs as people type them.  Pure. */
#ifndef WH_CLI_URL_H
#define WH_CLI_URL_H

#include "common/base/arena.h"

/*
 * A comma separated list with what was left out: "ws://" (also for http://; "wss://" for https://)
 * and the path /connection/websocket.  In the arena.  WH_ENOMEM.
 */
WH_MUST_CHECK enum wh_err url_complete(const char *urls,
                                       struct wh_arena *arena,
                                       const char **out_urls);

#endif
