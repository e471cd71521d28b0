/* SPDX-License-Identifier: MIT
 *
 * The report of `ebb heap` about a process on glibc's malloc.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "model/units.h"
#include "tool/alloc_version.h"
#include "tool/heap_glibc.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* From this share of the resident memory on it is said how to get it back. */
#define TRIM_PERCENT_WORTH 10

/* glibc's own value; a larger one that nobody has set has grown with the blocks that were freed. */
#define MMAP_THRESHOLD_BYTES 131072

static const struct ebb_column SUMMARY_COLUMNS[] = {
    {"pid", "process", EBB_AS_NUMBER, 0, .label = true, .help = "its number"},
    {"process", "name", EBB_AS_TEXT, 0, .label = true, .help = "its name"},
    {"allocator", "allocator", EBB_AS_TEXT, 0, .label = true, .help = "whose malloc serves it"},
    {"library", "library", EBB_AS_TEXT, 0, .help = "the file that is mapped"},
    {"found_by", "found by", EBB_AS_TEXT, 0, .help = "how the main arena was found"},
    {"rss_bytes", "RSS", EBB_AS_BYTES, 0, .help = "resident memory of the whole process"},
    {"arenas", "arenas", EBB_AS_NUMBER, 0, .help = "arenas"},
    {"arenas_unknown", "arenas that moved", EBB_AS_NUMBER, 0,
     .help = "arenas whose free blocks are not known, because they changed all the time"},
    {"system_bytes", "from the kernel", EBB_AS_BYTES, 0, .help = "what arenas have from the kernel"},
    {"peak_bytes", "most there ever was", EBB_AS_BYTES, 0,
     .help = "sum of the arenas' own maxima, which need not have been at the same time"},
    {"live_bytes", "live", EBB_AS_BYTES, 0,
     .help = "held by the program and by the caches of its threads, with the heads of blocks"},
    {"tcache_bytes", "of that cached", EBB_AS_BYTES, 0,
     .help = "free for the thread that has it: in the caches that were found"},
    {"tcache_blocks", "blocks in caches", EBB_AS_NUMBER, 0, .help = "their number"},
    {"tcache_threads", "threads with such a cache", EBB_AS_NUMBER, 0,
     .help = "caches that were found, and are not empty"},
    {"tcache_max_bytes", "cached at most", EBB_AS_BYTES, 0,
     .help = "with what the other threads' caches can hold"},
    {"free_bytes", "free", EBB_AS_BYTES, 0, .help = "in fastbins, bins and tops"},
    {"fast_bytes", "free in fastbins", EBB_AS_BYTES, 0,
     .help = "small blocks that are not joined with others"},
    {"bin_bytes", "free in bins", EBB_AS_BYTES, 0, .help = "free blocks between others"},
    {"top_bytes", "free in tops", EBB_AS_BYTES, 0, .help = "free ends of heaps"},
    {"free_blocks", "free blocks", EBB_AS_NUMBER, 0, .help = "without tops"},
    {"mapped_bytes", "mapped one by one", EBB_AS_BYTES, 0, .help = "live blocks with a mapping of their own"},
    {"mapped_blocks", "blocks of these", EBB_AS_NUMBER, 0, .help = "their number"},
    {"mapped_peak_bytes", "most of these ever", EBB_AS_BYTES, 0, .help = "their greatest sum"},
    {"mapped_peak_blocks", "most blocks ever", EBB_AS_NUMBER, 0, .help = "their greatest number"},
    {"look_ms", "looked for", EBB_AS_MS, 0, .help = "how long the look took"},
};
static const struct ebb_section SUMMARY = {"summary", NULL, true, SUMMARY_COLUMNS, COUNT(SUMMARY_COLUMNS)};

