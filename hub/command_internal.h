/* Shared by the command_<name>.c files; nobody else includes it. */
#ifndef HUB_COMMAND_INTERNAL_H
#define HUB_COMMAND_INTERNAL_H

#include "common/base/list.h"
#include "hub/command.h"
#include "hub/session.h"
#include "hub/subscribe.h"
#include "hub/tracing.h"

enum { PENDING_EPOCH_MAX = 64 };

enum pending_kind {
    PENDING_SUBSCRIBE, /* overlaps with others of its kind */
    PENDING_PUBLISH,   /* likewise */
    PENDING_ALONE
};

struct pending;
struct connect_op;
struct server_subscribe;
typedef void pending_answer(struct session *session, struct pending *pending);

/* A command that waits.  Outlives its session if the broker holds it (session = NULL then). */
struct pending {
    struct session *session;
    struct wh_list link; /* session->pending */
    enum pending_kind kind;
    uint32_t id;
    struct tracing_scope scope; /* what it is a part of; its span is ours */
    struct wh_span *part; /* what the broker does for it, while it does; NULL = not recorded */
    bool is_done;
    bool in_broker;                      /* a broker callback still comes */
    enum wh_code code;                   /* once done */
    pending_answer *answer;              /* once done and at the head of the list */
    void (*clean_up)(struct pending *p); /* NULL, or frees what it has beside itself */
    struct subscribe_op subscribe;       /* of a subscribe */
    struct connect_op *connect;          /* of a connect with server-side subscriptions */
    struct server_subscribe *server;     /* of a subscription that the server makes */
    char epoch[PENDING_EPOCH_MAX];       /* of a history: the one asked for */
    size_t epoch_len;
};

/* NULL when out of memory. */
struct pending *pending_new(struct session *session,
                            enum pending_kind kind,
                            uint32_t id,
                            pending_answer *answer);

/* Off the session's list; the memory stays until the broker is through with it. */
void pending_drop(struct pending *pending);

/* The broker is through with it: its session, or NULL when that is gone (and it is freed). */
struct session *pending_returned(struct pending *pending);

/* Mark and answer as far as the order allows. */
void pending_done(struct pending *pending, enum wh_code code);
void command_settle(struct session *session);

/* Reply with an error, or close. */
void command_fail(struct session *session, uint32_t id, enum wh_code code);
void command_fail_in_order(struct session *session,
                           enum pending_kind kind,
                           uint32_t id,
                           enum wh_code code);

void command_log_auth_failure(struct session *session, const char *what, const char *reason);

/* WH_NO_ERROR; WH_ERROR_PERMISSION_DENIED of a revoked token; WH_ERROR_INTERNAL while that is not
 * known yet. */
enum wh_code command_check_revocation(struct session *session,
                                      const char *what,
                                      const struct token_claims *claims);
bool command_is_session_user(const struct session *session, struct wh_slice user);

/* The session goes away: nobody waits for its calls. */
void command_abandon_calls(struct session *session);

typedef void command_handler(struct session *session, const struct wh_command *command);
command_handler command_connect, command_refresh;
command_handler command_subscribe, command_unsubscribe, command_sub_refresh;
command_handler command_rpc;
command_handler command_publish, command_history, command_presence, command_presence_stats;

#endif
