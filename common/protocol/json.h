/*
 * Strict JSON (RFC 8259): a pull reader that hands out raw slices, so that
 * payloads pass byte for byte, and the writing of strings.  Depth is bounded
 * by WH_JSON_DEPTH_MAX without recursion on input; input must be UTF-8.
 *
 * A lone surrogate escape ("\ud800", which browsers produce) is accepted:
 * read as a string it becomes U+FFFD, in a raw slice it stays as written.
 *
 * Unless said otherwise: WH_EFORMAT for anything malformed or of another type,
 * after which the reader must not be used; WH_ENOMEM when the arena is
 * exhausted.  Pure functions of their arguments; any thread.
 */
#ifndef WH_PROTOCOL_JSON_H
#define WH_PROTOCOL_JSON_H

#include "common/base/arena.h"
#include "common/base/buf.h"

enum { WH_JSON_DEPTH_MAX = 64 };

enum wh_json_type {
    WH_JSON_NULL,
    WH_JSON_BOOL,
    WH_JSON_NUMBER,
    WH_JSON_STRING,
    WH_JSON_ARRAY,
    WH_JSON_OBJECT
};

struct wh_json_reader {
    const char *at;
    const char *end;
    unsigned depth;
    bool is_fresh; /* the innermost container was just entered: no comma comes before its first */
};

void wh_json_reader_init(struct wh_json_reader *reader, struct wh_slice text);

/* Space, tab, LF, CR skipped; the type of the value that starts here. */
WH_MUST_CHECK enum wh_err wh_json_peek(struct wh_json_reader *reader, enum wh_json_type *out_type);

/* Enter an object or array; then wh_json_next_member / wh_json_next_item until WH_EEND. */
WH_MUST_CHECK enum wh_err wh_json_enter(struct wh_json_reader *reader, enum wh_json_type type);

/* The next key (unescaped; in the text or in the arena), positioned before its value. */
WH_MUST_CHECK enum wh_err wh_json_next_member(struct wh_json_reader *reader,
                                              struct wh_arena *arena,
                                              struct wh_slice *out_key);
WH_MUST_CHECK enum wh_err wh_json_next_item(struct wh_json_reader *reader);

WH_MUST_CHECK enum wh_err wh_json_read_bool(struct wh_json_reader *reader, bool *out);
WH_MUST_CHECK enum wh_err wh_json_read_null(struct wh_json_reader *reader);

/* Integers: a fraction or exponent is accepted when the value is integral and in range.
 * WH_EFORMAT otherwise. */
WH_MUST_CHECK enum wh_err wh_json_read_u64(struct wh_json_reader *reader, uint64_t *out);
WH_MUST_CHECK enum wh_err wh_json_read_i64(struct wh_json_reader *reader, int64_t *out);

/* Correctly rounded, whatever the locale; past the range ±infinity or ±0, as browsers read it. */
WH_MUST_CHECK enum wh_err wh_json_read_double(struct wh_json_reader *reader, double *out);

/* Unescaped; in the text when nothing was escaped, else in the arena. */
WH_MUST_CHECK enum wh_err wh_json_read_string(struct wh_json_reader *reader,
                                              struct wh_arena *arena,
                                              struct wh_slice *out);

/* Validate and skip one whole value; `out_raw` (may be NULL) gets its exact text. */
WH_MUST_CHECK enum wh_err wh_json_skip(struct wh_json_reader *reader, struct wh_slice *out_raw);

/* WH_OK when only white space is left. */
WH_MUST_CHECK enum wh_err wh_json_finish(struct wh_json_reader *reader);

/* One whole valid JSON value and nothing else. */
bool wh_json_is_valid(struct wh_slice text);

/* A quoted, escaped string; each byte that is no UTF-8 becomes U+FFFD. */
void wh_json_write_string(struct wh_buf *buf, struct wh_slice text);

/* Copy valid JSON text, dropping raw line feeds (they can only be white space). */
void wh_json_write_raw(struct wh_buf *buf, struct wh_slice text);

/*
 * The shortest decimal that reads back as `number`, -0.0 for negative zero; null for NaN and
 * infinities (JSON has none).
 */
void wh_json_write_double(struct wh_buf *buf, double number);

#endif
