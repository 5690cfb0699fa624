/*
 * Invariants:
 *  - offset and epoch are those of the last publication that was broadcast
 *    here, or were read as the top when nobody needed anything older;
 *  - while is_healing nothing with an offset is broadcast as it comes: it
 *    waits in `held`, in order of arrival;
 *  - `kept` holds what was broadcast while keepers > 0, without a hole since
 *    `life` last changed;
 *  - an answer of the broker names channel and read by number: what is not
 *    asked any more is ignored.
 *
 * One read does for all doubts: of what comes after our offset, everything
 * (up to the recovery limit).  If it continues where this node stands it is
 * broadcast, and nothing was lost; if not, give_up().
 */
#include "hub/stream.h"

#include "common/base/alloc.h"
#include "common/base/random.h"
#include "common/protocol/copy.h"
#include "hub/session.h"
#include "hub/subscribe.h"

#include <inttypes.h>

enum {
    EPOCH_MAX = 64,
    LIST_MAX = 4096, /* publications held, and kept */
    READS_MAX = 20,  /* in one heal */
    READ_RETRY_MS = 250,
    CATCH_UP_MS = 200 /* patience of a recovering subscription with the live link */
};

/* A copy of a publication, in `held` or in `kept`. */
struct kept {
    struct wh_list link;
    struct wh_arena arena;
    struct wh_publication pub;
};

struct kept_list {
    struct wh_list items;
    size_t count;
};

struct stream {
    struct registry *registry;
    struct channel *channel;
    bool is_known;
    uint64_t offset;
    char epoch[EPOCH_MAX];
    size_t epoch_len;
    uint64_t life;       /* counts holes that were not healed */
    uint32_t positioned; /* active subscriptions that a hole must end */
    uint32_t keepers;
    struct kept_list kept;
    struct kept_list held;
    bool is_healing;
    unsigned reads;          /* in this heal */
    uint64_t read_number;    /* of the read under way; other answers are stale */
    struct wh_list catching; /* struct subscribe_op.channel_link */
    struct wh_timer timer;   /* the next read */
};

static void on_timer(struct wh_timer *timer);

static struct node *node_of(const struct stream *stream)
{
    return stream->registry->node;
}

/* Lists */

static void list_clear(struct kept_list *list)
{
    struct wh_list *link;
    while ((link = wh_list_pop_front(&list->items)) != NULL) {
        struct kept *kept = WH_CONTAINER_OF(link, struct kept, link);
        wh_arena_deinit(&kept->arena);
        wh_free(kept);
    }
    list->count = 0;
}

static enum wh_err list_add(struct kept_list *list, const struct wh_publication *pub)
{
    if (list->count >= LIST_MAX)
        return WH_ELIMIT;
    struct kept *kept = wh_calloc(1, sizeof(*kept));
    if (kept == NULL)
        return WH_ENOMEM;
    wh_arena_init(&kept->arena, 0); /* the broker has bounded it */
    enum wh_err err = wh_copy(&wh_publication_schema, pub, &kept->arena, &kept->pub);
    if (err) {
        wh_arena_deinit(&kept->arena);
        wh_free(kept);
        return err;
    }
    wh_list_push_back(&list->items, &kept->link);
    list->count++;
    return WH_OK;
}

/* Life */

enum wh_err stream_open(struct registry *registry,
                        struct channel *channel,
                        struct stream **out_stream)
{
    if (channel->stream == NULL) {
        struct stream *stream = wh_calloc(1, sizeof(*stream));
        if (stream == NULL)
            return WH_ENOMEM;
        stream->registry = registry;
        stream->channel = channel;
        wh_list_init(&stream->kept.items);
        wh_list_init(&stream->held.items);
        wh_list_init(&stream->catching);
        wh_timer_init(&stream->timer, on_timer);
        channel->stream = stream;
    }
    *out_stream = channel->stream;
    return WH_OK;
}

void stream_free(struct stream *stream)
{
    if (stream == NULL)
        return;
    WH_ASSERT(wh_list_is_empty(&stream->catching));
    wh_loop_timer_stop(node_of(stream)->loop, &stream->timer);
    list_clear(&stream->kept);
    list_clear(&stream->held);
    wh_free(stream);
}

void stream_keep(struct stream *stream)
{
    stream->keepers++;
}

void stream_keep_no_more(struct stream *stream)
{
    if (--stream->keepers == 0)
        list_clear(&stream->kept);
}

size_t stream_collect(const struct stream *stream,
                      uint64_t since,
                      const struct wh_publication **out,
                      size_t max)
{
    size_t count = 0;
    WH_LIST_EACH(link, &stream->kept.items)
    {
        const struct wh_publication *pub = &WH_CONTAINER_OF(link, struct kept, link)->pub;
        if (pub->offset <= since)
            continue;
        if (count < max)
            out[count] = pub;
        count++;
    }
    return count;
}

