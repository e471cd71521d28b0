/* SPDX-License-Identifier: MIT
 *
 * Redis's protocol: whole replies, every prefix of them, and what is none.
 */
#include "test_books.h"

#include "books/resp_priv.h"

/* From a block of exactly that length, so that a read beyond it shows. */
static int parse(const char *text, size_t len, struct ebb_resp *ret_reply, char **ret_copy)
{
    *ret_copy = malloc(len == 0 ? 1 : len);
    assert_non_null(*ret_copy);
    memcpy(*ret_copy, text, len);
    return ebb__resp_parse(*ret_copy, len, ret_reply);
}

static void test_replies(void **state)
{
    static const struct {
        const char *text;
        const char *body;
        bool error;
    } CASES[] = {
        {"$5\r\nhello\r\n", "hello", false},
        {"$0\r\n\r\n", "", false},
        {"$4\r\na\r\nb\r\n", "a\r\nb", false},
        {"+PONG\r\n", "PONG", false},
        {"-NOAUTH Authentication required.\r\n", "NOAUTH Authentication required.", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++)
        for (size_t len = 0; len <= strlen(CASES[i].text); len++) {
            struct ebb_resp reply;
            char *copy;
            int err = parse(CASES[i].text, len, &reply, &copy);

            if (len < strlen(CASES[i].text)) {
                assert_int_equal(err, -EAGAIN);
            } else {
                assert_int_equal(err, 0);
                assert_int_equal(reply.error, CASES[i].error);
                assert_int_equal(reply.len, strlen(CASES[i].body));
                assert_memory_equal(reply.text, CASES[i].body, reply.len);
            }
            free(copy);
        }
}

static void test_no_replies(void **state)
{
    static const char *const TEXTS[] = {
        "HTTP/1.1 400 Bad Request\r\n",
        "*1\r\n",
        ":1\r\n",
        "$-1\r\n",
        "$x\r\n",
        "$5x\r\n",
        "$5\rhello\r\n",
        "$5\r\nhelloXX",
        "$1048577\r\n",
        "$\r\n",
        "$99999999999999999999\r\n",
        "J\0\0\0\n5.5.5-10.11",
    };
    char line[2000];
    struct ebb_resp reply;

    (void)state;
    for (size_t i = 0; i < sizeof(TEXTS) / sizeof(TEXTS[0]); i++) {
        char *copy;

        assert_int_equal(parse(TEXTS[i], strlen(TEXTS[i]), &reply, &copy), -EBADMSG);
        free(copy);
    }
    /* One that sends a line for ever is not waited for. */
    memset(line, '-', sizeof(line));
    assert_int_equal(ebb__resp_parse(line, sizeof(line), &reply), -EBADMSG);
    assert_int_equal(ebb__resp_parse(line, 100, &reply), -EAGAIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_replies), cmocka_unit_test(test_no_replies)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
