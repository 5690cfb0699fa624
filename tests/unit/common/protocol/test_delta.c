/* Fossil deltas: what is created is applied to the same bytes, and hostile patches only fail. */
#include "common/protocol/delta.h"

#include "common/base/random.h"
#include "common/base/utf8.h"
#include "tests/support/failing_alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { RESULT_MAX = 4 << 20 };

static const enum wh_delta_mode modes[] = {WH_DELTA_BYTES, WH_DELTA_UTF8};

static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";

static struct wh_slice text(const char *from)
{
    return wh_slice_from_str(from);
}

/* The number at *at, stepping over it and the mark behind it. */
static size_t read_number(const char **at)
{
    size_t number = 0;
    for (const char *digit; **at && (digit = strchr(digits, **at)); (*at)++)
        number = number * 64 + (size_t)(digit - digits);
    (*at)++;
    return number;
}

struct commands {
    size_t copies, inserts, longest;
};

/* What a patch of ours consists of. */
static struct commands count_commands(struct wh_buf *patch)
{
    struct commands found = {0};
    const char *at = wh_buf_cstr(patch);
    const char *end = at + patch->len;
    (void)read_number(&at);
    for (;;) {
        size_t count = read_number(&at);
        assert_true(at <= end);
        if (at[-1] == ';')
            break;
        if (count > found.longest)
            found.longest = count;
        if (at[-1] == '@') {
            found.copies++;
            (void)read_number(&at);
        } else {
            found.inserts++;
            at += count;
        }
    }
    assert_ptr_equal(at, end);
    return found;
}

static void make(enum wh_delta_mode mode,
                 struct wh_slice source,
                 struct wh_slice target,
                 struct wh_buf *out_patch)
{
    wh_buf_reset(out_patch);
    assert_int_equal(wh_delta_create(mode, source, target, out_patch), WH_OK);
}

static void assert_round_trip(enum wh_delta_mode mode,
                              struct wh_slice source,
                              struct wh_slice target,
                              struct wh_buf *out_patch)
{
    struct wh_buf result = {0};
    make(mode, source, target, out_patch);
    wh_buf_append_str(&result, "before");
    assert_int_equal(wh_delta_apply(source, wh_buf_slice(out_patch), target.len, &result), WH_OK);
    struct wh_slice all = wh_buf_slice(&result);
    assert_true(wh_slice_equal(wh_slice(all.ptr + 6, all.len - 6), target));
    assert_true(mode == WH_DELTA_BYTES || wh_utf8_is_valid(wh_buf_slice(out_patch)));
    wh_buf_deinit(&result);
}

