/*
 * A non-blocking socket, poll(2) for each wait, hiredis' parser behind it.
 * hiredis' own blocking context is not used: one malloc for each element of a
 * reply, no limit on its size, and a time-out for the whole connection where a
 * BLMPOP needs another one than a PUBLISH.
 */
#include "common/io/redis_blocking.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/io/redis_address.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    TIMEOUT_MS = 2000,
    KEEPALIVE_S = 10,
    UNACKED_MS = 5000,
    READ_SIZE = 64 * 1024,
    OUT_KEEP_BYTES = 256 * 1024, /* a larger buffer is given back after a burst */
    REPLY_BYTES_MAX = 64 * 1024 * 1024,
    QUEUE_BYTES_MAX = 64 * 1024 * 1024,
};

struct wh_redis_blocking {
    int fd;
    uint64_t client_id;
    struct wh_buf out;
    size_t written; /* of out */
    struct wh_redis_reader reader;
    char input[READ_SIZE];
};

static enum wh_err wait_for(int fd, short events, uint64_t deadline_ms)
{
    for (;;) {
        uint64_t now_ms = wh_clock_monotonic_ms();
        struct pollfd poll_fd = {.fd = fd, .events = events};
        uint64_t left_ms = deadline_ms > now_ms ? deadline_ms - now_ms : 0;
        int count = poll(&poll_fd, 1, left_ms > INT_MAX ? INT_MAX : (int)left_ms);
        if (count > 0)
            return WH_OK; /* errors as well: read or write tells which */
        if (count == 0)
            return WH_ETIMEOUT;
        if (errno != EINTR)
            return WH_EIO;
    }
}

static enum wh_err connect_to(struct wh_redis_blocking *redis,
                              const struct sockaddr *address,
                              socklen_t len,
                              uint64_t deadline_ms)
{
    int error = 0;
    socklen_t size = sizeof error;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return WH_EIO;
    redis->fd = fd;
    if (connect(fd, address, len) == 0)
        return WH_OK;
    if (errno != EINPROGRESS)
        return WH_EIO;
    enum wh_err err = wait_for(fd, POLLOUT, deadline_ms);
    if (!err && (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0)) {
        errno = error;
        err = WH_EIO;
    }
    if (err == WH_ETIMEOUT)
        errno = ETIMEDOUT;
    return err;
}

static void close_socket(struct wh_redis_blocking *redis)
{
    int saved_errno = errno;
    if (redis->fd >= 0)
        close(redis->fd);
    redis->fd = -1;
    errno = saved_errno;
}

static void tune_tcp(int fd)
{
    int one = 1, idle_s = KEEPALIVE_S, unacked_ms = UNACKED_MS;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacked_ms, sizeof unacked_ms);
}

static enum wh_err connect_tcp(struct wh_redis_blocking *redis,
                               const struct wh_redis_address *address,
                               uint32_t timeout_ms,
                               char *reason)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    enum wh_err err = WH_EIO;
    int status = getaddrinfo(address->host, address->port, &hints, &found);
    if (status != 0) {
        snprintf(reason, WH_REDIS_BLOCKING_REASON_MAX, "look-up: %s", gai_strerror(status));
        return WH_EIO;
    }
    uint64_t deadline_ms = wh_clock_monotonic_ms() + timeout_ms;
    for (const struct addrinfo *one = found; one && err; one = one->ai_next) {
        close_socket(redis);
        err = connect_to(redis, one->ai_addr, one->ai_addrlen, deadline_ms);
    }
    int error = errno;
    freeaddrinfo(found);
    if (err)
        snprintf(reason, WH_REDIS_BLOCKING_REASON_MAX, "connect: %s", strerrordesc_np(error));
    else
        tune_tcp(redis->fd);
    return err;
}

