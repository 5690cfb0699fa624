/* RESP written by hand: the generator needs one command, and no library between it and the clock.
 */
#include "publisher.h"

#include "meter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static void fail(struct publisher *publisher, const char *what, const char *detail)
{
    fprintf(stderr, "redis: %s: %s\n", what, detail);
    publisher->failed = true;
}

void publisher_open(struct publisher *publisher, uint16_t port)
{
    int on = 1;
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    publisher->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (publisher->fd < 0 ||
        connect(publisher->fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        fail(publisher, "connect", strerror(errno));
        return;
    }
    setsockopt(publisher->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static size_t write_payload(const struct publisher *publisher, char *out)
{
    int length = snprintf(out, PAYLOAD_MAX, "{\"seq\":%" PRIu32 ",\"t\":%" PRIu64 ",\"pad\":\"",
                          publisher->published, meter_now_ns());
    size_t used = (size_t)length;
    while (used + 2 < publisher->payload_bytes) {
        out[used++] = 'x';
    }
    memcpy(out + used, "\"}", 2);
    return used + 2;
}

void publisher_publish(struct publisher *publisher)
{
    static char payload[PAYLOAD_MAX];
    static char command[PAYLOAD_MAX + 512];
    size_t length = write_payload(publisher, payload);
    int header = snprintf(command, 512, "*3\r\n$7\r\nPUBLISH\r\n$%zu\r\nwh:ch:%s\r\n$%zu\r\n",
                          strlen(publisher->channel) + 6, publisher->channel, length);
    size_t used = (size_t)header;
    memcpy(command + used, payload, length);
    memcpy(command + used + length, "\r\n", 2);
    used += length + 2;
    /* Blocking on purpose: Redis reads at once, and a full socket would be its fault to show. */
    if (send(publisher->fd, command, used, MSG_NOSIGNAL) != (ssize_t)used) {
        fail(publisher, "PUBLISH", strerror(errno));
        return;
    }
    publisher->published++;
}

static void on_reply(struct publisher *publisher, const char *line)
{
    if (line[0] != ':') {
        fail(publisher, "PUBLISH", line);
    } else if (strtoul(line + 1, NULL, 10) < publisher->receivers_min) {
        fail(publisher, "too few subscribers at Redis", line + 1);
    }
    publisher->replies++;
}

void publisher_on_readable(struct publisher *publisher)
{
    ssize_t got = recv(publisher->fd, publisher->reply + publisher->reply_length,
                       sizeof(publisher->reply) - publisher->reply_length - 1, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got <= 0) {
        fail(publisher, "connection", "lost");
        return;
    }
    size_t length = publisher->reply_length + (size_t)got;
    publisher->reply[length] = '\0';
    char *line = publisher->reply;
    for (char *end = strstr(line, "\r\n"); end != NULL; end = strstr(line, "\r\n")) {
        *end = '\0';
        on_reply(publisher, line);
        line = end + 2;
    }
    publisher->reply_length = length - (size_t)(line - publisher->reply);
    memmove(publisher->reply, line, publisher->reply_length);
}
