/*
 * What each client command does.  One handler per command; the answer is
 * always exactly one reply, or the end of the connection.  command_<name>.c
 * has the handlers, command.c the table and the commands that wait.
 */
#ifndef HUB_COMMAND_H
#define HUB_COMMAND_H

#include "common/protocol/codes.h"
#include "common/protocol/model.h"

struct session;

enum { PENDING_MAX = 256 }; /* commands of one session that wait */

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

/*
 * Make a server-side subscription on a connection that is READY: a subscribe push, then what is
 * recovered.  `done` is called once, maybe before this returns; an existing subscription and a
 * connection that ends meanwhile are no errors.
 */
struct subscribe_request;
typedef void server_subscribed(void *user, enum wh_code code);
void command_server_subscribe(struct session *session,
                              const struct subscribe_request *request,
                              server_subscribed *done,
                              void *user);

/* Keep a copy of a payload; replaces and frees the old one.  WH_ENOMEM. */
WH_MUST_CHECK enum wh_err command_keep_payload(struct wh_payload *kept, struct wh_payload payload);

/* Seconds until then, at most a year. */
int64_t command_lifetime_s(int64_t expire_at);

#endif
