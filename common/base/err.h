/*
 * The one error space of the project: every fallible function returns an
 * `enum wh_err`.  WH_OK is 0; nothing else is ever a success.  Outputs come
 * last and are untouched on failure.
 *
 * Numbers are stable: append only.  Any thread.
 */
#ifndef WH_BASE_ERR_H
#define WH_BASE_ERR_H

#define WH_MUST_CHECK __attribute__((warn_unused_result))
#define WH_PRINTF(format_index, args_index)                                                        \
    __attribute__((format(printf, format_index, args_index)))

/*      name          number  text */
#define WH_ERR_LIST(X)                                                                             \
    X(WH_OK, 0, "success")                                                                         \
    X(WH_ENOMEM, 1, "out of memory")                                                               \
    X(WH_EINVAL, 2, "invalid argument")                                                            \
    X(WH_EFORMAT, 3, "malformed input")                                                            \
    X(WH_ELIMIT, 4, "limit exceeded")                                                              \
    X(WH_ECLOSED, 5, "closed")                                                                     \
    X(WH_ENOTFOUND, 6, "not found")                                                                \
    X(WH_EEXIST, 7, "already exists")                                                              \
    X(WH_ETIMEOUT, 8, "timed out")                                                                 \
    X(WH_EIO, 9, "input/output error")                                                             \
    X(WH_EDENIED, 10, "permission denied")                                                         \
    X(WH_EEXPIRED, 11, "expired")                                                                  \
    X(WH_EUNAVAILABLE, 12, "temporarily unavailable")                                              \
    X(WH_EUNSUPPORTED, 13, "not supported")                                                        \
    X(WH_EENCODING, 14, "not representable in this encoding")                                      \
    X(WH_EEND, 15, "end of input")

enum wh_err {
#define X(name, number, text) name = number,
    WH_ERR_LIST(X)
#undef X
};

/* The symbol, "WH_ENOMEM"; "WH_E?" for a number that is none.  Static storage. */
const char *wh_err_name(enum wh_err err);

/* The text, "out of memory"; "unknown error" for a number that is none.  Static storage. */
const char *wh_err_text(enum wh_err err);

/*
 * A broken invariant of our own (never bad input): say where and abort, in
 * release builds too.
 */
#define WH_ASSERT(claim)                                                                           \
    ((claim) ? (void)0 : wh_assert_failed(#claim, __FILE__, __LINE__, __func__))

_Noreturn void wh_assert_failed(const char *claim, const char *file, int line, const char *func);

#endif