static const struct ebb_column ARENA_COLUMNS[] = {
    {"arena", "ARENA", EBB_AS_ADDRESS, 16, .label = true, .help = "its address"},
    {"kind", "KIND", EBB_AS_TEXT, -5, .help = "main: brk()'s heap; other: heaps of up to 64 MiB"},
    {"threads", "THREADS", EBB_AS_NUMBER, 7, .help = "threads that take from it first"},
    {"heaps", "HEAPS", EBB_AS_NUMBER, 5, .help = "its heaps"},
    {"system_bytes", "SYSTEM", EBB_AS_BYTES, 7, .help = "from the kernel"},
    {"peak_bytes", "PEAK", EBB_AS_BYTES, 7, .help = "the most that it ever had"},
    {"live_bytes", "LIVE", EBB_AS_BYTES, 7, .help = "held by the program and thread caches"},
    {"fast_bytes", "FAST", EBB_AS_BYTES, 6, .help = "free in fastbins"},
    {"bin_bytes", "BINS", EBB_AS_BYTES, 7, .help = "free in bins"},
    {"top_bytes", "TOP", EBB_AS_BYTES, 6, .help = "free at the end"},
    {"free_blocks", "BLOCKS", EBB_AS_NUMBER, 7, .help = "free blocks, without the top"},
    {"free_percent", "FREE%", EBB_AS_PERCENT, 5, .help = "of what it has from the kernel"},
    {"trim_bytes", "TRIM", EBB_AS_BYTES, 7, .help = "resident pages that malloc_trim(0) would give back"},
};
static const struct ebb_section ARENAS = {"arenas", NULL, false, ARENA_COLUMNS, COUNT(ARENA_COLUMNS)};

static const struct ebb_column SIZE_COLUMNS[] = {
    {"from_bytes", "FREE BLOCKS FROM", EBB_AS_BYTES, 16, .label = true, .help = "smallest size of this row"},
    {"below_bytes", "BELOW", EBB_AS_BYTES, 7, .help = "the next row's smallest size"},
    {"blocks", "BLOCKS", EBB_AS_NUMBER, 9, .help = "free blocks of this size"},
    {"bytes", "BYTES", EBB_AS_BYTES, 7, .help = "in them"},
    {"share_percent", "SHARE%", EBB_AS_PERCENT, 6, .help = "of what is free, without tops"},
};
static const struct ebb_section SIZES = {"free_sizes", NULL, false, SIZE_COLUMNS, COUNT(SIZE_COLUMNS)};

static const struct ebb_column TUNING_COLUMNS[] = {
    {"mmap_threshold_bytes", "blocks get their own mapping from", EBB_AS_BYTES, 0,
     .help = "mmap_threshold in effect"},
    {"dynamic", "this grows by itself", EBB_AS_BOOL, 0, .help = "when a mapped block is freed"},
    {"trim_threshold_bytes", "the main top is given back from", EBB_AS_BYTES, 0,
     .help = "trim_threshold in effect"},
    {"top_pad_bytes", "taken in advance", EBB_AS_BYTES, 0, .help = "top_pad"},
    {"arena_max", "arenas at most", EBB_AS_NUMBER, 0, .help = "arena_max"},
    {"mmap_max", "mapped blocks at most", EBB_AS_NUMBER, 0, .help = "mmap_max"},
    {"tcache_blocks", "blocks of a size in a thread's cache", EBB_AS_NUMBER, 0, .help = "tcache_count"},
    {"tcache_max_bytes", "largest block in a thread's cache", EBB_AS_BYTES, 0, .help = "tcache_max"},
    {"hugetlb_bytes", "pages of the huge page pool", EBB_AS_BYTES, 0, .help = "0: none are used"},
    {"thp_bytes", "transparent huge pages asked for", EBB_AS_BYTES, 0, .help = "0: not by malloc"},
};
static const struct ebb_section TUNING = {"tuning", "Settings in effect:", true, TUNING_COLUMNS,
                                          COUNT(TUNING_COLUMNS)};

