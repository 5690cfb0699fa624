/* Deep copies of protocol structs, by their field tables. */
#ifndef WH_PROTOCOL_COPY_H
#define WH_PROTOCOL_COPY_H

#include "common/base/arena.h"
#include "common/protocol/schema.h"

/*
 * Copy the struct of `schema` at `from` to `to`, with everything that it points to in `arena`.
 * WH_ENOMEM: the arena is exhausted; `to` is half filled.
 */
WH_MUST_CHECK enum wh_err wh_copy(const struct wh_schema *schema,
                                  const void *from,
                                  struct wh_arena *arena,
                                  void *to);

/* Bytes are copied, absence stays. */
WH_MUST_CHECK enum wh_err wh_copy_slice(struct wh_slice from,
                                        struct wh_arena *arena,
                                        struct wh_slice *to);

#endif
