/* SPDX-License-Identifier: MIT
 *
 * Purging many ranges and huge pages on the real kernel: what is resident, what reads as zero, and which calls were made.
 */
#include "refuse.h"

#include <dirent.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "os/os.h"

#define SENTINEL    4321
#define RANGES      EBB_OS_PURGE_MAX
#define RANGE_BYTES EBB_KIB(64)
#define STRIDE      (2 * RANGE_BYTES) /* as much is left between the ranges */
#define BYTES       (RANGES * STRIDE)

/* The C library of the machine may be older than its kernel. */
#define PURGE_MANY_NR      440u
#define PURGE_LOCKED       24
#define SELF               (-10001)
#define EXCEPT_ADVISED_BIT 2

static size_t resident_bytes(char *p, size_t bytes)
{
    static unsigned char seen[1 << 14];
    size_t page = ebb__os_page_bytes(), n = bytes / page, sum = 0;
    EXPECT(n <= sizeof(seen) && mincore(p, bytes, seen) == 0);
    for (size_t i = 0; i < n; i++)
        sum += seen[i] & 1;
    return sum * page;
}

static unsigned open_descriptors(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    EXPECT(dir != NULL);
    while (readdir(dir) != NULL)
        count++;
    (void)closedir(dir);
    return count;
}

/* Every second 64 KiB of a mapping, filled. */
static char *ranges_of(struct ebb_os_range *ranges)
{
    void *base;
    EXPECT_EQ(ebb__os_map(BYTES, EBB_KIB(64), &base), 0);
    (void)madvise(base, BYTES, MADV_NOHUGEPAGE); /* else the first touch may make 2 MiB resident */
    memset(base, 0x5a, BYTES);
    for (unsigned i = 0; i < RANGES; i++)
        ranges[i] = (struct ebb_os_range){(char *)base + i * STRIDE, RANGE_BYTES};
    return base;
}

static bool is_kept(const char *p, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (p[i] != 0x5a)
            return false;
    return true;
}

/* The first n ranges are empty, everything else is as it was. */
static void expect_purged(char *base, unsigned n)
{
    EXPECT_EQ(resident_bytes(base, BYTES), BYTES - n * RANGE_BYTES);
    for (unsigned i = 0; i < RANGES; i++) {
        char *p = base + i * STRIDE;
        EXPECT_MSG(i < n ? support_is_zero(p, RANGE_BYTES) : is_kept(p, RANGE_BYTES), "range %u of %u", i, n);
        EXPECT_MSG(is_kept(p + RANGE_BYTES, STRIDE - RANGE_BYTES), "behind range %u", i);
    }
}

