/* Payloads that the program keeps. */
#include "common/base/alloc.h"
#include "common/protocol/payload.h"

#include <wirehub/data.h>

static enum wh_err own(const void *ptr, size_t len, uint32_t format, struct wh_data *out_copy)
{
    char *bytes = wh_malloc(len + 1);
    if (!bytes)
        return WH_ENOMEM;
    if (len > 0)
        memcpy(bytes, ptr, len);
    bytes[len] = '\0';
    *out_copy = (struct wh_data){bytes, len, format, 0};
    return WH_OK;
}

enum wh_err wh_data_copy(const struct wh_data *data, struct wh_data *out_copy)
{
    if (!data || !out_copy)
        return WH_EINVAL;
    if (data->ptr)
        return own(data->ptr, data->len, data->format, out_copy);
    *out_copy = (struct wh_data){NULL, 0, data->format, 0};
    return WH_OK;
}

/* The payload that these bytes are, checked. */
static enum wh_err checked_payload(const struct wh_data *data, struct wh_payload *out_payload)
{
    struct wh_slice bytes = wh_slice(data->ptr, data->len);
    struct wh_payload payload = {.bytes = bytes};
    switch (data->format) {
    case WH_DATA_JSON:
        payload.kind = WH_PAYLOAD_JSON;
        break;
    case WH_DATA_MSGPACK:
        payload.kind = WH_PAYLOAD_MSGPACK;
        break;
    case WH_DATA_BYTES:
        *out_payload = wh_payload_classify(bytes);
        return out_payload->kind == WH_PAYLOAD_JSON ? WH_OK : WH_EENCODING;
    default:
        return WH_EINVAL;
    }
    *out_payload = payload;
    return wh_payload_check(payload);
}

enum wh_err wh_data_to_json(const struct wh_data *data, struct wh_data *out_json)
{
    if (!data || !out_json)
        return WH_EINVAL;
    if (!data->ptr) {
        *out_json = (struct wh_data){NULL, 0, WH_DATA_JSON, 0};
        return WH_OK;
    }
    struct wh_payload payload;
    enum wh_err err = checked_payload(data, &payload);
    if (err != WH_OK)
        return err;
    if (payload.kind == WH_PAYLOAD_JSON)
        return own(data->ptr, data->len, WH_DATA_JSON, out_json);
    struct wh_buf text = {0};
    err = wh_payload_encode(payload, WH_ENCODING_JSON, &text);
    if (err == WH_OK)
        err = wh_buf_error(&text);
    if (err == WH_OK)
        err = own(text.ptr, text.len, WH_DATA_JSON, out_json);
    wh_buf_deinit(&text);
    return err;
}

void wh_data_free(struct wh_data *data)
{
    if (!data)
        return;
    wh_free((void *)(uintptr_t)data->ptr);
    *data = (struct wh_data){NULL, 0, 0, 0};
}
