/* SPDX-License-Identifier: MIT
 *
 * Samples of the own process: resident memory, mappings, faults and CPU time.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "probe.h"

enum { REPORT_FD = 3 };

/* The kernel hands out /proc/self/maps in pieces of at most a page, so a larger buffer would gain nothing. */
static char read_buffer[16 * 1024];
static char line_buffer[2048];
static char notes[1024];

struct memory {
    long rss_kib;  /* resident and swapped out: an allocator gains nothing by being swapped */
    long anon_kib; /* the anonymous part of it */
    long peak_kib;
    long mappings;
};

static struct {
    const char *program;
    bool report;
    struct memory base;
    long full_rss_kib;
    long peak_kib;
    long mappings_max;
    uint64_t start_ns;
    uint64_t probe_wall_ns;
    uint64_t probe_cpu_ns;
} state;

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static _Noreturn void fail(const char *what)
{
    int error = errno;
    int length = snprintf(line_buffer, sizeof(line_buffer), "bench: %s: %s\n", what, strerror(error));

    if (length > 0 && write(STDERR_FILENO, line_buffer, (size_t)length) < 0) {
        _exit(3);
    }
    _exit(2);
}

static ssize_t read_some(int fd, char *to, size_t size_bytes, const char *what)
{
    ssize_t got;

    do {
        got = read(fd, to, size_bytes);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        fail(what);
    }
    return got;
}

static long count_mappings(void)
{
    static const char path[] = "/proc/self/maps";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    long lines = 0;
    ssize_t got;

    if (fd < 0) {
        fail(path);
    }
    while ((got = read_some(fd, read_buffer, sizeof(read_buffer), path)) > 0) {
        for (ssize_t i = 0; i < got; i++) {
            lines += read_buffer[i] == '\n';
        }
    }
    close(fd);
    return lines;
}

static long field_kib(const char *name)
{
    const char *at = strstr(read_buffer, name);

    return at ? strtol(at + strlen(name), NULL, 10) : 0;
}

static struct memory read_memory(void)
{
    static const char path[] = "/proc/self/status";
    struct memory memory;
    int fd;
    size_t filled = 0;
    ssize_t got;

    memory.mappings = count_mappings();
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        fail(path);
    }
    while (filled < sizeof(read_buffer) - 1 &&
           (got = read_some(fd, read_buffer + filled, sizeof(read_buffer) - 1 - filled, path)) > 0) {
        filled += (size_t)got;
    }
    close(fd);
    read_buffer[filled] = '\0';
    memory.rss_kib = field_kib("\nVmRSS:") + field_kib("\nVmSwap:");
    memory.anon_kib = field_kib("\nRssAnon:") + field_kib("\nVmSwap:");
    memory.peak_kib = field_kib("\nVmHWM:");
    if (memory.peak_kib < memory.rss_kib) {
        memory.peak_kib = memory.rss_kib;
    }
    return memory;
}

static struct memory take(bool quiet)
{
    uint64_t wall_ns = clock_ns(CLOCK_MONOTONIC);
    uint64_t cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    struct memory memory = read_memory();

    if (memory.peak_kib > state.peak_kib) {
        state.peak_kib = memory.peak_kib;
    }
    if (memory.mappings > state.mappings_max) {
        state.mappings_max = memory.mappings;
    }
    state.probe_cpu_ns += clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_ns;
    if (quiet) {
        state.probe_wall_ns += clock_ns(CLOCK_MONOTONIC) - wall_ns;
    }
    return memory;
}

void bench_probe_start(const char *program)
{
    state.program = program;
    /* Asked before anything is opened, since the first file would get the number 3. */
    state.report = fcntl(REPORT_FD, F_GETFD) >= 0;
    /* The static buffers become resident now, so that they belong to the base. */
    memset(read_buffer, 1, sizeof(read_buffer));
    memset(line_buffer, 1, sizeof(line_buffer));
    memset(notes, 0, sizeof(notes));
    state.start_ns = clock_ns(CLOCK_MONOTONIC);
    state.base = take(true);
    state.full_rss_kib = state.base.rss_kib;
}

