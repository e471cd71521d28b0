/* SPDX-License-Identifier: MIT
 *
 * Where a server is asked: what is given as --sql, and which of its sockets is chosen.
 */
#include "test_books.h"

#include "books/endpoint_priv.h"

static void test_given(void **state)
{
    static const struct {
        const char *text;
        const char *user;     /* NULL: none */
        const char *password; /* NULL: none */
        const char *where;
    } CASES[] = {
        {"/run/mysqld/mysqld.sock", NULL, NULL, "socket /run/mysqld/mysqld.sock"},
        {"ebb@/run/a b.sock", "ebb", NULL, "socket /run/a b.sock"},
        {"ebb:secret@/m.sock", "ebb", "secret", "socket /m.sock"},
        {"ebb:@/m.sock", "ebb", "", "socket /m.sock"},
        {"ebb:p@ss:w@rd@/m.sock", "ebb", "p@ss:w@rd", "socket /m.sock"},
        {"@/m.sock", NULL, NULL, "socket /m.sock"},
        {"127.0.0.1", NULL, NULL, "127.0.0.1:0"},
        {"127.0.0.1:3307", NULL, NULL, "127.0.0.1:3307"},
        {"localhost:3307", NULL, NULL, "127.0.0.1:3307"},
        {"ebb:a@10.1.2.3:1", "ebb", "a", "10.1.2.3:1"},
        {"::1", NULL, NULL, "[::1]:0"},
        {"[::1]:3306", NULL, NULL, "[::1]:3306"},
        {"[fe80::2]", NULL, NULL, "[fe80::2]:0"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct ebb_endpoint endpoint;
        char text[EBB_BOOKS_TEXT_BYTES];

        assert_null(ebb__endpoint_parse(CASES[i].text, &endpoint));
        assert_null(ebb__books_sql_check(CASES[i].text));
        assert_int_equal(endpoint.has_user, CASES[i].user != NULL);
        assert_string_equal(endpoint.user, CASES[i].user != NULL ? CASES[i].user : "");
        assert_int_equal(endpoint.has_password, CASES[i].password != NULL);
        assert_string_equal(endpoint.password, CASES[i].password != NULL ? CASES[i].password : "");
        assert_false(endpoint.found);
        ebb__endpoint_text(&endpoint, text);
        assert_string_equal(text, CASES[i].where);
    }
}

static void test_given_wrongly(void **state)
{
    static const char *const TEXTS[] = {
        "",
        "mysqld.sock",
        "db.example.org",
        "db.example.org:3306",
        "127.0.0.1:",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:3306x",
        "[::1",
        "[::1]3306",
        "[127.0.0.1]x",
        "1.2.3",
        "user@",
        "user:p@ss",
    };
    char longer[400], path[PATH_MAX + 10];
    struct ebb_endpoint endpoint;

    (void)state;
    for (size_t i = 0; i < sizeof(TEXTS) / sizeof(TEXTS[0]); i++)
        assert_non_null(ebb__books_sql_check(TEXTS[i]));
    snprintf(longer, sizeof(longer), "%0129d@/m.sock", 1);
    assert_string_equal(ebb__endpoint_parse(longer, &endpoint), "the user's name is too long");
    snprintf(longer, sizeof(longer), "u:%0129d@/m.sock", 1);
    assert_string_equal(ebb__endpoint_parse(longer, &endpoint), "the password is too long");
    snprintf(longer, sizeof(longer), "%0100d", 1);
    assert_non_null(ebb__endpoint_parse(longer, &endpoint));
    memset(path, 'a', sizeof(path));
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    assert_string_equal(ebb__endpoint_parse(path, &endpoint), "the socket's path is too long");
    /* What is said can be printed: it never repeats the password. */
    assert_null(strstr(ebb__endpoint_parse("u:secret@nowhere", &endpoint), "secret"));
}

#define LOCAL(name)                                                                                          \
    {                                                                                                        \
        .family = EBB_SOCKET_UNIX, .path = name                                                              \
    }
#define PORT(number, ...)                                                                                    \
    {                                                                                                        \
        .family = EBB_SOCKET_TCP4, .port = (number), .address = { __VA_ARGS__ }                              \
    }

static void check_choice(enum ebb_books_kind kind, const struct ebb_socket *sockets, size_t count,
                         bool same_network, const char *wanted)
{
    struct ebb_endpoint endpoints[3];
    char all[600] = "";
    size_t chosen = ebb__endpoint_choose(kind, sockets, count, same_network, endpoints, 3);

    for (size_t i = 0; i < chosen; i++) {
        char text[EBB_BOOKS_TEXT_BYTES];

        ebb__endpoint_text(&endpoints[i], text);
        assert_true(endpoints[i].found);
        snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i != 0 ? ", " : "", text);
    }
    assert_string_equal(all, wanted);
}

