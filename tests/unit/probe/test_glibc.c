/* SPDX-License-Identifier: MIT
 *
 * Tests of reading glibc's malloc: made-up processes of each layout, damaged and moving ones, and ourselves.
 */
#include "test_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

#include "glibc_image.h"
#include "probe/probe.h"

#define ROOM 64

static const unsigned MINORS[] = {28, 31, 33, 41};

#define MINOR_COUNT (sizeof(MINORS) / sizeof(MINORS[0]))

static void test_versions(void **state)
{
    static const struct {
        const char *text;
        unsigned minor; /* 0: none */
    } CASES[] = {
        {"GNU C Library (Debian GLIBC 2.36-9+deb12u14) stable release version 2.36.\nCopyright", 36},
        {"..GNU C Library (GNU libc) release release version 2.28.", 28},
        {"GNU C Library of something else. GNU C Library (x) development release version 2.41.9000.", 41},
        {"GNU C Library (GNU libc) stable release version 2.36", 0}, /* may have been cut */
        {"GNU C Library (GNU libc) stable release version 2.x.", 0},
        {"GNU C Library (GNU libc) stable release version 3.1.", 0},
        {"release version 2.36.", 0},
        {"GNU C Library", 0},
        {"", 0},
    };
    unsigned minor = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        bool found = ebb__glibc_banner(CASES[i].text, strlen(CASES[i].text), &minor);

        assert_int_equal(found, CASES[i].minor != 0);
        if (found)
            assert_int_equal(minor, CASES[i].minor);
    }
    assert_null(ebb__glibc_layout(27));
    assert_null(ebb__glibc_layout(42));
    for (minor = 28; minor <= 41; minor++) {
        const struct ebb_glibc_layout *layout = ebb__glibc_layout(minor);

        assert_non_null(layout);
        assert_int_equal(layout->heap_info_bytes, minor >= 35 ? 48 : 32);
        assert_int_equal(layout->hides_links, minor >= 32);
        assert_int_equal(layout->par[EBB_GLIBC_PAR_HUGE_PAGE] >= 0, minor >= 35);
    }
}

static void test_finds_and_reads(void **state)
{
    (void)state;
    for (size_t i = 0; i < MINOR_COUNT; i++) {
        const struct ebb_glibc_layout *layout = ebb__glibc_layout(MINORS[i]);
        struct image *image = image_new(layout);
        struct ebb_glibc_process *process = image_process(image);
        struct ebb_glibc_chunk chunks[ROOM];
        struct ebb_glibc_arena arena;
        struct ebb_glibc glibc;
        uint64_t arenas[4];
        size_t count;

        assert_int_equal(ebb__glibc_find(process, layout, &glibc), 0);
        assert_int_equal(glibc.main_arena, IMAGE_MAIN);
        assert_int_equal(glibc.heap_align, 64 << 20);
        assert_true(glibc.has_par);
        assert_int_equal(glibc.par[EBB_GLIBC_PAR_MMAP_THRESHOLD], 20975616);
        assert_int_equal(glibc.par[EBB_GLIBC_PAR_NO_DYNAMICS], 0);
        assert_int_equal(glibc.par[EBB_GLIBC_PAR_MMAPS], 3);
        assert_int_equal(glibc.par[EBB_GLIBC_PAR_MAPPED_PEAK], 0x90000);
        assert_int_equal(ebb__glibc_tcache_max_bytes(&glibc), 7 * (64 * 32 + 64 * 63 / 2 * 16));
        assert_int_equal(ebb__glibc_arenas(process, &glibc, arenas, 4, &count), 0);
        assert_int_equal(count, 2);
        assert_int_equal(arenas[0], IMAGE_MAIN);
        assert_int_equal(arenas[1], image->other);
        assert_int_equal(ebb__glibc_arenas(process, &glibc, arenas, 1, &count), -E2BIG);

        assert_int_equal(ebb__glibc_arena_read(process, &glibc, IMAGE_MAIN, chunks, ROOM, &arena), 0);
        assert_true(arena.is_main);
        assert_int_equal(arena.system_bytes, IMAGE_BRK_BYTES);
        assert_int_equal(arena.peak_bytes, 0x50000);
        assert_int_equal(arena.top_bytes, IMAGE_BRK_BYTES - 0x9000);
        assert_int_equal(arena.heap_count, 0);
        assert_int_equal(arena.chunk_count, 7);
        assert_int_equal(arena.kinds[EBB_GLIBC_FAST].count, 2);
        assert_int_equal(arena.kinds[EBB_GLIBC_FAST].bytes, 64);
        assert_int_equal(arena.kinds[EBB_GLIBC_UNSORTED].bytes, 0x2550);
        assert_int_equal(arena.kinds[EBB_GLIBC_SMALL].bytes, 0x50);
        assert_int_equal(arena.kinds[EBB_GLIBC_LARGE].count, 2);
        assert_int_equal(arena.kinds[EBB_GLIBC_LARGE].bytes, 0x3400);
        assert_int_equal(arena.buckets[5].count, 2);
        assert_int_equal(arena.buckets[6].bytes, 0x90);
        assert_int_equal(arena.buckets[13].bytes, 0x5510);
        assert_int_equal(chunks[0].address, IMAGE_BRK + 0x4240);
        assert_int_equal(chunks[1].address, IMAGE_BRK + 0x4200);
        assert_int_equal(ebb__glibc_arena_read(process, &glibc, IMAGE_MAIN, chunks, 6, &arena), -ENOSPC);

        assert_int_equal(ebb__glibc_arena_read(process, &glibc, image->other, chunks, ROOM, &arena), 0);
        assert_false(arena.is_main);
        assert_int_equal(arena.heap_count, 1);
        assert_int_equal(arena.kinds[EBB_GLIBC_FAST].bytes, 176);
        assert_int_equal(arena.kinds[EBB_GLIBC_SMALL].bytes, 32);
        assert_int_equal(ebb__glibc_arena_head(process, &glibc, image->other, &arena), 0);
        assert_int_equal(arena.peak_bytes, 0x40000);
        free(process);
        free(image);
    }
}

