/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: glibc's malloc in a made-up process, whose memory the input changes, before and while it is read.
 *
 * The first byte chooses the version and whether only the walks or also the search sees the changes. Then follow changes of 8 bytes: where
 * (2 bytes, counted in words), when (2 bytes, counted in reads), and what (4 bytes; the highest two bits say whether it is a number, or an
 * address in the data, in brk()'s heap, or in the other one).
 */
#include "fuzz.h"

#include <errno.h>
#include <string.h>

#include "../unit/probe/glibc_image.h"

#define CHUNKS 2048

/* The largest honest walk has some 100 reads, and there are 8 attempts with two walks. Fast blocks may go in circles until the arena's bytes
 * are used up, though mostly inside the cache. */
#define READS_MAX 100000

static const uint8_t *changes;
static size_t change_count;

static void change(struct image *image)
{
    static const uint64_t BASES[4] = {0, IMAGE_DATA, IMAGE_BRK, IMAGE_HEAP};

    FUZZ_CHECK(image->reads < READS_MAX);
    for (size_t i = 0; i < change_count; i++) {
        uint16_t where;
        uint16_t when;
        uint32_t what;
        uint64_t at;
        uint8_t *bytes;

        memcpy(&where, changes + i * 8, 2);
        memcpy(&when, changes + i * 8 + 2, 2);
        memcpy(&what, changes + i * 8 + 4, 4);
        if (when != image->reads)
            continue;
        at = (uint64_t)where % ((sizeof(image->data) + sizeof(image->brk) + sizeof(image->heap)) / 8) * 8;
        bytes = at < sizeof(image->data) ? image->data + at
                : at < sizeof(image->data) + sizeof(image->brk)
                    ? image->brk + (at - sizeof(image->data))
                    : image->heap + (at - sizeof(image->data) - sizeof(image->brk));
        at = BASES[what >> 30] + (what & 0x3fffffff);
        memcpy(bytes, &at, 8);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ebb_glibc_chunk chunks[CHUNKS];
    static const unsigned MINORS[4] = {28, 31, 34, 41};
    const struct ebb_glibc_layout *layout;
    static struct ebb_glibc_process *process; /* of several MiB */
    struct ebb_glibc glibc;
    struct image *image;
    uint64_t addresses[16];
    struct ebb_glibc_tcaches caches = {.addresses = addresses, .room = 16};
    uint64_t arenas[16];
    size_t count;
    int err;

    if (size < 1)
        return 0;
    layout = ebb__glibc_layout(MINORS[data[0] & 3]);
    image = image_new(layout);
    if (process == NULL)
        process = image_process(image);
    process->context = image;
    changes = data + 1;
    change_count = (size - 1) / 8 < 256 ? (size - 1) / 8 : 256;
    if ((data[0] & 4) != 0)
        image->moved = change;
    err = ebb__glibc_find(process, layout, &glibc);
    image->moved = change;
    image->reads = 0;
    if (err == 0 && ebb__glibc_arenas(process, &glibc, arenas, 16, &count) == 0) {
        FUZZ_CHECK(count >= 1 && count <= 16 && arenas[0] == glibc.main_arena);
        for (size_t i = 0; i < count; i++) {
            struct ebb_glibc_arena arena;
            uint64_t bytes = 0;

            if (ebb__glibc_arena_read(process, &glibc, arenas[i], chunks, CHUNKS, &arena) != 0)
                continue;
            FUZZ_CHECK(arena.chunk_count <= CHUNKS);
            for (size_t c = 0; c < arena.chunk_count; c++) {
                FUZZ_CHECK(chunks[c].address % 16 == 0 && chunks[c].bytes >= 32);
                bytes += chunks[c].bytes;
            }
            FUZZ_CHECK(bytes + arena.top_bytes <= arena.system_bytes);
            FUZZ_CHECK(arena.system_bytes <= arena.peak_bytes);
        }
        ebb__glibc_par_read(process, &glibc);
        ebb__glibc_tcaches_in(process, &glibc, IMAGE_DATA, IMAGE_DATA + IMAGE_DATA_BYTES, &caches);
        ebb__glibc_tcaches_in(process, &glibc, IMAGE_BRK, IMAGE_BRK + 0x4000, &caches);
        FUZZ_CHECK(caches.count <= 16 && (caches.count == 0) == (caches.blocks == 0));
    }
    free(image);
    return 0;
}
