/* SPDX-License-Identifier: MIT
 *
 * What a mapping is for; see vma.h.
 */
#include "model/vma.h"

#include <string.h>

#include "probe/vma_query.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

/* glibc's HEAP_MAX_SIZE on 64-bit machines: each part of an arena begins at a multiple of it and is reserved to the next one. */
#define ARENA_BYTES (64 * MIB)

/* Guards of glibc are a page, of other runtimes up to 1 MiB; smaller stacks than PTHREAD_STACK_MIN there are none, larger than this nobody
 * asks for. */
#define GUARD_MAX_BYTES MIB
#define STACK_MIN_BYTES (UINT64_C(16) << 10)
#define STACK_MAX_BYTES GIB

/* For each thread one stack, and as many again that the C library keeps for later; and a few for a small process. */
#define STACKS_SPARE 16

/* glibc's default M_MMAP_THRESHOLD. */
#define BLOCK_MIN_BYTES (UINT64_C(128) << 10)

/* Variables of one library take less; what is larger is more than these. */
#define BSS_MAX_BYTES (16 * MIB)

/* Twice the largest M_MMAP_THRESHOLD that glibc chooses by itself: allocators seldom map as much at once, buffer pools do. */
#define POOL_MIN_BYTES (64 * MIB)

#define RESERVE_MIN_BYTES GIB
#define EBB_GROUP_BYTES   (128 * MIB)
#define CHUNK_BYTES       (2 * MIB)

/* What such allocators map, they map in pieces as large, but where the kernel puts them: other libraries seldom ask for as much. */
#define CHUNK_MIN_BYTES MIB

/* The Go runtime's arenas are 64 MiB as well, and begin here. */
#define GO_BASE UINT64_C(0xc000000000)
#define GO_END  UINT64_C(0xd000000000)

const struct ebb_vma_word ebb__vma_classes[EBB_VMA_CLASS_COUNT] = {
#define EBB_VMA_CLASS(id, key, text) [EBB_VMA_CLASS_##id] = {key, text},
#include "model/vma.def"
#undef EBB_VMA_CLASS
};

const struct ebb_vma_word ebb__vma_rules[EBB_VMA_RULE_COUNT] = {
#define EBB_VMA_RULE(id, key, text) [EBB_VMA_RULE_##id] = {key, text},
#include "model/vma.def"
#undef EBB_VMA_RULE
};

/* ---- names ---- */

struct name {
    const char *at;
    size_t len;
};

static bool begins(struct name name, const char *with)
{
    size_t len = strlen(with);

    return name.len >= len && memcmp(name.at, with, len) == 0;
}

static bool is(struct name name, const char *text)
{
    return name.len == strlen(text) && begins(name, text);
}

static bool has(struct name name, const char *part)
{
    return name.len != 0 && memmem(name.at, name.len, part, strlen(part)) != NULL;
}

static struct name base_of(struct name name)
{
    const char *slash = name.len == 0 ? NULL : memrchr(name.at, '/', name.len);

    if (slash == NULL)
        return name;
    return (struct name){slash + 1, name.len - (size_t)(slash + 1 - name.at)};
}

struct name_row {
    const char *text;
    enum ebb_vma_name name;
};

/* Whole names in brackets. */
static const struct name_row BRACKETS[] = {
    {"[heap]", EBB_VMA_NAME_HEAP},           {"[stack]", EBB_VMA_NAME_STACK},
    {"[vdso]", EBB_VMA_NAME_KERNEL},         {"[vvar]", EBB_VMA_NAME_KERNEL},
    {"[vvar_vclock]", EBB_VMA_NAME_KERNEL},  {"[vsyscall]", EBB_VMA_NAME_KERNEL},
    {"[vectors]", EBB_VMA_NAME_KERNEL},      {"[sigpage]", EBB_VMA_NAME_KERNEL},
    {"[uprobes]", EBB_VMA_NAME_KERNEL},      {"[aio]", EBB_VMA_NAME_IO_RING},
    {"[shadow stack]", EBB_VMA_NAME_KERNEL},
};

/* How names begin. */
static const struct name_row PREFIXES[] = {
    {"[stack:", EBB_VMA_NAME_THREAD_STACK},
    {"/[aio]", EBB_VMA_NAME_IO_RING},
    {"anon_inode:[io_uring]", EBB_VMA_NAME_IO_RING},
    {"/anon_hugepage", EBB_VMA_NAME_HUGETLB},
    {"/dev/hugepages", EBB_VMA_NAME_HUGETLB},
    {"/SYSV", EBB_VMA_NAME_SYSV},
    {"/memfd:", EBB_VMA_NAME_SHARED},
    {"/dev/shm/", EBB_VMA_NAME_SHARED},
    {"/dev/zero", EBB_VMA_NAME_SHARED},
    {"[anon_shmem:", EBB_VMA_NAME_SHARED},
    {"/dev/", EBB_VMA_NAME_DEVICE},
};

