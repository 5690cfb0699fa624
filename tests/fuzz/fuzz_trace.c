/* Headers of W3C Trace Context from strangers: what is accepted as a traceparent reads back as
 * itself, and an accepted tracestate is the one that came, within its limit. */
#include "common/base/trace.h"

#include <stdlib.h>

static void check_parent(struct wh_slice text)
{
    struct wh_trace trace, again;
    char written[WH_TRACEPARENT_LEN + 1];
    if (wh_trace_parse(text, &trace) != WH_OK)
        return;
    WH_ASSERT(wh_trace_is_valid(&trace));
    wh_trace_format(&trace, written);
    WH_ASSERT(wh_trace_parse(wh_slice_from_str(written), &again) == WH_OK);
    WH_ASSERT(memcmp(&trace, &again, sizeof(trace)) == 0);
    /* Both ids stand where they came from; the version and the flags may differ. */
    WH_ASSERT(memcmp(written + 2, text.ptr + 2, 51) == 0);
}

static void check_state(struct wh_slice text)
{
    struct wh_slice state = wh_trace_state(text);
    if (state.ptr == NULL)
        return;
    WH_ASSERT(state.ptr == text.ptr && state.len == text.len);
    WH_ASSERT(state.len <= WH_TRACESTATE_MAX);
    for (size_t i = 0; i < state.len; i++)
        WH_ASSERT(state.ptr[i] == '\t' || (state.ptr[i] >= ' ' && state.ptr[i] <= '~'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    double ratio = 0;
    char *copy = malloc(size ? size : 1); /* of exact length, for the sanitizer */
    WH_ASSERT(copy);
    if (size > 0)
        memcpy(copy, data, size);
    struct wh_slice text = wh_slice(copy, size);
    check_parent(text);
    check_state(text);
    if (wh_trace_ratio_parse(text, &ratio) == WH_OK)
        WH_ASSERT(ratio >= 0 && ratio <= 1);
    free(copy);
    return 0;
}