/* What is no main arena of this version is not taken for one. */
static void test_refuses_what_does_not_fit(void **state)
{
    static const struct {
        uint64_t address;
        uint64_t value;
    } DAMAGES[] = {
        {IMAGE_MAIN + ARENA_SYSTEM, 0x51000},            /* above the peak */
        {IMAGE_MAIN + ARENA_TOP, IMAGE_BRK + 0x9008},    /* not aligned */
        {IMAGE_MAIN + ARENA_NEXT, 0},                    /* no ring */
        {IMAGE_MAIN + ARENA_BINS + 30 * 16, 0},          /* a list without a beginning */
        {IMAGE_MAIN + ARENA_BINS + 30 * 16, IMAGE_BRK},  /* one end of an empty list */
        {IMAGE_BRK + 0x4100 + 24, IMAGE_BRK},            /* the first block does not lead back */
        {IMAGE_BRK + 0x9000 + 8, 0x10011},               /* the top ends within a page */
        {IMAGE_BRK + 0x9000 + 8, 0xf00001},              /* or is larger than everything */
        {IMAGE_MAIN + ARENA_TOP, UINT64_C(0x700000000)}, /* the top is nowhere */
    };
    const struct ebb_glibc_layout *layout = ebb__glibc_layout(36);
    struct ebb_glibc glibc;

    (void)state;
    for (size_t i = 0; i < sizeof(DAMAGES) / sizeof(DAMAGES[0]); i++) {
        struct image *image = image_new(layout);
        struct ebb_glibc_process *process = image_process(image);

        image_set(image, DAMAGES[i].address, DAMAGES[i].value);
        if (ebb__glibc_find(process, layout, &glibc) != -ENOENT)
            fail_msg("damage %zu was not noticed", i);
        free(process);
        free(image);
    }
}

