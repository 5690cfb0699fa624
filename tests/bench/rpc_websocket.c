/*
 * websocket: calls to a hub by the JSON protocol, one command a frame as SDKs send it, spread over
 * the connections in turn.
 */

#include "rpc_caller.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPCODE_TEXT = 1, OPCODE_CLOSE = 8, OPCODE_PING = 9, OPCODE_PONG = 10 };

/* Masked with zeros, which saves the work and is allowed. */
static void put_frame(struct stream *stream, unsigned opcode, const char *text, size_t length)
{
    unsigned char head[8] = {(unsigned char)(0x80U | opcode), 0x80 | 126,
                             (unsigned char)(length >> 8), (unsigned char)length};
    if (length < 126) {
        head[1] = (unsigned char)(0x80U | length);
        memset(head + 2, 0, 4);
    }
    stream_put(stream, head, length < 126 ? 6 : 8);
    stream_put(stream, text, length);
}

static bool wait_for(struct stream *stream, const char *text)
{
    while (!stream->is_broken && (stream->in_length == 0 || memmem(stream->in, stream->in_length,
                                                                   text, strlen(text)) == NULL)) {
        stream_wait(stream);
    }
    if (!stream->is_broken) {
        stream_drop(stream, stream->in_length);
    }
    return !stream->is_broken;
}

static bool websocket_open(struct caller *caller)
{
    static const char connect[] = "{\"id\":1,\"connect\":{}}";
    caller->stream_count = caller->options.connections;
    for (uint32_t i = 0; i < caller->stream_count; i++) {
        struct stream *stream = &caller->streams[i];
        if (!stream_connect(stream, caller->options.address)) {
            return false;
        }
        stream_print(stream,
                     "GET /connection/websocket HTTP/1.1\r\nHost: 127.0.0.1:%s\r\n"
                     "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                     "Sec-WebSocket-Version: 13\r\n\r\n",
                     caller->options.address);
        if (!wait_for(stream, "\r\n\r\n")) {
            return false;
        }
        put_frame(stream, OPCODE_TEXT, connect, sizeof(connect) - 1);
        if (!wait_for(stream, "\"connect\":{")) {
            return false;
        }
    }
    return true;
}

/* Ids of calls are those of commands; 1 was connect's, in another sense: it has been answered. */
static void websocket_call(struct caller *caller, uint64_t id)
{
    char command[PAYLOAD_SIZE_MAX + 256];
    int length = snprintf(command, sizeof(command),
                          "{\"id\":%" PRIu64 ",\"rpc\":{\"method\":\"%s\",\"data\":%.*s}}", id,
                          caller->options.method, (int)caller->options.size, caller->payload);
    put_frame(&caller->streams[caller->stream_next], OPCODE_TEXT, command, (size_t)length);
    caller->stream_next = (caller->stream_next + 1) % caller->stream_count;
}

static void on_reply(struct caller *caller, const char *text, size_t length, uint64_t now_ns)
{
    static const char begin[] = "{\"id\":";
    static const char result[] = ",\"rpc\":{\"data\":{\"pad\":\"";
    if (length < sizeof(begin) || memcmp(text, begin, sizeof(begin) - 1) != 0) {
        caller->pace.failed++;
        return;
    }
    char *end = NULL;
    uint64_t id = strtoull(text + sizeof(begin) - 1, &end, 10); /* a brace ends the text */
    size_t left = length - (size_t)(end - text);
    bool is_good = left == caller->options.size + strlen(",\"rpc\":{\"data\":}}") &&
                   memcmp(end, result, sizeof(result) - 1) == 0;
    if (!is_good && caller->pace.failed == 0) {
        fprintf(stderr, "first bad reply: %.*s\n", (int)length, text);
    }
    pace_end(&caller->pace, id, is_good, now_ns);
}

static void on_frame(struct caller *caller,
                     struct stream *stream,
                     unsigned opcode,
                     const char *text,
                     size_t length,
                     uint64_t now_ns)
{
    const char *end = text + length;
    if (opcode == OPCODE_PING) {
        put_frame(stream, OPCODE_PONG, text, length);
    } else if (opcode == OPCODE_CLOSE) {
        fprintf(stderr, "closed: %.*s\n", length > 2 ? (int)length - 2 : 0, text + 2);
        stream->is_broken = true;
    }
    while (opcode == OPCODE_TEXT && text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *stop = newline != NULL ? newline : end;
        if (stop - text == 2) { /* {}: a ping of the protocol */
            put_frame(stream, OPCODE_TEXT, "{}", 2);
        } else {
            on_reply(caller, text, (size_t)(stop - text), now_ns);
        }
        text = stop + 1;
    }
}

static void websocket_input(struct caller *caller, struct stream *stream, uint64_t now_ns)
{
    size_t at = 0;
    while (stream->in_length - at >= 2) {
        const unsigned char *bytes = (const unsigned char *)stream->in + at;
        size_t length = bytes[1] & 0x7fU;
        size_t extra = length == 126 ? 2 : length == 127 ? 8 : 0;
        if (stream->in_length - at < 2 + extra) {
            break;
        }
        length = extra > 0 ? 0 : length;
        for (size_t i = 0; i < extra; i++) {
            length = length << 8 | bytes[2 + i];
        }
        if (stream->in_length - at < 2 + extra + length) {
            break;
        }
        on_frame(caller, stream, bytes[0] & 15U, stream->in + at + 2 + extra, length, now_ns);
        at += 2 + extra + length;
    }
    stream_drop(stream, at);
}

const struct transport websocket_transport = {"websocket", websocket_open, websocket_call, NULL,
                                              websocket_input};
