/*
 * Objects whose members are payloads: taking one apart, and putting the
 * answers of several calls into one.  Each member passes in the notation in
 * which it came, as far as one notation can hold them all.  Pure.
 */
#ifndef WH_PROTOCOL_COMPOSE_H
#define WH_PROTOCOL_COMPOSE_H

#include "common/base/arena.h"
#include "common/protocol/model.h"

/*
 * The member `name` of a payload that is an object (of duplicates the last); absent when it has
 * none, or when the payload itself is absent.  A JSON text in opaque bytes is read as JSON. Borrows
 * the payload's bytes.
 * WH_EFORMAT: it is no object, or malformed; WH_ENOMEM.
 */
WH_MUST_CHECK enum wh_err wh_payload_member(struct wh_payload payload,
                                            struct wh_slice name,
                                            struct wh_arena *arena,
                                            struct wh_payload *out_member);

/* One outcome; everything is borrowed. */
struct wh_composed {
    struct wh_slice name;
    uint32_t code; /* 0 = `data` is the result, which may be absent (null) */
    struct wh_slice message;
    bool temporary;
    struct wh_payload data;
};

/*
 * Append {"<name>":{"result":…}, "<name>":{"error":{"code","message","temporary"}}, …} and tell
 * which kind that is: JSON when every result is JSON, else MessagePack, which holds all three.
 * WH_EFORMAT: a result is not what its kind says; failures to grow are in the buffer.
 */
WH_MUST_CHECK enum wh_err wh_compose(const struct wh_composed *members,
                                     size_t count,
                                     struct wh_buf *out,
                                     enum wh_payload_kind *out_kind);

#endif