/* The tuning values of one version are none of another, and two places that fit are as bad as none. */
static void test_tuning_values_are_sure_or_unknown(void **state)
{
    struct image *image = image_new(ebb__glibc_layout(36));
    struct ebb_glibc_process *process = image_process(image);
    const struct ebb_glibc_layout *layout = ebb__glibc_layout(36);
    struct ebb_glibc glibc;

    (void)state;
    assert_int_equal(ebb__glibc_find(process, ebb__glibc_layout(31), &glibc), 0);
    assert_false(glibc.has_par);
    memcpy(image->data, image->data + 0x340, 136);
    assert_int_equal(ebb__glibc_find(process, layout, &glibc), 0);
    assert_false(glibc.has_par);
    memset(image->data, 0, 136);
    assert_int_equal(ebb__glibc_find(process, layout, &glibc), 0);
    assert_true(glibc.has_par);
    image_par(image, layout, EBB_GLIBC_PAR_MMAPS, 9); /* more than there ever were */
    assert_int_equal(ebb__glibc_par_read(process, &glibc), -EAGAIN);
    assert_int_equal(glibc.par[EBB_GLIBC_PAR_MMAPS], 3);
    image_par(image, layout, EBB_GLIBC_PAR_MMAPS, 4);
    assert_int_equal(ebb__glibc_par_read(process, &glibc), 0);
    assert_int_equal(glibc.par[EBB_GLIBC_PAR_MMAPS], 4);
    process->heap_start = 0;
    process->heap_end = 0;
    assert_int_equal(ebb__glibc_find(process, layout, &glibc), 0);
    assert_false(glibc.has_par);
    assert_int_equal(ebb__glibc_tcache_max_bytes(&glibc), 0);
    /* Symbols may tell what brk() does not. */
    assert_int_equal(ebb__glibc_par_at(process, &glibc, IMAGE_PAR + 8), -EAGAIN);
    assert_false(glibc.has_par);
    assert_int_equal(ebb__glibc_par_at(process, &glibc, IMAGE_PAR), 0);
    assert_true(glibc.has_par);
    assert_int_equal(glibc.par[EBB_GLIBC_PAR_MMAPS], 4);
    free(process);
    free(image);
}

/* A process that has allocated nothing with brk() has a main arena all the same. */
static void test_unused_main_arena(void **state)
{
    const struct ebb_glibc_layout *layout = ebb__glibc_layout(31);
    struct image *image = image_new(layout);
    struct ebb_glibc_process *process = image_process(image);
    struct ebb_glibc_chunk chunks[ROOM];
    struct ebb_glibc_arena arena;
    struct ebb_glibc glibc;

    (void)state;
    image_arena(image, IMAGE_MAIN, ebb__glibc_bin_head(IMAGE_MAIN, 1), 0, 0, 0);
    image_set(image, IMAGE_MAIN + ARENA_FASTBINS, 0);
    assert_int_equal(ebb__glibc_find(process, layout, &glibc), 0);
    assert_int_equal(ebb__glibc_arena_read(process, &glibc, IMAGE_MAIN, chunks, ROOM, &arena), 0);
    assert_int_equal(arena.system_bytes, 0);
    assert_int_equal(arena.top_bytes, 0);
    assert_int_equal(arena.chunk_count, 0);
    free(process);
    free(image);
}

/* Damage that stays is called damage, wherever it is, and the walk ends. */
static void test_damaged_arenas(void **state)
{
    static const struct {
        uint64_t address;
        uint64_t value;
    } DAMAGES[] = {
        {IMAGE_BRK + 0x4000 + 8, 0x41 + 8},               /* a size that is none */
        {IMAGE_BRK + 0x4000 + 8, 0x11},                   /* too small */
        {IMAGE_BRK + 0x4000 + 8, 0x43},                   /* a mapped block in a list */
        {IMAGE_BRK + 0x4100 + 8, 0x61},                   /* in the list of another size */
        {IMAGE_BRK + 0x5000 + 8, 0x441},                  /* the same among the large ones */
        {IMAGE_BRK + 0x1000 + 16, IMAGE_BRK + 0x1000},    /* a list that leads to itself */
        {IMAGE_BRK + 0x4000 + 16, IMAGE_BRK + 0x1000},    /* or in a circle */
        {IMAGE_BRK + 0x1000 + 16, IMAGE_BRK + 0x4008},    /* or to no block */
        {IMAGE_BRK + 0x1000 + 16, 0x700000},              /* or to nothing */
        {IMAGE_BRK + 0x4240 + 16, 0},                     /* a hidden link that was not hidden */
        {IMAGE_BRK + 0x4240 + 8, 0x31},                   /* a fast block of another size */
        {IMAGE_BRK + 0x1000 + 8, 0x30001},                /* more than the arena has */
        {IMAGE_BRK + 0x9000 + 8, 0x30001},                /* the top too */
        {IMAGE_MAIN + ARENA_TOP, IMAGE_BRK + 0x9008},     /* and where it is */
        {IMAGE_MAIN + ARENA_SYSTEM, UINT64_C(1) << 50},   /* above its peak */
        {IMAGE_MAIN + ARENA_BINS + 8, IMAGE_BRK + 0x4100} /* the last is another one */
    };
    const struct ebb_glibc_layout *layout = ebb__glibc_layout(36);
    struct ebb_glibc_chunk chunks[ROOM];
    struct ebb_glibc_arena arena;
    struct ebb_glibc glibc;

    (void)state;
    for (size_t i = 0; i < sizeof(DAMAGES) / sizeof(DAMAGES[0]); i++) {
        struct image *image = image_new(layout);
        struct ebb_glibc_process *process = image_process(image);
        int err;

        assert_int_equal(ebb__glibc_find(process, layout, &glibc), 0);
        image_set(image, DAMAGES[i].address, DAMAGES[i].value);
        image->reads = 0;
        err = ebb__glibc_arena_read(process, &glibc, IMAGE_MAIN, chunks, ROOM, &arena);
        if (err != -EBADMSG)
            fail_msg("damage %zu: %d", i, err);
        assert_true(image->reads < 2000);
        free(process);
        free(image);
    }
}

