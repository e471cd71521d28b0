/* SPDX-License-Identifier: MIT
 *
 * What the bench programs share, the parts outside their loops.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "kit.h"
#include "probe.h"

enum { GLANCE_MS = 100, SIZE_TABLE_LENGTH = 1024 };

/* Share of the blocks, in 1/1024, between the size of the row above (exclusive) and its own. */
static const struct {
    unsigned size_bytes_max;
    unsigned share;
} small_sizes[] = {
    {16, 140}, {32, 240}, {48, 140},  {64, 110},  {96, 100}, {128, 80}, {192, 70},  {256, 45},
    {384, 28}, {512, 22}, {1024, 20}, {2048, 12}, {4096, 9}, {8192, 5}, {16384, 2}, {32768, 1},
};

static struct {
    unsigned low_bytes;
    unsigned width_bytes;
} size_table[SIZE_TABLE_LENGTH];

void bench_die(const char *what)
{
    fprintf(stderr, "bench: %s failed: %s\n", what, strerror(errno));
    exit(1);
}

void bench_block_spoilt(const void *block)
{
    fprintf(stderr, "bench: the block at %p does not hold what was written into it\n", block);
    exit(1);
}

static _Noreturn void usage(const char *program, const struct bench_param *params, size_t count,
                            const char *const *modes, const char *wrong)
{
    FILE *to = wrong ? stderr : stdout;

    if (wrong) {
        fprintf(to, "%s: bad argument \"%s\"\n", program, wrong);
    }
    fprintf(to, "usage: %s [name=value ...]\n  scale=F: multiplies the arguments marked *; 1\n", program);
    for (size_t i = 0; i < count; i++) {
        fprintf(to, "  %s=N%s: %s; %ld\n", params[i].name, params[i].scaled ? "*" : "", params[i].help,
                params[i].value);
    }
    if (modes) {
        fputs("  mode=", to);
        for (size_t i = 0; modes[i]; i++) {
            fprintf(to, "%s%s", i > 0 ? "|" : "", modes[i]);
        }
        fprintf(to, "; %s\n", modes[0]);
    }
    exit(wrong ? 2 : 0);
}

static bool set_param(struct bench_param *params, size_t count, const char *argument)
{
    const char *equals = strchr(argument, '=');
    char *end;
    long value;

    if (!equals || equals[1] == '\0') {
        return false;
    }
    value = strtol(equals + 1, &end, 10);
    if (*end != '\0') {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(params[i].name);

        if (length == (size_t)(equals - argument) && strncmp(argument, params[i].name, length) == 0) {
            if (value < params[i].min || value > params[i].max) {
                return false;
            }
            params[i].value = value;
            return true;
        }
    }
    return false;
}

static int find_mode(const char *const *modes, const char *name)
{
    for (int i = 0; modes && modes[i]; i++) {
        if (strcmp(modes[i], name) == 0) {
            return i;
        }
    }
    return -1;
}

int bench_args(int argc, char **argv, struct bench_param *params, size_t count, const char *const *modes)
{
    double scale = 1.0;
    int mode = 0;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "help") == 0 || strcmp(argv[i], "--help") == 0) {
            usage(argv[0], params, count, modes, NULL);
        }
        if (strncmp(argv[i], "mode=", 5) == 0) {
            mode = find_mode(modes, argv[i] + 5);
            if (mode < 0) {
                usage(argv[0], params, count, modes, argv[i]);
            }
        } else if (strncmp(argv[i], "scale=", 6) == 0) {
            char *end;

            scale = strtod(argv[i] + 6, &end);
            if (*end != '\0' || !(scale > 0.0 && scale <= 1000.0)) {
                usage(argv[0], params, count, modes, argv[i]);
            }
        } else if (!set_param(params, count, argv[i])) {
            usage(argv[0], params, count, modes, argv[i]);
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (params[i].scaled) {
            double value = (double)params[i].value * scale;

            params[i].value = value < (double)params[i].min ? params[i].min : (long)value;
        }
    }
    return mode;
}

void bench_sizes_init(void)
{
    size_t at = 0;
    unsigned low_bytes = sizeof(uint64_t);

    for (size_t row = 0; row < sizeof(small_sizes) / sizeof(small_sizes[0]); row++) {
        for (unsigned i = 0; i < small_sizes[row].share; i++, at++) {
            size_table[at].low_bytes = low_bytes;
            size_table[at].width_bytes = small_sizes[row].size_bytes_max - low_bytes + 1;
        }
        low_bytes = small_sizes[row].size_bytes_max + 1;
    }
    if (at != SIZE_TABLE_LENGTH) {
        errno = EINVAL;
        bench_die("the table of sizes");
    }
}

size_t bench_size_small(struct bench_rng *rng)
{
    uint64_t random = bench_rng_next(rng);
    size_t row = random >> 54;

    return size_table[row].low_bytes + (((random & 0xFFFFFFFFU) * size_table[row].width_bytes) >> 32);
}

void bench_gate_pass(struct bench_gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->arrived++;
    pthread_cond_signal(&gate->arrival);
    while (!gate->open) {
        pthread_cond_wait(&gate->opening, &gate->lock);
    }
    pthread_mutex_unlock(&gate->lock);
}

static void add_ms(struct timespec *time, long ms)
{
    time->tv_nsec += ms * 1000000L;
    time->tv_sec += time->tv_nsec / 1000000000L;
    time->tv_nsec %= 1000000000L;
}

void bench_gate_hold(struct bench_gate *gate, size_t workers)
{
    struct timespec wake;

    clock_gettime(CLOCK_REALTIME, &wake);
    add_ms(&wake, GLANCE_MS);
    pthread_mutex_lock(&gate->lock);
    while (gate->arrived < workers) {
        if (pthread_cond_timedwait(&gate->arrival, &gate->lock, &wake) == ETIMEDOUT) {
            pthread_mutex_unlock(&gate->lock);
            bench_probe_glance();
            clock_gettime(CLOCK_REALTIME, &wake);
            add_ms(&wake, GLANCE_MS);
            pthread_mutex_lock(&gate->lock);
        }
    }
    pthread_mutex_unlock(&gate->lock);
    bench_probe_full();
    pthread_mutex_lock(&gate->lock);
    gate->open = true;
    pthread_cond_broadcast(&gate->opening);
    pthread_mutex_unlock(&gate->lock);
}

pthread_t bench_thread_start(void *(*body)(void *), void *argument)
{
    pthread_t thread;
    int error = pthread_create(&thread, NULL, body, argument);

    if (error != 0) {
        errno = error;
        bench_die("pthread_create");
    }
    return thread;
}

void bench_thread_join(pthread_t thread)
{
    int error = pthread_join(thread, NULL);

    if (error != 0) {
        errno = error;
        bench_die("pthread_join");
    }
}
