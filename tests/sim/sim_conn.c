/*
 * A connection: the socket that a session writes to, the wire in both
 * directions, and a client that may read slowly or be gone without a word.
 *
 * Connections live until the end of the run, so that what is on its way to
 * one of them finds it.
 */
#include "sim_internal.h"

#include <stdlib.h>
#include <string.h>

struct message {
    struct wh_list link;
    size_t len;
    char bytes[];
};

/* What arrives: bytes, or the end. */
struct parcel {
    struct sim_conn *conn;
    uint32_t code;
    size_t len;
    char bytes[];
};

static struct sim_conn *conn_of(struct transport *transport)
{
    return WH_CONTAINER_OF(transport, struct sim_conn, base);
}

static void send_parcel(struct sim_conn *conn,
                        struct sim_pipe *pipe,
                        sim_fn *fn,
                        struct wh_slice bytes,
                        uint32_t code)
{
    struct sim *sim = conn->sim;
    struct parcel *parcel = calloc(1, sizeof(*parcel) + bytes.len);
    WH_ASSERT(parcel != NULL);
    parcel->conn = conn;
    parcel->code = code;
    parcel->len = bytes.len;
    if (bytes.len)
        memcpy(parcel->bytes, bytes.ptr, bytes.len);
    sim_after(sim, sim_pipe_delay(sim, pipe, sim_lag(sim)), fn, parcel,
              sizeof(*parcel) + bytes.len);
    free(parcel);
}

/* To the client */

static void on_bytes(struct sim *sim, void *data)
{
    struct parcel *parcel = data;
    struct sim_conn *conn = parcel->conn;
    (void)sim;
    if (!conn->is_heard)
        return;
    wh_buf_append(&conn->received, parcel->bytes, parcel->len);
    sim_client_received(conn->client, conn);
}

static void end_session(struct sim_conn *conn)
{
    struct session *session = conn->session;
    conn->session = NULL;
    if (session == NULL)
        return;
    session_transport_closed(session);
    sim_node_touched(conn->node);
}

static void on_gone(struct sim *sim, void *data)
{
    (void)sim;
    end_session(((struct parcel *)data)->conn);
}

static void on_close_arrived(struct sim *sim, void *data)
{
    struct parcel *parcel = data;
    (void)sim;
    if (!parcel->conn->is_heard)
        return;
    parcel->conn->is_heard = false;
    sim_client_closed(parcel->conn->client, parcel->conn, parcel->code);
}

static void finish_close(struct sim_conn *conn)
{
    send_parcel(conn, &conn->back, on_close_arrived, WH_SLICE_LITERAL(""), conn->code);
    send_parcel(conn, &conn->back, on_gone, WH_SLICE_LITERAL(""), 0);
}

/* The socket takes what is held, all of it or a part. */
static void drain(struct sim_conn *conn)
{
    struct sim *sim = conn->sim;
    uint64_t percent = 100; /* not bytes: the length of a version must not decide how dice fall */
    if (sim->now_ms < conn->slow_until_ms)
        percent = sim_below(sim, 25);
    else if (sim_chance(sim, 3))
        percent = sim_below(sim, 100);
    size_t count = conn->held.len * percent / 100;
    if (count > 0)
        send_parcel(conn, &conn->back, on_bytes, wh_slice(conn->held.ptr, count), 0);
    wh_buf_consume(&conn->held, count);
    conn->base.is_busy = conn->held.len > 0;
}

static void on_socket(struct sim *sim, void *data);

static void watch_socket(struct sim_conn *conn)
{
    sim_after(conn->sim, 1 + sim_below(conn->sim, 200), on_socket, &conn, sizeof(conn));
}

static void on_socket(struct sim *sim, void *data)
{
    struct sim_conn *conn = *(struct sim_conn **)data;
    if (conn->session == NULL)
        return;
    if (conn->held.len > 0) {
        drain(conn);
        if (conn->held.len > 0) {
            watch_socket(conn);
            return;
        }
        if (conn->is_closing)
            finish_close(conn);
    }
    if (conn->is_closing || !conn->wants_write)
        return;
    conn->wants_write = false;
    session_writable(conn->session);
    sim_node_touched(conn->node);
    (void)sim;
}

static bool on_write(struct transport *transport, struct wh_slice wire)
{
    struct sim_conn *conn = conn_of(transport);
    if (conn->base.is_busy || conn->is_closing || wire.len == 0)
        sim_fail(conn->sim, "a write that the contract of transports forbids");
    wh_buf_append_slice(&conn->held, wire);
    drain(conn);
    if (conn->held.len > 0)
        watch_socket(conn);
    return true;
}

static size_t on_held_bytes(struct transport *transport)
{
    return conn_of(transport)->held.len;
}

static void on_want_write(struct transport *transport)
{
    struct sim_conn *conn = conn_of(transport);
    conn->wants_write = true;
    if (!conn->base.is_busy)
        watch_socket(conn);
}

