/*
 * The HTTP that comes before a WebSocket, without I/O: the CONNECT to a proxy
 * (RFC 9110 §9.3.6) and the opening handshake of a client (RFC 6455 §4.1).
 *
 * Heads are taken as they come: one status line, header lines without folding, nothing that is not
 * text.  Their size is bounded by UPGRADE_HEAD_BYTES_MAX.
 */
#ifndef WH_SDK_UPGRADE_H
#define WH_SDK_UPGRADE_H

#include "common/base/buf.h"

#include <wirehub/client.h>

enum {
    UPGRADE_HEAD_BYTES_MAX = 16384, /* of one answer */
    UPGRADE_KEY_BYTES = 24,
    UPGRADE_STATUS_BYTES = 96 /* of its text, with NUL */
};

/* What is asked for; everything borrowed. */
struct upgrade_request {
    const char *host; /* as the Host header has it: brackets and port where they belong */
    const char *path; /* with query */
    char key[UPGRADE_KEY_BYTES + 1];
    const char *subprotocol; /* NULL = none */
    const struct wh_header *headers;
    size_t header_count;
};

/* What came back. */
struct upgrade_answer {
    unsigned status;                 /* 0 = that was no HTTP */
    char text[UPGRADE_STATUS_BYTES]; /* "403 Forbidden", printable */
    bool has_subprotocol;            /* what was asked for was agreed on */
    const char *fault;               /* why a 101 is none; NULL = it is one, or another status */
};

/* A fresh key. */
void upgrade_make_key(char out_key[UPGRADE_KEY_BYTES + 1]);

/* Why a header cannot be sent, as the end of a sentence; NULL = it can.  `is_real`: in the request
 * of the handshake, which has headers of its own. */
const char *upgrade_header_fault(const struct wh_header *header, bool is_real);

/* The request, headers included; they were checked. */
void upgrade_write(const struct upgrade_request *request, struct wh_buf *out);

/* "CONNECT authority", with "user:password" in `auth` if the proxy wants one (NULL = not). */
void upgrade_write_connect(const char *authority, const char *auth, struct wh_buf *out);

/* Bytes of the head with the empty line at its end; 0 = it goes on. */
size_t upgrade_head_size(struct wh_slice bytes);

/* `head` as upgrade_head_size has measured it.  `request` NULL: only the status is of interest.
 * After a status of 1xx that is not a 101 another head follows (RFC 9110 §15.2): read on. */
void upgrade_read(struct wh_slice head,
                  const struct upgrade_request *request,
                  struct upgrade_answer *out_answer);

#endif
