#include "tests/support/redis_server.h"

#include <hiredis/hiredis.h>

#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ARGS_MAX = 32, START_MS = 15000, POLL_MS = 5 };

static void fail(const char *what)
{
    fprintf(stderr, "redis_server: %s (%s)\n", what, strerror(errno));
    abort();
}

static unsigned free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) < 0)
        fail("no free port");
    close(fd);
    return ntohs(address.sin_port);
}

void redis_server_init(struct redis_server *server)
{
    *server = (struct redis_server){0};
    snprintf(server->dir, sizeof server->dir, "/tmp/wirehub-redis-XXXXXX");
    if (!mkdtemp(server->dir))
        fail("mkdtemp");
    snprintf(server->socket, sizeof server->socket, "%s/redis.sock", server->dir);
    snprintf(server->tcp_address, sizeof server->tcp_address, "127.0.0.1:%u", free_port());
}

static void run_server(const struct redis_server *server, const char *const *args)
{
    const char *port = strchr(server->tcp_address, ':') + 1;
    const char *argv[ARGS_MAX] = {
        "redis-server", "--port",      port, "--bind",    "127.0.0.1", "--unixsocket",
        server->socket, "--save",      "",   "--dir",     server->dir, "--appendonly",
        "no",           "--daemonize", "no", "--logfile", "redis.log"};
    size_t argc = 17;
    for (; args && *args && argc < ARGS_MAX - 1; args++)
        argv[argc++] = *args;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_DFL);
    execvp(argv[0], (char **)argv);
    _exit(127);
}

static redisContext *connect_server(const struct redis_server *server)
{
    redisContext *context =
        redisConnectUnixWithTimeout(server->socket, (struct timeval){.tv_sec = 5});
    if (context && context->err) {
        redisFree(context);
        return NULL;
    }
    if (context && server->password)
        freeReplyObject(redisCommand(context, "AUTH %s", server->password));
    return context;
}

static bool is_answering(const struct redis_server *server)
{
    redisContext *context = connect_server(server);
    if (!context)
        return false;
    redisReply *reply = redisCommand(context, "PING");
    bool is_ready = reply && (reply->type == REDIS_REPLY_STATUS ||
                              (reply->str && strncmp(reply->str, "NOAUTH", 6) == 0));
    freeReplyObject(reply);
    redisFree(context);
    return is_ready;
}

void redis_server_start(struct redis_server *server, const char *const *args)
{
    server->pid = fork();
    if (server->pid < 0)
        fail("fork");
    if (server->pid == 0)
        run_server(server, args);
    for (int waited = 0; !is_answering(server); waited += POLL_MS) {
        if (waitpid(server->pid, NULL, WNOHANG) != 0)
            fail("redis-server ended at once; see redis.log");
        if (waited > START_MS)
            fail("redis-server does not answer");
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
    }
}

void redis_server_kill(struct redis_server *server)
{
    if (server->pid <= 0)
        return;
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    server->pid = 0;
    unlink(server->socket);
}

void redis_server_pause(struct redis_server *server)
{
    int status;
    kill(server->pid, SIGSTOP);
    waitpid(server->pid, &status, WUNTRACED);
}

void redis_server_resume(struct redis_server *server)
{
    kill(server->pid, SIGCONT);
}

static void remove_files(const char *path)
{
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir)
        closedir(dir);
    rmdir(path);
}

void redis_server_deinit(struct redis_server *server)
{
    char append_only[96];
    snprintf(append_only, sizeof append_only, "%s/appendonlydir", server->dir);
    redis_server_kill(server);
    remove_files(append_only);
    remove_files(server->dir);
}

long long redis_server_command(struct redis_server *server, const char *format, ...)
{
    redisContext *context = connect_server(server);
    if (!context)
        fail("cannot connect");
    va_list args;
    va_start(args, format);
    redisReply *reply = redisvCommand(context, format, args);
    va_end(args);
    if (!reply)
        fail("no reply");
    if (reply->type == REDIS_REPLY_ERROR) {
        errno = 0;
        fprintf(stderr, "redis_server: %s: %s\n", format, reply->str);
        fail("command refused");
    }
    long long number = reply->type == REDIS_REPLY_INTEGER ? reply->integer : 0;
    freeReplyObject(reply);
    redisFree(context);
    return number;
}

bool redis_server_refuses(struct redis_server *server, const char *command)
{
    redisContext *context = connect_server(server);
    if (!context)
        fail("cannot connect");
    redisReply *reply = redisCommand(context, command);
    bool is_refused = reply && reply->type == REDIS_REPLY_ERROR;
    freeReplyObject(reply);
    redisFree(context);
    return is_refused;
}

long long redis_server_calls(struct redis_server *server, const char *command)
{
    char needle[64];
    redisContext *context = connect_server(server);
    if (!context)
        fail("cannot connect");
    redisReply *reply = redisCommand(context, "INFO commandstats");
    if (!reply || !reply->str)
        fail("no INFO");
    snprintf(needle, sizeof needle, "cmdstat_%s:calls=", command);
    const char *found = strstr(reply->str, needle);
    long long calls = found ? strtoll(found + strlen(needle), NULL, 10) : 0;
    freeReplyObject(reply);
    redisFree(context);
    return calls;
}
