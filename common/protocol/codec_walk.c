/*
 * Table access shared by the codecs.  Lists keep no capacity: it follows from
 * the count (4, then each power of two), so the structs of model.h stay plain.
 */
#include "common/protocol/codec_walk.h"

#include <stdlib.h>

enum { LIST_INITIAL = 4, QUADRATIC_MAX = 16 };

/* strncmp would stop at a NUL that both have; a key may contain one. */
static bool is_name(const char *name, struct wh_slice key)
{
    for (size_t i = 0; i < key.len; i++) {
        if (name[i] == '\0' || name[i] != key.ptr[i])
            return false;
    }
    return name[key.len] == '\0';
}

const struct wh_field *wh_schema_find(const struct wh_schema *schema,
                                      struct wh_slice name,
                                      size_t *hint)
{
    size_t at = *hint;
    for (size_t i = 0; i < schema->field_count; i++, at++) {
        if (at >= schema->field_count)
            at = 0;
        if (is_name(schema->fields[at].name, name)) {
            *hint = at + 1;
            return &schema->fields[at];
        }
    }
    return NULL;
}

const struct wh_field *wh_schema_find_number(const struct wh_schema *schema,
                                             uint64_t number,
                                             size_t *hint)
{
    size_t at = *hint;
    for (size_t i = 0; i < schema->field_count; i++, at++) {
        if (at >= schema->field_count)
            at = 0;
        if (schema->fields[at].number == number) {
            *hint = at; /* the elements of a repeated field come with the same number */
            return &schema->fields[at];
        }
    }
    return NULL;
}

bool wh_field_is_set(const struct wh_field *field, const void *message)
{
    const void *slot = wh_field_slot_const(field, message);
    switch (field->type) {
    case WH_FIELD_BOOL:
        return *(const bool *)slot;
    case WH_FIELD_U32:
    case WH_FIELD_U64:
        return wh_load_unsigned(field->type, slot) != 0;
    case WH_FIELD_I32:
    case WH_FIELD_I64:
    case WH_FIELD_SINT64:
        return wh_load_signed(field->type, slot) != 0;
    case WH_FIELD_STRING:
    case WH_FIELD_RAW_JSON:
        return ((const struct wh_slice *)slot)->len > 0;
    case WH_FIELD_PAYLOAD:
        return wh_payload_is_present(*(const struct wh_payload *)slot);
    case WH_FIELD_MESSAGE:
        return wh_load_pointer(slot) != NULL;
    case WH_FIELD_STRINGS:
    case WH_FIELD_MESSAGES:
    case WH_FIELD_STRING_MAP:
        return wh_load_list(slot).count > 0;
    case WH_FIELD_MESSAGE_MAP:
        return wh_load_map(slot).count > 0;
    }
    return false;
}

bool wh_field_is_written(const struct wh_field *field, const void *message)
{
    return field->presence == WH_ALWAYS || wh_field_is_set(field, message);
}

size_t wh_field_size(enum wh_field_type type)
{
    switch (type) {
    case WH_FIELD_BOOL:
        return sizeof(bool);
    case WH_FIELD_U32:
    case WH_FIELD_I32:
        return sizeof(uint32_t);
    case WH_FIELD_U64:
    case WH_FIELD_I64:
    case WH_FIELD_SINT64:
        return sizeof(uint64_t);
    case WH_FIELD_STRING:
    case WH_FIELD_RAW_JSON:
        return sizeof(struct wh_slice);
    case WH_FIELD_PAYLOAD:
        return sizeof(struct wh_payload);
    case WH_FIELD_MESSAGE:
        return sizeof(void *);
    case WH_FIELD_STRINGS:
    case WH_FIELD_MESSAGES:
    case WH_FIELD_STRING_MAP:
        return sizeof(struct wh_list_view);
    case WH_FIELD_MESSAGE_MAP:
        return sizeof(struct wh_map_view);
    }
    return 0;
}

/* Whether `count` elements fill their room, and how many elements the next room has. */
static bool is_full(size_t count)
{
    return count == 0 || (count >= LIST_INITIAL && (count & (count - 1)) == 0);
}

static void *grow(void *items, size_t count, size_t size, struct wh_arena *arena)
{
    size_t room = count == 0 ? LIST_INITIAL : count * 2;
    void *larger = wh_arena_alloc_array(arena, room, size);
    if (larger && count > 0)
        memcpy(larger, items, count * size);
    return larger;
}

void *wh_list_append(struct wh_list_view *list, struct wh_arena *arena, size_t element_size)
{
    if (is_full(list->count)) {
        void *items = grow(list->items, list->count, element_size, arena);
        if (!items)
            return NULL;
        list->items = items;
    }
    /* Not only fresh memory: keeping the last of duplicates leaves old elements behind. */
    return memset((char *)list->items + list->count++ * element_size, 0, element_size);
}

