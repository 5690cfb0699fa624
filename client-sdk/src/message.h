/*
 * A WebSocket message that came, with what was decoded from it.  Reference counted (atomically):
 * the engine while it looks at it, every event of it, every publication that the program keeps.
 */
#ifndef WH_SDK_MESSAGE_H
#define WH_SDK_MESSAGE_H

#include "common/base/arena.h"

#include <stdatomic.h>

struct message_pool;

struct message {
    _Atomic uint32_t refs;
    bool is_text;
    bool is_json;          /* set by the engine: a string in `bytes` ends at its quotation mark */
    struct wh_arena arena; /* grows while the engine looks at the message, never later */
    struct message_pool *pool; /* where its memory goes back to; NULL = to the allocator */
    struct message *next;      /* while it lies there */
    size_t cap;                /* bytes that there is room for */
    size_t len;
    char bytes[]; /* `len`, and a NUL behind them that decoders may overwrite nothing with */
};

/* `len` bytes to be filled by the caller, who owns the reference; NULL = no memory.  `pool` may be
 * NULL. */
struct message *message_new(struct message_pool *pool, size_t len, bool is_text);
struct message *message_ref(struct message *message);
void message_unref(struct message *message); /* NULL is fine */

/*
 * `slice` of the decoded message with a NUL behind it: in place in JSON, where a quotation mark
 * stands there that nobody needs any more; else a copy in the arena.  "" for an absent one; NULL =
 * no memory.
 */
const char *message_cstr(struct message *message, struct wh_slice slice);

/*
 * Memory of messages that were, for those that come: one thread makes them and another gives them
 * back, which makes allocators return memory to the system only to ask for it again.  Any thread;
 * nobody waits for anybody (a child of fork neither): who finds it busy asks the allocator.
 *
 * At most `bytes_max` lie there; with 0 nothing does.  NULL = no memory.
 */
struct message_pool *message_pool_new(size_t bytes_max);

/* What lies there is freed; messages that are out stay what they are.  NULL is fine. */
void message_pool_close(struct message_pool *pool);

#endif
