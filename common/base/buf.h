/*
 * Growable bytes: what encoders write into.
 *
 * Appending never fails at the call: the first failure (out of memory, or
 * `limit` exceeded) is remembered, everything after it is ignored, and
 * wh_buf_error() tells at the end.  So an encoder is straight-line code with
 * one check.  The owner of the struct owns the memory; wh_buf_deinit frees it.
 * Zero-initialised is a valid empty buffer without limit.
 */
#ifndef WH_BASE_BUF_H
#define WH_BASE_BUF_H

#include "common/base/err.h"
#include "common/base/slice.h"

#include <stdarg.h>
#include <stdint.h>

struct wh_buf {
    char *ptr;
    size_t len;
    size_t cap;
    size_t limit; /* bytes; 0 = none */
    enum wh_err err;
};

/* `limit` in bytes, 0 = none.  Allocates nothing. */
void wh_buf_init(struct wh_buf *buf, size_t limit);
void wh_buf_deinit(struct wh_buf *buf);

/* Empty and without error again; keeps the memory. */
void wh_buf_reset(struct wh_buf *buf);

/* Cut back to `len` bytes (≤ the present length); the error, if any, stays. */
void wh_buf_truncate(struct wh_buf *buf, size_t len);

/* Drop the first `count` bytes (all if there are fewer). */
void wh_buf_consume(struct wh_buf *buf, size_t count);

/* Room for `count` more bytes, to be filled at the returned pointer and then claimed by
 * wh_buf_commit; NULL on failure (the error is remembered). */
char *wh_buf_reserve(struct wh_buf *buf, size_t count);
void wh_buf_commit(struct wh_buf *buf, size_t count);

void wh_buf_append(struct wh_buf *buf, const void *ptr, size_t len);
void wh_buf_append_slice(struct wh_buf *buf, struct wh_slice slice);
void wh_buf_append_str(struct wh_buf *buf, const char *text);
void wh_buf_append_char(struct wh_buf *buf, char c);
void wh_buf_append_u64(struct wh_buf *buf, uint64_t number); /* decimal */
void wh_buf_append_i64(struct wh_buf *buf, int64_t number);  /* decimal */
void wh_buf_printf(struct wh_buf *buf, const char *format, ...) WH_PRINTF(2, 3);
void wh_buf_vprintf(struct wh_buf *buf, const char *format, va_list args) WH_PRINTF(2, 0);

/* WH_OK, WH_ENOMEM or WH_ELIMIT: the first thing that went wrong since init or reset. */
WH_MUST_CHECK enum wh_err wh_buf_error(const struct wh_buf *buf);

/* What has been written; valid until the next call that writes.  Never absent. */
struct wh_slice wh_buf_slice(const struct wh_buf *buf);

/* NUL-terminates (the NUL is not counted) and returns the text; "" after an error. */
const char *wh_buf_cstr(struct wh_buf *buf);

#endif
