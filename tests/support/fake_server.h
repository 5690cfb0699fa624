/*
 * What a server of tests says to JSON commands, whatever carries them: to connect, subscribe (then
 * pushes to the channel), publish, history, presence and presence_stats yes, at once.
 *
 *   connect    with the token "denied": error 101; "expired": error 109; else "c1"
 *   rpc        {"ok":true}; but by its method
 *     silent   no answer
 *     late     answered together with the next command that is not "late"
 *     error    error 100, temporary;  "refused": error 403
 *     pushes   first a message, and everything that can happen to a server-side subscription
 *     kick     first a server-side subscription to "own" that does not last
 *     say      its data is what comes instead of an answer
 *     drop     the connection ends without an answer
 *   subscribe  recoverable when asked for; to "forbidden": error 103
 *
 * One connection at a time per struct; no locks.
 */
#ifndef WH_TEST_FAKE_SERVER_H
#define WH_TEST_FAKE_SERVER_H

#include <stdbool.h>
#include <stdint.h>

enum { FAKE_SERVER_LATE_MAX = 4, FAKE_SERVER_CHANNEL_BYTES = 64 };

struct fake_server {
    uint32_t pushes; /* after each subscribe */
    unsigned long late[FAKE_SERVER_LATE_MAX];
    unsigned late_count;
};

/* `text`: one reply or push, without a line end. */
typedef void fake_server_emit(void *user, const char *text);

/* One command, NUL-terminated.  false = the connection ends here. */
bool fake_server_answer(struct fake_server *server,
                        const char *line,
                        fake_server_emit *emit,
                        void *user);

#endif
