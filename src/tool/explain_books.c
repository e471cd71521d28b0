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

void ebb__explain_pool(const struct ebb_books *books, unsigned depth, struct ebb_account *account)
{
    static const char STATUS[] = "SHOW GLOBAL STATUS";
    const struct ebb_books_mysql *mysql = &books->mysql;
    struct ebb_fact descriptors = descriptors_of(mysql);

    if ((books->kind != EBB_BOOKS_MARIADB && books->kind != EBB_BOOKS_MYSQL) || !mysql->pool_data_bytes.known)
        return;
    ebb__account_add(account, depth, "pool_data", "pages with data", STATUS, mysql->pool_data_bytes);
    add_known(account, depth, "pool_misc", "pages for locks and the adaptive hash", STATUS,
              times(mysql->pool_misc_pages, mysql->page_bytes));
    add_known(account, depth, "pool_descriptors", "descriptors of all pages", "SHOW GLOBAL STATUS, VARIABLES",
              descriptors);
    ebb__account_rest(account, depth, "pool_rest",
                      descriptors.known ? "free pages that were touched"
                                        : "descriptors of pages, and free pages that were touched");
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
