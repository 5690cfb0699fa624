#include "hub/delta_view.h"

#include "common/base/utf8.h"
#include "common/protocol/delta.h"
#include "common/protocol/json.h"

bool delta_view_is_offered(enum wh_encoding encoding)
{
    return encoding != WH_ENCODING_MSGPACK;
}

enum wh_err delta_view_text(enum wh_encoding encoding, struct wh_payload data, struct wh_buf *out)
{
    enum wh_err err = wh_payload_encode(data, encoding, out);
    return err ? err : wh_buf_error(out);
}

/* Whether `patch` is the shorter way to say `text`; what it holds otherwise means nothing. */
static bool make_patch(enum wh_encoding encoding,
                       struct wh_slice previous,
                       struct wh_slice text,
                       struct wh_buf *patch)
{
    bool is_json = encoding == WH_ENCODING_JSON;
    if (previous.ptr == NULL || text.len < 2)
        return false;
    /* A string shows what is no UTF-8 as something else: nobody has it to patch it. */
    if (is_json && !wh_utf8_is_valid(previous))
        return false;
    wh_buf_init(patch, text.len - 1);
    return wh_delta_create(is_json ? WH_DELTA_UTF8 : WH_DELTA_BYTES, previous, text, patch) ==
           WH_OK;
}

enum wh_err delta_view_show(enum wh_encoding encoding,
                            struct wh_slice previous,
                            struct wh_slice text,
                            struct wh_buf *out,
                            struct wh_pub *pub)
{
    struct wh_buf patch = {0};
    bool is_patch = make_patch(encoding, previous, text, &patch);
    struct wh_slice shown = is_patch ? wh_buf_slice(&patch) : text;
    wh_buf_reset(out);
    if (encoding == WH_ENCODING_JSON)
        wh_json_write_string(out, shown);
    else
        wh_buf_append_slice(out, shown);
    wh_buf_deinit(&patch);
    pub->delta = is_patch;
    pub->data = (struct wh_payload){
        .kind = encoding == WH_ENCODING_JSON ? WH_PAYLOAD_JSON : WH_PAYLOAD_BYTES,
        .bytes = wh_buf_slice(out),
    };
    return wh_buf_error(out);
}
