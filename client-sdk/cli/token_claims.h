/* The claims of tokens as JSON text: written for gen-token, read for check-token.  Pure. */
#ifndef WH_CLI_TOKEN_CLAIMS_H
#define WH_CLI_TOKEN_CLAIMS_H

#include "client-sdk/cli/settings.h"
#include "common/base/arena.h"
#include "common/base/buf.h"

/* Of a connection token, or with settings->channel of a subscription token. */
void token_claims_write(const struct settings *settings, int64_t now_s, struct wh_buf *out);

struct token_parts {
    struct wh_slice header, payload; /* JSON, decoded */
    struct wh_slice algorithm;       /* "" when there is none */
};

/* WH_EFORMAT: no JWT (three parts of base64url, the first two JSON objects). */
WH_MUST_CHECK enum wh_err token_split(struct wh_slice token,
                                      struct wh_arena *arena,
                                      struct token_parts *out_parts);

struct token_times {
    int64_t expires_s, not_before_s, issued_s; /* 0 = absent */
    bool is_subscription;                      /* it names a channel */
};

/* WH_EFORMAT: a time is no number. */
WH_MUST_CHECK enum wh_err token_times_read(struct wh_slice payload,
                                           struct wh_arena *arena,
                                           struct token_times *out_times);

#endif