/* Whether this kernel takes a vector of advice to oneself; asked without the library. */
static bool has_vector(void)
{
    void *p = mmap(NULL, EBB_KIB(64), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct ebb_os_range range = {p, EBB_KIB(64)};
    EXPECT(p != MAP_FAILED);
    long rc = syscall(PURGE_MANY_NR, SELF, &range, 1, PURGE_LOCKED, 0);
    EXPECT(munmap(p, EBB_KIB(64)) == 0);
    return rc == (long)EBB_KIB(64);
}

/* ---- purge ---- */

static void many_ranges_are_given_back(void)
{
    struct ebb_os_range ranges[RANGES];
    char *base = ranges_of(ranges);
    unsigned before = open_descriptors();
    errno = SENTINEL;
    EXPECT_EQ(ebb__os_purge_many(ranges, 0), 0);
    EXPECT_EQ(ebb__os_purge_many(ranges, 1), 1);
    expect_purged(base, 1);
    memset(base, 0x5a, BYTES);
    EXPECT_EQ(ebb__os_purge_many(ranges, 7), 7);
    expect_purged(base, 7);
    EXPECT_EQ(ebb__os_purge_many(ranges, RANGES), RANGES);
    expect_purged(base, RANGES);
    EXPECT_EQ(errno, SENTINEL);
    EXPECT_EQ(open_descriptors(), before);
    memset(base, 0x5a, BYTES); /* still writable */
}

/* A hole in the address space ends the prefix, whatever comes behind it. */
static void a_range_that_fails_ends_the_prefix(void)
{
    struct ebb_os_range ranges[RANGES];
    char *base = ranges_of(ranges);
    void *hole = mmap(NULL, RANGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(hole != MAP_FAILED && munmap(hole, RANGE_BYTES) == 0);
    if (madvise(hole, RANGE_BYTES, MADV_DONTNEED) == 0) {
        (void)printf("a_range_that_fails_ends_the_prefix: skipped, an emulator takes advice on nothing\n");
        return;
    }
    errno = SENTINEL;
    for (unsigned at = 0; at < RANGES; at += 21) {
        void *kept = ranges[at].addr;
        memset(base, 0x5a, BYTES);
        ranges[at].addr = hole;
        EXPECT_EQ(ebb__os_purge_many(ranges, RANGES), at);
        expect_purged(base, at);
        ranges[at].addr = kept;
    }
    EXPECT_EQ(errno, SENTINEL);
}

/* The kernel cuts a vector off at 2 GiB less a page: in the middle of a range, or of the only one. */
static void ranges_beyond_what_one_call_takes(void)
{
    struct ebb_os_range ranges[5];
    size_t all = EBB_GIB(3) + 4 * EBB_MIB(1536), at = 0;
    char *p = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        (void)printf("ranges_beyond_what_one_call_takes: skipped, mmap: %s\n", strerror(errno));
        return;
    }
    (void)madvise(p, all, MADV_NOHUGEPAGE);
    for (unsigned i = 0; i < 5; i++) {
        ranges[i] = (struct ebb_os_range){p + at, i == 2 ? EBB_GIB(3) : EBB_MIB(1536)};
        for (size_t k = 0; k < ranges[i].bytes; k += EBB_MIB(128))
            p[at + k] = 1;
        at += ranges[i].bytes;
    }
    EXPECT_EQ(at, all);
    EXPECT_EQ(ebb__os_purge_many(ranges, 5), 5);
    for (size_t k = 0; k < all; k += EBB_MIB(128))
        EXPECT_EQ(p[k], 0);
    memset(p, 1, 100);
    EXPECT_EQ(ebb__os_purge_many(ranges + 2, 2), 2);
    EXPECT_EQ(p[0], 1); /* of the ranges named and of no other */
}

static bool lock_some(struct ebb_os_range *ranges)
{
    return mlock(ranges[0].addr, RANGE_BYTES) == 0 && mlock(ranges[20].addr, RANGE_BYTES) == 0 &&
           mlock(ranges[RANGES - 1].addr, RANGE_BYTES) == 0;
}

/* Old kernels and emulators do not know the advice for locked memory, or take it and do nothing. */
static bool gives_locked_memory_back(char *p)
{
    bool gone = madvise(p, RANGE_BYTES, PURGE_LOCKED) == 0 && p[0] == 0;
    memset(p, 0x5a, RANGE_BYTES);
    return gone;
}

static void locked_ranges(const char *name)
{
    struct ebb_os_range ranges[RANGES];
    char *base = ranges_of(ranges);
    if (!lock_some(ranges) || !gives_locked_memory_back(base)) {
        (void)printf("%s: skipped, no locked memory or none is given back here\n", name);
        return;
    }
    EXPECT_EQ(ebb__os_purge_many(ranges, RANGES), RANGES);
    expect_purged(base, RANGES);
}

static void locked_ranges_among_others(void)
{
    locked_ranges(__func__);
}

/* One call for all of them: the single advice is forbidden, and nobody misses it, not even for locked ranges. */
static void many_ranges_are_one_call(void)
{
    struct ebb_os_range ranges[RANGES];
    char *base = ranges_of(ranges);
    if (!has_vector()) {
        (void)printf("many_ranges_are_one_call: skipped, this kernel takes no vector of advice to oneself\n");
        return;
    }
    if (!lock_some(ranges))
        (void)printf("many_ranges_are_one_call: without locked ones, mlock: %s\n", strerror(errno));
    SKIP_WITHOUT_FILTERS(refuse(SYS_madvise, EPERM));
    EXPECT_EQ(ebb__os_purge(base, RANGE_BYTES), -EPERM);
    EXPECT_EQ(ebb__os_purge_many(ranges, RANGES), RANGES);
    expect_purged(base, RANGES);
}

/* ---- where the call is missing or forbidden ---- */

static void refused_with(int error)
{
    struct ebb_os_range ranges[RANGES];
    char *base = ranges_of(ranges);
    SKIP_WITHOUT_FILTERS(refuse(PURGE_MANY_NR, error));
    errno = SENTINEL;
    for (unsigned round = 0; round < 2; round++) {
        memset(base, 0x5a, BYTES);
        EXPECT_EQ(ebb__os_purge_many(ranges, RANGES), RANGES);
        expect_purged(base, RANGES);
    }
    EXPECT_EQ(errno, SENTINEL);
    locked_ranges(__func__);
}

static void forbidden(void)
{
    refused_with(EPERM);
}

static void missing(void)
{
    refused_with(ENOSYS);
}

static void unknown_name_of_self(void)
{
    refused_with(EBADF);
}

static void all_advice_is_refused(void)
{
    struct ebb_os_range ranges[RANGES];
    char *base = ranges_of(ranges);
    const unsigned numbers[] = {PURGE_MANY_NR, SYS_madvise};
    SKIP_WITHOUT_FILTERS(refuse_by(numbers, 2, SECCOMP_RET_ERRNO | EPERM));
    EXPECT_EQ(ebb__os_purge_many(ranges, RANGES), 0);
    expect_purged(base, 0);
}

static volatile unsigned trapped;

static void answer_enosys(int sig, siginfo_t *info, void *context)
{
    ucontext_t *at = context;
    (void)sig;
    EXPECT_EQ(info->si_syscall, PURGE_MANY_NR);
    trapped++;
#if defined(__x86_64__)
    at->uc_mcontext.gregs[REG_RAX] = -ENOSYS;
#else
    at->uc_mcontext.regs[0] = (unsigned long long)-ENOSYS;
#endif
}

/* The kernel is asked once and not again. */
static void a_refusal_is_remembered(void)
{
    struct ebb_os_range ranges[RANGES];
    char *base = ranges_of(ranges);
    struct sigaction action = {.sa_sigaction = answer_enosys, .sa_flags = SA_SIGINFO};
    const unsigned number = PURGE_MANY_NR;
    EXPECT(sigaction(SIGSYS, &action, NULL) == 0);
    SKIP_WITHOUT_FILTERS(refuse_by(&number, 1, SECCOMP_RET_TRAP));
    for (unsigned round = 0; round < 3; round++) {
        memset(base, 0x5a, BYTES);
        EXPECT_EQ(ebb__os_purge_many(ranges, RANGES), RANGES);
        expect_purged(base, RANGES);
    }
    EXPECT_EQ(trapped, 1);
}

/* ---- huge pages ---- */

/* What the file says, read in another way: the words before "[" are counted. */
static enum ebb_os_thp thp_of_file(void)
{
    static const enum ebb_os_thp order[] = {EBB_THP_ALWAYS, EBB_THP_MADVISE, EBB_THP_NEVER};
    char word[32];
    FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");
    enum ebb_os_thp found = EBB_THP_NEVER;
    for (unsigned i = 0; file != NULL && i < 3 && fscanf(file, "%31s", word) == 1; i++)
        if (word[0] == '[')
            found = order[i];
    if (file != NULL)
        (void)fclose(file);
    return found;
}

static void thp_is_what_the_file_says(void)
{
    unsigned before = open_descriptors();
    int disabled = prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0);
    errno = SENTINEL;
    if (disabled <= 0)
        EXPECT_EQ(ebb__os_thp(), thp_of_file());
    EXPECT_EQ(errno, SENTINEL);
    EXPECT_EQ(open_descriptors(), before);
}

