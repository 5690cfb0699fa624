/*
 * What the three codecs share: getting at a field of a struct through its
 * table, and growing lists in the arena.  Internal to common/protocol.
 *
 * A WH_MESSAGES(type) or WH_MESSAGE_MAP(type) holds a `type *`; here the element type is not
 * known, so such members are copied in and out as the views below instead of being read through
 * a pointer of another type.
 */
#ifndef WH_PROTOCOL_CODEC_WALK_H
#define WH_PROTOCOL_CODEC_WALK_H

#include "common/protocol/codec.h"

/* Also struct wh_strings and struct wh_string_map. */
struct wh_list_view {
    void *items;
    size_t count;
};

struct wh_map_view {
    struct wh_slice *keys;
    void *values;
    size_t count;
};

/* One encoding.  Depth, framing and types are its business; see codec.h for the contract. */
struct wh_codec {
    enum wh_err (*decode)(const struct wh_schema *schema,
                          struct wh_slice *rest,
                          struct wh_arena *arena,
                          void *out);
    enum wh_err (*decode_whole)(const struct wh_schema *schema,
                                struct wh_slice bytes,
                                struct wh_arena *arena,
                                void *out);
    enum wh_err (*encode)(const struct wh_schema *schema,
                          const void *message,
                          bool is_first,
                          struct wh_buf *out);
};

extern const struct wh_codec wh_codec_json;
extern const struct wh_codec wh_codec_msgpack;
extern const struct wh_codec wh_codec_protobuf;

/*
 * MessagePack in which a payload is the pair [kind, bytes], so that its kind survives: the form
 * of our own envelope (wire.c).  Decoding checks every payload; `bytes` must be one map and
 * nothing else.
 */
WH_MUST_CHECK enum wh_err wh_msgpack_decode_tagged(const struct wh_schema *schema,
                                                   struct wh_slice bytes,
                                                   struct wh_arena *arena,
                                                   void *out);
void wh_msgpack_encode_tagged(const struct wh_schema *schema,
                              const void *message,
                              struct wh_buf *out);

/* The same for the first of several maps: moves `*rest` behind it.  WH_EEND when it is empty. */
WH_MUST_CHECK enum wh_err wh_msgpack_take_tagged(const struct wh_schema *schema,
                                                 struct wh_slice *rest,
                                                 struct wh_arena *arena,
                                                 void *out);

/* The field called `name`, NULL when there is none.  Members usually come in table order, so the
 * search starts at `*hint` (initially 0) and leaves it behind what it found. */
const struct wh_field *wh_schema_find(const struct wh_schema *schema,
                                      struct wh_slice name,
                                      size_t *hint);

/* The same by Protobuf number. */
const struct wh_field *wh_schema_find_number(const struct wh_schema *schema,
                                             uint64_t number,
                                             size_t *hint);

/* Whether an encoder that honours WH_ALWAYS writes the field; whether its value is not zero. */
bool wh_field_is_written(const struct wh_field *field, const void *message);
bool wh_field_is_set(const struct wh_field *field, const void *message);

/* Bytes of the struct member that holds a field of this type. */
size_t wh_field_size(enum wh_field_type type);

/* A new zeroed element at the end; NULL when the arena is exhausted. */
void *wh_list_append(struct wh_list_view *list, struct wh_arena *arena, size_t element_size);

/* A new entry with a zeroed value of `value_size`; NULL when the arena is exhausted. */
void *wh_map_append(struct wh_map_view *map,
                    struct wh_arena *arena,
                    struct wh_slice key,
                    size_t value_size);

/* Of entries with equal keys keep the last; the others' order stays.  WH_ENOMEM. */
WH_MUST_CHECK enum wh_err wh_string_map_keep_last(struct wh_string_map *map,
                                                  struct wh_arena *arena);
WH_MUST_CHECK enum wh_err wh_map_keep_last(struct wh_map_view *map,
                                           struct wh_arena *arena,
                                           size_t value_size);

/* A signed or unsigned integer into a member of any integer type; WH_EFORMAT out of range. */
WH_MUST_CHECK enum wh_err wh_store_unsigned(enum wh_field_type type, uint64_t value, void *slot);
WH_MUST_CHECK enum wh_err wh_store_signed(enum wh_field_type type, int64_t value, void *slot);

/* The value of a U32 or U64, of an I32, I64 or SINT64 member. */
uint64_t wh_load_unsigned(enum wh_field_type type, const void *slot);
int64_t wh_load_signed(enum wh_field_type type, const void *slot);

static inline bool wh_field_is_unsigned(enum wh_field_type type)
{
    return type == WH_FIELD_U32 || type == WH_FIELD_U64;
}

static inline void *wh_field_slot(const struct wh_field *field, void *message)
{
    return (char *)message + field->offset;
}

static inline const void *wh_field_slot_const(const struct wh_field *field, const void *message)
{
    return (const char *)message + field->offset;
}

static inline struct wh_list_view wh_load_list(const void *slot)
{
    struct wh_list_view view;
    memcpy(&view, slot, sizeof(view));
    return view;
}

static inline struct wh_map_view wh_load_map(const void *slot)
{
    struct wh_map_view view;
    memcpy(&view, slot, sizeof(view));
    return view;
}

static inline void *wh_load_pointer(const void *slot)
{
    void *pointer;
    memcpy(&pointer, slot, sizeof(pointer));
    return pointer;
}

#endif
