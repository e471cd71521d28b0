/* SPDX-License-Identifier: MIT
 *
 * The functions that tell and tune: mallinfo, mallinfo2, malloc_info, malloc_stats, malloc_trim, mallopt.
 */
#include "conform/conform.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BLOCKS = 2000, BLOCK_BYTES = 10000 };

static size_t in_use_bytes(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static void mallinfo_follows_the_load(void)
{
    static void *blocks[BLOCKS];
    size_t before_bytes = in_use_bytes();
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(BLOCK_BYTES);
        memset(blocks[i], 1, BLOCK_BYTES);
    }
    size_t load_bytes = (size_t)BLOCKS * BLOCK_BYTES;
    size_t with_bytes = in_use_bytes();
    CHECK(with_bytes >= before_bytes + load_bytes, "%zu before, %zu with %zu more", before_bytes, with_bytes,
          load_bytes);
    CHECK(with_bytes <= before_bytes + load_bytes + load_bytes / 4, "%zu before, %zu with %zu more",
          before_bytes, with_bytes, load_bytes);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    struct mallinfo narrow = mallinfo();
#pragma GCC diagnostic pop
    struct mallinfo2 wide = mallinfo2();
    CHECK((size_t)narrow.uordblks == wide.uordblks, "mallinfo %d, mallinfo2 %zu", narrow.uordblks,
          wide.uordblks);
    for (size_t i = 0; i < BLOCKS; i++) {
        free(blocks[i]);
    }
    size_t after_bytes = in_use_bytes();
    CHECK(after_bytes <= before_bytes + load_bytes / 10, "%zu before, %zu after all was freed", before_bytes,
          after_bytes);
}

static void malloc_info_writes_xml(void)
{
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    errno = 0;
    CHECK(malloc_info(1, stream) != 0, "an option other than 0 must fail");
    CHECK(malloc_info(0, stream) == 0, "errno %d", errno);
    fclose(stream);
    CHECK(length > 20 && strncmp(text, "<malloc ", 8) == 0, "it begins with \"%.20s\"", text);
    CHECK(strstr(text, "</malloc>") != NULL, "the element is not closed");
    free(text);
}

static void malloc_stats_writes_to_stderr(void)
{
    fflush(stderr);
    int saved = dup(STDERR_FILENO);
    int file = memfd_create("malloc_stats", MFD_CLOEXEC);
    if (!CHECK(saved >= 0 && file >= 0)) {
        return;
    }
    dup2(file, STDERR_FILENO);
    malloc_stats();
    fflush(stderr);
    dup2(saved, STDERR_FILENO);
    CHECK(lseek(file, 0, SEEK_END) > 10, "malloc_stats wrote nothing");
    close(file);
    close(saved);
}

static void trim_gives_back(void)
{
    for (int round = 0; round < 3; round++) {
        static void *blocks[BLOCKS];
        for (size_t i = 0; i < BLOCKS; i++) {
            blocks[i] = malloc(BLOCK_BYTES);
            memset(blocks[i], 1, BLOCK_BYTES);
        }
        for (size_t i = 0; i < BLOCKS; i++) {
            free(blocks[i]);
        }
        int given = malloc_trim(0);
        CHECK(given == 0 || given == 1, "malloc_trim returned %d", given);
    }
    int given = malloc_trim(SIZE_MAX);
    CHECK(given == 0 || given == 1, "malloc_trim(SIZE_MAX) returned %d", given);
}

int main(void)
{
    conform_start(60);
    mallinfo_follows_the_load();
    malloc_info_writes_xml();
    malloc_stats_writes_to_stderr();
    trim_gives_back();
    CHECK(mallopt(M_TRIM_THRESHOLD, 128 * 1024) == 1);
    CHECK(mallopt(M_MMAP_THRESHOLD, 256 * 1024) == 1);
    CHECK(mallopt(M_ARENA_MAX, 2) == 1);
    mallinfo_follows_the_load();
    return conform_end();
}
