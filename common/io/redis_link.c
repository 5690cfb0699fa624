/*
 * A libuv stream with hiredis' parser behind it.
 *
 * hiredis' own asynchronous connection is not used: 0.14 answers unexpected
 * replies with assert(), loses commands issued from its connect callback,
 * resolves names on the loop, moves its whole output buffer after each
 * partial write, and its successor changed most of that.  The parser alone
 * has one interface in all versions.
 *
 * Bytes sit in `out` until the turn's end; what write(2) does not take at
 * once moves to `writing`, whole, and libuv waits for the socket.
 */
#include "common/io/redis_link.h"

#include "common/base/alloc.h"
#include "common/base/buf.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>

enum {
    READ_SIZE = 64 * 1024,
    KEEPALIVE_S = 10,            /* first probe of an idle connection */
    UNACKED_MS = 5000,           /* TCP_USER_TIMEOUT: a host that vanished with our bytes unread */
    COMMAND_OVERHEAD = 16,       /* "*N\r\n", "$N\r\n" and "\r\n": an upper bound for each part */
    OUT_KEEP_BYTES = 256 * 1024, /* a larger buffer is given back after a burst */
};

struct wh_redis_link {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    bool is_tcp;
    bool is_connected;
    bool is_writing;
    bool is_closing;
    uv_connect_t connect;
    uv_write_t write;
    struct wh_loop *loop;
    struct wh_redis_link_events events;
    struct wh_redis_reader reader;
    struct wh_buf out;
    struct wh_buf writing;
    size_t queue_bytes_max;
    uint64_t bytes_read;
    struct wh_task flush;
    char input[READ_SIZE];
};

static void on_handle_closed(uv_handle_t *handle)
{
    struct wh_redis_link *link = handle->data;
    struct wh_redis_link_events events = link->events;
    wh_redis_reader_deinit(&link->reader);
    wh_buf_deinit(&link->out);
    wh_buf_deinit(&link->writing);
    wh_free(link);
    events.on_closed(events.user);
}

void wh_redis_link_close(struct wh_redis_link *link)
{
    if (link->is_closing)
        return;
    link->is_closing = true;
    wh_task_cancel(&link->flush);
    uv_close(&link->uv.handle, on_handle_closed);
}

static void lose(struct wh_redis_link *link, const char *what, int uv_error)
{
    if (link->is_closing)
        return;
    char reason[128];
    if (uv_error == UV_EOF)
        snprintf(reason, sizeof reason, "closed by Redis");
    else if (uv_error)
        snprintf(reason, sizeof reason, "%s: %s", what, strerror(-uv_error));
    else
        snprintf(reason, sizeof reason, "%s", what);
    wh_redis_link_close(link);
    link->events.on_lost(link->events.user, reason);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    (void)suggested;
    struct wh_redis_link *link = handle->data;
    *out = uv_buf_init(link->input, sizeof link->input);
}

static void deliver_replies(struct wh_redis_link *link)
{
    while (!link->is_closing) {
        const struct wh_redis_reply *reply = NULL;
        enum wh_err err = wh_redis_reader_next(&link->reader, &reply);
        if (err) {
            lose(link, err == WH_ELIMIT ? "reply too large" : "not the Redis protocol", 0);
            return;
        }
        if (!reply)
            return;
        link->events.on_reply(link->events.user, reply);
    }
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf)
{
    struct wh_redis_link *link = stream->data;
    if (count < 0) {
        lose(link, "read", (int)count);
        return;
    }
    if (count == 0 || link->is_closing)
        return;
    link->bytes_read += (uint64_t)count;
    if (wh_redis_reader_feed(&link->reader, wh_slice(buf->base, (size_t)count)))
        lose(link, "read", UV_ENOMEM);
    else
        deliver_replies(link);
}

static void flush_out(struct wh_redis_link *link);

static void on_written(uv_write_t *write, int status)
{
    struct wh_redis_link *link = write->data;
    link->is_writing = false;
    wh_buf_deinit(&link->writing);
    if (status < 0 && status != UV_ECANCELED)
        lose(link, "write", status);
    else if (!link->is_closing)
        flush_out(link);
}

/* The kernel's buffer is full: hand the rest over and wait. */
static void write_later(struct wh_redis_link *link)
{
    link->writing = link->out;
    wh_buf_init(&link->out, link->queue_bytes_max);
    uv_buf_t rest = uv_buf_init(link->writing.ptr, (unsigned)link->writing.len);
    link->write.data = link;
    int rc = uv_write(&link->write, &link->uv.stream, &rest, 1, on_written);
    if (rc < 0)
        lose(link, "write", rc);
    else
        link->is_writing = true;
}

