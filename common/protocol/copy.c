/*
 * One more walker over the field tables.  Depth is that of the structs, which
 * a decoder has bounded (tags filters nest, at most WH_DEPTH_MAX).
 */
#include "common/protocol/copy.h"

#include "common/protocol/codec_walk.h"

enum wh_err wh_copy_slice(struct wh_slice from, struct wh_arena *arena, struct wh_slice *to)
{
    if (from.ptr == NULL) {
        *to = WH_SLICE_ABSENT;
        return WH_OK;
    }
    struct wh_slice copy = wh_arena_copy(arena, from);
    if (copy.ptr == NULL)
        return WH_ENOMEM;
    *to = copy;
    return WH_OK;
}

static enum wh_err copy_slices(const struct wh_slice *from,
                               size_t count,
                               struct wh_arena *arena,
                               struct wh_slice **to)
{
    struct wh_slice *slices = wh_arena_alloc_array(arena, count, sizeof(*slices));
    enum wh_err err = slices ? WH_OK : WH_ENOMEM;
    for (size_t i = 0; err == WH_OK && i < count; i++)
        err = wh_copy_slice(from[i], arena, &slices[i]);
    *to = slices;
    return err;
}

static enum wh_err copy_messages(const struct wh_schema *schema,
                                 const char *from,
                                 size_t count,
                                 struct wh_arena *arena,
                                 void **to)
{
    char *items = wh_arena_alloc_array(arena, count, schema->size);
    enum wh_err err = items ? WH_OK : WH_ENOMEM;
    for (size_t i = 0; err == WH_OK && i < count; i++)
        err = wh_copy(schema, from + i * schema->size, arena, items + i * schema->size);
    *to = items;
    return err;
}

static enum wh_err copy_message(const struct wh_schema *schema,
                                const char *at,
                                struct wh_arena *arena,
                                char *to)
{
    const void *from;
    void *copy = NULL;
    memcpy(&from, at, sizeof(from));
    enum wh_err err = from ? copy_messages(schema, from, 1, arena, &copy) : WH_OK;
    memcpy(to, &copy, sizeof(copy));
    return err;
}

static enum wh_err copy_list(const struct wh_field *field,
                             const char *at,
                             struct wh_arena *arena,
                             char *to)
{
    struct wh_list_view view;
    struct wh_slice *slices = NULL;
    enum wh_err err = WH_OK;
    memcpy(&view, at, sizeof(view));
    if (view.count > 0 && field->type == WH_FIELD_MESSAGES) {
        err = copy_messages(field->schema, view.items, view.count, arena, &view.items);
    } else if (view.count > 0) {
        /* A string pair is two slices in a row. */
        size_t slices_each = field->type == WH_FIELD_STRING_MAP ? 2 : 1;
        err = copy_slices(view.items, view.count * slices_each, arena, &slices);
        view.items = slices;
    }
    memcpy(to, &view, sizeof(view));
    return err;
}

static enum wh_err copy_map(const struct wh_field *field,
                            const char *at,
                            struct wh_arena *arena,
                            char *to)
{
    struct wh_map_view view;
    enum wh_err err = WH_OK;
    memcpy(&view, at, sizeof(view));
    if (view.count > 0) {
        err = copy_slices(view.keys, view.count, arena, &view.keys);
        if (err == WH_OK)
            err = copy_messages(field->schema, view.values, view.count, arena, &view.values);
    }
    memcpy(to, &view, sizeof(view));
    return err;
}

static enum wh_err copy_payload(const char *at, struct wh_arena *arena, char *to)
{
    struct wh_payload payload;
    memcpy(&payload, at, sizeof(payload));
    enum wh_err err = wh_copy_slice(payload.bytes, arena, &payload.bytes);
    memcpy(to, &payload, sizeof(payload));
    return err;
}

static enum wh_err copy_string(const char *at, struct wh_arena *arena, char *to)
{
    struct wh_slice slice;
    memcpy(&slice, at, sizeof(slice));
    enum wh_err err = wh_copy_slice(slice, arena, &slice);
    memcpy(to, &slice, sizeof(slice));
    return err;
}

static enum wh_err copy_field(const struct wh_field *field,
                              const char *at,
                              struct wh_arena *arena,
                              char *to)
{
    switch (field->type) {
    case WH_FIELD_STRING:
    case WH_FIELD_RAW_JSON:
        return copy_string(at, arena, to);
    case WH_FIELD_PAYLOAD:
        return copy_payload(at, arena, to);
    case WH_FIELD_MESSAGE:
        return copy_message(field->schema, at, arena, to);
    case WH_FIELD_STRINGS:
    case WH_FIELD_STRING_MAP:
    case WH_FIELD_MESSAGES:
        return copy_list(field, at, arena, to);
    case WH_FIELD_MESSAGE_MAP:
        return copy_map(field, at, arena, to);
    default:
        return WH_OK; /* numbers came with the struct */
    }
}

enum wh_err wh_copy(const struct wh_schema *schema,
                    const void *from,
                    struct wh_arena *arena,
                    void *to)
{
    enum wh_err err = WH_OK;
    memcpy(to, from, schema->size);
    for (size_t i = 0; err == WH_OK && i < schema->field_count; i++) {
        const struct wh_field *field = &schema->fields[i];
        err = copy_field(field, (const char *)from + field->offset, arena,
                         (char *)to + field->offset);
    }
    return err;
}
