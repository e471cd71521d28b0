/* SPDX-License-Identifier: MIT
 *
 * The stats page of a process; see page.h.
 */
#include "tool/page.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "probe/probe.h"
#include "tool/locate.h"

/* The summary is written in less than a microsecond, some times a second: that it changes under every one of so many
 * reads means that its writer was stopped in between. */
#define READS_MAX     5
#define READ_PAUSE_NS 1000000

/* Reads the page at page->address once: number, page, number, by three calls, which are ordered. */
static int read_once(struct ebb_page *page)
{
    uint64_t sequence_addr = page->address + offsetof(struct ebb_wire_header, sequence);
    uint32_t before;
    uint32_t after;
    size_t bytes;
    struct ebb_wire_header header;
    int err = ebb__peek(page->pid, page->address, &header, sizeof(header));

    if (err == 0)
        err = ebb__wire_page_bytes(&header, sizeof(header), &bytes);
    if (err != 0)
        return err;
    if (bytes > page->room) {
        unsigned char *more = realloc(page->bytes, bytes);

        if (more == NULL)
            return -ENOMEM;
        page->bytes = more;
        page->room = bytes;
    }
    err = ebb__peek(page->pid, sequence_addr, &before, sizeof(before));
    if (err == 0)
        err = ebb__peek(page->pid, page->address, page->bytes, bytes);
    if (err == 0)
        err = ebb__peek(page->pid, sequence_addr, &after, sizeof(after));
    if (err == 0)
        err = ebb__wire_decode(page->bytes, bytes, &page->view);
    if (err == 0 && (before != after || before != page->view.sequence))
        page->view.torn = true;
    return err;
}

int ebb__page_read(struct ebb_page *page)
{
    static const struct timespec PAUSE = {.tv_nsec = READ_PAUSE_NS};
    int err = read_once(page);

    for (unsigned i = 1; err == 0 && page->view.torn && i < READS_MAX; i++) {
        nanosleep(&PAUSE, NULL);
        err = read_once(page);
    }
    /* What stood there before is overwritten: the program is another one. */
    return err == -EPROTO || err == -EMSGSIZE ? -EFAULT : err;
}

static bool has_counted(const struct ebb_wire_view *view)
{
    for (unsigned i = 0; i < view->row_count; i++) {
        struct ebb_wire_row_view row;

        ebb__wire_row(view, i, &row);
        if (row.value != 0)
            return true;
    }
    for (unsigned i = 0; i < view->class_count; i++) {
        struct ebb_wire_class c;

        ebb__wire_class(view, i, &c);
        if (c.taken_blocks != 0)
            return true;
    }
    return false;
}

struct search {
    struct ebb_page best; /* best.bytes is NULL as long as there is none */
    int err;              /* why the last candidate was none */
};

static bool take_page(void *context, const struct ebb_map *map, int fd, uint64_t address)
{
    struct search *search = context;
    struct ebb_page page = {.pid = search->best.pid, .address = address};
    int err = ebb__page_read(&page);

    (void)fd;
    if (err == 0 && ebb__maps_name_decode(map, page.library, sizeof(page.library)) != 0)
        page.library[0] = '\0';
    for (char *at = page.library; *at != '\0'; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = '?';
    if (err != 0 || (search->best.bytes != NULL && !has_counted(&page.view))) {
        /* A file that is mapped as data has something else at that address, or nothing. */
        if (err != 0 && err != -EFAULT)
            search->err = err;
        free(page.bytes);
        return err == -EPERM || err == -ESRCH;
    }
    free(search->best.bytes);
    search->best = page;
    return has_counted(&page.view);
}

int ebb__page_find(pid_t pid, struct ebb_page *ret_page)
{
    struct search search = {.best = {.pid = pid}, .err = -ENOENT};
    const struct ebb_locate wanted = {
        .pid = pid,
        .symbol = EBB_WIRE_PAGE_SYMBOL,
        .static_too = true,
        .found = take_page,
        .context = &search,
    };
    int got = ebb__locate(&wanted);

    if (search.best.bytes != NULL) {
        *ret_page = search.best;
        return 0;
    }
    return got < 0 ? got : search.err;
}

void ebb__page_fini(struct ebb_page *page)
{
    free(page->bytes);
    page->bytes = NULL;
    page->room = 0;
}
