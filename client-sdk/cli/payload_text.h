/* What people write as a payload: JSON, text to be made JSON, or bytes. */
#ifndef WH_CLI_PAYLOAD_TEXT_H
#define WH_CLI_PAYLOAD_TEXT_H

#include "client-sdk/cli/app.h"

#include <wirehub/data.h>

enum { PAYLOAD_BYTES_MAX = 64 * 1024 * 1024 };

/*
 * As --string and --bytes say.  `*out_data` borrows `text` or is in `*scratch`, which is reset.
 * WH_EFORMAT with the reason told.
 */
WH_MUST_CHECK enum wh_err payload_make(struct app *app,
                                       struct wh_slice text,
                                       struct wh_buf *scratch,
                                       struct wh_data *out_data);

#endif
