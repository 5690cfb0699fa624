/*
 * Whether a request may become a WebSocket (RFC 6455 §4.2): pure rules over
 * header values, because the library underneath checks few of them.
 */
#ifndef HUB_HANDSHAKE_H
#define HUB_HANDSHAKE_H

#include "hub/config.h"
#include "hub/metrics.h"

/* Header values without white space around them; "" = absent. */
struct handshake {
    char method[8];
    char path[256]; /* without the query */
    char http_version[16];
    char host[300];
    char upgrade[64];
    char connection[256];
    char version[16];
    char key[64];
    char protocols[256];
    char origin[512];
    bool is_cut; /* one of them did not fit */
};

struct refusal {
    unsigned status;  /* HTTP; 0 = accepted */
    const char *text; /* a line for the client, static */
    enum metric metric;
};

struct refusal handshake_check(const struct handshake *handshake, const struct config *config);

/*
 * No Origin: not a browser, allowed.  The authority equal to Host: our own page.  Otherwise one of
 * client.allowed_origins must match, all in lower case.
 */
bool handshake_origin_is_allowed(const char *origin, const char *host, const struct config *config);

#endif
