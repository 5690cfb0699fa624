/*
 * A service for the integration tests of services/core: it echoes, fails,
 * waits until a file exists, and keeps a journal of what its handlers did.
 */
#include "common/protocol/schema_rows.h"
#include "services/core/service.h"

#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct settings {
    char *journal;  /* a file to which a line is appended by each handler */
    char *greeting; /* secret, to see that it is one */
};

#define AT(member) offsetof(struct settings, member)

static const struct wh_option options[] = {
    {.name = "testing.journal",
     .type = WH_OPTION_STRING,
     .offset = AT(journal),
     .help = "File to which handlers append what they did."},
    {.name = "testing.greeting",
     .type = WH_OPTION_STRING,
     .flags = WH_OPTION_SECRET,
     .offset = AT(greeting),
     .help = "What hello answers."},
};

struct echo {
    struct wh_slice text;
    int64_t number;
    uint32_t code;
    uint32_t size;
    struct wh_slice until; /* a file: wait until it exists */
    struct wh_payload payload;
};

/* clang-format off */
#define T echo
static const struct wh_field echo_fields[] = {
    FIELD(1, text, STRING),
    FIELD(2, number, I64),
    FIELD(3, code, U32),
    FIELD(4, size, U32),
    FIELD(5, until, STRING),
    FIELD(6, payload, PAYLOAD),
};
#undef T
SCHEMA(static const, echo, "Echo", echo);
/* clang-format on */

static void journal(struct svc_ctx *ctx, const char *what, struct wh_slice text)
{
    const struct settings *settings = svc_settings(ctx);
    struct wh_slice line = svc_text(ctx, "%s %.*s\n", what, WH_SLICE_ARGS(text));
    if (!settings->journal)
        return;
    int fd = open(settings->journal, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, line.ptr, line.len) < 0)
        abort();
    close(fd);
}

static uint32_t echo(struct svc_ctx *ctx, const struct wh_rpc_call *call)
{
    struct echo in = {0};
    (void)call;
    if (svc_params(ctx, &echo_schema, &in))
        return svc_fail(ctx, SVC_INVALID, "not readable");
    journal(ctx, "echo", in.text);
    return svc_reply(ctx, &echo_schema, &in);
}

static uint32_t wait(struct svc_ctx *ctx, const struct wh_rpc_call *call)
{
    struct echo in = {0};
    (void)call;
    if (svc_params(ctx, &echo_schema, &in) || in.until.len == 0)
        return svc_fail(ctx, SVC_INVALID, "until is needed");
    struct wh_slice path = wh_arena_copy(svc_arena(ctx), in.until);
    journal(ctx, "begin", in.text);
    while (access(path.ptr, F_OK) != 0)
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    journal(ctx, "end", in.text);
    return svc_reply(ctx, &echo_schema, &in);
}

static uint32_t fail(struct svc_ctx *ctx, const struct wh_rpc_call *call)
{
    struct echo in = {0};
    (void)call;
    if (svc_params(ctx, &echo_schema, &in))
        return SVC_INVALID;
    return svc_fail(ctx, in.code, "%.*s", WH_SLICE_ARGS(in.text));
}

static uint32_t big(struct svc_ctx *ctx, const struct wh_rpc_call *call)
{
    struct echo in = {0};
    (void)call;
    if (svc_params(ctx, &echo_schema, &in))
        return SVC_INVALID;
    char *text = wh_arena_alloc(svc_arena(ctx), in.size);
    if (!text)
        return svc_fail(ctx, SVC_INVALID, "too large");
    memset(text, 'x', in.size);
    return svc_reply(ctx, &echo_schema, &(struct echo){.text = wh_slice(text, in.size)});
}

static uint32_t whoami(struct svc_ctx *ctx, const struct wh_rpc_call *call)
{
    bool is_admin = svc_has_role(call, "admin");
    const struct settings *settings = svc_settings(ctx);
    wh_log(WH_LOG_INFO, "testing", "whoami", "user=%.*s", WH_SLICE_ARGS(call->user));
    return svc_reply(ctx, &echo_schema,
                     &(struct echo){.text = svc_text(ctx, "%s %.*s %s", is_admin ? "admin" : "user",
                                                     WH_SLICE_ARGS(call->user),
                                                     settings->greeting ? settings->greeting : "-"),
                                    .number = (int64_t)svc_remaining_ms(ctx)});
}

static uint32_t nothing(struct svc_ctx *ctx, const struct wh_rpc_call *call)
{
    (void)ctx, (void)call;
    return SVC_OK;
}

static uint32_t tick(struct svc_ctx *ctx)
{
    journal(ctx, "tick", WH_SLICE_LITERAL("job"));
    return SVC_OK;
}

static const char *const admins[] = {"admin", NULL};

static const struct svc_method methods[] = {
    {.name = "testing.v1.echo", .handler = echo, .access = SVC_ANONYMOUS, .idempotent = true},
    {.name = "testing.v1.wait", .handler = wait, .timeout_ms = 9000},
    {.name = "testing.v1.single", .handler = wait, .max_inflight = 1},
    {.name = "testing.v1.fail", .handler = fail},
    {.name = "testing.v1.big", .handler = big},
    {.name = "things.v1.whoami", .handler = whoami, .access = SVC_ROLE, .roles = admins},
    {.name = "things.v1.nothing", .handler = nothing},
    {0},
};

static const struct svc_job jobs[] = {{.name = "tick", .every_ms = 50, .handler = tick}, {0}};

static void check(const void *settings, struct wh_buf *problems)
{
    const struct settings *own = settings;
    if (own->journal && own->journal[0] != '/')
        wh_buf_append_str(problems, "testing.journal: must begin with /\n");
}

int main(int argc, char **argv)
{
    static const struct svc_def def = {
        .name = "testing",
        .version = "1.2.3",
        .description = "A service for tests.",
        .methods = methods,
        .jobs = jobs,
        .options = options,
        .option_count = sizeof options / sizeof *options,
        .settings_size = sizeof(struct settings),
        .check = check,
    };
    return svc_main(argc, argv, &def);
}
