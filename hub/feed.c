/*
 * Invariants:
 *  - offset and epoch are those of the last publication that was broadcast
 *    here, or were read as the top when nobody needed anything older;
 *  - while is_healing nothing with an offset is broadcast as it comes: it
 *    waits in `held`, in order of arrival, and is_reading is set;
 *  - `kept` holds what was broadcast while keepers > 0, without a hole since
 *    `life` last changed;
 *  - an answer of the broker names channel and read by number: what is not
 *    asked any more is ignored.
 *
 * One read does for all doubts: of what comes after our offset, everything
 * (up to the recovery limit).  If it continues where this node stands it is
 * broadcast, and nothing was lost; if not, give_up().  A look out of caution
 * holds nothing back: what arrives live meanwhile is taken out of its answer.
 *
 * An answer says nothing about what happened after it was asked for, so a
 * doubt that comes up meanwhile (look_at_ms) is not settled by it.
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
    struct wh_pub pub;
    uint64_t read_number; /* of the last read that was asked for before it came */
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
    bool is_reading; /* an answer is outstanding, or the timer will ask again */
    bool is_healing;
    unsigned reads;          /* answered in this heal */
    uint64_t read_number;    /* of the read under way; other answers are stale */
    uint64_t read_since;     /* our offset when it was asked for */
    struct wh_list catching; /* struct subscribe_op.channel_link */
    uint64_t catch_by_ms;    /* their patience ends; 0 = nobody waits */
    uint64_t look_at_ms;     /* something may have been missed; 0 = no doubt */
    uint64_t check_at_ms;    /* the next look without a doubt; 0 = none */
    struct wh_timer timer;   /* the next read */
};

static void on_timer(struct wh_timer *timer);
static void schedule(struct feed *feed);

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

static enum wh_err list_add(struct kept_list *list, const struct wh_pub *pub, uint64_t read_number)
{
    if (list->count >= LIST_MAX)
        return WH_ELIMIT;
    struct kept *kept = wh_calloc(1, sizeof(*kept));
    if (kept == NULL)
        return WH_ENOMEM;
    wh_arena_init(&kept->arena, 0); /* the broker has bounded it */
    enum wh_err err = wh_copy(&wh_pub_schema, pub, &kept->arena, &kept->pub);
    if (err) {
        wh_arena_deinit(&kept->arena);
        wh_free(kept);
        return err;
    }
    kept->read_number = read_number;
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
    schedule(feed);
}