void bench_probe_sample(void)
{
    take(true);
}

void bench_probe_glance(void)
{
    take(false);
}

void bench_probe_full(void)
{
    state.full_rss_kib = take(true).rss_kib;
}

long bench_probe_net_kib(void)
{
    return take(false).rss_kib - state.base.rss_kib;
}

long bench_probe_net_anon_kib(void)
{
    return take(false).anon_kib - state.base.anon_kib;
}

void bench_probe_note(const char *name, uint64_t value)
{
    size_t used = strlen(notes);
    int length = snprintf(notes + used, sizeof(notes) - used, " %s=%llu", name, (unsigned long long)value);

    if (length < 0 || (size_t)length >= sizeof(notes) - used) {
        errno = EOVERFLOW;
        fail("the notes");
    }
}

static int write_line(int fd, int length)
{
    const char *at = line_buffer;

    if (length < 0 || (size_t)length >= sizeof(line_buffer)) {
        return -EOVERFLOW;
    }
    while (length > 0) {
        ssize_t written = write(fd, at, (size_t)length);

        if (written < 0 && errno != EINTR) {
            return -errno;
        }
        if (written > 0) {
            at += written;
            length -= (int)written;
        }
    }
    return 0;
}

static unsigned long long micros(struct timeval time)
{
    return (unsigned long long)time.tv_sec * 1000000U + (unsigned long long)time.tv_usec;
}

int bench_probe_finish(uint64_t blocks, uint64_t check)
{
    struct memory end = take(true);
    uint64_t wall_us = (clock_ns(CLOCK_MONOTONIC) - state.start_ns - state.probe_wall_ns) / 1000U;
    struct rusage usage;
    int error = 0;
    int length;

    getrusage(RUSAGE_SELF, &usage);
    if (state.report) {
        length = snprintf(
            line_buffer, sizeof(line_buffer),
            "program=%s blocks=%llu check=%016llx base_kib=%ld full_kib=%ld end_kib=%ld peak_kib=%ld "
            "maps_base=%ld maps_max=%ld maps_end=%ld minflt=%ld majflt=%ld cpu_us=%llu wall_us=%llu "
            "probe_cpu_us=%llu probe_wall_us=%llu%s\n",
            state.program, (unsigned long long)blocks, (unsigned long long)check, state.base.rss_kib,
            state.full_rss_kib, end.rss_kib, state.peak_kib, state.base.mappings, state.mappings_max,
            end.mappings, usage.ru_minflt, usage.ru_majflt,
            micros(usage.ru_utime) + micros(usage.ru_stime) - state.probe_cpu_ns / 1000U,
            (unsigned long long)wall_us, (unsigned long long)(state.probe_cpu_ns / 1000U),
            (unsigned long long)(state.probe_wall_ns / 1000U), notes);
        error = write_line(REPORT_FD, length);
    }
    length = snprintf(line_buffer, sizeof(line_buffer), "%s: %llu blocks, check %016llx, %.3f s%s%s\n",
                      state.program, (unsigned long long)blocks, (unsigned long long)check,
                      (double)wall_us * 1e-6, notes[0] != '\0' ? ";" : "", notes);
    if (write_line(STDOUT_FILENO, length) != 0) {
        error = -EIO;
    }
    return error == 0 ? 0 : 1;
}

int bench_probe_series(const uint64_t *numbers, int count)
{
    size_t used = 0;

    if (!state.report) {
        return 0;
    }
    for (int i = 0; i < count && used < sizeof(line_buffer); i++) {
        int length = snprintf(line_buffer + used, sizeof(line_buffer) - used, "%llu%c",
                              (unsigned long long)numbers[i], i + 1 < count ? ',' : '\n');

        used += length > 0 ? (size_t)length : sizeof(line_buffer);
    }
    return write_line(REPORT_FD, (int)used);
}
