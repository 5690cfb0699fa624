/*
 * Deltas.  The first byte picks what the two halves of the rest are: a source and a patch from a
 * stranger, or a source and a target, in either mode.  The second byte is the share of the first
 * half.
 */
#include "common/base/utf8.h"
#include "common/protocol/delta.h"

#include <stdlib.h>

enum { RESULT_MAX = 1 << 16 };

static void apply_hostile(struct wh_slice source, struct wh_slice patch)
{
    struct wh_buf result = {0};
    wh_buf_append_str(&result, "kept");
    enum wh_err err = wh_delta_apply(source, patch, RESULT_MAX, &result);
    WH_ASSERT(err == WH_OK || err == WH_EFORMAT || err == WH_ELIMIT);
    WH_ASSERT(err == WH_OK ? result.len - 4 <= RESULT_MAX : result.len == 4);
    wh_buf_deinit(&result);
}

static void round_trip(enum wh_delta_mode mode, struct wh_slice source, struct wh_slice target)
{
    struct wh_buf patch = {0}, result = {0};
    enum wh_err err = wh_delta_create(mode, source, target, &patch);
    if (mode == WH_DELTA_UTF8 && !wh_utf8_is_valid(target)) {
        WH_ASSERT(err == WH_EENCODING && patch.len == 0);
    } else {
        WH_ASSERT(err == WH_OK);
        WH_ASSERT(mode == WH_DELTA_BYTES || wh_utf8_is_valid(wh_buf_slice(&patch)));
        WH_ASSERT(patch.len <= target.len + 24);
        err = wh_delta_apply(source, wh_buf_slice(&patch), target.len, &result);
        WH_ASSERT(err == WH_OK && wh_slice_equal(wh_buf_slice(&result), target));
    }
    wh_buf_deinit(&patch);
    wh_buf_deinit(&result);
}

/* A copy of exact length, so that the sanitizer sees a step outside. */
static struct wh_slice copy(const uint8_t *bytes, size_t len)
{
    char *block = malloc(len ? len : 1);
    WH_ASSERT(block);
    if (len > 0)
        memcpy(block, bytes, len);
    return wh_slice(block, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t first = (size - 2) * data[1] / 255;
    struct wh_slice source = copy(data + 2, first);
    struct wh_slice other = copy(data + 2 + first, size - 2 - first);
    if (data[0] % 3 == 0)
        apply_hostile(source, other);
    else
        round_trip(data[0] % 3 == 1 ? WH_DELTA_BYTES : WH_DELTA_UTF8, source, other);
    free((void *)(uintptr_t)source.ptr);
    free((void *)(uintptr_t)other.ptr);
    return 0;
}
