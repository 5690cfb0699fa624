/*
 * What the command line says, as plain C: the defaults, then the context or
 * the environment, then the options, each through the one table in options.h.
 * Everything points into argv, the environment or app memory that lives as
 * long as the program.
 */
#ifndef WH_CLI_SETTINGS_H
#define WH_CLI_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CLI_LIST_MAX = 64 /* how often an option can be repeated */ };

struct cli_list {
    const char *items[CLI_LIST_MAX];
    size_t count;
};

struct settings {
    /* connection */
    const char *url;
    const char *token, *token_file, *token_cmd; /* at most one of them */
    struct cli_list headers;                    /* "name: value" */
    unsigned encoding;                          /* enum wh_encoding */
    const char *ca, *cert, *tls_key;
    bool insecure;
    const char *proxy;
    uint64_t timeout_ms;
    bool no_reconnect;
    const char *context;
    uint32_t connection_given; /* bit i: row i of the connection options was set */

    /* output */
    bool json, pretty, quiet, help;
    unsigned verbose;

    /* commands; those that mean the same share a field */
    uint64_t count; /* sub, ping, pub; 0 = no end (pub: 1) */
    uint64_t wait_ms;
    const char *since;
    bool recover, join_leave, raw, presence;
    const char *format;
    const char *channel_token;
    bool lines, as_string, as_bytes;
    double rate;
    const char *template_text;
    uint64_t repeat;
    bool timing;
    int64_t limit;
    bool reverse;
    uint64_t interval_ms;
    uint64_t clients, subs, messages, size;
    const char *channel;
    const char *user, *info, *algorithm, *secret_file, *key_file;
    uint64_t ttl_ms;
    struct cli_list claims;
    unsigned from, side, input; /* decode */
};

#endif