static void known_patches_are_made_and_applied(void **state)
{
    (void)state;
    /* The checksums are 0, 0x61000000, 0x31323334 and 0x42f32. */
    static const struct {
        const char *source, *target, *patch;
    } cases[] = {
        {"", "", "0\n0;"},
        {"anything", "", "0\n0;"},
        {"", "a", "1\n1:a1X0000;"},
        {"1234", "1234", "4\n4:1234mCZCp;"},
        {"0123456789abcdef", "0123456789abcdef", "G\nG@0,12xn;"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wh_buf patch = {0};
        assert_round_trip(WH_DELTA_BYTES, text(cases[i].source), text(cases[i].target), &patch);
        assert_string_equal(wh_buf_cstr(&patch), cases[i].patch);
        wh_buf_deinit(&patch);
    }
}

static void patches_of_others_are_applied(void **state)
{
    (void)state;
    static const struct {
        const char *source, *patch, *target;
    } cases[] = {
        /* Copies out of order, of nothing, at the end; leading zeros; inserts alone. */
        {"abcd", "4\n2@2,2@0,1ZP65Y;", "cdab"},
        {"a", "1\n1@0,1X0000;", "a"},
        {"a", "1\n0@1,1@0,0:1X0000;", "a"},
        {"a", "001\n0001@000,001X0000;", "a"},
        {"", "1\n1:a1X0000;", "a"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wh_buf result = {0};
        enum wh_err err = wh_delta_apply(text(cases[i].source), text(cases[i].patch), 16, &result);
        assert_int_equal(err, WH_OK);
        assert_string_equal(wh_buf_cstr(&result), cases[i].target);
        wh_buf_deinit(&result);
    }
}

/* Random data: a base and edits of it. */

static void append_random(struct wh_buf *buf, enum wh_delta_mode mode, size_t count)
{
    /* Few letters repeat much; characters that share their first bytes try the boundaries. */
    static const uint32_t letters[] = {'a', 'b',    '{',    0xE9,    0xE8,
                                       'c', 0x20AC, 0x20AD, 0x1F600, 0x1F601};
    char bytes[4];
    size_t variety = wh_random_below(2) ? 2 + wh_random_below(COUNT(letters) - 1) : 0;
    while (count-- > 0) {
        if (mode == WH_DELTA_BYTES) {
            wh_buf_append_char(buf, (char)wh_random_below(variety ? variety : 256));
            continue;
        }
        uint32_t letter =
            variety ? letters[wh_random_below(variety)] : (uint32_t)wh_random_below(0xD800);
        wh_buf_append(buf, bytes, wh_utf8_encode(letter, bytes));
    }
}

static size_t random_cut(enum wh_delta_mode mode, struct wh_slice from)
{
    size_t at = (size_t)wh_random_below(from.len + 1);
    while (mode == WH_DELTA_UTF8 && at < from.len && ((unsigned char)from.ptr[at] & 0xC0) == 0x80)
        at++;
    return at;
}

/* `target` = pieces of `source`, in any order, with new text between. */
static void edit(enum wh_delta_mode mode, struct wh_slice source, struct wh_buf *target)
{
    size_t begin = 0;
    for (size_t pieces = 1 + wh_random_below(5); pieces > 0; pieces--) {
        size_t end = random_cut(mode, source);
        if (wh_random_below(4) == 0)
            begin = random_cut(mode, source);
        if (end > begin)
            wh_buf_append(target, source.ptr + begin, end - begin);
        append_random(target, mode, wh_random_below(wh_random_below(2) ? 4 : 100));
        begin = end;
    }
    if (begin < source.len && wh_random_below(2))
        wh_buf_append_slice(target, wh_slice_from(source, begin));
}

static void random_edits_survive_the_round_trip(void **state)
{
    (void)state;
    wh_random_seed(11);
    struct wh_buf source = {0}, target = {0}, patch = {0};
    size_t copies = 0;
    for (size_t round = 0; round < 4000; round++) {
        enum wh_delta_mode mode = modes[round % 2];
        wh_buf_reset(&source);
        wh_buf_reset(&target);
        append_random(&source, mode, wh_random_below(round % 16 ? 200 : 5000));
        edit(mode, wh_buf_slice(&source), &target);
        assert_round_trip(mode, wh_buf_slice(&source), wh_buf_slice(&target), &patch);
        copies += count_commands(&patch).copies;
        /* However little helps, a patch costs but a few bytes more than its target. */
        assert_true(patch.len <= target.len + 24);
    }
    assert_true(copies > 4000);
    wh_buf_deinit(&source);
    wh_buf_deinit(&target);
    wh_buf_deinit(&patch);
}

static void copies_start_wherever_the_source_does_in_text_mode(void **state)
{
    (void)state;
    /* The source is not UTF-8, and the target's characters are found inside of it. */
    struct wh_slice source = WH_SLICE_LITERAL("\xff\xac\xe2\x82\xac"
                                              "0123456789abcdefghijklmnopqrstuvwxyz\xe2\x82");
    struct wh_slice target = WH_SLICE_LITERAL("x\xe2\x82\xac"
                                              "0123456789abcdefghijklmnopqrstuvwxyz\xe2\x82\xad");
    struct wh_buf patch = {0};
    assert_round_trip(WH_DELTA_UTF8, source, target, &patch);
    assert_int_equal(count_commands(&patch).copies, 1);
    wh_buf_deinit(&patch);
}

static void text_mode_wants_a_target_of_utf_8(void **state)
{
    (void)state;
    struct wh_buf patch = {0};
    wh_buf_append_str(&patch, "kept");
    assert_int_equal(wh_delta_create(WH_DELTA_UTF8, text("a"), text("b\xff"), &patch),
                     WH_EENCODING);
    assert_int_equal(wh_delta_create(WH_DELTA_UTF8, text("\xe2\x82\xac"), text("\xe2\x82"), &patch),
                     WH_EENCODING);
    assert_string_equal(wh_buf_cstr(&patch), "kept");
    assert_int_equal(wh_delta_create(WH_DELTA_BYTES, text("a"), text("b\xff"), &patch), WH_OK);
    wh_buf_deinit(&patch);
}

static void small_changes_make_small_patches(void **state)
{
    (void)state;
    static const struct {
        const char *source, *target;
        size_t len_max;
    } cases[] = {
        {"{\"price\":101.25,\"symbol\":\"ACME\",\"venue\":\"XETRA\"}",
         "{\"price\":101.50,\"symbol\":\"ACME\",\"venue\":\"XETRA\"}", 28},
        {"{\"name\":\"Zo\xc3\xab\",\"text\":\"a message of some length\"}",
         "{\"name\":\"Zo\xc3\xa9\",\"text\":\"a message of some length\"}", 28},
        /* two halves exchanged */
        {"the first part of the sentence, the second part of the sentence!",
         "the second part of the sentence!the first part of the sentence, ", 32},
        /* two blocks alike, of which one goes on as the target does */
        {"0123456789abcdefGHIJKLMNOPQRSTUV0123456789abcdefghijklmnopqrstuv",
         "<0123456789abcdefGHIJKLMNOPQRSTUV>", 20},
        {"0123456789abcdefGHIJKLMNOPQRSTUV0123456789abcdefghijklmnopqrstuv",
         "<0123456789abcdefghijklmnopqrstuv>", 20},
        /* something new in front, in the middle and at the end */
        {"0123456789abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
         "<0123456789abcdefghijklmnopqrstuvwxyz|0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ>", 32},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (size_t k = 0; k < COUNT(modes); k++) {
            struct wh_buf patch = {0};
            assert_round_trip(modes[k], text(cases[i].source), text(cases[i].target), &patch);
            assert_in_range(patch.len, 1, cases[i].len_max);
            wh_buf_deinit(&patch);
        }
    }
}

/* Inputs that a naive search would compare with each other over and over: this test is only as
 * quick as it is because creation is linear (a quadratic one needs 10^12 steps). */
static void repetition_costs_no_more_than_its_length(void **state)
{
    (void)state;
    enum { LEN = 1 << 20 };
    static const size_t periods[] = {1, 2, 15, 16, 17, 48, 1000};
    char *source = malloc(LEN), *target = malloc(LEN);
    struct wh_buf patch = {0};
    assert_true(source && target);
    for (size_t i = 0; i < COUNT(periods); i++) {
        for (size_t k = 0; k < LEN; k++) {
            source[k] = (char)('a' + k % periods[i] % 26);
            /* The same with a flaw in every thirtieth byte, so that no match gets long. */
            target[k] = k % 30 == 29 ? (char)('A' + k / 30 % 26) : source[k];
        }
        assert_round_trip(WH_DELTA_UTF8, wh_slice(source, LEN), wh_slice(target, LEN), &patch);
        target[0] = target[LEN - 1] = '!';
        assert_round_trip(WH_DELTA_BYTES, wh_slice(target, LEN), wh_slice(source, LEN), &patch);
        assert_round_trip(WH_DELTA_BYTES, wh_slice(source, LEN), wh_slice(source + 7, LEN - 7),
                          &patch);
    }
    wh_buf_deinit(&patch);
    free(source);
    free(target);
}

static void commands_stay_below_their_limit(void **state)
{
    (void)state;
    struct wh_buf source = {0}, target = {0}, patch = {0};
    wh_random_seed(5);
    while (source.len < 4 * WH_DELTA_RUN_MAX)
        wh_buf_append(&source, "\xe2\x82\xac", 3);
    while (target.len < 4 * WH_DELTA_RUN_MAX)
        append_random(&target, WH_DELTA_UTF8, 50);
    struct wh_slice euros = wh_buf_slice(&source), noise = wh_buf_slice(&target);
    assert_round_trip(WH_DELTA_UTF8, euros, euros, &patch);
    assert_int_equal(count_commands(&patch).copies, 5);
    assert_int_equal(count_commands(&patch).longest, WH_DELTA_RUN_MAX);
    assert_round_trip(WH_DELTA_UTF8, euros, noise, &patch);
    assert_in_range(count_commands(&patch).longest, WH_DELTA_RUN_MAX - 3, WH_DELTA_RUN_MAX);
    assert_round_trip(WH_DELTA_BYTES, WH_SLICE_ABSENT, noise, &patch);
    assert_int_equal(count_commands(&patch).longest, WH_DELTA_RUN_MAX);
    wh_buf_deinit(&source);
    wh_buf_deinit(&target);
    wh_buf_deinit(&patch);
}

static void limit_of_the_buffer_tells_when_a_patch_is_no_gain(void **state)
{
    (void)state;
    struct wh_slice source = text("0123456789abcdefghijklmnopqrstuvwxyz");
    struct wh_slice unlike = text("zyxwvutsrqponmlkjihgfedcba9876543210");
    struct wh_buf patch = {.limit = source.len};
    assert_int_equal(wh_delta_create(WH_DELTA_UTF8, source, source, &patch), WH_OK);
    assert_in_range(patch.len, 1, 16);
    wh_buf_reset(&patch);
    assert_int_equal(wh_delta_create(WH_DELTA_UTF8, source, unlike, &patch), WH_ELIMIT);
    assert_int_equal(patch.len, 0);
    wh_buf_deinit(&patch);
    assert_int_equal(wh_delta_create(WH_DELTA_BYTES, source,
                                     wh_slice(source.ptr, (size_t)WH_DELTA_SIZE_MAX + 1), &patch),
                     WH_ELIMIT);
}

/* Hostile patches. */

static void bad_patches_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *patch;
        enum wh_err err;
    } cases[] = {
        {"", WH_EFORMAT},
        {"\n", WH_EFORMAT},
        {"1", WH_EFORMAT},
        {"1\n", WH_EFORMAT},
        {"1;1:a1X0000;", WH_EFORMAT},
        {"-1\n1:a1X0000;", WH_EFORMAT},
        {"1\n1:a1X0000", WH_EFORMAT},   /* unterminated */
        {"1\n1:a1X0001;", WH_EFORMAT},  /* checksum */
        {"1\n1:a1X0000;;", WH_EFORMAT}, /* something follows */
        {"1\n1:a1X0000;1\n", WH_EFORMAT},
        {"2\n1:a1X0000;", WH_EFORMAT}, /* shorter than it says */
        {"0\n1:a1X0000;", WH_EFORMAT}, /* longer than it says */
        {"0\n1@0,1X0000;", WH_EFORMAT},
        {"1\n:a1X0000;", WH_EFORMAT}, /* no count */
        {"1\n1:a;", WH_EFORMAT},
        {"1\n@0,1X0000;", WH_EFORMAT},
        {"1\n1@,1X0000;", WH_EFORMAT},
        {"1\n1@01X0000;", WH_EFORMAT}, /* no comma */
        {"1\n1@0:1X0000;", WH_EFORMAT},
        {"1\n1!0,1X0000;", WH_EFORMAT},
        {"1\n1@4,1X0000;", WH_EFORMAT}, /* past the source */
        {"2\n2@3,1X0000;", WH_EFORMAT},
        {"1\n1@3~~~~~,1X0000;", WH_EFORMAT}, /* 2^32 - 1 */
        {"3~~~~~\n3~~~~~@3~~~~~,0;", WH_ELIMIT},
        {"40000000\n0;", WH_EFORMAT}, /* no number of 32 bits */
        {"1\n400000@0,0;", WH_EFORMAT},
        {"1\n~~~~~~~~~~~~@0,0;", WH_EFORMAT},
        {"1\n1@~~~~~~~~~~~~,0;", WH_EFORMAT},
        {"1\n3~~~~~:a1X0000;", WH_EFORMAT}, /* past the patch */
        {"H\n0;", WH_ELIMIT},
        {"G\n4@0,4@0,4@0,4@0,4@0,0;", WH_EFORMAT}, /* grows past what it says */
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        /* No room for a byte more than may be: asking for it would be another error. */
        struct wh_buf result = {.limit = 4 + 16};
        wh_buf_append_str(&result, "kept");
        /* On the heap and of exact length, so that a sanitizer sees any step outside. */
        size_t len = strlen(cases[i].patch);
        char *patch = malloc(len ? len : 1), *source = malloc(4);
        assert_true(patch && source);
        memcpy(patch, cases[i].patch, len);
        memcpy(source, "abcd", 4);
        enum wh_err err = wh_delta_apply(wh_slice(source, 4), wh_slice(patch, len), 16, &result);
        if (err != cases[i].err)
            fail_msg("\"%s\": %s", cases[i].patch, wh_err_name(err));
        assert_string_equal(wh_buf_cstr(&result), "kept");
        wh_buf_deinit(&result);
        free(patch);
        free(source);
    }
    struct wh_buf result = {0};
    assert_int_equal(wh_delta_apply(WH_SLICE_ABSENT, WH_SLICE_ABSENT, 16, &result), WH_EFORMAT);
}

