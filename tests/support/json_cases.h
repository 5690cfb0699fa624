/*
 * Texts and what RFC 8259 makes of them.  Written for this project; the ideas
 * are the corners that parsers are known to differ in.
 */
#ifndef TESTS_SUPPORT_JSON_CASES_H
#define TESTS_SUPPORT_JSON_CASES_H

#include "common/base/slice.h"

/* clang-format off */
#define YES(text) {WH_SLICE_LITERAL(text), true}
#define NO(text)  {WH_SLICE_LITERAL(text), false}

static const struct json_case {
    struct wh_slice text;
    bool is_valid;
} json_cases[] = {
    /* structure */
    NO(""), NO(" "), NO("\t\n"), YES("{}"), YES("[]"), YES(" [ ] "), YES("\t{\r\n} "),
    NO("{"), NO("}"), NO("["), NO("]"), NO("[}"), NO("{]"), NO("[]]"), NO("{}}"), NO("[]{}"), NO("[] x"),
    YES("[1]"), YES("[1,2]"), YES("[ 1 , 2 ]"), NO("[1,]"), NO("[,1]"), NO("[,]"), NO("[1,,2]"), NO("[1 2]"), NO("[1:2]"),
    YES("{\"a\":1}"), YES("{ \"a\" : 1 , \"b\" : 2 }"), NO("{\"a\":1,}"), NO("{,}"), NO("{\"a\"}"), NO("{\"a\":}"),
    NO("{\"a\" 1}"), NO("{\"a\":1 \"b\":2}"), NO("{a:1}"), NO("{'a':1}"), NO("{1:1}"), NO("{null:1}"), NO("{\"a\"::1}"),
    NO("{\"a\":1,,\"b\":2}"), NO("{\"a\",\"b\"}"), NO("{\"a\":1;\"b\":2}"), NO("{:1}"), NO("{\"a\":[}"), NO("[{\"a\":1]"),
    YES("{\"\":0}"), YES("{\"a\":1,\"a\":2}"), YES("[[],[[]],{}]"), YES("{\"a\":{\"b\":[{}]}}"), YES("[[[[[[[[1]]]]]]]]"),
    NO("\xEF\xBB\xBF{}"), NO("\xFF\xFE{}"), NO("[1]\0"), NO("\0"), NO("[\0]"), NO("[1]#"), NO("/**/[]"), NO("[1]//x"),
    NO("\x0B[]"), NO("\x0C[]"), NO("\xC2\xA0[]"), NO("\xE2\x80\xA8[]"),
    /* words */
    YES("true"), YES("false"), YES("null"), YES(" true "), NO("True"), NO("TRUE"), NO("tru"), NO("truee"), NO("nul"),
    NO("nulll"), NO("fals"), NO("t"), NO("n"), NO("f"), NO("undefined"), NO("NaN"), NO("Infinity"), NO("-Infinity"),
    NO("nan"), NO("[true,nul]"), NO("truefalse"), NO("[truefalse]"),
    /* numbers */
    YES("0"), YES("-0"), YES("1"), YES("10"), YES("-10"), YES("0.0"), YES("0.5"), YES("1.25"), YES("1e1"), YES("1E1"),
    YES("1e+1"), YES("1e-1"), YES("-0e0"), YES("0e-10"), YES("0E+0"), YES("1.5e10"), YES("1e01"), YES("0.00"), YES("[-0]"),
    NO("01"), NO("00"), NO("-01"), NO("-"), NO("+1"), NO("--1"), NO(".5"), NO("-.5"), NO("1."), NO("1.e1"), NO("1e"),
    NO("1e+"), NO("1e-"), NO("1E"), NO("1.2.3"), NO("1e1.5"), NO("1e1e1"), NO("0x10"), NO("1a"), NO("1 2"), NO("1_000"),
    NO("1,000"), NO("- 1"), NO("1 .5"), NO("e1"), NO("\xEF\xBC\x91"), NO("2.e3"), NO("0.e1"), NO("0.3e"), NO("[1+2]"),
    YES("9007199254740993"), YES("18446744073709551615"), YES("-9223372036854775808"),
    YES("123456789012345678901234567890"), YES("1e-999"), YES("0.1e-400"),
    YES("1e309"), YES("[-1e999]"), YES("0e999"),
    /* strings */
    YES("\"\""), YES("\"a\""), YES("\"\\\"\""), YES("\"\\\\\""), YES("\"\\/\""), YES("\"/\""), YES("\"\\b\\f\\n\\r\\t\""),
    NO("\""), NO("\"a"), NO("a\""), NO("\"\\\""), NO("\"\\"), NO("\"\\a\""), NO("\"\\x41\""), NO("\"\\'\""), NO("\"\\0\""),
    NO("\"\\v\""), NO("\"\\ \""), NO("\"\\U0041\""), NO("\"\"\""), NO("'a'"), NO("\"a\"b"), NO("\"\n\""), NO("\"\t\""), NO("\"\r\""),
    NO("\"\x1F\""), NO("\"\0\""), YES("\"\x7F\""), NO("\"\\\n\""), NO("\"a\\"), NO("[\"a"), NO("[\"a\\\"]"),
    YES("\"\\u0041\""), YES("\"\\u00E9\""), YES("\"\\uabcd\""), YES("\"\\uABCD\""), YES("\"\\u0000\""), YES("\"\\uFFFF\""),
    NO("\"\\u\""), NO("\"\\u0\""), NO("\"\\u00\""), NO("\"\\u004\""), NO("\"\\u004G\""), NO("\"\\u 041\""), NO("\"\\u+041\""),
    NO("\"\\u-041\""), NO("\"\\u0x41\""), NO("\"\\u"), NO("\"\\u0041"), YES("\"\\u00410\""),
    YES("\"\\ud83d\\ude00\""), YES("\"\\uD834\\uDD1E\""), YES("\"\\ud800\""), YES("\"\\udc00\""),
    YES("\"\\ud800\\u0041\""), YES("\"\\ude00\\ud83d\""), YES("{\"\\ud800\":1}"), NO("\"\\ud83d\\u\""), NO("\"\\ud83d\\ude0\""),
    /* UTF-8 */
    YES("\"\xC3\xA9\""), YES("\"\xE2\x82\xAC\""), YES("\"\xF0\x9F\x98\x80\""), YES("\"\xEF\xBF\xBF\""), YES("\"\xF4\x8F\xBF\xBF\""),
    YES("\"\xC2\x80\""), YES("\"\xE0\xA0\x80\""), YES("\"\xED\x9F\xBF\""), YES("\"\xEE\x80\x80\""), YES("\"\xF0\x90\x80\x80\""),
    NO("\"\x80\""), NO("\"\xBF\""), NO("\"\xC3\""), NO("\"\xC3(\""), NO("\"\xC0\x80\""), NO("\"\xC1\xBF\""), NO("\"\xE0\x80\x80\""),
    NO("\"\xE0\x9F\xBF\""), NO("\"\xED\xA0\x80\""), NO("\"\xED\xBF\xBF\""), NO("\"\xF0\x80\x80\x80\""), NO("\"\xF0\x8F\xBF\xBF\""),
    NO("\"\xF4\x90\x80\x80\""), NO("\"\xF5\x80\x80\x80\""), NO("\"\xFE\""), NO("\"\xFF\""), NO("\"\xE2\x82\""), NO("\"\xF0\x9F\x98\""),
    NO("\"\xE2\x82"), NO("\"\xF0\x9F\x98\x80"), NO("{\"\xFF\":1}"), NO("\xC3\xA9"), NO("[\xC3\xA9]"), YES("{\"\xC3\xA9\":\"\xE2\x82\xAC\"}"),
    YES("\"\xEF\xBB\xBF\""), YES("\"\xE2\x80\xA8\xE2\x80\xA9\""), NO("\"\xFC\x80\x80\x80\x80\x80\""), NO("\"\xC3\xA9\x80\""),
};
/* clang-format on */

#undef YES
#undef NO

enum { JSON_CASE_COUNT = sizeof(json_cases) / sizeof(json_cases[0]) };

#endif
