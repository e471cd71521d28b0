/* SPDX-License-Identifier: MIT
 *
 * Looking at glibc's malloc in another process; see heap_glibc.h.
 *
 * A look reads the mappings for brk()'s heap, then each arena, and asks for the pages of its free blocks right after, while they are still what
 * they were. The process is never stopped: arenas that change all the time stay unknown, each for itself.
 */
#include "tool/heap_glibc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tool/cmd.h"

/* Room for free blocks grows up to this: 256 MiB. */
#define CHUNK_ROOM_FIRST 65536
#define CHUNK_ROOM_MAX   (16u << 20)

#define ARENA_ROOM_FIRST 128

/* More threads than this have their caches bounded, not counted. */
#define TCACHE_ROOM 4096

/* A thread's variables lie at most this far below the end of its stack: descriptor, thread-local memory of the libraries, alignment. Smaller
 * mappings are searched whole: the first thread's are in one. */
#define THREAD_END_BYTES   (12 << 10)
#define THREAD_WHOLE_BYTES (32 << 10)

/* An arena that moves is looked at again after a pause, so often: together 30 ms, longer than a burst of frees. */
#define CALM_ATTEMPTS 10
#define CALM_PAUSE_MS 3

static uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* ---- finding it ---- */

static bool is_libc(const struct ebb_map *map)
{
    static const char *const NAMES[] = {"libc.so.6", "libc-2."};
    const char *slash = map->name_len == 0 ? NULL : memrchr(map->name, '/', map->name_len);
    size_t len;

    if (slash == NULL)
        return false;
    slash++;
    len = (size_t)(map->name + map->name_len - slash);
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++)
        if (len >= strlen(NAMES[i]) && memcmp(slash, NAMES[i], strlen(NAMES[i])) == 0)
            return true;
    return false;
}

static bool is_heap(const struct ebb_map *map)
{
    return map->name_len == 6 && memcmp(map->name, "[heap]", 6) == 0;
}

