/* SPDX-License-Identifier: MIT
 *
 * Accounts by the server's own books; see explain.h.
 *
 * Servers count what was asked for, not what is resident, and each leaves something out. What is live in the heap and in nobody's books is
 * the rest: memory of libraries, of what has no instrument, and what blocks take beyond what was asked for.
 */
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

void ebb__explain_pool(const struct ebb_books *books, unsigned depth, struct ebb_account *account)
{
    static const char STATUS[] = "SHOW GLOBAL STATUS";
    const struct ebb_books_mysql *mysql = &books->mysql;

    if ((books->kind != EBB_BOOKS_MARIADB && books->kind != EBB_BOOKS_MYSQL) || !mysql->pool_data_bytes.known)
        return;
    ebb__account_add(account, depth, "pool_data", "pages with data", STATUS, mysql->pool_data_bytes);
    add_known(account, depth, "pool_misc", "pages for locks and the adaptive hash", STATUS,
              times(mysql->pool_misc_pages, mysql->page_bytes));
    ebb__account_rest(account, depth, "pool_rest", "descriptors of pages, and free pages that were touched");
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
        add_known(ret_account, 1, "used_memory", "by the server", "INFO memory", books->redis.used_bytes);
    if (ret_account->count == 1)
        return false;
    ebb__account_rest(ret_account, 1, "nobody", "in nobody's books");
    return true;
}