static const struct ebb_column TRIM_COLUMNS[] = {
    {"total_bytes", "resident memory it would give back", EBB_AS_BYTES, 0, .help = "in all arenas"},
    {"block_bytes", "of that inside free blocks", EBB_AS_BYTES, 0, .help = "whole pages of free blocks"},
    {"main_top_bytes", "of that from the main top", EBB_AS_BYTES, 0, .help = "the break moves down"},
    {"swap_bytes", "swap it would free", EBB_AS_BYTES, 0, .help = "of the same pages, swapped out"},
    {"gone_bytes", "free pages without memory already", EBB_AS_BYTES, 0,
     .help = "whole pages that hold nothing, and cost nothing"},
    {"kept_top_bytes", "resident in tops it leaves alone", EBB_AS_BYTES, 0,
     .help = "ends of other arenas' heaps"},
    {"fragment_bytes", "free in pieces below a page", EBB_AS_BYTES, 0, .help = "beyond malloc_trim's reach"},
};
static const struct ebb_section TRIM = {"trim", "malloc_trim(0), as predicted:", true, TRIM_COLUMNS,
                                        COUNT(TRIM_COLUMNS)};

static const struct ebb_column VERDICT_COLUMNS[] = {
    {"verdict", "verdict", EBB_AS_TEXT, 0,
     .help = "leak, filling, retention, tops, fragmentation or compact"},
    {"between_ms", "between the looks", EBB_AS_MS, 0, .help = "how far they are apart"},
    {"live_change_bytes", "change of live", EBB_AS_NUMBER, 0, .help = "in bytes, mapped blocks included"},
    {"system_change_bytes", "change of what the kernel gave", EBB_AS_NUMBER, 0,
     .help = "in bytes, mapped blocks included"},
    {"why", "that is", EBB_AS_TEXT, 0, .help = "the verdict in words"},
};
static const struct ebb_section VERDICT = {"verdict", "Two looks:", true, VERDICT_COLUMNS,
                                           COUNT(VERDICT_COLUMNS)};

/* ---- cells ---- */

static const char NO_PAR[] = "the tuning values of this process were not found";
static const char PAR_MOVED[] = "the tuning values made no sense while they were read";

/* Why the free blocks of an arena are not known. */
static const char *why_unknown(int err)
{
    return err == 0         ? NULL
           : err == -EAGAIN ? "an arena changed all the time while it was looked at"
           : err == -E2BIG  ? "an arena has more free blocks than are looked at"
                            : "an arena's lists make no sense: the process has overwritten them";
}

static struct ebb_cell number_or(const char *why, uint64_t value)
{
    return why != NULL ? ebb__cell_unknown(why) : ebb__cell_number(value);
}

static const char *why_no_par(const struct ebb_heap_glibc *heap)
{
    return !heap->glibc.has_par ? NO_PAR : heap->par_err != 0 ? PAR_MOVED : NULL;
}

static struct ebb_cell par(const struct ebb_heap_glibc *heap, enum ebb_glibc_par field)
{
    if (heap->glibc.layout->par[field] < 0)
        return ebb__cell_unknown("this version has no such setting");
    return number_or(why_no_par(heap), heap->glibc.par[field]);
}

static uint64_t bin_bytes(const struct ebb_glibc_free kinds[EBB_GLIBC_KIND_COUNT])
{
    return kinds[EBB_GLIBC_UNSORTED].bytes + kinds[EBB_GLIBC_SMALL].bytes + kinds[EBB_GLIBC_LARGE].bytes;
}

/* What malloc_trim(0) would return. */
static uint64_t trim_bytes(const struct ebb_heap_pages pages[EBB_GLIBC_TRIM_PART_COUNT])
{
    return pages[EBB_GLIBC_TRIM_BLOCKS].resident_bytes + pages[EBB_GLIBC_TRIM_TOP].resident_bytes;
}

static const char *why_no_pages(const struct ebb_heap_glibc *heap)
{
    return heap->pages_err == 0 ? NULL : ebb__fact_why(ebb__fact_unknown(heap->pages_err));
}

/* What was found in caches, and what those can hold that were not found: empty ones, and such that changed. */
static struct ebb_cell tcache_most(const struct ebb_heap_glibc *heap)
{
    const char *why = why_unknown(heap->sum.err);
    uint64_t threads = ebb__fact_or(heap->threads, 1);
    uint64_t others = threads > heap->tcaches.count ? threads - heap->tcaches.count : 0;
    uint64_t most = heap->tcaches.bytes + others * ebb__glibc_tcache_max_bytes(&heap->glibc);

