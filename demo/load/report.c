/* SPDX-License-Identifier: MIT
 *
 * JSON lines and the text summary, formatted into static buffers and written with write(2).
 */
#include "report.h"

#include "ticks.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB 1048576.0

/* What all threads and lanes did, together. */
struct totals {
    struct hist alloc, free;
    uint64_t allocs, frees, requested_bytes, digest;
};

static struct totals totals;

static int write_all(int fd, const char *text, size_t length)
{
    while (length > 0) {
        ssize_t n = write(fd, text, length);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        text += n;
        length -= (size_t)n;
    }
    return 0;
}

void report_sample(const struct load *l, const struct sample *s)
{
    char line[256];

    if (l->opt->report_fd < 0)
        return;

    int n = snprintf(line, sizeof(line),
                     "{\"t\":%.3f,\"phase\":\"%s\",\"part\":%.3f,\"rss_bytes\":%llu,\"live_bytes\":%lld,"
                     "\"vmas\":%llu,\"ops\":%llu}\n",
                     (double)s->t_ms / 1000, load_phase_name(atomic_load(&l->phase)), load_phase_part(l),
                     (unsigned long long)s->rss_bytes, (long long)s->live_bytes, (unsigned long long)s->vmas,
                     (unsigned long long)load_ops(l));

    if (write_all(l->opt->report_fd, line, (size_t)n) != 0)
        _exit(1);
}

static void sum_up(const struct load *l)
{
    for (unsigned i = 0; i < l->opt->threads; i++) {
        hist_merge(&totals.alloc, &l->meters[i].alloc);
        hist_merge(&totals.free, &l->meters[i].free);
    }
    for (unsigned i = 0; i < l->lane_count; i++) {
        const struct tally *t = &l->lanes[i].tally;

        totals.allocs += t->allocs;
        totals.frees += t->frees;
        totals.requested_bytes += t->requested_bytes;
        totals.digest ^= t->digest;
    }
}

/* The file that `malloc` comes from: the proof which allocator serves. */
static const char *malloc_file(void)
{
    Dl_info info;
    void *(*function)(size_t) = malloc;
    void *address;

    memcpy(&address, &function, sizeof(address));
    return dladdr(address, &info) != 0 && info.dli_fname != NULL ? info.dli_fname : "unknown";
}

static double percentile_ns(const struct hist *h, double part)
{
    return ticks_to_ns(hist_percentile(h, part));
}

static double mean_ns(const struct hist *h)
{
    return h->count == 0 ? 0 : ticks_to_ns(h->sum) / (double)h->count;
}

static size_t format_latency(char *out, size_t size, const char *name, const struct hist *h)
{
    return (size_t)snprintf(
        out, size,
        ",\"%s_ns\":{\"count\":%llu,\"mean\":%.2f,\"p50\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f}",
        name, (unsigned long long)h->count, mean_ns(h), percentile_ns(h, 0.5), percentile_ns(h, 0.99),
        percentile_ns(h, 0.999), ticks_to_ns(h->max));
}

static double steady_seconds(const struct load *l)
{
    return (double)l->phase_ns[PHASE_STEADY] / 1e9;
}

static double ops_per_second(const struct load *l)
{
    double seconds = steady_seconds(l);

    return seconds > 0 ? (double)l->phase_ops[PHASE_STEADY] / seconds : 0;
}

static size_t format_run(char *out, size_t size, const struct load *l)
{
    const struct options *o = l->opt;
    double calls = (double)(totals.alloc.count + totals.free.count);
    double seconds = steady_seconds(l);

    return (size_t)snprintf(
        out, size,
        "{\"summary\":true,\"malloc_file\":\"%s\",\"threads\":%u,\"lanes\":%u,\"seed\":%llu,"
        "\"live_target_bytes\":%lld,\"ops\":%llu,\"ops_per_second\":%.1f,\"calls_per_second\":%.1f,"
        "\"allocations\":%llu,\"frees\":%llu,\"requested_bytes\":%llu,\"digest\":\"%016llx\","
        "\"clock\":\"%s\",\"clock_cost_ns\":%.2f,\"clock_step_ns\":%.2f",
        malloc_file(), o->threads, l->lane_count, (unsigned long long)o->seed, (long long)o->live_bytes,
        (unsigned long long)l->phase_ops[PHASE_STEADY], ops_per_second(l), seconds > 0 ? calls / seconds : 0,
        (unsigned long long)totals.allocs, (unsigned long long)totals.frees,
        (unsigned long long)totals.requested_bytes, (unsigned long long)totals.digest, ticks_name(),
        ticks_cost_ns(), ticks_step_ns());
}

