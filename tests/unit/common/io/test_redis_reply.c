#include "common/io/redis_reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const char nested[] = "*4\r\n$5\r\nhel\0o\r\n:-42\r\n*2\r\n$-1\r\n+OK\r\n-ERR no\r\n";

static void check_nested(const struct wh_redis_reply *reply)
{
    assert_int_equal(reply->type, WH_REDIS_ARRAY);
    assert_int_equal(reply->count, 4);
    assert_int_equal(reply->items[0].type, WH_REDIS_STRING);
    assert_memory_equal(reply->items[0].text.ptr, "hel\0o", 6);
    assert_int_equal(reply->items[1].integer, -42);
    assert_int_equal(reply->items[2].count, 2);
    assert_int_equal(reply->items[2].items[0].type, WH_REDIS_NIL);
    assert_int_equal(reply->items[2].items[1].type, WH_REDIS_STATUS);
    assert_true(wh_redis_reply_is_error(&reply->items[3], "ERR"));
    assert_false(wh_redis_reply_is_error(&reply->items[3], "ER"));
    assert_false(wh_redis_reply_is_error(&reply->items[0], "hel"));
}

static void reply_cut_at_every_byte_is_read_whole(void **state)
{
    (void)state;
    for (size_t cut = 0; cut < sizeof nested - 1; cut++) {
        struct wh_redis_reader reader;
        const struct wh_redis_reply *reply = NULL;
        assert_int_equal(wh_redis_reader_init(&reader, 4096), WH_OK);
        assert_int_equal(wh_redis_reader_feed(&reader, wh_slice(nested, cut)), WH_OK);
        assert_int_equal(wh_redis_reader_next(&reader, &reply), WH_OK);
        assert_null(reply);
        struct wh_slice rest = wh_slice(nested + cut, sizeof nested - 1 - cut);
        assert_int_equal(wh_redis_reader_feed(&reader, rest), WH_OK);
        assert_int_equal(wh_redis_reader_next(&reader, &reply), WH_OK);
        check_nested(reply);
        assert_int_equal(wh_redis_reader_next(&reader, &reply), WH_OK);
        assert_null(reply);
        wh_redis_reader_deinit(&reader);
    }
}

static void replies_follow_each_other(void **state)
{
    (void)state;
    struct wh_redis_reader reader;
    const struct wh_redis_reply *reply = NULL;
    assert_int_equal(wh_redis_reader_init(&reader, 4096), WH_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(wh_redis_reader_feed(&reader, wh_slice(nested, sizeof nested - 1)), WH_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(wh_redis_reader_next(&reader, &reply), WH_OK);
        check_nested(reply);
    }
    wh_redis_reader_deinit(&reader);
}

static void what_is_no_reply_or_too_large_is_refused(void **state)
{
    static const struct {
        const char *bytes;
        enum wh_err err;
    } cases[] = {
        {"hello\r\n", WH_EFORMAT},       {"\x16\x03\x01\x02\x00", WH_EFORMAT},
        {":12x\r\n", WH_EFORMAT},        {"*99999999\r\n", WH_ELIMIT},
        {"*100\r\n*100\r\n", WH_ELIMIT}, {"*2147483647\r\n", WH_ELIMIT},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct wh_redis_reader reader;
        const struct wh_redis_reply *reply = NULL;
        assert_int_equal(wh_redis_reader_init(&reader, 4096), WH_OK);
        assert_int_equal(wh_redis_reader_feed(&reader, wh_slice_from_str(cases[i].bytes)), WH_OK);
        assert_int_equal(wh_redis_reader_next(&reader, &reply), cases[i].err);
        wh_redis_reader_deinit(&reader);
    }
}

static void string_past_the_limit_is_refused_while_it_arrives(void **state)
{
    (void)state;
    struct wh_redis_reader reader;
    const struct wh_redis_reply *reply = NULL;
    char part[512] = {0};
    enum wh_err err = WH_OK;
    size_t fed = 0;
    assert_int_equal(wh_redis_reader_init(&reader, 4096), WH_OK);
    assert_int_equal(wh_redis_reader_feed(&reader, WH_SLICE_LITERAL("$500000000\r\n")), WH_OK);
    for (; !err && fed < 100000; fed += sizeof part) {
        assert_int_equal(wh_redis_reader_feed(&reader, wh_slice(part, sizeof part)), WH_OK);
        err = wh_redis_reader_next(&reader, &reply);
    }
    assert_int_equal(err, WH_ELIMIT);
    assert_true(fed < 3 * 4096);
    wh_redis_reader_deinit(&reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reply_cut_at_every_byte_is_read_whole),
        cmocka_unit_test(replies_follow_each_other),
        cmocka_unit_test(what_is_no_reply_or_too_large_is_refused),
        cmocka_unit_test(string_past_the_limit_is_refused_while_it_arrives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
