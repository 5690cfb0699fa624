/*
 * The table of wh_client_options: what each field is called, what it may be,
 * and what it is when nobody said.  wh_client_options_set reads text by it, settings_init
 * checks and fills by it.
 */
#ifndef WH_SDK_OPTION_ROW_H
#define WH_SDK_OPTION_ROW_H

#include "common/base/err.h"

#include <wirehub/client.h>

enum option_type {
    OPTION_TEXT,     /* const char * */
    OPTION_DATA,     /* struct wh_data, of a text */
    OPTION_BOOL,     /* bool */
    OPTION_MS,       /* uint32_t; 0 = the default */
    OPTION_BYTES,    /* size_t; 0 = the default */
    OPTION_ENCODING, /* enum wh_encoding */
    OPTION_POINTER   /* anything that text cannot say */
};

struct option_row {
    const char *name;
    enum option_type type;
    size_t offset; /* in struct wh_client_options; of tls.…: in struct wh_tls_options */
    uint64_t default_value;
    uint64_t min, max; /* MS, BYTES */
    bool may_be_never; /* MS: WH_NEVER too */
};

/* option_row_count of them, in the order of the struct. */
extern const struct option_row option_rows[];
extern const size_t option_row_count;

/* Fill `detail` (may be NULL) and give `err` back. */
WH_PRINTF(3, 4)
enum wh_err option_problem(struct wh_error *detail, enum wh_err err, const char *format, ...);

#endif
