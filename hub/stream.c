/*
 * A stream is a ring of encoded publications.  Offsets have no holes: the ring
 * holds exactly `top - count + 1` to `top`, so an offset finds its entry by
 * arithmetic.  Entries are kept encoded (wire.h), one allocation each, and
 * decoded when read.
 *
 * A channel that only uses versions has a stream without epoch.
 *
 * Results of idempotency keys all live equally long, so the list in order of
 * age is also the order of expiry and one timer does for all of them.
 */
#include "hub/stream.h"

#include "common/base/alloc.h"
#include "common/base/random.h"
#include "common/protocol/wire.h"

struct entry {
    char *bytes;
    size_t len;
};

struct stream {
    struct stream_store *store;
    struct wh_slice name;                 /* points behind this struct */
    char epoch[STREAM_EPOCH_LETTERS + 1]; /* "" = none yet */
    uint64_t top;
    struct entry *ring;
    size_t capacity; /* a power of two or 0 */
    size_t head;     /* the oldest */
    size_t count;
    uint64_t version;
    char *version_epoch; /* owned; NULL = "" */
    size_t version_epoch_len;
    struct wh_timer data_timer; /* then the publications go */
    struct wh_timer meta_timer; /* then all goes */
};

struct result {
    struct wh_list link;
    struct wh_slice key; /* points behind this struct */
    uint64_t expires_ms;
    uint64_t offset;
    char epoch[STREAM_EPOCH_LETTERS + 1];
};

/* A program stops when out of memory. */
static void *must(void *memory)
{
    WH_ASSERT(memory != NULL);
    return memory;
}

/* ---- publications ---- */

static struct entry *entry_at(const struct stream *stream, uint64_t offset)
{
    size_t index = (size_t)(offset - (stream->top - stream->count + 1));
    return &stream->ring[(stream->head + index) & (stream->capacity - 1)];
}

static void drop_oldest(struct stream *stream)
{
    wh_free(stream->ring[stream->head].bytes);
    stream->head = (stream->head + 1) & (stream->capacity - 1);
    stream->count--;
}

static void drop_all(struct stream *stream)
{
    while (stream->count > 0)
        drop_oldest(stream);
    wh_free(stream->ring);
    stream->ring = NULL;
    stream->capacity = 0;
    stream->head = 0;
}

static void make_room(struct stream *stream)
{
    if (stream->count < stream->capacity)
        return;
    size_t capacity = stream->capacity ? stream->capacity * 2 : 4;
    struct entry *ring = must(wh_calloc(capacity, sizeof *ring));
    for (size_t i = 0; i < stream->count; i++)
        ring[i] = stream->ring[(stream->head + i) & (stream->capacity - 1)];
    wh_free(stream->ring);
    stream->ring = ring;
    stream->capacity = capacity;
    stream->head = 0;
}

static void append(struct stream *stream, const struct wh_pub *pub)
{
    struct wh_buf bytes = {0};
    struct wh_pub body = *pub;
    body.offset = 0;
    body.epoch = WH_SLICE_ABSENT;
    wh_wire_encode_publication(&body, &bytes);
    enum wh_err err = wh_buf_error(&bytes);
    WH_ASSERT(err == WH_OK);
    make_room(stream);
    char *copy = must(wh_malloc(bytes.len)); /* a buffer has room to spare, an entry lives long */
    memcpy(copy, bytes.ptr, bytes.len);
    stream->ring[(stream->head + stream->count) & (stream->capacity - 1)] =
        (struct entry){copy, bytes.len};
    stream->count++;
    stream->top++;
    wh_buf_deinit(&bytes);
}

/* ---- streams ---- */

static void free_stream(struct stream *stream)
{
    wh_loop_timer_stop(stream->store->loop, &stream->data_timer);
    wh_loop_timer_stop(stream->store->loop, &stream->meta_timer);
    drop_all(stream);
    wh_free(stream->version_epoch);
    wh_free(stream);
}

static void on_data_expired(struct wh_timer *timer)
{
    drop_all(WH_CONTAINER_OF(timer, struct stream, data_timer));
}

static void on_meta_expired(struct wh_timer *timer)
{
    struct stream *stream = WH_CONTAINER_OF(timer, struct stream, meta_timer);
    (void)wh_map_remove(&stream->store->streams, stream->name);
    free_stream(stream);
}

static struct stream *find(const struct stream_store *store, struct wh_slice name)
{
    return wh_map_get(&store->streams, name);
}

