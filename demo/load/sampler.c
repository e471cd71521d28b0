/* SPDX-License-Identifier: MIT
 *
 * The sampler: reads /proc/self through descriptors that stay open, into static buffers, so that it neither
 * allocates nor maps anything itself.
 */
#include "sampler.h"

#include "report.h"
#include "ticks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PERIOD_MS 100

/* Counting the lines of /proc/self/maps takes the process's map lock. When one count has lasted t, the next
 * one is made 20 t later at the earliest, so that the sampler disturbs the load for at most 5 % of the time.
 */
#define MAPS_REST_FACTOR 20

static int statm_fd = -1, maps_fd = -1, status_fd = -1;
static long page_bytes;
static pthread_t thread;
static _Atomic bool stopping;
static _Atomic uint64_t cpu_ns; /* of the thread, written by itself after each sample */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* protects all below */
static struct peaks peaks;
static uint64_t maps_count, maps_due_ns;
static char buffer[16384];

int sampler_init(void)
{
    page_bytes = sysconf(_SC_PAGESIZE);
    statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    maps_fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    status_fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    return statm_fd < 0 || maps_fd < 0 || status_fd < 0 ? -errno : 0;
}

static uint64_t parse_number(const char *text)
{
    uint64_t value = 0;

    while (*text == ' ' || *text == '\t')
        text++;
    while (*text >= '0' && *text <= '9')
        value = value * 10 + (uint64_t)(*text++ - '0');
    return value;
}

/* The second number of statm is the resident set in OS pages. */
uint64_t sampler_rss_bytes(void)
{
    char text[128];
    ssize_t n = pread(statm_fd, text, sizeof(text) - 1, 0);

    if (n <= 0)
        return 0;
    text[n] = '\0';

    const char *second = strchr(text, ' ');

    return second == NULL ? 0 : parse_number(second) * (uint64_t)page_bytes;
}

uint64_t sampler_rss_peak_bytes(void)
{
    char text[4096];
    ssize_t n = pread(status_fd, text, sizeof(text) - 1, 0);

    if (n <= 0)
        return 0;
    text[n] = '\0';

    const char *line = strstr(text, "VmHWM:");

    return line == NULL ? 0 : parse_number(line + strlen("VmHWM:")) * 1024;
}

static uint64_t count_maps(void)
{
    uint64_t lines = 0;
    off_t at = 0;
    ssize_t n;

    while ((n = pread(maps_fd, buffer, sizeof(buffer), at)) > 0) {
        for (const char *p = buffer; (p = memchr(p, '\n', (size_t)(buffer + n - p))) != NULL; p++)
            lines++;
        at += n;
    }
    return lines;
}

static void refresh_maps(uint64_t now_ns)
{
    if (now_ns < maps_due_ns)
        return;
    maps_count = count_maps();

    uint64_t end_ns = ticks_clock_ns();

    maps_due_ns = end_ns + (end_ns - now_ns) * MAPS_REST_FACTOR;
}

void sampler_take(struct load *l)
{
    pthread_mutex_lock(&lock);

    uint64_t now_ns = ticks_clock_ns();
    struct sample s = {.t_ms = (now_ns - l->start_ns) / 1000000};

    s.rss_bytes = sampler_rss_bytes();
    s.live_bytes = load_live_bytes(l);
    refresh_maps(now_ns);
    s.vmas = maps_count;
    if (s.rss_bytes > peaks.rss_bytes)
        peaks.rss_bytes = s.rss_bytes;
    if (s.live_bytes > peaks.live_bytes)
        peaks.live_bytes = s.live_bytes;
    if (s.vmas > peaks.vmas)
        peaks.vmas = s.vmas;
    peaks.last = s;
    report_sample(l, &s);
    pthread_mutex_unlock(&lock);
}

static void *sampler_main(void *arg)
{
    struct load *l = arg;
    struct timespec at, cpu;

    clock_gettime(CLOCK_MONOTONIC, &at);
    while (!atomic_load(&stopping)) {
        sampler_take(l);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
        atomic_store(&cpu_ns, (uint64_t)cpu.tv_sec * 1000000000u + (uint64_t)cpu.tv_nsec);
        at.tv_nsec += PERIOD_MS * 1000000L;
        if (at.tv_nsec >= 1000000000L) {
            at.tv_nsec -= 1000000000L;
            at.tv_sec++;
        }
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
            ;
    }
    return NULL;
}

int sampler_start(struct load *l)
{
    return -pthread_create(&thread, NULL, sampler_main, l);
}

struct peaks sampler_stop(void)
{
    atomic_store(&stopping, true);
    pthread_join(thread, NULL);
    return peaks;
}

double sampler_cpu_seconds(void)
{
    return (double)atomic_load(&cpu_ns) / 1e9;
}
