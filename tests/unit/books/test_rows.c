/* SPDX-License-Identifier: MIT
 *
 * From answers to facts, over result sets as text. Those of MySQL 8.0 are written from its manual: Debian has no such server to
 * ask.
 */
#include "test_books.h"

#include "books/rows_priv.h"

/* "name\tvalue\n" as a client prints a result with -B -N. */
static void take_text(struct ebb_books *books, enum ebb_books_source source, const char *text)
{
    char *copy = strdup(text), *rest = copy, *line;

    assert_non_null(copy);
    while ((line = strsep(&rest, "\n")) != NULL) {
        char *name = strsep(&line, "\t");
        char *value = strsep(&line, "\t");

        ebb__rows_take(books, source, name, value, line);
    }
    free(copy);
    ebb__rows_mark(books, source, -ENODATA);
}

static const char MYSQL_VARIABLES[] = "connection_memory_limit\t18446744073709551615\n"
                                      "global_connection_memory_limit\t18446744073709551615\n"
                                      "innodb_adaptive_hash_index\tON\n"
                                      "innodb_buffer_pool_chunk_size\t134217728\n"
                                      "innodb_buffer_pool_instances\t8\n"
                                      "innodb_buffer_pool_size\t1073741824\n"
                                      "innodb_log_buffer_size\t16777216\n"
                                      "innodb_page_size\t16384\n"
                                      "key_buffer_size\t8388608\n"
                                      "large_pages\tOFF\n"
                                      "max_connections\t151\n"
                                      "performance_schema\tON\n"
                                      "temptable_max_mmap\t1073741824\n"
                                      "temptable_max_ram\t1073741824\n"
                                      "thread_stack\t1048576\n"
                                      "version\t8.0.36\n"
                                      "version_comment\tMySQL Community Server - GPL\n"
                                      "some_variable_of_a_plugin\t17\n";

static const char MYSQL_STATUS[] = "Global_connection_memory\t0\n"
                                   "Innodb_buffer_pool_bytes_data\t17678336\n"
                                   "Innodb_buffer_pool_bytes_dirty\t0\n"
                                   "Innodb_buffer_pool_pages_data\t1079\n"
                                   "Innodb_buffer_pool_pages_free\t7113\n"
                                   "Innodb_buffer_pool_pages_misc\t18446744073709551615\n"
                                   "Innodb_buffer_pool_pages_total\t8192\n"
                                   "Innodb_buffer_pool_resize_status\tCompleted resizing buffer pool at 1.\n"
                                   "Threads_connected\tseveral\n"
                                   "Uptime\t42\n"
                                   "Uptime\t43\n";

static void test_mysql8(void **state)
{
    struct ebb_books books;

    (void)state;
    ebb__rows_init(&books);
    books.kind = EBB_BOOKS_MYSQL;
    take_text(&books, EBB_BOOKS_VARIABLE, MYSQL_VARIABLES);
    assert_int_equal(books.mysql.pool_size_bytes.value, 1 << 30);
    assert_int_equal(books.mysql.pool_instances.value, 8);
    assert_int_equal(books.mysql.temptable_max_ram_bytes.value, 1 << 30);
    assert_true(books.mysql.connection_memory_limit_bytes.value == UINT64_MAX);
    assert_true(books.mysql.adaptive_hash.known && books.mysql.adaptive_hash.value == 1);
    assert_true(books.mysql.large_pages.known && books.mysql.large_pages.value == 0);
    assert_string_equal(books.version, "8.0.36");
    assert_string_equal(books.product, "MySQL Community Server - GPL");
    assert_string_equal(books.malloc_library, "");
    /* What was not asked yet, and what MariaDB alone has. */
    assert_int_equal(books.mysql.pool_data_bytes.err, -ENOTCONN);
    assert_string_equal(ebb__books_why(&books, &books.mysql.aria_cache_bytes),
                        "MariaDB has it, MySQL does not");
    assert_string_equal(ebb__books_why(&books, &books.mysql.query_cache_bytes),
                        "this version of the server does not have it");
    assert_string_equal(ebb__books_why(&books, &books.mysql.pool_data_bytes), "the server was not asked");
    take_text(&books, EBB_BOOKS_STATUS, MYSQL_STATUS);
    assert_int_equal(books.mysql.pool_data_bytes.value, 17678336);
    assert_true(books.mysql.pool_dirty_bytes.known);
    assert_true(books.mysql.pool_misc_pages.value == UINT64_MAX);
    assert_string_equal(books.state, "Completed resizing buffer pool at 1.");
    assert_false(books.mysql.threads_connected.known);
    assert_string_equal(ebb__books_why(&books, &books.mysql.threads_connected),
                        "what the server says is no number");
    assert_int_equal(books.mysql.uptime_s.value, 42);
    assert_string_equal(ebb__books_why(&books, &books.mysql.memory_used_bytes),
                        "MariaDB has it, MySQL does not");
}

