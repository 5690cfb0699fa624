/*
 * An event of a message lies in the message's arena and keeps the message; so a
 * publication costs no allocation besides the frame that brought it, and what the
 * program keeps is the frame.
 *
 * The arena grows only while the engine, under its lock, looks at a message
 * that it holds a reference to; afterwards any thread may give references back.
 */
#include "client-sdk/src/event.h"

#include "client-sdk/src/sub.h"
#include "client-sdk/src/tokens.h"
#include "common/base/alloc.h"

/* ---- the protocol's structs as the program sees them --------------------------------------------
 */

bool client_info_init(struct wh_client_info *out_info,
                      struct message *message,
                      const struct wh_info *info)
{
    out_info->user = message_cstr(message, info->user);
    out_info->client = message_cstr(message, info->client);
    out_info->conn_info = data_of_payload(info->conn_info);
    out_info->chan_info = data_of_payload(info->chan_info);
    return out_info->user && out_info->client;
}

static bool tags_init(struct wh_publication *publication,
                      struct message *message,
                      const struct wh_string_map *tags)
{
    struct wh_tag *out = wh_arena_alloc_array(&message->arena, tags->count, sizeof(*out));
    if (!out)
        return false;
    for (size_t i = 0; i < tags->count; i++) {
        out[i].key = message_cstr(message, tags->items[i].key);
        out[i].value = message_cstr(message, tags->items[i].value);
        if (!out[i].key || !out[i].value)
            return false;
    }
    publication->tags = out;
    publication->tag_count = tags->count;
    return true;
}

bool publication_init(struct wh_publication *publication,
                      struct message *message,
                      const struct wh_pub *pub,
                      const char *channel)
{
    *publication = (struct wh_publication){
        .channel = channel,
        .data = data_of_payload(pub->data),
        .offset = pub->offset,
        .time_ms = pub->time,
        .owner = message,
    };
    if (pub->tags.count > 0 && !tags_init(publication, message, &pub->tags))
        return false;
    if (!pub->info)
        return true;
    struct wh_client_info *info = wh_arena_alloc(&message->arena, sizeof(*info));
    if (!info || !client_info_init(info, message, pub->info))
        return false;
    publication->info = info;
    return true;
}

const struct wh_publication *wh_publication_ref(const struct wh_publication *publication)
{
    if (publication && publication->owner)
        message_ref(publication->owner);
    return publication;
}

void wh_publication_unref(const struct wh_publication *publication)
{
    if (publication)
        message_unref(publication->owner);
}

/* ---- events ---------------------------------------------------------------------------------- */

#define SIZE_WITH(member)                                                                          \
    (offsetof(struct event, u) + sizeof(((const struct event *)NULL)->u.member))

/* What an event in an arena needs; those with errors are rare and get everything. */
static size_t event_size(enum event_kind kind)
{
    switch (kind) {
    case EVENT_PUBLICATION:
        return SIZE_WITH(publication);
    case EVENT_MESSAGE:
        return SIZE_WITH(data);
    case EVENT_JOIN:
    case EVENT_LEAVE:
        return SIZE_WITH(info);
    case EVENT_SUBSCRIBED:
        return SIZE_WITH(subscribed);
    default:
        return sizeof(struct event);
    }
}

struct event *event_new(enum event_kind kind, struct message *message, size_t extra)
{
    struct event *event;
    size_t size = message ? event_size(kind) : sizeof(*event) + extra;
    if (message)
        event = wh_arena_alloc(&message->arena, size);
    else
        event = wh_calloc(1, size);
    if (!event)
        return NULL;
    wh_list_init(&event->link);
    event->kind = kind;
    event->is_in_message = message != NULL;
    event->message = message ? message_ref(message) : NULL;
    event->bytes = size;
    return event;
}

char *event_extra(struct event *event)
{
    return (char *)(event + 1);
}

static void free_request(struct event *event)
{
    if (event->kind == EVENT_SUB_GET_STATE)
        token_ask_unref((struct token_ask *)(void *)event->u.state_request);
    else
        token_ask_unref((struct token_ask *)(void *)event->u.token_request);
}

void event_free(struct event *event)
{
    if (!event)
        return;
    if (event->kind == EVENT_GET_TOKEN || event->kind == EVENT_SUB_GET_TOKEN ||
        event->kind == EVENT_SUB_GET_STATE)
        free_request(event);
    if (event->kind == EVENT_CALL)
        call_unref(event->u.call.call);
    if (event->sub)
        sub_unref(event->sub);
    struct message *message = event->message;
    if (!event->is_in_message)
        wh_free(event);
    message_unref(message);
}

void event_queue_init(struct event_queue *queue)
{
    *queue = (struct event_queue){.count = 0};
    wh_list_init(&queue->events);
}

void event_queue_push(struct event_queue *queue, struct event *event)
{
    wh_list_push_back(&queue->events, &event->link);
    queue->count++;
    queue->bytes += event->bytes;
}

struct event *event_queue_pop(struct event_queue *queue)
{
    struct wh_list *link = wh_list_pop_front(&queue->events);
    if (!link)
        return NULL;
    struct event *event = WH_CONTAINER_OF(link, struct event, link);
    queue->count--;
    queue->bytes -= event->bytes;
    return event;
}