static enum wh_err connect_unix(struct wh_redis_blocking *redis,
                                const char *path,
                                uint32_t timeout_ms,
                                char *reason)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    enum wh_err err = connect_to(redis, (const struct sockaddr *)&address, sizeof address,
                                 wh_clock_monotonic_ms() + timeout_ms);
    if (err)
        snprintf(reason, WH_REDIS_BLOCKING_REASON_MAX, "connect: %s", strerrordesc_np(errno));
    return err;
}

static enum wh_err ask(struct wh_redis_blocking *redis,
                       const struct wh_slice *argv,
                       size_t argc,
                       uint32_t timeout_ms,
                       char *reason,
                       int64_t *out_integer)
{
    const struct wh_redis_reply *reply;
    wh_redis_blocking_append(redis, argv, argc);
    enum wh_err err = wh_redis_blocking_reply(redis, timeout_ms, &reply);
    if (err) {
        snprintf(reason, WH_REDIS_BLOCKING_REASON_MAX, "handshake: %s", wh_err_text(err));
    } else if (reply->type == WH_REDIS_ERROR) {
        snprintf(reason, WH_REDIS_BLOCKING_REASON_MAX, "redis: %.*s", WH_SLICE_ARGS(reply->text));
        err = WH_EDENIED;
    } else if (out_integer) {
        *out_integer = reply->type == WH_REDIS_INTEGER ? reply->integer : 0;
    }
    return err;
}

/* AUTH, SELECT, PING (which a server that loads or wants a password refuses), CLIENT ID. */
static enum wh_err greet(struct wh_redis_blocking *redis,
                         const struct wh_redis_blocking_options *options,
                         uint32_t timeout_ms,
                         char *reason)
{
    enum wh_err err = WH_OK;
    char db[24];
    int64_t id = 0;
    char ignored[WH_REDIS_BLOCKING_REASON_MAX];
    if (options->password && options->password[0]) {
        bool has_user = options->user && options->user[0];
        struct wh_slice password = wh_slice_from_str(options->password);
        struct wh_slice auth[3] = {WH_SLICE_LITERAL("AUTH"),
                                   has_user ? wh_slice_from_str(options->user) : password,
                                   password};
        err = ask(redis, auth, has_user ? 3 : 2, timeout_ms, reason, NULL);
    }
    if (!err && options->db != 0) {
        int len = snprintf(db, sizeof db, "%llu", (unsigned long long)options->db);
        struct wh_slice select[2] = {WH_SLICE_LITERAL("SELECT"), wh_slice(db, (size_t)len)};
        err = ask(redis, select, 2, timeout_ms, reason, NULL);
    }
    struct wh_slice ping[1] = {WH_SLICE_LITERAL("PING")};
    if (!err)
        err = ask(redis, ping, 1, timeout_ms, reason, NULL);
    /* An account may be denied this one: then nobody can unblock us, and time-outs have to do. */
    struct wh_slice client[2] = {WH_SLICE_LITERAL("CLIENT"), WH_SLICE_LITERAL("ID")};
    if (!err && ask(redis, client, 2, timeout_ms, ignored, &id) == WH_OK && id > 0)
        redis->client_id = (uint64_t)id;
    return err;
}

enum wh_err wh_redis_blocking_open(const struct wh_redis_blocking_options *options,
                                   char reason[WH_REDIS_BLOCKING_REASON_MAX],
                                   struct wh_redis_blocking **out_redis)
{
    struct wh_redis_address address;
    uint32_t timeout_ms = options->timeout_ms ? options->timeout_ms : TIMEOUT_MS;
    snprintf(reason, WH_REDIS_BLOCKING_REASON_MAX, "out of memory");
    struct wh_redis_blocking *redis = wh_calloc(1, sizeof *redis);
    if (!redis)
        return WH_ENOMEM;
    redis->fd = -1;
    wh_buf_init(&redis->out, QUEUE_BYTES_MAX);
    enum wh_err err = wh_redis_address_parse(options->address, &address);
    if (err)
        snprintf(reason, WH_REDIS_BLOCKING_REASON_MAX, "not an address");
    if (!err)
        err = wh_redis_reader_init(&redis->reader, REPLY_BYTES_MAX);
    if (!err && address.path[0])
        err = connect_unix(redis, address.path, timeout_ms, reason);
    else if (!err)
        err = connect_tcp(redis, &address, timeout_ms, reason);
    if (!err)
        err = greet(redis, options, timeout_ms, reason);
    if (err) {
        wh_redis_blocking_close(redis);
        return err;
    }
    reason[0] = '\0';
    *out_redis = redis;
    return WH_OK;
}