static void thp_disabled_for_the_process(void)
{
    if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) != 0) {
        (void)printf("thp_disabled_for_the_process: skipped, prctl: %s\n", strerror(errno));
        return;
    }
    EXPECT_EQ(ebb__os_thp(), EBB_THP_NEVER);
    if (prctl(PR_SET_THP_DISABLE, 1, EXCEPT_ADVISED_BIT, 0, 0) == 0)
        EXPECT_EQ(ebb__os_thp(), thp_of_file() == EBB_THP_NEVER ? EBB_THP_NEVER : EBB_THP_MADVISE);
    EXPECT(prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0) == 0);
    EXPECT_EQ(ebb__os_thp(), thp_of_file());
}

/* A field of /proc/self/smaps, of the mapping that contains p; in KiB, or the text of VmFlags. */
static size_t smaps_kib(const void *p, const char *field, char ret_flags[256])
{
    char line[512];
    size_t kib = 0, len = strlen(field);
    bool inside = false;
    FILE *file = fopen("/proc/self/smaps", "re");
    EXPECT(file != NULL);
    while (fgets(line, sizeof(line), file) != NULL) {
        char *end;
        uintptr_t low = strtoull(line, &end, 16);
        if (*end == '-')
            inside = (uintptr_t)p >= low && (uintptr_t)p < strtoull(end + 1, NULL, 16);
        else if (inside && strncmp(line, field, len) == 0 && line[len] == ':')
            kib = strtoull(line + len + 1, NULL, 10);
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            (void)snprintf(ret_flags, 256, "%.200s", line + 8);
    }
    (void)fclose(file);
    return kib;
}

