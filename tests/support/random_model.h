/*
 * Random structs of any schema, generated from its table, and their
 * comparison.  Everything lives in an arena; a seed gives the same model again.
 */
#ifndef TESTS_SUPPORT_RANDOM_MODEL_H
#define TESTS_SUPPORT_RANDOM_MODEL_H

#include "common/base/arena.h"
#include "common/protocol/schema.h"

#include <stdio.h>
#include <stdlib.h>

/* Which payloads a model may hold, one bit per enum wh_payload_kind. */
enum {
    RANDOM_BYTES = 1 << WH_PAYLOAD_BYTES,
    RANDOM_JSON = 1 << WH_PAYLOAD_JSON,
    RANDOM_MSGPACK = 1 << WH_PAYLOAD_MSGPACK
};

struct random_model {
    uint64_t state; /* the seed; any but 0 */
    struct wh_arena *arena;
    unsigned payload_kinds;
};

static inline uint64_t random_next(struct random_model *random)
{
    random->state ^= random->state << 13;
    random->state ^= random->state >> 7;
    random->state ^= random->state << 17;
    return random->state * 0x2545F4914F6CDD1Du;
}

static inline size_t random_below(struct random_model *random, size_t bound)
{
    return (size_t)((random_next(random) >> 16) % bound);
}

static inline void *random_alloc(struct random_model *random, size_t size)
{
    void *memory = wh_arena_alloc(random->arena, size);
    if (!memory)
        abort();
    return memory;
}

/* All magnitudes are equally likely, so that every width on the wire comes up. */
static inline uint64_t random_number(struct random_model *random)
{
    return random_next(random) >> random_below(random, 64);
}

static inline struct wh_slice random_slice(struct random_model *random, const char *text)
{
    struct wh_slice copy = wh_arena_copy(random->arena, wh_slice_from_str(text));
    if (!copy.ptr)
        abort();
    return copy;
}

static inline struct wh_slice random_string(struct random_model *random)
{
    static const char *const pieces[] = {"a",
                                         "room",
                                         "\"",
                                         "\\",
                                         "/",
                                         "\n",
                                         "\x01",
                                         "\x7F",
                                         "\xC3\xA9",
                                         "\xE2\x82\xAC",
                                         "\xF0\x9F\x98\x80",
                                         "{}",
                                         "\xE2\x80\xA8",
                                         " ",
                                         ":"};
    char text[160] = "";
    size_t len = 0;
    size_t count = random_below(random, 12);
    for (size_t i = 0; i < count; i++) {
        const char *piece = pieces[random_below(random, sizeof(pieces) / sizeof(pieces[0]))];
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s", piece);
    }
    return random_slice(random, text);
}

/* Different from every other key of the same map. */
static inline struct wh_slice random_key(struct random_model *random, size_t index)
{
    char text[40];
    snprintf(text, sizeof(text), "%s%zu\xC3\xBC", random_below(random, 2) ? "k\"" : "", index);
    return random_slice(random, text);
}

/* Texts that MessagePack and back leaves byte for byte the same. */
static inline struct wh_payload random_payload(struct random_model *random)
{
    static const char *const json[] = {
        "null",
        "true",
        "{}",
        "[]",
        "0",
        "-1",
        "0.5",
        "-1.25e-07",
        "18446744073709551615",
        "\"\"",
        "\"\\u0001\\n\"",
        "[1,[2,[3,{\"a\":{}}]]]",
        "\"x\"",
        "{\"a\":1,\"b\":[true,false,null],\"\xC3\xA9\":\"\xE2\x82\xAC\"}",
        "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]",
    };
    static const char *const msgpack[] = {"\x01", "\xA1x",        "\x81\xA1k\x92\xC2\xC3",
                                          "\xE0", "\xCD\x01\x01", "\x93\x01\x02\x03"};
    static const char *const bytes[] = {"x", "\xFF\xFE\x01", "{\"b\":1}", "\xC1\x01\x80"};
    for (;;) {
        enum wh_payload_kind kind = (enum wh_payload_kind)random_below(random, 3);
        if (!(random->payload_kinds & 1u << kind))
            continue;
        const char *text = kind == WH_PAYLOAD_JSON      ? json[random_below(random, 15)]
                           : kind == WH_PAYLOAD_MSGPACK ? msgpack[random_below(random, 6)]
                                                        : bytes[random_below(random, 4)];
        /* null means absent in a message, so as a payload it would not survive. */
        if (strcmp(text, "null") != 0)
            return (struct wh_payload){kind, random_slice(random, text)};
    }
}

