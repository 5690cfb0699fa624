/* What bench publishes, apart for tests.  Pure. */
#ifndef WH_CLI_BENCH_H
#define WH_CLI_BENCH_H

#include "common/base/buf.h"

/* JSON of `size` bytes, or as many as it takes. */
void bench_payload_write(uint64_t number, uint64_t time_us, size_t size, struct wh_buf *out);

/* false: not one of ours. */
bool bench_payload_read(struct wh_slice text, uint64_t *out_number, uint64_t *out_time_us);

#endif