static void test_chosen(void **state)
{
    static const struct ebb_socket MYSQL8[] = {
        PORT(33060, 0),
        PORT(4567, 0),
        PORT(3306, 0),
        LOCAL("/run/mysqld/mysqlx.sock"),
        LOCAL("/run/mysqld/mysqld.sock"),
    };
    static const struct ebb_socket SOME[] = {PORT(3307, 127, 0, 0, 2), PORT(3306, 10, 0, 0, 1),
                                             LOCAL("@name")};
    static const struct ebb_socket POSTGRES[] = {
        PORT(5432, 127, 0, 0, 1), LOCAL("/run/postgresql/.s.PGSQL.5432"), LOCAL("/tmp/pooler")};
    static const struct ebb_socket REDIS6[] = {
        {.family = EBB_SOCKET_TCP6, .port = 6379, .address = {[15] = 1}},
        {.family = EBB_SOCKET_TCP6, .port = 6380},
        {.family = EBB_SOCKET_TCP6, .port = 6381, .address = {[10] = 0xff, 0xff, 127, 0, 0, 9}},
    };

    (void)state;
    check_choice(EBB_BOOKS_MYSQL, MYSQL8, 5, true, "socket /run/mysqld/mysqld.sock, 127.0.0.1:3306");
    check_choice(EBB_BOOKS_MARIADB, MYSQL8, 5, false, "socket /run/mysqld/mysqld.sock");
    check_choice(EBB_BOOKS_MARIADB, SOME, 3, true, "10.0.0.1:3306, 127.0.0.2:3307");
    check_choice(EBB_BOOKS_MARIADB, SOME, 3, false, "");
    check_choice(EBB_BOOKS_MARIADB, NULL, 0, true, "");
    check_choice(EBB_BOOKS_POSTGRES, POSTGRES, 3, true,
                 "socket /run/postgresql/.s.PGSQL.5432, 127.0.0.1:5432");
    check_choice(EBB_BOOKS_REDIS, REDIS6, 3, true, "[::1]:6379, 127.0.0.1:6380, 127.0.0.9:6381");
}

static void test_kinds(void **state)
{
    (void)state;
    assert_int_equal(ebb__books_kind_of("mariadbd"), EBB_BOOKS_MARIADB);
    assert_int_equal(ebb__books_kind_of("mysqld"), EBB_BOOKS_MYSQL);
    assert_int_equal(ebb__books_kind_of("postgres"), EBB_BOOKS_POSTGRES);
    assert_int_equal(ebb__books_kind_of("redis-server"), EBB_BOOKS_REDIS);
    assert_int_equal(ebb__books_kind_of("redis-cli"), EBB_BOOKS_NONE);
    assert_int_equal(ebb__books_kind_of(""), EBB_BOOKS_NONE);
    assert_null(ebb__books_kind_name(EBB_BOOKS_NONE));
    assert_string_equal(ebb__books_kind_name(EBB_BOOKS_REDIS), "Redis");
}

static void test_messages(void **state)
{
    struct ebb_endpoint endpoint = {.local = true, .path = "/run/mysqld/mysqld.sock"};
    struct ebb_reach reach = {.dir = "/proc/self/fd/7", .path = "/proc/self/fd/7/mysqld.sock"};
    char why[EBB_BOOKS_WHY_BYTES] = "cannot connect to '/proc/self/fd/7/mysqld.sock' (2)";

    (void)state;
    ebb__endpoint_say(&endpoint, &reach, why);
    assert_string_equal(why, "cannot connect to '/run/mysqld/mysqld.sock' (2)");
    ebb__endpoint_say(&endpoint, &reach, why);
    assert_string_equal(why, "cannot connect to '/run/mysqld/mysqld.sock' (2)");
    /* A message that is full stays within its bytes. */
    memset(why, 'x', sizeof(why));
    memcpy(why, "/proc/self/fd/7", 15);
    why[sizeof(why) - 1] = '\0';
    memset(endpoint.path + 1, 'y', 1000);
    memcpy(endpoint.path + 1001, "/z", 3);
    ebb__endpoint_say(&endpoint, &reach, why);
    assert_int_equal(strlen(why), sizeof(why) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_given), cmocka_unit_test(test_given_wrongly), cmocka_unit_test(test_chosen),
        cmocka_unit_test(test_kinds), cmocka_unit_test(test_messages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
