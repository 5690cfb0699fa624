#include "client-sdk/cli/payload_text.h"

#include "common/protocol/json.h"

enum wh_err payload_make(struct app *app,
                         struct wh_slice text,
                         struct wh_buf *scratch,
                         struct wh_data *out_data)
{
    const struct settings *settings = &app->settings;
    wh_buf_reset(scratch);
    if (settings->as_bytes) {
        *out_data = wh_bytes(text.ptr, text.len);
        return WH_OK;
    }
    if (settings->as_string) {
        wh_json_write_string(scratch, text);
        text = wh_buf_slice(scratch);
    } else if (!wh_json_is_valid(text)) {
        app_usage(app, "this is no JSON: %.*s (--string makes JSON of it)",
                  (int)(text.len < 60 ? text.len : 60), text.ptr);
        return WH_EFORMAT;
    }
    *out_data = (struct wh_data){text.ptr, text.len, WH_DATA_JSON, 0};
    return WH_OK;
}
