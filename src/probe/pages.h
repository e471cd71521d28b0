/* SPDX-License-Identifier: MIT
 *
 * How much of a range of addresses is resident or swapped out, without asking for the whole process.
 *
 * PAGEMAP_SCAN (Linux 6.7) answers in ranges of alike pages; elsewhere /proc/PID/pagemap has 8 bytes for each page. Three differences to
 * Rss in smaps: pages of hugetlb count here; memory shared through tmpfs that is swapped out does not; and without PAGEMAP_SCAN a page of
 * zeros that was only ever read counts as resident.
 */
#ifndef EBB_PROBE_PAGES_H
#define EBB_PROBE_PAGES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct ebb_pages_count {
    uint64_t resident_bytes;
    uint64_t swapped_bytes;
};

struct ebb_pages {
    int fd;
    bool scans; /* the kernel has PAGEMAP_SCAN */
    uint64_t page_bytes;
};

/* 0, or -errno: needs the same user or CAP_SYS_PTRACE, and the mode of the file besides. `pagemap_only` does not try PAGEMAP_SCAN. */
int ebb__pages_open(struct ebb_pages *pages, const char *root, pid_t pid, bool pagemap_only);
void ebb__pages_close(struct ebb_pages *pages);

/* Adds what [start, end) holds; both are multiples of the page. 0, or -errno; -EINPROGRESS for a range that is too long to be read
 * without PAGEMAP_SCAN. */
int ebb__pages_count(struct ebb_pages *pages, uint64_t start, uint64_t end, struct ebb_pages_count *count);

/* What a page is. */
enum ebb_page_state { EBB_PAGE_NONE, EBB_PAGE_RESIDENT, EBB_PAGE_SWAPPED };

/* The state of each page of [start, end), an enum ebb_page_state in a byte. Errors as above. */
int ebb__pages_states(struct ebb_pages *pages, uint64_t start, uint64_t end, uint8_t *ret_states);

/* Counts the pages in words of pagemap. */
void ebb__pages_parse(const uint64_t *words, unsigned word_count, uint64_t page_bytes,
                      struct ebb_pages_count *count);

#endif