static void test_failure_has_its_reason(void **state)
{
    struct ebb_books books;

    (void)state;
    ebb__rows_init(&books);
    books.kind = EBB_BOOKS_MARIADB;
    ebb__rows_take(&books, EBB_BOOKS_STATUS, "Uptime", "5", NULL);
    snprintf(books.why, sizeof(books.why), "SHOW GLOBAL: the server did not answer in time");
    ebb__rows_mark(&books, EBB_BOOKS_STATUS, -ETIMEDOUT);
    assert_true(books.mysql.uptime_s.known);
    assert_int_equal(books.mysql.open_tables.err, -ETIMEDOUT);
    assert_string_equal(ebb__books_why(&books, &books.mysql.open_tables), books.why);
    assert_int_equal(books.mysql.pool_size_bytes.err, -ENOTCONN);
    assert_string_equal(ebb__books_why(&books, &books.mysql.pool_size_bytes), books.why);
}

static void test_postgres(void **state)
{
    struct ebb_books books;

    (void)state;
    ebb__rows_init(&books);
    books.kind = EBB_BOOKS_POSTGRES;
    take_text(
        &books, EBB_BOOKS_SETTING,
        "autovacuum_work_mem\t-1\tkB\nblock_size\t8192\nmax_connections\t100\t\nshared_buffers\t16384\t8kB\n"
        "shared_memory_size\t143\tMB\nwork_mem\t4096\tkB\ntemp_buffers\t1024\tfurlong\n");
    assert_int_equal(books.postgres.shared_buffers_bytes.value, 128 << 20);
    assert_int_equal(books.postgres.shared_memory_bytes.value, 143 << 20);
    assert_int_equal(books.postgres.work_mem_bytes.value, 4 << 20);
    assert_int_equal(books.postgres.page_bytes.value, 8192);
    assert_int_equal(books.postgres.max_connections.value, 100);
    assert_int_equal(books.postgres.autovacuum_work_mem_bytes.err, -ERANGE);
    assert_int_equal(books.postgres.temp_buffers_bytes.err, -EBADMSG);
    assert_int_equal(books.postgres.wal_buffers_bytes.err, -ENODATA);
    take_text(&books, EBB_BOOKS_VALUE, "uptime_s\t77\n");
    assert_int_equal(books.postgres.uptime_s.value, 77);
}

static void test_values(void **state)
{
    static const struct {
        enum ebb_books_unit kind;
        const char *value, *unit;
        int err;
        uint64_t number;
    } CASES[] = {
        {EBB_BOOKS_COUNT, "0", NULL, 0, 0},
        {EBB_BOOKS_BYTES, "18446744073709551615", NULL, 0, UINT64_MAX},
        {EBB_BOOKS_BYTES, "18446744073709551616", NULL, -EBADMSG, 0},
        {EBB_BOOKS_BYTES, "18014398509481984", "MB", -EBADMSG, 0},
        {EBB_BOOKS_BYTES, "1.5", NULL, -EBADMSG, 0},
        {EBB_BOOKS_BYTES, "", NULL, -EBADMSG, 0},
        {EBB_BOOKS_BYTES, "-3", NULL, -ERANGE, 0},
        {EBB_BOOKS_BYTES, "3", "B", 0, 3},
        {EBB_BOOKS_BYTES, "3", "16kBx", -EBADMSG, 0},
        {EBB_BOOKS_SECONDS, "60", "s", 0, 60},
        {EBB_BOOKS_BOOL, "ON", NULL, 0, 1},
        {EBB_BOOKS_BOOL, "no", NULL, 0, 0},
        {EBB_BOOKS_BOOL, "DEMAND", NULL, -EBADMSG, 0},
    };
    int64_t value = 5;

    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct ebb_fact fact = ebb__rows_value(CASES[i].kind, CASES[i].value, CASES[i].unit);

        assert_int_equal(fact.err, CASES[i].err);
        assert_int_equal(fact.known, CASES[i].err == 0);
        assert_true(!fact.known || fact.value == CASES[i].number);
    }
    assert_true(ebb__rows_signed("-9223372036854775807", &value) && value == -INT64_MAX);
    assert_false(ebb__rows_signed("9223372036854775808", &value));
    assert_false(ebb__rows_signed(NULL, &value));
    assert_false(ebb__rows_signed("-", &value));
    assert_false(ebb__rows_signed("1 ", &value));
    assert_true(value == -INT64_MAX);
}

static void test_names(void **state)
{
    char text[8192];
    size_t count;
    const struct ebb_books_row *rows = ebb__books_rows(EBB_BOOKS_MARIADB, &count);

    (void)state;
    assert_true(ebb__rows_names(EBB_BOOKS_MARIADB, EBB_BOOKS_STATUS, text, sizeof(text)));
    for (size_t i = 0; i < count; i++) {
        char quoted[100];

        snprintf(quoted, sizeof(quoted), "'%s'", rows[i].key);
        assert_int_equal(strstr(text, quoted) != NULL, rows[i].source == EBB_BOOKS_STATUS);
        /* They go into a statement as they are. */
        assert_null(strpbrk(rows[i].key, "'\\"));
    }
    assert_null(strstr(text, "''"));
    assert_null(strstr(text, ",,"));
    assert_false(ebb__rows_names(EBB_BOOKS_MARIADB, EBB_BOOKS_STATUS, text, 100));
    assert_null(ebb__books_rows(EBB_BOOKS_NONE, &count));
    assert_int_equal(count, 0);
}

