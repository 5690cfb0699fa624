#include "client-sdk/src/message.h"

#include "client-sdk/src/engine.h"
#include "common/base/alloc.h"

#include <pthread.h>

enum {
    ARENA_BYTES_MIN = 65536,
    ARENA_BYTES_LENT = 1024, /* behind the bytes: one publication with its event */
    ALIGNMENT = 16,
    LOOKS_MAX = 4,    /* at spare messages, before one is made */
    CAP_SLACK = 1024, /* one that is that much, or twice, too large is taken */
};

struct message_pool {
    _Atomic size_t refs; /* the owner's, and one per message that is out */
    size_t bytes_max;
    pthread_mutex_t lock; /* of what follows */
    bool is_closed;
    size_t bytes;
    struct message *spare; /* the newest first */
};

/* ---- the pool ------------------------------------------------------------------------------ */

struct message_pool *message_pool_new(size_t bytes_max)
{
    struct message_pool *pool = wh_calloc(1, sizeof *pool);
    if (!pool)
        return NULL;
    if (pthread_mutex_init(&pool->lock, NULL) != 0) {
        wh_free(pool);
        return NULL;
    }
    atomic_init(&pool->refs, 1);
    pool->bytes_max = bytes_max;
    return pool;
}

static void pool_unref(struct message_pool *pool)
{
    if (atomic_fetch_sub_explicit(&pool->refs, 1, memory_order_acq_rel) != 1)
        return;
    pthread_mutex_destroy(&pool->lock);
    wh_free(pool);
}

static void destroy(struct message *message)
{
    wh_arena_deinit(&message->arena);
    wh_free(message);
}

void message_pool_close(struct message_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    struct message *message = pool->spare;
    pool->spare = NULL;
    pool->is_closed = true;
    pthread_mutex_unlock(&pool->lock);
    while (message) {
        struct message *next = message->next;
        destroy(message);
        message = next;
    }
    pool_unref(pool);
}

static size_t footprint(const struct message *message)
{
    return sizeof *message + message->cap + ARENA_BYTES_LENT + wh_arena_held(&message->arena);
}

static void unlink_spare(struct message_pool *pool, struct message **link)
{
    struct message *message = *link;
    *link = message->next;
    pool->bytes -= footprint(message);
}

/* One with room for `len`; NULL = there is none among the newest.  Then the newest goes, or sizes
 * that are not asked for any more would lie there for ever. */
static struct message *take(struct message_pool *pool, size_t len)
{
    if (pthread_mutex_trylock(&pool->lock) != 0)
        return NULL;
    struct message **link = &pool->spare, *found = NULL, *useless = NULL;
    for (unsigned i = 0; i < LOOKS_MAX && *link && !found; i++) {
        if ((*link)->cap >= len && (*link)->cap / 2 <= len + CAP_SLACK) {
            found = *link;
            unlink_spare(pool, link);
        } else {
            link = &(*link)->next;
        }
    }
    if (!found && pool->spare) {
        useless = pool->spare;
        unlink_spare(pool, &pool->spare);
    }
    pthread_mutex_unlock(&pool->lock);
    if (useless)
        destroy(useless);
    return found;
}

static void give_back(struct message_pool *pool, struct message *message)
{
    bool is_kept = false;
    wh_arena_reset(&message->arena);
    size_t bytes = footprint(message);
    if (pthread_mutex_trylock(&pool->lock) == 0) {
        is_kept = !pool->is_closed && bytes <= pool->bytes_max - pool->bytes;
        if (is_kept) {
            message->next = pool->spare;
            pool->spare = message;
            pool->bytes += bytes;
        }
        pthread_mutex_unlock(&pool->lock);
    }
    if (!is_kept)
        destroy(message);
    pool_unref(pool);
}

/* ---- messages ------------------------------------------------------------------------------ */

static struct message *make(size_t len)
{
    size_t size = (sizeof(struct message) + len + ALIGNMENT) & ~(size_t)(ALIGNMENT - 1);
    struct message *message = wh_malloc(size + ARENA_BYTES_LENT);
    if (!message)
        return NULL;
    message->cap = size - sizeof(struct message) - 1;
    message->arena = (struct wh_arena){0};
    return message;
}

struct message *message_new(struct message_pool *pool, size_t len, bool is_text)
{
    if (len > SIZE_MAX / 2 / ENGINE_ARENA_MAX_FACTOR)
        return NULL;
    struct message *message = pool ? take(pool, len) : NULL;
    if (!message)
        message = make(len);
    if (!message)
        return NULL;
    size_t limit = len * ENGINE_ARENA_MAX_FACTOR + ARENA_BYTES_MIN;
    if (message->arena.blocks) /* of its life before */
        message->arena.limit = limit;
    else
        wh_arena_init_in(&message->arena, limit, message->bytes + message->cap + 1,
                         ARENA_BYTES_LENT);
    atomic_init(&message->refs, 1);
    message->is_text = is_text;
    message->is_json = false;
    message->pool = pool;
    message->len = len;
    message->bytes[len] = '\0';
    if (pool)
        atomic_fetch_add_explicit(&pool->refs, 1, memory_order_relaxed);
    return message;
}

struct message *message_ref(struct message *message)
{
    atomic_fetch_add_explicit(&message->refs, 1, memory_order_relaxed);
    return message;
}

void message_unref(struct message *message)
{
    if (!message || atomic_fetch_sub_explicit(&message->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (message->pool)
        give_back(message->pool, message);
    else
        destroy(message);
}

const char *message_cstr(struct message *message, struct wh_slice slice)
{
    if (!slice.ptr || slice.len == 0)
        return "";
    uintptr_t begin = (uintptr_t)message->bytes, at = (uintptr_t)slice.ptr;
    if (message->is_json && at >= begin && at - begin < message->len &&
        slice.len < message->len - (at - begin)) {
        char *end = message->bytes + (at - begin) + slice.len;
        if (*end == '"')
            *end = '\0';
        if (*end == '\0')
            return slice.ptr;
    }
    return wh_arena_copy(&message->arena, slice).ptr;
}
