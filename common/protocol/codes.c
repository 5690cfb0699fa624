/*
 * The code table of codes.h, turned into switches.  The lists are the only
 * place where a code meets its text.
 */
#include "common/protocol/codes.h"

const char *wh_code_text(uint32_t code)
{
    switch (code) {
#define X(name, number, text, temporary)                                                           \
    case number:                                                                                   \
        return text;
        WH_REPLY_ERROR_LIST(X)
#undef X
#define X(name, number, text)                                                                      \
    case number:                                                                                   \
        return text;
        WH_DISCONNECT_LIST(X)
        WH_UNSUBSCRIBE_LIST(X)
#undef X
    default:
        return "unknown";
    }
}

bool wh_code_is_temporary(uint32_t code)
{
    switch (code) {
#define X(name, number, text, temporary)                                                           \
    case number:                                                                                   \
        return temporary;
        WH_REPLY_ERROR_LIST(X)
#undef X
    default:
        return false;
    }
}

bool wh_code_is_disconnect(uint32_t code)
{
    return code == WH_DISCONNECT_MESSAGE_TOO_BIG || code >= 3000;
}