static void test_texts(void **state)
{
    char text[8];

    (void)state;
    ebb__rows_text("plain", text, sizeof(text));
    assert_string_equal(text, "plain");
    ebb__rows_text("a\nb\t\n", text, sizeof(text));
    assert_string_equal(text, "a b");
    ebb__rows_text("1234567890", text, sizeof(text));
    assert_string_equal(text, "1234567");
    /* Not half of a character of two bytes. */
    ebb__rows_text("123456\xc3\xa4", text, sizeof(text));
    assert_string_equal(text, "123456");
    ebb__rows_text("", text, sizeof(text));
    assert_string_equal(text, "");
}

static void test_lists(void **state)
{
    struct ebb_books books;

    (void)state;
    ebb__rows_init(&books);
    for (int i = 0; i < EBB_BOOKS_ITEMS_MAX + 5; i++) {
        struct ebb_books_item item = {.bytes = i % 2 == 0 ? i : -i};

        snprintf(item.name, sizeof(item.name), "memory/%d", i);
        assert_true(ebb__rows_add_item(&books.items, &item));
    }
    for (int i = 0; i < 100; i++) {
        struct ebb_books_session session = {.id = (uint64_t)(100 - i), .bytes_known = i != 3, .bytes = i / 2};

        assert_true(ebb__rows_add_session(&books.sessions, &session));
    }
    ebb__rows_sort(&books);
    assert_int_equal(books.items.count, EBB_BOOKS_ITEMS_MAX);
    assert_int_equal(books.items.total_count, EBB_BOOKS_ITEMS_MAX + 5);
    assert_int_equal(books.items.total_bytes, (EBB_BOOKS_ITEMS_MAX + 4) / 2);
    assert_int_equal(books.items.items[0].bytes, -(EBB_BOOKS_ITEMS_MAX - 1));
    assert_int_equal(books.items.items[1].bytes, EBB_BOOKS_ITEMS_MAX - 2);
    for (size_t i = 1; i < books.sessions.count; i++)
        assert_true(books.sessions.sessions[i - 1].bytes >= books.sessions.sessions[i].bytes);
    assert_int_equal(books.sessions.sessions[0].id, 1);
    assert_int_equal(books.sessions.total_bytes, 2450 - 1);
    ebb__books_fini(&books);
    ebb__books_fini(&books);
}

static void test_sums_do_not_wrap(void **state)
{
    struct ebb_books books;
    struct ebb_books_item item = {.bytes = INT64_MAX};

    (void)state;
    ebb__rows_init(&books);
    assert_true(ebb__rows_add_item(&books.items, &item) && ebb__rows_add_item(&books.items, &item));
    assert_true(books.items.total_bytes == INT64_MAX);
    ebb__books_fini(&books);
}

static void test_info(void **state)
{
    static const char TEXT[] =
        "# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.0.1\r\n"
        "uptime_in_seconds:9\r\n\r\n# Memory\r\nused_memory:941624\r\nused_memory_rss:1223\r\n"
        "maxmemory:0\r\nmem_fragmentation_bytes:-5\r\nmem_allocator:libc\r\n"
        "used_memory_peak:1.5\r\nrdb_bgsave_in_progress:1\r\nused_memory_startup:12";
    struct ebb_books books;

    (void)state;
    ebb__rows_init(&books);
    books.kind = EBB_BOOKS_REDIS;
    assert_int_equal(ebb__rows_info(&books, TEXT, strlen(TEXT)), 0);
    assert_string_equal(books.version, "8.0.1");
    assert_string_equal(books.product, "valkey");
    assert_string_equal(books.malloc_library, "libc");
    assert_int_equal(books.redis.used_bytes.value, 941624);
    assert_int_equal(books.redis.rss_bytes.value, 1223);
    assert_true(books.redis.max_bytes.known && books.redis.max_bytes.value == 0);
    assert_int_equal(books.redis.save_running.value, 1);
    assert_int_equal(books.redis.used_peak_bytes.err, -EBADMSG);
    /* A last line without an end may be half of one. */
    assert_int_equal(books.redis.used_startup_bytes.err, -ENODATA);
    ebb__rows_init(&books);
    books.kind = EBB_BOOKS_REDIS;
    assert_int_equal(ebb__rows_info(&books, "# only\r\nheadings", 16), -EBADMSG);
    assert_int_equal(ebb__rows_info(&books, "used_memory:7\r\n", 15), -EBADMSG);
    assert_int_equal(books.redis.used_bytes.err, -ENOTCONN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mysql8),   cmocka_unit_test(test_failure_has_its_reason),
        cmocka_unit_test(test_postgres), cmocka_unit_test(test_values),
        cmocka_unit_test(test_names),    cmocka_unit_test(test_texts),
        cmocka_unit_test(test_lists),    cmocka_unit_test(test_sums_do_not_wrap),
        cmocka_unit_test(test_info),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