/* What names of anonymous memory, set with PR_SET_VMA_ANON_NAME, hold. */
static const struct name_row PARTS[] = {
    {"glibc: malloc arena", EBB_VMA_NAME_ARENA},
    {"glibc: malloc", EBB_VMA_NAME_BLOCK},
    {"pthread stack", EBB_VMA_NAME_THREAD_STACK},
    {"jemalloc", EBB_VMA_NAME_JEMALLOC},
    {"tcmalloc", EBB_VMA_NAME_TCMALLOC},
    {"mimalloc", EBB_VMA_NAME_MIMALLOC},
    {"[anon:ebb", EBB_VMA_NAME_EBB},
};

static bool is_library(struct name base)
{
    return has(base, ".so.") || (base.len > 3 && memcmp(base.at + base.len - 3, ".so", 3) == 0);
}

static enum ebb_vma_name name_of(struct name name)
{
    if (name.len == 0)
        return EBB_VMA_NAME_NONE;
    for (size_t i = 0; i < sizeof(BRACKETS) / sizeof(BRACKETS[0]); i++)
        if (is(name, BRACKETS[i].text))
            return BRACKETS[i].name;
    for (size_t i = 0; i < sizeof(PREFIXES) / sizeof(PREFIXES[0]); i++)
        if (begins(name, PREFIXES[i].text))
            return PREFIXES[i].name;
    if (begins(name, "[anon:")) {
        for (size_t i = 0; i < sizeof(PARTS) / sizeof(PARTS[0]); i++)
            if (has(name, PARTS[i].text))
                return PARTS[i].name;
        return EBB_VMA_NAME_ANON;
    }
    if (name.at[0] != '/')
        return EBB_VMA_NAME_OTHER;
    return is_library(base_of(name)) ? EBB_VMA_NAME_LIBRARY : EBB_VMA_NAME_FILE;
}

static uint8_t allocator_of(struct name base)
{
    static const struct {
        const char *prefix;
        uint8_t bit;
    } ROWS[] = {
        {"libjemalloc", EBB_VMA_ALLOCATOR_JEMALLOC}, {"libtcmalloc", EBB_VMA_ALLOCATOR_TCMALLOC},
        {"libmimalloc", EBB_VMA_ALLOCATOR_MIMALLOC}, {"libebb-malloc", EBB_VMA_ALLOCATOR_EBB},
        {"libebb.so", EBB_VMA_ALLOCATOR_EBB},
    };

    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++)
        if (begins(base, ROWS[i].prefix))
            return ROWS[i].bit;
    return 0;
}

static uint64_t hash_of(struct name name)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

    for (size_t i = 0; i < name.len; i++)
        hash = (hash ^ (unsigned char)name.at[i]) * UINT64_C(0x100000001b3);
    return hash;
}

void ebb__vma_of(const struct ebb_map *map, bool huge_pages, struct ebb_vma *ret_vma)
{
    struct name name = {map->name, map->name_len};

    *ret_vma = (struct ebb_vma){
        .start = map->start,
        .end = map->end,
        .offset_bytes = map->offset_bytes,
        .inode = map->inode,
        .dev_major = map->dev_major,
        .dev_minor = map->dev_minor,
        .readable = map->readable,
        .writable = map->writable,
        .executable = map->executable,
        .shared = map->shared,
        .huge_pages = huge_pages,
        .gate = ebb__map_is_gate(map),
        .name = name_of(name),
    };
    if (ret_vma->name == EBB_VMA_NAME_LIBRARY)
        ret_vma->allocator = allocator_of(base_of(name));
    else if (map->inode == 0)
        ret_vma->name_hash = hash_of(name);
}

/* ---- what the whole process tells ---- */

bool ebb__vma_is_anonymous(const struct ebb_vma *vma)
{
    return !vma->shared && vma->inode == 0 && vma->name != EBB_VMA_NAME_KERNEL &&
           vma->name != EBB_VMA_NAME_STACK && !vma->huge_pages;
}

static bool is_writable(const struct ebb_vma *vma)
{
    return vma->readable && vma->writable && !vma->executable;
}

/* Without any name of its own. */
static bool is_plain(const struct ebb_vma *vma)
{
    return ebb__vma_is_anonymous(vma) && vma->name == EBB_VMA_NAME_NONE;
}

