/*
 * What each client command does.  One handler per command in a table; the
 * answer is always exactly one reply, or the end of the connection.
 *
 * A command that must wait for the broker leaves a struct pending in the
 * session's list; replies leave in the order of that list, so a client sees
 * its commands answered in the order it sent them.
 */
#ifndef HUB_COMMAND_H
#define HUB_COMMAND_H

#include "common/base/list.h"
#include "common/protocol/model.h"

struct session;
struct subscription;
struct channel;

enum pending_kind { PENDING_SUBSCRIBE, PENDING_PUBLISH };

/* A command that waits for the broker.  Outlives its session if it must (session = NULL then). */
struct pending {
    struct session *session;
    struct wh_list link;         /* session->pending */
    struct wh_list channel_link; /* channel->waiting; subscribe only */
    enum pending_kind kind;
    uint32_t id;
    bool is_done;
    bool in_broker;                    /* the broker still holds it: it frees it */
    uint32_t code;                     /* once done: 0 or the error */
    struct subscription *subscription; /* subscribe only; NULL once removed */
    int64_t ttl;                       /* subscribe only, seconds; 0 = does not expire */
    struct wh_payload data;            /* subscribe only: from the token, bytes owned */
};

enum { PENDING_MAX = 256 }; /* commands of one session waiting for the broker */

/*
 * Whether `command` has to wait until those that are pending are answered, or until the key of its
 * token has been fetched.  It is then to be held and decoded again by session_resume, which is
 * called when that has happened.
 */
bool command_must_wait(struct session *session, const struct wh_command *command);

/* Execute one decoded command; may close the session. */
void command_execute(struct session *session, const struct wh_command *command);

/* The session goes away: drop what is pending and waiting. */
void command_abandon(struct session *session);

#endif
