/* SPDX-License-Identifier: MIT
 *
 * `ebb heap` for allocators whose inside only they themselves can tell: which version serves, its settings, its mappings, and how to get the rest.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool/alloc_version.h"
#include "tool/cmd.h"
#include "tool/heap_glibc.h"
#include "tool/maps_walk.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* An environment is looked at up to here. */
#define ENVIRONMENT_BYTES (256 << 10)

static const struct allocator {
    const char *name;
    const char *file; /* how its library is called */
    const char *rest; /* how to get what cannot be seen from outside */
} ALLOCATORS[] = {
    {"jemalloc", "libjemalloc",
     "Its statistics are kept in the process: MALLOC_CONF=stats_print:true at its start prints them at its "
     "end, malloc_stats_print() at any"
     " time; MariaDB shows the version as @@version_malloc_library, Percona Server all of it in "
     "performance_schema.malloc_stats_totals."},
    {"tcmalloc", "libtcmalloc",
     "Its statistics are kept in the process: MallocExtension_GetStats() prints them, "
     "MallocExtension_ReleaseFreeMemory() gives free pages"
     " back."},
    {"mimalloc", "libmimalloc",
     "Its statistics are kept in the process: MIMALLOC_SHOW_STATS=1 at its start prints them at its end, "
     "mi_stats_print() at any time."},
};

static const struct allocator *allocator_of(const char *name)
{
    for (size_t i = 0; i < COUNT(ALLOCATORS); i++)
        if (strcmp(ALLOCATORS[i].name, name) == 0)
            return &ALLOCATORS[i];
    return NULL;
}

bool ebb__heap_other_knows(const char *allocator)
{
    return allocator_of(allocator) != NULL;
}

/* ---- settings ---- */

static const struct ebb_column SETTING_COLUMNS[] = {
    {"name", "SETTING", EBB_AS_TEXT, -24, .label = true, .help = "variable of the environment"},
    {"value", "VALUE AT ITS START", EBB_AS_TEXT, 0, .help = "what it was when the program started"},
};
static const struct ebb_section SETTINGS = {"settings", NULL, false, SETTING_COLUMNS, COUNT(SETTING_COLUMNS)};

/* Which variables concern whom. */
static const struct {
    const char *prefix;
    const char *allocator; /* NULL: all */
} VARIABLES[] = {
    {"LD_PRELOAD=", NULL},        {"GLIBC_TUNABLES=", "glibc"},  {"MALLOC_", "glibc"},
    {"MALLOC_CONF=", "jemalloc"}, {"_RJEM_MALLOC_", "jemalloc"}, {"JE_MALLOC_CONF=", "jemalloc"},
    {"TCMALLOC_", "tcmalloc"},    {"HEAPPROFILE=", "tcmalloc"},  {"HEAPCHECK=", "tcmalloc"},
    {"MIMALLOC_", "mimalloc"},
};

static bool concerns(const char *variable, const char *allocator)
{
    for (size_t i = 0; i < COUNT(VARIABLES); i++)
        if (strncmp(variable, VARIABLES[i].prefix, strlen(VARIABLES[i].prefix)) == 0 &&
            (VARIABLES[i].allocator == NULL || strcmp(VARIABLES[i].allocator, allocator) == 0))
            return true;
    return false;
}

void ebb__heap_settings_print(struct ebb_emit *emit, pid_t pid, const char *allocator)
{
    char *block = malloc(ENVIRONMENT_BYTES + 1);
    int fd = ebb__proc_open("", pid, "environ");
    size_t len = 0;
    int err = fd < 0 ? fd : block == NULL ? -ENOMEM : ebb__file_read_fd(fd, block, ENVIRONMENT_BYTES, &len);
    bool begun = !ebb__emit_is_human(emit); /* people see no table without rows */

    if (begun)
        ebb__emit_section(emit, &SETTINGS);
    if (err == -EMSGSIZE)
        len = ENVIRONMENT_BYTES;
    for (size_t at = 0; block != NULL && (err == 0 || err == -EMSGSIZE) && at < len;) {
        char *variable = block + at;
        char *value;

        block[len] = '\0';
        at += strlen(variable) + 1;
        value = strchr(variable, '=');
        if (value == NULL || !concerns(variable, allocator))
            continue;
        *value = '\0';
        if (!begun)
            ebb__emit_section(emit, &SETTINGS);
        begun = true;
        ebb__emit_row(emit, (struct ebb_cell[]){ebb__cell_text(variable), ebb__cell_text(value + 1)});
    }
    if (fd >= 0)
        close(fd);
    free(block);
}