static bool is_stack_pair(const struct ebb_vma *guard, const struct ebb_vma *stack)
{
    return is_plain(guard) && is_plain(stack) && ebb__vma_touches(guard, stack) &&
           ebb__vma_is_inaccessible(guard) && is_writable(stack) &&
           ebb__vma_bytes(guard) <= GUARD_MAX_BYTES && ebb__vma_bytes(stack) >= STACK_MIN_BYTES &&
           ebb__vma_bytes(stack) <= STACK_MAX_BYTES;
}

static bool same_file(const struct ebb_vma *a, const struct ebb_vma *b)
{
    return a->inode != 0 && a->inode == b->inode && a->dev_major == b->dev_major &&
           a->dev_minor == b->dev_minor;
}

void ebb__vma_hint(struct ebb_vma_hints *hints, const struct ebb_vma *before, const struct ebb_vma *vma)
{
    hints->allocators |= vma->allocator;
    if (before != NULL && is_stack_pair(before, vma))
        hints->stack_pairs++;
    if (!hints->has_program && vma->inode != 0 && hints->program_addr >= vma->start &&
        hints->program_addr < vma->end) {
        hints->has_program = true;
        hints->program_inode = vma->inode;
        hints->program_dev_major = vma->dev_major;
        hints->program_dev_minor = vma->dev_minor;
    }
}

bool ebb__vma_stacks_believed(const struct ebb_vma_hints *hints)
{
    return hints->threads == 0 || hints->stack_pairs <= 2 * hints->threads + STACKS_SPARE;
}

/* ---- the judgement ---- */

struct view {
    const struct ebb_vma_hints *hints;
    const struct ebb_vma_verdict *before; /* right below, touching; or NULL */
    const struct ebb_vma *vma;
    const struct ebb_vma *behind; /* right above, touching; or NULL */
};

