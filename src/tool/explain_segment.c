/* SPDX-License-Identifier: MIT
 *
 * PostgreSQL's shared memory as a process has it mapped, and the accounts of it; see explain.h.
 *
 * The server says how large it is, which finds it among the mappings, and at which offset each of its names begins. What of a name is
 * resident in this process the kernel tells page by page; a page that holds two names is divided between them by bytes, so that none is
 * counted twice. How much is in memory at all, whoever has touched it, are the blocks of the file that the kernel keeps it in.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tool/explain.h"

static const char SMAPS[] = "/proc/PID/smaps";
static const char MAPS[] = "/proc/PID/maps";
static const char PAGEMAP[] = "pg_shmem_allocations, /proc/PID/pagemap";
static const char ALLOCATIONS[] = "pg_shmem_allocations";
static const char SETTINGS[] = "pg_settings";
static const char CACHE[] = "pg_buffercache";
static const char MAP_FILES[] = "/proc/PID/map_files";

static const char BUFFERS[] = "Buffer Blocks";
static const char WAL[] = "XLOG Ctl";

#define MIB (UINT64_C(1) << 20)

/* The mapping is larger than what is in it by less than a page, or a huge page. */
#define SLACK_BYTES (2 * MIB)

/* The setting shared_memory_size is in MiB, rounded up. */
#define SETTING_SLACK_BYTES MIB

/* ---- the mapping ---- */

/* How large it should be, from and to. False: nothing tells. */
static bool expected_bytes(const struct ebb_books *books, uint64_t *ret_low, uint64_t *ret_high)
{
    struct ebb_fact setting = books->postgres.shared_memory_bytes;

    if (books->kind != EBB_BOOKS_POSTGRES || !books->answered)
        return false;
    if (books->items.known && books->items.total_bytes > 0) {
        *ret_low = (uint64_t)books->items.total_bytes;
        *ret_high = *ret_low + SLACK_BYTES;
        return true;
    }
    if (!setting.known || setting.value < SETTING_SLACK_BYTES)
        return false;
    *ret_low = setting.value - SETTING_SLACK_BYTES;
    *ret_high = setting.value + SLACK_BYTES;
    return true;
}

void ebb__explain_segment_look(struct ebb_explain_facts *facts, const struct ebb_maps_row *row)
{
    struct ebb_explain_segment *segment = &facts->segment;
    enum ebb_vma_class vma_class = row->verdict.vma_class;
    uint64_t bytes = row->map.end - row->map.start;
    uint64_t low, high;

    if (vma_class != EBB_VMA_CLASS_SHARED && vma_class != EBB_VMA_CLASS_SYSV &&
        vma_class != EBB_VMA_CLASS_HUGETLB)
        return;
    if (!segment->found && expected_bytes(&facts->books, &low, &high) && bytes >= low && bytes < high) {
        segment->found = true;
        segment->huge_pages = vma_class == EBB_VMA_CLASS_HUGETLB;
        segment->start = row->map.start;
        segment->bytes = bytes;
        segment->rss = row->facts[EBB_SMAPS_RSS];
        segment->pss = row->facts[EBB_SMAPS_PSS];
    } else if (vma_class != EBB_VMA_CLASS_HUGETLB) {
        struct ebb_fact rss = row->facts[EBB_SMAPS_RSS];

        if (segment->other_count++ == 0)
            segment->others_rss = rss;
        else if (segment->others_rss.known)
            segment->others_rss = rss.known ? ebb__fact(segment->others_rss.value + rss.value) : rss;
    }
}

/* ---- its pages ---- */

/* What of a page is resident, in bytes between two addresses in it. */
static int add_part(struct ebb_pages *pages, uint64_t page, uint64_t bytes, uint64_t *sum)
{
    struct ebb_pages_count count = {0};
    int err = ebb__pages_count(pages, page, page + pages->page_bytes, &count);

    if (err == 0 && count.resident_bytes != 0)
        *sum += bytes;
    return err;
}

struct ebb_fact ebb__explain_resident_in(struct ebb_pages *pages, uint64_t start, uint64_t end)
{
    struct ebb_pages_count whole = {0};
    uint64_t mask = pages->page_bytes - 1;
    uint64_t first = (start + mask) & ~mask, last = end & ~mask;
    uint64_t parts = 0;
    int err = 0;

