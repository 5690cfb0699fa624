#include "common/protocol/codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define T(text) WH_SLICE_LITERAL(text)

static struct wh_arena arena;

static enum wh_err decode_command(enum wh_encoding encoding,
                                  struct wh_slice frame,
                                  struct wh_command *out)
{
    struct wh_slice rest = frame;
    *out = (struct wh_command){.id = 0};
    wh_arena_reset(&arena);
    return wh_decode(encoding, &wh_command_schema, &rest, &arena, out);
}

/* How many commands a frame holds; -1 when any is refused. */
static int count_commands(enum wh_encoding encoding, struct wh_slice frame)
{
    int count = 0;
    for (;; count++) {
        struct wh_command command = {.id = 0};
        enum wh_err err = wh_decode(encoding, &wh_command_schema, &frame, &arena, &command);
        if (err)
            return err == WH_EEND ? count : -1;
    }
}

static void subprotocols_are_named_exactly(void **state)
{
    (void)state;
    enum wh_encoding encoding;
    for (int i = 0; i < WH_ENCODING_COUNT; i++) {
        const char *name = wh_encoding_subprotocol((enum wh_encoding)i);
        assert_true(wh_encoding_from_subprotocol(wh_slice_from_str(name), &encoding));
        assert_int_equal(encoding, i);
    }
    assert_string_equal(wh_encoding_subprotocol(WH_ENCODING_MSGPACK), "centrifuge-msgpack");
    assert_false(wh_encoding_from_subprotocol(T("centrifuge-Json"), &encoding));
    assert_false(wh_encoding_from_subprotocol(T("centrifuge-json "), &encoding));
    assert_false(wh_encoding_from_subprotocol(T(""), &encoding));
    assert_int_equal(wh_encoding_opcode(WH_ENCODING_JSON), WH_OPCODE_TEXT);
    assert_int_equal(wh_encoding_opcode(WH_ENCODING_MSGPACK), WH_OPCODE_BINARY);
    assert_int_equal(wh_encoding_opcode(WH_ENCODING_PROTOBUF), WH_OPCODE_BINARY);
}

