#include "fake_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct answer {
    struct fake_server *server;
    fake_server_emit *emit;
    void *user;
    unsigned long id;
    const char *line;
};

static bool says(const struct answer *answer, const char *part)
{
    return strstr(answer->line, part) != NULL;
}

static void reply(const struct answer *answer, unsigned long id, const char *body)
{
    char text[512];
    (void)snprintf(text, sizeof text, "{\"id\":%lu,%s}", id, body);
    answer->emit(answer->user, text);
}

static void push(const struct answer *answer, const char *body)
{
    char text[512];
    (void)snprintf(text, sizeof text, "{\"push\":{%s}}", body);
    answer->emit(answer->user, text);
}

static void answer_connect(const struct answer *answer)
{
    if (says(answer, "\"token\":\"denied\""))
        reply(answer, answer->id, "\"error\":{\"code\":101,\"message\":\"unauthorized\"}");
    else if (says(answer, "\"token\":\"expired\""))
        reply(answer, answer->id, "\"error\":{\"code\":109,\"message\":\"token expired\"}");
    else
        reply(answer, answer->id,
              "\"connect\":{\"client\":\"c1\",\"version\":\"fake\",\"data\":{\"hello\":1}}");
}

static void answer_subscribe(const struct answer *answer)
{
    char channel[FAKE_SERVER_CHANNEL_BYTES] = "", text[256];
    const char *at = strstr(answer->line, "\"channel\":\"");
    if (at)
        (void)sscanf(at, "\"channel\":\"%63[^\"]", channel);
    if (strcmp(channel, "forbidden") == 0) {
        reply(answer, answer->id, "\"error\":{\"code\":103,\"message\":\"permission denied\"}");
        return;
    }
    bool is_recoverable = says(answer, "\"recoverable\":true");
    reply(answer, answer->id,
          is_recoverable ? "\"subscribe\":{\"recoverable\":true,\"positioned\":true,"
                           "\"epoch\":\"e\",\"offset\":1,\"recovered\":true}"
                         : "\"subscribe\":{}");
    for (uint32_t i = 1; i <= answer->server->pushes; i++) {
        char offset[32] = "";
        if (is_recoverable)
            (void)snprintf(offset, sizeof offset, ",\"offset\":%u", i + 1);
        (void)snprintf(text, sizeof text, "\"channel\":\"%s\",\"pub\":{\"data\":{\"n\":%u}%s}",
                       channel, i, offset);
        push(answer, text);
    }
}

static void push_everything(const struct answer *answer)
{
    static const char *const pushes[] = {
        "\"message\":{\"data\":{\"for\":\"you\"}}",
        "\"channel\":\"server\",\"subscribe\":{\"recoverable\":true,\"epoch\":\"e\",\"offset\":1}",
        ("\"channel\":\"server\",\"pub\":{\"data\":1,\"offset\":2,\"tags\":{\"k\":\"v\"},"
         "\"info\":{\"user\":\"\\u00fc\",\"client\":\"y\"}}"),
        "\"channel\":\"server\",\"join\":{\"info\":{\"user\":\"u\",\"client\":\"y\"}}",
        "\"channel\":\"server\",\"leave\":{\"info\":{\"user\":\"u\",\"client\":\"y\"}}",
        "\"channel\":\"server\",\"unsubscribe\":{\"code\":2000,\"reason\":\"r\"}",
    };
    for (unsigned i = 0; i < sizeof pushes / sizeof *pushes; i++)
        push(answer, pushes[i]);
}

/* The data of the call as it is. */
static void say(const struct answer *answer)
{
    const char *begin = strstr(answer->line, "\"data\":");
    const char *end = strstr(answer->line, ",\"method\":\"say\"");
    char text[512];
    if (!begin || !end)
        return;
    begin += strlen("\"data\":");
    (void)snprintf(text, sizeof text, "%.*s", (int)(end - begin), begin);
    answer->emit(answer->user, text);
}

static bool answer_rpc(const struct answer *answer)
{
    struct fake_server *server = answer->server;
    if (says(answer, "\"method\":\"silent\""))
        return true;
    if (says(answer, "\"method\":\"drop\""))
        return false;
    if (says(answer, "\"method\":\"late\"")) {
        if (server->late_count < FAKE_SERVER_LATE_MAX)
            server->late[server->late_count++] = answer->id;
        return true;
    }
    if (says(answer, "\"method\":\"say\"")) {
        say(answer);
        return true;
    }
    if (says(answer, "\"method\":\"pushes\""))
        push_everything(answer);
    if (says(answer, "\"method\":\"kick\"")) {
        push(answer, "\"channel\":\"own\",\"subscribe\":{}");
        push(answer, "\"channel\":\"own\",\"unsubscribe\":{\"code\":2000,\"reason\":\"kicked\"}");
    }
    if (says(answer, "\"method\":\"error\""))
        reply(answer, answer->id,
              "\"error\":{\"code\":100,\"message\":\"internal server error\",\"temporary\":true}");
    else if (says(answer, "\"method\":\"refused\""))
        reply(answer, answer->id, "\"error\":{\"code\":403,\"message\":\"not yours\"}");
    else
        reply(answer, answer->id, "\"rpc\":{\"data\":{\"ok\":true}}");
    return true;
}

static bool answer_one(const struct answer *answer)
{
    static const struct {
        const char *command, *body;
    } replies[] = {
        {"\"unsubscribe\":", "\"unsubscribe\":{}"},
        {"\"refresh\":", "\"refresh\":{}"},
        {"\"publish\":", "\"publish\":{}"},
        {"\"history\":",
         "\"history\":{\"publications\":[{\"data\":1,\"offset\":1,\"tags\":{\"k\":\"v\"},"
         "\"info\":{\"user\":\"u\",\"client\":\"y\"}}],\"offset\":1,\"epoch\":\"e\"}"},
        {"\"presence\":", "\"presence\":{\"presence\":{\"c1\":{\"client\":\"c1\",\"user\":\"u\","
                          "\"conn_info\":{\"a\":1}}}}"},
        {"\"presence_stats\":", "\"presence_stats\":{\"num_clients\":2,\"num_users\":1}"},
    };
    if (says(answer, "\"rpc\":{"))
        return answer_rpc(answer);
    if (says(answer, "\"connect\":{"))
        answer_connect(answer);
    else if (says(answer, "\"subscribe\":{"))
        answer_subscribe(answer);
    else
        for (unsigned i = 0; i < sizeof replies / sizeof *replies; i++)
            if (says(answer, replies[i].command)) {
                reply(answer, answer->id, replies[i].body);
                break;
            }
    return true;
}

bool fake_server_answer(struct fake_server *server,
                        const char *line,
                        fake_server_emit *emit,
                        void *user)
{
    struct answer answer = {.server = server, .emit = emit, .user = user, .line = line};
    const char *at = strstr(line, "\"id\":");
    answer.id = at ? strtoul(at + strlen("\"id\":"), NULL, 10) : 0;
    if (answer.id == 0)
        return true;
    bool stays = answer_one(&answer);
    if (stays && !says(&answer, "\"method\":\"late\"")) {
        for (unsigned i = 0; i < server->late_count; i++)
            reply(&answer, server->late[i], "\"rpc\":{\"data\":{\"late\":true}}");
        server->late_count = 0;
    }
    return stays;
}