static inline void random_fill(struct random_model *random,
                               const struct wh_schema *schema,
                               void *out,
                               unsigned depth);

static inline void *random_array(struct random_model *random,
                                 const struct wh_schema *schema,
                                 size_t count,
                                 unsigned depth)
{
    char *items = random_alloc(random, count * schema->size);
    for (size_t i = 0; i < count; i++)
        random_fill(random, schema, items + i * schema->size, depth + 1);
    return items;
}

static inline size_t random_count(struct random_model *random)
{
    return random_below(random, 20) == 0 ? 40 : 1 + random_below(random, 3);
}

static inline void random_fill_list(struct random_model *random,
                                    const struct wh_field *field,
                                    void *slot,
                                    unsigned depth)
{
    size_t count = random_count(random);
    if (field->type == WH_FIELD_STRINGS) {
        struct wh_strings *strings = slot;
        strings->items = random_alloc(random, count * sizeof(*strings->items));
        strings->count = count;
        for (size_t i = 0; i < count; i++)
            strings->items[i] = random_string(random);
    } else if (field->type == WH_FIELD_STRING_MAP) {
        struct wh_string_map *map = slot;
        map->items = random_alloc(random, count * sizeof(*map->items));
        map->count = count;
        for (size_t i = 0; i < count; i++)
            map->items[i] = (struct wh_string_pair){random_key(random, i), random_string(random)};
    } else if (field->type == WH_FIELD_MESSAGES) {
        WH_MESSAGES(void) list = {random_array(random, field->schema, count, depth), count};
        memcpy(slot, &list, sizeof(list));
    } else {
        WH_MESSAGE_MAP(void)
        map = {random_alloc(random, count * sizeof(struct wh_slice)),
               random_array(random, field->schema, count, depth), count};
        for (size_t i = 0; i < count; i++)
            map.keys[i] = random_key(random, i);
        memcpy(slot, &map, sizeof(map));
    }
}

static inline void random_fill_field(struct random_model *random,
                                     const struct wh_field *field,
                                     void *slot,
                                     unsigned depth)
{
    void *message;
    switch (field->type) {
    case WH_FIELD_BOOL:
        *(bool *)slot = random_below(random, 2);
        break;
    case WH_FIELD_U32:
        *(uint32_t *)slot = (uint32_t)random_number(random);
        break;
    case WH_FIELD_I32:
        *(int32_t *)slot = (int32_t)(uint32_t)random_number(random);
        break;
    case WH_FIELD_U64:
        *(uint64_t *)slot = random_number(random);
        break;
    case WH_FIELD_I64:
    case WH_FIELD_SINT64:
        *(int64_t *)slot = (int64_t)random_number(random) * (random_below(random, 2) ? 1 : -1);
        break;
    case WH_FIELD_STRING:
        *(struct wh_slice *)slot = random_string(random);
        break;
    case WH_FIELD_PAYLOAD:
        *(struct wh_payload *)slot = random_payload(random);
        break;
    case WH_FIELD_MESSAGE:
        message = random_array(random, field->schema, 1, depth);
        memcpy(slot, &message, sizeof(message));
        break;
    case WH_FIELD_RAW_JSON:
        *(struct wh_slice *)slot = random_slice(random, "{\"raw\":1}");
        break;
    default:
        random_fill_list(random, field, slot, depth);
    }
}