static void truncated_and_damaged_patches_never_crash(void **state)
{
    (void)state;
    struct wh_slice source = text("0123456789abcdefghijklmnopqrstuvwxyz, and a tail of it");
    struct wh_slice target =
        text("new 0123456789abcdefghijkl and more: nopqrstuvwxyz, and a tail?");
    struct wh_buf patch = {0};
    assert_round_trip(WH_DELTA_BYTES, source, target, &patch);
    assert_in_range(count_commands(&patch).copies, 2, 9);
    for (size_t len = 0; len < patch.len; len++) {
        struct wh_buf result = {0};
        char *cut = malloc(len ? len : 1);
        assert_non_null(cut);
        memcpy(cut, patch.ptr, len);
        assert_int_equal(wh_delta_apply(source, wh_slice(cut, len), RESULT_MAX, &result),
                         WH_EFORMAT);
        wh_buf_deinit(&result);
        free(cut);
    }
    for (size_t i = 0; i < patch.len; i++) {
        char original = patch.ptr[i];
        for (int byte = 0; byte < 256; byte++) {
            struct wh_buf result = {0};
            patch.ptr[i] = (char)byte;
            /* Other commands may make the same bytes; other bytes they may not make. */
            if (wh_delta_apply(source, wh_buf_slice(&patch), RESULT_MAX, &result) == WH_OK)
                assert_true(wh_slice_equal(wh_buf_slice(&result), target));
            wh_buf_deinit(&result);
        }
        patch.ptr[i] = original;
    }
    wh_buf_deinit(&patch);
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    struct wh_buf source = {0}, target = {0};
    wh_random_seed(9);
    append_random(&source, WH_DELTA_BYTES, 600);
    append_random(&target, WH_DELTA_BYTES, 100);
    wh_buf_append_slice(&target, wh_buf_slice(&source));
    append_random(&target, WH_DELTA_BYTES, 100);
    size_t nth = 1;
    for (;; nth++) {
        struct wh_buf patch = {0}, result = {0};
        failing_alloc_start(nth);
        enum wh_err err =
            wh_delta_create(WH_DELTA_BYTES, wh_buf_slice(&source), wh_buf_slice(&target), &patch);
        if (!err)
            err = wh_delta_apply(wh_buf_slice(&source), wh_buf_slice(&patch), RESULT_MAX, &result);
        bool has_failed = failing_alloc_stop();
        assert_int_equal(err, has_failed ? WH_ENOMEM : WH_OK);
        assert_true(!has_failed || patch.len == 0 || result.len == 0);
        wh_buf_deinit(&patch);
        wh_buf_deinit(&result);
        if (!has_failed)
            break;
    }
    assert_in_range(nth, 4, 20);
    wh_buf_deinit(&source);
    wh_buf_deinit(&target);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_patches_are_made_and_applied),
        cmocka_unit_test(patches_of_others_are_applied),
        cmocka_unit_test(random_edits_survive_the_round_trip),
        cmocka_unit_test(copies_start_wherever_the_source_does_in_text_mode),
        cmocka_unit_test(text_mode_wants_a_target_of_utf_8),
        cmocka_unit_test(small_changes_make_small_patches),
        cmocka_unit_test(repetition_costs_no_more_than_its_length),
        cmocka_unit_test(commands_stay_below_their_limit),
        cmocka_unit_test(limit_of_the_buffer_tells_when_a_patch_is_no_gain),
        cmocka_unit_test(bad_patches_are_refused),
        cmocka_unit_test(truncated_and_damaged_patches_never_crash),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