/* Position */

struct broker_position stream_position(const struct stream *stream)
{
    if (!stream->is_known)
        return (struct broker_position){0};
    return (struct broker_position){stream->offset, wh_slice(stream->epoch, stream->epoch_len)};
}

uint64_t stream_life(const struct stream *stream)
{
    return stream->life;
}

static bool has_epoch(const struct stream *stream, struct wh_slice epoch)
{
    return wh_slice_equal(wh_slice(stream->epoch, stream->epoch_len), epoch);
}

static void set_position(struct stream *stream, uint64_t offset, struct wh_slice epoch)
{
    size_t len = epoch.len < EPOCH_MAX ? epoch.len : EPOCH_MAX;
    if (len)
        memmove(stream->epoch, epoch.ptr, len);
    stream->epoch_len = len;
    stream->offset = offset;
    stream->is_known = true;
}

/* When to read next: soon for those who wait, now and then for those who trust. */
static void schedule(struct stream *stream)
{
    struct node *node = node_of(stream);
    uint64_t period = node->config->client.channel_position_check_delay_ms;
    if (stream->is_healing)
        return;
    if (!wh_list_is_empty(&stream->catching))
        wh_loop_timer_start(node->loop, &stream->timer, CATCH_UP_MS);
    else if (stream->positioned > 0 && period > 0)
        wh_loop_timer_start(node->loop, &stream->timer, period / 2 + wh_random_below(period / 2));
    else
        wh_loop_timer_stop(node->loop, &stream->timer);
}

void stream_join(struct stream *stream)
{
    if (stream->positioned++ == 0)
        schedule(stream);
}

void stream_leave(struct stream *stream)
{
    if (--stream->positioned == 0)
        schedule(stream);
}

bool stream_reaches(struct stream *stream,
                    const struct broker_position *top,
                    struct subscribe_op *op)
{
    if (!stream->is_known)
        set_position(stream, top->offset, top->epoch);
    if (!stream->is_healing && has_epoch(stream, top->epoch) && stream->offset >= top->offset)
        return true;
    wh_list_push_back(&stream->catching, &op->channel_link);
    schedule(stream);
    return false;
}

/* The position moved: let those go on who waited for it; who is not there yet waits again. */
static void wake(struct stream *stream)
{
    struct wh_list woken;
    struct wh_list *link;
    if (wh_list_is_empty(&stream->catching))
        return;
    wh_list_init(&woken);
    while ((link = wh_list_pop_front(&stream->catching)) != NULL)
        wh_list_push_back(&woken, link);
    while ((link = wh_list_pop_front(&woken)) != NULL)
        subscribe_caught_up(WH_CONTAINER_OF(link, struct subscribe_op, channel_link));
}

/* Live */

static void broadcast(struct stream *stream, const struct wh_publication *pub)
{
    if (stream->keepers > 0 && list_add(&stream->kept, pub)) {
        stream->life++; /* those who recover have a hole now and start anew */
        list_clear(&stream->kept);
    }
    stream->offset = pub->offset;
    registry_broadcast(stream->registry, stream->channel, pub, false);
}

static void heal(struct stream *stream);

static void hold(struct stream *stream, const struct wh_publication *pub)
{
    if (list_add(&stream->held, pub))
        list_clear(&stream->held); /* a hole among them: found when they are worked off */
}

/* Whether `pub` neither continues the stream nor is old, and somebody minds. */
static bool leaves_hole(const struct stream *stream, const struct wh_publication *pub)
{
    if (stream->positioned == 0 && stream->keepers == 0)
        return false;
    return !has_epoch(stream, pub->epoch) || pub->offset > stream->offset + 1;
}

/* Broadcast or drop what leaves no hole. */
static void take(struct stream *stream, const struct wh_publication *pub)
{
    bool is_same = has_epoch(stream, pub->epoch);
    if (is_same && pub->offset <= stream->offset)
        return;
    if (!is_same)
        set_position(stream, pub->offset, pub->epoch);
    broadcast(stream, pub);
}

void stream_take(struct stream *stream, const struct wh_publication *pub)
{
    struct registry *registry = stream->registry;
    struct channel *channel = stream->channel;
    if (stream->is_healing) {
        hold(stream, pub);
        return;
    }
    if (!stream->is_known)
        set_position(stream, pub->offset - 1, pub->epoch);
    if (leaves_hole(stream, pub)) {
        heal(stream);
        hold(stream, pub);
        return;
    }
    registry_pin(channel);
    take(stream, pub);
    wake(stream);
    registry_unpin(registry, channel);
}

/* Healing */

