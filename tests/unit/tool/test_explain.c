/* SPDX-License-Identifier: MIT
 *
 * Accounts by a server's own books, of facts as servers and kernels give them, and where the two do not fit.
 */
#include "../../support.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tool/explain.h"

#define MIB (UINT64_C(1) << 20)

static struct ebb_target target = {.pid = 1, .root = ""};
static struct ebb_explain_facts facts;
static struct ebb_account account;
static struct ebb_books_item items[20];

static int64_t bytes_of(const char *key)
{
    const struct ebb_account_row *row = ebb__account_find(&account, key);

    if (row == NULL || !row->known)
        fail_msg("%s: %s", key, row == NULL ? "no such row" : row->why);
    return row->bytes;
}

static bool has(const char *key)
{
    return ebb__account_find(&account, key) != NULL;
}

static void make_redis(void)
{
    struct ebb_books_redis *redis = &facts.books.redis;

    memset(&facts, 0, sizeof(facts));
    facts.target = &target;
    facts.books.kind = EBB_BOOKS_REDIS;
    facts.books.answered = true;
    facts.heap.source = "somebody";
    facts.heap.live = ebb__fact(100 * MIB);
    facts.heap.mapped = ebb__fact(0);
    facts.heap.apart = true;
    redis->used_bytes = ebb__fact(90 * MIB);
    redis->used_dataset_bytes = ebb__fact(70 * MIB);
    redis->used_overhead_bytes = ebb__fact(20 * MIB);
    redis->used_startup_bytes = ebb__fact(1 * MIB);
    redis->hashtables_bytes = ebb__fact(12 * MIB);
    redis->clients_bytes = ebb__fact(3 * MIB);
    redis->replicas_bytes = ebb__fact(0);
    redis->aof_buffer_bytes = ebb__fact_unknown(-ENODATA);
}

static void redis_in_the_heap(void **state)
{
    (void)state;
    make_redis();
    assert_true(ebb__explain_live(&facts, &account));
    assert_null(ebb__account_check(&account));
    assert_int_equal(bytes_of("live"), 100 * MIB);
    assert_int_equal(bytes_of("nobody"), 10 * MIB);
    assert_int_equal(bytes_of("used_rest"), 0);
    assert_int_equal(bytes_of("hashtables"), 12 * MIB);
    assert_int_equal(bytes_of("overhead_rest"), 4 * MIB);
    /* What is nothing, or not known, is no row. */
    assert_false(has("replicas"));
    assert_false(has("aof_buffer"));
    assert_string_equal(ebb__account_find(&account, "hashtables")->source, "MEMORY STATS");
}

static void redis_of_another_moment(void **state)
{
    (void)state;
    make_redis();
    facts.books.redis.used_bytes = ebb__fact(101 * MIB);
    facts.books.redis.clients_bytes = ebb__fact(9 * MIB);
    assert_true(ebb__explain_live(&facts, &account));
    assert_null(ebb__account_check(&account));
    assert_int_equal(ebb__account_find(&account, "nobody")->over_bytes, MIB);
    assert_int_equal(ebb__account_find(&account, "overhead_rest")->over_bytes, 2 * MIB);
    assert_int_equal(bytes_of("used_rest"), 11 * MIB);
    for (unsigned i = 0; i < account.count; i++)
        assert_true(account.rows[i].bytes >= 0);
    /* Without either side there is no account. */
    facts.heap.live = ebb__fact_unknown(-EACCES);
    assert_false(ebb__explain_live(&facts, &account));
    make_redis();
    facts.books.redis.used_bytes = ebb__fact_unknown(-EACCES);
    assert_false(ebb__explain_live(&facts, &account));
}

static void add_item(const char *name, struct ebb_fact offset, uint64_t bytes)
{
    struct ebb_books_items *list = &facts.books.items;

    items[list->count] = (struct ebb_books_item){.bytes = (int64_t)bytes, .offset = offset};
    snprintf(items[list->count].name, sizeof(items[0].name), "%s", name);
    list->items = items;
    list->count++;
    list->total_bytes += (int64_t)bytes;
}

