/* SPDX-License-Identifier: MIT
 *
 * Accounts by the server's own books; see explain.h.
 *
 * Servers count what was asked for, not what is resident, and each leaves something out. What is live in the heap and in nobody's books is
 * the rest: memory of libraries, of what has no instrument, and what blocks take beyond what was asked for.
 */
#include <errno.h>
#include <string.h>

#include "tool/explain.h"

/* Of a list of names so many are rows of their own. */
#define ITEMS_SHOWN 10

static struct ebb_fact times(struct ebb_fact pages, struct ebb_fact page_bytes)
{
    if (!pages.known || !page_bytes.known)
        return pages.known ? page_bytes : pages;
    return ebb__fact(pages.value * page_bytes.value);
}

static void add_known(struct ebb_account *account, unsigned depth, const char *key, const char *name,
                      const char *source, struct ebb_fact bytes)
{
    if (bytes.known && bytes.value != 0)
        ebb__account_add(account, depth, key, name, source, bytes);
}

/* No server has more than this share of its pool in descriptors; a larger difference is a pool whose size is just being changed. */
#define DESCRIPTORS_SHARE_MAX 8

/* MariaDB since 10.11.12 counts the descriptors of pages in the size of the pool: what its pages do not take. Others have them beside. */
static struct ebb_fact descriptors_of(const struct ebb_books_mysql *mysql)
{
    struct ebb_fact pages = times(mysql->pool_total_pages, mysql->page_bytes);
    struct ebb_fact size = mysql->pool_size_bytes;

    if (!pages.known || !size.known || pages.value >= size.value ||
        size.value - pages.value > size.value / DESCRIPTORS_SHARE_MAX)
        return ebb__fact_unknown(-ENODATA);
    return ebb__fact(size.value - pages.value);
}

void ebb__explain_innodb_look(struct ebb_explain_facts *facts, const struct ebb_maps_row *row)
{
    struct ebb_explain_innodb *innodb = &facts->innodb;
    const struct ebb_books_mysql *mysql = &facts->books.mysql;
    uint64_t size = ebb__fact_or(mysql->pool_size_bytes, 0);
    uint64_t most = ebb__fact_or(mysql->pool_size_max_bytes, 0);

    if (row->verdict.vma_class == EBB_VMA_CLASS_POOL) {
        innodb->large_start = row->map.start;
        innodb->large_end = row->map.end;
    } else if (facts->books.kind == EBB_BOOKS_MARIADB && row->verdict.vma_class == EBB_VMA_CLASS_RESERVED &&
               row->map.start == innodb->large_end && size != 0 && most > size &&
               size <= innodb->large_end - innodb->large_start &&
               row->map.end - row->map.start >= most - size) {
        /* What lies below it in the same mapping is other memory, which the kernel has merged with it. */
        innodb->found = true;
        innodb->start = innodb->large_end - size;
        innodb->bytes = size;
    }
}

void ebb__explain_innodb_count(struct ebb_explain_facts *facts)
{
    struct ebb_explain_innodb *innodb = &facts->innodb;
    struct ebb_pages pages;
    int err;

    if (!innodb->found)
        return;
    err = ebb__pages_open(&pages, facts->target->root, facts->target->pid, false);
    innodb->rss = ebb__fact_unknown(err);
    if (err != 0)
        return;
    innodb->rss = ebb__explain_resident_in(&pages, innodb->start, innodb->start + innodb->bytes);
    ebb__pages_close(&pages);
}

void ebb__explain_pool(const struct ebb_explain_facts *facts, struct ebb_account *account)
{
    static const char STATUS[] = "SHOW GLOBAL STATUS";
    const struct ebb_books *books = &facts->books;
    const struct ebb_books_mysql *mysql = &books->mysql;
    struct ebb_fact descriptors = descriptors_of(mysql);
    bool found = facts->innodb.found && facts->innodb.rss.known;
    unsigned depth = found ? 3 : 2;

    if ((books->kind != EBB_BOOKS_MARIADB && books->kind != EBB_BOOKS_MYSQL) || !mysql->pool_data_bytes.known)
        return;
    if (found)
        ebb__account_add(account, 2, "innodb", "the buffer pool of InnoDB",
                         "innodb_buffer_pool_size, /proc/PID/pagemap", facts->innodb.rss);
    ebb__account_add(account, depth, "pool_data", "pages with data", STATUS, mysql->pool_data_bytes);
    add_known(account, depth, "pool_misc", "pages for locks and the adaptive hash", STATUS,
              times(mysql->pool_misc_pages, mysql->page_bytes));
    add_known(account, depth, "pool_descriptors", "descriptors of all pages", "SHOW GLOBAL STATUS, VARIABLES",
              descriptors);
    ebb__account_rest(account, depth, "pool_rest",
                      !found ? "descriptors of pages, free pages that were touched, others' memory"
                      : descriptors.known ? "free pages that were touched"
                                          : "descriptors of pages, and free pages that were touched");
    if (found)
        ebb__account_rest(account, 2, "pool_others", "other large anonymous memory");
}

/* An allocator of which nothing but its own figures is known. Upstream's Redis has a jemalloc of its own beside the C library's malloc. */
static bool is_told(const struct ebb_explain_facts *facts)
{
    static const char JEMALLOC[] = "jemalloc";
    const char *name = facts->allocator == NULL ? "" : facts->allocator->name;

    return strncmp(facts->books.malloc_library, JEMALLOC, strlen(JEMALLOC)) == 0 &&
           (strcmp(name, JEMALLOC) == 0 || strcmp(name, "glibc") == 0);
}