/* The stream of that name, made if missing and used now: its life starts anew. */
static struct stream *touch(struct stream_store *store, struct wh_slice name, uint64_t meta_ttl_ms)
{
    struct stream *stream = find(store, name);
    if (!stream) {
        stream = must(wh_calloc(1, sizeof *stream + name.len));
        memcpy(stream + 1, name.ptr, name.len);
        stream->name = wh_slice(stream + 1, name.len);
        stream->store = store;
        wh_timer_init(&stream->data_timer, on_data_expired);
        wh_timer_init(&stream->meta_timer, on_meta_expired);
        enum wh_err err = wh_map_add(&store->streams, stream->name, stream);
        WH_ASSERT(err == WH_OK);
    }
    if (meta_ttl_ms > 0)
        wh_loop_timer_start(store->loop, &stream->meta_timer, meta_ttl_ms);
    else
        wh_loop_timer_stop(store->loop, &stream->meta_timer);
    return stream;
}

static void ensure_epoch(struct stream *stream)
{
    if (!stream->epoch[0])
        wh_random_letters(stream->epoch, STREAM_EPOCH_LETTERS);
}

static struct broker_position position_of(const struct stream *stream)
{
    if (!stream->epoch[0])
        return (struct broker_position){0};
    return (struct broker_position){stream->top, wh_slice_from_str(stream->epoch)};
}

static void keep(struct stream *stream,
                 const struct wh_pub *pub,
                 const struct broker_publish_options *options)
{
    ensure_epoch(stream);
    append(stream, pub);
    while (stream->count > options->history_size)
        drop_oldest(stream);
    if (options->history_ttl_ms > 0)
        wh_loop_timer_start(stream->store->loop, &stream->data_timer, options->history_ttl_ms);
    else
        wh_loop_timer_stop(stream->store->loop, &stream->data_timer);
}

/* ---- versions ---- */

/* Whether the version is news, and then remember it. */
static bool advance_version(struct stream *stream, const struct broker_publish_options *options)
{
    struct wh_slice known = wh_slice(stream->version_epoch, stream->version_epoch_len);
    bool is_same_epoch = wh_slice_equal(known, options->version_epoch);
    if (is_same_epoch && options->version <= stream->version)
        return false;
    stream->version = options->version;
    if (is_same_epoch)
        return true;
    wh_free(stream->version_epoch);
    stream->version_epoch = NULL;
    stream->version_epoch_len = options->version_epoch.len;
    if (options->version_epoch.len > 0) {
        stream->version_epoch = must(wh_malloc(options->version_epoch.len));
        memcpy(stream->version_epoch, options->version_epoch.ptr, options->version_epoch.len);
    }
    return true;
}

/* ---- idempotency ---- */

static void forget_result(struct stream_store *store, struct result *result)
{
    wh_list_remove(&result->link);
    (void)wh_map_remove(&store->results, result->key);
    wh_free(result);
}

static void on_results_expire(struct wh_timer *timer)
{
    struct stream_store *store = WH_CONTAINER_OF(timer, struct stream_store, expire);
    uint64_t now_ms = wh_loop_now_ms(store->loop);
    while (!wh_list_is_empty(&store->by_age)) {
        struct result *oldest = WH_CONTAINER_OF(store->by_age.next, struct result, link);
        if (oldest->expires_ms > now_ms) {
            wh_loop_timer_start(store->loop, timer, oldest->expires_ms - now_ms);
            return;
        }
        forget_result(store, oldest);
    }
}

/* The channel's length comes first, so that no two pairs of names give the same bytes. */
static void write_result_key(struct wh_buf *out, struct wh_slice channel, struct wh_slice key)
{
    wh_buf_append_u64(out, channel.len);
    wh_buf_append_char(out, ':');
    wh_buf_append_slice(out, channel);
    wh_buf_append_slice(out, key);
    enum wh_err err = wh_buf_error(out);
    WH_ASSERT(err == WH_OK);
}

static void remember_result(struct stream_store *store,
                            struct wh_slice key,
                            const struct broker_position *position)
{
    struct result *result = must(wh_calloc(1, sizeof *result + key.len));
    memcpy(result + 1, key.ptr, key.len);
    result->key = wh_slice(result + 1, key.len);
    result->expires_ms = wh_loop_now_ms(store->loop) + STREAM_IDEMPOTENCY_MS;
    result->offset = position->offset;
    if (position->epoch.len > 0)
        memcpy(result->epoch, position->epoch.ptr, STREAM_EPOCH_LETTERS);
    enum wh_err err = wh_map_add(&store->results, result->key, result);
    WH_ASSERT(err == WH_OK);
    wh_list_push_back(&store->by_age, &result->link);
    if (!wh_timer_is_running(&store->expire))
        wh_loop_timer_start(store->loop, &store->expire, STREAM_IDEMPOTENCY_MS);
}

