/* SPDX-License-Identifier: MIT
 * glibc's questions about the heap, answered from ours: mallinfo, malloc_stats, malloc_info, malloc_trim,
 * mallopt. */
#include <limits.h>
#include <malloc.h>
#include <stdio.h>

#include "ebb/malloc.h"
#include "entry/entry.h"
#include "stats/stats.h"

/* bionic's codes, understood by programs that want memory back: give free pages back now. */
#define M_PURGE_BIONIC     (-101)
#define M_PURGE_ALL_BIONIC (-104)

static struct ebb_stats stats_now(void)
{
    struct ebb_stats stats = {.size_of_struct = sizeof(stats)};
    (void)ebb_stats_get(&stats);
    return stats;
}

EBB_ENTRY int malloc_trim(size_t pad)
{
    return ebb__api_trim(pad);
}

/* glibc's parameters tune a design that is not here (thresholds, arenas): they are understood and change
 * nothing. */
EBB_ENTRY int mallopt(int parameter, int value)
{
    (void)value;
    switch (parameter) {
    case M_PURGE_BIONIC:
    case M_PURGE_ALL_BIONIC:
        (void)ebb__api_trim(0);
        return 1;
    case M_MXFAST:
    case M_TRIM_THRESHOLD:
    case M_TOP_PAD:
    case M_MMAP_THRESHOLD:
    case M_MMAP_MAX:
    case M_CHECK_ACTION:
    case M_PERTURB:
    case M_ARENA_TEST:
    case M_ARENA_MAX:
        return 1;
    default:
        return 0;
    }
}

EBB_ENTRY struct mallinfo2 mallinfo2(void)
{
    struct ebb_stats s = stats_now();
    return (struct mallinfo2){
        .arena = s.committed_bytes,
        .ordblks = 1,
        .hblks = (size_t)EBB_COUNTED(lane_blocks),
        .hblkhd = s.lane_bytes,
        .uordblks = s.live_bytes - s.lane_bytes,
        .fordblks =
            s.backed_bytes > s.live_bytes - s.lane_bytes ? s.backed_bytes - (s.live_bytes - s.lane_bytes) : 0,
        .keepcost = s.dirty_bytes,
    };
}

static int clamp(size_t n)
{
    return n > INT_MAX ? INT_MAX : (int)n;
}

EBB_ENTRY struct mallinfo mallinfo(void)
{
    struct mallinfo2 m = mallinfo2();
    return (struct mallinfo){
        .arena = clamp(m.arena),
        .ordblks = clamp(m.ordblks),
        .hblks = clamp(m.hblks),
        .hblkhd = clamp(m.hblkhd),
        .uordblks = clamp(m.uordblks),
        .fordblks = clamp(m.fordblks),
        .keepcost = clamp(m.keepcost),
    };
}

/* One figure a line, aligned, in bytes. */
static size_t write_text(char *buf, size_t cap)
{
    struct ebb_stats s = stats_now();
    return ebb__fmt(buf, cap,
                    "ebb %s\n"
                    "live bytes      %lu in %lu blocks\n"
                    "cached bytes    %lu\n"
                    "backed bytes    %lu\n"
                    "dirty bytes     %lu\n"
                    "committed bytes %lu\n"
                    "reserved bytes  %lu\n"
                    "lane bytes      %lu\n"
                    "mappings        %lu\n",
                    EBB_VERSION, (unsigned long)s.live_bytes, (unsigned long)s.live_blocks,
                    (unsigned long)s.cached_bytes, (unsigned long)s.backed_bytes,
                    (unsigned long)s.dirty_bytes, (unsigned long)s.committed_bytes,
                    (unsigned long)s.reserved_bytes, (unsigned long)s.lane_bytes, (unsigned long)s.mappings);
}

EBB_ENTRY void malloc_stats(void)
{
    char text[512];
    size_t len = write_text(text, sizeof(text));
    (void)fwrite(text, 1, len, stderr);
}

/* glibc's document, version 1, with one heap. */
EBB_ENTRY int malloc_info(int options, FILE *out)
{
    if (options != 0)
        return EINVAL;
    struct ebb_stats s = stats_now();
    size_t heap_live = s.live_bytes - s.lane_bytes;
    int rc = fprintf(
        out,
        "<malloc version=\"1\">\n<heap nr=\"0\">\n<sizes>\n</sizes>\n"
        "<total type=\"fast\" count=\"0\" size=\"0\"/>\n"
        "<total type=\"rest\" count=\"1\" size=\"%zu\"/>\n"
        "<system type=\"current\" size=\"%zu\"/>\n<system type=\"max\" size=\"%zu\"/>\n"
        "<aspace type=\"total\" size=\"%zu\"/>\n<aspace type=\"mprotect\" size=\"%zu\"/>\n</heap>\n"
        "<total type=\"fast\" count=\"0\" size=\"0\"/>\n"
        "<total type=\"rest\" count=\"1\" size=\"%zu\"/>\n"
        "<total type=\"mmap\" count=\"%zu\" size=\"%zu\"/>\n"
        "<system type=\"current\" size=\"%zu\"/>\n<system type=\"max\" size=\"%zu\"/>\n"
        "<aspace type=\"total\" size=\"%zu\"/>\n<aspace type=\"mprotect\" size=\"%zu\"/>\n</malloc>\n",
        s.backed_bytes - ebb__min(heap_live, s.backed_bytes), s.committed_bytes, s.committed_bytes,
        s.reserved_bytes, s.committed_bytes, s.backed_bytes - ebb__min(heap_live, s.backed_bytes),
        (size_t)EBB_COUNTED(lane_blocks), s.lane_bytes, s.committed_bytes, s.committed_bytes,
        s.reserved_bytes, s.committed_bytes);
    return rc < 0 ? errno : 0;
}