#define VERDICT(class_id, rule_id)                                                                           \
    ((struct ebb_vma_verdict){.vma_class = EBB_VMA_CLASS_##class_id, .rule = EBB_VMA_RULE_##rule_id})

static bool is_program(const struct view *view)
{
    const struct ebb_vma_hints *hints = view->hints;

    return hints->has_program && view->vma->inode == hints->program_inode &&
           view->vma->dev_major == hints->program_dev_major &&
           view->vma->dev_minor == hints->program_dev_minor;
}

static bool is_library_class(enum ebb_vma_class class)
{
    return class == EBB_VMA_CLASS_LIB_TEXT || class == EBB_VMA_CLASS_LIB_RODATA ||
           class == EBB_VMA_CLASS_LIB_DATA;
}

static struct ebb_vma_verdict judge_file(const struct view *view)
{
    const struct ebb_vma *vma = view->vma;
    struct ebb_vma_verdict verdict = VERDICT(FILE, FILE);

    if (is_program(view))
        return VERDICT(PROGRAM, PROGRAM_FILE);
    if (vma->shared)
        return verdict;
    if (vma->name == EBB_VMA_NAME_LIBRARY)
        verdict.rule = EBB_VMA_RULE_LIBRARY_NAME;
    else if (vma->executable ||
             (view->behind != NULL && same_file(vma, view->behind) && view->behind->executable) ||
             (view->before != NULL && same_file(vma, &view->before->vma) &&
              is_library_class(view->before->vma_class)))
        verdict.rule = EBB_VMA_RULE_LIBRARY_CODE;
    else
        return verdict;
    verdict.vma_class = vma->executable ? EBB_VMA_CLASS_LIB_TEXT
                        : vma->writable ? EBB_VMA_CLASS_LIB_DATA
                                        : EBB_VMA_CLASS_LIB_RODATA;
    return verdict;
}

/* Judges by the name alone; false when the name does not tell. */
static bool judge_name(const struct view *view, struct ebb_vma_verdict *ret_verdict)
{
    static const enum ebb_vma_class CLASSES[] = {
        [EBB_VMA_NAME_HEAP] = EBB_VMA_CLASS_HEAP,
        [EBB_VMA_NAME_STACK] = EBB_VMA_CLASS_STACK,
        [EBB_VMA_NAME_THREAD_STACK] = EBB_VMA_CLASS_THREAD_STACK,
        [EBB_VMA_NAME_KERNEL] = EBB_VMA_CLASS_KERNEL,
        [EBB_VMA_NAME_SHARED] = EBB_VMA_CLASS_SHARED,
        [EBB_VMA_NAME_SYSV] = EBB_VMA_CLASS_SYSV,
        [EBB_VMA_NAME_HUGETLB] = EBB_VMA_CLASS_HUGETLB,
        [EBB_VMA_NAME_IO_RING] = EBB_VMA_CLASS_IO_RING,
        [EBB_VMA_NAME_DEVICE] = EBB_VMA_CLASS_DEVICE,
        [EBB_VMA_NAME_ARENA] = EBB_VMA_CLASS_ARENA,
        [EBB_VMA_NAME_BLOCK] = EBB_VMA_CLASS_BLOCK,
        [EBB_VMA_NAME_JEMALLOC] = EBB_VMA_CLASS_JEMALLOC,
        [EBB_VMA_NAME_TCMALLOC] = EBB_VMA_CLASS_TCMALLOC,
        [EBB_VMA_NAME_MIMALLOC] = EBB_VMA_CLASS_MIMALLOC,
        [EBB_VMA_NAME_EBB] = EBB_VMA_CLASS_EBB,
    };
    enum ebb_vma_name name = view->vma->name;

    if (view->vma->huge_pages && name != EBB_VMA_NAME_HUGETLB) {
        *ret_verdict = VERDICT(HUGETLB, PAGE_SIZE);
        return true;
    }
    if (name == EBB_VMA_NAME_OTHER) {
        *ret_verdict = VERDICT(OTHER, NAME);
        return true;
    }
    if (name == EBB_VMA_NAME_NONE || name == EBB_VMA_NAME_FILE || name == EBB_VMA_NAME_LIBRARY ||
        name == EBB_VMA_NAME_ANON)
        return false;
    *ret_verdict = VERDICT(OTHER, NAME);
    ret_verdict->vma_class = CLASSES[name];
    /* Runtimes that map code twice, to write it and to run it, do so through a memfd. */
    if (name == EBB_VMA_NAME_SHARED && view->vma->executable)
        ret_verdict->vma_class = EBB_VMA_CLASS_JIT;
    return true;
}

/* An arena: begins at a multiple of 64 MiB, and what is behind it is reserved to the next multiple. More may follow there, which the
 * kernel has merged with it. */
static bool is_arena(const struct view *view)
{
    const struct ebb_vma *vma = view->vma;
    uint64_t full = vma->start + ARENA_BYTES;

    return vma->start % ARENA_BYTES == 0 && ebb__vma_bytes(vma) < ARENA_BYTES && view->behind != NULL &&
           is_plain(view->behind) && ebb__vma_is_inaccessible(view->behind) && view->behind->end >= full &&
           view->behind->end < full + ARENA_BYTES && (vma->start < GO_BASE || vma->start >= GO_END);
}

static bool behind_is_reserved(const struct view *view)
{
    return view->behind != NULL && is_plain(view->behind) && ebb__vma_is_inaccessible(view->behind) &&
           ebb__vma_bytes(view->behind) >= RESERVE_MIN_BYTES;
}

static struct ebb_vma_verdict judge_inaccessible(const struct view *view)
{
    if (view->before != NULL && view->before->rule == EBB_VMA_RULE_ARENA_PAIR)
        return VERDICT(ARENA, ARENA_PAIR);
    if (view->before != NULL && view->before->rule == EBB_VMA_RULE_EXTENT_ALIGNED)
        return VERDICT(EBB, EXTENT_ALIGNED);
    if (view->behind != NULL && is_stack_pair(view->vma, view->behind) &&
        ebb__vma_stacks_believed(view->hints))
        return VERDICT(GUARD, STACK_ABOVE);
    return VERDICT(RESERVED, INACCESSIBLE);
}

static bool is_thread_stack(const struct view *view)
{
    const struct ebb_vma_verdict *before = view->before;
    uint64_t bytes = ebb__vma_bytes(view->vma);

    if (before == NULL || bytes < STACK_MIN_BYTES || bytes > STACK_MAX_BYTES ||
        !ebb__vma_stacks_believed(view->hints))
        return false;
    if (before->vma_class == EBB_VMA_CLASS_GUARD)
        return true;
    /* A guard right behind the reserved part of an arena is one mapping with it. */
    return before->vma_class == EBB_VMA_CLASS_ARENA && ebb__vma_is_inaccessible(&before->vma) &&
           before->vma.end % ARENA_BYTES != 0 && before->vma.end % ARENA_BYTES <= GUARD_MAX_BYTES;
}

/* By the allocator's library, for another rule: where it begins, or how large it is. */
static bool judge_chunk(const struct view *view, enum ebb_vma_rule rule, struct ebb_vma_verdict *ret_verdict)
{
    static const struct {
        uint8_t bit;
        enum ebb_vma_class class;
    } ROWS[] = {{EBB_VMA_ALLOCATOR_JEMALLOC, EBB_VMA_CLASS_JEMALLOC},
                {EBB_VMA_ALLOCATOR_TCMALLOC, EBB_VMA_CLASS_TCMALLOC},
                {EBB_VMA_ALLOCATOR_MIMALLOC, EBB_VMA_CLASS_MIMALLOC}};

    if (rule == EBB_VMA_RULE_LIBRARY_ALIGNED ? view->vma->start % CHUNK_BYTES != 0
                                             : ebb__vma_bytes(view->vma) < CHUNK_MIN_BYTES)
        return false;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        if ((view->hints->allocators & ROWS[i].bit) == 0)
            continue;
        *ret_verdict = VERDICT(ANON, LIBRARY_ALIGNED);
        ret_verdict->vma_class = ROWS[i].class;
        ret_verdict->rule = rule;
        return true;
    }
    return false;
}

static struct ebb_vma_verdict judge_writable(const struct view *view)
{
    const struct ebb_vma *vma = view->vma;
    const struct ebb_vma_verdict *before = view->before;
    struct ebb_vma_verdict verdict;

    if (before != NULL && before->vma.inode != 0 && before->vma.writable && !before->vma.shared) {
        if (before->vma_class == EBB_VMA_CLASS_PROGRAM)
            return VERDICT(PROGRAM, BEHIND_DATA);
        if (before->vma_class == EBB_VMA_CLASS_LIB_DATA && ebb__vma_bytes(vma) <= BSS_MAX_BYTES)
            return VERDICT(LIB_BSS, BEHIND_DATA);
        /* The kernel puts new mappings right there, and merges them with the variables. */
        if (before->vma_class == EBB_VMA_CLASS_LIB_DATA && view->hints->allocators == 0)
            return VERDICT(BLOCK, BEHIND_LARGE);
    }
    if ((view->hints->allocators & EBB_VMA_ALLOCATOR_EBB) != 0 && vma->start % EBB_GROUP_BYTES == 0 &&
        behind_is_reserved(view))
        return VERDICT(EBB, EXTENT_ALIGNED);
    if (is_arena(view))
        return VERDICT(ARENA, ARENA_PAIR);
    if (is_thread_stack(view))
        return VERDICT(THREAD_STACK, GUARD_BELOW);
    if (judge_chunk(view, EBB_VMA_RULE_LIBRARY_ALIGNED, &verdict))
        return verdict;
    if (behind_is_reserved(view))
        return VERDICT(POOL, RESERVE_HEAD);
    if (ebb__vma_bytes(vma) >= POOL_MIN_BYTES)
        return VERDICT(POOL, LARGE);
    if (judge_chunk(view, EBB_VMA_RULE_LIBRARY_SIZE, &verdict))
        return verdict;
    if (ebb__vma_bytes(vma) >= BLOCK_MIN_BYTES && view->hints->allocators == 0)
        return VERDICT(BLOCK, BLOCK_SIZE);
    return VERDICT(ANON, REST);
}

static struct ebb_vma_verdict judge(const struct view *view)
{
    const struct ebb_vma *vma = view->vma;
    struct ebb_vma_verdict verdict;

    if (judge_name(view, &verdict))
        return verdict;
    if (vma->inode != 0 || vma->name == EBB_VMA_NAME_FILE || vma->name == EBB_VMA_NAME_LIBRARY)
        return judge_file(view);
    if (vma->shared)
        return VERDICT(SHARED, REST);
    if (vma->executable)
        return VERDICT(JIT, EXECUTABLE);
    if (vma->name == EBB_VMA_NAME_ANON)
        return VERDICT(ANON, NAME);
    if (ebb__vma_is_inaccessible(vma))
        return judge_inaccessible(view);
    if (vma->writable)
        return judge_writable(view);
    return VERDICT(ANON, REST);
}

bool ebb__vma_push(struct ebb_vma_walk *walk, const struct ebb_vma *next, struct ebb_vma_verdict *ret_verdict)
{
    bool has_verdict = walk->has_current;

    if (has_verdict) {
        struct view view = {.hints = walk->hints, .vma = &walk->current};
        struct ebb_vma_verdict verdict;

        if (walk->has_before && ebb__vma_touches(&walk->before.vma, &walk->current))
            view.before = &walk->before;
        if (next != NULL && ebb__vma_touches(&walk->current, next))
            view.behind = next;
        verdict = judge(&view);
        verdict.vma = walk->current;
        walk->before = verdict;
        walk->has_before = true;
        *ret_verdict = verdict;
    }
    walk->has_current = next != NULL;
    if (next != NULL)
        walk->current = *next;
    return has_verdict;
}
