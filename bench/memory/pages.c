/* SPDX-License-Identifier: MIT
 *
 * The oracle: on how many OS pages do live blocks lie? No allocator that leaves blocks where they are can need fewer.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "mem.h"

static void sift_down(uintptr_t *heap, size_t at, size_t count)
{
    uintptr_t value = heap[at];

    for (;;) {
        size_t child = 2 * at + 1;

        if (child >= count) {
            break;
        }
        child += child + 1 < count && heap[child + 1] > heap[child];
        if (heap[child] <= value) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = value;
}

/* Heapsort, since the C library's qsort allocates. */
static void sort(uintptr_t *numbers, size_t count)
{
    for (size_t i = count / 2; i-- > 0;) {
        sift_down(numbers, i, count);
    }
    for (size_t i = count; i-- > 1;) {
        uintptr_t largest = numbers[0];

        numbers[0] = numbers[i];
        numbers[i] = largest;
        sift_down(numbers, 0, i);
    }
}

size_t mem_pages_held(void *const *blocks, size_t count, uint64_t *ret_bytes)
{
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    uint64_t bytes = 0;
    size_t filled = 0;
    size_t distinct = 0;
    size_t array_bytes;
    uintptr_t *pages;

    for (size_t i = 0; i < count; i++) {
        bytes += bench_block_size(blocks[i]);
    }
    /* A block of n bytes lies on n / page_bytes + 2 pages at most. */
    array_bytes = ((size_t)bytes / page_bytes + 2 * count + 1) * sizeof(*pages);
    pages = mmap(NULL, array_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) {
        bench_die("mmap of the array of pages");
    }
    for (size_t i = 0; i < count; i++) {
        uintptr_t start = (uintptr_t)blocks[i];
        uintptr_t last = start + bench_block_size(blocks[i]) - 1;

        for (uintptr_t page = start / page_bytes; page <= last / page_bytes; page++) {
            pages[filled++] = page;
        }
    }
    sort(pages, filled);
    for (size_t i = 0; i < filled; i++) {
        distinct += i == 0 || pages[i] != pages[i - 1];
    }
    munmap(pages, array_bytes);
    if (ret_bytes) {
        *ret_bytes = bytes;
    }
    return distinct;
}
