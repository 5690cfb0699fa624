/*
 * Answers that wait to be published: one message for each reply channel, with
 * the answers one after the other.  They are kept until Redis has confirmed,
 * so that a broken connection loses none of them: sending one twice does no
 * harm, the hub drops what it does not wait for.
 *
 * Owned by one worker thread.
 */
#ifndef SERVICES_CORE_ANSWERS_H
#define SERVICES_CORE_ANSWERS_H

#include "common/base/buf.h"
#include "common/protocol/rpc.h"

enum {
    SVC_ANSWER_CHANNELS = 16,           /* messages at most; then it is time to publish */
    SVC_ANSWER_CHANNEL_MAX = 128,       /* bytes of a reply channel's name */
    SVC_MESSAGE_BYTES_MIN = 256 * 1024, /* a message this large is published at once */
};

struct svc_answer_message {
    char channel[SVC_ANSWER_CHANNEL_MAX];
    size_t channel_len;
    size_t count; /* answers in it */
    struct wh_buf bytes;
};

struct svc_answers {
    struct svc_answer_message messages[SVC_ANSWER_CHANNELS];
    size_t count;
    uint64_t oldest_ms; /* monotonic: when the first of them was added */
};

void svc_answers_deinit(struct svc_answers *answers);
void svc_answers_clear(struct svc_answers *answers);

/* Whether `channel` is one that an answer may go to: wh:rpc:reply:… of a length that fits. */
bool svc_answers_is_channel(struct wh_slice channel);

/* Append one.  WH_ELIMIT: too many channels, publish first; WH_ENOMEM.  Nothing was added then. */
WH_MUST_CHECK enum wh_err svc_answers_add(struct svc_answers *answers,
                                          struct wh_slice channel,
                                          const struct wh_rpc_answer *answer);

/* Whether publishing should not wait for more. */
bool svc_answers_is_full(const struct svc_answers *answers);

#endif
