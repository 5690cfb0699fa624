#include "tests/support/raw_peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct raw_peer {
    int listener;
    uint16_t port;
    raw_script *script;
    void *user;
    SSL_CTX *tls;
    pthread_t thread;
    pthread_mutex_t lock;
    int current; /* −1 = none */
    bool is_stopping;
};

static void check(bool claim, const char *what)
{
    if (claim)
        return;
    perror(what);
    abort();
}

static void serve(struct raw_peer *peer, int fd)
{
    struct raw_stream stream = {.peer = peer, .fd = fd};
    if (peer->tls) {
        SSL *ssl = SSL_new(peer->tls);
        stream.tls = ssl;
        (void)SSL_set_fd(ssl, fd);
        char byte;
        if (SSL_accept(ssl) == 1) {
            peer->script(&stream, peer->user);
        } else {
            /* Closing with something unread would reset the connection, and the alert be lost. */
            (void)shutdown(fd, SHUT_WR);
            while (recv(fd, &byte, 1, 0) > 0)
                ;
        }
        (void)SSL_shutdown(ssl);
        SSL_free(ssl);
    } else {
        peer->script(&stream, peer->user);
    }
}

static void *run(void *arg)
{
    struct raw_peer *peer = arg;
    for (;;) {
        int fd = accept4(peer->listener, NULL, NULL, SOCK_CLOEXEC);
        (void)pthread_mutex_lock(&peer->lock);
        bool is_stopping = peer->is_stopping;
        peer->current = fd;
        (void)pthread_mutex_unlock(&peer->lock);
        if (fd >= 0 && !is_stopping)
            serve(peer, fd);
        (void)pthread_mutex_lock(&peer->lock);
        peer->current = -1;
        is_stopping = peer->is_stopping;
        (void)pthread_mutex_unlock(&peer->lock);
        if (fd >= 0)
            (void)close(fd);
        if (is_stopping)
            return NULL;
    }
}

struct raw_peer *raw_peer_start(raw_script *script, void *user, void *tls_context)
{
    struct raw_peer *peer = calloc(1, sizeof *peer);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    check(peer != NULL, "calloc");
    peer->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(peer->listener >= 0 &&
              bind(peer->listener, (struct sockaddr *)&address, sizeof address) == 0 &&
              listen(peer->listener, 512) == 0 &&
              getsockname(peer->listener, (struct sockaddr *)&address, &len) == 0,
          "listen");
    peer->port = ntohs(address.sin_port);
    peer->script = script;
    peer->user = user;
    peer->tls = tls_context;
    peer->current = -1;
    (void)pthread_mutex_init(&peer->lock, NULL);
    /* OpenSSL writes without MSG_NOSIGNAL here. */
    sigset_t quiet, before;
    (void)sigemptyset(&quiet);
    (void)sigaddset(&quiet, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &quiet, &before);
    if (script)
        check(pthread_create(&peer->thread, NULL, run, peer) == 0, "thread");
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return peer;
}

uint16_t raw_peer_port(const struct raw_peer *peer)
{
    return peer->port;
}

void raw_peer_stop(struct raw_peer *peer)
{
    (void)pthread_mutex_lock(&peer->lock);
    peer->is_stopping = true;
    if (peer->current >= 0)
        (void)shutdown(peer->current, SHUT_RDWR);
    (void)pthread_mutex_unlock(&peer->lock);
    (void)shutdown(peer->listener, SHUT_RDWR);
    if (peer->script)
        (void)pthread_join(peer->thread, NULL);
    (void)close(peer->listener);
    (void)pthread_mutex_destroy(&peer->lock);
    free(peer);
}

bool raw_read(struct raw_stream *stream, void *bytes, size_t len)
{
    char *at = bytes;
    while (len > 0) {
        ssize_t got =
            stream->tls ? SSL_read(stream->tls, at, (int)len) : recv(stream->fd, at, len, 0);
        if (got <= 0)
            return false;
        at += got;
        len -= (size_t)got;
    }
    return true;
}

