/* SPDX-License-Identifier: MIT
 *
 * The shared part of the black-box tests; see conform.h.
 */
#include "conform/conform.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { FAILURES_MAX = 20 };

static atomic_ulong check_count;
static atomic_uint failure_count;

bool conform_check(bool ok, const char *file, int line, const char *text, const char *format, ...)
{
    atomic_fetch_add_explicit(&check_count, 1, memory_order_relaxed);
    if (ok) {
        return true;
    }
    unsigned failures = atomic_fetch_add_explicit(&failure_count, 1, memory_order_relaxed) + 1;
    /* dprintf and a buffer of our own: the failure may be that malloc no longer works. */
    char detail[400];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(detail, sizeof(detail), format, arguments);
    va_end(arguments);
    dprintf(STDERR_FILENO, "%s:%d: failed: %s%s%s\n", file, line, text, detail[1] != '\0' ? ": " : "",
            detail + 1);
    if (failures >= FAILURES_MAX) {
        dprintf(STDERR_FILENO, "giving up after %u failures\n", failures);
        _exit(1);
    }
    return false;
}

/* The path of the object that defines malloc for this program. */
static const char *malloc_owner(char resolved[static PATH_MAX])
{
    Dl_info info;
    void *symbol = dlsym(RTLD_DEFAULT, "malloc");
    if (symbol == NULL || dladdr(symbol, &info) == 0 || info.dli_fname == NULL) {
        return NULL;
    }
    return realpath(info.dli_fname, resolved);
}

bool conform_is_preloaded(void)
{
    const char *wanted = getenv("CONFORM_LIB");
    return wanted != NULL && wanted[0] != '\0';
}

/* Should an allocator under test take all memory of the machine, the kernel shall kill this program and no
 * other. */
static void volunteer_for_oom_killer(void)
{
    int file = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (file >= 0) {
        (void)!write(file, "1000", 4);
        close(file);
    }
}

void conform_start(unsigned limit_s)
{
    alarm(limit_s);
    volunteer_for_oom_killer();
    if (!conform_is_preloaded()) {
        return;
    }
    static char owner_path[PATH_MAX];
    static char wanted_path[PATH_MAX];
    const char *owner = malloc_owner(owner_path);
    const char *wanted = realpath(getenv("CONFORM_LIB"), wanted_path);
    if (owner == NULL || wanted == NULL || strcmp(owner, wanted) != 0) {
        dprintf(STDERR_FILENO, "malloc is served by %s, not by %s: the test would prove nothing\n",
                owner != NULL ? owner : "an unknown object", getenv("CONFORM_LIB"));
        _exit(1);
    }
}

bool conform_failed(void)
{
    return atomic_load(&failure_count) != 0;
}

int conform_end(void)
{
    unsigned failures = atomic_load(&failure_count);
    unsigned long checks = atomic_load(&check_count);
    if (failures == 0 && checks == 0) {
        dprintf(STDOUT_FILENO, "no check was made: that is a failure of the test\n");
        return 1;
    }
    dprintf(STDOUT_FILENO, "%s: %lu checks, %u failed\n", failures == 0 ? "passed" : "FAILED", checks,
            failures);
    return failures == 0 ? 0 : 1;
}

void conform_skip(const char *reason)
{
    dprintf(STDOUT_FILENO, "skipped: %s\n", reason);
    _exit(CONFORM_SKIPPED);
}

bool conform_libc_at_least(int major, int minor)
{
    int have_major = 0;
    int have_minor = 0;
    if (sscanf(gnu_get_libc_version(), "%d.%d", &have_major, &have_minor) != 2) {
        return false;
    }
    return have_major > major || (have_major == major && have_minor >= minor);
}

uint64_t conform_seed(void)
{
    static uint64_t seed;
    if (seed == 0) {
        const char *text = getenv("TEST_SEED");
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        seed = text != NULL ? strtoull(text, NULL, 0)
                            : (uint64_t)now.tv_sec * 1000003u + (uint64_t)now.tv_nsec + (uint64_t)getpid();
        seed = seed != 0 ? seed : 1;
        dprintf(STDOUT_FILENO, "seed: TEST_SEED=%llu\n", (unsigned long long)seed);
    }
    return seed;
}

uint64_t conform_random(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

size_t conform_between(uint64_t *state, size_t low, size_t high)
{
    return low + (size_t)(conform_random(state) % (high - low + 1));
}

/* Neighbouring offsets and neighbouring tags give different bytes; zero occurs as often as any other value.
 */
static uint64_t pattern_word(uint64_t tag, size_t word_idx)
{
    return (tag + 1) * 0x9e3779b97f4a7c15u ^ (uint64_t)word_idx * 0xd6e8feb86659fd93u;
}

void conform_fill(void *block, size_t size_bytes, uint64_t tag)
{
    unsigned char *bytes = block;
    size_t at = 0;
    for (; at + sizeof(uint64_t) <= size_bytes; at += sizeof(uint64_t)) {
        uint64_t word = pattern_word(tag, at / sizeof(uint64_t));
        memcpy(bytes + at, &word, sizeof(word));
    }
    uint64_t last = pattern_word(tag, at / sizeof(uint64_t));
    if (at < size_bytes) {
        memcpy(bytes + at, &last, size_bytes - at);
    }
}

size_t conform_differs(const void *block, size_t size_bytes, uint64_t tag)
{
    const unsigned char *bytes = block;
    for (size_t at = 0; at < size_bytes; at += sizeof(uint64_t)) {
        uint64_t word = pattern_word(tag, at / sizeof(uint64_t));
        size_t left_bytes = size_bytes - at < sizeof(word) ? size_bytes - at : sizeof(word);
        if (memcmp(bytes + at, &word, left_bytes) != 0) {
            return at;
        }
    }
    return size_bytes;
}

static unsigned char stamp_byte(uint64_t tag, size_t at)
{
    return (unsigned char)(pattern_word(tag, at) >> 24);
}

void conform_stamp(void *block, size_t size_bytes, size_t step_bytes, uint64_t tag)
{
    unsigned char *bytes = block;
    for (size_t at = 0; at < size_bytes; at += step_bytes) {
        bytes[at] = stamp_byte(tag, at);
    }
    if (size_bytes > 0) {
        bytes[size_bytes - 1] = stamp_byte(tag, size_bytes - 1);
    }
}

size_t conform_stamp_differs(const void *block, size_t size_bytes, size_t step_bytes, uint64_t tag)
{
    const unsigned char *bytes = block;
    for (size_t at = 0; at < size_bytes; at += step_bytes) {
        if (bytes[at] != stamp_byte(tag, at)) {
            return at;
        }
    }
    if (size_bytes > 0 && bytes[size_bytes - 1] != stamp_byte(tag, size_bytes - 1)) {
        return size_bytes - 1;
    }
    return size_bytes;
}

int conform_wait(int pid)
{
    int status = 0;
    int got;
    do {
        got = waitpid(pid, &status, 0);
    } while (got < 0 && errno == EINTR);
    if (got != pid) {
        return -1;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}