    if (start / pages->page_bytes == end / pages->page_bytes) {
        if (start != end)
            err = add_part(pages, start & ~mask, end - start, &parts);
        return err == 0 ? ebb__fact(parts) : ebb__fact_unknown(err);
    }
    if (start != first)
        err = add_part(pages, start & ~mask, first - start, &parts);
    if (err == 0 && end != last)
        err = add_part(pages, last, end - last, &parts);
    if (err == 0 && first < last)
        err = ebb__pages_count(pages, first, last, &whole);
    return err == 0 ? ebb__fact(whole.resident_bytes + parts) : ebb__fact_unknown(err);
}

/* The largest names are rows of their own, and the one with the WAL buffers in it always. */
static bool is_shown(const struct ebb_books_items *items, size_t i)
{
    return i < EBB_EXPLAIN_NAMES_MAX || strcmp(items->items[i].name, WAL) == 0;
}

static void count_names(struct ebb_explain_facts *facts, struct ebb_pages *pages)
{
    struct ebb_explain_segment *segment = &facts->segment;
    const struct ebb_books_items *items = &facts->books.items;

    segment->more_rss = ebb__fact(0);
    for (size_t i = 0; i < items->count; i++) {
        const struct ebb_books_item *item = &items->items[i];
        struct ebb_fact rss;

        /* What has no place, and what a server that is none says. */
        if (!item->offset.known || item->bytes <= 0 || item->offset.value > segment->bytes ||
            (uint64_t)item->bytes > segment->bytes - item->offset.value)
            continue;
        rss = ebb__explain_resident_in(pages, segment->start + item->offset.value,
                                       segment->start + item->offset.value + (uint64_t)item->bytes);
        if (is_shown(items, i) && segment->name_count < EBB_EXPLAIN_NAMES_MAX + 1)
            segment->names[segment->name_count++] = (struct ebb_explain_name){item, rss};
        else if (segment->more_rss.known)
            segment->more_rss = rss.known ? ebb__fact(segment->more_rss.value + rss.value) : rss;
    }
}

/* The blocks of the file that has no name: the kernel tells only who may follow its links to such files. */
static void count_all(struct ebb_explain_facts *facts)
{
    struct ebb_explain_segment *segment = &facts->segment;
    char file[64], path[EBB_PROC_PATH_BYTES];
    struct stat stat_buf;
    int err;

    snprintf(file, sizeof(file), "map_files/%" PRIx64 "-%" PRIx64, segment->start,
             segment->start + segment->bytes);
    err = ebb__proc_path(facts->target->root, facts->target->pid, file, path, sizeof(path));
    if (err == 0 && stat(path, &stat_buf) != 0)
        err = -errno;
    segment->memory = err == 0 ? ebb__fact((uint64_t)stat_buf.st_blocks * 512) : ebb__fact_unknown(err);
}

void ebb__explain_segment_count(struct ebb_explain_facts *facts)
{
    struct ebb_pages pages;
    int err;

    if (!facts->segment.found)
        return;
    count_all(facts);
    err = facts->has_pages ? ebb__pages_open(&pages, facts->target->root, facts->target->pid, false)
                           : -EINPROGRESS;
    facts->segment.names_err = err;
    if (err != 0)
        return;
    count_names(facts, &pages);
    ebb__pages_close(&pages);
}

/* ---- accounts ---- */

static const char *key_of(const struct ebb_books_item *item)
{
    if (strcmp(item->name, BUFFERS) == 0)
        return "shared_buffers";
    return strcmp(item->name, WAL) == 0 ? "wal" : item->name;
}

static const char *name_of(const struct ebb_books_item *item, char ret_name[EBB_ACCOUNT_NAME_BYTES])
{
    const char *before = strcmp(item->name, BUFFERS) == 0 ? "shared_buffers: "
                         : strcmp(item->name, WAL) == 0   ? "WAL and its buffers: "
                                                          : "";

    snprintf(ret_name, EBB_ACCOUNT_NAME_BYTES, "%s%.100s", before, item->name);
    return ret_name;
}

