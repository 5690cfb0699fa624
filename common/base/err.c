/* Names and texts come from the one table in err.h, so that no number can lack either. */
#include "common/base/err.h"

#include <stdio.h>
#include <stdlib.h>

const char *wh_err_name(enum wh_err err)
{
    switch (err) {
#define X(name, number, text)                                                                      \
    case name:                                                                                     \
        return #name;
        WH_ERR_LIST(X)
#undef X
    }
    return "WH_E?";
}

const char *wh_err_text(enum wh_err err)
{
    switch (err) {
#define X(name, number, text)                                                                      \
    case name:                                                                                     \
        return text;
        WH_ERR_LIST(X)
#undef X
    }
    return "unknown error";
}

void wh_assert_failed(const char *claim, const char *file, int line, const char *func)
{
    /* stderr is unbuffered, so the line is out before abort ends the process. */
    fprintf(stderr, "%s:%d: %s: broken invariant: %s\n", file, line, func, claim);
    abort();
}