/* ---- the interface ---- */

void stream_store_init(struct stream_store *store, struct wh_loop *loop)
{
    *store = (struct stream_store){.loop = loop};
    wh_list_init(&store->by_age);
    wh_timer_init(&store->expire, on_results_expire);
}

void stream_store_deinit(struct stream_store *store)
{
    size_t cursor = 0;
    struct stream *stream;
    while ((stream = wh_map_next(&store->streams, &cursor)))
        free_stream(stream);
    wh_map_deinit(&store->streams);
    while (!wh_list_is_empty(&store->by_age))
        forget_result(store, WH_CONTAINER_OF(store->by_age.next, struct result, link));
    wh_map_deinit(&store->results);
    wh_loop_timer_stop(store->loop, &store->expire);
}

static bool publish_new(struct stream_store *store,
                        struct wh_slice channel,
                        const struct wh_pub *pub,
                        const struct broker_publish_options *options,
                        struct broker_position *out_position)
{
    *out_position = (struct broker_position){0};
    if (options->history_size == 0 && options->version == 0)
        return true;
    struct stream *stream = touch(store, channel, options->meta_ttl_ms);
    if (options->version > 0 && !advance_version(stream, options)) {
        if (options->history_size > 0) {
            ensure_epoch(stream);
            *out_position = position_of(stream);
        }
        return false;
    }
    if (options->history_size == 0)
        return true;
    keep(stream, pub, options);
    *out_position = position_of(stream);
    return true;
}

bool stream_publish(struct stream_store *store,
                    struct wh_slice channel,
                    const struct wh_pub *pub,
                    const struct broker_publish_options *options,
                    struct broker_position *out_position)
{
    *out_position = (struct broker_position){0};
    if (!options)
        return true;
    if (options->idempotency_key.len == 0)
        return publish_new(store, channel, pub, options, out_position);
    struct wh_buf key = {0};
    write_result_key(&key, channel, options->idempotency_key);
    const struct result *known = wh_map_get(&store->results, wh_buf_slice(&key));
    bool is_new = false;
    if (known) {
        out_position->offset = known->offset;
        out_position->epoch = wh_slice_from_str(known->epoch);
    } else {
        is_new = publish_new(store, channel, pub, options, out_position);
        if (is_new)
            remember_result(store, wh_buf_slice(&key), out_position);
    }
    wh_buf_deinit(&key);
    return is_new;
}

/* The offsets asked for: `*out_first` and `count` in all, in the query's direction. */
static size_t select_range(const struct stream *stream,
                           const struct broker_history_query *query,
                           uint64_t *out_first)
{
    uint64_t oldest = stream->top - stream->count + 1;
    uint64_t count = 0;
    if (query->reverse) {
        *out_first =
            query->has_since && query->since <= stream->top ? query->since - 1 : stream->top;
        if (!(query->has_since && query->since == 0) && *out_first + 1 > oldest)
            count = *out_first + 1 - oldest;
    } else {
        *out_first = query->has_since && query->since >= oldest ? query->since + 1 : oldest;
        if (!(query->has_since && query->since >= stream->top))
            count = stream->top + 1 - *out_first;
    }
    return (size_t)(count < query->limit ? count : query->limit);
}

void stream_read(struct stream_store *store,
                 struct wh_slice channel,
                 const struct broker_history_query *query,
                 struct wh_arena *arena,
                 struct broker_history *out_history)
{
    struct stream *stream = touch(store, channel, query->meta_ttl_ms);
    uint64_t offset = 0;
    ensure_epoch(stream);
    size_t selected = select_range(stream, query, &offset);
    struct wh_pub *pubs = must(wh_arena_alloc_array(arena, selected, sizeof *pubs));
    size_t count = 0;
    for (size_t i = 0; i < selected; i++, offset += query->reverse ? UINT64_MAX : 1) {
        const struct entry *entry = entry_at(stream, offset);
        struct wh_slice bytes = wh_slice(entry->bytes, entry->len);
        /* Undecodable is a payload that is not what its kind says: with Redis nobody gets it. */
        if (wh_wire_decode_publication(bytes, arena, &pubs[count]) == WH_OK)
            pubs[count++].offset = offset;
    }
    *out_history = (struct broker_history){position_of(stream), pubs, count};
}

void stream_clear(struct stream_store *store, struct wh_slice channel)
{
    struct stream *stream = find(store, channel);
    if (!stream)
        return;
    drop_all(stream);
    wh_loop_timer_stop(store->loop, &stream->data_timer);
}
