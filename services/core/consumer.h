/*
 * Consuming domain events: at least once out of Redis, once in effect.
 *
 *     group          the service's name, in every stream wh:events:<segment> that it has types of;
 *                    made from the stream's beginning, again after Redis lost it
 *     one at work    one thread of one instance, by a lease in the database that each event's
 *                    transaction checks: a holder that hung and comes back can commit nothing.
 *                    Others stand by and take over SVC_CONSUMER_LEASE_MS after it died
 *     effect         inbox row, lease and handler in one transaction, then XACK; an event that is
 *                    in the inbox is acknowledged and nothing else
 *     failure        a handler that returns non-zero leaves the event pending; again after
 *                    SVC_CONSUMER_RETRY_MS, doubled each time; the database being away is no
 *                    failure of the event and is not counted
 *     order          of one subject within one stream: while an event of it is pending later ones
 *                    of it wait, all others go on.  Events without a subject never wait
 *     dead letters   after SVC_CONSUMER_DELIVERIES, and what is no CloudEvent at once: to the
 *                    stream wh:events:dead:<service>, with the reason; then the subject goes on.
 *                    An event that kills the process counts as delivered too
 *
 * Types that the service does not consume are acknowledged.
 */
#ifndef SERVICES_CORE_CONSUMER_H
#define SERVICES_CORE_CONSUMER_H

#include "services/core/service.h"

enum {
    SVC_CONSUMER_LEASE_MS = 10000,
    SVC_CONSUMER_DELIVERIES = 5,
    SVC_CONSUMER_RETRY_MS = 500,
    SVC_CONSUMER_EVENT_MS = 5000,   /* of one handler */
    SVC_CONSUMER_STREAMS_MAX = 16,  /* of one service */
    SVC_CONSUMER_PENDING_MAX = 256, /* of one stream: past it no new ones are read */
    SVC_CONSUMER_BATCH = 32,        /* new events read at once */
    SVC_CONSUMER_DEAD_MAX = 10000   /* dead letters kept, about */
};

#endif