static void look(enum ebb_vma_class vma_class, uint64_t start, uint64_t bytes, uint64_t rss)
{
    struct ebb_maps_row row = {.map = {.start = start, .end = start + bytes},
                               .verdict = {.vma_class = vma_class}};

    row.facts[EBB_SMAPS_RSS] = ebb__fact(rss);
    row.facts[EBB_SMAPS_PSS] = ebb__fact(rss / 2);
    ebb__explain_segment_look(&facts, &row);
}

static void make_postgres(void)
{
    struct ebb_books_postgres *postgres = &facts.books.postgres;

    memset(&facts, 0, sizeof(facts));
    facts.target = &target;
    facts.books.kind = EBB_BOOKS_POSTGRES;
    facts.books.answered = true;
    facts.books.items.known = true;
    add_item("Buffer Blocks", ebb__fact(8 * MIB), 64 * MIB);
    add_item("<anonymous>", ebb__fact_unknown(-ENODATA), 5 * MIB);
    add_item("XLOG Ctl", ebb__fact(1 * MIB), 3 * MIB);
    add_item("Buffer Descriptors", ebb__fact(4 * MIB), 1 * MIB);
    postgres->shared_buffers_bytes = ebb__fact(64 * MIB);
    postgres->wal_buffers_bytes = ebb__fact(2 * MIB);
    postgres->page_bytes = ebb__fact(8192);
    postgres->buffers_used = ebb__fact(1000);
    postgres->buffers_dirty = ebb__fact(100);
}

static void shared_memory_by_size(void **state)
{
    (void)state;
    make_postgres();
    look(EBB_VMA_CLASS_SHARED, 0x1000, 70 * MIB, 1 * MIB);
    look(EBB_VMA_CLASS_FILE, 0x2000, 73 * MIB, 1 * MIB);
    look(EBB_VMA_CLASS_SHARED, 0x3000, 73 * MIB + 4096, 20 * MIB);
    look(EBB_VMA_CLASS_SYSV, 0x4000, 4096, 4096);
    assert_true(facts.segment.found);
    assert_int_equal(facts.segment.start, 0x3000);
    assert_true(ebb__explain_segment(&facts, &account));
    assert_null(ebb__account_check(&account));
    assert_int_equal(bytes_of("shared"), 73 * MIB + 4096);
    assert_int_equal(bytes_of("shared_buffers"), 64 * MIB);
    assert_int_equal(bytes_of("used"), 1000 * 8192);
    assert_int_equal(bytes_of("dirty"), 100 * 8192);
    assert_int_equal(bytes_of("clean"), 900 * 8192);
    assert_int_equal(bytes_of("free"), 64 * MIB - 1000 * 8192);
    assert_int_equal(bytes_of("wal_rest"), 1 * MIB);
    assert_int_equal(bytes_of("other_names"), 0);
    assert_int_equal(bytes_of("shared_rest"), 4096);
    assert_int_equal(bytes_of("resident_here"), 20 * MIB);
    /* Of what is resident here, pages were not counted: the mapping is one row, and the others another. */
    ebb__account_init(&account, "resident", "resident memory", "status", ebb__fact(30 * MIB));
    ebb__account_add(&account, 1, "shared", "shared memory", "smaps", ebb__fact(21 * MIB + 4096));
    assert_true(ebb__explain_shared(&facts, &account));
    ebb__account_rest(&account, 1, "unattributed", "unattributed");
    assert_null(ebb__account_check(&account));
    assert_int_equal(bytes_of("segment"), 20 * MIB);
    assert_int_equal(bytes_of("other_shared"), 1 * MIB + 4096);
    assert_int_equal(bytes_of("rest"), 0);
}

