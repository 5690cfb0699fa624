/*
 * A broker under the test's control: it answers at once, or when and how the test says, and
 * publishes what the test says.
 */
#ifndef TESTS_SUPPORT_FAKE_BROKER_H
#define TESTS_SUPPORT_FAKE_BROKER_H

#include "hub/broker.h"

enum fake_call_kind { CALL_SUBSCRIBE, CALL_UNSUBSCRIBE, CALL_PUBLISH };

/* Something the hub asked for. */
struct fake_call {
    struct wh_list link;
    enum fake_call_kind kind;
    char channel[64];
    char data[64]; /* publish: the bytes, cut */
    broker_done *done;
    broker_published *published; /* of a publish, in place of `done` */
    void *user;
};

struct fake_broker {
    struct broker base;
    struct broker_events events;
    struct wh_loop *loop;
    struct wh_task work;
    struct wh_list calls; /* that wait for an answer, oldest first */
    bool is_manual;       /* the test answers; else all is answered well within the turn */
    size_t subscribes, unsubscribes, publishes; /* asked for since the start */
    char last_publisher[64];                    /* the user in the info of the last publish */
    bool is_closing;
    void (*closed)(void *user);
    void *closed_user;
};

struct fake_broker *fake_broker_new(struct wh_loop *loop, const struct broker_events *events);

/* Answer the oldest waiting call of this kind for `channel` (NULL = any); fails without one. */
void fake_broker_answer(struct fake_broker *fake,
                        enum fake_call_kind kind,
                        const char *channel,
                        enum wh_err err);
size_t fake_broker_waiting(const struct fake_broker *fake);

/* A publication arrives, as a service would send it. */
void fake_broker_publish(struct fake_broker *fake, const char *channel, const char *data);
void fake_broker_publish_as(struct fake_broker *fake,
                            const char *channel,
                            struct wh_payload data,
                            bool is_plain);

#endif