static size_t format_memory(char *out, size_t size, const struct peaks *p, const struct ending *e,
                            uint64_t rss_base_bytes)
{
    char trimmed[24] = "null";

    if (e->rss_trimmed_bytes >= 0)
        snprintf(trimmed, sizeof(trimmed), "%lld", (long long)e->rss_trimmed_bytes);
    return (size_t)snprintf(
        out, size,
        ",\"rss_base_bytes\":%llu,\"rss_peak_bytes\":%llu,\"rss_end_bytes\":%llu,\"rss_trimmed_bytes\":%s,"
        "\"vmas_peak\":%llu,"
        "\"vmas_end\":%llu,\"live_peak_bytes\":%lld,\"live_end_bytes\":%lld,\"user_seconds\":%.3f,"
        "\"system_seconds\":%.3f,\"sampler_seconds\":%.3f,\"faults_minor\":%llu,\"faults_major\":%llu",
        (unsigned long long)rss_base_bytes, (unsigned long long)e->rss_peak_bytes,
        (unsigned long long)e->rss_bytes, trimmed, (unsigned long long)p->vmas, (unsigned long long)e->vmas,
        (long long)p->live_bytes, (long long)e->live_bytes, e->user_s, e->system_s, sampler_cpu_seconds(),
        (unsigned long long)e->faults_minor, (unsigned long long)e->faults_major);
}

static size_t format_phases(char *out, size_t size, const struct load *l)
{
    size_t n = (size_t)snprintf(out, size, ",\"phases\":[");

    for (int i = 0; i < PHASE_COUNT; i++)
        n += (size_t)snprintf(out + n, size - n, "%s{\"name\":\"%s\",\"seconds\":%.3f,\"cpu_seconds\":%.3f}",
                              i == 0 ? "" : ",", load_phase_name(i), (double)l->phase_ns[i] / 1e9,
                              l->phase_cpu_s[i]);
    return n + (size_t)snprintf(out + n, size - n, "]}\n");
}

static int print_json(const struct load *l, const struct peaks *p, const struct ending *e,
                      uint64_t rss_base_bytes)
{
    static char text[8192]; /* far more than the fields can take, whose only free text is one path */
    size_t n = format_run(text, 6000, l);

    n += format_latency(text + n, sizeof(text) - n, "allocation", &totals.alloc);
    n += format_latency(text + n, sizeof(text) - n, "free", &totals.free);
    n += format_memory(text + n, sizeof(text) - n, p, e, rss_base_bytes);
    n += format_phases(text + n, sizeof(text) - n, l);
    return write_all(l->opt->report_fd, text, n);
}

static int format_text_latency(char *out, size_t size, const char *name, const struct hist *h)
{
    return snprintf(out, size, "%-13s mean %.0f ns, p50 %.0f ns, p99 %.0f ns, p99.9 %.0f ns, max %.0f ns\n",
                    name, mean_ns(h), percentile_ns(h, 0.5), percentile_ns(h, 0.99), percentile_ns(h, 0.999),
                    ticks_to_ns(h->max));
}

static int print_text(const struct load *l, const struct peaks *p, const struct ending *e)
{
    static char text[8192]; /* as in print_json() */
    const size_t size = sizeof(text);
    int n = snprintf(
        text, 6000, "malloc from   %s\nsteady phase  %llu operations in %.2f s: %.0f operations/s\n",
        malloc_file(), (unsigned long long)l->phase_ops[PHASE_STEADY], steady_seconds(l), ops_per_second(l));

    n += format_text_latency(text + n, size - (size_t)n, "allocation", &totals.alloc);
    n += format_text_latency(text + n, size - (size_t)n, "free", &totals.free);
    char trimmed[64] = "";

    if (e->rss_trimmed_bytes >= 0)
        snprintf(trimmed, sizeof(trimmed), ", %.1f MiB after malloc_trim(0)",
                 (double)e->rss_trimmed_bytes / MIB);
    n += snprintf(text + n, size - (size_t)n,
                  "              (%.0f ns of each are the reading of the clock, %s, in steps of %.1f ns)\n"
                  "live          %.1f MiB at the peak, %.1f MiB at the end\n"
                  "RSS           %.1f MiB at the peak, %.1f MiB at the end%s\n"
                  "VMAs          %llu at the peak, %llu at the end\n"
                  "CPU           %.2f s user, %.2f s system; %llu minor faults, %llu major\n"
                  "sequence      %llu allocations, %llu frees, digest %016llx\n",
                  ticks_cost_ns(), ticks_name(), ticks_step_ns(), (double)p->live_bytes / MIB,
                  (double)e->live_bytes / MIB, (double)e->rss_peak_bytes / MIB, (double)e->rss_bytes / MIB,
                  trimmed, (unsigned long long)p->vmas, (unsigned long long)e->vmas, e->user_s, e->system_s,
                  (unsigned long long)e->faults_minor, (unsigned long long)e->faults_major,
                  (unsigned long long)totals.allocs, (unsigned long long)totals.frees,
                  (unsigned long long)totals.digest);
    return write_all(STDOUT_FILENO, text, (size_t)n);
}

int report_summary(const struct load *l, const struct peaks *p, const struct ending *e,
                   uint64_t rss_base_bytes)
{
    sum_up(l);
    return l->opt->report_fd >= 0 ? print_json(l, p, e, rss_base_bytes) : print_text(l, p, e);
}
