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
                assert_int_equal(reply.bytes, len);
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

struct pairs {
    size_t count;
    struct {
        char name[40];
        uint64_t number;
    } all[8];
};

static void take(void *context, const char *name, size_t len, uint64_t number)
{
    struct pairs *pairs = context;

    assert_true(pairs->count < 8 && len < sizeof(pairs->all[0].name));
    memcpy(pairs->all[pairs->count].name, name, len);
    pairs->all[pairs->count].name[len] = '\0';
    pairs->all[pairs->count++].number = number;
}

/* Arrays in arrays, texts that are values, numbers below 0, and what follows the reply. */
static void test_pairs(void **state)
{
    static const char TEXT[] = "*10\r\n"
                               "$1\r\na\r\n:7\r\n"
                               "$4\r\ndb.0\r\n*4\r\n$3\r\none\r\n:18446744073709551615\r\n$3\r\ntwo\r\n:0\r\n"
                               "$1\r\nf\r\n$4\r\n0.73\r\n"
                               "$1\r\nn\r\n:-5\r\n"
                               "$0\r\n\r\n:8\r\n";
    static const struct {
        const char *name;
        uint64_t number;
    } WANTED[] = {{"a", 7}, {"one", UINT64_MAX}, {"two", 0}, {"", 8}};

    (void)state;
    for (size_t len = 0; len < sizeof(TEXT); len++) {
        struct pairs pairs = {0};
        char *copy = malloc(len + 1);
        int err;

        assert_non_null(copy);
        memcpy(copy, TEXT, len);
        err = ebb__resp_pairs(copy, len, take, &pairs);
        free(copy);
        assert_int_equal(err, len < sizeof(TEXT) - 1 ? -EAGAIN : 0);
        assert_int_equal(pairs.count, err == 0 ? 4 : 0);
        for (size_t i = 0; i < pairs.count; i++) {
            assert_string_equal(pairs.all[i].name, WANTED[i].name);
            assert_true(pairs.all[i].number == WANTED[i].number);
        }
    }
}

static void test_no_pairs(void **state)
{
    static const char *const TEXTS[] = {
        "$5\r\nhello\r\n",
        "-ERR\r\n",
        "*x\r\n",
        "*-1\r\n",
        "*65536\r\n",
        "*1\r\n:x\r\n",
        "*1\r\n:\r\n",
        "*1\r\n:1\rx",
        "*1\r\n!1\r\n",
        "*2\r\n$1\r\na\r\n$-1\r\n",
        "*1\r\n*65535\r\n*2\r\n",
        "*1\r\n:18446744073709551616\r\n",
    };
    char line[2000] = "*1\r\n:";
    struct pairs pairs = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(TEXTS) / sizeof(TEXTS[0]); i++)
        assert_int_equal(ebb__resp_pairs(TEXTS[i], strlen(TEXTS[i]), take, &pairs), -EBADMSG);
    memset(line + 5, '1', sizeof(line) - 5);
    assert_int_equal(ebb__resp_pairs(line, sizeof(line), take, &pairs), -EBADMSG);
    assert_int_equal(pairs.count, 0);
    assert_int_equal(ebb__resp_pairs("*0\r\n", 4, take, &pairs), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_replies), cmocka_unit_test(test_no_replies),
                                       cmocka_unit_test(test_pairs), cmocka_unit_test(test_no_pairs)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