static void shared_memory_without_names(void **state)
{
    (void)state;
    make_postgres();
    facts.books.items.known = false;
    facts.books.postgres.shared_memory_bytes = ebb__fact(74 * MIB);
    facts.books.postgres.buffers_used = ebb__fact_unknown(-ENODATA);
    look(EBB_VMA_CLASS_SHARED, 0x1000, 72 * MIB, 1 * MIB);
    assert_false(facts.segment.found);
    assert_false(ebb__explain_segment(&facts, &account));
    look(EBB_VMA_CLASS_HUGETLB, 0x2000, 74 * MIB, 0);
    assert_true(facts.segment.found && facts.segment.huge_pages);
    assert_true(ebb__explain_segment(&facts, &account));
    assert_null(ebb__account_check(&account));
    assert_int_equal(bytes_of("shared_buffers"), 64 * MIB);
    assert_false(has("used"));
    assert_int_equal(bytes_of("shared_rest"), 8 * MIB);
    /* Huge pages are in no RSS. */
    assert_false(ebb__explain_shared(&facts, &account));
}

static void buffers_that_do_not_fit(void **state)
{
    (void)state;
    make_postgres();
    facts.books.postgres.buffers_dirty = ebb__fact(1001);
    facts.books.postgres.wal_buffers_bytes = ebb__fact(4 * MIB);
    look(EBB_VMA_CLASS_SHARED, 0x3000, 73 * MIB, 20 * MIB);
    assert_true(ebb__explain_segment(&facts, &account));
    assert_null(ebb__account_check(&account));
    assert_int_equal(ebb__account_find(&account, "clean")->over_bytes, 8192);
    assert_int_equal(ebb__account_find(&account, "wal_rest")->over_bytes, MIB);
}

static void innodb(enum ebb_vma_class vma_class, uint64_t start, uint64_t bytes)
{
    struct ebb_maps_row row = {.map = {.start = start, .end = start + bytes},
                               .verdict = {.vma_class = vma_class}};

    ebb__explain_innodb_look(&facts, &row);
}

/* Upstream's Redis, Debian's, one on another allocator than it thinks, and one that was built without jemalloc. */
static void what_jemalloc_has_told(void **state)
{
    static const struct {
        const char *serves;
        const char *library;
        uint64_t allocated;
        bool told;
    } CASES[] = {
        {"jemalloc", "jemalloc-5.3.0", 95, true},
        {"glibc", "jemalloc-5.2.1", 95, true},
        {"ebb", "jemalloc-5.3.0", 95, false},
        {"jemalloc", "jemalloc-5.3.0", 40, false},
        {"glibc", "libc", 95, false},
        {"jemalloc", "jemalloc-5.3.0", 100, false},
    };
    struct ebb_proc_allocator allocator;

    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        make_redis();
        facts.heap = (struct ebb_explain_heap){0};
        facts.allocator = &allocator;
        snprintf(allocator.name, sizeof(allocator.name), "%s", CASES[i].serves);
        snprintf(facts.books.malloc_library, sizeof(facts.books.malloc_library), "%s", CASES[i].library);
        facts.books.redis.allocator_allocated_bytes = ebb__fact(CASES[i].allocated * MIB);
        facts.books.redis.allocator_active_bytes = ebb__fact(97 * MIB);
        facts.books.redis.allocator_resident_bytes = ebb__fact(110 * MIB);
        ebb__explain_told(&facts);
        assert_int_equal(facts.heap.source != NULL, CASES[i].told);
        if (!CASES[i].told)
            continue;
        assert_true(facts.heap.apart);
        assert_true(facts.heap.live.value == 95 * MIB && facts.heap.fragments.value == 2 * MIB &&
                    facts.heap.most.value == 110 * MIB);
        assert_true(ebb__explain_live(&facts, &account));
        assert_int_equal(bytes_of("nobody"), 5 * MIB);
    }
    facts.allocator = NULL;
}

