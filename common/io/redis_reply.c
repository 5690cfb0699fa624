/*
 * hiredis' reader calls a table of functions to build objects; this is our
 * table.  A child is an element of the array that its parent allocated, so
 * each create function first asks for its place (place_for).
 *
 * A declared array length is trusted by hiredis 0.14; the arena's limit is
 * what bounds it here.
 */
#include "common/io/redis_reply.h"

#include <hiredis/hiredis.h>
#include <hiredis/read.h>

#if HIREDIS_MAJOR >= 1
typedef size_t array_count;
#else
typedef int array_count;
#endif

static struct wh_redis_reply *place_for(const redisReadTask *task, enum wh_redis_type type)
{
    struct wh_redis_reader *reader = task->privdata;
    struct wh_redis_reply *reply;
    if (task->parent) {
        struct wh_redis_reply *parent = task->parent->obj;
        reply = (struct wh_redis_reply *)&parent->items[task->idx];
    } else {
        reply = wh_arena_alloc(&reader->arena, sizeof *reply);
    }
    if (reply)
        reply->type = type;
    return reply;
}

static enum wh_redis_type text_type(const redisReadTask *task)
{
    if (task->type == REDIS_REPLY_ERROR)
        return WH_REDIS_ERROR;
    return task->type == REDIS_REPLY_STATUS ? WH_REDIS_STATUS : WH_REDIS_STRING;
}

static void *create_string(const redisReadTask *task, char *text, size_t len)
{
    struct wh_redis_reader *reader = task->privdata;
    struct wh_redis_reply *reply = place_for(task, text_type(task));
    if (!reply)
        return NULL;
    reply->text = wh_arena_copy(&reader->arena, wh_slice(text, len));
    return reply->text.ptr ? reply : NULL;
}

static void *create_array(const redisReadTask *task, array_count count)
{
    struct wh_redis_reader *reader = task->privdata;
    struct wh_redis_reply *reply = place_for(task, WH_REDIS_ARRAY);
    if (!reply)
        return NULL;
    reply->count = (size_t)count;
    reply->items = wh_arena_alloc_array(&reader->arena, reply->count, sizeof *reply->items);
    return reply->items ? reply : NULL;
}

static void *create_integer(const redisReadTask *task, long long number)
{
    struct wh_redis_reply *reply = place_for(task, WH_REDIS_INTEGER);
    if (reply)
        reply->integer = number;
    return reply;
}

static void *create_nil(const redisReadTask *task)
{
    return place_for(task, WH_REDIS_NIL);
}

/* The arena frees; hiredis calls this for what it could not finish. */
static void free_nothing(void *object)
{
    (void)object;
}

#if HIREDIS_MAJOR >= 1
/* RESP3 types: we never send HELLO 3, so a peer that uses them is refused as malformed. */
static void *refuse_double(const redisReadTask *task, double number, char *text, size_t len)
{
    (void)task, (void)number, (void)text, (void)len;
    return NULL;
}

static void *refuse_bool(const redisReadTask *task, int truth)
{
    (void)task, (void)truth;
    return NULL;
}
#endif

/* Not const because hiredis takes it so; nobody writes to it. */
static redisReplyObjectFunctions builders = {
    .createString = create_string,
    .createArray = create_array,
    .createInteger = create_integer,
    .createNil = create_nil,
    .freeObject = free_nothing,
#if HIREDIS_MAJOR >= 1
    .createDouble = refuse_double,
    .createBool = refuse_bool,
#endif
};

bool wh_redis_reply_is_error(const struct wh_redis_reply *reply, const char *code)
{
    struct wh_slice word = wh_slice_from_str(code);
    return reply && reply->type == WH_REDIS_ERROR && wh_slice_starts_with(reply->text, word) &&
           (reply->text.len == word.len || reply->text.ptr[word.len] == ' ');
}

enum wh_err wh_redis_reader_init(struct wh_redis_reader *reader, size_t bytes_max)
{
    *reader = (struct wh_redis_reader){.bytes_max = bytes_max};
    reader->parser = redisReaderCreateWithFunctions(&builders);
    if (!reader->parser)
        return WH_ENOMEM;
    reader->parser->privdata = reader;
    wh_arena_init(&reader->arena, bytes_max);
    return WH_OK;
}

void wh_redis_reader_deinit(struct wh_redis_reader *reader)
{
    if (!reader->parser)
        return;
    redisReaderFree(reader->parser);
    reader->parser = NULL;
    wh_arena_deinit(&reader->arena);
}

enum wh_err wh_redis_reader_feed(struct wh_redis_reader *reader, struct wh_slice bytes)
{
    return redisReaderFeed(reader->parser, bytes.ptr, bytes.len) == REDIS_OK ? WH_OK : WH_ENOMEM;
}

enum wh_err wh_redis_reader_next(struct wh_redis_reader *reader,
                                 const struct wh_redis_reply **out_reply)
{
    if (reader->has_reply) {
        wh_arena_reset(&reader->arena);
        reader->has_reply = false;
    }
    void *reply = NULL;
    if (redisReaderGetReply(reader->parser, &reply) != REDIS_OK)
        return reader->parser->err == REDIS_ERR_OOM ? WH_ELIMIT : WH_EFORMAT;
    /* A string is buffered whole before it is built: bound that as well. */
    if (!reply && reader->parser->len > reader->bytes_max)
        return WH_ELIMIT;
    reader->has_reply = reply != NULL;
    *out_reply = reply;
    return WH_OK;
}
