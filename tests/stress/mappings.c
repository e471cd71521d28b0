/* SPDX-License-Identifier: MIT
 *
 * Counts the anonymous mappings of a process under loads that make other allocators split or multiply them.
 *
 *   mappings LOAD
 *
 * prints "start=N peak=N" for mappings.py, which compares with the same program under no load. The counting
 * itself allocates nothing. Not counted: the stack, what the kernel maps, and the .bss behind a file's
 * mapping. Stacks of threads are cut from .bss for that reason.
 */
#include "conform/conform.h"

#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    THREADS = 1000,
    STACK_BYTES = 64 * 1024,
    LOAD_BYTES = 96 << 20,
    GENERATIONS = 8,
    LANES = 40,
    BLOCKS_MAX = 200000
};

static unsigned peak;

/* Whether a line of /proc/self/maps is an anonymous mapping that counts; *end_of_file is where the last
 * file's ends. */
static bool counts(const char *line, unsigned long *end_of_file)
{
    unsigned long from = 0;
    unsigned long to = 0;
    unsigned long inode = 0;
    int name_at = 0;
    if (sscanf(line, "%lx-%lx %*4s %*x %*x:%*x %lu %n", &from, &to, &inode, &name_at) != 3) {
        return false;
    }
    if (inode != 0) {
        *end_of_file = to;
        return false;
    }
    if (from == *end_of_file) {
        return false;
    }
    const char *name = line + name_at;
    return name[0] == '\0' || strncmp(name, "[anon", 5) == 0 || strncmp(name, "[heap]", 6) == 0;
}

static unsigned count_mappings(void)
{
    static char text[4 << 20];
    size_t length = 0;
    int file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    for (ssize_t got = 1; file >= 0 && got > 0 && length < sizeof(text) - 1; length += (size_t)got) {
        got = read(file, text + length, sizeof(text) - 1 - length);
        if (got < 0) {
            break;
        }
    }
    close(file);
    text[length] = '\0';
    unsigned count = 0;
    unsigned long end_of_file = 0;
    for (char *line = text; *line != '\0';) {
        char *end = strchr(line, '\n');
        if (end == NULL) {
            break;
        }
        *end = '\0';
        count += counts(line, &end_of_file);
        line = end + 1;
    }
    return count;
}

static void sample(void)
{
    unsigned count = count_mappings();
    peak = count > peak ? count : peak;
}

/* Fills with blocks of one size, frees every second, then the rest, sampled at each turn. */
static void checkerboard(size_t size_bytes)
{
    /* Not allocated: freeing a large table would teach glibc to stop mapping blocks one by one. */
    static char *blocks[BLOCKS_MAX];
    size_t count = LOAD_BYTES / size_bytes;
    count = count > BLOCKS_MAX ? BLOCKS_MAX : count;
    for (size_t i = 0; i < count; i++) {
        blocks[i] = malloc(size_bytes);
        if (CHECK(blocks[i] != NULL)) {
            memset(blocks[i], 1, size_bytes < 4096 ? size_bytes : 4096);
            blocks[i][size_bytes - 1] = 1;
        }
    }
    sample();
    for (size_t i = 0; i < count; i += 2) {
        free(blocks[i]);
    }
    sample();
    malloc_trim(0);
    sample();
    for (size_t i = 1; i < count; i += 2) {
        free(blocks[i]);
    }
    malloc_trim(0);
    sample();
}

static void all_checkerboards(void)
{
    const size_t sizes[] = {16, 100, 1000, 5000, 20000, 33000, 132u << 10, 300u << 10, 1u << 20};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        checkerboard(sizes[i]);
    }
    for (size_t i = sizeof(sizes) / sizeof(sizes[0]); i-- > 0;) {
        checkerboard(sizes[i] + sizes[i] / 3);
    }
}

/* Blocks that grow and shrink below the 32 MiB from where a mapping of their own is allowed. */
static void realloc_storm(void)
{
    enum { BLOCKS = 100, STEPS = 4000 };
    static char *blocks[BLOCKS];
    uint64_t random = conform_seed();
    for (unsigned step = 0; step < STEPS; step++) {
        size_t i = conform_random(&random) % BLOCKS;
        size_t size_bytes = conform_between(&random, 1, (size_t)64 << conform_random(&random) % 19);
        char *moved = realloc(blocks[i], size_bytes);
        if (CHECK(moved != NULL)) {
            moved[0] = 1;
            moved[size_bytes - 1] = 1;
            blocks[i] = moved;
        }
        if (step % 100 == 0) {
            sample();
        }
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        free(blocks[i]);
    }
    sample();
}

/* More blocks beyond 32 MiB than may have a mapping of their own. */
static void lanes(void)
{
    char *blocks[LANES];
    for (size_t i = 0; i < LANES; i++) {
        blocks[i] = malloc(30u << 20);
        for (size_t mib = 34; mib <= 50; mib += 8) {
            char *moved = realloc(blocks[i], mib << 20);
            if (CHECK(moved != NULL)) {
                blocks[i] = moved;
            }
            sample();
        }
    }
    for (size_t i = 0; i < LANES; i++) {
        free(blocks[i]);
    }
    sample();
}

static char stacks[THREADS][STACK_BYTES] __attribute__((aligned(4096)));
static pthread_barrier_t barrier;

static void *allocate_in_thread(void *argument)
{
    size_t self = (size_t)(uintptr_t)argument;
    char *blocks[100];
    for (size_t i = 0; i < 100; i++) {
        size_t size_bytes = 16 + i * (self % 20) * 40;
        blocks[i] = malloc(size_bytes);
        blocks[i][0] = 1;
    }
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    for (size_t i = 0; i < 100; i++) {
        free(blocks[i]);
    }
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return NULL;
}

static void many_threads(void)
{
    static pthread_t threads[THREADS];
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_barrier_init(&barrier, NULL, THREADS + 1);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_attr_setstack(&attributes, stacks[i], STACK_BYTES);
        if (!CHECK(pthread_create(&threads[i], &attributes, allocate_in_thread, (void *)(uintptr_t)i) == 0)) {
            exit(conform_end());
        }
    }
    for (int turn = 0; turn < 4; turn++) {
        pthread_barrier_wait(&barrier);
        sample();
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    sample();
}

/* Each generation of children may add one; the count is passed on less the generation's number. */
static void generations(void)
{
    unsigned depth = 0;
    int pid = 0;
    for (; depth < GENERATIONS && pid == 0; depth++) {
        checkerboard(3000 + depth * 1000);
        unsigned count = count_mappings();
        CHECK(count <= peak + depth + 1, "generation %u has %u mappings, the first had %u", depth, count,
              peak);
        pid = fork();
    }
    if (pid != 0) {
        int status = conform_wait(pid);
        CHECK(status == 0, "the child of generation %u ended with %d", depth - 1, status);
    }
    if (depth != 1) {
        _exit(conform_failed());
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*load)(void);
    } loads[] = {
        {"none", sample},           {"checkerboards", all_checkerboards},
        {"realloc", realloc_storm}, {"lanes", lanes},
        {"threads", many_threads},  {"generations", generations},
    };
    conform_start(120);
    free(malloc(100));
    unsigned start = count_mappings();
    for (size_t i = 0; argc == 2 && i < sizeof(loads) / sizeof(loads[0]); i++) {
        if (strcmp(loads[i].name, argv[1]) == 0) {
            sample();
            loads[i].load();
            CHECK(peak >= start);
            dprintf(STDOUT_FILENO, "start=%u peak=%u\n", start, peak);
            return conform_end();
        }
    }
    return 2;
}