static void flush_out(struct wh_redis_link *link)
{
    if (!link->is_connected || link->is_writing || link->out.len == 0)
        return;
    uv_buf_t all = uv_buf_init(link->out.ptr, (unsigned)link->out.len);
    int written = uv_try_write(&link->uv.stream, &all, 1);
    if (written < 0 && written != UV_EAGAIN) {
        lose(link, "write", written);
        return;
    }
    if (written > 0)
        wh_buf_consume(&link->out, (size_t)written);
    if (link->out.len > 0) {
        write_later(link);
    } else if (link->out.cap > OUT_KEEP_BYTES) {
        wh_buf_deinit(&link->out);
        wh_buf_init(&link->out, link->queue_bytes_max);
    }
}

static void on_turn_end(struct wh_task *task)
{
    struct wh_redis_link *link = WH_CONTAINER_OF(task, struct wh_redis_link, flush);
    wh_task_cancel(task);
    flush_out(link);
}

/* Best effort: a kernel that refuses one of these still gives a working connection. */
static void tune_tcp(struct wh_redis_link *link)
{
    uv_os_fd_t fd;
    unsigned unacked_ms = UNACKED_MS;
    uv_tcp_nodelay(&link->uv.tcp, 1);
    uv_tcp_keepalive(&link->uv.tcp, 1, KEEPALIVE_S);
    if (uv_fileno(&link->uv.handle, &fd) == 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacked_ms, sizeof unacked_ms);
}

static void on_connect(uv_connect_t *connect, int status)
{
    struct wh_redis_link *link = connect->data;
    if (link->is_closing)
        return;
    if (status == 0) {
        if (link->is_tcp)
            tune_tcp(link);
        status = uv_read_start(&link->uv.stream, on_alloc, on_read);
    }
    if (status < 0) {
        lose(link, "connect", status);
        return;
    }
    link->is_connected = true;
    wh_loop_at_turn_end(link->loop, &link->flush);
    link->events.on_connected(link->events.user);
}

static int start_connect(struct wh_redis_link *link, const struct wh_redis_link_options *options)
{
    if (link->is_tcp)
        return uv_tcp_connect(&link->connect, &link->uv.tcp, options->address, on_connect);
    uv_pipe_connect(&link->connect, &link->uv.pipe, options->path, on_connect);
    return 0;
}

enum wh_err wh_redis_link_open(struct wh_loop *loop,
                               const struct wh_redis_link_options *options,
                               struct wh_redis_link **out_link)
{
    struct wh_redis_link *link = wh_calloc(1, sizeof *link);
    if (!link || wh_redis_reader_init(&link->reader, options->reply_bytes_max) != WH_OK) {
        wh_free(link);
        return WH_ENOMEM;
    }
    link->loop = loop;
    link->events = options->events;
    link->queue_bytes_max = options->queue_bytes_max;
    link->is_tcp = options->path == NULL;
    wh_buf_init(&link->out, link->queue_bytes_max);
    wh_task_init(&link->flush, on_turn_end);

    int rc = link->is_tcp ? uv_tcp_init(&loop->uv, &link->uv.tcp)
                          : uv_pipe_init(&loop->uv, &link->uv.pipe, 0);
    WH_ASSERT(rc == 0); /* neither opens a descriptor */
    link->uv.handle.data = link;
    link->connect.data = link;
    rc = start_connect(link, options);
    if (rc < 0) {
        wh_redis_link_close(link);
        return WH_EIO;
    }
    *out_link = link;
    return WH_OK;
}

enum wh_err wh_redis_link_write(struct wh_redis_link *link,
                                const struct wh_slice *argv,
                                size_t argc)
{
    size_t needed = COMMAND_OVERHEAD;
    for (size_t i = 0; i < argc; i++)
        needed += argv[i].len + COMMAND_OVERHEAD + 10;
    if (needed > link->queue_bytes_max ||
        link->out.len + link->writing.len > link->queue_bytes_max - needed)
        return WH_ELIMIT;

    size_t before = link->out.len;
    wh_buf_append_char(&link->out, '*');
    wh_buf_append_u64(&link->out, argc);
    wh_buf_append(&link->out, "\r\n", 2);
    for (size_t i = 0; i < argc; i++) {
        wh_buf_append_char(&link->out, '$');
        wh_buf_append_u64(&link->out, argv[i].len);
        wh_buf_append(&link->out, "\r\n", 2);
        wh_buf_append_slice(&link->out, argv[i]);
        wh_buf_append(&link->out, "\r\n", 2);
    }
    enum wh_err err = wh_buf_error(&link->out);
    if (err) {
        /* Only memory can be short here; forget the half command and the error with it. */
        wh_buf_truncate(&link->out, before);
        link->out.err = WH_OK;
        return err;
    }
    if (link->is_connected)
        wh_loop_at_turn_end(link->loop, &link->flush);
    return WH_OK;
}

uint64_t wh_redis_link_bytes_read(const struct wh_redis_link *link)
{
    return link->bytes_read;
}
