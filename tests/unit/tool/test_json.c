/* SPDX-License-Identifier: MIT
 *
 * The JSON writer: commas, nesting, numbers, and texts that hold anything.
 */
#include "support.h"

#include "tool/json.h"

static char text[4096];

static struct ebb_json begin(void)
{
    struct ebb_json json = {.stream = fmemopen(text, sizeof(text), "w")};
    EXPECT(json.stream != NULL);
    return json;
}

static void documents(void)
{
    struct ebb_json json = begin();
    ebb__json_open(&json, NULL, '{');
    ebb__json_number(&json, "a", UINT64_MAX);
    ebb__json_signed(&json, "b", INT64_MIN);
    ebb__json_open(&json, "c", '[');
    ebb__json_bool(&json, NULL, true);
    ebb__json_open(&json, NULL, '{');
    ebb__json_close(&json, '{');
    ebb__json_null(&json, NULL);
    ebb__json_close(&json, '[');
    ebb__json_open(&json, "d", '[');
    ebb__json_close(&json, '[');
    ebb__json_bool(&json, "e", false);
    ebb__json_close(&json, '{');
    (void)fclose(json.stream);
    EXPECT_MSG(strcmp(text,
                      "{\"a\":18446744073709551615,\"b\":-9223372036854775808,\"c\":[true,{},null],\"d\":[],"
                      "\"e\":false}") == 0,
               "%s", text);
}

static void texts(void)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"", "\"\""},
        {"a\"b\\c", "\"a\\\"b\\\\c\""},
        {"\n\x1b\x7f", "\"\\u000a\\u001b\\u007f\""},
        {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {"\xff"
         "a",
         "\"\\ufffda\""},
        {"\xc3", "\"\\ufffd\""},
        {"\xe2\x82", "\"\\ufffd\\ufffd\""},
        {"\xc0\x80", "\"\\ufffd\\ufffd\""},
        {"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""},
        {"\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""},
        {"\xf0\x80\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""},
    };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ebb_json json = begin();
        ebb__json_string(&json, NULL, rows[i].in);
        (void)fclose(json.stream);
        EXPECT_MSG(strcmp(text, rows[i].out) == 0, "%u: %s", i, text);
    }
}

int main(void)
{
    const struct CMUnitTest cases[] = {CASE(documents), CASE(texts)};
    return RUN_CASES(cases);
}
