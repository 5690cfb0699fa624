#include "hub/rpc_methods.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SERVICE WH_SLICE_LITERAL("shop")

static enum wh_err parse(const char *json, struct rpc_methods **out_methods, size_t *out_skipped)
{
    return rpc_methods_parse(SERVICE, wh_slice_from_str(json), out_methods, out_skipped);
}

static void what_is_announced_is_found(void **state)
{
    (void)state;
    struct rpc_methods *methods = NULL;
    size_t skipped = 99;
    char json[] =
        "{\"version\":\"1.2.3\",\"later\":[1],\"methods\":["
        "{\"name\":\"shop.v1.list\",\"access\":\"anonymous\",\"idempotent\":true},"
        "{\"name\":\"shop.v1.pay\",\"timeout_ms\":9000},"
        "{\"name\":\"shop.v1.close\",\"access\":\"role\",\"roles\":[\"boss\",\"clerk\"]}]}";
    assert_int_equal(parse(json, &methods, &skipped), WH_OK);
    assert_int_equal(skipped, 0);
    assert_true(wh_slice_equal_str(rpc_methods_source(methods), json));
    memset(json, 'x', sizeof json - 1); /* it keeps what it needs */
    const struct rpc_method *list = rpc_methods_find(methods, WH_SLICE_LITERAL("shop.v1.list"));
    const struct rpc_method *pay = rpc_methods_find(methods, WH_SLICE_LITERAL("shop.v1.pay"));
    const struct rpc_method *end = rpc_methods_find(methods, WH_SLICE_LITERAL("shop.v1.close"));
    assert_non_null(list);
    assert_int_equal(list->access, RPC_ACCESS_ANONYMOUS);
    assert_true(list->idempotent);
    assert_int_equal(list->timeout_ms, 0);
    assert_non_null(pay);
    assert_int_equal(pay->access, RPC_ACCESS_USER); /* unless it says otherwise */
    assert_int_equal(pay->timeout_ms, 9000);
    assert_non_null(end);
    assert_int_equal(end->access, RPC_ACCESS_ROLE);
    assert_int_equal(end->roles.count, 2);
    assert_true(wh_slice_equal_str(end->roles.items[1], "clerk"));
    assert_null(rpc_methods_find(methods, WH_SLICE_LITERAL("shop.v1.other")));
    assert_null(rpc_methods_find(NULL, WH_SLICE_LITERAL("shop.v1.list")));
    rpc_methods_free(methods);
}

static void unusable_methods_are_left_out_and_counted(void **state)
{
    static const char *const unusable[] = {
        "{\"name\":\"bank.v1.pay\"}",
        "{\"name\":\"shop\"}",
        "{\"name\":\"shop..pay\"}",
        "{\"name\":\"\"}",
        "{}",
        "{\"name\":\"shop.v1.good\"}", /* again */
        "{\"name\":\"shop.v1.x\",\"access\":\"admin\"}",
        "{\"name\":\"shop.v1.x\",\"access\":\"Anonymous\"}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof unusable / sizeof unusable[0]; i++) {
        struct rpc_methods *methods = NULL;
        size_t skipped = 0;
        char json[256];
        snprintf(json, sizeof json, "{\"methods\":[{\"name\":\"shop.v1.good\"},%s]}", unusable[i]);
        assert_int_equal(parse(json, &methods, &skipped), WH_OK);
        assert_int_equal(skipped, 1);
        assert_non_null(rpc_methods_find(methods, WH_SLICE_LITERAL("shop.v1.good")));
        assert_null(rpc_methods_find(methods, WH_SLICE_LITERAL("shop.v1.x")));
        rpc_methods_free(methods);
    }
}

static void damaged_announcements_are_refused(void **state)
{
    static const char *const damaged[] = {
        "",
        "{",
        "[]",
        "null",
        "7",
        "\"shop\"",
        "{\"methods\":7}",
        "{\"methods\":[7]}",
        "{\"methods\":[{\"name\":7}]}",
        "{\"methods\":[]} {}",
        "{\"methods\":[{\"timeout_ms\":-1}]}",
        "{\"methods\":[{\"timeout_ms\":4294967296}]}",
        "{\"methods\":[{\"roles\":\"all\"}]}",
        "\xff",
    };
    (void)state;
    for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
        struct rpc_methods *methods = NULL;
        size_t skipped;
        assert_int_equal(parse(damaged[i], &methods, &skipped), WH_EFORMAT);
        assert_null(methods);
    }
}

static enum wh_err parse_count(size_t count)
{
    struct rpc_methods *methods = NULL;
    struct wh_buf json = {0};
    size_t skipped;
    wh_buf_append_str(&json, "{\"methods\":[");
    for (size_t i = 0; i < count; i++)
        wh_buf_printf(&json, "%s{\"name\":\"shop.v1.m%zu\"}", i ? "," : "", i);
    wh_buf_append_str(&json, "]}");
    enum wh_err err = rpc_methods_parse(SERVICE, wh_buf_slice(&json), &methods, &skipped);
    if (err == WH_OK)
        assert_int_equal(skipped, 0);
    rpc_methods_free(methods);
    wh_buf_deinit(&json);
    return err;
}

static void there_is_a_limit_of_methods_and_of_bytes(void **state)
{
    (void)state;
    assert_int_equal(parse_count(0), WH_OK);
    assert_int_equal(parse_count(RPC_METHODS_MAX), WH_OK);
    assert_int_equal(parse_count(RPC_METHODS_MAX + 1), WH_ELIMIT);
    struct rpc_methods *methods = NULL;
    size_t skipped;
    struct wh_buf json = {0};
    wh_buf_append_str(&json, "{\"methods\":[]}");
    while (json.len <= RPC_ANNOUNCEMENT_BYTES_MAX)
        wh_buf_append_char(&json, ' ');
    assert_int_equal(rpc_methods_parse(SERVICE, wh_buf_slice(&json), &methods, &skipped),
                     WH_ELIMIT);
    wh_buf_truncate(&json, RPC_ANNOUNCEMENT_BYTES_MAX);
    assert_int_equal(rpc_methods_parse(SERVICE, wh_buf_slice(&json), &methods, &skipped), WH_OK);
    rpc_methods_free(methods);
    wh_buf_deinit(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_announced_is_found),
        cmocka_unit_test(unusable_methods_are_left_out_and_counted),
        cmocka_unit_test(damaged_announcements_are_refused),
        cmocka_unit_test(there_is_a_limit_of_methods_and_of_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