bool ebb__explain_shared(const struct ebb_explain_facts *facts, struct ebb_account *account)
{
    const struct ebb_explain_segment *segment = &facts->segment;
    char name[EBB_ACCOUNT_NAME_BYTES];

    if (!segment->found || segment->huge_pages)
        return false;
    ebb__account_add(account, 2, "segment", "the server's own", SMAPS, segment->rss);
    for (unsigned i = 0; i < segment->name_count; i++) {
        const struct ebb_explain_name *part = &segment->names[i];

        if (!part->rss.known || part->rss.value != 0)
            ebb__account_add(account, 3, key_of(part->item), name_of(part->item, name), PAGEMAP, part->rss);
    }
    if (segment->name_count != 0) {
        ebb__account_add(account, 3, "other_names", "all other names", PAGEMAP, segment->more_rss);
        ebb__account_rest_apart(account, 3, "segment_rest", "memory without a name");
    }
    if (segment->other_count != 0 && (!segment->others_rss.known || segment->others_rss.value != 0))
        ebb__account_add(account, 2, "other_shared", "other mappings of shared memory", SMAPS,
                         segment->others_rss);
    ebb__account_rest(account, 2, "rest", "not attributed");
    return true;
}

static struct ebb_fact times(struct ebb_fact pages, struct ebb_fact page_bytes)
{
    uint64_t bytes;

    if (!pages.known || !page_bytes.known)
        return pages.known ? page_bytes : pages;
    return __builtin_mul_overflow(pages.value, page_bytes.value, &bytes) ? ebb__fact_unknown(-ERANGE)
                                                                         : ebb__fact(bytes);
}

/* Below the row of shared_buffers, where the server can tell. */
static void divide_buffers(const struct ebb_books_postgres *own, struct ebb_account *account)
{
    if (!own->buffers_used.known || !own->buffers_dirty.known)
        return;
    ebb__account_add(account, 2, "used", "buffers with a page", CACHE,
                     times(own->buffers_used, own->page_bytes));
    ebb__account_add(account, 3, "dirty", "to be written", CACHE, times(own->buffers_dirty, own->page_bytes));
    ebb__account_rest_apart(account, 3, "clean", "as on disk");
    ebb__account_rest_apart(account, 2, "free", "buffers without one");
}

static void add_names(const struct ebb_books *books, struct ebb_account *account)
{
    const struct ebb_books_items *items = &books->items;
    int64_t more = items->total_bytes;

    for (size_t i = 0; i < items->count; i++) {
        const struct ebb_books_item *item = &items->items[i];
        char name[EBB_ACCOUNT_NAME_BYTES];

        if (!is_shown(items, i))
            continue;
        more -= item->bytes;
        ebb__account_add_signed(account, 1, key_of(item), name_of(item, name), ALLOCATIONS, item->bytes);
        if (strcmp(item->name, BUFFERS) == 0)
            divide_buffers(&books->postgres, account);
        if (strcmp(item->name, WAL) == 0 && books->postgres.wal_buffers_bytes.known) {
            ebb__account_add(account, 2, "wal_buffers", "wal_buffers", SETTINGS,
                             books->postgres.wal_buffers_bytes);
            ebb__account_rest_apart(account, 2, "wal_rest", "their state");
        }
    }
    ebb__account_add_signed(account, 1, "other_names", "all other names", ALLOCATIONS, more);
}

bool ebb__explain_segment(const struct ebb_explain_facts *facts, struct ebb_account *ret_account)
{
    const struct ebb_explain_segment *segment = &facts->segment;
    const struct ebb_books *books = &facts->books;

    if (!segment->found)
        return false;
    ebb__account_init(ret_account, "shared", "shared memory, as mapped", MAPS, ebb__fact(segment->bytes));
    if (books->items.known) {
        add_names(books, ret_account);
    } else {
        ebb__account_add(ret_account, 1, "shared_buffers", "shared_buffers", SETTINGS,
                         books->postgres.shared_buffers_bytes);
        divide_buffers(&books->postgres, ret_account);
        ebb__account_add(ret_account, 1, "wal_buffers", "wal_buffers", SETTINGS,
                         books->postgres.wal_buffers_bytes);
    }
    ebb__account_rest_apart(ret_account, 1, "shared_rest",
                            books->items.known ? "up to the end of the last page" : "not attributed");
    ebb__account_beside(ret_account, "resident_here", "of it resident in this process", SMAPS, segment->rss);
    ebb__account_beside(ret_account, "pss", "this process's share of that (Pss)", SMAPS, segment->pss);
    ebb__account_beside(ret_account, "in_memory", "of it in memory, whichever process touched it", MAP_FILES,
                        segment->memory);
    if (segment->memory.err == -EPERM || segment->memory.err == -EACCES)
        ebb__account_because(ret_account, "needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE");
    return true;
}