/* Who may not miss anything has: tell all of them. */
static void give_up(struct stream *stream)
{
    struct channel *channel = stream->channel;
    static struct wh_log_limit limit;
    wh_log_limited(&limit, WH_LOG_WARN, "stream", "insufficient_state",
                   "channel=%.*s positioned=%u offset=%" PRIu64, WH_SLICE_ARGS(channel->name),
                   stream->positioned, stream->offset);
    stream->life++;
    list_clear(&stream->kept);
    for (int lane = 0; lane < REGISTRY_LANES; lane++) {
        struct subscriber_array *array = &channel->subscribers[lane];
        for (uint32_t i = array->count; i-- > 0;) { /* from the end: removal moves the last */
            struct subscription *subscription = array->slots[i].subscription;
            if (!subscription->is_positioned)
                continue;
            if (subscription->is_server_side)
                session_doom(subscription->session, WH_DISCONNECT_INSUFFICIENT_STATE);
            else
                subscription_end(subscription, WH_UNSUBSCRIBE_INSUFFICIENT_STATE);
        }
    }
}

/* An answer finds its stream by name and numbers: channel and stream may be gone by then. */
struct stream_read {
    struct registry *registry;
    struct wh_slice name;
    uint64_t channel_number;
    uint64_t read_number;
};

/* False: something between our offset and the top is missing, or another life of the stream. */
static bool continue_with(struct stream *stream, const struct broker_history *history)
{
    uint64_t next = stream->offset + 1;
    if (!has_epoch(stream, history->top.epoch) || history->top.offset + 1 < next)
        return false;
    if (history->top.offset + 1 > next &&
        (history->count == 0 || history->publications[0].offset != next ||
         history->publications[history->count - 1].offset != history->top.offset))
        return false;
    for (size_t i = 0; i < history->count; i++)
        broadcast(stream, &history->publications[i]);
    return true;
}

/* Work off what came meanwhile; a hole in it starts the next read. */
static void release_held(struct stream *stream)
{
    while (!wh_list_is_empty(&stream->held.items)) {
        struct kept *kept = WH_CONTAINER_OF(stream->held.items.next, struct kept, link);
        if (leaves_hole(stream, &kept->pub)) {
            heal(stream);
            return;
        }
        wh_list_remove(&kept->link);
        stream->held.count--;
        take(stream, &kept->pub);
        wh_arena_deinit(&kept->arena);
        wh_free(kept);
    }
}

static void healed(struct stream *stream)
{
    stream->is_healing = false;
    release_held(stream);
    if (stream->is_healing)
        return;
    stream->reads = 0;
    wake(stream);
    schedule(stream);
}

static void on_read(void *user, enum wh_err err, const struct broker_history *history)
{
    struct stream_read *read = user;
    struct registry *registry = read->registry;
    struct channel *channel = registry_channel_numbered(registry, read->name, read->channel_number);
    struct stream *stream = channel ? channel->stream : NULL;
    if (stream && stream->is_healing && stream->read_number == read->read_number) {
        registry_pin(channel);
        if (err && err != WH_ECLOSED) {
            wh_loop_timer_start(registry->node->loop, &stream->timer, READ_RETRY_MS);
        } else if (err == WH_OK) {
            if (stream->reads > READS_MAX || !continue_with(stream, history)) {
                give_up(stream);
                set_position(stream, history->top.offset, history->top.epoch);
            }
            healed(stream);
        }
        registry_unpin(registry, channel);
    }
    wh_free(read);
}

static void read_on(struct stream *stream)
{
    struct node *node = node_of(stream);
    struct channel *channel = stream->channel;
    struct stream_read *read = wh_calloc(1, sizeof(*read) + channel->name.len + 1);
    if (read == NULL) {
        wh_loop_timer_start(node->loop, &stream->timer, READ_RETRY_MS);
        return;
    }
    memcpy(read + 1, channel->name.ptr, channel->name.len);
    read->registry = stream->registry;
    read->name = wh_slice(read + 1, channel->name.len);
    read->channel_number = channel->number;
    read->read_number = ++stream->read_number;
    stream->reads++;
    struct broker_history_query query = {
        .since = stream->offset,
        .has_since = true,
        .limit = node->config->client.recovery_max_publication_limit,
        .meta_ttl_ms = channel_meta_ttl_ms(node->config, channel->options),
    };
    node->broker->ops->history(node->broker, channel->name, &query, on_read, read);
}

static void heal(struct stream *stream)
{
    stream->is_healing = true;
    wh_loop_timer_stop(node_of(stream)->loop, &stream->timer);
    read_on(stream);
}

static void on_timer(struct wh_timer *timer)
{
    struct stream *stream = WH_CONTAINER_OF(timer, struct stream, timer);
    if (stream->is_healing)
        read_on(stream);
    else if (stream->positioned > 0 || !wh_list_is_empty(&stream->catching))
        heal(stream);
}

void stream_link_returned(struct stream *stream)
{
    if (stream->is_healing || stream->positioned == 0)
        return;
    wh_loop_timer_start(node_of(stream)->loop, &stream->timer, wh_random_below(STREAM_RETURN_MS));
}
