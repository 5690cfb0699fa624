/* Claims written and read: which source wins, and what is no token. */
#include "client-sdk/cli/token_claims.h"

#include "common/base/base64.h"
#include "common/protocol/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void claims_say_what_the_options_say(void **state)
{
    struct settings settings = {.user = "a\"b",
                                .ttl_ms = 90000,
                                .info = "{\"n\":1}",
                                .claims = {{"roles=[\"admin\"]", "note=plain text"}, 2}};
    struct wh_buf text = {0};
    (void)state;
    token_claims_write(&settings, 1000, &text);
    assert_string_equal(wh_buf_cstr(&text),
                        "{\"sub\":\"a\\\"b\",\"iat\":1000,\"exp\":1090,\"info\":{\"n\":1},"
                        "\"roles\":[\"admin\"],\"note\":\"plain text\"}");
    wh_buf_deinit(&text);
}

static void a_claim_replaces_the_option_of_its_name(void **state)
{
    struct settings settings = {.user = "ann",
                                .channel = "c",
                                .ttl_ms = 1,
                                .claims = {{"exp=5", "sub=bob", "iat=1", "channel=d"}, 4}};
    struct wh_buf text = {0};
    (void)state;
    token_claims_write(&settings, 1000, &text);
    assert_string_equal(wh_buf_cstr(&text),
                        "{\"exp\":5,\"sub\":\"bob\",\"iat\":1,\"channel\":\"d\"}");
    wh_buf_deinit(&text);
}

static void without_anything_a_token_is_anonymous_and_for_ever(void **state)
{
    struct wh_buf text = {0};
    (void)state;
    token_claims_write(&(struct settings){0}, 7, &text);
    assert_string_equal(wh_buf_cstr(&text), "{\"iat\":7}");
    wh_buf_deinit(&text);
}

/* header.payload.AA of two texts. */
static struct wh_slice make(const char *header, const char *payload, struct wh_arena *arena)
{
    struct wh_buf text = {0};
    wh_base64_encode(WH_BASE64_URL, wh_slice_from_str(header), &text);
    wh_buf_append_char(&text, '.');
    wh_base64_encode(WH_BASE64_URL, wh_slice_from_str(payload), &text);
    wh_buf_append_str(&text, ".AAAA");
    struct wh_slice token = wh_arena_copy(arena, wh_buf_slice(&text));
    wh_buf_deinit(&text);
    return token;
}

static void parts_and_times_are_read(void **state)
{
    struct wh_arena arena = {0};
    struct token_parts parts;
    struct token_times times;
    (void)state;
    struct wh_slice token = make("{\"typ\":\"JWT\",\"alg\":\"HS256\"}",
                                 "{\"exp\":90.5,\"nbf\":1e1,\"iat\":-3,\"channel\":\"x\"}", &arena);
    assert_int_equal(token_split(token, &arena, &parts), WH_OK);
    assert_true(wh_slice_equal_str(parts.algorithm, "HS256"));
    assert_int_equal(token_times_read(parts.payload, &arena, &times), WH_OK);
    assert_int_equal(times.expires_s, 90);
    assert_int_equal(times.not_before_s, 10);
    assert_int_equal(times.issued_s, -3);
    assert_true(times.is_subscription);
    wh_arena_deinit(&arena);
}

static void what_is_no_token_is_refused(void **state)
{
    static const char *const rows[] = {"", ".", "..", "a.b.c", "e30.e30", "e30=.e30.AA"};
    struct wh_arena arena = {0};
    struct token_parts parts;
    struct token_times times;
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_int_equal(token_split(wh_slice_from_str(rows[i]), &arena, &parts), WH_EFORMAT);
    assert_int_equal(token_split(make("[]", "{}", &arena), &arena, &parts), WH_EFORMAT);
    assert_int_equal(token_split(make("{}", "{\"a\":}", &arena), &arena, &parts), WH_EFORMAT);
    assert_int_equal(token_split(make("{\"alg\":1}", "{}", &arena), &arena, &parts), WH_EFORMAT);
    assert_int_equal(token_times_read(WH_SLICE_LITERAL("{\"exp\":\"soon\"}"), &arena, &times),
                     WH_EFORMAT);
    assert_int_equal(token_times_read(WH_SLICE_LITERAL("{\"exp\":1e300}"), &arena, &times),
                     WH_EFORMAT);
    wh_arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(claims_say_what_the_options_say),
        cmocka_unit_test(a_claim_replaces_the_option_of_its_name),
        cmocka_unit_test(without_anything_a_token_is_anonymous_and_for_ever),
        cmocka_unit_test(parts_and_times_are_read),
        cmocka_unit_test(what_is_no_token_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