static void take_name(struct ebb_heap_glibc *heap, const struct ebb_map *map)
{
    if (ebb__maps_name_decode(map, heap->library, sizeof(heap->library)) != 0)
        snprintf(heap->library, sizeof(heap->library), "libc.so.6");
    for (char *c = heap->library; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
}

/* Where the C library and brk()'s heap are. With NULL only the heap is looked for; the library's first
 * mapping comes without its name. */
static int read_maps(struct ebb_heap_glibc *heap, struct ebb_map *ret_library)
{
    static struct ebb_vma_query query;
    struct ebb_glibc_process *process = heap->process;
    uint64_t inode = 0;
    struct ebb_map map;
    bool any = false;
    int got = ebb__vma_query_open(&query, "", heap->target->pid, false);

    if (got != 0)
        return got;
    process->heap_start = 0;
    process->heap_end = 0;
    while ((got = ebb__vma_query_next(&query, &map)) > 0 || got == -EBADMSG || got == -EMSGSIZE) {
        if (got < 0)
            continue;
        any = true;
        if (is_heap(&map)) {
            process->heap_start = process->heap_start == 0 ? map.start : process->heap_start;
            process->heap_end = map.end;
        }
        if (ret_library == NULL || !is_libc(&map) || (inode != 0 && map.inode != inode))
            continue;
        if (inode == 0) {
            inode = map.inode;
            *ret_library = map;
            take_name(heap, &map);
        }
        /* Constants stand in a mapping of their own, or, in older libraries, with the code. */
        if (map.readable && !map.writable && heap->minor == 0)
            ebb__glibc_version(process, map.start, map.end, &heap->minor);
        if (map.readable && map.writable) {
            process->data_start = map.start;
            process->data_end = map.end;
        }
    }
    ebb__vma_query_close(&query);
    return got == 0 && !any ? -ESRCH : got;
}

/* Notes why the heap cannot be looked into, with what tells which library it is. */
static int refuse(struct ebb_heap_glibc *heap, const char *what)
{
    snprintf(heap->why, sizeof(heap->why), "%.500s, %s (build-id %s)", heap->library, what,
             heap->build_id[0] != '\0' ? heap->build_id : "not known");
    return -EOPNOTSUPP;
}

/* Where the library has symbols, they must agree, and tell where the tuning values are if nothing else does. */
static int check_symbols(struct ebb_heap_glibc *heap, const struct ebb_map *map)
{
    uint64_t address;

    if (!ebb__heap_symbol(heap->pid, map, heap->build_id, "main_arena", &address))
        return 0;
    if (address != heap->glibc.main_arena)
        return refuse(heap, "but what looks like its main arena is not where its symbols say");
    heap->by_symbol = true;
    if (!ebb__heap_symbol(heap->pid, map, heap->build_id, "mp_", &address))
        return 0;
    if (heap->glibc.has_par && address != heap->glibc.par_address)
        return refuse(heap, "but what looks like its tuning values is not where its symbols say");
    if (!heap->glibc.has_par)
        ebb__glibc_par_at(heap->process, &heap->glibc, address);
    return 0;
}

int ebb__heap_glibc_open(struct ebb_heap_glibc *heap, const struct ebb_target *target)
{
    const struct ebb_glibc_layout *layout;
    struct ebb_map map = {0};
    char what[96];
    int err;

    memset(heap, 0, sizeof(*heap));
    heap->target = target;
    heap->arena_room = ARENA_ROOM_FIRST;
    heap->chunk_room = CHUNK_ROOM_FIRST;
    heap->process = calloc(1, sizeof(*heap->process));
    heap->addresses = calloc(heap->arena_room, sizeof(*heap->addresses));
    heap->arenas = calloc(heap->arena_room, sizeof(*heap->arenas));
    heap->chunks = calloc(heap->chunk_room, sizeof(*heap->chunks));
    heap->tcaches.room = TCACHE_ROOM;
    heap->tcaches.addresses = calloc(TCACHE_ROOM, sizeof(*heap->tcaches.addresses));
    if (heap->process == NULL || heap->addresses == NULL || heap->arenas == NULL || heap->chunks == NULL ||
        heap->tcaches.addresses == NULL)
        return -ENOMEM;
    heap->process->peek = ebb__peek_process;
    heap->process->peek_many = ebb__peek_many_process;
    heap->pid = target->pid;
    heap->process->context = &heap->pid;
    heap->process->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    err = read_maps(heap, &map);
    if (err != 0)
        return err;
    if (map.end == 0)
        return refuse(heap, "but no C library is mapped under its name");
    ebb__glibc_build_id(heap->process, map.start, heap->build_id);
    if (heap->minor == 0)
        return refuse(heap, "in which no version was found");
    layout = ebb__glibc_layout(heap->minor);
    if (layout == NULL) {
        snprintf(what, sizeof(what), "of version 2.%u, whose layout this command does not know", heap->minor);
        return refuse(heap, what);
    }
    err = ebb__glibc_find(heap->process, layout, &heap->glibc);
    if (err == -ENOENT) {
        snprintf(what, sizeof(what),
                 "of version 2.%u, but nothing in it looks like that version's main arena", heap->minor);
        return refuse(heap, what);
    }
    if (err != 0)
        return err;
    map.name = heap->library;
    map.name_len = strlen(heap->library);
    return check_symbols(heap, &map);
}

void ebb__heap_glibc_close(struct ebb_heap_glibc *heap)
{
    free(heap->process);
    free(heap->addresses);
    free(heap->arenas);
    free(heap->chunks);
    free(heap->tcaches.addresses);
}

/* ---- looking ---- */

/* Many small ranges are near each other: the states of this many pages are asked for at once. */
#define WINDOW_PAGES 256

struct count {
    struct ebb_pages *pages; /* NULL: which are resident cannot be asked */
    struct ebb_heap_pages *parts;
    uint64_t window_start; /* whose states are in `states`; both 0: nothing's */
    uint64_t window_end;
    uint8_t states[WINDOW_PAGES];
};

/* A small range, by the window that holds it, or a new one that begins with it. */
static int count_in_window(struct count *count, uint64_t start, uint64_t end,
                           struct ebb_pages_count *ret_found)
{
    uint64_t page = count->pages->page_bytes;

    if (start < count->window_start || end > count->window_end) {
        int err = ebb__pages_states(count->pages, start, start + WINDOW_PAGES * page, count->states);

        if (err != 0)
            return err;
        count->window_start = start;
        count->window_end = start + WINDOW_PAGES * page;
    }
    for (uint64_t at = start; at < end; at += page) {
        uint8_t state = count->states[(at - count->window_start) / page];

        ret_found->resident_bytes += state == EBB_PAGE_RESIDENT ? page : 0;
        ret_found->swapped_bytes += state == EBB_PAGE_SWAPPED ? page : 0;
    }
    return 0;
}

static int count_range(void *context, enum ebb_glibc_trim_part part, uint64_t start, uint64_t end)
{
    struct count *count = context;
    struct ebb_pages_count found = {0};
    int err = 0;

    if (count->pages != NULL)
        err = end - start <= WINDOW_PAGES * count->pages->page_bytes
                  ? count_in_window(count, start, end, &found)
                  : ebb__pages_count(count->pages, start, end, &found);
    /* A range that has been unmapped since holds nothing. */
    if (err != 0 && err != -EFAULT && err != -EINVAL)
        return err;
    count->parts[part].whole_bytes += end - start;
    count->parts[part].resident_bytes += found.resident_bytes;
    count->parts[part].swapped_bytes += found.swapped_bytes;
    return 0;
}

static int by_address(const void *a, const void *b)
{
    const struct ebb_glibc_chunk *left = a;
    const struct ebb_glibc_chunk *right = b;

    return (left->address > right->address) - (left->address < right->address);
}

static int grow_chunks(struct ebb_heap_glibc *heap)
{
    size_t room = heap->chunk_room * 4 < CHUNK_ROOM_MAX ? heap->chunk_room * 4 : CHUNK_ROOM_MAX;
    struct ebb_glibc_chunk *chunks;

    if (heap->chunk_room == CHUNK_ROOM_MAX)
        return -E2BIG;
    chunks = reallocarray(heap->chunks, room, sizeof(*chunks));
    if (chunks == NULL)
        return -ENOMEM;
    heap->chunks = chunks;
    heap->chunk_room = room;
    return 0;
}

/* Reads one arena, with patience. 0 or -errno: -EAGAIN when it does not come to rest. */
static int read_arena(struct ebb_heap_glibc *heap, uint64_t address, struct ebb_glibc_arena *ret_arena)
{
    const struct timespec pause = {.tv_nsec = CALM_PAUSE_MS * 1000000L};
    unsigned attempts = 0;

    for (;;) {
        int err = ebb__glibc_arena_read(heap->process, &heap->glibc, address, heap->chunks, heap->chunk_room,
                                        ret_arena);

        if (err == -ENOSPC) {
            err = grow_chunks(heap);
            if (err != 0)
                return err;
            continue;
        }
        if (err != -EAGAIN || ++attempts == CALM_ATTEMPTS)
            return err;
        nanosleep(&pause, NULL);
    }
}

/* The main arena's top ends where the heap does, unless one of them has moved between two reads, or another function has called brk(). */
static int read_main_arena(struct ebb_heap_glibc *heap, uint64_t address, struct ebb_glibc_arena *ret_arena)
{
    int err = 0;

    for (unsigned i = 0; i < CALM_ATTEMPTS && err == 0; i++) {
        err = read_arena(heap, address, ret_arena);
        if (err == 0)
            err = read_maps(heap, NULL);
        if (err == 0 &&
            (ret_arena->top_bytes == 0 || ret_arena->top + ret_arena->top_bytes == heap->process->heap_end))
            break;
    }
    return err;
}

static int look_at_arena(struct ebb_heap_glibc *heap, uint64_t address, struct ebb_pages *pages,
                         struct ebb_heap_arena *ret_arena)
{
    struct ebb_glibc_trim_rules rules = {
        .page_bytes = heap->process->page_bytes,
        .thp_page_bytes = heap->glibc.par[EBB_GLIBC_PAR_THP_PAGE],
    };
    struct count count = {.pages = pages, .parts = ret_arena->pages};
    struct ebb_glibc_arena *arena = &ret_arena->arena;
    bool is_main = address == heap->glibc.main_arena;
    int err;

    memset(ret_arena, 0, sizeof(*ret_arena));
    err = is_main ? read_main_arena(heap, address, arena) : read_arena(heap, address, arena);
    if (err == 0) {
        rules.brk_end = heap->process->heap_end;
        qsort(heap->chunks, arena->chunk_count, sizeof(*heap->chunks), by_address);
        err = ebb__glibc_trim(arena, heap->chunks, arena->chunk_count, &rules, count_range, &count);
    }
    if (err == 0)
        return 0;
    if (err != -EAGAIN && err != -EBADMSG && err != -E2BIG)
        return err;
    memset(ret_arena, 0, sizeof(*ret_arena));
    ret_arena->err = err;
    return ebb__glibc_arena_head(heap->process, &heap->glibc, address, arena);
}

static void add_pages(struct ebb_heap_pages *sum, const struct ebb_heap_pages *pages)
{
    sum->whole_bytes += pages->whole_bytes;
    sum->resident_bytes += pages->resident_bytes;
    sum->swapped_bytes += pages->swapped_bytes;
}

uint64_t ebb__heap_arena_free(const struct ebb_glibc_arena *arena)
{
    uint64_t bytes = arena->top_bytes;

    for (unsigned i = 0; i < EBB_GLIBC_KIND_COUNT; i++)
        bytes += arena->kinds[i].bytes;
    return bytes;
}

static void add_arena(struct ebb_heap_sum *sum, const struct ebb_heap_arena *arena)
{
    sum->system_bytes += arena->arena.system_bytes;
    sum->peak_bytes += arena->arena.peak_bytes;
    if (arena->err != 0) {
        sum->err = sum->unknown_count++ == 0 ? arena->err : sum->err;
        return;
    }
    sum->top_bytes += arena->arena.top_bytes;
    sum->free_bytes += ebb__heap_arena_free(&arena->arena);
    sum->live_bytes += arena->arena.system_bytes - ebb__heap_arena_free(&arena->arena);
    sum->free_count += arena->arena.chunk_count;
    for (unsigned i = 0; i < EBB_GLIBC_KIND_COUNT; i++) {
        sum->kinds[i].count += arena->arena.kinds[i].count;
        sum->kinds[i].bytes += arena->arena.kinds[i].bytes;
    }
    for (unsigned i = 0; i < EBB_GLIBC_BUCKETS; i++) {
        sum->buckets[i].count += arena->arena.buckets[i].count;
        sum->buckets[i].bytes += arena->arena.buckets[i].bytes;
    }
    for (unsigned i = 0; i < EBB_GLIBC_TRIM_PART_COUNT; i++)
        add_pages(&sum->pages[i], &arena->pages[i]);
}

/* The ring, with room for it. */
static int find_arenas(struct ebb_heap_glibc *heap)
{
    for (unsigned i = 0; i < CALM_ATTEMPTS; i++) {
        int err = ebb__glibc_arenas(heap->process, &heap->glibc, heap->addresses, heap->arena_room,
                                    &heap->arena_count);

        if (err != -E2BIG || heap->arena_room >= EBB_GLIBC_ARENAS_MAX)
            return err;
        heap->arena_room *= 4;
        free(heap->addresses);
        free(heap->arenas);
        heap->addresses = calloc(heap->arena_room, sizeof(*heap->addresses));
        heap->arenas = calloc(heap->arena_room, sizeof(*heap->arenas));
        if (heap->addresses == NULL || heap->arenas == NULL)
            return -ENOMEM;
    }
    return -E2BIG;
}

/* Counts what is in the caches of threads, in mappings that can be their stacks. */
static int find_tcaches(struct ebb_heap_glibc *heap)
{
    static struct ebb_vma_query query;
    struct ebb_glibc_process *process = heap->process;
    struct ebb_map map;
    int got = ebb__vma_query_open(&query, "", heap->target->pid, false);

    if (got != 0)
        return got;
    heap->tcaches = (struct ebb_glibc_tcaches){.addresses = heap->tcaches.addresses, .room = TCACHE_ROOM};
    while ((got = ebb__vma_query_next(&query, &map)) > 0 || got == -EBADMSG || got == -EMSGSIZE) {
        uint64_t start = got > 0 ? map.start : 0;

        /* Stacks have no name, or a name of anonymous memory. A heap's head is no stack. */
        if (got < 0 || !map.readable || !map.writable || map.shared || map.inode != 0 || is_heap(&map) ||
            map.start % heap->glibc.heap_align == 0)
            continue;
        if (map.end - start > THREAD_WHOLE_BYTES)
            start = map.end - THREAD_END_BYTES;
        ebb__glibc_tcaches_in(process, &heap->glibc, start, map.end, &heap->tcaches);
    }
    ebb__vma_query_close(&query);
    return got;
}

static struct ebb_fact field(const struct ebb_status *status, int err, enum ebb_status_field which,
                             uint64_t value)
{
    if (err != 0)
        return ebb__fact_unknown(err);
    return ebb__status_has(status, which) ? ebb__fact(value) : ebb__fact_unknown(-ENODATA);
}

static void read_status(struct ebb_heap_glibc *heap)
{
    struct ebb_status status = {0};
    int err = ebb__status_read("", heap->target->pid, &status);

    heap->rss = field(&status, err, EBB_STATUS_VM_RSS, status.vm_rss_bytes);
    heap->anon = field(&status, err, EBB_STATUS_RSS_ANON, status.rss_anon_bytes);
    heap->threads = field(&status, err, EBB_STATUS_THREADS, status.threads);
    heap->locked = field(&status, err, EBB_STATUS_VM_LCK, status.vm_lck_bytes);
}

int ebb__heap_glibc_look(struct ebb_heap_glibc *heap)
{
    uint64_t start_us = now_us();
    struct ebb_pages pages = {.fd = -1};
    int err;

    heap->process->peeks = 0;
    heap->process->peeked_bytes = 0;
    memset(&heap->sum, 0, sizeof(heap->sum));
    read_status(heap);
    heap->pages_err = ebb__pages_open(&pages, "", heap->target->pid, false);
    err = read_maps(heap, NULL);
    if (err == 0)
        err = find_arenas(heap);
    for (size_t i = 0; i < heap->arena_count && err == 0; i++) {
        err = look_at_arena(heap, heap->addresses[i], heap->pages_err == 0 ? &pages : NULL, &heap->arenas[i]);
        if (err == 0)
            add_arena(&heap->sum, &heap->arenas[i]);
    }
    ebb__pages_close(&pages);
    if (err == 0 && heap->glibc.has_par) {
        heap->par_err = ebb__glibc_par_read(heap->process, &heap->glibc);
        err = heap->par_err == -EAGAIN ? 0 : heap->par_err;
    }
    if (err == 0)
        err = find_tcaches(heap);
    heap->at_ms = start_us / 1000;
    heap->took_us = now_us() - start_us;
    return err;
}

uint64_t ebb__heap_fragments(const struct ebb_heap_sum *sum)
{
    uint64_t whole = 0;

    for (unsigned i = 0; i < EBB_GLIBC_TRIM_PART_COUNT; i++)
        whole += sum->pages[i].whole_bytes;
    return sum->free_bytes - whole;
}

bool ebb__heap_glibc_verdict_look(const struct ebb_heap_glibc *heap, struct ebb_heap_look *ret_look)
{
    const struct ebb_heap_sum *sum = &heap->sum;
    uint64_t mapped = heap->glibc.par[EBB_GLIBC_PAR_MAPPED];

    if (sum->unknown_count != 0 || heap->pages_err != 0 || heap->par_err != 0)
        return false;
    *ret_look = (struct ebb_heap_look){
        .system_bytes = sum->system_bytes + mapped,
        .live_bytes = sum->live_bytes + mapped,
        .trim_bytes =
            sum->pages[EBB_GLIBC_TRIM_BLOCKS].resident_bytes + sum->pages[EBB_GLIBC_TRIM_TOP].resident_bytes,
        .kept_bytes = sum->pages[EBB_GLIBC_TRIM_KEPT].resident_bytes,
        .fragment_bytes = ebb__heap_fragments(sum),
    };
    return true;
}