static void frames_are_split_by_the_rules_of_their_encoding(void **state)
{
    (void)state;
    static const struct {
        enum wh_encoding encoding;
        struct wh_slice frame;
        int count;
    } cases[] = {
        {WH_ENCODING_JSON, T(""), 0},
        {WH_ENCODING_JSON, T("{}"), 1},
        {WH_ENCODING_JSON, T("{}\n"), 1},
        {WH_ENCODING_JSON, T(" {} \r\n\t{}"), 2},
        {WH_ENCODING_JSON, T("{}\n{}\n{}"), 3},
        {WH_ENCODING_JSON, T("\n"), -1},
        {WH_ENCODING_JSON, T("{}\n\n"), -1},
        {WH_ENCODING_JSON, T("{}\n\n{}"), -1},
        {WH_ENCODING_JSON, T("\n{}"), -1},
        {WH_ENCODING_JSON, T("{}\n "), -1},
        {WH_ENCODING_JSON, T("{}{}"), -1},
        {WH_ENCODING_JSON, T("{\n}"), -1},
        {WH_ENCODING_JSON, T("[]"), -1},
        {WH_ENCODING_JSON, T("null"), -1},
        {WH_ENCODING_JSON, T("{}\0"), -1},
        {WH_ENCODING_MSGPACK, T("\x80"), 1},
        {WH_ENCODING_MSGPACK, T("\x80\x80\x81\xA2id\x01"), 3},
        {WH_ENCODING_MSGPACK, T("\x80\xC0"), -1},
        {WH_ENCODING_MSGPACK, T("\x90"), -1},
        {WH_ENCODING_MSGPACK, T("\x80\x0A\x80"), -1},
        {WH_ENCODING_MSGPACK, T("{}"), -1},
        {WH_ENCODING_MSGPACK, T("\xDF\x00\x00\x00\x00\xDE\x00\x00"), 2},
        {WH_ENCODING_PROTOBUF, T("\x00"), 1},
        {WH_ENCODING_PROTOBUF, T("\x00\x02\x08\x01\x00"), 3},
        {WH_ENCODING_PROTOBUF, T("\x80\x00"), 1},
        {WH_ENCODING_PROTOBUF, T("\x03\x08\x01"), -1},
        {WH_ENCODING_PROTOBUF, T("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"), -1},
        {WH_ENCODING_PROTOBUF, T("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"), -1},
        {WH_ENCODING_PROTOBUF, T("\x80"), -1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int count = count_commands(cases[i].encoding, cases[i].frame);
        if (count != cases[i].count)
            fail_msg("frame %zu: %d", i, count);
        wh_arena_reset(&arena);
    }
}

static void encoding_again_packs_a_frame(void **state)
{
    (void)state;
    static const struct wh_slice packed[WH_ENCODING_COUNT] = {
        T("before{\"id\":7}\n{}\n{\"id\":7}"), T("before\x81\xA2id\x07\x80\x81\xA2id\x07"),
        T("before\x02\x08\x07\x00\x02\x08\x07")};
    const struct wh_reply replies[] = {{.id = 7}, {.id = 0}, {.id = 7}};
    for (int e = 0; e < WH_ENCODING_COUNT; e++) {
        struct wh_buf out = {0};
        wh_buf_append_str(&out, "before");
        for (size_t i = 0; i < 3; i++)
            assert_int_equal(wh_encode((enum wh_encoding)e, &wh_reply_schema, &replies[i], 6, &out),
                             WH_OK);
        assert_true(wh_slice_equal(wh_buf_slice(&out), packed[e]));
        wh_buf_deinit(&out);
    }
}

static void ids_are_whole_numbers_of_32_bits(void **state)
{
    (void)state;
    static const struct {
        enum wh_encoding encoding;
        struct wh_slice frame;
        enum wh_err err;
        uint32_t id;
    } cases[] = {
        {WH_ENCODING_JSON, T("{\"id\":1}"), WH_OK, 1},
        {WH_ENCODING_JSON, T("{\"id\":4294967295}"), WH_OK, UINT32_MAX},
        {WH_ENCODING_JSON, T("{\"id\":4294967296}"), WH_EFORMAT, 0},
        {WH_ENCODING_JSON, T("{\"id\":4294967297}"), WH_EFORMAT, 0},
        {WH_ENCODING_JSON, T("{\"id\":-1}"), WH_EFORMAT, 0},
        {WH_ENCODING_JSON, T("{\"id\":1.5}"), WH_EFORMAT, 0},
        {WH_ENCODING_JSON, T("{\"id\":1e999}"), WH_EFORMAT, 0},
        {WH_ENCODING_JSON, T("{\"id\":2.0}"), WH_OK, 2},
        {WH_ENCODING_JSON, T("{\"id\":2e1}"), WH_OK, 20},
        {WH_ENCODING_JSON, T("{\"id\":\"1\"}"), WH_EFORMAT, 0},
        {WH_ENCODING_JSON, T("{\"id\":true}"), WH_EFORMAT, 0},
        {WH_ENCODING_JSON, T("{\"id\":[1]}"), WH_EFORMAT, 0},
        {WH_ENCODING_JSON, T("{\"id\":01}"), WH_EFORMAT, 0},
        {WH_ENCODING_JSON, T("{\"id\":null}"), WH_OK, 0},
        {WH_ENCODING_MSGPACK, T("\x81\xA2id\x01"), WH_OK, 1},
        {WH_ENCODING_MSGPACK, T("\x81\xA2id\xCF\x00\x00\x00\x00\xFF\xFF\xFF\xFF"), WH_OK,
         UINT32_MAX},
        {WH_ENCODING_MSGPACK, T("\x81\xA2id\xCF\x00\x00\x00\x01\x00\x00\x00\x00"), WH_EFORMAT, 0},
        {WH_ENCODING_MSGPACK, T("\x81\xA2id\xFF"), WH_EFORMAT, 0},
        {WH_ENCODING_MSGPACK, T("\x81\xA2id\xD0\x05"), WH_OK, 5},
        {WH_ENCODING_MSGPACK, T("\x81\xA2id\xCA\x40\x00\x00\x00"), WH_OK, 2},
        {WH_ENCODING_MSGPACK, T("\x81\xA2id\xCB\xBF\xF0\x00\x00\x00\x00\x00\x00"), WH_EFORMAT, 0},
        {WH_ENCODING_MSGPACK, T("\x81\xA2id\xCA\x3F\xC0\x00\x00"), WH_EFORMAT, 0},
        {WH_ENCODING_MSGPACK, T("\x81\xA2id\xCB\x7F\xF8\x00\x00\x00\x00\x00\x00"), WH_EFORMAT, 0},
        {WH_ENCODING_MSGPACK, T("\x81\xA2id\xCB\x7F\xF0\x00\x00\x00\x00\x00\x00"), WH_EFORMAT, 0},
        {WH_ENCODING_MSGPACK,
         T("\x81\xA2id\xA1"
           "1"),
         WH_EFORMAT, 0},
        {WH_ENCODING_MSGPACK, T("\x81\xA2id\xC0"), WH_OK, 0},
        {WH_ENCODING_PROTOBUF, T("\x06\x08\xFF\xFF\xFF\xFF\x0F"), WH_OK, UINT32_MAX},
        {WH_ENCODING_PROTOBUF, T("\x06\x08\x80\x80\x80\x80\x10"), WH_EFORMAT, 0},
        {WH_ENCODING_PROTOBUF, T("\x0B\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"), WH_EFORMAT,
         0},
        {WH_ENCODING_PROTOBUF, T("\x03\x0A\x01\x31"), WH_EFORMAT, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct wh_command command;
        enum wh_err err = decode_command(cases[i].encoding, cases[i].frame, &command);
        if (err != cases[i].err || (!err && command.id != cases[i].id))
            fail_msg("case %zu: %s %u", i, wh_err_name(err), command.id);
    }
}

static void wrong_types_are_refused_and_null_is_absent(void **state)
{
    (void)state;
    static const struct {
        struct wh_slice frame;
        enum wh_err err;
    } cases[] = {
        {T("{\"connect\":null}"), WH_OK},
        {T("{\"connect\":{\"token\":null,\"subs\":null,\"headers\":null,\"data\":null}}"), WH_OK},
        {T("{\"connect\":[]}"), WH_EFORMAT},
        {T("{\"connect\":\"\"}"), WH_EFORMAT},
        {T("{\"connect\":{\"token\":1}}"), WH_EFORMAT},
        {T("{\"connect\":{\"subs\":[]}}"), WH_EFORMAT},
        {T("{\"connect\":{\"subs\":{\"c\":1}}}"), WH_EFORMAT},
        {T("{\"connect\":{\"subs\":{\"c\":null}}}"), WH_OK},
        {T("{\"connect\":{\"headers\":{\"c\":1}}}"), WH_EFORMAT},
        {T("{\"connect\":{\"headers\":{\"c\":null}}}"), WH_OK},
        {T("{\"subscribe\":{\"recover\":1}}"), WH_EFORMAT},
        {T("{\"subscribe\":{\"recover\":\"true\"}}"), WH_EFORMAT},
        {T("{\"subscribe\":{\"offset\":-1}}"), WH_EFORMAT},
        {T("{\"subscribe\":{\"type\":2147483648}}"), WH_EFORMAT},
        {T("{\"subscribe\":{\"type\":-2147483648}}"), WH_OK},
        {T("{\"subscribe\":{\"tf\":{\"vals\":\"a\"}}}"), WH_EFORMAT},
        {T("{\"subscribe\":{\"tf\":{\"vals\":[1]}}}"), WH_EFORMAT},
        {T("{\"subscribe\":{\"tf\":{\"nodes\":{}}}}"), WH_EFORMAT},
        {T("{\"publish\":{\"data\":}}"), WH_EFORMAT},
        {T("{\"publish\":{\"data\":\"\xFF\"}}"), WH_EFORMAT},
        {T("{\"unknown\":[{\"x\":[1,2,{}]}],\"id\":1}"), WH_OK},
        {T("{\"unknown\":[1,}"), WH_EFORMAT},
        {T("{\"id\\u0000\":\"x\",\"i\":\"x\",\"idx\":\"x\"}"), WH_OK},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct wh_command command;
        enum wh_err err = decode_command(WH_ENCODING_JSON, cases[i].frame, &command);
        if (err != cases[i].err)
            fail_msg("case %zu: %s", i, wh_err_name(err));
    }
    struct wh_command command;
    assert_int_equal(decode_command(WH_ENCODING_JSON, cases[1].frame, &command), WH_OK);
    assert_false(wh_payload_is_present(command.connect->data));
}

static void messagepack_strings_must_be_strings_of_utf8(void **state)
{
    (void)state;
    struct wh_command command;
    assert_int_equal(decode_command(WH_ENCODING_MSGPACK,
                                    T("\x81\xA7"
                                      "connect\x81\xA5token\xA1\xFF"),
                                    &command),
                     WH_EFORMAT);
    assert_int_equal(decode_command(WH_ENCODING_MSGPACK,
                                    T("\x81\xA7"
                                      "connect\x81\xA5token\xC4\x01x"),
                                    &command),
                     WH_EFORMAT);
    assert_int_equal(decode_command(WH_ENCODING_MSGPACK, T("\x81\x01\x01"), &command), WH_EFORMAT);
    assert_int_equal(decode_command(WH_ENCODING_PROTOBUF, T("\x05\x22\x03\x0A\x01\xFF"), &command),
                     WH_EFORMAT);
}

static void the_last_of_duplicate_members_wins(void **state)
{
    (void)state;
    struct wh_command command;
    assert_int_equal(
        decode_command(WH_ENCODING_JSON,
                       T("{\"id\":1,\"connect\":{\"token\":\"a\",\"name\":\"n\"},"
                         "\"id\":2,\"\\u0063onnect\":{\"token\":\"b\",\"headers\":"
                         "{\"k\":\"1\",\"l\":\"2\",\"k\":\"3\"},\"subs\":"
                         "{\"c\":{\"offset\":1},\"d\":{\"offset\":2},\"c\":{\"offset\":3}}}}"),
                       &command),
        WH_OK);
    assert_int_equal(command.id, 2);
    assert_true(wh_slice_equal_str(command.connect->token, "b"));
    assert_int_equal(command.connect->name.len, 0);
    assert_int_equal(command.connect->headers.count, 2);
    assert_true(wh_slice_equal_str(command.connect->headers.items[1].key, "k"));
    assert_true(wh_slice_equal_str(command.connect->headers.items[1].value, "3"));
    assert_int_equal(command.connect->subs.count, 2);
    assert_int_equal(command.connect->subs.values[0].offset, 2);
    assert_int_equal(command.connect->subs.values[1].offset, 3);
    assert_int_equal(decode_command(WH_ENCODING_JSON, T("{\"id\":1,\"id\":null}"), &command),
                     WH_OK);
    assert_int_equal(command.id, 0);
}

static void many_duplicate_keys_keep_the_last_of_each(void **state)
{
    (void)state;
    struct wh_buf text = {0};
    struct wh_command command;
    wh_buf_append_str(&text, "{\"connect\":{\"headers\":{\"first\":\"f\"");
    for (unsigned i = 0; i < 1000; i++)
        wh_buf_printf(&text, ",\"k%u\":\"%u\"", i % 77, i);
    wh_buf_append_str(&text, "}}}");
    assert_int_equal(decode_command(WH_ENCODING_JSON, wh_buf_slice(&text), &command), WH_OK);
    const struct wh_string_map *map = &command.connect->headers;
    assert_int_equal(map->count, 78);
    for (unsigned i = 1; i < 78; i++) {
        char value[16];
        snprintf(value, sizeof(value), "%u", 1000 - 78 + i);
        assert_true(wh_slice_equal_str(map->items[i].value, value));
    }
    wh_buf_deinit(&text);
}

/* The structure and the payload in it count separately. */
static void nesting_is_bounded_in_every_encoding(void **state)
{
    (void)state;
    static const struct {
        const char *before, *open, *close, *after;
        int depth_max;
    } cases[] = {
        {"{\"x\":", "[", "]", "}", 63},
        {"{\"x\":", "{\"x\":", "}", "}", 62},
        {"{\"subscribe\":{\"tf\":", "{\"nodes\":[", "]}", "}}", 31},
        {"{\"send\":{\"data\":", "[", "]", "}}", 64},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (int depth = 1; depth < 200; depth++) {
            struct wh_buf text = {0};
            struct wh_command command;
            wh_buf_append_str(&text, cases[i].before);
            for (int d = 0; d < depth; d++)
                wh_buf_append_str(&text, cases[i].open);
            if (cases[i].open[0] == '{' && cases[i].open[2] == 'x')
                wh_buf_append_str(&text, "{}");
            for (int d = 0; d < depth; d++)
                wh_buf_append_str(&text, cases[i].close);
            wh_buf_append_str(&text, cases[i].after);
            enum wh_err err = decode_command(WH_ENCODING_JSON, wh_buf_slice(&text), &command);
            if (err != (depth <= cases[i].depth_max ? WH_OK : WH_EFORMAT))
                fail_msg("case %zu depth %d: %s", i, depth, wh_err_name(err));
            wh_buf_deinit(&text);
        }
    }
}

/* Protobuf: a filter in a filter, each behind its length. */
static void nested_protobuf_messages_are_bounded(void **state)
{
    (void)state;
    for (size_t depth = 1; depth < 300; depth += 7) {
        struct wh_buf inner = {0};
        struct wh_command command;
        for (size_t d = 0; d < depth; d++) {
            struct wh_buf outer = {0};
            unsigned char head[4] = {d + 1 == depth ? 0x6A : 0x32,
                                     (unsigned char)(inner.len | 0x80),
                                     (unsigned char)(inner.len >> 7)};
            wh_buf_append(&outer, head, 3);
            wh_buf_append_slice(&outer, wh_buf_slice(&inner));
            wh_buf_deinit(&inner);
            inner = outer;
        }
        struct wh_buf frame = {0};
        size_t len = inner.len;
        unsigned char head[6] = {(unsigned char)((len + 3) | 0x80), (unsigned char)((len + 3) >> 7),
                                 0x2A, (unsigned char)(len | 0x80), (unsigned char)(len >> 7)};
        wh_buf_append(&frame, head, 5);
        wh_buf_append_slice(&frame, wh_buf_slice(&inner));
        enum wh_err err = decode_command(WH_ENCODING_PROTOBUF, wh_buf_slice(&frame), &command);
        if (err != (depth <= 62 ? WH_OK : WH_EFORMAT))
            fail_msg("depth %zu: %s", depth, wh_err_name(err));
        wh_buf_deinit(&inner);
        wh_buf_deinit(&frame);
    }
}

/* Bare messages: an unknown field 100, then id 7. */
static void unknown_protobuf_fields_are_skipped_by_wire_type(void **state)
{
    (void)state;
    static const struct {
        struct wh_slice message;
        enum wh_err err;
    } cases[] = {
        {T("\xA0\x06\x01\x08\x07"), WH_OK}, /* varint */
        {T("\xA1\x06"
           "12345678\x08\x07"),
         WH_OK}, /* 64 bits */
        {T("\xA5\x06"
           "1234\x08\x07"),
         WH_OK},                                                         /* 32 bits */
        {T("\xA2\x06\x02xy\x08\x07"), WH_OK},                            /* bytes */
        {T("\xA2\x06\x09xy\x08\x07"), WH_EFORMAT},                       /* bytes beyond the end */
        {T("\xA3\x06\xA4\x06\x08\x07"), WH_OK},                          /* an empty group */
        {T("\xA3\x06\x12\x01x\x0B\x08\x01\x0C\xA4\x06\x08\x07"), WH_OK}, /* nested groups */
        {T("\xA3\x06\x08\x01"), WH_EFORMAT},                             /* a group without end */
        {T("\xA3\x06\xAC\x06\x08\x07"), WH_EFORMAT},                     /* another group's end */
        {T("\xA4\x06\x08\x07"), WH_EFORMAT},                             /* an end without start */
        {T("\x00\x00"), WH_EFORMAT},                                     /* field 0 */
        {T("\xA6\x06\x08\x07"), WH_EFORMAT},                             /* wire type 6 */
        {T("\x08\x87\x00"), WH_OK}, /* a varint longer than needed */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct wh_command command = {.id = 0};
        enum wh_err err = wh_decode_whole(WH_ENCODING_PROTOBUF, &wh_command_schema,
                                          cases[i].message, &arena, &command);
        if (err != cases[i].err || (!err && command.id != 7))
            fail_msg("case %zu: %s", i, wh_err_name(err));
    }
}

static void what_an_encoding_cannot_show_leaves_the_frame_as_it_was(void **state)
{
    (void)state;
    struct wh_pub pub = {.data = {WH_PAYLOAD_BYTES, T("\xFF")}, .offset = 1};
    struct wh_push push = {.channel = T("c"), .pub = &pub};
    struct wh_reply replies[] = {{.id = 1}, {.push = &push}, {.id = 2}};
    struct wh_buf out = {0};
    assert_int_equal(wh_encode(WH_ENCODING_JSON, &wh_reply_schema, &replies[0], 0, &out), WH_OK);
    assert_int_equal(wh_encode(WH_ENCODING_JSON, &wh_reply_schema, &replies[1], 0, &out),
                     WH_EENCODING);
    assert_int_equal(wh_encode(WH_ENCODING_JSON, &wh_reply_schema, &replies[2], 0, &out), WH_OK);
    assert_string_equal(wh_buf_cstr(&out), "{\"id\":1}\n{\"id\":2}");
    wh_buf_deinit(&out);
}

static void payload_kinds_follow_the_encoding(void **state)
{
    (void)state;
    struct wh_command command;
    assert_int_equal(decode_command(WH_ENCODING_JSON, T("{\"send\":{\"data\": [1] }}"), &command),
                     WH_OK);
    assert_int_equal(command.send->data.kind, WH_PAYLOAD_JSON);
    assert_true(wh_slice_equal_str(command.send->data.bytes, "[1]"));
    assert_int_equal(decode_command(WH_ENCODING_MSGPACK,
                                    T("\x81\xA4send\x81\xA4"
                                      "data\x91\x01"),
                                    &command),
                     WH_OK);
    assert_int_equal(command.send->data.kind, WH_PAYLOAD_MSGPACK);
    assert_int_equal(command.send->data.bytes.len, 2);
    assert_int_equal(decode_command(WH_ENCODING_MSGPACK,
                                    T("\x81\xA4send\x81\xA4"
                                      "data\xC4\x00"),
                                    &command),
                     WH_OK);
    assert_int_equal(command.send->data.kind, WH_PAYLOAD_BYTES);
    assert_true(wh_payload_is_present(command.send->data));
    assert_int_equal(decode_command(WH_ENCODING_PROTOBUF, T("\x05\x62\x03\x0A\x01\xFF"), &command),
                     WH_OK);
    assert_int_equal(command.send->data.kind, WH_PAYLOAD_BYTES);
}

/* The claims of a token, as a user of the schemas outside of this directory declares them. */
struct claim_sub {
    bool recover;
    struct wh_slice info;
};

struct claims {
    struct wh_slice sub;
    int64_t exp;
    bool admin;
    struct wh_slice aud;
    struct wh_strings channels;
    WH_MESSAGE_MAP(struct claim_sub) subs;
};

static const struct wh_field claim_sub_fields[] = {
    {"recover", 1, WH_FIELD_BOOL, WH_OMIT_ZERO, offsetof(struct claim_sub, recover), NULL},
    {"info", 2, WH_FIELD_RAW_JSON, WH_OMIT_ZERO, offsetof(struct claim_sub, info), NULL},
};
static const struct wh_schema claim_sub_schema = {"Sub", sizeof(struct claim_sub), claim_sub_fields,
                                                  2};
static const struct wh_field claims_fields[] = {
    {"sub", 1, WH_FIELD_STRING, WH_ALWAYS, offsetof(struct claims, sub), NULL},
    {"exp", 2, WH_FIELD_I64, WH_OMIT_ZERO, offsetof(struct claims, exp), NULL},
    {"admin", 3, WH_FIELD_BOOL, WH_OMIT_ZERO, offsetof(struct claims, admin), NULL},
    {"aud", 4, WH_FIELD_RAW_JSON, WH_OMIT_ZERO, offsetof(struct claims, aud), NULL},
    {"channels", 5, WH_FIELD_STRINGS, WH_OMIT_ZERO, offsetof(struct claims, channels), NULL},
    {"subs", 6, WH_FIELD_MESSAGE_MAP, WH_OMIT_ZERO, offsetof(struct claims, subs),
     &claim_sub_schema},
};
static const struct wh_schema claims_schema = {"Claims", sizeof(struct claims), claims_fields, 6};

static void schemas_of_others_work_and_raw_values_are_kept(void **state)
{
    (void)state;
    struct claims claims = {.exp = 0};
    struct wh_slice text =
        T("{\n \"sub\": \"42\", \"exp\": 1.7e9, \"admin\": true,\n \"aud\": [\"a\", \"b\"],"
          "\"channels\":[\"x\",\"\\u0079\"], "
          "\"subs\":{\"c\":{\"recover\":true,\"info\":{\"n\":1}}}\n}\n");
    assert_int_equal(wh_decode_whole(WH_ENCODING_JSON, &claims_schema, text, &arena, &claims),
                     WH_OK);
    assert_true(wh_slice_equal_str(claims.sub, "42"));
    assert_int_equal(claims.exp, 1700000000);
    assert_true(claims.admin);
    assert_true(wh_slice_equal_str(claims.aud, "[\"a\", \"b\"]"));
    assert_int_equal(claims.channels.count, 2);
    assert_true(wh_slice_equal_str(claims.channels.items[1], "y"));
    assert_int_equal(claims.subs.count, 1);
    assert_true(wh_slice_equal_str(claims.subs.keys[0], "c"));
    assert_true(claims.subs.values[0].recover);
    assert_true(wh_slice_equal_str(claims.subs.values[0].info, "{\"n\":1}"));
    struct wh_buf out = {0};
    assert_int_equal(wh_encode(WH_ENCODING_JSON, &claims_schema, &claims, 0, &out), WH_OK);
    assert_string_equal(wh_buf_cstr(&out),
                        "{\"sub\":\"42\",\"exp\":1700000000,\"admin\":true,\"aud\":[\"a\", \"b\"],"
                        "\"channels\":[\"x\",\"y\"],"
                        "\"subs\":{\"c\":{\"recover\":true,\"info\":{\"n\":1}}}}");
    wh_buf_reset(&out);
    assert_int_equal(wh_encode(WH_ENCODING_MSGPACK, &claims_schema, &claims, 0, &out),
                     WH_EUNSUPPORTED);
    assert_int_equal(out.len, 0);
    wh_buf_deinit(&out);
}

static void claims_of_another_type_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "[]",
        "",
        "{",
        "{} {}",
        "{\"sub\":42}",
        "{\"sub\":[\"42\"]}",
        "{\"exp\":\"1\"}",
        "{\"exp\":1.5}",
        "{\"exp\":1e300}",
        "{\"exp\":true}",
        "{\"admin\":1}",
        "{\"admin\":\"true\"}",
        "{\"channels\":\"x\"}",
        "{\"channels\":[1]}",
        "{\"channels\":{\"x\":1}}",
        "{\"subs\":[\"x\"]}",
        "{\"subs\":{\"x\":true}}",
        "{\"aud\":nul}",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct claims claims = {.exp = 0};
        enum wh_err err = wh_decode_whole(WH_ENCODING_JSON, &claims_schema,
                                          wh_slice_from_str(texts[i]), &arena, &claims);
        if (err != WH_EFORMAT)
            fail_msg("%s: %s", texts[i], wh_err_name(err));
    }
}

