/* SPDX-License-Identifier: MIT
 *
 * ebb-load: runs a database-like load on whatever malloc the process has, and reports speed and memory.
 */
#include "report.h"
#include "ticks.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

static struct load load;
static struct peaks peaks;
static struct ending ending;

static const char *file_of(const void *address)
{
    Dl_info info;

    return dladdr(address, &info) != 0 ? info.dli_fname : NULL;
}

/* What malloc_trim(0) leaves, if the allocator that serves malloc has one: under most peers the name is still
 * the C library's, which holds nothing of the load. Looked up by name, since not every C library has it. */
static int64_t trim(void)
{
    void *malloc_address = dlsym(RTLD_DEFAULT, "malloc");
    void *trim_address = dlsym(RTLD_DEFAULT, "malloc_trim");
    int (*trim_function)(size_t);
    const char *malloc_file = file_of(malloc_address);
    const char *trim_file = file_of(trim_address);

    if (malloc_file == NULL || trim_file == NULL || strcmp(malloc_file, trim_file) != 0)
        return -1;
    memcpy(&trim_function, &trim_address, sizeof(trim_function));
    trim_function(0);
    return (int64_t)sampler_rss_bytes();
}

/* Called when nothing has been allocated for the length of the idle phase. */
static void take_ending(struct load *l)
{
    struct rusage usage;
    double sampler_s = sampler_cpu_seconds();

    sampler_take(l);

    peaks = sampler_stop();
    getrusage(RUSAGE_SELF, &usage);
    ending.rss_bytes = peaks.last.rss_bytes;
    ending.live_bytes = peaks.last.live_bytes;
    ending.vmas = peaks.last.vmas;
    ending.rss_peak_bytes = sampler_rss_peak_bytes();
    ending.user_s = (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6;
    ending.system_s = (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6 - sampler_s;
    ending.faults_minor = (uint64_t)usage.ru_minflt;
    ending.faults_major = (uint64_t)usage.ru_majflt;
    ending.rss_trimmed_bytes = trim();
}

static int fail(const char *what, int err)
{
    fprintf(stderr, "ebb-load: %s: %s\n", what, strerror(-err));
    return 1;
}

int main(int argc, char **argv)
{
    struct options opt;
    int status = options_parse(argc, argv, &opt);

    if (status != 0)
        return status == 1 ? 0 : status;
    ticks_init();

    int err = sampler_init();

    if (err != 0)
        return fail("cannot read /proc/self", err);
    err = load_init(&load, &opt);
    if (err != 0)
        return fail("cannot prepare the load", err);

    uint64_t rss_base_bytes = sampler_rss_bytes();

    load.start_ns = ticks_clock_ns();
    load.phase_start_ns = load.start_ns;
    err = sampler_start(&load);
    if (err == 0)
        err = load_run(&load, sampler_take, take_ending);
    if (err != 0)
        return fail("cannot run the load", err);
    if (load_live_bytes(&load) != 0) {
        fprintf(stderr,
                "ebb-load: the load's own count is wrong: %lld bytes are left after all has been freed\n",
                (long long)load_live_bytes(&load));
        return 1;
    }

    err = report_summary(&load, &peaks, &ending, rss_base_bytes);
    return err == 0 ? 0 : fail("cannot write the summary", err);
}
