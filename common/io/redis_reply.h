/*
 * A reply of Redis (RESP2) as a tree of plain structs, and the reader that
 * builds it from the bytes of a socket.
 *
 * The parser is hiredis'; the tree is ours and lives in an arena, so that a
 * reply costs no malloc, holds no more than a stated number of bytes whatever
 * the peer claims, and nothing above this file needs hiredis' headers.
 */
#ifndef WH_IO_REDIS_REPLY_H
#define WH_IO_REDIS_REPLY_H

#include "common/base/arena.h"

#include <stdint.h>

enum wh_redis_type {
    WH_REDIS_STRING,
    WH_REDIS_STATUS,
    WH_REDIS_ERROR,
    WH_REDIS_INTEGER,
    WH_REDIS_NIL,
    WH_REDIS_ARRAY
};

struct wh_redis_reply {
    enum wh_redis_type type;
    struct wh_slice text; /* STRING, STATUS and ERROR; absent for others; NUL behind it */
    int64_t integer;      /* INTEGER */
    const struct wh_redis_reply *items; /* ARRAY */
    size_t count;
};

/* Whether `reply` is an error that starts with the word `code` ("NOSCRIPT"). */
bool wh_redis_reply_is_error(const struct wh_redis_reply *reply, const char *code);

/* The reader: for redis_link.c and tests.  Owned by whoever embeds it. */
struct wh_redis_reader {
    struct redisReader *parser;
    struct wh_arena arena;
    size_t bytes_max;
    bool has_reply; /* the arena holds one that was handed out */
};

/* No reply may need more than `bytes_max`.  WH_ENOMEM. */
WH_MUST_CHECK enum wh_err wh_redis_reader_init(struct wh_redis_reader *reader, size_t bytes_max);
void wh_redis_reader_deinit(struct wh_redis_reader *reader);

/* Take bytes (copied).  WH_ENOMEM. */
WH_MUST_CHECK enum wh_err wh_redis_reader_feed(struct wh_redis_reader *reader,
                                               struct wh_slice bytes);

/*
 * The next complete reply, borrowed until the next call; NULL (and WH_OK) when more bytes are
 * needed.  WH_EFORMAT: not RESP2; WH_ELIMIT: larger than bytes_max.  Useless after an error.
 */
WH_MUST_CHECK enum wh_err wh_redis_reader_next(struct wh_redis_reader *reader,
                                               const struct wh_redis_reply **out_reply);

#endif
