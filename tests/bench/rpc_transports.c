/*
 * raw: frames over a Unix socket, [length, id, bytes]: what no transport can beat.
 * echo: a round trip to Redis and nothing else.
 * list: our contract, lean: RPUSH of a turn's calls, answers by PUBLISH.
 * nats: its text protocol, lean: PUB with an inbox, answers as MSG.
 */

#include "rpc_caller.h"

#include "rpc_envelope.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* raw */

static bool open_one(struct caller *caller)
{
    return stream_connect(&caller->streams[0], caller->options.address);
}

static void raw_call(struct caller *caller, uint64_t id)
{
    uint32_t length = caller->options.size;
    stream_put(&caller->streams[0], &length, sizeof(length));
    stream_put(&caller->streams[0], &id, sizeof(id));
    stream_put(&caller->streams[0], caller->payload, length);
}

static void raw_input(struct caller *caller, struct stream *stream, uint64_t now_ns)
{
    size_t at = 0;
    uint32_t length = 0;
    uint64_t id = 0;
    while (stream->in_length - at >= sizeof(length) + sizeof(id)) {
        memcpy(&length, stream->in + at, sizeof(length));
        memcpy(&id, stream->in + at + sizeof(length), sizeof(id));
        size_t whole = sizeof(length) + sizeof(id) + length;
        if (stream->in_length - at < whole) {
            break;
        }
        pace_end(&caller->pace, id, length == caller->options.size, now_ns);
        at += whole;
    }
    stream_drop(stream, at);
}

const struct transport raw_transport = {"raw", open_one, raw_call, NULL, raw_input};

/* echo */

static void echo_call(struct caller *caller, uint64_t id)
{
    (void)id; /* answers come in order */
    stream_print(&caller->streams[0], "*2\r\n");
    resp_put_text(&caller->streams[0], "ECHO");
    resp_put(&caller->streams[0], caller->payload, caller->options.size);
}

static void echo_input(struct caller *caller, struct stream *stream, uint64_t now_ns)
{
    const char *at = stream->in;
    struct resp_token token;
    while (resp_take(&at, stream->in + stream->in_length, &token)) {
        caller->answers++;
        pace_end(&caller->pace, caller->answers,
                 token.type == '$' && token.length == caller->options.size, now_ns);
    }
    stream_drop(stream, (size_t)(at - stream->in));
}

const struct transport echo_transport = {"echo", open_one, echo_call, NULL, echo_input};

/* list: streams[0] sends, streams[1] is subscribed */

static bool list_open(struct caller *caller)
{
    caller->stream_count = 2;
    if (!stream_connect(&caller->streams[0], caller->options.address) ||
        !stream_connect(&caller->streams[1], caller->options.address)) {
        return false;
    }
    stream_print(&caller->streams[1], "SUBSCRIBE %s\r\n", caller->reply);
    stream_wait(&caller->streams[1]);
    stream_drop(&caller->streams[1], caller->streams[1].in_length);
    return !caller->streams[1].is_broken;
}

static void list_call(struct caller *caller, uint64_t id)
{
    char call[ENVELOPE_MAX];
    size_t length = envelope_call(call, id, "bench.v1.echo", caller->reply,
                                  (struct bytes){caller->payload, caller->options.size});
    resp_put(&caller->batch, call, length);
    caller->batch_count++;
}

static void list_end_turn(struct caller *caller)
{
    if (caller->batch_count == 0) {
        return;
    }
    stream_print(&caller->streams[0], "*%" PRIu32 "\r\n", caller->batch_count + 2);
    resp_put_text(&caller->streams[0], "RPUSH");
    resp_put_text(&caller->streams[0], "wh:rpc:bench");
    stream_put(&caller->streams[0], caller->batch.out, caller->batch.out_length);
    caller->batch.out_length = 0;
    caller->batch_count = 0;
}

static void list_answers(struct caller *caller, const struct resp_token *message, uint64_t now_ns)
{
    const char *at = message->bytes;
    const char *end = at + message->length;
    struct envelope answer;
    while (at < end && envelope_take(&at, end, &answer)) {
        pace_end(&caller->pace, answer.id,
                 !answer.is_error && answer.payload.length == caller->options.size, now_ns);
    }
    caller->pace.failed += at < end;
}

static void list_input(struct caller *caller, struct stream *stream, uint64_t now_ns)
{
    const char *at = stream->in;
    const char *end = at + stream->in_length;
    const char *done = at;
    struct resp_token token;
    while (resp_take(&at, end, &token)) {
        if (stream == &caller->streams[0]) { /* how many are queued */
            caller->pace.failed += token.type != ':';
        } else { /* "message", channel, payload */
            struct resp_token parts[3];
            if (!resp_take(&at, end, &parts[0]) || !resp_take(&at, end, &parts[1]) ||
                !resp_take(&at, end, &parts[2])) {
                break;
            }
            list_answers(caller, &parts[2], now_ns);
        }
        done = at;
    }
    stream_drop(stream, (size_t)(done - stream->in));
}

const struct transport list_transport = {"list", list_open, list_call, list_end_turn, list_input};

/* nats */

static bool nats_open(struct caller *caller)
{
    struct stream *stream = &caller->streams[0];
    if (!open_one(caller)) {
        return false;
    }
    stream_print(stream, "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n"
                         "SUB _INBOX.bench.* 1\r\nPING\r\n");
    while (!stream->is_broken && (stream->in_length < 6 ||
                                  memmem(stream->in, stream->in_length, "PONG\r\n", 6) == NULL)) {
        stream_wait(stream);
    }
    stream_drop(stream, stream->in_length);
    return !stream->is_broken;
}

static void nats_call(struct caller *caller, uint64_t id)
{
    stream_print(&caller->streams[0], "PUB bench _INBOX.bench.%" PRIu64 " %" PRIu32 "\r\n", id,
                 caller->options.size);
    stream_put(&caller->streams[0], caller->payload, caller->options.size);
    stream_put(&caller->streams[0], "\r\n", 2);
}

static void nats_input(struct caller *caller, struct stream *stream, uint64_t now_ns)
{
    const char *at = stream->in;
    const char *end = at + stream->in_length;
    for (const char *stop; at < end && (stop = memchr(at, '\n', (size_t)(end - at))) != NULL;) {
        uint64_t id = 0;
        uint32_t length = 0;
        const char *next = stop + 1;
        if (memcmp(at, "MSG ", 4) == 0) {
            bool is_good = sscanf(at, "MSG _INBOX.bench.%" SCNu64 " 1 %" SCNu32, &id, &length) == 2;
            if (end - next < (ptrdiff_t)length + 2) {
                break;
            }
            next += length + 2;
            pace_end(&caller->pace, id, is_good && length == caller->options.size, now_ns);
        } else if (*at == 'P' && at[1] == 'I') {
            stream_print(stream, "PONG\r\n");
        } else if (*at == '-') {
            fprintf(stderr, "%.*s\n", (int)(stop - at), at);
            caller->pace.failed++;
        }
        at = next;
    }
    stream_drop(stream, (size_t)(at - stream->in));
}

const struct transport nats_transport = {"nats", nats_open, nats_call, NULL, nats_input};
