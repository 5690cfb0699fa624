/*
 * The one error space of the project: every fallible function returns an
 * `enum wh_err`.  WH_OK is 0; nothing else is ever a success.  Outputs come
 * last and are untouched on failure.
 *
 * Numbers are stable: append only.  Any thread.
 */
#ifndef WH_BASE_ERR_H
#define WH_BASE_ERR_H

#include <wirehub/error.h>

#define WH_MUST_CHECK __attribute__((warn_unused_result))
#define WH_PRINTF(format_index, args_index)                                                        \
    __attribute__((format(printf, format_index, args_index)))

/*
 * A broken invariant of our own (never bad input): say where and abort, in
 * release builds too.
 */
#define WH_ASSERT(claim)                                                                           \
    ((claim) ? (void)0 : wh_assert_failed(#claim, __FILE__, __LINE__, __func__))

_Noreturn void wh_assert_failed(const char *claim, const char *file, int line, const char *func);

#endif
