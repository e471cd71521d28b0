/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: what src/books reads: lines of listening sockets, --sql, replies of Redis, values and names of SQL servers. The
 * first byte chooses.
 */
#include "fuzz.h"

#include <errno.h>
#include <string.h>

#include "books/endpoint_priv.h"
#include "books/resp_priv.h"
#include "books/rows_priv.h"

static void try_sockets(const char *text, size_t len)
{
    static const enum ebb_books_kind KINDS[] = {EBB_BOOKS_MYSQL, EBB_BOOKS_POSTGRES, EBB_BOOKS_REDIS};
    struct ebb_socket sockets[3];
    struct ebb_endpoint endpoints[2];
    size_t count = 0;

    count += ebb__socket_unix_line(text, len, &sockets[count]);
    count += ebb__socket_tcp_line(text, len, EBB_SOCKET_TCP4, &sockets[count]);
    count += ebb__socket_tcp_line(text, len, EBB_SOCKET_TCP6, &sockets[count]);
    for (size_t i = 0; i < count; i++)
        FUZZ_CHECK(memchr(sockets[i].path, '\0', sizeof(sockets[i].path)) != NULL);
    for (size_t k = 0; k < sizeof(KINDS) / sizeof(KINDS[0]); k++)
        FUZZ_CHECK(ebb__endpoint_choose(KINDS[k], sockets, count, true, endpoints, 2) <= count);
}

static void add(void *context, const char *name, size_t len, uint64_t number)
{
    uint64_t *sum = context;

    for (size_t i = 0; i < len; i++)
        *sum += (unsigned char)name[i];
    *sum += number;
}

static void try_reply(const char *text, size_t len)
{
    struct ebb_books books;
    struct ebb_resp reply;
    uint64_t sum = 0;
    int err = ebb__resp_pairs(text, len, add, &sum);

    FUZZ_CHECK(err == 0 || ((err == -EAGAIN || err == -EBADMSG) && sum == 0));
    err = ebb__resp_parse(text, len, &reply);

    FUZZ_CHECK(err == 0 || err == -EAGAIN || err == -EBADMSG);
    if (err == 0)
        FUZZ_CHECK(reply.text >= text && reply.len <= len && reply.text + reply.len <= text + len &&
                   reply.bytes <= len);
    ebb__rows_init(&books);
    books.kind = EBB_BOOKS_REDIS;
    ebb__rows_info(&books, text, len);
    FUZZ_CHECK(memchr(books.version, '\0', sizeof(books.version)) != NULL);
    FUZZ_CHECK(books.redis.used_bytes.known || books.redis.used_bytes.err != 0);
}

static void try_row(const char *text)
{
    static const char *const UNITS[] = {NULL, "", "8kB", "MB"};
    struct ebb_endpoint endpoint;
    char where[EBB_BOOKS_TEXT_BYTES], short_text[9];
    int64_t value;

    if (ebb__endpoint_parse(text, &endpoint) == NULL) {
        FUZZ_CHECK(endpoint.local ? endpoint.path[0] == '/' : true);
        ebb__endpoint_text(&endpoint, where);
        FUZZ_CHECK(strlen(where) < sizeof(where));
    }
    for (size_t i = 0; i < sizeof(UNITS) / sizeof(UNITS[0]); i++) {
        struct ebb_fact fact = ebb__rows_value(EBB_BOOKS_BYTES, text, UNITS[i]);

        FUZZ_CHECK(fact.known == (fact.err == 0));
    }
    ebb__rows_value(EBB_BOOKS_BYTES, "1", text);
    ebb__rows_signed(text, &value);
    ebb__rows_text(text, short_text, sizeof(short_text));
    FUZZ_CHECK(strlen(short_text) < sizeof(short_text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text;

    if (size == 0)
        return 0;
    /* A copy of its own length, with a NUL behind it where the function wants one. */
    text = malloc(size);
    FUZZ_CHECK(text != NULL);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    switch (data[0] % 3) {
    case 0:
        try_sockets((const char *)data + 1, size - 1);
        break;
    case 1:
        try_reply((const char *)data + 1, size - 1);
        break;
    default:
        try_row(text);
    }
    free(text);
    return 0;
}
