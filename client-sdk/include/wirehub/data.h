/*
 * Payloads: bytes with a note of what they are.  What arrives is handed out
 * exactly as it stood in the frame, never written anew.
 *
 * Any thread.
 */
#ifndef WIREHUB_DATA_H
#define WIREHUB_DATA_H

#include <wirehub/error.h>

#include <stddef.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How a connection encodes the protocol.  MessagePack is Wirehub's own; Centrifugo has the others.
 */
enum wh_encoding { WH_ENCODING_JSON, WH_ENCODING_MSGPACK, WH_ENCODING_PROTOBUF };

/*
 * What a payload's bytes are.  The library converts where the connection needs it:
 *
 *              JSON connection         MessagePack         Protobuf
 *     JSON     as it is                converted           as it is
 *     BYTES    must be JSON text       a bin               as it is
 *     MSGPACK  converted               as it is            converted to JSON text
 */
enum wh_data_format {
    WH_DATA_JSON,   /* one JSON value, UTF-8; checked before it is sent unless TRUSTED */
    WH_DATA_BYTES,  /* anything */
    WH_DATA_MSGPACK /* one MessagePack value */
};

enum wh_data_flag {
    WH_DATA_TRUSTED = 1 /* valid JSON by the caller's word: one wrong byte costs
                           him the connection */
};

/* Borrowed bytes.  Fixed layout for ever.  {ptr, len} alone is JSON.  ptr NULL: absent. */
struct wh_data {
    const void *ptr;
    size_t len;
    uint32_t format; /* enum wh_data_format */
    uint32_t flags;  /* enum wh_data_flag */
};

/* JSON text up to its NUL; NULL gives absent data. */
static inline struct wh_data wh_json(const char *text)
{
    struct wh_data data = {text, text ? strlen(text) : 0, WH_DATA_JSON, 0};
    return data;
}

static inline struct wh_data wh_bytes(const void *ptr, size_t len)
{
    struct wh_data data = {ptr, len, WH_DATA_BYTES, 0};
    return data;
}

/*
 * A copy of the program's own; the bytes, with a NUL behind them, are freed by wh_data_free.
 * WH_ENOMEM.
 */
WH_API enum wh_err wh_data_copy(const struct wh_data *data, struct wh_data *out_copy);

/*
 * The payload as JSON text, to be freed by wh_data_free: MessagePack is converted, JSON is copied.
 * WH_EENCODING: bytes that are no JSON.  WH_EFORMAT: not what `format` says.  WH_ENOMEM.
 */
WH_API enum wh_err wh_data_to_json(const struct wh_data *data, struct wh_data *out_json);

/* Only for what wh_data_copy and wh_data_to_json gave. */
WH_API void wh_data_free(struct wh_data *data);

#ifdef __cplusplus
}
#endif
#endif