static void on_close_time(struct sim *sim, void *data)
{
    struct sim_conn *conn = *(struct sim_conn **)data;
    (void)sim;
    if (conn->session == NULL || conn->held.len == 0)
        return;
    wh_buf_reset(&conn->held); /* the client gets the end without a code */
    conn->code = 0;
    finish_close(conn);
}

static void on_close(struct transport *transport,
                     uint32_t code,
                     const char *reason,
                     uint64_t timeout_ms)
{
    struct sim_conn *conn = conn_of(transport);
    (void)reason;
    if (conn->is_closing)
        return;
    conn->is_closing = true;
    conn->code = code;
    sim_trace(conn->sim, "client %d: closed by node %d with %u", conn->client->index,
              conn->node->index, code);
    if (conn->held.len == 0)
        finish_close(conn);
    else
        sim_after(conn->sim, timeout_ms, on_close_time, &conn, sizeof(conn));
}

/* To the node */

static void deliver(struct sim_conn *conn, struct wh_slice bytes)
{
    char *copy = malloc(bytes.len + !bytes.len); /* so that reading past its end is noticed */
    WH_ASSERT(copy != NULL);
    memcpy(copy, bytes.ptr, bytes.len);
    session_receive(conn->session, wh_slice(copy, bytes.len));
    free(copy);
    sim_node_touched(conn->node);
}

static void on_arrived(struct sim *sim, void *data)
{
    struct parcel *parcel = data;
    struct sim_conn *conn = parcel->conn;
    if (conn->session == NULL || conn->is_closing)
        return;
    if (conn->is_reading && wh_list_is_empty(&conn->input)) {
        deliver(conn, wh_slice(parcel->bytes, parcel->len));
        return;
    }
    struct message *message = malloc(sizeof(*message) + parcel->len);
    WH_ASSERT(message != NULL);
    message->len = parcel->len;
    memcpy(message->bytes, parcel->bytes, parcel->len);
    wh_list_init(&message->link);
    wh_list_push_back(&conn->input, &message->link);
    (void)sim;
}

static void on_read_again(struct sim *sim, void *data)
{
    struct sim_conn *conn = *(struct sim_conn **)data;
    (void)sim;
    while (conn->session && conn->is_reading && !conn->is_closing &&
           !wh_list_is_empty(&conn->input)) {
        struct message *message =
            WH_CONTAINER_OF(wh_list_pop_front(&conn->input), struct message, link);
        deliver(conn, wh_slice(message->bytes, message->len));
        free(message);
    }
}

static void on_want_read(struct transport *transport, bool on)
{
    struct sim_conn *conn = conn_of(transport);
    conn->is_reading = on;
    if (on && !wh_list_is_empty(&conn->input))
        sim_after(conn->sim, 0, on_read_again, &conn, sizeof(conn));
}

static const struct transport_ops conn_ops = {
    .write = on_write,
    .held_bytes = on_held_bytes,
    .want_write = on_want_write,
    .want_read = on_want_read,
    .close = on_close,
};

struct sim_conn *sim_conn_open(struct sim_client *client, struct sim_node *node)
{
    struct sim_conn *conn = calloc(1, sizeof(*conn));
    WH_ASSERT(conn != NULL);
    conn->base.ops = &conn_ops;
    conn->sim = client->sim;
    conn->client = client;
    conn->node = node;
    conn->is_heard = true;
    conn->is_reading = true;
    wh_list_init(&conn->link);
    wh_list_init(&conn->input);
    wh_list_push_back(&client->sim->conns, &conn->link);
    enum wh_err err =
        session_open(&node->node, &conn->base, client->encoding, "192.0.2.1", &conn->session);
    WH_ASSERT(err == WH_OK);
    return conn;
}

void sim_conn_send(struct sim_conn *conn, struct wh_slice message)
{
    send_parcel(conn, &conn->there, on_arrived, message, 0);
}

/* The node learns of it at once, or much later when the path is dead. */
void sim_conn_drop(struct sim_conn *conn)
{
    struct sim *sim = conn->sim;
    struct parcel parcel = {.conn = conn};
    conn->is_heard = false;
    sim_after(sim, sim_chance(sim, 70) ? sim_below(sim, 20) : sim_below(sim, 3000), on_gone,
              &parcel, sizeof(parcel));
}

void sim_conn_stall(struct sim_conn *conn, uint64_t for_ms)
{
    conn->slow_until_ms = conn->sim->now_ms + for_ms;
}

void sim_conn_end(struct sim_conn *conn)
{
    if (conn->held.len == 0)
        return; /* the close is under way already */
    wh_buf_reset(&conn->held);
    conn->code = 0;
    finish_close(conn);
}

void sim_conn_free(struct sim_conn *conn)
{
    struct wh_list *link;
    end_session(conn);
    while ((link = wh_list_pop_front(&conn->input)) != NULL)
        free(WH_CONTAINER_OF(link, struct message, link));
    wh_list_remove(&conn->link);
    wh_buf_deinit(&conn->held);
    wh_buf_deinit(&conn->received);
    free(conn);
}