size_t feed_collect(const struct feed *feed, uint64_t since, const struct wh_pub **out, size_t max)
{
    size_t count = 0;
    WH_LIST_EACH(link, &feed->kept.items)
    {
        const struct wh_pub *pub = &WH_CONTAINER_OF(link, struct kept, link)->pub;
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

/* Somebody here minds a hole. */
static bool is_minded(const struct feed *feed)
{
    return feed->positioned > 0 || feed->keepers > 0;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a && (b == 0 || a < b) ? a : b;
}

/* The next read: soon for those who wait or doubt, now and then for those who trust. */
static void schedule(struct feed *feed)
{
    struct node *node = node_of(feed);
    uint64_t now = wh_loop_now_ms(node->loop);
    if (feed->is_reading)
        return;
    if (wh_list_is_empty(&feed->catching))
        feed->catch_by_ms = 0;
    if (!is_minded(feed))
        feed->look_at_ms = 0;
    uint64_t due = earlier(feed->look_at_ms, feed->catch_by_ms);
    if (feed->positioned > 0)
        due = earlier(due, feed->check_at_ms);
    if (due)
        wh_loop_timer_start(node->loop, &feed->timer, due > now ? due - now : 0);
    else
        wh_loop_timer_stop(node->loop, &feed->timer);
}

/* All is well now; look again in a while. */
static void plan_check(struct feed *feed)
{
    struct node *node = node_of(feed);
    uint64_t period = node->config->client.channel_position_check_delay_ms;
    feed->check_at_ms =
        period ? wh_loop_now_ms(node->loop) + period / 2 + wh_random_below(period / 2) : 0;
}

void feed_join(struct feed *feed)
{
    if (feed->positioned++ == 0) {
        plan_check(feed);
        schedule(feed);
    }
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
    if (feed->catch_by_ms == 0)
        feed->catch_by_ms = wh_loop_now_ms(node_of(feed)->loop) + CATCH_UP_MS;
    schedule(feed);
    return false;
}

/* The position moved, or cannot be known: let those go on who waited for it; who is not there yet
 * waits again. */
static void wake(struct feed *feed, enum wh_err err)
{
    struct wh_list woken;
    struct wh_list *link;
    if (wh_list_is_empty(&feed->catching))
        return;
    wh_list_init(&woken);
    while ((link = wh_list_pop_front(&feed->catching)) != NULL)
        wh_list_push_back(&woken, link);
    while ((link = wh_list_pop_front(&woken)) != NULL)
        subscribe_caught_up(WH_CONTAINER_OF(link, struct subscribe_op, channel_link), err);
}

/* Live */

static void broadcast(struct feed *feed, const struct wh_pub *pub)
{
    if (feed->keepers > 0 && list_add(&feed->kept, pub, 0)) {
        feed->life++; /* those who recover have a hole now and start anew */
        list_clear(&feed->kept);
    }
    feed->offset = pub->offset;
    registry_broadcast(feed->registry, feed->channel, pub, false);
}

static void heal(struct feed *feed);

static void hold(struct feed *feed, const struct wh_pub *pub)
{
    if (list_add(&feed->held, pub,
                 feed->read_number)) { /* the read under way may be too old to have them all */
        list_clear(&feed->held);
        feed->look_at_ms = wh_loop_now_ms(node_of(feed)->loop);
    }
}

/* Whether `pub` neither continues the stream nor is old, and somebody minds. */
static bool leaves_hole(const struct feed *feed, const struct wh_pub *pub)
{
    if (!is_minded(feed))
        return false;
    return !has_epoch(feed, pub->epoch) || pub->offset > feed->offset + 1;
}

/* Broadcast or drop what leaves no hole. */
static void take(struct feed *feed, const struct wh_pub *pub)
{
    bool is_same = has_epoch(feed, pub->epoch);
    if (is_same && pub->offset <= feed->offset)
        return;
    if (!is_same)
        set_position(feed, pub->offset, pub->epoch);
    broadcast(feed, pub);
}

void feed_take(struct feed *feed, const struct wh_pub *pub)
{
    struct registry *registry = feed->registry;
    struct channel *channel = feed->channel;
    if (feed->is_healing) {
        hold(feed, pub);
        return;
    }
    if (!feed->is_known) {
        set_position(feed, pub->offset - 1, pub->epoch);
        feed->life++; /* a read under way may end before that: nobody knows what came between */
    }
    if (leaves_hole(feed, pub)) {
        hold(feed, pub);
        heal(feed);
        return;
    }
    registry_pin(channel);
    take(feed, pub);
    wake(feed, WH_OK);
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
    uint64_t top = history->top.offset;
    size_t first = 0;
    if (!has_epoch(feed, history->top.epoch) || top < feed->read_since)
        return false;
    while (first < history->count && history->publications[first].offset <= feed->offset)
        first++; /* came live since we asked */
    if (top > feed->offset && (history->count - first != top - feed->offset ||
                               history->publications[history->count - 1].offset != top))
        return false;
    for (size_t i = first; i < history->count; i++)
        broadcast(feed, &history->publications[i]);
    return true;
}

/*
 * Work off what came meanwhile.  What leaves a hole although the read was asked for after it came
 * is of a past life of the stream.  If it came later, only the next read can tell.
 */
static void release_held(struct feed *feed)
{
    while (!wh_list_is_empty(&feed->held.items)) {
        struct kept *kept = WH_CONTAINER_OF(feed->held.items.next, struct kept, link);
        bool is_hole = leaves_hole(feed, &kept->pub);
        if (is_hole && kept->read_number == feed->read_number) {
            heal(feed);
            return;
        }
        wh_list_remove(&kept->link);
        feed->held.count--;
        if (!is_hole)
            take(feed, &kept->pub);
        wh_arena_deinit(&kept->arena);
        wh_free(kept);
    }
}

static void settled(struct feed *feed)
{
    feed->is_reading = false;
    feed->is_healing = false;
    release_held(feed);
    if (feed->is_healing)
        return;
    feed->reads = 0;
    plan_check(feed);
    wake(feed, WH_OK);
    schedule(feed);
}

static void on_answer(struct feed *feed, const struct broker_history *history)
{
    if (++feed->reads > READS_MAX || !continue_with(feed, history)) {
        give_up(feed);
        set_position(feed, history->top.offset, history->top.epoch);
    }
    settled(feed);
}

/* Who stands here goes on waiting, who wants to come here had better try again. */
static void on_no_answer(struct feed *feed)
{
    wake(feed, WH_EUNAVAILABLE);
    if (is_minded(feed))
        wh_loop_timer_start(node_of(feed)->loop, &feed->timer, READ_RETRY_MS);
    else
        settled(feed);
}

static void on_read(void *user, enum wh_err err, const struct broker_history *history)
{
    struct feed_read *read = user;
    struct registry *registry = read->registry;
    struct channel *channel = registry_channel_numbered(registry, read->name, read->channel_number);
    struct feed *feed = channel ? channel->feed : NULL;
    if (feed && feed->is_reading && feed->read_number == read->read_number) {
        registry_pin(channel);
        if (err == WH_OK)
            on_answer(feed, history);
        else if (err != WH_ECLOSED)
            on_no_answer(feed);
        registry_unpin(registry, channel);
    }
    wh_free(read);
}

static void read_on(struct feed *feed)
{
    struct node *node = node_of(feed);
    struct channel *channel = feed->channel;
    struct feed_read *read = wh_calloc(1, sizeof(*read) + channel->name.len + 1);
    feed->is_reading = true;
    if (read == NULL) {
        wh_loop_timer_start(node->loop, &feed->timer, READ_RETRY_MS);
        return;
    }
    memcpy(read + 1, channel->name.ptr, channel->name.len);
    read->registry = feed->registry;
    read->name = wh_slice(read + 1, channel->name.len);
    read->channel_number = channel->number;
    read->read_number = ++feed->read_number;
    feed->read_since = feed->offset;
    list_clear(&feed->held); /* it is in the answer, or of a life of the stream that is over */
    feed->look_at_ms = 0;
    feed->catch_by_ms = 0;
    wh_loop_timer_stop(node->loop, &feed->timer);
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
    if (!feed->is_reading)
        read_on(feed);
}

static void on_timer(struct wh_timer *timer)
{
    read_on(WH_CONTAINER_OF(timer, struct feed, timer));
}

void feed_link_returned(struct feed *feed)
{
    if (!is_minded(feed))
        return;
    uint64_t at_ms = wh_loop_now_ms(node_of(feed)->loop) + 1 + wh_random_below(FEED_RETURN_MS);
    feed->look_at_ms = earlier(feed->look_at_ms, at_ms);
    schedule(feed);
}
