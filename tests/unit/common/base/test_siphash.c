#include "common/base/siphash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const unsigned char counting_key[16] = {0, 1, 2,  3,  4,  5,  6,  7,
                                               8, 9, 10, 11, 12, 13, 14, 15};
static const unsigned char zero_key[16];

/* Published results of SipHash-1-3 over the bytes 00 01 02 … of each length. */
static void the_published_vectors_come_out(void **state)
{
    (void)state;
    static const struct {
        const unsigned char *key;
        size_t len;
        uint64_t hash;
    } cases[] = {
        {counting_key, 0, UINT64_C(0xabac0158050fc4dc)},
        {counting_key, 1, UINT64_C(0xc9f49bf37d57ca93)},
        {counting_key, 2, UINT64_C(0x82cb9b024dc7d44d)},
        {counting_key, 3, UINT64_C(0x8bf80ab8e7ddf7fb)},
        {counting_key, 4, UINT64_C(0xcf75576088d38328)},
        {counting_key, 5, UINT64_C(0xdef9d52f49533b67)},
        {counting_key, 6, UINT64_C(0xc50d2b50c59f22a7)},
        {counting_key, 7, UINT64_C(0xd3927d989bb11140)},
        {counting_key, 8, UINT64_C(0x369095118d299a8e)},
        {counting_key, 9, UINT64_C(0x25a48eb36c063de4)},
        {counting_key, 15, UINT64_C(0xd320d86d2a519956)},
        {counting_key, 16, UINT64_C(0xcc4fdd1a7d908b66)},
        {counting_key, 63, UINT64_C(0x9d199062b7bbb3a8)},
        {zero_key, 0, UINT64_C(0xd1fba762150c532c)},
        {zero_key, 1, UINT64_C(0x68a914128e01e473)},
    };
    char input[64];
    for (size_t i = 0; i < sizeof input; i++)
        input[i] = (char)i;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t hash = wh_siphash13(cases[i].key, wh_slice(input, cases[i].len));
        assert_true(hash == cases[i].hash);
    }
    assert_true(wh_siphash13(zero_key, WH_SLICE_ABSENT) == UINT64_C(0xd1fba762150c532c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_vectors_come_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