    if (!heap->glibc.has_par)
        return ebb__cell_unknown(NO_PAR);
    return number_or(why, most < heap->sum.live_bytes ? most : heap->sum.live_bytes);
}

/* ---- sections ---- */

static void print_summary(struct ebb_emit *emit, const struct ebb_heap_glibc *heap)
{
    const struct ebb_heap_sum *sum = &heap->sum;
    const char *why = why_unknown(sum->err);
    char version[32];
    struct ebb_cell cells[] = {
        ebb__cell_number((uint64_t)heap->target->pid),
        ebb__cell_text(heap->target->name),
        ebb__cell_text(version),
        ebb__cell_text(heap->library),
        ebb__cell_text(heap->by_symbol ? "what it looks like, and symbols" : "what it looks like"),
        ebb__cell_fact(heap->rss),
        ebb__cell_number(heap->arena_count),
        ebb__cell_number(sum->unknown_count),
        ebb__cell_number(sum->system_bytes),
        ebb__cell_number(sum->peak_bytes),
        number_or(why, sum->live_bytes),
        ebb__cell_number(heap->tcaches.bytes),
        ebb__cell_number(heap->tcaches.blocks),
        ebb__cell_number(heap->tcaches.count),
        tcache_most(heap),
        number_or(why, sum->free_bytes),
        number_or(why, sum->kinds[EBB_GLIBC_FAST].bytes),
        number_or(why, bin_bytes(sum->kinds)),
        number_or(why, sum->top_bytes),
        number_or(why, sum->free_count),
        par(heap, EBB_GLIBC_PAR_MAPPED),
        par(heap, EBB_GLIBC_PAR_MMAPS),
        par(heap, EBB_GLIBC_PAR_MAPPED_PEAK),
        par(heap, EBB_GLIBC_PAR_MMAPS_PEAK),
        ebb__cell_number(heap->took_us / 1000),
    };
    _Static_assert(COUNT(cells) == COUNT(SUMMARY_COLUMNS), "a cell for each column");
    snprintf(version, sizeof(version), "glibc 2.%u", heap->minor);
    ebb__emit_section(emit, &SUMMARY);
    ebb__emit_row(emit, cells);
}

static void print_arena(struct ebb_emit *emit, const struct ebb_heap_glibc *heap,
                        const struct ebb_heap_arena *arena)
{
    const struct ebb_glibc_arena *facts = &arena->arena;
    const char *why = why_unknown(arena->err);
    const char *no_trim = why != NULL ? why : why_no_pages(heap);
    uint64_t free_bytes = ebb__heap_arena_free(facts);
    struct ebb_cell cells[] = {
        ebb__cell_number(facts->address),
        ebb__cell_text(facts->is_main ? "main" : "other"),
        ebb__cell_number(facts->attached_threads),
        number_or(facts->is_main ? "the main arena has brk()'s heap" : why, facts->heap_count),
        ebb__cell_number(facts->system_bytes),
        ebb__cell_number(facts->peak_bytes),
        number_or(why, facts->system_bytes - free_bytes),
        number_or(why, facts->kinds[EBB_GLIBC_FAST].bytes),
        number_or(why, bin_bytes(facts->kinds)),
        number_or(why, facts->top_bytes),
        number_or(why, facts->chunk_count),
        why != NULL || facts->system_bytes == 0
            ? ebb__cell_unknown(why != NULL ? why : "it has nothing")
            : ebb__cell_real(100.0 * (double)free_bytes / (double)facts->system_bytes),
        number_or(no_trim, trim_bytes(arena->pages)),
    };

    _Static_assert(COUNT(cells) == COUNT(ARENA_COLUMNS), "a cell for each column");
    ebb__emit_row(emit, cells);
}

