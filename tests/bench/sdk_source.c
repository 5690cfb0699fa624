/*
 * bench_sdk_source: a WebSocket server that is faster than any client, so that what limits a run is
 * the client.  It serves one connection after another: answers connect and subscribe, then sends
 * MESSAGES publications of SIZE payload bytes, PER_FRAME in a frame, as fast as the socket takes
 * them, 64 KiB of frames a call (with a call a frame it would be the source that limits a client
 * that sleeps whenever it has nothing to read); then it reads until the client is gone.
 *
 *     bench_sdk_source MESSAGES SIZE PER_FRAME       prints its port
 *
 * Payloads are {"n":1000000000,"pad":"xxx"} with n counting up: of constant width, so that a frame
 * is made once and only its digits change.  JSON, or Protobuf when the client asks for it.  It
 * knows of the protocol what two commands need and links nothing of the project.
 */
#include <openssl/evp.h>

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    REQUEST_MAX = 16 * 1024,
    MESSAGE_MAX = 64 * 1024,
    PER_FRAME_MAX = 256,
    SEND_BYTES = 64 * 1024,
    SIZE_MIN = 32,
    FIRST_NUMBER = 1000000000,
    DIGITS = 10
};
#define WEBSOCKET_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

struct bytes {
    unsigned char data[MESSAGE_MAX * 4];
    size_t len;
};

struct stream {
    uint32_t messages;
    size_t size;
    unsigned per_frame;
    struct bytes frame;                 /* full, with its WebSocket header */
    size_t digits_at[PER_FRAME_MAX];    /* where the number of each message stands in it */
    size_t message_ends[PER_FRAME_MAX]; /* from here on the next message */
    size_t header_len;
};

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(1);
}

static void put(struct bytes *out, const void *data, size_t len)
{
    if (len > sizeof out->data - out->len) {
        fprintf(stderr, "bench_sdk_source: SIZE × PER_FRAME is too much\n");
        exit(2);
    }
    memcpy(out->data + out->len, data, len);
    out->len += len;
}

static void put_byte(struct bytes *out, unsigned byte)
{
    unsigned char c = (unsigned char)byte;
    put(out, &c, 1);
}

static void put_varint(struct bytes *out, uint64_t number)
{
    for (; number > 0x7f; number >>= 7)
        put_byte(out, (unsigned)(number & 0x7f) | 0x80);
    put_byte(out, (unsigned)number);
}