static void a_small_arena_bounds_what_a_frame_can_take(void **state)
{
    (void)state;
    struct wh_buf text = {0};
    wh_buf_append_str(&text, "{\"subscribe\":{\"tf\":{\"nodes\":[{}");
    for (int i = 0; i < 10000; i++)
        wh_buf_append_str(&text, ",{}");
    wh_buf_append_str(&text, "]}}}");
    struct wh_arena small;
    struct wh_command command = {.id = 0};
    struct wh_slice rest = wh_buf_slice(&text);
    wh_arena_init(&small, 64 * 1024);
    assert_int_equal(wh_decode(WH_ENCODING_JSON, &wh_command_schema, &rest, &small, &command),
                     WH_ENOMEM);
    wh_arena_deinit(&small);
    wh_buf_deinit(&text);
}

static int open_arena(void **state)
{
    (void)state;
    wh_arena_init(&arena, 0);
    return 0;
}

static int close_arena(void **state)
{
    (void)state;
    wh_arena_deinit(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(subprotocols_are_named_exactly),
        cmocka_unit_test(frames_are_split_by_the_rules_of_their_encoding),
        cmocka_unit_test(encoding_again_packs_a_frame),
        cmocka_unit_test(ids_are_whole_numbers_of_32_bits),
        cmocka_unit_test(wrong_types_are_refused_and_null_is_absent),
        cmocka_unit_test(messagepack_strings_must_be_strings_of_utf8),
        cmocka_unit_test(the_last_of_duplicate_members_wins),
        cmocka_unit_test(many_duplicate_keys_keep_the_last_of_each),
        cmocka_unit_test(nesting_is_bounded_in_every_encoding),
        cmocka_unit_test(nested_protobuf_messages_are_bounded),
        cmocka_unit_test(unknown_protobuf_fields_are_skipped_by_wire_type),
        cmocka_unit_test(what_an_encoding_cannot_show_leaves_the_frame_as_it_was),
        cmocka_unit_test(payload_kinds_follow_the_encoding),
        cmocka_unit_test(schemas_of_others_work_and_raw_values_are_kept),
        cmocka_unit_test(claims_of_another_type_are_refused),
        cmocka_unit_test(a_small_arena_bounds_what_a_frame_can_take),
    };
    return cmocka_run_group_tests(tests, open_arena, close_arena);
}