static void print_sizes(struct ebb_emit *emit, const struct ebb_heap_sum *sum)
{
    uint64_t all = sum->free_bytes - sum->top_bytes;

    ebb__emit_section(emit, &SIZES);
    for (unsigned i = 0; i < EBB_GLIBC_BUCKETS && sum->unknown_count == 0; i++) {
        const struct ebb_glibc_free *bucket = &sum->buckets[i];
        struct ebb_cell cells[] = {
            ebb__cell_number(UINT64_C(1) << i),
            ebb__cell_number(UINT64_C(2) << i),
            ebb__cell_number(bucket->count),
            ebb__cell_number(bucket->bytes),
            ebb__cell_real(all == 0 ? 0 : 100.0 * (double)bucket->bytes / (double)all),
        };

        if (bucket->count != 0)
            ebb__emit_row(emit, cells);
    }
}

static void print_tuning(struct ebb_emit *emit, const struct ebb_heap_glibc *heap)
{
    const char *why = why_no_par(heap);
    uint64_t arena_max = heap->glibc.par[EBB_GLIBC_PAR_ARENA_MAX];
    struct ebb_cell cells[] = {
        par(heap, EBB_GLIBC_PAR_MMAP_THRESHOLD),
        why != NULL ? ebb__cell_unknown(why)
                    : ebb__cell_bool(heap->glibc.par[EBB_GLIBC_PAR_NO_DYNAMICS] == 0),
        par(heap, EBB_GLIBC_PAR_TRIM_THRESHOLD),
        par(heap, EBB_GLIBC_PAR_TOP_PAD),
        why == NULL && arena_max == 0 ? ebb__cell_unknown("not set: 8 for each processor")
                                      : par(heap, EBB_GLIBC_PAR_ARENA_MAX),
        par(heap, EBB_GLIBC_PAR_MMAPS_MAX),
        par(heap, EBB_GLIBC_PAR_TCACHE_COUNT),
        par(heap, EBB_GLIBC_PAR_TCACHE_MAX),
        par(heap, EBB_GLIBC_PAR_HUGE_PAGE),
        par(heap, EBB_GLIBC_PAR_THP_PAGE),
    };

    _Static_assert(COUNT(cells) == COUNT(TUNING_COLUMNS), "a cell for each column");
    ebb__emit_section(emit, &TUNING);
    ebb__emit_row(emit, cells);
}

static void print_trim(struct ebb_emit *emit, const struct ebb_heap_glibc *heap)
{
    const struct ebb_heap_sum *sum = &heap->sum;
    const struct ebb_heap_pages *blocks = &sum->pages[EBB_GLIBC_TRIM_BLOCKS];
    const struct ebb_heap_pages *top = &sum->pages[EBB_GLIBC_TRIM_TOP];
    const struct ebb_heap_pages *kept = &sum->pages[EBB_GLIBC_TRIM_KEPT];
    const char *moved = why_unknown(sum->err);
    const char *why = moved != NULL ? moved : why_no_pages(heap);
    uint64_t whole = blocks->whole_bytes + top->whole_bytes;
    struct ebb_cell cells[] = {
        number_or(why, trim_bytes(sum->pages)),
        number_or(why, blocks->resident_bytes),
        number_or(why, top->resident_bytes),
        number_or(why, blocks->swapped_bytes + top->swapped_bytes),
        number_or(why, whole - trim_bytes(sum->pages) - blocks->swapped_bytes - top->swapped_bytes),
        number_or(why, kept->resident_bytes),
        number_or(moved, ebb__heap_fragments(sum)),
    };

    _Static_assert(COUNT(cells) == COUNT(TRIM_COLUMNS), "a cell for each column");
    ebb__emit_section(emit, &TRIM);
    ebb__emit_row(emit, cells);
}