/* ---- mappings ---- */

struct group {
    uint64_t count;
    uint64_t bytes;
    struct ebb_pages_count pages;
};

struct facts {
    char library[PATH_MAX];
    char version[EBB_ALLOC_VERSION_BYTES];
    struct group groups[EBB_VMA_CLASS_COUNT];
    int pages_err;
};

static const struct ebb_column SUMMARY_COLUMNS[] = {
    {"pid", "process", EBB_AS_NUMBER, 0, .label = true, .help = "its number"},
    {"process", "name", EBB_AS_TEXT, 0, .label = true, .help = "its name"},
    {"allocator", "allocator", EBB_AS_TEXT, 0, .label = true, .help = "whose malloc serves it"},
    {"version", "version", EBB_AS_TEXT, 0, .help = "as its library says"},
    {"library", "library", EBB_AS_TEXT, 0, .help = "the file that is mapped"},
    {"evidence", "known, because", EBB_AS_TEXT, 0, .help = "how it is known"},
    {"rss_bytes", "RSS", EBB_AS_BYTES, 0, .help = "resident memory of the whole process"},
};
static const struct ebb_section SUMMARY = {"summary", NULL, true, SUMMARY_COLUMNS, COUNT(SUMMARY_COLUMNS)};

static const struct ebb_column MAPPING_COLUMNS[] = {
    {"class", "CLASS", EBB_AS_TEXT, -10, .label = true, .help = "what mappings are for"},
    {"mappings", "MAPS", EBB_AS_NUMBER, 6, .help = "their number"},
    {"size_bytes", "SIZE", EBB_AS_BYTES, 7, .help = "address space"},
    {"rss_bytes", "RSS", EBB_AS_BYTES, 7, .help = "resident"},
    {"swap_bytes", "SWAP", EBB_AS_BYTES, 7, .help = "swapped out"},
    {"what", "WHAT", EBB_AS_TEXT, 0, .help = "in words"},
};
static const struct ebb_section MAPPINGS = {"mappings", NULL, false, MAPPING_COLUMNS, COUNT(MAPPING_COLUMNS)};

/* Classes that an allocator's memory can be in. */
static bool is_heap_class(enum ebb_vma_class vma_class)
{
    switch (vma_class) {
    case EBB_VMA_CLASS_HEAP:
    case EBB_VMA_CLASS_ARENA:
    case EBB_VMA_CLASS_BLOCK:
    case EBB_VMA_CLASS_JEMALLOC:
    case EBB_VMA_CLASS_TCMALLOC:
    case EBB_VMA_CLASS_MIMALLOC:
    case EBB_VMA_CLASS_POOL:
    case EBB_VMA_CLASS_ANON:
    case EBB_VMA_CLASS_RESERVED:
        return true;
    default:
        return false;
    }
}

static void add(struct facts *facts, struct ebb_pages *pages, const struct ebb_vma_verdict *verdict)
{
    struct group *group = &facts->groups[verdict->vma_class];

    if (!is_heap_class(verdict->vma_class))
        return;
    group->count++;
    group->bytes += ebb__vma_bytes(&verdict->vma);
    /* What has no access has no pages either, or hardly any, and may be terabytes. */
    if (facts->pages_err == 0 && !ebb__vma_is_inaccessible(&verdict->vma))
        ebb__pages_count(pages, verdict->vma.start, verdict->vma.end, &group->pages);
}

static bool is_library(const struct allocator *allocator, const struct ebb_map *map)
{
    const char *slash = map->name_len == 0 ? NULL : memrchr(map->name, '/', map->name_len);
    size_t len = strlen(allocator->file);

    return slash != NULL && (size_t)(map->name + map->name_len - slash - 1) >= len &&
           memcmp(slash + 1, allocator->file, len) == 0;
}