bool raw_write(struct raw_stream *stream, const void *bytes, size_t len)
{
    const char *at = bytes;
    while (len > 0) {
        ssize_t put = stream->tls ? SSL_write(stream->tls, at, (int)len)
                                  : send(stream->fd, at, len, MSG_NOSIGNAL);
        if (put <= 0)
            return false;
        at += put;
        len -= (size_t)put;
    }
    return true;
}

bool raw_write_text(struct raw_stream *stream, const char *text)
{
    return raw_write(stream, text, strlen(text));
}

bool raw_read_request(struct raw_stream *stream)
{
    stream->request_len = 0;
    while (stream->request_len + 1 < sizeof stream->request) {
        if (!raw_read(stream, stream->request + stream->request_len, 1))
            return false;
        stream->request[++stream->request_len] = 0;
        if (stream->request_len >= 4 &&
            memcmp(stream->request + stream->request_len - 4, "\r\n\r\n", 4) == 0)
            return true;
    }
    return false;
}

bool raw_upgrade(struct raw_stream *stream, const char *subprotocol)
{
    char key[128], answer[512];
    unsigned char hash[EVP_MAX_MD_SIZE], accept[64];
    const char *at = strstr(stream->request, "Sec-WebSocket-Key: ");
    if (!at || sscanf(at, "Sec-WebSocket-Key: %60s", key) != 1)
        return false;
    (void)strcat(key, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    unsigned hash_len = 0;
    if (EVP_Digest(key, strlen(key), hash, &hash_len, EVP_sha1(), NULL) != 1)
        return false;
    (void)EVP_EncodeBlock(accept, hash, (int)hash_len);
    (void)snprintf(answer, sizeof answer,
                   "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                   "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n%s%s%s\r\n",
                   (char *)accept, subprotocol ? "Sec-WebSocket-Protocol: " : "",
                   subprotocol ? subprotocol : "", subprotocol ? "\r\n" : "");
    return raw_write_text(stream, answer);
}

bool raw_frame(struct raw_stream *stream, uint8_t first, const void *payload, size_t len)
{
    uint8_t header[10] = {first};
    size_t header_len = 2;
    if (len < 126) {
        header[1] = (uint8_t)len;
    } else if (len < 65536) {
        header[1] = 126;
        header[2] = (uint8_t)(len >> 8);
        header[3] = (uint8_t)len;
        header_len = 4;
    } else {
        header[1] = 127;
        for (size_t i = 0; i < 8; i++)
            header[2 + i] = (uint8_t)(len >> (56 - 8 * i));
        header_len = 10;
    }
    return raw_write(stream, header, header_len) && raw_write(stream, payload, len);
}

bool raw_read_frame(struct raw_stream *stream,
                    uint8_t *out_first,
                    void *payload,
                    size_t room,
                    size_t *out_len)
{
    uint8_t header[2], extended[8], mask[4];
    uint8_t *bytes = payload;
    if (!raw_read(stream, header, 2) || !(header[1] & 0x80))
        return false;
    size_t len = header[1] & 0x7f;
    size_t extra = len == 126 ? 2 : len == 127 ? 8 : 0;
    if (!raw_read(stream, extended, extra))
        return false;
    for (size_t i = 0; i < extra; i++)
        len = (i ? len << 8 : 0) | extended[i];
    if (len > room || !raw_read(stream, mask, 4) || !raw_read(stream, payload, len))
        return false;
    for (size_t i = 0; i < len; i++)
        bytes[i] ^= mask[i & 3];
    *out_first = header[0];
    *out_len = len;
    return true;
}

void raw_echo(struct raw_stream *stream)
{
    enum { ROOM = 8 << 20 };
    char *payload = malloc(ROOM);
    uint8_t first;
    size_t len;
    while (payload && raw_read_frame(stream, &first, payload, ROOM, &len)) {
        uint8_t opcode = first & 0xf;
        if (opcode == 0xa)
            continue;
        if (!raw_frame(stream, opcode == 9 ? 0x8a : first, payload, len) || opcode == 8)
            break;
    }
    free(payload);
}

void raw_wait_end(struct raw_stream *stream)
{
    char byte;
    while (raw_read(stream, &byte, 1))
        ;
}