static void print_verdict(struct ebb_emit *emit, const struct ebb_heap_glibc *heap,
                          const struct ebb_heap_before *before)
{
    struct ebb_heap_look now;
    struct ebb_cell cells[COUNT(VERDICT_COLUMNS)];
    const char *why = "it takes two looks: --watch TIME";
    bool known = ebb__heap_glibc_verdict_look(heap, &now);

    if (!before->known && ebb__emit_is_human(emit)) {
        ebb__emit_note(emit, "verdict",
                       "It takes two looks to tell a leak from memory that is kept: --watch TIME.");
        return;
    }
    ebb__emit_section(emit, &VERDICT);
    if (!before->known || !known) {
        if (!known)
            why = heap->sum.err != 0 ? why_unknown(heap->sum.err) : "this look does not tell enough";
        for (unsigned i = 0; i < COUNT(cells); i++)
            cells[i] = ebb__cell_unknown(why);
    } else {
        const struct ebb_heap_verdict_words *words =
            &ebb__heap_verdicts[ebb__heap_verdict(&before->look, &now)];

        cells[0] = ebb__cell_text(words->key);
        cells[1] = ebb__cell_number(heap->at_ms - before->at_ms);
        cells[2] = ebb__cell_signed((int64_t)(now.live_bytes - before->look.live_bytes));
        cells[3] = ebb__cell_signed((int64_t)(now.system_bytes - before->look.system_bytes));
        cells[4] = ebb__cell_text(words->sentence);
    }
    ebb__emit_row(emit, cells);
}

static void print_notes(struct ebb_emit *emit, const struct ebb_heap_glibc *heap)
{
    uint64_t threshold = heap->glibc.par[EBB_GLIBC_PAR_MMAP_THRESHOLD];
    uint64_t trim = trim_bytes(heap->sum.pages);
    char size[EBB_UNITS_BYTES];

    if (heap->sum.unknown_count != 0)
        ebb__emit_note(
            emit, "moving",
            "%u of %zu arenas could not be looked at: %s. Sums over all arenas are therefore not known.",
            heap->sum.unknown_count, heap->arena_count, why_unknown(heap->sum.err));
    if (heap->glibc.has_par && threshold > MMAP_THRESHOLD_BYTES &&
        heap->glibc.par[EBB_GLIBC_PAR_NO_DYNAMICS] == 0)
        ebb__emit_note(
            emit, "dynamic_threshold",
            "The threshold has grown: blocks of up to %s now come from arenas and stay in them after a"
            " peak. GLIBC_TUNABLES=glibc.malloc.mmap_threshold=131072 at the start of the process keeps it,"
            " at the price of more system calls and mappings.",
            ebb__units_bytes(threshold, size));
    if (heap->rss.known && heap->sum.unknown_count == 0 && heap->pages_err == 0 &&
        trim > heap->rss.value / 100 * TRIM_PERCENT_WORTH)
        ebb__emit_note(
            emit, "trim",
            "%s of resident memory are free whole pages, which glibc keeps until the process itself calls"
            " malloc_trim(0).",
            ebb__units_bytes(trim, size));
    if (heap->locked.known && heap->locked.value != 0)
        ebb__emit_note(
            emit, "locked",
            "%s of this process are locked into memory; malloc_trim() cannot give locked pages back.",
            ebb__units_bytes(heap->locked.value, size));
}

/* Such as the jemalloc in a redis-server that was built from source: what it has is in no arena. */
static void note_inner(struct ebb_emit *emit, const struct ebb_heap_glibc *heap)
{
    char version[EBB_ALLOC_VERSION_BYTES];
    bool known;

    if (heap->inner == NULL)
        return;
    known = ebb__alloc_version_read(heap->target->pid, heap->inner, version) == 0;
    ebb__emit_note(emit, "inner",
                   "The program also contains %s%s%s, for what asks for it by its own names: that memory is "
                   "not shown here.",
                   heap->inner, known ? " " : "", known ? version : "");
}

void ebb__heap_glibc_print(struct ebb_emit *emit, const struct ebb_heap_glibc *heap,
                           const struct ebb_heap_before *before)
{
    ebb__emit_begin(emit);
    print_summary(emit, heap);
    ebb__emit_section(emit, &ARENAS);
    for (size_t i = 0; i < heap->arena_count; i++)
        print_arena(emit, heap, &heap->arenas[i]);
    print_sizes(emit, &heap->sum);
    print_tuning(emit, heap);
    ebb__heap_settings_print(emit, heap->target->pid, "glibc");
    print_trim(emit, heap);
    print_verdict(emit, heap, before);
    print_notes(emit, heap);
    note_inner(emit, heap);
    ebb__emit_end(emit);
}