static void put_text(struct bytes *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void put_text(struct bytes *out, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    put(out, text, (size_t)len);
}

static void put_field(struct bytes *out, unsigned number, const void *data, size_t len)
{
    put_varint(out, number << 3 | 2);
    put_varint(out, len);
    put(out, data, len);
}

static size_t frame_header(unsigned char *header, bool is_text, size_t len)
{
    header[0] = is_text ? 0x81 : 0x82;
    if (len < 126) {
        header[1] = (unsigned char)len;
        return 2;
    }
    if (len < 65536) {
        header[1] = 126;
        header[2] = (unsigned char)(len >> 8);
        header[3] = (unsigned char)len;
        return 4;
    }
    header[1] = 127;
    for (int i = 0; i < 8; i++)
        header[2 + i] = (unsigned char)((uint64_t)len >> (56 - 8 * i));
    return 10;
}

static bool send_all(int fd, const void *data, size_t len)
{
    const unsigned char *at = data;
    while (len > 0) {
        ssize_t sent = send(fd, at, len, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        at += sent;
        len -= (size_t)sent;
    }
    return true;
}

static bool send_message(int fd, bool is_text, const struct bytes *message)
{
    unsigned char header[10];
    size_t header_len = frame_header(header, is_text, message->len);
    return send_all(fd, header, header_len) && send_all(fd, message->data, message->len);
}

/* One publication; its number's place is told. */
static size_t put_publication(struct bytes *out, bool is_text, size_t size)
{
    struct bytes payload = {.len = 0}, pub = {.len = 0}, push = {.len = 0}, reply = {.len = 0};
    put_text(&payload, "{\"n\":%d,\"pad\":\"", FIRST_NUMBER);
    while (payload.len + 2 < size)
        put_byte(&payload, 'x');
    put_text(&payload, "\"}");
    if (is_text) {
        put_text(out, "{\"push\":{\"channel\":\"bench\",\"pub\":{\"data\":");
        size_t at = out->len + strlen("{\"n\":");
        put(out, payload.data, payload.len);
        put_text(out, "}}}");
        return at;
    }
    put_field(&pub, 4, payload.data, payload.len); /* Publication.data */
    put_field(&push, 2, "bench", 5);               /* Push.channel */
    put_field(&push, 4, pub.data, pub.len);        /* Push.pub */
    put_field(&reply, 4, push.data, push.len);     /* Reply.push */
    put_varint(out, reply.len);
    size_t at = out->len + reply.len - payload.len + strlen("{\"n\":");
    put(out, reply.data, reply.len);
    return at;
}

static void make_frame(struct stream *stream, bool is_text)
{
    static struct bytes body;
    body.len = 0;
    for (unsigned i = 0; i < stream->per_frame; i++) {
        if (is_text && i > 0)
            put_byte(&body, '\n');
        stream->digits_at[i] = put_publication(&body, is_text, stream->size);
        stream->message_ends[i] = body.len;
    }
    unsigned char header[10];
    stream->header_len = frame_header(header, is_text, body.len);
    stream->frame.len = 0;
    put(&stream->frame, header, stream->header_len);
    put(&stream->frame, body.data, body.len);
}

static void write_number(unsigned char *at, uint32_t number)
{
    for (int i = DIGITS - 1; i >= 0; i--, number /= 10)
        at[i] = (unsigned char)('0' + number % 10);
}

static bool send_stream(int fd, struct stream *stream, bool is_text)
{
    static unsigned char waiting[SEND_BYTES + sizeof stream->frame.data];
    make_frame(stream, is_text);
    uint32_t sent = 0;
    size_t len = 0;
    while (stream->messages - sent >= stream->per_frame) {
        for (unsigned i = 0; i < stream->per_frame; i++)
            write_number(stream->frame.data + stream->header_len + stream->digits_at[i],
                         FIRST_NUMBER + sent + i);
        memcpy(waiting + len, stream->frame.data, stream->frame.len);
        len += stream->frame.len;
        sent += stream->per_frame;
        if (len < SEND_BYTES && stream->messages - sent >= stream->per_frame)
            continue;
        if (!send_all(fd, waiting, len))
            return false;
        len = 0;
    }
    return sent == stream->messages;
}

/* ---- the little that is read ---------------------------------------------------------------- */

static bool read_exactly(int fd, void *out, size_t len)
{
    unsigned char *at = out;
    while (len > 0) {
        ssize_t got = recv(fd, at, len, 0);
        if (got <= 0)
            return false;
        at += got;
        len -= (size_t)got;
    }
    return true;
}

/* One frame of the client, unmasked and NUL-terminated; false at the end. */
static bool read_frame(int fd, unsigned char *out, size_t *out_len)
{
    unsigned char head[2], more[8], mask[4];
    if (!read_exactly(fd, head, 2))
        return false;
    uint64_t len = head[1] & 0x7f;
    if (len >= 126) {
        size_t bytes = len == 126 ? 2 : 8;
        if (!read_exactly(fd, more, bytes))
            return false;
        len = 0;
        for (size_t i = 0; i < bytes; i++)
            len = len << 8 | more[i];
    }
    if (len >= MESSAGE_MAX || !read_exactly(fd, mask, 4) || !read_exactly(fd, out, len))
        return false;
    for (size_t i = 0; i < len; i++)
        out[i] ^= mask[i % 4];
    out[len] = '\0';
    *out_len = len;
    return (head[0] & 0x0f) != 8; /* a close frame is the end too */
}

static uint64_t read_varint(const unsigned char **at, const unsigned char *end)
{
    uint64_t number = 0;
    for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
        unsigned char byte = *(*at)++;
        number |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            break;
    }
    return number;
}

struct command {
    uint32_t id;
    bool is_connect, is_subscribe;
};

static struct command read_json(const char *line, size_t len)
{
    char text[MESSAGE_MAX];
    memcpy(text, line, len);
    text[len] = '\0';
    const char *id = strstr(text, "\"id\":");
    return (struct command){.id = id ? (uint32_t)strtoul(id + 5, NULL, 10) : 0,
                            .is_connect = strstr(text, "\"connect\":") != NULL,
                            .is_subscribe = strstr(text, "\"subscribe\":") != NULL};
}

static struct command read_protobuf(const unsigned char *at, const unsigned char *end)
{
    struct command command = {0};
    while (at < end) {
        uint64_t tag = read_varint(&at, end), value = read_varint(&at, end);
        if (tag == (1 << 3))
            command.id = (uint32_t)value;
        command.is_connect |= tag == (4 << 3 | 2);
        command.is_subscribe |= tag == (5 << 3 | 2);
        if ((tag & 7) == 2)
            at += value;
    }
    return command;
}

static void put_reply(struct bytes *out, bool is_text, const struct command *command)
{
    if (is_text) {
        if (out->len > 0)
            put_byte(out, '\n');
        if (command->is_connect)
            put_text(out, "{\"id\":%u,\"connect\":{\"client\":\"bench\",\"version\":\"0\"}}",
                     command->id);
        else
            put_text(out, "{\"id\":%u,\"subscribe\":{}}", command->id);
        return;
    }
    struct bytes result = {.len = 0}, reply = {.len = 0};
    if (command->is_connect)
        put_field(&result, 1, "bench", 5), put_field(&result, 2, "0", 1);
    put_varint(&reply, 1 << 3), put_varint(&reply, command->id);
    put_field(&reply, command->is_connect ? 5 : 6, result.data, result.len);
    put_varint(out, reply.len);
    put(out, reply.data, reply.len);
}

/* Answers what a frame asks; true when the subscription was among it. */
static bool answer(int fd, bool is_text, const unsigned char *frame, size_t len)
{
    static struct bytes out;
    out.len = 0;
    bool is_subscribed = false;
    const unsigned char *at = frame, *end = frame + len;
    while (at < end) {
        struct command command;
        if (is_text) {
            const unsigned char *line_end = memchr(at, '\n', (size_t)(end - at));
            if (!line_end)
                line_end = end;
            command = read_json((const char *)at, (size_t)(line_end - at));
            at = line_end + 1;
        } else {
            uint64_t message = read_varint(&at, end);
            command = read_protobuf(at, at + message);
            at += message;
        }
        if (command.is_connect || command.is_subscribe)
            put_reply(&out, is_text, &command);
        is_subscribed |= command.is_subscribe;
    }
    if (out.len > 0 && !send_message(fd, is_text, &out))
        return false;
    return is_subscribed;
}

/* The answer to the upgrade; false when there was none.  Protobuf when it was offered. */
static bool upgrade(int fd, bool *out_is_text)
{
    char request[REQUEST_MAX + 1];
    size_t len = 0;
    do {
        ssize_t got = recv(fd, request + len, REQUEST_MAX - len, 0);
        if (got <= 0)
            return false;
        len += (size_t)got;
        request[len] = '\0';
    } while (len < REQUEST_MAX && !strstr(request, "\r\n\r\n"));
    const char *key = strcasestr(request, "\r\nSec-WebSocket-Key:");
    if (!key)
        return false;
    key += strlen("\r\nSec-WebSocket-Key:");
    key += strspn(key, " ");
    char text[256];
    int text_len =
        snprintf(text, sizeof text, "%.*s%s", (int)strcspn(key, "\r "), key, WEBSOCKET_GUID);
    unsigned char digest[EVP_MAX_MD_SIZE], accept[64];
    unsigned digest_len = 0;
    EVP_Digest(text, (size_t)text_len, digest, &digest_len, EVP_sha1(), NULL);
    EVP_EncodeBlock(accept, digest, (int)digest_len);
    bool is_protobuf = strstr(request, "centrifuge-protobuf") != NULL;
    char response[512];
    int response_len =
        snprintf(response, sizeof response,
                 "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Accept: %s\r\n%s\r\n",
                 accept, is_protobuf ? "Sec-WebSocket-Protocol: centrifuge-protobuf\r\n" : "");
    *out_is_text = !is_protobuf;
    return send_all(fd, response, (size_t)response_len);
}

static void serve(int fd, struct stream *stream)
{
    static unsigned char frame[MESSAGE_MAX + 1];
    bool is_text;
    size_t len;
    if (!upgrade(fd, &is_text))
        return;
    bool is_streamed = false;
    while (read_frame(fd, frame, &len)) {
        if (!answer(fd, is_text, frame, len) || is_streamed)
            continue;
        is_streamed = true;
        if (!send_stream(fd, stream, is_text))
            return;
    }
}

static int listen_somewhere(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 16) ||
        getsockname(fd, (struct sockaddr *)&address, &len))
        die("listen");
    printf("%u\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv)
{
    static struct stream stream;
    if (argc == 4) {
        stream.messages = (uint32_t)strtoul(argv[1], NULL, 10);
        stream.size = strtoul(argv[2], NULL, 10);
        stream.per_frame = (unsigned)strtoul(argv[3], NULL, 10);
    }
    if (stream.messages == 0 || stream.size < SIZE_MIN || stream.per_frame == 0 ||
        stream.per_frame > PER_FRAME_MAX || stream.messages % stream.per_frame) {
        fprintf(stderr,
                "usage: bench_sdk_source MESSAGES SIZE PER_FRAME\n"
                "MESSAGES a multiple of PER_FRAME (1 to %d), SIZE in bytes from %d\n",
                PER_FRAME_MAX, SIZE_MIN);
        return 2;
    }
    int listener = listen_somewhere();
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            die("accept");
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        serve(fd, &stream);
        close(fd);
    }
}