static void make_pool(void)
{
    struct ebb_books_mysql *mysql = &facts.books.mysql;

    memset(&facts, 0, sizeof(facts));
    facts.books.kind = EBB_BOOKS_MARIADB;
    mysql->pool_size_bytes = ebb__fact(128 * MIB);
    mysql->page_bytes = ebb__fact(16384);
    mysql->pool_total_pages = ebb__fact(8064);
    mysql->pool_data_bytes = ebb__fact(10 * MIB);
    mysql->pool_misc_pages = ebb__fact(0);
    mysql->pool_size_max_bytes = ebb__fact(1024 * MIB);
    ebb__account_init(&account, "resident", "resident memory", "smaps", ebb__fact(50 * MIB));
    ebb__account_add(&account, 1, "pool", "a pool", "smaps", ebb__fact(40 * MIB));
}

static void divide_pool(void)
{
    ebb__explain_pool(&facts, &account);
    ebb__account_rest(&account, 1, "unattributed", "unattributed");
    assert_null(ebb__account_check(&account));
}

static void a_pool_among_large_mappings(void **state)
{
    const uint64_t top = UINT64_C(1) << 40;

    (void)state;
    make_pool();
    innodb(EBB_VMA_CLASS_POOL, top - 500 * MIB, 100 * MIB);
    innodb(EBB_VMA_CLASS_RESERVED, top - 400 * MIB, 100 * MIB);
    assert_false(facts.innodb.found);
    /* Too small in front, and too little behind. */
    innodb(EBB_VMA_CLASS_POOL, top - 100 * MIB, 100 * MIB);
    innodb(EBB_VMA_CLASS_RESERVED, top, 1024 * MIB);
    assert_false(facts.innodb.found);
    innodb(EBB_VMA_CLASS_POOL, top - 160 * MIB, 160 * MIB);
    innodb(EBB_VMA_CLASS_RESERVED, top, 1024 * MIB - 128 * MIB - 4096);
    assert_false(facts.innodb.found);
    innodb(EBB_VMA_CLASS_POOL, top - 160 * MIB, 160 * MIB);
    innodb(EBB_VMA_CLASS_RESERVED, top, 1024 * MIB - 128 * MIB);
    assert_true(facts.innodb.found);
    assert_true(facts.innodb.start == top - 128 * MIB && facts.innodb.bytes == 128 * MIB);
    facts.innodb.rss = ebb__fact(20 * MIB);
    divide_pool();
    assert_int_equal(bytes_of("innodb"), 20 * MIB);
    assert_int_equal(bytes_of("pool_rest"), 8 * MIB);
    assert_int_equal(bytes_of("pool_others"), 20 * MIB);
}

static void descriptors_of_a_pool(void **state)
{
    (void)state;
    make_pool();
    divide_pool();
    assert_int_equal(bytes_of("pool_descriptors"), 2 * MIB);
    assert_int_equal(bytes_of("pool_rest"), 28 * MIB);
    /* A pool that has them beside its pages, one that is just being made smaller, and one that does not say. */
    make_pool();
    facts.books.mysql.pool_total_pages = ebb__fact(8192);
    divide_pool();
    assert_false(has("pool_descriptors"));
    make_pool();
    facts.books.mysql.pool_total_pages = ebb__fact(4000);
    divide_pool();
    assert_false(has("pool_descriptors"));
    make_pool();
    facts.books.mysql.pool_total_pages = ebb__fact_unknown(-ENODATA);
    divide_pool();
    assert_false(has("pool_descriptors"));
    assert_null(ebb__account_check(&account));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(redis_in_the_heap),       cmocka_unit_test(redis_of_another_moment),
        cmocka_unit_test(shared_memory_by_size),   cmocka_unit_test(shared_memory_without_names),
        cmocka_unit_test(buffers_that_do_not_fit), cmocka_unit_test(descriptors_of_a_pool),
        cmocka_unit_test(what_jemalloc_has_told),  cmocka_unit_test(a_pool_among_large_mappings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
