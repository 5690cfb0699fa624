#include "services/core/answers.h"

#include "common/base/clock.h"

/* Memory that a message keeps for the next ones. */
#define KEEP_BYTES ((size_t)64 * 1024)

void svc_answers_deinit(struct svc_answers *answers)
{
    for (size_t i = 0; i < SVC_ANSWER_CHANNELS; i++)
        wh_buf_deinit(&answers->messages[i].bytes);
    answers->count = 0;
}

void svc_answers_clear(struct svc_answers *answers)
{
    for (size_t i = 0; i < answers->count; i++) {
        struct wh_buf *bytes = &answers->messages[i].bytes;
        if (bytes->cap > KEEP_BYTES)
            wh_buf_deinit(bytes);
        wh_buf_reset(bytes);
    }
    answers->count = 0;
}

bool svc_answers_is_channel(struct wh_slice channel)
{
    struct wh_slice prefix = WH_SLICE_LITERAL(WH_RPC_REPLY_PREFIX);

    return wh_slice_starts_with(channel, prefix) && channel.len > prefix.len &&
           channel.len <= SVC_ANSWER_CHANNEL_MAX;
}

static struct svc_answer_message *message_for(struct svc_answers *answers, struct wh_slice channel)
{
    for (size_t i = 0; i < answers->count; i++) {
        struct svc_answer_message *message = &answers->messages[i];
        if (wh_slice_equal(wh_slice(message->channel, message->channel_len), channel))
            return message;
    }
    if (answers->count == SVC_ANSWER_CHANNELS)
        return NULL;
    if (answers->count == 0)
        answers->oldest_ms = wh_clock_monotonic_ms();
    struct svc_answer_message *message = &answers->messages[answers->count++];
    memcpy(message->channel, channel.ptr, channel.len);
    message->channel_len = channel.len;
    message->count = 0;
    wh_buf_reset(&message->bytes);
    return message;
}

enum wh_err svc_answers_add(struct svc_answers *answers,
                            struct wh_slice channel,
                            const struct wh_rpc_answer *answer)
{
    WH_ASSERT(svc_answers_is_channel(channel));
    struct svc_answer_message *message = message_for(answers, channel);
    if (!message)
        return WH_ELIMIT;
    size_t before = message->bytes.len;
    wh_rpc_encode(&wh_rpc_answer_schema, answer, &message->bytes);
    if (wh_buf_error(&message->bytes) == WH_OK) {
        message->count++;
        return WH_OK;
    }
    wh_buf_truncate(&message->bytes, before);
    message->bytes.err = WH_OK; /* what was there before is whole */
    if (message->count == 0)
        answers->count--; /* it is the last one */
    return WH_ENOMEM;
}

bool svc_answers_is_full(const struct svc_answers *answers)
{
    if (answers->count == SVC_ANSWER_CHANNELS)
        return true;
    for (size_t i = 0; i < answers->count; i++) {
        if (answers->messages[i].bytes.len >= SVC_MESSAGE_BYTES_MIN)
            return true;
    }
    return false;
}
