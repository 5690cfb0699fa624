#include "common/base/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/failing_alloc.h"

static const struct {
    enum wh_opcode opcode;
    size_t payload_len;
    size_t header_len;
    unsigned char header[WH_FRAME_HEADER_MAX];
} cases[] = {
    {WH_OPCODE_TEXT, 0, 2, {0x81, 0}},
    {WH_OPCODE_TEXT, 5, 2, {0x81, 5}},
    {WH_OPCODE_BINARY, 125, 2, {0x82, 125}},
    {WH_OPCODE_TEXT, 126, 4, {0x81, 126, 0, 126}},
    {WH_OPCODE_BINARY, 65535, 4, {0x82, 126, 0xFF, 0xFF}},
    {WH_OPCODE_BINARY, 65536, 10, {0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0}},
};

static char payload[65536];

static void the_wire_bytes_are_those_of_the_rfc(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof payload; i++)
        payload[i] = (char)(i * 7);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wh_frame *frame = NULL;
        struct wh_slice slice = wh_slice(payload, cases[i].payload_len);
        assert_int_equal(wh_frame_new(cases[i].opcode, slice, &frame), WH_OK);
        assert_int_equal(frame->refs, 1);
        assert_int_equal(frame->len, cases[i].header_len + slice.len);
        assert_memory_equal(frame->bytes, cases[i].header, cases[i].header_len);
        assert_memory_equal(frame->bytes + cases[i].header_len, payload, slice.len);
        wh_frame_unref(frame);
    }
}

static void a_header_can_be_appended_alone(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wh_buf buf = {0};
        wh_frame_write_header(&buf, cases[i].opcode, cases[i].payload_len);
        assert_int_equal(buf.len, cases[i].header_len);
        assert_memory_equal(buf.ptr, cases[i].header, buf.len);
        wh_buf_deinit(&buf);
    }
}

static void an_absent_payload_is_an_empty_message(void **state)
{
    (void)state;
    struct wh_frame *frame = NULL;
    assert_int_equal(wh_frame_new(WH_OPCODE_TEXT, WH_SLICE_ABSENT, &frame), WH_OK);
    assert_int_equal(frame->len, 2);
    wh_frame_unref(frame);
}

static void the_last_reference_frees(void **state)
{
    (void)state;
    struct wh_frame *frame = NULL;
    assert_int_equal(wh_frame_new(WH_OPCODE_TEXT, WH_SLICE_LITERAL("x"), &frame), WH_OK);
    assert_ptr_equal(wh_frame_ref(frame), frame);
    wh_frame_unref(frame);
    assert_int_equal(frame->refs, 1);
    wh_frame_unref(frame);
    wh_frame_unref(NULL);
}

static void too_long_a_payload_is_refused_before_it_is_read(void **state)
{
    (void)state;
    struct wh_frame *frame = (struct wh_frame *)0x1;
    struct wh_slice slice = wh_slice("", ((size_t)1 << 30) + 1);
    assert_int_equal(wh_frame_new(WH_OPCODE_BINARY, slice, &frame), WH_ELIMIT);
    assert_ptr_equal(frame, (struct wh_frame *)0x1);
}

static void without_memory_the_output_is_untouched(void **state)
{
    (void)state;
    struct wh_frame *frame = NULL;
    failing_alloc_start(1);
    assert_int_equal(wh_frame_new(WH_OPCODE_TEXT, WH_SLICE_LITERAL("x"), &frame), WH_ENOMEM);
    assert_true(failing_alloc_stop());
    assert_null(frame);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_wire_bytes_are_those_of_the_rfc),
        cmocka_unit_test(a_header_can_be_appended_alone),
        cmocka_unit_test(an_absent_payload_is_an_empty_message),
        cmocka_unit_test(the_last_reference_frees),
        cmocka_unit_test(too_long_a_payload_is_refused_before_it_is_read),
        cmocka_unit_test(without_memory_the_output_is_untouched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
