/* SPDX-License-Identifier: MIT
 *
 * The frame of the stress cases: stress CASE. STRESS_SECONDS (2 by default) and STRESS_THREADS (4) in the
 * environment set the size of the run, TEST_SEED repeats one as far as threads can be repeated.
 */
#include "stress/stress.h"

#include "stress/names.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { THREADS_MAX = 256, WHOLE_BYTES = 64 * 1024, STEP_BYTES = 1021 };

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

bool stress_goes_on(const struct stress *stress)
{
    return now_ns() < stress->until_ns;
}

void stress_run_threads(const struct stress *stress, void *(*work)(void *), void *shared)
{
    static struct stress_thread contexts[THREADS_MAX];
    static pthread_t threads[THREADS_MAX];
    unsigned started = 0;
    for (; started < stress->threads; started++) {
        contexts[started] = (struct stress_thread){stress, started, stress->seed + started * 7919u, shared};
        if (!CHECK(pthread_create(&threads[started], NULL, work, &contexts[started]) == 0)) {
            break;
        }
    }
    for (unsigned i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
    }
}

size_t stress_size(uint64_t *random)
{
    uint64_t choice = conform_random(random) % 200;
    unsigned shift = choice < 190 ? 5 + (unsigned)(choice % 11) : 16 + (unsigned)(choice % 7);
    return conform_between(random, sizeof(struct stress_block), (size_t)1 << shift);
}

/* Large blocks are written in steps: the time belongs to the allocator. */
static void paint(struct stress_block *block)
{
    size_t room_bytes = block->size_bytes - sizeof(*block);
    if (room_bytes <= WHOLE_BYTES / 16) {
        conform_fill(block + 1, room_bytes, block->tag);
    } else {
        conform_stamp(block + 1, room_bytes, STEP_BYTES, block->tag);
    }
}

void stress_block_verify(const struct stress_block *block)
{
    size_t room_bytes = block->size_bytes - sizeof(*block);
    size_t at = room_bytes <= WHOLE_BYTES / 16
                    ? conform_differs(block + 1, room_bytes, block->tag)
                    : conform_stamp_differs(block + 1, room_bytes, STEP_BYTES, block->tag);
    CHECK(at == room_bytes, "block %p of %zu bytes was overwritten at %zu", (const void *)block,
          block->size_bytes, at + sizeof(*block));
}

static bool is_zero(const void *block, size_t size_bytes)
{
    const unsigned char *bytes = block;
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, size_bytes - 1) == 0;
}

struct stress_block *stress_block_new(size_t size_bytes, size_t alignment_bytes, uint64_t *random)
{
    struct stress_block *block;
    uint64_t tag = conform_random(random);
    if (alignment_bytes != 0) {
        block = st_aligned_alloc(alignment_bytes, size_bytes);
        CHECK((uintptr_t)block % alignment_bytes == 0, "%p, alignment %zu", (void *)block, alignment_bytes);
    } else if (tag % 8 == 0) {
        block = st_calloc(1, size_bytes);
        CHECK(block == NULL || is_zero(block, size_bytes), "calloc of %zu bytes is not zero", size_bytes);
    } else {
        block = st_malloc(size_bytes);
    }
    if (!CHECK(block != NULL, "%zu bytes", size_bytes)) {
        return NULL;
    }
    CHECK((uintptr_t)block % 16 == 0 && st_usable_size(block) >= size_bytes, "%p, %zu bytes", (void *)block,
          size_bytes);
    block->size_bytes = size_bytes;
    block->tag = tag;
    paint(block);
    return block;
}

struct stress_block *stress_block_resize(struct stress_block *block, size_t size_bytes)
{
    struct stress_block old = *block;
    struct stress_block *moved = st_realloc(block, size_bytes);
    if (!CHECK(moved != NULL, "realloc from %zu to %zu bytes", old.size_bytes, size_bytes)) {
        return block;
    }
    CHECK(moved->size_bytes == old.size_bytes && moved->tag == old.tag, "realloc lost the first bytes");
    if (size_bytes >= old.size_bytes) {
        stress_block_verify(moved);
    }
    moved->size_bytes = size_bytes;
    moved->tag++;
    paint(moved);
    return moved;
}

void stress_block_free(struct stress_block *block)
{
    if (block != NULL) {
        stress_block_verify(block);
        st_free(block);
    }
}

/* The library's own walk over its whole structure, where there is one. */
static void check_heap(void)
{
#if STRESS_EBB_API
    CHECK(ebb_check() == 0, "the heap is damaged");
#else
    int (*check)(void) = (int (*)(void))dlsym(RTLD_DEFAULT, "ebb_check");
    CHECK(check == NULL || check() == 0, "the heap is damaged");
#endif
}

static unsigned from_environment(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);
    return text != NULL && text[0] != '\0' ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(const struct stress *stress);
    } cases[] = {
        {"mix", stress_mix},     {"aligned", stress_aligned},         {"resize", stress_resize},
        {"rings", stress_rings}, {"thread_exit", stress_thread_exit}, {"fork", stress_fork},
    };
    unsigned seconds = from_environment("STRESS_SECONDS", 2);
    unsigned threads = from_environment("STRESS_THREADS", 4);
    conform_start(seconds + 120);
    for (size_t i = 0; argc == 2 && i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (strcmp(cases[i].name, argv[1]) == 0) {
            struct stress stress = {
                .seed = conform_seed(),
                .threads = threads < 1             ? 1
                           : threads > THREADS_MAX ? THREADS_MAX
                                                   : threads,
                .until_ns = now_ns() + seconds * (uint64_t)1000000000,
            };
            cases[i].run(&stress);
            check_heap();
            return conform_end();
        }
    }
    dprintf(2, "usage: stress mix|aligned|resize|rings|thread_exit|fork\n");
    return 2;
}