/* A circle of fast blocks, which have no way back, ends where the arena's bytes do. */
static void test_fast_circle(void **state)
{
    const struct ebb_glibc_layout *layout = ebb__glibc_layout(31);
    struct image *image = image_new(layout);
    struct ebb_glibc_process *process = image_process(image);
    static struct ebb_glibc_chunk chunks[8192];
    struct ebb_glibc_arena arena;
    struct ebb_glibc glibc;

    (void)state;
    assert_int_equal(ebb__glibc_find(process, layout, &glibc), 0);
    image_set(image, IMAGE_BRK + 0x4200 + 16, IMAGE_BRK + 0x4240);
    assert_int_equal(ebb__glibc_arena_read(process, &glibc, IMAGE_MAIN, chunks, 8192, &arena), -EBADMSG);
    assert_true(image->reads < 2000);
    assert_int_equal(ebb__glibc_arena_read(process, &glibc, IMAGE_MAIN, chunks, ROOM, &arena), -ENOSPC);
    free(process);
    free(image);
}

static void test_rings(void **state)
{
    const struct ebb_glibc_layout *layout = ebb__glibc_layout(36);
    struct image *image = image_new(layout);
    struct ebb_glibc_process *process = image_process(image);
    struct ebb_glibc_chunk chunks[ROOM];
    struct ebb_glibc_arena arena;
    uint64_t arenas[100];
    struct ebb_glibc glibc;
    size_t count;

    (void)state;
    assert_int_equal(ebb__glibc_find(process, layout, &glibc), 0);
    image_set(image, image->other + ARENA_NEXT, image->other); /* never back to the main arena */
    assert_int_equal(ebb__glibc_arenas(process, &glibc, arenas, 100, &count), -E2BIG);
    image_set(image, image->other + ARENA_NEXT, IMAGE_HEAP + 0x1000);
    assert_int_equal(ebb__glibc_arenas(process, &glibc, arenas, 100, &count), -EBADMSG);
    image_set(image, IMAGE_HEAP, IMAGE_MAIN); /* the heap belongs to another arena */
    assert_int_equal(ebb__glibc_arena_read(process, &glibc, image->other, chunks, ROOM, &arena), -EBADMSG);
    image_set(image, IMAGE_HEAP, image->other);
    image_set(image, IMAGE_HEAP + 8, IMAGE_HEAP); /* heaps in a circle */
    assert_int_equal(ebb__glibc_arena_read(process, &glibc, image->other, chunks, ROOM, &arena), -EBADMSG);
    image_set(image, IMAGE_HEAP + 8, 0);
    image_set(image, IMAGE_HEAP + 16, IMAGE_HEAP_BYTES - 4096); /* less than the arena says */
    assert_int_equal(ebb__glibc_arena_read(process, &glibc, image->other, chunks, ROOM, &arena), -EBADMSG);
    image->dead = -ESRCH;
    assert_int_equal(ebb__glibc_arena_read(process, &glibc, image->other, chunks, ROOM, &arena), -ESRCH);
    assert_int_equal(ebb__glibc_arenas(process, &glibc, arenas, 100, &count), -ESRCH);
    assert_int_equal(ebb__glibc_find(process, layout, &glibc), -ESRCH);
    free(process);
    free(image);
}

/* At each third read a block is taken from a list and put back at the next. */
static void move_now_and_then(struct image *image)
{
    uint64_t self = ebb__glibc_bin_head(IMAGE_MAIN, 5);
    uint64_t block = IMAGE_BRK + 0x4100;
    bool taken = image->reads % 3 == 0;

    image_set(image, self + 16, taken ? self : block);
    image_set(image, self + 24, taken ? self : block);
}

/* From the given read on the size of a block is another one, with nothing changed in the head. */
static unsigned change_at;

static void change_once(struct image *image)
{
    if (image->reads == change_at)
        image_set(image, IMAGE_BRK + 0x1000 + 8, 0x2521);
}

