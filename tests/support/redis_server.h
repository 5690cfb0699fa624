/*
 * A real redis-server for tests: its own directory, a free port and a unix
 * socket, no persistence, gone with the test whatever happens to it.
 *
 * Calls block; failures end the test.  Commands use a connection of their own,
 * made for each call.
 */
#ifndef TESTS_SUPPORT_REDIS_SERVER_H
#define TESTS_SUPPORT_REDIS_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct redis_server {
    pid_t pid; /* 0 = not running */
    char dir[64];
    char socket[96];      /* path; also good as an address */
    char tcp_address[32]; /* "127.0.0.1:port" */
    const char *password; /* for redis_server_command; NULL = none */
};

/* Choose directory and port; nothing runs yet. */
void redis_server_init(struct redis_server *server);

/* Start and wait until it answers.  `args` are further options, NULL-terminated, or NULL. */
void redis_server_start(struct redis_server *server, const char *const *args);

void redis_server_kill(
    struct redis_server *server); /* SIGKILL, reaped; harmless when not running */
void redis_server_pause(struct redis_server *server); /* SIGSTOP: sockets stay open */
void redis_server_resume(struct redis_server *server);

/* Kill it and remove the directory. */
void redis_server_deinit(struct redis_server *server);

/* One command from a format of hiredis ("PUBLISH %s %b"); its integer reply, 0 for other types. */
long long redis_server_command(struct redis_server *server, const char *format, ...);

/* Whether the answer to one command, without formats, is an error. */
bool redis_server_refuses(struct redis_server *server, const char *command);

/* How often `command` was called, from INFO commandstats. */
long long redis_server_calls(struct redis_server *server, const char *command);

#endif
