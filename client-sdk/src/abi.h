/* Structs of the program that open with their `size` and may be older or newer than ours. */
#ifndef WH_SDK_ABI_H
#define WH_SDK_ABI_H

#include "common/base/err.h"

#include <stddef.h>
#include <string.h>

/*
 * Copy what both know; the rest of `known` stays as it is.  WH_EABI: `given` is longer than what we
 * know, and something is set there.  WH_EINVAL: its size is none.
 */
static inline enum wh_err abi_copy(void *known, size_t known_size, const void *given)
{
    size_t size;
    memcpy(&size, given, sizeof size);
    if (size < sizeof size)
        return WH_EINVAL;
    const char *bytes = (const char *)given;
    for (size_t i = known_size; i < size; i++) {
        if (bytes[i] != 0)
            return WH_EABI;
    }
    memcpy(known, given, size < known_size ? size : known_size);
    memcpy(known, &known_size, sizeof known_size);
    return WH_OK;
}

/* Callbacks may be written down without a size: 0 means those of version 1, `first_size` bytes. */
static inline enum wh_err abi_copy_events(void *known,
                                          size_t known_size,
                                          size_t first_size,
                                          const void *given)
{
    size_t size;
    memcpy(&size, given, sizeof size);
    if (size != 0)
        return abi_copy(known, known_size, given);
    memcpy(known, given, first_size);
    memcpy(known, &known_size, sizeof known_size);
    return WH_OK;
}

#endif
