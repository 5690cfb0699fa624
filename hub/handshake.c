/*
 * The checks in the order in which a stranger should learn of them: what was
 * asked for, then how, then who asks.
 */
#include "hub/handshake.h"

#include "common/protocol/codec.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

enum { KEY_LEN = 24 /* base64 of 16 bytes */ };

static void to_lower(char *text)
{
    for (; *text; text++)
        if (*text >= 'A' && *text <= 'Z')
            *text = (char)(*text + ('a' - 'A'));
}

bool handshake_origin_is_allowed(const char *origin, const char *host, const struct config *config)
{
    char name[512], own[512], pattern[512];
    if (origin[0] == '\0')
        return true;
    snprintf(name, sizeof(name), "%s", origin);
    snprintf(own, sizeof(own), "%s", host);
    to_lower(name);
    to_lower(own);
    const char *authority = strstr(name, "://");
    if (authority && strcmp(authority + 3, own) == 0)
        return true;
    for (size_t i = 0; i < config->client.allowed_origins.count; i++) {
        snprintf(pattern, sizeof(pattern), "%s", config->client.allowed_origins.items[i]);
        to_lower(pattern);
        if (fnmatch(pattern, name, 0) == 0)
            return true;
    }
    return false;
}

/* 22 digits, of which the last carries two bits, and "==". */
static bool is_key_valid(const char *key)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    return strlen(key) == KEY_LEN && strspn(key, digits) == 22 && strchr("AQgw", key[21]) &&
           key[22] == '=' && key[23] == '=';
}

/* Each item of a comma-separated list, without blanks; NULL at the end.  Cuts `*rest` up. */
static char *next_item(char **rest)
{
    char *item;
    while ((item = strsep(rest, ", \t")) != NULL && item[0] == '\0')
        ;
    return item;
}

static bool lists_token(const char *list, const char *token)
{
    char copy[256], *rest = copy, *item;
    snprintf(copy, sizeof(copy), "%s", list);
    while ((item = next_item(&rest)) != NULL)
        if (strcasecmp(item, token) == 0)
            return true;
    return false;
}

/* Absent means JSON; otherwise one of ours must be among those offered. */
static bool is_subprotocol_known(const char *offered)
{
    char copy[256], *rest = copy, *name;
    enum wh_encoding encoding;
    snprintf(copy, sizeof(copy), "%s", offered);
    while ((name = next_item(&rest)) != NULL)
        if (wh_encoding_from_subprotocol(wh_slice_from_str(name), &encoding))
            return true;
    return offered[0] == '\0';
}

struct refusal handshake_check(const struct handshake *handshake, const struct config *config)
{
    struct refusal refusal = {400, NULL, METRIC_CONNECTIONS_REFUSED_HANDSHAKE};
    if (strcmp(handshake->method, "GET") != 0) {
        refusal.status = 405;
        refusal.text = "a WebSocket handshake is a GET\n";
    } else if (strcmp(handshake->path, config->websocket.handler_prefix) != 0) {
        refusal.status = 404;
        refusal.text = "no WebSocket endpoint here\n";
    } else if (handshake->is_cut) {
        refusal.status = 431;
        refusal.text = "a header is too long\n";
    } else if (strcmp(handshake->http_version, "HTTP/1.1") != 0) {
        refusal.text = "a WebSocket handshake needs HTTP/1.1\n";
    } else if (handshake->host[0] == '\0') {
        refusal.text = "the Host header is missing\n";
    } else if (strcasecmp(handshake->upgrade, "websocket") != 0) {
        refusal.text = "the only upgrade here is to websocket\n"; /* the library would do h2c too */
    } else if (!lists_token(handshake->connection, "upgrade")) {
        refusal.text = "the Connection header does not say Upgrade\n";
    } else if (strcmp(handshake->version, "13") != 0) {
        refusal.status = 426;
        refusal.text = "only WebSocket version 13\n";
    } else if (!is_key_valid(handshake->key)) {
        refusal.text = "Sec-WebSocket-Key is not 16 bytes of base64\n";
    } else if (!is_subprotocol_known(handshake->protocols)) {
        refusal.text = "no offered subprotocol is known: centrifuge-json, centrifuge-msgpack, "
                       "centrifuge-protobuf\n";
    } else if (!handshake_origin_is_allowed(handshake->origin, handshake->host, config)) {
        refusal.status = 403;
        refusal.text = "this origin is not allowed\n";
        refusal.metric = METRIC_CONNECTIONS_REFUSED_ORIGIN;
    } else {
        refusal.status = 0;
    }
    return refusal;
}
