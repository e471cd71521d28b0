/* SPDX-License-Identifier: MIT
 *
 * Finding the main arena and the tuning values in the C library's data, without symbols; see glibc.h.
 *
 * The test of a place is cheap at first (a few words that must be in order) and thorough where that holds (what the lists of free blocks lead to
 * must lead back). A shifted view of an arena would pass a test of the empty lists alone, as each of them points at itself; it is the words
 * before and behind the lists, and the ends of the lists that are not empty, that tell the right place.
 */
#include <errno.h>
#include <string.h>

#include "probe/glibc.h"
#include "probe/glibc_priv.h"

/* Heaps of secondary arenas are aligned to this, unless the kernel's huge pages were asked for. */
#define HEAP_ALIGN_BYTES (UINT64_C(64) << 20)

/* With huge pages a heap is four of them. */
#define HUGE_HEAP_PAGES 4

/* A process that runs may change its lists while they are tested. */
#define FIND_ATTEMPTS 10

#define ADDRESS_MAX (UINT64_C(1) << 56)

/* ---- the main arena ---- */

static bool is_address(uint64_t word, uint64_t alignment)
{
    return word != 0 && word < ADDRESS_MAX && word % alignment == 0;
}

/* The words that are not lists. */
static bool numbers_fit(const uint8_t *at, uint64_t address)
{
    uint64_t system = ebb__glibc_word(at, ARENA_SYSTEM);
    uint64_t peak = ebb__glibc_word(at, ARENA_PEAK);
    uint64_t top = ebb__glibc_word(at, ARENA_TOP);
    uint64_t next = ebb__glibc_word(at, ARENA_NEXT);

    /* No multiples of a page: brk() may have begun within one. */
    if (system > peak || peak > ADDRESS_MAX)
        return false;
    if (next != address && !is_address(next, 8))
        return false;
    /* Before the first allocation the top is no block: it is the first list. */
    if (system == 0)
        return top == ebb__glibc_bin_head(address, 1);
    return is_address(top, CHUNK_ALIGN);
}

/* Empty lists point at themselves, both ways; the others at blocks. */
static bool lists_fit(const struct glibc_arena_head *head, uint64_t address)
{
    for (unsigned i = 1; i <= BINS; i++) {
        uint64_t self = ebb__glibc_bin_head(address, i);
        uint64_t first = ebb__glibc_bin_first(head, i);
        uint64_t last = ebb__glibc_bin_last(head, i);

        if (!is_address(first, CHUNK_ALIGN) || !is_address(last, CHUNK_ALIGN) ||
            (first == self) != (last == self))
            return false;
    }
    return true;
}

/* The ends of the lists that are not empty lead back, and the top ends where a page does. */
static int ends_fit(struct ebb_glibc_process *process, const struct glibc_arena_head *head, uint64_t address)
{
    uint64_t system = ebb__glibc_word(head->bytes, ARENA_SYSTEM);
    uint64_t top = ebb__glibc_word(head->bytes, ARENA_TOP);
    struct glibc_chunk_head chunk;
    int err;

    for (unsigned i = 1; i <= BINS; i++) {
        uint64_t self = ebb__glibc_bin_head(address, i);
        uint64_t first = ebb__glibc_bin_first(head, i);
        uint64_t last = ebb__glibc_bin_last(head, i);

        if (first == self)
            continue;
        err = ebb__glibc_chunk(process, first, &chunk);
        if (err != 0 || chunk.bk != self)
            return err != 0 ? err : -ENOENT;
        err = ebb__glibc_chunk(process, last, &chunk);
        if (err != 0 || chunk.fd != self)
            return err != 0 ? err : -ENOENT;
    }
    if (system == 0)
        return 0;
    err = ebb__glibc_chunk(process, top, &chunk);
    if (err != 0)
        return err;
    chunk.size &= ~(uint64_t)CHUNK_FLAGS;
    return chunk.size <= system && (top + chunk.size) % process->page_bytes == 0 ? 0 : -ENOENT;
}

/* Tests every place in the image of the library's data. 0 and how many fit. */
static int count_arenas(struct ebb_glibc_process *process, size_t len, uint64_t *ret_address,
                        unsigned *ret_count)
{
    *ret_count = 0;
    for (size_t at = 0; at + ARENA_BYTES <= len; at += 8) {
        uint64_t address = process->data_start + at;
        struct glibc_arena_head head;
        int err;

        if (!numbers_fit(process->data + at, address))
            continue;
        memcpy(head.bytes, process->data + at, ARENA_BYTES);
        if (!lists_fit(&head, address))
            continue;
        err = ends_fit(process, &head, address);
        if (err == -ESRCH || err == -EPERM)
            return err;
        if (err == 0) {
            *ret_address = address;
            (*ret_count)++;
        }
    }
    return 0;
}

