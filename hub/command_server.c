/*
 * A subscription that the server makes on a live connection.  It takes its
 * place among the commands of the client, so that the subscribe push stands
 * in one order with their replies.
 */
#include "hub/command_internal.h"

#include "common/base/alloc.h"

struct server_subscribe {
    struct subscribe_op op;
    server_subscribed *done; /* NULL once called */
    void *user;
};

static void report(struct server_subscribe *server, enum wh_code code)
{
    server_subscribed *done = server->done;
    server->done = NULL;
    if (done)
        done(server->user, code);
}

static void push_result(struct session *session,
                        struct wh_slice channel,
                        const struct wh_subscribe_result *result)
{
    struct wh_subscribe_push push = {
        .recoverable = result->recoverable,
        .positioned = result->positioned,
        .epoch = result->epoch,
        .offset = result->offset,
        .data = result->data,
    };
    session_push(session, &(struct wh_push){.channel = channel, .subscribe = &push});
    for (size_t i = 0; i < result->publications.count; i++)
        session_push(session,
                     &(struct wh_push){.channel = channel, .pub = &result->publications.items[i]});
}

static void answer_server_subscribe(struct session *session, struct pending *pending)
{
    struct server_subscribe *server = pending->server;
    struct subscribe_op *op = &server->op;
    struct wh_subscribe_result result;
    enum wh_code code = subscribe_finish(op, &result);
    if (code == WH_NO_ERROR) {
        push_result(session, op->request.channel, &result);
        subscribe_announce(op);
        session_reschedule(session);
    } else if (code == WH_ERROR_ALREADY_SUBSCRIBED) {
        code = WH_NO_ERROR; /* which is what was asked for */
    } else if (wh_code_is_disconnect(code)) {
        code = WH_ERROR_INTERNAL;
    }
    report(server, code);
}

/* A connection that ended meanwhile needs no subscription: that is no error. */
static void end_server_subscribe(struct pending *pending)
{
    struct server_subscribe *server = pending->server;
    subscribe_end(&server->op);
    report(server, WH_NO_ERROR);
    wh_free(server);
    pending->server = NULL;
}

static void on_ready(struct subscribe_op *op)
{
    struct session *session = op->session;
    struct server_subscribe *server = WH_CONTAINER_OF(op, struct server_subscribe, op);
    WH_LIST_EACH(link, &session->pending)
    {
        struct pending *pending = WH_CONTAINER_OF(link, struct pending, link);
        if (pending->server == server) {
            pending_done(pending, op->code);
            return;
        }
    }
}

void command_server_subscribe(struct session *session,
                              const struct subscribe_request *request,
                              server_subscribed *done,
                              void *user)
{
    struct server_subscribe *server = wh_calloc(1, sizeof(*server));
    struct pending *pending = NULL;
    if (session->subscription_count >= session->node->config->client.channel_limit) {
        wh_free(server);
        done(user, WH_ERROR_LIMIT_EXCEEDED);
        return;
    }
    if (server)
        pending = pending_new(session, PENDING_SUBSCRIBE, 0, answer_server_subscribe);
    if (pending == NULL) {
        wh_free(server);
        done(user, WH_ERROR_INTERNAL);
        return;
    }
    server->done = done;
    server->user = user;
    pending->server = server;
    pending->clean_up = end_server_subscribe;
    subscribe_start(&server->op, session, request, on_ready);
    if (server->op.is_ready)
        pending_done(pending, server->op.code);
}