static void test_moving(void **state)
{
    const struct ebb_glibc_layout *layout = ebb__glibc_layout(36);
    struct image *image = image_new(layout);
    struct ebb_glibc_process *process = image_process(image);
    struct ebb_glibc_chunk chunks[ROOM];
    struct ebb_glibc_arena arena;
    struct ebb_glibc glibc;

    (void)state;
    assert_int_equal(ebb__glibc_find(process, layout, &glibc), 0);
    image->moved = move_now_and_then;
    assert_int_equal(ebb__glibc_arena_read(process, &glibc, IMAGE_MAIN, chunks, ROOM, &arena), -EAGAIN);
    image->moved = NULL;
    image_set(image, ebb__glibc_bin_head(IMAGE_MAIN, 5) + 16, IMAGE_BRK + 0x4100);
    image_set(image, ebb__glibc_bin_head(IMAGE_MAIN, 5) + 24, IMAGE_BRK + 0x4100);
    for (change_at = 1; change_at < 40; change_at++) {
        uint64_t bytes;

        image_set(image, IMAGE_BRK + 0x1000 + 8, 0x2511);
        image->reads = 0;
        image->moved = change_once;
        /* One change is survived, and what comes out is the state after it, or all of it from before. */
        assert_int_equal(ebb__glibc_arena_read(process, &glibc, IMAGE_MAIN, chunks, ROOM, &arena), 0);
        bytes = arena.kinds[EBB_GLIBC_UNSORTED].bytes;
        assert_true(bytes == 0x2550 || bytes == 0x2560);
        assert_int_equal(chunks[2].bytes, bytes - 0x40);
    }
    free(process);
    free(image);
}

/* Puts the cache of a thread at a block of the main arena, with `count` blocks in its third list. */
static void put_cache(struct image *image, const struct ebb_glibc_layout *layout, uint64_t block,
                      unsigned count, uint64_t first)
{
    uint64_t counters = 64 * (uint64_t)layout->tcache_count_bytes;

    image_set(image, block + 8, (counters == 64 ? 0x250u : 0x290u) | CHUNK_PREV_IN_USE);
    image_set(image, block + 16, (uint64_t)count << (layout->tcache_count_bytes * 16));
    image_set(image, block + 16 + counters + 16, first);
}

static void test_caches(void **state)
{
    (void)state;
    for (size_t i = 0; i < MINOR_COUNT; i++) {
        const struct ebb_glibc_layout *layout = ebb__glibc_layout(MINORS[i]);
        struct image *image = image_new(layout);
        struct ebb_glibc_process *process = image_process(image);
        uint64_t addresses[2];
        struct ebb_glibc_tcaches found = {.addresses = addresses, .room = 2};
        uint64_t block = IMAGE_BRK + 0x7000;
        uint64_t stack = IMAGE_DATA + 0x2000; /* any memory will do */
        struct ebb_glibc glibc;

        assert_int_equal(ebb__glibc_find(process, layout, &glibc), 0);
        put_cache(image, layout, block, 3, IMAGE_BRK + 0x8010);
        image_set(image, IMAGE_BRK + 0x8008, 0x41);
        ebb__glibc_tcaches_in(process, &glibc, stack, stack + 4096, &found);
        assert_int_equal(found.count, 0); /* nobody points to it */
        image_set(image, stack + 0x7f8, block + 16);
        image_set(image, stack + 0xff0, block + 16);
        image_set(image, stack + 0x10, IMAGE_BRK + 0x4110); /* another block */
        image_set(image, stack + 0x18, IMAGE_HEAP + 0x5020);
        image_set(image, stack + 0x20, UINT64_C(0x7fff00000010));
        ebb__glibc_tcaches_in(process, &glibc, stack, stack + 4096, &found);
        assert_int_equal(found.count, 1); /* once */
        assert_int_equal(found.blocks, 3);
        assert_int_equal(found.bytes, 3 * 64);

        /* What is not like a cache is none. */
        for (unsigned damage = 0; damage < 6; damage++) {
            put_cache(image, layout, block,
                      damage == 0   ? 0
                      : damage == 1 ? 8
                                    : 3,
                      damage == 2   ? 0
                      : damage == 3 ? IMAGE_BRK + 0x8018
                                    : IMAGE_BRK + 0x8010);
            image_set(image, IMAGE_BRK + 0x8008, damage == 4 ? 0x51 : 0x41);
            if (damage == 5)
                image_set(image, block + 8, 0x2a1);
            found = (struct ebb_glibc_tcaches){.addresses = addresses, .room = 2};
            ebb__glibc_tcaches_in(process, &glibc, stack, stack + 4096, &found);
            if (found.count != 0)
                fail_msg("damage %u was not noticed", damage);
        }
        free(process);
        free(image);
    }
}