static char *reserve_extents(size_t bytes)
{
    void *base;
    EXPECT_EQ(ebb__os_reserve(bytes, EBB_MIB(2), &base), 0);
    return base;
}

static void collapse_makes_a_huge_page(void)
{
    char flags[256] = "", flags_after[256] = "";
    char *p = reserve_extents(EBB_MIB(4));
    EXPECT_EQ(ebb__os_commit(p, EBB_MIB(4)), 0);
    for (size_t at = 0; at < EBB_MIB(4); at += 4096)
        p[at] = 0x5a;
    size_t before = smaps_kib(p, "AnonHugePages", flags);
    errno = SENTINEL;
    int rc = ebb__os_collapse(p, EBB_MIB(2));
    EXPECT_EQ(errno, SENTINEL);
    EXPECT_MSG(rc <= 0 && rc > -4096, "%d", rc);
    for (size_t at = 0; at < EBB_MIB(4); at += 4096)
        EXPECT(p[at] == 0x5a && p[at + 1] == 0);
    size_t after = smaps_kib(p, "AnonHugePages", flags_after);
    EXPECT(strcmp(flags, flags_after) == 0); /* nothing else has changed */
    if (rc != 0) {
        (void)printf("collapse_makes_a_huge_page: not on this machine or not now: %s\n", strerror(-rc));
        EXPECT(rc == -EINVAL || rc == -ENOMEM || rc == -EAGAIN || rc == -EBUSY || rc == -ENOSYS);
        return;
    }
    if (after == 0) {
        (void)printf("collapse_makes_a_huge_page: skipped, an emulator takes the advice and does nothing\n");
        return;
    }
    EXPECT(before >= 2048 ||
           after == before + 2048);                /* where pages are huge unasked, there is nothing to do */
    EXPECT_EQ(ebb__os_collapse(p, EBB_MIB(2)), 0); /* again: it is one already */
}

/* Whether the mark is shown where it is set without the library: not by emulators. */
static bool shows_no_huge(void)
{
    char flags[256] = "";
    char *p = mmap(NULL, EBB_MIB(4), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(p != MAP_FAILED);
    if (madvise(p, EBB_MIB(4), MADV_NOHUGEPAGE) == 0)
        (void)smaps_kib(p, "Rss", flags);
    EXPECT(munmap(p, EBB_MIB(4)) == 0);
    return strstr(flags, " nh") != NULL;
}

static void no_huge_marks_the_reservation(void)
{
    char flags[256] = "";
    char *p = reserve_extents(EBB_MIB(8));
    if (!shows_no_huge()) {
        (void)printf(
            "no_huge_marks_the_reservation: skipped, no huge pages in this kernel, or an emulator\n");
        return;
    }
    errno = SENTINEL;
    EXPECT_EQ(ebb__os_no_huge(p, EBB_MIB(8)), 0);
    EXPECT_EQ(errno, SENTINEL);
    EXPECT_EQ(ebb__os_commit(p, EBB_MIB(4)), 0);
    memset(p, 0x5a, EBB_MIB(4));
    EXPECT_EQ(smaps_kib(p, "AnonHugePages", flags), 0);
    EXPECT_MSG(strstr(flags, " nh") != NULL, "flags%s", flags);
    (void)smaps_kib(p + EBB_MIB(6), "Rss", flags);
    EXPECT_MSG(strstr(flags, " nh") != NULL, "flags%s", flags); /* what is committed later, too */
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(many_ranges_are_given_back),
        CASE(many_ranges_are_one_call),
        CASE(a_range_that_fails_ends_the_prefix),
        CASE(ranges_beyond_what_one_call_takes),
        CASE(locked_ranges_among_others),
        CASE(forbidden),
        CASE(missing),
        CASE(unknown_name_of_self),
        CASE(all_advice_is_refused),
        CASE(a_refusal_is_remembered),
        CASE(thp_is_what_the_file_says),
        CASE(thp_disabled_for_the_process),
        CASE(collapse_makes_a_huge_page),
        CASE(no_huge_marks_the_reservation),
    };
    return RUN_CASES(cases);
}
