/* SPDX-License-Identifier: MIT
 *
 * How much of a range of addresses is resident or swapped out; see pages.h.
 */
#include "probe/pages.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "probe/proc.h"

/* The kernel's interface, as include/uapi/linux/fs.h documents it; headers before 6.7 lack it. */
struct page_region_v1 {
    uint64_t start;
    uint64_t end;
    uint64_t categories;
};

struct pm_scan_arg_v1 {
    uint64_t size;
    uint64_t flags;
    uint64_t start;
    uint64_t end;
    uint64_t walk_end; /* out: up to where it looked */
    uint64_t vec;
    uint64_t vec_len;
    uint64_t max_pages;
    uint64_t category_inverted;
    uint64_t category_mask;
    uint64_t category_anyof_mask;
    uint64_t return_mask;
};

_Static_assert(sizeof(struct pm_scan_arg_v1) == 96, "as the kernel has it");

#define SCAN_REQUEST _IOWR('f', 16, struct pm_scan_arg_v1)

enum {
    PAGE_PRESENT = 1 << 3,
    PAGE_SWAPPED = 1 << 4,
    PAGE_ZERO = 1 << 5,
};

#define WORD_PRESENT (UINT64_C(1) << 63)
#define WORD_SWAPPED (UINT64_C(1) << 62)

/* Regions for each system call. */
#define REGIONS 512

/* Words of pagemap for each read. */
#define WORDS 4096

/* Longer ranges are not read from pagemap, which has 2 MiB for each GiB of addresses, whether there is something or not. */
#define PAGEMAP_RANGE_MAX_BYTES (UINT64_C(64) << 30)

static int scan(int fd, uint64_t start, uint64_t end, struct page_region_v1 *regions,
                struct pm_scan_arg_v1 *ret_arg)
{
    struct pm_scan_arg_v1 arg = {
        .size = sizeof(arg),
        .start = start,
        .end = end,
        .vec = (uintptr_t)regions,
        .vec_len = REGIONS,
        .category_anyof_mask = PAGE_PRESENT | PAGE_SWAPPED,
        .return_mask = PAGE_PRESENT | PAGE_SWAPPED | PAGE_ZERO,
    };
    int got;

    do {
        got = ioctl(fd, SCAN_REQUEST, &arg);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    *ret_arg = arg;
    return got;
}

int ebb__pages_open(struct ebb_pages *pages, const char *root, pid_t pid, bool pagemap_only)
{
    struct page_region_v1 regions[REGIONS];
    struct pm_scan_arg_v1 arg;
    int fd = ebb__proc_open(root, pid, "pagemap");

    if (fd < 0)
        return fd;
    pages->fd = fd;
    pages->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    /* One page at a place where nothing is: all that counts is that it is no error. */
    pages->scans = !pagemap_only && scan(fd, 0, pages->page_bytes, regions, &arg) >= 0;
    return 0;
}

void ebb__pages_close(struct ebb_pages *pages)
{
    if (pages->fd >= 0)
        close(pages->fd);
    pages->fd = -1;
}

static int count_by_scan(const struct ebb_pages *pages, uint64_t start, uint64_t end,
                         struct ebb_pages_count *count)
{
    struct page_region_v1 regions[REGIONS];
    struct pm_scan_arg_v1 arg;

    while (start < end) {
        int got = scan(pages->fd, start, end, regions, &arg);

        if (got < 0)
            return got;
        for (int i = 0; i < got; i++) {
            uint64_t bytes = regions[i].end - regions[i].start;

            if ((regions[i].categories & PAGE_SWAPPED) != 0)
                count->swapped_bytes += bytes;
            else if ((regions[i].categories & PAGE_ZERO) == 0)
                count->resident_bytes += bytes;
        }
        if (arg.walk_end <= start)
            return -EBADMSG;
        start = arg.walk_end;
    }
    return 0;
}

void ebb__pages_parse(const uint64_t *words, unsigned word_count, uint64_t page_bytes,
                      struct ebb_pages_count *count)
{
    for (unsigned i = 0; i < word_count; i++) {
        if ((words[i] & WORD_PRESENT) != 0)
            count->resident_bytes += page_bytes;
        else if ((words[i] & WORD_SWAPPED) != 0)
            count->swapped_bytes += page_bytes;
    }
}

static int count_by_pagemap(const struct ebb_pages *pages, uint64_t start, uint64_t end,
                            struct ebb_pages_count *count)
{
    uint64_t words[WORDS];

