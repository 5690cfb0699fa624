#include "json_peer.h"

#include "fake_server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { ROOM = 1 << 20 };

static void emit(void *user, const char *text)
{
    struct raw_stream *stream = user;
    (void)raw_frame(stream, 0x81, text, strlen(text));
}

static bool answer_frame(struct raw_stream *stream, struct fake_server *server, char *text)
{
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        if (!fake_server_answer(server, line, emit, stream))
            return false;
    return true;
}

void json_peer_script(struct raw_stream *stream, void *user)
{
    struct fake_server server = {.pushes = 1};
    int one = 1;
    /* A frame is two writes: without this the second waits for the client's delayed ACK. */
    (void)setsockopt(stream->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (!raw_read_request(stream))
        return;
    if (user)
        memcpy(user, stream->request, sizeof stream->request);
    if (!raw_upgrade(stream, NULL))
        return;
    char *payload = malloc(ROOM + 1);
    uint8_t first;
    size_t len;
    while (payload && raw_read_frame(stream, &first, payload, ROOM, &len)) {
        uint8_t opcode = first & 0xf;
        payload[len] = '\0';
        if (opcode == 8) {
            (void)raw_frame(stream, first, payload, len);
            break;
        }
        if (opcode == 9 && !raw_frame(stream, 0x8a, payload, len))
            break;
        if (opcode == 1 && !answer_frame(stream, &server, payload))
            break;
    }
    free(payload);
}
