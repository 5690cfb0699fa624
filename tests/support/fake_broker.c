#include "fake_broker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct fake_broker *fake_of(struct broker *broker)
{
    return WH_CONTAINER_OF(broker, struct fake_broker, base);
}

/* `call` is off the list. */
static void finish(struct fake_broker *fake, struct fake_call *call, enum wh_err err)
{
    if (err == WH_OK && call->kind == CALL_PUBLISH && !fake->is_manual)
        fake_broker_publish(fake, call->channel, call->data);
    struct broker_position nowhere = {0};
    if (call->done)
        call->done(call->user, err);
    if (call->published)
        call->published(call->user, err, err ? NULL : &nowhere);
    free(call);
}

static void on_work(struct wh_task *task)
{
    struct fake_broker *fake = WH_CONTAINER_OF(task, struct fake_broker, work);
    WH_LIST_EACH(link, &fake->calls) /* what the answers ask for comes in a task of its own */
    {
        if (fake->is_manual && !fake->is_closing)
            break;
        wh_list_remove(link);
        finish(fake, WH_CONTAINER_OF(link, struct fake_call, link),
               fake->is_closing ? WH_ECLOSED : WH_OK);
    }
    if (!fake->is_closing)
        return;
    void (*closed)(void *user) = fake->closed;
    void *user = fake->closed_user;
    free(fake);
    closed(user);
}

static struct fake_call *add(struct fake_broker *fake,
                             enum fake_call_kind kind,
                             struct wh_slice channel)
{
    struct fake_call *call = calloc(1, sizeof(*call));
    assert_non_null(call);
    call->kind = kind;
    snprintf(call->channel, sizeof(call->channel), "%.*s", WH_SLICE_ARGS(channel));
    wh_list_push_back(&fake->calls, &call->link);
    wh_loop_defer(fake->loop, &fake->work);
    return call;
}

static void on_subscribe(struct broker *broker,
                         struct wh_slice channel,
                         broker_done *done,
                         void *user)
{
    struct fake_call *call = add(fake_of(broker), CALL_SUBSCRIBE, channel);
    call->done = done;
    call->user = user;
    fake_of(broker)->subscribes++;
}

static void on_unsubscribe(struct broker *broker, struct wh_slice channel)
{
    (void)channel;
    fake_of(broker)->unsubscribes++;
}

static void on_publish(struct broker *broker,
                       struct wh_slice channel,
                       const struct wh_pub *pub,
                       const struct broker_publish_options *options,
                       broker_published *done,
                       void *user)
{
    struct fake_broker *fake = fake_of(broker);
    assert_true(options == NULL || options->history_size == 0); /* it keeps no streams */
    struct fake_call *call = add(fake, CALL_PUBLISH, channel);
    snprintf(call->data, sizeof(call->data), "%.*s", WH_SLICE_ARGS(pub->data.bytes));
    snprintf(fake->last_publisher, sizeof(fake->last_publisher), "%.*s",
             WH_SLICE_ARGS(pub->info->user));
    call->published = done;
    call->user = user;
    fake->publishes++;
}

/* There is no other node, and nobody asks this one. */
static void on_control(struct broker *broker,
                       struct wh_slice node_id,
                       struct wh_slice message,
                       broker_done *done,
                       void *user)
{
    (void)broker;
    (void)node_id;
    (void)message;
    if (done)
        done(user, WH_EUNAVAILABLE);
}

static void on_close(struct broker *broker, void (*closed)(void *user), void *user)
{
    struct fake_broker *fake = fake_of(broker);
    fake->is_closing = true;
    fake->closed = closed;
    fake->closed_user = user;
    wh_loop_defer(fake->loop, &fake->work);
}

static const struct broker_ops fake_ops = {
    .name = "fake",
    .subscribe = on_subscribe,
    .unsubscribe = on_unsubscribe,
    .publish = on_publish,
    .control = on_control,
    .close = on_close,
};

struct fake_broker *fake_broker_new(struct wh_loop *loop, const struct broker_events *events)
{
    struct fake_broker *fake = calloc(1, sizeof(*fake));
    assert_non_null(fake);
    fake->base.ops = &fake_ops;
    fake->loop = loop;
    fake->events = *events;
    wh_list_init(&fake->calls);
    wh_task_init(&fake->work, on_work);
    return fake;
}

void fake_broker_answer(struct fake_broker *fake,
                        enum fake_call_kind kind,
                        const char *channel,
                        enum wh_err err)
{
    WH_LIST_EACH(link, &fake->calls)
    {
        struct fake_call *call = WH_CONTAINER_OF(link, struct fake_call, link);
        if (call->kind != kind || (channel && strcmp(call->channel, channel) != 0))
            continue;
        wh_list_remove(link);
        finish(fake, call, err);
        return;
    }
    fail_msg("nobody asked for %s", channel ? channel : "anything");
}

size_t fake_broker_waiting(const struct fake_broker *fake)
{
    size_t count = 0;
    for (const struct wh_list *link = fake->calls.next; link != &fake->calls; link = link->next)
        count++;
    return count;
}

void fake_broker_publish_as(struct fake_broker *fake,
                            const char *channel,
                            struct wh_payload data,
                            bool is_plain)
{
    struct wh_pub pub = {.data = data};
    fake->events.on_publication(fake->events.user, wh_slice_from_str(channel), &pub, is_plain);
}

void fake_broker_publish(struct fake_broker *fake, const char *channel, const char *data)
{
    fake_broker_publish_as(fake, channel, wh_payload_classify(wh_slice_from_str(data)), false);
}
