/*
 * Commands that wait, and the table of handlers.
 *
 * A command that must wait becomes a struct pending at the end of
 * session->pending; when it is done settle() answers from the head of the
 * list as far as it is done.  Subscribes may overlap with subscribes and
 * publishes with publishes, any other command waits (command_must_wait), so
 * what a client can see is one command after the other.
 */
#include "hub/command_internal.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "hub/identity.h"
#include "hub/rates.h"

enum { LIFETIME_MAX_S = 365 * 24 * 3600 };

/* Pending commands */

struct pending *pending_new(struct session *session,
                            enum pending_kind kind,
                            uint32_t id,
                            pending_answer *answer)
{
    struct pending *pending = wh_calloc(1, sizeof(*pending));
    if (pending == NULL)
        return NULL;
    pending->session = session;
    pending->kind = kind;
    pending->id = id;
    pending->answer = answer;
    pending->scope = tracing_take(session->node);
    wh_list_push_back(&session->pending, &pending->link);
    session->pending_count++;
    return pending;
}

void pending_drop(struct pending *pending)
{
    if (pending->session) {
        wh_list_remove(&pending->link);
        pending->session->pending_count--;
        tracing_end(pending->session->node, &pending->scope);
        pending->session = NULL;
        if (pending->clean_up)
            pending->clean_up(pending);
    }
    if (!pending->in_broker)
        wh_free(pending);
}

struct session *pending_returned(struct pending *pending)
{
    struct session *session = pending->session;
    pending->in_broker = false;
    if (session == NULL) /* the client left meanwhile */
        pending_drop(pending);
    return session;
}

void pending_done(struct pending *pending, enum wh_code code)
{
    pending->is_done = true;
    pending->code = code;
    command_settle(pending->session);
}

void command_settle(struct session *session)
{
    struct tracing_scope outer;
    while (!wh_list_is_empty(&session->pending)) {
        struct pending *head = WH_CONTAINER_OF(session->pending.next, struct pending, link);
        if (!head->is_done)
            break;
        tracing_enter(session->node, &head->scope, &outer);
        head->answer(session, head);
        tracing_leave(session->node, &outer);
        if (wh_list_is_empty(&session->pending)) /* the answer closed the session */
            break;
        pending_drop(head);
    }
    session_resume(session);
}

void command_abandon(struct session *session)
{
    jwks_waiter_cancel(&session->key_waiter);
    while (!wh_list_is_empty(&session->pending))
        pending_drop(WH_CONTAINER_OF(session->pending.next, struct pending, link));
    command_abandon_calls(session);
}

/* Answers */

void command_fail(struct session *session, uint32_t id, enum wh_code code)
{
    if (wh_code_is_disconnect(code)) {
        tracing_failed(session->node, code, WH_SLICE_ABSENT);
        session_close(session, code);
    } else {
        session_reply_error(session, id, code);
    }
}

static void answer_error(struct session *session, struct pending *pending)
{
    session_reply_error(session, pending->id, pending->code);
}

/* A command failed before it had to wait for anybody: the error goes behind those that do wait. */
void command_fail_in_order(struct session *session,
                           enum pending_kind kind,
                           uint32_t id,
                           enum wh_code code)
{
    struct pending *pending = NULL;
    if (!wh_code_is_disconnect(code) && !wh_list_is_empty(&session->pending))
        pending = pending_new(session, kind, id, answer_error);
    if (pending == NULL) {
        command_fail(session, id, code);
        return;
    }
    pending->is_done = true;
    pending->code = code;
}

/* Tokens and payloads */

int64_t command_lifetime_s(int64_t expire_at)
{
    int64_t left = expire_at - wh_clock_wall_s();
    return left > LIFETIME_MAX_S ? LIFETIME_MAX_S : left;
}

void command_log_auth_failure(struct session *session, const char *what, const char *reason)
{
    struct identity_asker asker = {what, session->id, session->peer};
    identity_log_failure(session->node, &asker, reason);
}

