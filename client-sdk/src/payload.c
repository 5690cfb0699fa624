/* Payloads of the protocol as data of the program, and back: the same bytes. */
#include "client-sdk/src/event.h"

struct wh_data data_of_payload(struct wh_payload payload)
{
    static const uint32_t formats[] = {
        [WH_PAYLOAD_BYTES] = WH_DATA_BYTES,
        [WH_PAYLOAD_JSON] = WH_DATA_JSON,
        [WH_PAYLOAD_MSGPACK] = WH_DATA_MSGPACK,
    };
    if (!wh_payload_is_present(payload))
        return (struct wh_data){0};
    return (struct wh_data){payload.bytes.ptr, payload.bytes.len, formats[payload.kind], 0};
}

enum wh_err payload_of_data(struct wh_data data, struct wh_payload *out_payload)
{
    static const enum wh_payload_kind kinds[] = {
        [WH_DATA_JSON] = WH_PAYLOAD_JSON,
        [WH_DATA_BYTES] = WH_PAYLOAD_BYTES,
        [WH_DATA_MSGPACK] = WH_PAYLOAD_MSGPACK,
    };
    if (data.format > WH_DATA_MSGPACK || (!data.ptr && data.len > 0))
        return WH_EINVAL;
    *out_payload = (struct wh_payload){kinds[data.format], wh_slice(data.ptr, data.len)};
    return WH_OK;
}