    if (end - start > PAGEMAP_RANGE_MAX_BYTES)
        return -EINPROGRESS;
    while (start < end) {
        uint64_t wanted = (end - start) / pages->page_bytes;
        size_t bytes = (wanted < WORDS ? wanted : WORDS) * sizeof(words[0]);
        ssize_t got = pread(pages->fd, words, bytes, (off_t)(start / pages->page_bytes * sizeof(words[0])));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        /* Nothing more: the process has ended, or a captured tree has no more. */
        if (got < (ssize_t)sizeof(words[0]))
            return -ESRCH;
        ebb__pages_parse(words, (unsigned)((size_t)got / sizeof(words[0])), pages->page_bytes, count);
        start += (uint64_t)got / sizeof(words[0]) * pages->page_bytes;
    }
    return 0;
}

int ebb__pages_count(struct ebb_pages *pages, uint64_t start, uint64_t end, struct ebb_pages_count *count)
{
    struct ebb_pages_count sum = {0};
    int err =
        pages->scans ? count_by_scan(pages, start, end, &sum) : count_by_pagemap(pages, start, end, &sum);

    if (err != 0)
        return err;
    count->resident_bytes += sum.resident_bytes;
    count->swapped_bytes += sum.swapped_bytes;
    return 0;
}

static enum ebb_page_state state_of_region(const struct page_region_v1 *region)
{
    if ((region->categories & PAGE_SWAPPED) != 0)
        return EBB_PAGE_SWAPPED;
    return (region->categories & PAGE_ZERO) == 0 ? EBB_PAGE_RESIDENT : EBB_PAGE_NONE;
}

static int states_by_scan(const struct ebb_pages *pages, uint64_t start, uint64_t end, uint8_t *ret_states)
{
    struct page_region_v1 regions[REGIONS];
    struct pm_scan_arg_v1 arg;
    uint64_t first = start;

    while (start < end) {
        int got = scan(pages->fd, start, end, regions, &arg);

        if (got < 0)
            return got;
        for (int i = 0; i < got; i++)
            memset(ret_states + (regions[i].start - first) / pages->page_bytes, state_of_region(&regions[i]),
                   (regions[i].end - regions[i].start) / pages->page_bytes);
        if (arg.walk_end <= start)
            return -EBADMSG;
        start = arg.walk_end;
    }
    return 0;
}

static int states_by_pagemap(const struct ebb_pages *pages, uint64_t start, uint64_t end, uint8_t *ret_states)
{
    uint64_t words[WORDS];

    while (start < end) {
        uint64_t wanted = (end - start) / pages->page_bytes;
        size_t bytes = (wanted < WORDS ? wanted : WORDS) * sizeof(words[0]);
        ssize_t got = pread(pages->fd, words, bytes, (off_t)(start / pages->page_bytes * sizeof(words[0])));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got < (ssize_t)sizeof(words[0]))
            return -ESRCH;
        for (size_t i = 0; i < (size_t)got / sizeof(words[0]); i++)
            *ret_states++ = (words[i] & WORD_PRESENT) != 0   ? EBB_PAGE_RESIDENT
                            : (words[i] & WORD_SWAPPED) != 0 ? EBB_PAGE_SWAPPED
                                                             : EBB_PAGE_NONE;
        start += (uint64_t)got / sizeof(words[0]) * pages->page_bytes;
    }
    return 0;
}

int ebb__pages_states(struct ebb_pages *pages, uint64_t start, uint64_t end, uint8_t *ret_states)
{
    memset(ret_states, EBB_PAGE_NONE, (end - start) / pages->page_bytes);
    return pages->scans ? states_by_scan(pages, start, end, ret_states)
                        : states_by_pagemap(pages, start, end, ret_states);
}