/* Our own memory, also under an emulator that does not know process_vm_readv(). */
static int peek_ourselves(void *context, uint64_t address, void *buf, size_t len)
{
    int err = ebb__peek_process(context, address, buf, len);
    int fd;

    if (err != -ENOSYS)
        return err;
    fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    err = fd < 0 ? -errno : pread(fd, buf, len, (off_t)address) == (ssize_t)len ? 0 : -EFAULT;
    if (fd >= 0)
        close(fd);
    return err;
}

/* Ourselves: found without symbols, and the figures of mallinfo2() where the C library has it. */
static void test_ourselves(void **state)
{
    static struct ebb_glibc_process process;
    static struct ebb_glibc_chunk chunks[65536];
    const struct ebb_glibc_layout *layout = NULL;
    struct ebb_glibc_arena arena;
    pid_t pid = getpid();
    uint64_t base = 0;
    struct ebb_maps maps;
    struct ebb_map map;
    struct ebb_glibc glibc;
    unsigned minor = 0;
    bool inside = false;
    char id[EBB_GLIBC_BUILD_ID_BYTES] = "";
    void *keep[64];

    (void)state;
    for (unsigned i = 0; i < 64; i++)
        keep[i] = malloc(3000 + i * 64);
    for (unsigned i = 0; i < 64; i += 2)
        free(keep[i]);
    process.peek = peek_ourselves;
    process.context = &pid;
    process.page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    assert_int_equal(ebb__maps_open(&maps, "", pid), 0);
    while (ebb__maps_next(&maps, &map) > 0) {
        bool libc = map.name_len > 10 && memmem(map.name, map.name_len, "/libc.so.6", 10) != NULL;

        if (libc && !inside)
            base = map.start;
        inside = libc;
        if (libc && map.readable && !map.writable && minor == 0)
            ebb__glibc_version(&process, map.start, map.end, &minor);
        if (libc && map.writable) {
            process.data_start = map.start;
            process.data_end = map.end;
        }
        if (map.end == (uint64_t)(uintptr_t)sbrk(0)) {
            process.heap_start = map.start;
            process.heap_end = map.end;
        }
    }
    ebb__maps_close(&maps);
    if (process.data_start != 0 && minor != 0) /* neither with musl nor in a static test */
        layout = ebb__glibc_layout(minor);
    if (layout == NULL || getenv("LD_PRELOAD") != NULL || process.heap_start == 0)
        skip();
    ebb__glibc_build_id(&process, base, id);
    assert_true(strlen(id) == 0 || strlen(id) == 40);
    assert_int_equal(ebb__glibc_find(&process, layout, &glibc), 0);
    assert_int_equal(ebb__glibc_arena_read(&process, &glibc, glibc.main_arena, chunks, 65536, &arena), 0);
#if __GLIBC__ == 2 && __GLIBC_MINOR__ >= 33
    {
        struct mallinfo2 info = mallinfo2();

        assert_int_equal(info.arena, arena.system_bytes);
        assert_int_equal(info.keepcost, arena.top_bytes);
        assert_true(glibc.has_par);
        assert_int_equal(info.hblks, glibc.par[EBB_GLIBC_PAR_MMAPS]);
        assert_int_equal(info.hblkhd, glibc.par[EBB_GLIBC_PAR_MAPPED]);
        assert_int_equal(info.fsmblks, arena.kinds[EBB_GLIBC_FAST].bytes);
        assert_int_equal(info.smblks, arena.kinds[EBB_GLIBC_FAST].count);
        assert_int_equal(info.ordblks, arena.chunk_count - arena.kinds[EBB_GLIBC_FAST].count + 1);
    }
#endif
    for (unsigned i = 1; i < 64; i += 2)
        free(keep[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_finds_and_reads),
        cmocka_unit_test(test_refuses_what_does_not_fit),
        cmocka_unit_test(test_tuning_values_are_sure_or_unknown),
        cmocka_unit_test(test_unused_main_arena),
        cmocka_unit_test(test_damaged_arenas),
        cmocka_unit_test(test_fast_circle),
        cmocka_unit_test(test_rings),
        cmocka_unit_test(test_moving),
        cmocka_unit_test(test_caches),
        cmocka_unit_test(test_ourselves),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