/* ---- the tuning values ---- */

static const uint8_t PAR_WIDTHS[EBB_GLIBC_PAR_COUNT] = {
#define EBB_GLIBC_PAR(id, a, b, bytes) [EBB_GLIBC_PAR_##id] = (bytes),
#include "probe/glibc_layout.def"
#undef EBB_GLIBC_PAR
};

/* The last of the fields ends here, in every layout. */
#define PAR_BYTES_MAX 136

/* Larger blocks never go into a thread's cache. */
#define TCACHE_MAX_BYTES 1032

static uint64_t par_end(const struct ebb_glibc_layout *layout)
{
    uint64_t end = 0;

    for (unsigned i = 0; i < EBB_GLIBC_PAR_COUNT; i++)
        if (layout->par[i] >= 0 && (uint64_t)layout->par[i] + PAR_WIDTHS[i] > end)
            end = (uint64_t)layout->par[i] + PAR_WIDTHS[i];
    return end;
}

static void take_par(const struct ebb_glibc_layout *layout, const uint8_t *bytes,
                     uint64_t ret_par[EBB_GLIBC_PAR_COUNT])
{
    for (unsigned i = 0; i < EBB_GLIBC_PAR_COUNT; i++) {
        ret_par[i] = 0;
        if (layout->par[i] >= 0)
            memcpy(&ret_par[i], bytes + layout->par[i], PAR_WIDTHS[i]);
    }
}

/* The number of lists in a thread's cache follows from the largest block that goes into it. */
static bool tcache_fits(const uint64_t par[EBB_GLIBC_PAR_COUNT])
{
    uint64_t max = par[EBB_GLIBC_PAR_TCACHE_MAX];
    uint64_t block = (max + 8 + CHUNK_ALIGN - 1) / CHUNK_ALIGN * CHUNK_ALIGN;

    if (max > TCACHE_MAX_BYTES || par[EBB_GLIBC_PAR_TCACHE_COUNT] > UINT16_MAX)
        return false;
    if (block < CHUNK_MIN_BYTES)
        block = CHUNK_MIN_BYTES;
    return par[EBB_GLIBC_PAR_TCACHE_BINS] == (block - CHUNK_MIN_BYTES) / CHUNK_ALIGN + 1;
}

/* Whether these can be tuning values: what is counted does not exceed its maximum, and what has few possible values has one of them. */
static bool par_fits(const struct ebb_glibc_process *process, const uint64_t par[EBB_GLIBC_PAR_COUNT])
{
    uint64_t mapped = par[EBB_GLIBC_PAR_MAPPED];

    return par[EBB_GLIBC_PAR_NO_DYNAMICS] <= 1 && par[EBB_GLIBC_PAR_MMAPS] <= par[EBB_GLIBC_PAR_MMAPS_PEAK] &&
           par[EBB_GLIBC_PAR_MMAPS_PEAK] <= INT32_MAX && par[EBB_GLIBC_PAR_MMAPS_MAX] <= INT32_MAX &&
           mapped <= par[EBB_GLIBC_PAR_MAPPED_PEAK] && mapped % process->page_bytes == 0 &&
           (par[EBB_GLIBC_PAR_MMAPS] == 0) == (mapped == 0) && tcache_fits(par) &&
           par[EBB_GLIBC_PAR_THP_PAGE] % process->page_bytes == 0 &&
           par[EBB_GLIBC_PAR_HUGE_PAGE] % process->page_bytes == 0;
}

/* The first address that brk() gave: by this they are found. */
static bool has_sbrk_base(const struct ebb_glibc_process *process, const uint64_t par[EBB_GLIBC_PAR_COUNT])
{
    return par[EBB_GLIBC_PAR_SBRK_BASE] >= process->heap_start &&
           par[EBB_GLIBC_PAR_SBRK_BASE] < process->heap_end;
}