void *wh_map_append(struct wh_map_view *map,
                    struct wh_arena *arena,
                    struct wh_slice key,
                    size_t value_size)
{
    if (is_full(map->count)) {
        void *keys = grow(map->keys, map->count, sizeof(*map->keys), arena);
        void *values = keys ? grow(map->values, map->count, value_size, arena) : NULL;
        if (!values)
            return NULL;
        map->keys = keys;
        map->values = values;
    }
    map->keys[map->count] = key;
    return memset((char *)map->values + map->count++ * value_size, 0, value_size);
}

/* Duplicate keys */

struct entry {
    struct wh_slice key;
    size_t index;
};

static int compare_entries(const void *a, const void *b)
{
    const struct entry *left = a;
    const struct entry *right = b;
    if (left->key.len != right->key.len)
        return left->key.len < right->key.len ? -1 : 1;
    int order = left->key.len ? memcmp(left->key.ptr, right->key.ptr, left->key.len) : 0;
    return order != 0 ? order : (left->index > right->index) - (left->index < right->index);
}

/* Set is_shadowed[i] for each entry whose key comes again; whether there was any. */
static bool mark_shadowed(struct entry *entries, size_t count, bool *is_shadowed)
{
    bool has_any = false;
    qsort(entries, count, sizeof(*entries), compare_entries);
    for (size_t i = 0; i + 1 < count; i++) {
        if (wh_slice_equal(entries[i].key, entries[i + 1].key)) {
            is_shadowed[entries[i].index] = true;
            has_any = true;
        }
    }
    return has_any;
}

/* For small maps: no memory, no sorting. */
static bool has_duplicate(const char *keys, size_t stride, size_t count)
{
    for (size_t i = 0; i + 1 < count; i++) {
        for (size_t j = i + 1; j < count; j++) {
            if (wh_slice_equal(*(const struct wh_slice *)(const void *)(keys + i * stride),
                               *(const struct wh_slice *)(const void *)(keys + j * stride)))
                return true;
        }
    }
    return false;
}

static void drop_shadowed(char *items, size_t stride, size_t count, const bool *is_shadowed)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (!is_shadowed[i])
            memmove(items + kept++ * stride, items + i * stride, stride);
    }
}

/* The keys stand at the start of each of `count` items; `values` (may be NULL) run parallel. */
static enum wh_err keep_last(char *items,
                             size_t stride,
                             char *values,
                             size_t value_size,
                             size_t *count,
                             struct wh_arena *arena)
{
    if (*count <= QUADRATIC_MAX && !has_duplicate(items, stride, *count))
        return WH_OK;
    struct entry *entries = wh_arena_alloc_array(arena, *count, sizeof(*entries));
    bool *is_shadowed = wh_arena_alloc_array(arena, *count, sizeof(*is_shadowed));
    if (!entries || !is_shadowed)
        return WH_ENOMEM;
    for (size_t i = 0; i < *count; i++)
        entries[i] = (struct entry){*(struct wh_slice *)(void *)(items + i * stride), i};
    if (!mark_shadowed(entries, *count, is_shadowed))
        return WH_OK;
    drop_shadowed(items, stride, *count, is_shadowed);
    if (values)
        drop_shadowed(values, value_size, *count, is_shadowed);
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++)
        kept += !is_shadowed[i];
    *count = kept;
    return WH_OK;
}

enum wh_err wh_string_map_keep_last(struct wh_string_map *map, struct wh_arena *arena)
{
    return keep_last((char *)map->items, sizeof(*map->items), NULL, 0, &map->count, arena);
}

enum wh_err wh_map_keep_last(struct wh_map_view *map, struct wh_arena *arena, size_t value_size)
{
    return keep_last((char *)map->keys, sizeof(*map->keys), map->values, value_size, &map->count,
                     arena);
}

/* Integers */

enum wh_err wh_store_unsigned(enum wh_field_type type, uint64_t value, void *slot)
{
    switch (type) {
    case WH_FIELD_U32:
        if (value > UINT32_MAX)
            return WH_EFORMAT;
        *(uint32_t *)slot = (uint32_t)value;
        return WH_OK;
    case WH_FIELD_U64:
        *(uint64_t *)slot = value;
        return WH_OK;
    default:
        return value > INT64_MAX ? WH_EFORMAT : wh_store_signed(type, (int64_t)value, slot);
    }
}

enum wh_err wh_store_signed(enum wh_field_type type, int64_t value, void *slot)
{
    switch (type) {
    case WH_FIELD_I32:
        if (value < INT32_MIN || value > INT32_MAX)
            return WH_EFORMAT;
        *(int32_t *)slot = (int32_t)value;
        return WH_OK;
    case WH_FIELD_I64:
    case WH_FIELD_SINT64:
        *(int64_t *)slot = value;
        return WH_OK;
    default:
        return value < 0 ? WH_EFORMAT : wh_store_unsigned(type, (uint64_t)value, slot);
    }
}

uint64_t wh_load_unsigned(enum wh_field_type type, const void *slot)
{
    return type == WH_FIELD_U32 ? *(const uint32_t *)slot : *(const uint64_t *)slot;
}

int64_t wh_load_signed(enum wh_field_type type, const void *slot)
{
    return type == WH_FIELD_I32 ? *(const int32_t *)slot : *(const int64_t *)slot;
}
