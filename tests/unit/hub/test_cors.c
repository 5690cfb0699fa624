#include "hub/cors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LONG         "https://" X100 X100 X100 ".example"
#define X100         X10 X10 X10 X10 X10 X10 X10 X10 X10 X10
#define X10          "xxxxxxxxxx"

static void origins_that_may_and_those_that_may_not(void **state)
{
    (void)state;
    static char *allowed[] = {(char *)"https://shop.example", (char *)"https://*.partner.example"};
    static char *all[] = {(char *)"*"};
    struct config some = {.client.allowed_origins = {allowed, COUNT(allowed)}};
    struct config any = {.client.allowed_origins = {all, 1}};
    struct config none = {0};
    static const struct {
        const char *origin, *host;
        enum cors_verdict with_some, with_any, with_none;
    } cases[] = {
        {"", "hub.example", CORS_NO_ORIGIN, CORS_NO_ORIGIN, CORS_NO_ORIGIN},
        {"https://hub.example", "hub.example", CORS_ALLOWED, CORS_ALLOWED, CORS_ALLOWED},
        {"http://hub.example:8000", "hub.example:8000", CORS_ALLOWED, CORS_ALLOWED, CORS_ALLOWED},
        {"http://hub.example:8000", "hub.example", CORS_REFUSED, CORS_ALLOWED, CORS_REFUSED},
        {"https://shop.example", "hub.example", CORS_ALLOWED, CORS_ALLOWED, CORS_REFUSED},
        {"HTTPS://Shop.Example", "hub.example", CORS_ALLOWED, CORS_ALLOWED, CORS_REFUSED},
        {"http://shop.example", "hub.example", CORS_REFUSED, CORS_ALLOWED, CORS_REFUSED},
        {"https://shop.example.evil.example", "h", CORS_REFUSED, CORS_ALLOWED, CORS_REFUSED},
        {"https://a.partner.example", "h", CORS_ALLOWED, CORS_ALLOWED, CORS_REFUSED},
        {"https://partner.example", "h", CORS_REFUSED, CORS_ALLOWED, CORS_REFUSED},
        {"null", "h", CORS_REFUSED, CORS_ALLOWED, CORS_REFUSED},
        {"null", "", CORS_REFUSED, CORS_ALLOWED, CORS_REFUSED},
        {"https://a.partner.example\r\nSet-Cookie: a=b.partner.example", "h", CORS_REFUSED,
         CORS_REFUSED, CORS_REFUSED},
        {"https://a b.partner.example", "h", CORS_REFUSED, CORS_REFUSED, CORS_REFUSED},
        {"https://\xc3\xa9.partner.example", "h", CORS_REFUSED, CORS_REFUSED, CORS_REFUSED},
        {LONG, "h", CORS_REFUSED, CORS_REFUSED, CORS_REFUSED},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wh_slice origin = wh_slice_from_str(cases[i].origin);
        struct wh_slice host = wh_slice_from_str(cases[i].host);
        if (cors_check(origin, host, &some) != cases[i].with_some ||
            cors_check(origin, host, &any) != cases[i].with_any ||
            cors_check(origin, host, &none) != cases[i].with_none)
            fail_msg("%s", cases[i].origin);
    }
    assert_int_equal(cors_check(WH_SLICE_ABSENT, WH_SLICE_ABSENT, &none), CORS_NO_ORIGIN);
    assert_int_equal(cors_check(WH_SLICE_LITERAL("https://x.example"), WH_SLICE_ABSENT, &none),
                     CORS_REFUSED);
}

static void only_an_allowed_origin_is_told_anything(void **state)
{
    (void)state;
    static const enum cors_verdict verdicts[] = {CORS_NO_ORIGIN, CORS_ALLOWED, CORS_REFUSED};
    for (size_t i = 0; i < COUNT(verdicts); i++) {
        struct wh_buf lines = {0};
        cors_write(verdicts[i], WH_SLICE_LITERAL("https://a.example"), &lines);
        cors_write_preflight(verdicts[i], &lines);
        const char *text = wh_buf_cstr(&lines);
        bool is_allowed = verdicts[i] == CORS_ALLOWED;
        assert_non_null(strstr(text, "Vary: Origin\r\n"));
        assert_int_equal(strstr(text, "Access-Control-Allow-Origin: https://a.example\r\n") != NULL,
                         is_allowed);
        assert_int_equal(strstr(text, "Access-Control-") != NULL, is_allowed);
        assert_null(strstr(text, "Credentials"));
        assert_null(strstr(text, "*"));
        wh_buf_deinit(&lines);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(origins_that_may_and_those_that_may_not),
        cmocka_unit_test(only_an_allowed_origin_is_told_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