/* `out` is zeroed; each field is set with a chance that falls with the depth. */
static inline void random_fill(struct random_model *random,
                               const struct wh_schema *schema,
                               void *out,
                               unsigned depth)
{
    for (size_t i = 0; i < schema->field_count; i++) {
        const struct wh_field *field = &schema->fields[i];
        bool is_deep = depth > 4 && field->schema;
        if (!is_deep && random_below(random, 2 + depth) == 0)
            random_fill_field(random, field, (char *)out + field->offset, depth);
    }
}

static inline void *random_struct(struct random_model *random, const struct wh_schema *schema)
{
    void *message = random_alloc(random, schema->size);
    random_fill(random, schema, message, 0);
    return message;
}

/* Comparison */

static inline bool model_equal(const struct wh_schema *schema, const void *a, const void *b);

static inline bool models_equal(const struct wh_schema *schema,
                                const void *a,
                                const void *b,
                                size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!model_equal(schema, (const char *)a + i * schema->size,
                         (const char *)b + i * schema->size))
            return false;
    }
    return true;
}

static inline bool slices_equal(const struct wh_slice *a, const struct wh_slice *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!wh_slice_equal(a[i], b[i]))
            return false;
    }
    return true;
}

static inline bool field_equal(const struct wh_field *field, const void *a, const void *b)
{
    const struct wh_payload *payload_a = a, *payload_b = b;
    WH_MESSAGES(void) list_a, list_b;
    WH_MESSAGE_MAP(void) map_a, map_b;
    void *message_a, *message_b;
    switch (field->type) {
    case WH_FIELD_BOOL:
        return *(const bool *)a == *(const bool *)b;
    case WH_FIELD_U32:
    case WH_FIELD_I32:
        return memcmp(a, b, 4) == 0;
    case WH_FIELD_U64:
    case WH_FIELD_I64:
    case WH_FIELD_SINT64:
        return memcmp(a, b, 8) == 0;
    case WH_FIELD_STRING:
    case WH_FIELD_RAW_JSON:
        return wh_slice_equal(*(const struct wh_slice *)a, *(const struct wh_slice *)b);
    case WH_FIELD_PAYLOAD:
        return payload_a->kind == payload_b->kind &&
               wh_slice_equal(payload_a->bytes, payload_b->bytes) &&
               wh_payload_is_present(*payload_a) == wh_payload_is_present(*payload_b);
    case WH_FIELD_MESSAGE:
        memcpy(&message_a, a, sizeof(message_a));
        memcpy(&message_b, b, sizeof(message_b));
        if (!message_a || !message_b)
            return message_a == message_b;
        return model_equal(field->schema, message_a, message_b);
    case WH_FIELD_MESSAGE_MAP:
        memcpy(&map_a, a, sizeof(map_a));
        memcpy(&map_b, b, sizeof(map_b));
        return map_a.count == map_b.count && slices_equal(map_a.keys, map_b.keys, map_a.count) &&
               models_equal(field->schema, map_a.values, map_b.values, map_a.count);
    default:
        memcpy(&list_a, a, sizeof(list_a));
        memcpy(&list_b, b, sizeof(list_b));
        if (list_a.count != list_b.count)
            return false;
        if (field->type == WH_FIELD_STRINGS)
            return slices_equal(list_a.items, list_b.items, list_a.count);
        if (field->type == WH_FIELD_STRING_MAP) /* a pair is two slices */
            return slices_equal(list_a.items, list_b.items, 2 * list_a.count);
        return models_equal(field->schema, list_a.items, list_b.items, list_a.count);
    }
}

/* By content: an empty string equals an absent one. */
static inline bool model_equal(const struct wh_schema *schema, const void *a, const void *b)
{
    for (size_t i = 0; i < schema->field_count; i++) {
        const struct wh_field *field = &schema->fields[i];
        if (!field_equal(field, (const char *)a + field->offset, (const char *)b + field->offset))
            return false;
    }
    return true;
}

#endif
