/*
 * Publications that come as patches of the one before (PROTOCOL, delta).  Once
 * negotiated, in JSON every `data` is a string that holds the text of the payload, or of
 * the patch; in Protobuf it is the bytes.
 *
 * A payload that comes whole stays in its message.  One that is put together lies
 * in a message of its own, made for it, so that references to publications work
 * as ever and a small frame cannot claim more memory than message_bytes_max.
 */
#include "client-sdk/src/sub_internal.h"
#include "common/protocol/copy.h"
#include "common/protocol/delta.h"
#include "common/protocol/json.h"

void sub_drop_delta(struct wh_sub *sub)
{
    wh_buf_deinit(&sub->delta_base);
    sub->has_delta_base = false;
    sub->is_delta = false;
}

/* The text or bytes that `data` stands for. */
static enum wh_err read_content(struct message *message,
                                struct wh_payload data,
                                struct wh_slice *out_content)
{
    if (data.kind != WH_PAYLOAD_JSON || !message->is_json) {
        *out_content = data.bytes.ptr ? data.bytes : wh_slice("", 0);
        return WH_OK;
    }
    struct wh_json_reader reader;
    wh_json_reader_init(&reader, data.bytes);
    return wh_json_read_string(&reader, &message->arena, out_content);
}

static enum wh_err patch_base(struct wh_sub *sub, struct wh_slice patch)
{
    if (!sub->has_delta_base)
        return WH_EFORMAT;
    struct wh_buf next = {0};
    enum wh_err err = wh_delta_apply(wh_buf_slice(&sub->delta_base), patch,
                                     sub->engine->settings->message_bytes_max, &next);
    if (err) {
        wh_buf_deinit(&next);
        return err == WH_ENOMEM ? err : WH_EFORMAT;
    }
    wh_buf_deinit(&sub->delta_base);
    sub->delta_base = next;
    return WH_OK;
}

static enum wh_err keep_base(struct wh_sub *sub, struct wh_slice content)
{
    wh_buf_reset(&sub->delta_base);
    wh_buf_append_slice(&sub->delta_base, content);
    sub->has_delta_base = true;
    return wh_buf_error(&sub->delta_base);
}

static struct wh_payload payload_of(const struct message *message,
                                    enum wh_payload_kind kind,
                                    struct wh_slice content)
{
    if (message->is_json)
        return wh_payload_classify(content);
    return (struct wh_payload){kind, content};
}

/* A message that holds the base, and what else there is to `pub`. */
static struct message *message_of_base(struct wh_sub *sub,
                                       const struct wh_pub *pub,
                                       struct wh_pub *out_pub)
{
    struct wh_slice base = wh_buf_slice(&sub->delta_base);
    struct message *made = message_new(NULL, base.len, false);
    if (!made)
        return NULL;
    if (base.len > 0)
        memcpy(made->bytes, base.ptr, base.len);
    struct wh_pub rest = *pub;
    rest.data = (struct wh_payload){0};
    if (wh_copy(&wh_pub_schema, &rest, &made->arena, out_pub)) {
        message_unref(made);
        return NULL;
    }
    return made;
}

enum wh_err sub_undo_delta(struct wh_sub *sub,
                           struct message *message,
                           const struct wh_pub *pub,
                           struct message **out_message,
                           struct wh_pub *out_pub)
{
    struct wh_slice content;
    enum wh_err err = read_content(message, pub->data, &content);
    if (!err)
        err = pub->delta ? patch_base(sub, content) : keep_base(sub, content);
    if (err)
        return err;
    if (!pub->delta) {
        *out_pub = *pub;
        out_pub->data = payload_of(message, pub->data.kind, content);
        *out_message = message_ref(message);
        return WH_OK;
    }
    *out_message = message_of_base(sub, pub, out_pub);
    if (!*out_message)
        return WH_ENOMEM;
    out_pub->data =
        payload_of(message, pub->data.kind, wh_slice((*out_message)->bytes, (*out_message)->len));
    return WH_OK;
}
