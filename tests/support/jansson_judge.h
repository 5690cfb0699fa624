/*
 * What jansson makes of a text, for differential tests of our own reader.
 * It abstains where the two differ on purpose: it refuses numbers beyond a
 * double and lone surrogates, allows deeper nesting, and overlooks NUL bytes.
 */
#ifndef TESTS_SUPPORT_JANSSON_JUDGE_H
#define TESTS_SUPPORT_JANSSON_JUDGE_H

#include "common/base/slice.h"

#include <jansson.h>

enum jansson_verdict { JANSSON_ACCEPTS, JANSSON_REFUSES, JANSSON_ABSTAINS };

static inline bool jansson_is_deep(const json_t *value, unsigned room)
{
    size_t index;
    const char *key;
    json_t *item;
    if (!json_is_array(value) && !json_is_object(value))
        return false;
    if (room == 0)
        return true;
    if (json_is_array(value)) {
        json_array_foreach(value, index, item)
        {
            if (jansson_is_deep(item, room - 1))
                return true;
        }
        return false;
    }
    json_object_foreach((json_t *)(uintptr_t)value, key, item)
    {
        if (jansson_is_deep(item, room - 1))
            return true;
    }
    return false;
}

/* `out_value` (may be NULL) gets what was parsed; json_decref it. */
static inline enum jansson_verdict jansson_judge(struct wh_slice text, json_t **out_value)
{
    json_error_t error;
    const size_t flags = JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL;
    if (text.len > 0 && memchr(text.ptr, '\0', text.len))
        return JANSSON_ABSTAINS;
    json_t *value = json_loadb(text.ptr, text.len, flags, &error);
    if (!value) {
        bool is_ours = json_error_code(&error) == json_error_numeric_overflow ||
                       strncmp(error.text, "invalid Unicode '", 17) == 0;
        return is_ours ? JANSSON_ABSTAINS : JANSSON_REFUSES;
    }
    enum jansson_verdict verdict = jansson_is_deep(value, 64) ? JANSSON_ABSTAINS : JANSSON_ACCEPTS;
    if (out_value && verdict == JANSSON_ACCEPTS)
        *out_value = value;
    else
        json_decref(value);
    return verdict;
}

#endif