void wh_redis_blocking_close(struct wh_redis_blocking *redis)
{
    if (!redis)
        return;
    close_socket(redis);
    wh_buf_deinit(&redis->out);
    wh_redis_reader_deinit(&redis->reader);
    wh_free(redis);
}

uint64_t wh_redis_blocking_client_id(const struct wh_redis_blocking *redis)
{
    return redis->client_id;
}

void wh_redis_blocking_append(struct wh_redis_blocking *redis,
                              const struct wh_slice *argv,
                              size_t argc)
{
    wh_buf_append_char(&redis->out, '*');
    wh_buf_append_u64(&redis->out, argc);
    wh_buf_append(&redis->out, "\r\n", 2);
    for (size_t i = 0; i < argc; i++) {
        wh_buf_append_char(&redis->out, '$');
        wh_buf_append_u64(&redis->out, argv[i].len);
        wh_buf_append(&redis->out, "\r\n", 2);
        wh_buf_append_slice(&redis->out, argv[i]);
        wh_buf_append(&redis->out, "\r\n", 2);
    }
}

/* Redis may stop reading while it has replies for us that we do not read; at most some dozens of
 * small ones are ever outstanding here, which the socket's buffers hold. */
static enum wh_err flush(struct wh_redis_blocking *redis, uint64_t deadline_ms)
{
    enum wh_err err = wh_buf_error(&redis->out);
    while (!err && redis->written < redis->out.len) {
        ssize_t count = send(redis->fd, redis->out.ptr + redis->written,
                             redis->out.len - redis->written, MSG_NOSIGNAL);
        if (count >= 0)
            redis->written += (size_t)count;
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            err = wait_for(redis->fd, POLLOUT, deadline_ms);
        else if (errno != EINTR)
            err = WH_EIO;
    }
    if (err)
        return err;
    if (redis->out.cap > OUT_KEEP_BYTES) {
        wh_buf_deinit(&redis->out);
        wh_buf_init(&redis->out, QUEUE_BYTES_MAX);
    }
    wh_buf_reset(&redis->out);
    redis->written = 0;
    return WH_OK;
}

static enum wh_err fill(struct wh_redis_blocking *redis, uint64_t deadline_ms)
{
    for (;;) {
        ssize_t count = recv(redis->fd, redis->input, sizeof redis->input, 0);
        if (count > 0)
            return wh_redis_reader_feed(&redis->reader, wh_slice(redis->input, (size_t)count));
        if (count == 0)
            return WH_EIO;
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
            return WH_EIO;
        enum wh_err err = wait_for(redis->fd, POLLIN, deadline_ms);
        if (err)
            return err;
    }
}

enum wh_err wh_redis_blocking_reply(struct wh_redis_blocking *redis,
                                    uint32_t timeout_ms,
                                    const struct wh_redis_reply **out_reply)
{
    uint64_t deadline_ms = wh_clock_monotonic_ms() + timeout_ms;
    const struct wh_redis_reply *reply = NULL;
    enum wh_err err = flush(redis, deadline_ms);
    if (!err)
        err = wh_redis_reader_next(&redis->reader, &reply);
    while (!err && !reply) {
        err = fill(redis, deadline_ms);
        if (!err)
            err = wh_redis_reader_next(&redis->reader, &reply);
    }
    if (!err)
        *out_reply = reply;
    return err;
}