static unsigned count_pars(struct ebb_glibc_process *process, size_t len,
                           const struct ebb_glibc_layout *layout, struct ebb_glibc *ret_glibc)
{
    uint64_t end = par_end(layout);
    unsigned count = 0;

    for (size_t at = 0; at + end <= len; at += 8) {
        uint64_t par[EBB_GLIBC_PAR_COUNT];

        take_par(layout, process->data + at, par);
        if (!has_sbrk_base(process, par) || !par_fits(process, par))
            continue;
        memcpy(ret_glibc->par, par, sizeof(par));
        ret_glibc->par_address = process->data_start + at;
        count++;
    }
    return count;
}

int ebb__glibc_par_read(struct ebb_glibc_process *process, struct ebb_glibc *glibc)
{
    uint8_t bytes[PAR_BYTES_MAX];
    uint64_t par[EBB_GLIBC_PAR_COUNT];

    for (unsigned i = 0; i < FIND_ATTEMPTS; i++) {
        int err = ebb__glibc_peek(process, glibc->par_address, bytes, (size_t)par_end(glibc->layout));

        if (err != 0)
            return err;
        take_par(glibc->layout, bytes, par);
        if (par_fits(process, par)) {
            memcpy(glibc->par, par, sizeof(par));
            return 0;
        }
    }
    return -EAGAIN;
}

static uint64_t heap_align(const struct ebb_glibc *glibc)
{
    uint64_t huge = glibc->has_par ? glibc->par[EBB_GLIBC_PAR_HUGE_PAGE] : 0;

    return huge == 0 || (huge & (huge - 1)) != 0 || huge > (UINT64_C(1) << 32) ? HEAP_ALIGN_BYTES
                                                                               : huge * HUGE_HEAP_PAGES;
}

int ebb__glibc_par_at(struct ebb_glibc_process *process, struct ebb_glibc *glibc, uint64_t address)
{
    struct ebb_glibc found = *glibc;
    int err;

    found.par_address = address;
    err = ebb__glibc_par_read(process, &found);
    if (err != 0)
        return err;
    found.has_par = true;
    found.heap_align = heap_align(&found);
    *glibc = found;
    return 0;
}

/* ---- both ---- */

int ebb__glibc_find(struct ebb_glibc_process *process, const struct ebb_glibc_layout *layout,
                    struct ebb_glibc *ret_glibc)
{
    uint64_t len = process->data_end - process->data_start;
    struct ebb_glibc glibc = {.layout = layout};

    if (process->data_end < process->data_start || process->data_start % 8 != 0)
        return -ENOENT;
    if (len > sizeof(process->data))
        len = sizeof(process->data);
    for (unsigned i = 0; i < FIND_ATTEMPTS; i++) {
        unsigned count;
        int err = ebb__glibc_peek(process, process->data_start, process->data, (size_t)len);

        ebb__glibc_forget(process);
        if (err == 0)
            err = count_arenas(process, (size_t)len, &glibc.main_arena, &count);
        if (err != 0)
            return err;
        if (count > 1)
            return -ENOENT;
        if (!glibc.has_par && process->heap_end != 0)
            glibc.has_par = count_pars(process, (size_t)len, layout, &glibc) == 1;
        if (count == 1 && (glibc.has_par || process->heap_end == 0 || i == FIND_ATTEMPTS - 1)) {
            glibc.heap_align = heap_align(&glibc);
            if (!glibc.has_par)
                memset(glibc.par, 0, sizeof(glibc.par));
            *ret_glibc = glibc;
            return 0;
        }
    }
    return -ENOENT;
}

int ebb__glibc_arenas(struct ebb_glibc_process *process, const struct ebb_glibc *glibc, uint64_t *ret_arenas,
                      size_t room, size_t *ret_count)
{
    uint64_t address = glibc->main_arena;
    size_t count = 0;

    do {
        struct glibc_arena_head head;
        uint64_t info;
        int err = ebb__glibc_peek(process, address, head.bytes, ARENA_BYTES);

        if (err != 0)
            return err;
        if (count == room || count == EBB_GLIBC_ARENAS_MAX)
            return -E2BIG;
        if (address != glibc->main_arena) {
            err = ebb__glibc_peek(process, ebb__glibc_heap_of(glibc, address), &info, sizeof(info));
            if (err != 0)
                return err;
            if (address % glibc->heap_align != glibc->layout->heap_info_bytes || info != address)
                return -EBADMSG;
        }
        ret_arenas[count++] = address;
        address = ebb__glibc_word(head.bytes, ARENA_NEXT);
    } while (address != glibc->main_arena);
    *ret_count = count;
    return 0;
}