enum wh_code command_check_revocation(struct session *session,
                                      const char *what,
                                      const struct token_claims *claims)
{
    struct identity_asker asker = {what, session->id, session->peer};
    return identity_check_revocation(session->node, &asker, claims, &session->is_unchecked);
}

/* In insecure mode everybody is "", whatever the token says. */
bool command_is_session_user(const struct session *session, struct wh_slice user)
{
    return session->node->config->client.insecure || wh_slice_equal(user, session->user->id);
}

/* Keep a copy of a payload that lives in the arena; replaces and frees the old one. */
enum wh_err command_keep_payload(struct wh_payload *kept, struct wh_payload payload)
{
    char *copy = NULL;
    if (wh_payload_is_present(payload)) {
        copy = wh_malloc(payload.bytes.len + 1);
        if (copy == NULL)
            return WH_ENOMEM;
        memcpy(copy, payload.bytes.ptr, payload.bytes.len);
    }
    wh_free((void *)kept->bytes.ptr);
    *kept = (struct wh_payload){.kind = payload.kind, .bytes = wh_slice(copy, payload.bytes.len)};
    return WH_OK;
}

/* The rest */

static void handle_send(struct session *session, const struct wh_command *command)
{
    (void)command; /* nobody listens to messages yet, and silence would hide that */
    session_close(session, WH_DISCONNECT_NOT_AVAILABLE);
}

static void handle_ping(struct session *session, const struct wh_command *command)
{
    struct wh_empty result = {0};
    session_reply(session, &(struct wh_reply){.id = command->id, .ping = &result});
}

static void handle_pong(struct session *session)
{
    if (!session->pong_due)
        session_close(session, WH_DISCONNECT_BAD_REQUEST);
    session->pong_due = false;
}

struct command_row {
    size_t request; /* offset of the request pointer in struct wh_command */
    command_handler *handle;
    enum rate_class rate;
    const char *traced; /* its name in traces; NULL = it is too small for one */
};

/* If a client sets several requests the first in this order counts. */
static const struct command_row commands[] = {
    {offsetof(struct wh_command, connect), command_connect, RATE_CONNECT, "connect"},
    {offsetof(struct wh_command, subscribe), command_subscribe, RATE_SUBSCRIBE, "subscribe"},
    {offsetof(struct wh_command, unsubscribe), command_unsubscribe, RATE_OTHER, NULL},
    {offsetof(struct wh_command, publish), command_publish, RATE_PUBLISH, "publish"},
    {offsetof(struct wh_command, presence), command_presence, RATE_OTHER, NULL},
    {offsetof(struct wh_command, presence_stats), command_presence_stats, RATE_OTHER, NULL},
    {offsetof(struct wh_command, history), command_history, RATE_OTHER, NULL},
    {offsetof(struct wh_command, rpc), command_rpc, RATE_RPC, "rpc"},
    {offsetof(struct wh_command, send), handle_send, RATE_OTHER, NULL},
    {offsetof(struct wh_command, refresh), command_refresh, RATE_OTHER, NULL},
    {offsetof(struct wh_command, sub_refresh), command_sub_refresh, RATE_OTHER, NULL},
    {offsetof(struct wh_command, ping), handle_ping, RATE_OTHER, NULL},
};

static const struct command_row *find_row(const struct wh_command *command)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        const void *request;
        memcpy(&request, (const char *)command + commands[i].request, sizeof(request));
        if (request)
            return &commands[i];
    }
    return NULL;
}

