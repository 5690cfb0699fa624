#include "tests/support/stalling_peer.h"

#include "tests/support/raw_peer.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FRAME_MAX_BYTES = 1 << 20, TEXT = 0x81, CLOSE = 0x88 };

static void check(bool claim, const char *what)
{
    if (claim)
        return;
    perror(what);
    abort();
}

/* Until the connection is shut down from our side; what comes stays unread. */
static void stand_still(struct stalling_peer *peer, struct raw_stream *stream)
{
    struct pollfd fd = {.fd = stream->fd, .events = 0};
    atomic_store(&peer->has_stalled, true);
    while (poll(&fd, 1, -1) > 0 && !(fd.revents & (POLLHUP | POLLERR)))
        ;
}

static bool say(struct raw_stream *stream, const char *text)
{
    return raw_frame(stream, TEXT, text, strlen(text));
}

static void flood(struct stalling_peer *peer, struct raw_stream *stream)
{
    atomic_store(&peer->has_stalled, true);
    while (say(stream, "{\"push\":{\"channel\":\"up\",\"pub\":{\"data\":{\"n\":1}}}}"))
        ;
}

/* false = this was the last command that is read. */
static bool answer(struct stalling_peer *peer, struct raw_stream *stream, const char *line)
{
    char text[128];
    const char *at = strstr(line, "\"id\":");
    unsigned long id = at ? strtoul(at + strlen("\"id\":"), NULL, 10) : 0;
    bool is_up = strstr(line, "\"channel\":\"up\"") && strstr(line, "\"subscribe\":");
    atomic_fetch_add(&peer->commands, 1);
    if (strstr(line, "\"connect\":")) {
        if (peer->point == STALL_AT_CONNECT)
            return false;
        (void)snprintf(text, sizeof text, "{\"id\":%lu,\"connect\":{\"client\":\"c\"}}", id);
    } else if (is_up) {
        (void)snprintf(text, sizeof text, "{\"id\":%lu,\"subscribe\":{}}", id);
    } else if (strstr(line, "\"channel\":\"busy\"")) {
        (void)snprintf(
            text, sizeof text,
            "{\"id\":%lu,\"error\":{\"code\":100,\"message\":\"busy\",\"temporary\":true}}", id);
    } else {
        return true;
    }
    bool is_said = say(stream, text);
    return is_said && !(is_up && peer->point >= STALL_AFTER_SUBS);
}

static void serve(struct stalling_peer *peer, struct raw_stream *stream, char *frame)
{
    uint8_t first;
    size_t len;
    while (raw_read_frame(stream, &first, frame, FRAME_MAX_BYTES, &len)) {
        char *rest = NULL;
        if (first == CLOSE && peer->point == STALL_NOWHERE)
            (void)raw_frame(stream, first, frame, len);
        if (first == CLOSE) {
            atomic_store(&peer->was_closed, true);
            break;
        }
        frame[len] = '\0';
        for (char *line = strtok_r(frame, "\n", &rest); first == TEXT && line;
             line = strtok_r(NULL, "\n", &rest)) {
            if (answer(peer, stream, line))
                continue;
            if (peer->point == STALL_FLOOD)
                flood(peer, stream);
            stand_still(peer, stream);
            return;
        }
    }
    if (peer->point != STALL_NOWHERE)
        stand_still(peer, stream);
}

static void on_connection(struct raw_stream *stream, void *user)
{
    struct stalling_peer *peer = user;
    int on = 1; /* headers and payloads are written apart */
    (void)setsockopt(stream->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (peer->point == STALL_AT_ACCEPT || !raw_read_request(stream) ||
        peer->point == STALL_AT_REQUEST || !raw_upgrade(stream, NULL)) {
        stand_still(peer, stream);
        return;
    }
    char *frame = malloc(FRAME_MAX_BYTES + 1);
    check(frame != NULL, "malloc");
    serve(peer, stream, frame);
    free(frame);
}

void stalling_peer_start(struct stalling_peer *peer, enum stall_point point)
{
    *peer = (struct stalling_peer){.point = point};
    peer->peer = raw_peer_start(on_connection, peer, NULL);
    peer->port = raw_peer_port(peer->peer);
}

void stalling_peer_stop(struct stalling_peer *peer)
{
    if (peer->peer)
        raw_peer_stop(peer->peer);
    peer->peer = NULL;
}

/* ---- a port that does not answer ------------------------------------------------------------- */

void full_listener_start(struct full_listener *full)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    full->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(full->listener >= 0 &&
              bind(full->listener, (struct sockaddr *)&address, sizeof address) == 0 &&
              listen(full->listener, 0) == 0 &&
              getsockname(full->listener, (struct sockaddr *)&address, &len) == 0,
          "listen");
    full->port = ntohs(address.sin_port);
    for (size_t i = 0; i < sizeof full->fillers / sizeof *full->fillers; i++) {
        full->fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(full->fillers[i], (struct sockaddr *)&address, sizeof address);
    }
    full->waiting = full_listener_waiting(full);
    check(full->waiting > 0, "a full backlog");
}

void full_listener_stop(struct full_listener *full)
{
    for (size_t i = 0; i < sizeof full->fillers / sizeof *full->fillers; i++)
        (void)close(full->fillers[i]);
    (void)close(full->listener);
}

/* Linux, proc(5): "sl local rem st …", st 02 = SYN_SENT. */
unsigned full_listener_waiting(const struct full_listener *full)
{
    char line[512];
    unsigned count = 0;
    FILE *table = fopen("/proc/net/tcp", "r");
    check(table != NULL, "/proc/net/tcp");
    while (fgets(line, sizeof line, table)) {
        char *rest = NULL, *fields[4];
        for (size_t i = 0; i < 4; i++)
            fields[i] = strtok_r(i == 0 ? line : NULL, " ", &rest);
        const char *port = fields[3] ? strchr(fields[2], ':') : NULL;
        if (port && strtoul(port + 1, NULL, 16) == full->port)
            count += strtoul(fields[3], NULL, 16) == 2;
    }
    (void)fclose(table);
    return count;
}
