/*
 * An HTTP server on the loop of the test, one response a connection.  `answer` appends the whole
 * response, or nothing: then the connection stays open and silent.
 */
#ifndef TESTS_SUPPORT_HTTP_STUB_H
#define TESTS_SUPPORT_HTTP_STUB_H

#include "common/base/buf.h"
#include "common/io/loop.h"

#include <netinet/in.h>

#include <stdio.h>
#include <stdlib.h>

struct http_stub;
typedef void http_stub_answer(struct http_stub *stub, const char *path, struct wh_buf *out);

struct http_stub {
    uv_tcp_t listener;
    int port;
    unsigned requests;
    http_stub_answer *answer;
    struct wh_buf request; /* the last one, whole, with its head */
    struct wh_list connections;
};

struct http_stub_connection {
    uv_tcp_t tcp;
    uv_write_t write;
    struct wh_list link;
    struct http_stub *stub;
    struct wh_buf in, out;
    bool is_answered;
    char room[4096];
};

static inline void http_stub_on_closed(uv_handle_t *handle)
{
    struct http_stub_connection *connection = handle->data;
    wh_buf_deinit(&connection->in);
    wh_buf_deinit(&connection->out);
    free(connection);
}

static inline void http_stub_end(struct http_stub_connection *connection)
{
    wh_list_remove(&connection->link);
    if (!uv_is_closing((uv_handle_t *)&connection->tcp))
        uv_close((uv_handle_t *)&connection->tcp, http_stub_on_closed);
}

static inline void http_stub_on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *out)
{
    struct http_stub_connection *connection = handle->data;
    (void)size;
    *out = uv_buf_init(connection->room, sizeof(connection->room));
}

static inline void http_stub_on_written(uv_write_t *write, int status)
{
    (void)status;
    http_stub_end(write->data);
}

static inline void http_stub_reply(struct http_stub_connection *connection)
{
    char path[256] = "";
    connection->is_answered = true;
    connection->stub->requests++;
    sscanf(wh_buf_cstr(&connection->in), "%*7s %255s", path);
    wh_buf_reset(&connection->stub->request);
    wh_buf_append_slice(&connection->stub->request, wh_buf_slice(&connection->in));
    connection->stub->answer(connection->stub, path, &connection->out);
    if (connection->out.len == 0)
        return;
    uv_buf_t buf = uv_buf_init(connection->out.ptr, (unsigned)connection->out.len);
    connection->write.data = connection;
    uv_write(&connection->write, (uv_stream_t *)&connection->tcp, &buf, 1, http_stub_on_written);
}

/* The head, and as much behind it as it says. */
static inline bool http_stub_is_whole(struct wh_buf *in)
{
    const char *text = wh_buf_cstr(in);
    const char *end = strstr(text, "\r\n\r\n");
    const char *length = strstr(text, "Content-Length: ");
    if (!end)
        return false;
    size_t body = length && length < end ? strtoul(length + 16, NULL, 10) : 0;
    return in->len >= (size_t)(end - text) + 4 + body;
}

static inline void http_stub_on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf)
{
    struct http_stub_connection *connection = stream->data;
    if (count < 0) {
        http_stub_end(connection);
        return;
    }
    wh_buf_append(&connection->in, buf->base, (size_t)count);
    if (!connection->is_answered && http_stub_is_whole(&connection->in))
        http_stub_reply(connection);
}

static inline void http_stub_on_connection(uv_stream_t *listener, int status)
{
    struct http_stub *stub = listener->data;
    if (status < 0)
        abort();
    struct http_stub_connection *connection = calloc(1, sizeof(*connection));
    if (!connection)
        abort();
    connection->stub = stub;
    connection->tcp.data = connection;
    uv_tcp_init(listener->loop, &connection->tcp);
    wh_list_init(&connection->link);
    wh_list_push_back(&stub->connections, &connection->link);
    if (uv_accept(listener, (uv_stream_t *)&connection->tcp) != 0)
        abort();
    uv_read_start((uv_stream_t *)&connection->tcp, http_stub_on_alloc, http_stub_on_read);
}

static inline void http_stub_open(struct http_stub *stub,
                                  struct wh_loop *loop,
                                  http_stub_answer *answer)
{
    struct sockaddr_in address;
    int len = sizeof(address);
    *stub = (struct http_stub){.answer = answer};
    wh_list_init(&stub->connections);
    uv_ip4_addr("127.0.0.1", 0, &address);
    uv_tcp_init(&loop->uv, &stub->listener);
    stub->listener.data = stub;
    if (uv_tcp_bind(&stub->listener, (const struct sockaddr *)&address, 0) != 0 ||
        uv_listen((uv_stream_t *)&stub->listener, 64, http_stub_on_connection) != 0 ||
        uv_tcp_getsockname(&stub->listener, (struct sockaddr *)&address, &len) != 0)
        abort();
    stub->port = ntohs(address.sin_port);
    uv_unref((uv_handle_t *)&stub->listener);
}

/* The loop has to turn or be deinitialised afterwards. */
static inline void http_stub_close(struct http_stub *stub)
{
    wh_buf_deinit(&stub->request);
    uv_close((uv_handle_t *)&stub->listener, NULL);
    while (!wh_list_is_empty(&stub->connections))
        http_stub_end(WH_CONTAINER_OF(stub->connections.next, struct http_stub_connection, link));
}

/* A whole response of `status` with `body`. */
static inline void http_stub_respond(struct wh_buf *out, const char *status, struct wh_slice body)
{
    wh_buf_printf(out, "HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", status,
                  body.len);
    wh_buf_append_slice(out, body);
}

#endif