/* Whether what is pending, if anything, may stay unanswered while this command is executed. */
static bool overlaps_pending(const struct session *session, const struct wh_command *command)
{
    if (wh_list_is_empty(&session->pending) || command->id == 0)
        return true;
    const struct pending *last = WH_CONTAINER_OF(session->pending.prev, struct pending, link);
    const struct command_row *row = find_row(command);
    if (row && row->handle == command_rpc) /* calls wait for nobody and nobody for them */
        return session->state == SESSION_READY;
    switch (last->kind) {
    case PENDING_SUBSCRIBE:
        return row && row->handle == command_subscribe;
    case PENDING_PUBLISH:
        return row && row->handle == command_publish;
    case PENDING_ALONE:
        break;
    }
    return false;
}

/*
 * Whether the key of the command's token is being fetched.  Nothing has been done for the command
 * yet, so it can be executed from its start once the fetch has ended.
 */
static bool awaits_key(struct session *session, const struct wh_command *command)
{
    struct node *node = session->node;
    const struct command_row *row = find_row(command);
    command_handler *handle = row && command->id != 0 ? row->handle : NULL;
    bool is_ready = session->state == SESSION_READY;
    const struct token_verifier *verifier = node->connection_tokens;
    struct wh_slice token = WH_SLICE_ABSENT;
    if (handle == command_connect && session->state == SESSION_NEW) {
        token = command->connect->token;
    } else if (handle == command_refresh && is_ready) {
        token = command->refresh->token;
    } else if (handle == command_subscribe && is_ready) {
        verifier = node->subscription_tokens;
        token = command->subscribe->token;
    } else if (handle == command_sub_refresh && is_ready) {
        verifier = node->subscription_tokens;
        token = command->sub_refresh->token;
    }
    return token.len > 0 &&
           token_verifier_wait(verifier, token, &node->arena, &session->key_waiter);
}

bool command_must_wait(struct session *session, const struct wh_command *command)
{
    return !overlaps_pending(session, command) || awaits_key(session, command);
}

/*
 * Before anything is done for a command.  Calls are counted by the gateway, which REST shares; of a
 * connect only the address is known yet: command_connect asks for the user.
 */
static bool is_within_rates(struct session *session, enum rate_class class)
{
    struct node *node = session->node;
    uint64_t wait_ms;
    struct rate_caller caller = {
        .connection = &session->rates,
        .user = session->user ? session->user->id : WH_SLICE_LITERAL(""),
        .peer = session->peer,
    };
    return class == RATE_RPC || rates_take(node->rates, &node->config->client.rate_limit, &caller,
                                           class, wh_loop_now_ms(node->loop), &wait_ms);
}

/* The error takes the place that the answer would have had. */
static void refuse_rate(struct session *session,
                        const struct wh_command *command,
                        const struct command_row *row)
{
    enum wh_code code = WH_ERROR_TOO_MANY_REQUESTS;
    if (row->rate == RATE_CONNECT) {
        session_reply_error(session, command->id, code);
        session_refuse(session); /* it comes again, after a while, with a new connection */
    } else {
        command_fail_in_order(session,
                              row->rate == RATE_PUBLISH ? PENDING_PUBLISH : PENDING_SUBSCRIBE,
                              command->id, code);
    }
}

void command_execute(struct session *session, const struct wh_command *command)
{
    const struct command_row *row = find_row(command);
    bool is_first = session->state == SESSION_NEW;
    if (is_first && (row == NULL || command->connect == NULL || command->id == 0)) {
        session_close(session, WH_DISCONNECT_BAD_REQUEST);
        return;
    }
    if (command->id == 0 && command->send == NULL) {
        handle_pong(session);
        return;
    }
    if (row == NULL) {
        session_close(session, WH_DISCONNECT_BAD_REQUEST);
        return;
    }
    if (command->id != 0 && session->state != SESSION_REFUSED &&
        !is_within_rates(session, row->rate)) {
        refuse_rate(session, command, row);
        return;
    }
    struct tracing_scope outer;
    struct node *node = session->node;
    bool is_traced = tracing_begin_command(session, row->traced, command->connect, &outer);
    row->handle(session, command);
    if (is_traced)
        tracing_end_command(node, &outer);
}
