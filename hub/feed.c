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
#include "hub/feed.h"

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

struct feed {
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

static struct node *node_of(const struct feed *feed)
{
    return feed->registry->node;
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

enum wh_err feed_open(struct registry *registry, struct channel *channel, struct feed **out_feed)
{
    if (channel->feed == NULL) {
        struct feed *feed = wh_calloc(1, sizeof(*feed));
        if (feed == NULL)
            return WH_ENOMEM;
        feed->registry = registry;
        feed->channel = channel;
        wh_list_init(&feed->kept.items);
        wh_list_init(&feed->held.items);
        wh_list_init(&feed->catching);
        wh_timer_init(&feed->timer, on_timer);
        channel->feed = feed;
    }
    *out_feed = channel->feed;
    return WH_OK;
}

void feed_free(struct feed *feed)
{
    if (feed == NULL)
        return;
    WH_ASSERT(wh_list_is_empty(&feed->catching));
    wh_loop_timer_stop(node_of(feed)->loop, &feed->timer);
    list_clear(&feed->kept);
    list_clear(&feed->held);
    wh_free(feed);
}

void feed_keep(struct feed *feed)
{
    feed->keepers++;
}

void feed_keep_no_more(struct feed *feed)
{
    if (--feed->keepers == 0)
        list_clear(&feed->kept);
}

size_t feed_collect(const struct feed *feed,
                    uint64_t since,
                    const struct wh_publication **out,
                    size_t max)
{
    size_t count = 0;
    WH_LIST_EACH(link, &feed->kept.items)
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

struct broker_position feed_position(const struct feed *feed)
{
    if (!feed->is_known)
        return (struct broker_position){0};
    return (struct broker_position){feed->offset, wh_slice(feed->epoch, feed->epoch_len)};
}

uint64_t feed_life(const struct feed *feed)
{
    return feed->life;
}

static bool has_epoch(const struct feed *feed, struct wh_slice epoch)
{
    return wh_slice_equal(wh_slice(feed->epoch, feed->epoch_len), epoch);
}

static void set_position(struct feed *feed, uint64_t offset, struct wh_slice epoch)
{
    size_t len = epoch.len < EPOCH_MAX ? epoch.len : EPOCH_MAX;
    if (len)
        memmove(feed->epoch, epoch.ptr, len);
    feed->epoch_len = len;
    feed->offset = offset;
    feed->is_known = true;
}

/* When to read next: soon for those who wait, now and then for those who trust. */
static void schedule(struct feed *feed)
{
    struct node *node = node_of(feed);
    uint64_t period = node->config->client.channel_position_check_delay_ms;
    if (feed->is_healing)
        return;
    if (!wh_list_is_empty(&feed->catching))
        wh_loop_timer_start(node->loop, &feed->timer, CATCH_UP_MS);
    else if (feed->positioned > 0 && period > 0)
        wh_loop_timer_start(node->loop, &feed->timer, period / 2 + wh_random_below(period / 2));
    else
        wh_loop_timer_stop(node->loop, &feed->timer);
}

void feed_join(struct feed *feed)
{
    if (feed->positioned++ == 0)
        schedule(feed);
}

void feed_leave(struct feed *feed)
{
    if (--feed->positioned == 0)
        schedule(feed);
}

bool feed_reaches(struct feed *feed, const struct broker_position *top, struct subscribe_op *op)
{
    if (!feed->is_known)
        set_position(feed, top->offset, top->epoch);
    if (!feed->is_healing && has_epoch(feed, top->epoch) && feed->offset >= top->offset)
        return true;
    wh_list_push_back(&feed->catching, &op->channel_link);
    schedule(feed);
    return false;
}

/* The position moved: let those go on who waited for it; who is not there yet waits again. */
static void wake(struct feed *feed)
{
    struct wh_list woken;
    struct wh_list *link;
    if (wh_list_is_empty(&feed->catching))
        return;
    wh_list_init(&woken);
    while ((link = wh_list_pop_front(&feed->catching)) != NULL)
        wh_list_push_back(&woken, link);
    while ((link = wh_list_pop_front(&woken)) != NULL)
        subscribe_caught_up(WH_CONTAINER_OF(link, struct subscribe_op, channel_link));
}

/* Live */

static void broadcast(struct feed *feed, const struct wh_publication *pub)
{
    if (feed->keepers > 0 && list_add(&feed->kept, pub)) {
        feed->life++; /* those who recover have a hole now and start anew */
        list_clear(&feed->kept);
    }
    feed->offset = pub->offset;
    registry_broadcast(feed->registry, feed->channel, pub, false);
}

static void heal(struct feed *feed);

static void hold(struct feed *feed, const struct wh_publication *pub)
{
    if (list_add(&feed->held, pub))
        list_clear(&feed->held); /* a hole among them: found when they are worked off */
}

/* Whether `pub` neither continues the stream nor is old, and somebody minds. */
static bool leaves_hole(const struct feed *feed, const struct wh_publication *pub)
{
    if (feed->positioned == 0 && feed->keepers == 0)
        return false;
    return !has_epoch(feed, pub->epoch) || pub->offset > feed->offset + 1;
}

/* Broadcast or drop what leaves no hole. */
static void take(struct feed *feed, const struct wh_publication *pub)
{
    bool is_same = has_epoch(feed, pub->epoch);
    if (is_same && pub->offset <= feed->offset)
        return;
    if (!is_same)
        set_position(feed, pub->offset, pub->epoch);
    broadcast(feed, pub);
}

void feed_take(struct feed *feed, const struct wh_publication *pub)
{
    struct registry *registry = feed->registry;
    struct channel *channel = feed->channel;
    if (feed->is_healing) {
        hold(feed, pub);
        return;
    }
    if (!feed->is_known)
        set_position(feed, pub->offset - 1, pub->epoch);
    if (leaves_hole(feed, pub)) {
        heal(feed);
        hold(feed, pub);
        return;
    }
    registry_pin(channel);
    take(feed, pub);
    wake(feed);
    registry_unpin(registry, channel);
}

/* Healing */

static void end_positioned(struct subscription *subscription)
{
    if (!subscription->is_positioned)
        return;
    if (subscription->is_server_side)
        session_doom(subscription->session, WH_DISCONNECT_INSUFFICIENT_STATE);
    else
        subscription_end(subscription, WH_UNSUBSCRIBE_INSUFFICIENT_STATE);
}

/* Who may not miss anything has: tell all of them. */
static void give_up(struct feed *feed)
{
    struct channel *channel = feed->channel;
    static struct wh_log_limit limit;
    wh_log_limited(&limit, WH_LOG_WARN, "feed", "insufficient_state",
                   "channel=%.*s positioned=%u offset=%" PRIu64, WH_SLICE_ARGS(channel->name),
                   feed->positioned, feed->offset);
    feed->life++;
    list_clear(&feed->kept);
    registry_each(feed->registry, channel, end_positioned);
}

/* An answer finds its feed by name and numbers: channel and stream may be gone by then. */
struct feed_read {
    struct registry *registry;
    struct wh_slice name;
    uint64_t channel_number;
    uint64_t read_number;
};

/* False: something between our offset and the top is missing, or another life of the stream. */
static bool continue_with(struct feed *feed, const struct broker_history *history)
{
    uint64_t next = feed->offset + 1;
    if (!has_epoch(feed, history->top.epoch) || history->top.offset + 1 < next)
        return false;
    if (history->top.offset + 1 > next &&
        (history->count == 0 || history->publications[0].offset != next ||
         history->publications[history->count - 1].offset != history->top.offset))
        return false;
    for (size_t i = 0; i < history->count; i++)
        broadcast(feed, &history->publications[i]);
    return true;
}

/* Work off what came meanwhile; a hole in it starts the next read. */
static void release_held(struct feed *feed)
{
    while (!wh_list_is_empty(&feed->held.items)) {
        struct kept *kept = WH_CONTAINER_OF(feed->held.items.next, struct kept, link);
        if (leaves_hole(feed, &kept->pub)) {
            heal(feed);
            return;
        }
        wh_list_remove(&kept->link);
        feed->held.count--;
        take(feed, &kept->pub);
        wh_arena_deinit(&kept->arena);
        wh_free(kept);
    }
}

static void healed(struct feed *feed)
{
    feed->is_healing = false;
    release_held(feed);
    if (feed->is_healing)
        return;
    feed->reads = 0;
    wake(feed);
    schedule(feed);
}

static void on_read(void *user, enum wh_err err, const struct broker_history *history)
{
    struct feed_read *read = user;
    struct registry *registry = read->registry;
    struct channel *channel = registry_channel_numbered(registry, read->name, read->channel_number);
    struct feed *feed = channel ? channel->feed : NULL;
    if (feed && feed->is_healing && feed->read_number == read->read_number) {
        registry_pin(channel);
        if (err && err != WH_ECLOSED) {
            wh_loop_timer_start(registry->node->loop, &feed->timer, READ_RETRY_MS);
        } else if (err == WH_OK) {
            if (feed->reads > READS_MAX || !continue_with(feed, history)) {
                give_up(feed);
                set_position(feed, history->top.offset, history->top.epoch);
            }
            healed(feed);
        }
        registry_unpin(registry, channel);
    }
    wh_free(read);
}

static void read_on(struct feed *feed)
{
    struct node *node = node_of(feed);
    struct channel *channel = feed->channel;
    struct feed_read *read = wh_calloc(1, sizeof(*read) + channel->name.len + 1);
    if (read == NULL) {
        wh_loop_timer_start(node->loop, &feed->timer, READ_RETRY_MS);
        return;
    }
    memcpy(read + 1, channel->name.ptr, channel->name.len);
    read->registry = feed->registry;
    read->name = wh_slice(read + 1, channel->name.len);
    read->channel_number = channel->number;
    read->read_number = ++feed->read_number;
    feed->reads++;
    struct broker_history_query query = {
        .since = feed->offset,
        .has_since = true,
        .limit = node->config->client.recovery_max_publication_limit,
        .meta_ttl_ms = channel_meta_ttl_ms(node->config, channel->options),
    };
    node->broker->ops->history(node->broker, channel->name, &query, on_read, read);
}

static void heal(struct feed *feed)
{
    feed->is_healing = true;
    wh_loop_timer_stop(node_of(feed)->loop, &feed->timer);
    read_on(feed);
}

static void on_timer(struct wh_timer *timer)
{
    struct feed *feed = WH_CONTAINER_OF(timer, struct feed, timer);
    if (feed->is_healing)
        read_on(feed);
    else if (feed->positioned > 0 || !wh_list_is_empty(&feed->catching))
        heal(feed);
}

void feed_link_returned(struct feed *feed)
{
    if (feed->is_healing || feed->positioned == 0)
        return;
    wh_loop_timer_start(node_of(feed)->loop, &feed->timer, wh_random_below(FEED_RETURN_MS));
}