static int collect(const struct ebb_target *target, const struct allocator *allocator, struct facts *facts)
{
    static struct ebb_vma_query query;
    struct ebb_pages pages = {.fd = -1};
    struct ebb_maps_survey survey;
    struct ebb_vma_verdict verdict;
    struct ebb_vma_walk walk = {.hints = &survey.hints};
    struct ebb_map map;
    int got = ebb__maps_survey(target, &survey);

    if (got == 0)
        got = ebb__vma_query_open(&query, "", target->pid, false);
    if (got != 0)
        return got;
    facts->pages_err = ebb__pages_open(&pages, "", target->pid, false);
    while ((got = ebb__vma_query_next(&query, &map)) > 0 || got == -EBADMSG || got == -EMSGSIZE) {
        struct ebb_vma vma;

        if (got < 0)
            continue;
        if (facts->library[0] == '\0' && is_library(allocator, &map))
            ebb__maps_name_decode(&map, facts->library, sizeof(facts->library));
        ebb__vma_of(&map, false, &vma);
        if (ebb__vma_push(&walk, &vma, &verdict))
            add(facts, &pages, &verdict);
    }
    if (ebb__vma_push(&walk, NULL, &verdict))
        add(facts, &pages, &verdict);
    ebb__pages_close(&pages);
    ebb__vma_query_close(&query);
    if (got == 0 && ebb__alloc_version_read(target->pid, allocator->name, facts->version) != 0)
        facts->version[0] = '\0';
    return got;
}

static struct ebb_cell text_or(const char *text, const char *why)
{
    return text[0] != '\0' ? ebb__cell_text(text) : ebb__cell_unknown(why);
}

static struct ebb_fact rss_of(pid_t pid)
{
    struct ebb_status status;
    int err = ebb__status_read("", pid, &status);

    return err != 0                                      ? ebb__fact_unknown(err)
           : ebb__status_has(&status, EBB_STATUS_VM_RSS) ? ebb__fact(status.vm_rss_bytes)
                                                         : ebb__fact_unknown(-ENODATA);
}

static void print_mappings(struct ebb_emit *emit, const struct facts *facts)
{
    const char *why = ebb__fact_why(ebb__fact_unknown(facts->pages_err));

    ebb__emit_section(emit, &MAPPINGS);
    for (unsigned i = 0; i < EBB_VMA_CLASS_COUNT; i++) {
        const struct group *group = &facts->groups[i];
        bool known = facts->pages_err == 0;
        struct ebb_cell cells[] = {
            ebb__cell_text(ebb__vma_classes[i].key),
            ebb__cell_number(group->count),
            ebb__cell_number(group->bytes),
            known ? ebb__cell_number(group->pages.resident_bytes) : ebb__cell_unknown(why),
            known ? ebb__cell_number(group->pages.swapped_bytes) : ebb__cell_unknown(why),
            ebb__cell_text(ebb__vma_classes[i].text),
        };

        _Static_assert(COUNT(cells) == COUNT(MAPPING_COLUMNS), "a cell for each column");
        if (group->count != 0)
            ebb__emit_row(emit, cells);
    }
}

int ebb__heap_other(struct ebb_emit *emit, const struct ebb_target *target, const char *allocator,
                    const char *evidence)
{
    static struct facts facts;
    const struct allocator *row = allocator_of(allocator);
    int err = collect(target, row, &facts);
    struct ebb_cell cells[] = {
        ebb__cell_number((uint64_t)target->pid),
        ebb__cell_text(target->name),
        ebb__cell_text(allocator),
        text_or(facts.version, "neither its constants nor its functions tell; the name of its library may"),
        text_or(facts.library, "it is part of the program"),
        ebb__cell_text(evidence),
        ebb__cell_fact(rss_of(target->pid)),
    };

    _Static_assert(COUNT(cells) == COUNT(SUMMARY_COLUMNS), "a cell for each column");
    if (err != 0)
        return ebb__target_failed(target, err);
    ebb__emit_begin(emit);
    ebb__emit_section(emit, &SUMMARY);
    ebb__emit_row(emit, cells);
    print_mappings(emit, &facts);
    ebb__heap_settings_print(emit, target->pid, allocator);
    ebb__emit_note(emit, "settings",
                   "Settings are those of the environment at the start of the program, which may have "
                   "changed them since.");
    ebb__emit_note(emit, "rest", "%s", row->rest);
    ebb__emit_end(emit);
    return EBB_EXIT_OK;
}
