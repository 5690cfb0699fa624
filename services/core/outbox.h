/*
 * Events that leave with a transaction, or not at all.  svc_emit writes a row
 * into the table outbox; after COMMIT the relay, a thread of the process, takes
 * the rows that are not sent, in order, publishes them and marks them.
 *
 * What the relay does it may do twice, after any crash: Redis drops the second
 * time by the event's id, known there for SVC_EVENT_KNOWN_HOURS.  An outage
 * between publishing and marking that lasts longer gives duplicates in the
 * stream, which the inboxes of consumers drop.
 *
 * Order: events of one aggregate leave in the order of their rows, for writers
 * of one aggregate wait for each other (the row they lock); one relay is at work at a time
 * over all instances.
 */
#ifndef SERVICES_CORE_OUTBOX_H
#define SERVICES_CORE_OUTBOX_H

#include "services/core/db.h"

enum {
    SVC_EVENT_BYTES_MAX = 1024 * 1024, /* data of one event */
    SVC_EVENT_CHANNELS_MAX = 8,        /* client channels of one event */
    SVC_EVENT_KNOWN_HOURS = 24,        /* ids in Redis, see docs/REDIS.md for what it costs */
    SVC_EVENT_STREAM_MAX = 100000,     /* entries of a stream, about */
    SVC_OUTBOX_BATCH = 100,            /* rows */
    SVC_OUTBOX_POLL_MS = 1000,         /* when nobody wakes the relay */
    SVC_OUTBOX_SENT_HOURS = 24,        /* rows are kept after they were sent */
};

/* A client channel that the event goes to as well.  Size and times are those of the channel's
 * namespace in the hub's configuration. */
struct svc_event_channel {
    struct wh_slice name;
    uint64_t history_size; /* 0 = live only */
    uint64_t history_ttl_ms;
    struct wh_slice payload; /* JSON; absent = the CloudEvent itself */
};

struct svc_emission {
    const char *type;        /* "order.confirmed.v1" */
    struct wh_slice subject; /* what it is about, "" = nothing; order is kept per subject */
    struct wh_slice data;    /* JSON, see svc_encode; absent = null */
    const struct svc_event_channel *channels;
    size_t channel_count;
};

/*
 * Emit in the transaction that is open, which must be a writing one.
 * SVC_OK; SVC_INTERNAL: not JSON or over a limit above (logged); or as svc_db_code.
 */
uint32_t svc_emit(struct svc_ctx *ctx, const struct svc_emission *emission);

/* JSON of a struct, in the arena, for `data` and `payload`; absent when memory ran out. */
struct wh_slice svc_encode(struct svc_ctx *ctx,
                           const struct wh_schema *schema,
                           const void *message);

/* There are new rows.  Any thread; NULL is fine (a fake). */
struct svc;
void svc_outbox_wake(struct svc *svc);

#endif