void ebb__explain_told(struct ebb_explain_facts *facts)
{
    struct ebb_explain_heap *heap = &facts->heap;
    const struct ebb_books *books = &facts->books;
    struct ebb_fact used = books->redis.used_bytes;
    struct ebb_fact allocated = books->redis.allocator_allocated_bytes;
    struct ebb_fact active = books->redis.allocator_active_bytes;
    struct ebb_fact resident = books->redis.allocator_resident_bytes;

    /* A server that runs on another allocator than it was built for has figures under these names too. */
    if (!books->answered || books->kind != EBB_BOOKS_REDIS || !is_told(facts) || !used.known ||
        !allocated.known || !active.known || !resident.known || allocated.value < used.value / 2 ||
        active.value < allocated.value || resident.value < active.value)
        return;
    *heap = (struct ebb_explain_heap){
        .source = "INFO memory, from jemalloc",
        /* There is no other large memory in a Redis, and blocks mapped one by one are taken for glibc's when no library is there. */
        .classes = UINT64_C(1) << EBB_VMA_CLASS_JEMALLOC | UINT64_C(1) << EBB_VMA_CLASS_POOL |
                   UINT64_C(1) << EBB_VMA_CLASS_BLOCK,
        .apart = true,
        .live = allocated,
        .fragments = ebb__fact(active.value - allocated.value),
        .most = resident,
        .whole = ebb__fact(0),
        .cached = ebb__fact(0),
        .kept = ebb__fact(0),
        .mapped = ebb__fact(0),
    };
}

/* Names that the server gives, the largest first. The buffer pool is not in the heap. */
static void add_items(const struct ebb_books_items *items, struct ebb_account *account)
{
    static const char TABLE[] = "performance_schema";
    int64_t more = items->total_bytes;
    size_t shown = 0;

    for (size_t i = 0; i < items->count; i++) {
        const struct ebb_books_item *item = &items->items[i];

        if (strcmp(item->name, "memory/innodb/buf_buf_pool") == 0) {
            more -= item->bytes;
        } else if (shown < ITEMS_SHOWN) {
            ebb__account_add_signed(account, 1, item->name, item->name, TABLE, item->bytes);
            more -= item->bytes;
            shown++;
        }
    }
    if (more != 0)
        ebb__account_add_signed(account, 1, "other_names", "all other names", TABLE, more);
}

/* What Redis counts for itself, and how it divides it. */
static void add_redis(const struct ebb_books_redis *redis, struct ebb_account *account)
{
    static const char INFO[] = "INFO memory";
    const struct {
        const char *key;
        const char *name;
        const char *source;
        struct ebb_fact bytes;
    } rows[] = {
        {"startup", "what it began with", INFO, redis->used_startup_bytes},
        {"hashtables", "tables of keys and of expiries", "MEMORY STATS", redis->hashtables_bytes},
        {"clients", "buffers of clients", INFO, redis->clients_bytes},
        {"replicas", "buffers of replicas", INFO, redis->replicas_bytes},
        {"backlog", "backlog for replicas", INFO, redis->backlog_bytes},
        {"aof_buffer", "buffer of the append-only file", INFO, redis->aof_buffer_bytes},
        {"cluster_links", "links of the cluster", INFO, redis->cluster_links_bytes},
        {"scripts", "scripts and functions", INFO, redis->used_scripts_bytes},
    };

    if (!redis->used_bytes.known)
        return;
    ebb__account_add(account, 1, "used_memory", "counted by the server: used_memory", INFO,
                     redis->used_bytes);
    if (!redis->used_dataset_bytes.known || !redis->used_overhead_bytes.known)
        return;
    ebb__account_add(account, 2, "dataset", "keys and values", INFO, redis->used_dataset_bytes);
    ebb__account_add(account, 2, "overhead", "overhead", INFO, redis->used_overhead_bytes);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        add_known(account, 3, rows[i].key, rows[i].name, rows[i].source, rows[i].bytes);
    ebb__account_rest_apart(account, 3, "overhead_rest", "other overhead");
    ebb__account_rest_apart(account, 2, "used_rest", "not attributed");
}

bool ebb__explain_live(const struct ebb_explain_facts *facts, struct ebb_account *ret_account)
{
    const struct ebb_books *books = &facts->books;
    const struct ebb_explain_heap *heap = &facts->heap;

    if (!books->answered || heap->source == NULL || !heap->live.known)
        return false;
    ebb__account_init(ret_account, "live", "live in the heap", heap->source,
                      ebb__fact(heap->live.value + ebb__fact_or(heap->mapped, 0)));
    /* MariaDB's sum Memory_used will not do: it holds the buffer pool and other mappings of its own too. */
    if ((books->kind == EBB_BOOKS_MARIADB || books->kind == EBB_BOOKS_MYSQL) && books->items.known &&
        books->items.count != 0)
        add_items(&books->items, ret_account);
    else if (books->kind == EBB_BOOKS_REDIS)
        add_redis(&books->redis, ret_account);
    if (ret_account->count == 1)
        return false;
    /* Redis's sum and the heap's are of two moments, and both count whole blocks: below zero is no answer there. */
    if (books->kind == EBB_BOOKS_REDIS)
        ebb__account_rest_apart(ret_account, 1, "nobody", "in nobody's books");
    else
        ebb__account_rest(ret_account, 1, "nobody", "in nobody's books");
    return true;
}
