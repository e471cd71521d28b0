/* SPDX-License-Identifier: MIT
 *
 * The contract of os.h as a test double: real memory below, limits, failures, page size and clock as the test
 * sets them. Here: memory. fake_thread.c has threads, clock and sleep.
 *
 * Every precondition of the contract is checked here and ends the test with its name, so a caller that breaks
 * it is found on a machine where the real kernel would have been lenient (a purge that is not a multiple of
 * 64 KiB, a commit that is not the next piece of the prefix).
 *
 * Data: one record per mapping; a reservation's record holds how much of its prefix is committed. F1:
 * committed is a multiple of 64 KiB and at most bytes. F2: records do not overlap. F3: the sums in ebb_fake
 * are those of the records.
 */
#include "os/fake_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define RECORDS_MAX 512
#define STEP_BYTES  EBB_KIB(64)
#define REAL_PAGE   ((size_t)4096)

struct record {
    char *base;
    size_t bytes;
    size_t committed_bytes; /* of a reservation; == bytes for a mapping of its own */
    bool reservation;
    char *newest;    /* the part of a reservation that was added last begins here */
    unsigned serial; /* rises with every mapping made */
};

#define DEFAULTS                                                                                             \
    {                                                                                                        \
        .page_bytes = 4096, .as_bytes = SIZE_MAX, .commit_bytes = SIZE_MAX, .ram_bytes = EBB_GIB(16),        \
        .memlock_bytes = SIZE_MAX, .max_map_count = 65530, .thp = EBB_THP_MADVISE, .now_ms = 1000,           \
        .pid = 42, .thread_id = 42, .thread_count = 1                                                        \
    }
struct ebb_fake ebb_fake = DEFAULTS;
static struct record records[RECORDS_MAX];
static unsigned record_count, serials;
pthread_mutex_t ebb_fake_mutex = PTHREAD_MUTEX_INITIALIZER;

void ebb_fake_broken(const char *function, const char *precondition)
{
    fprintf(stderr, "fake os: %s: precondition broken: %s\n", function, precondition);
    abort();
}

bool ebb_fake_must_fail(void)
{
    ebb_fake.calls++;
    if (ebb_fake.fail_at == 0)
        return false;
    if (ebb_fake.fail_at > 1) {
        ebb_fake.fail_at--;
        return false;
    }
    if (!ebb_fake.fail_forever)
        ebb_fake.fail_at = 0;
    ebb_fake.failures++;
    return true;
}

static struct record *find(const void *addr)
{
    for (unsigned i = 0; i < record_count; i++)
        if ((const char *)addr >= records[i].base && (const char *)addr < records[i].base + records[i].bytes)
            return &records[i];
    return NULL;
}

/* Whether a part of another reservation ends at addr and was there before: the kernel does not merge a piece into one
 * that appears below it later, for both have been touched by then. */
static bool continues(const char *addr, bool committed_part, unsigned serial)
{
    for (unsigned i = 0; i < record_count; i++) {
        const struct record *r = &records[i];
        const char *end = r->base + (committed_part ? r->committed_bytes : r->bytes);
        bool has_part = committed_part ? r->committed_bytes != 0 : r->committed_bytes != r->bytes;
        if (r->reservation && has_part && end == addr && r->serial < serial)
            return true;
    }
    return false;
}

/* Recounts what the test may ask for (F3). Parts of the same protection that touch are one mapping for the kernel. */
static void recount(void)
{
    ebb_fake.reserved_bytes = ebb_fake.committed_bytes = ebb_fake.mapped_bytes = 0;
    ebb_fake.mappings = 0;
    for (unsigned i = 0; i < record_count; i++) {
        const struct record *r = &records[i];
        if (!r->reservation) {
            ebb_fake.mapped_bytes += r->bytes;
            ebb_fake.mappings++;
            continue;
        }
        ebb_fake.reserved_bytes += r->bytes;
        ebb_fake.committed_bytes += r->committed_bytes;
        if (r->committed_bytes != 0 && !continues(r->base, true, r->serial))
            ebb_fake.mappings++;
        if (r->committed_bytes != r->bytes &&
            !(r->committed_bytes == 0 && continues(r->base, false, r->serial)))
            ebb_fake.mappings++;
    }
}

/* Without huge pages: where the machine makes them unasked, one touched byte would make 2 MiB resident, and
 * ebb_fake_resident_bytes() would depend on the machine. */
static int add(char *base, size_t bytes, bool reservation)
{
    REQUIRE(record_count < RECORDS_MAX);
    (void)madvise(base, bytes, MADV_NOHUGEPAGE);
    records[record_count++] = (struct record){.base = base,
                                              .bytes = bytes,
                                              .committed_bytes = reservation ? 0 : bytes,
                                              .reservation = reservation,
                                              .newest = base,
                                              .serial = ++serials};
    recount();
    return 0;
}

/* Makes the reservation that ends at addr longer, if it is the last that was made; else a new one. */
static int add_reservation(char *addr, size_t bytes)
{
    struct record *below = find(addr - 1);
    bool is_last = below != NULL && below->reservation;
    for (unsigned i = 0; i < record_count && is_last; i++)
        is_last = !records[i].reservation || records[i].serial <= below->serial;
    if (!is_last)
        return add(addr, bytes, true);
    (void)madvise(addr, bytes, MADV_NOHUGEPAGE);
    below->bytes += bytes;
    below->newest = addr;
    recount();
    return 0;
}

static void drop(struct record *r)
{
    munmap(r->base, r->bytes);
    *r = records[--record_count];
    recount();
}

/* Lets a whole suite run with other pages than it was written for. */
__attribute__((constructor(101))) static void set_page_bytes(void)
{
    const char *text = getenv("EBB_FAKE_PAGE_BYTES");
    if (text == NULL)
        return;
    size_t bytes = (size_t)strtoull(text, NULL, 10);
    REQUIRE(bytes >= REAL_PAGE && bytes <= EBB_KIB(64) && ebb__is_pow2(bytes));
    ebb_fake.page_bytes = bytes;
}

void ebb_fake_reset(void)
{
    while (record_count != 0)
        drop(&records[0]);
    ebb_fake = (struct ebb_fake)DEFAULTS;
    set_page_bytes();
    ebb_fake_thread_reset();
    ebb_fake_descriptor_reset();
    ebb_fake_shared_reset();
}

size_t ebb_fake_resident_bytes(void)
{
    static unsigned char seen[1 << 16];
    size_t per_page = ebb_fake.page_bytes / REAL_PAGE, sum = 0;
    for (unsigned i = 0; i < record_count; i++) {
        const struct record *r = &records[i];
        size_t real_pages = r->committed_bytes / REAL_PAGE;
        for (size_t at = 0; at < real_pages; at += sizeof(seen)) {
            size_t n = ebb__min(sizeof(seen), real_pages - at);
            REQUIRE(mincore(r->base + at * REAL_PAGE, n * REAL_PAGE, seen) == 0);
            for (size_t p = 0; p < n; p += per_page) {
                bool touched = false;
                for (size_t k = p; k < p + per_page && k < n; k++)
                    touched |= seen[k] & 1;
                sum += touched ? ebb_fake.page_bytes : 0;
            }
        }
    }
    return sum;
}

size_t ebb__os_page_bytes(void)
{
    return ebb_fake.page_bytes;
}

void ebb__os_limits(struct ebb_os_limits *ret_limits)
{
    *ret_limits = (struct ebb_os_limits){.ram_bytes = ebb_fake.ram_bytes,
                                         .as_bytes = ebb_fake.as_bytes,
                                         .memlock_bytes = ebb_fake.memlock_bytes};
}

size_t ebb__os_max_map_count(void)
{
    return ebb_fake.max_map_count;
}

static int map_aligned(size_t bytes, size_t align, int prot, bool reservation, void **ret)
{
    if (ebb_fake_must_fail())
        return -ENOMEM;
    if (ebb_fake.reserved_bytes + ebb_fake.mapped_bytes + bytes > ebb_fake.as_bytes ||
        (!reservation && ebb_fake.committed_bytes + ebb_fake.mapped_bytes + bytes > ebb_fake.commit_bytes)) {
        ebb_fake.failures++;
        return -ENOMEM;
    }
    size_t slack = align + (reservation ? ebb_fake.behind_bytes : 0);
    char *raw = mmap(NULL, bytes + slack, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (raw == MAP_FAILED)
        return -ENOMEM;
    /* The highest place, so that less than `align` is free behind it: what continues it does not depend on chance. */
    char *base = raw + (ebb__align_down((uintptr_t)raw + align, align) - (uintptr_t)raw);
    if (base != raw)
        munmap(raw, (size_t)(base - raw));
    if (base != raw + slack)
        munmap(base + bytes, (size_t)(raw + slack - base));
    *ret = base;
    return reservation ? add_reservation(base, bytes) : add(base, bytes, false);
}

int ebb__os_reserve(size_t bytes, size_t align, void **ret_base)
{
    REQUIRE(bytes != 0 && bytes % EBB_MIB(2) == 0 && align % EBB_MIB(2) == 0 && ebb__is_pow2(align));
    pthread_mutex_lock(&ebb_fake_mutex);
    int rc = map_aligned(bytes, align, PROT_NONE, true, ret_base);
    pthread_mutex_unlock(&ebb_fake_mutex);
    return rc;
}

int ebb__os_reserve_at(void *addr, size_t bytes)
{
    REQUIRE(bytes != 0 && bytes % EBB_MIB(2) == 0 && (uintptr_t)addr % EBB_MIB(2) == 0);
    int rc = -ENOMEM;
    pthread_mutex_lock(&ebb_fake_mutex);
    if (!ebb_fake_must_fail()) {
        if (ebb_fake.reserved_bytes + ebb_fake.mapped_bytes + bytes > ebb_fake.as_bytes) {
            ebb_fake.failures++;
        } else {
            void *got = mmap(addr, bytes, PROT_NONE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
            rc = got == addr ? add_reservation(addr, bytes) : -EEXIST;
        }
    }
    pthread_mutex_unlock(&ebb_fake_mutex);
    return rc;
}

void ebb__os_unreserve(void *addr, size_t bytes)
{
    pthread_mutex_lock(&ebb_fake_mutex);
    struct record *r = find(addr);
    REQUIRE(r != NULL && r->reservation && r->base == addr && r->bytes == bytes && r->committed_bytes == 0);
    drop(r);
    pthread_mutex_unlock(&ebb_fake_mutex);
}

int ebb__os_commit(void *addr, size_t bytes)
{
    int rc = -ENOMEM;
    pthread_mutex_lock(&ebb_fake_mutex);
    struct record *r = find(addr);
    REQUIRE(r != NULL && r->reservation && bytes != 0 && bytes % STEP_BYTES == 0);
    REQUIRE((char *)addr == r->base + r->committed_bytes); /* the prefix only grows, without gaps */
    REQUIRE((char *)addr + bytes <= r->base + r->bytes);
    if (!ebb_fake_must_fail()) {
        if (ebb_fake.committed_bytes + ebb_fake.mapped_bytes + bytes > ebb_fake.commit_bytes) {
            ebb_fake.failures++;
        } else {
            REQUIRE(mprotect(addr, bytes, PROT_READ | PROT_WRITE) == 0);
            r->committed_bytes += bytes;
            recount();
            rc = 0;
        }
    }
    pthread_mutex_unlock(&ebb_fake_mutex);
    return rc;
}

/* Called with the mutex. The name is the caller's, for the message. */
static int purge(const char *caller, void *addr, size_t bytes)
{
    struct record *r = find(addr);
    REQUIRE_OF(caller, r != NULL && bytes != 0 && (char *)addr + bytes <= r->base + r->committed_bytes);
    REQUIRE_OF(caller, (uintptr_t)addr % ebb_fake.page_bytes == 0 && bytes % ebb_fake.page_bytes == 0);
    REQUIRE_OF(caller, ebb__lock_none_held());
    if (ebb_fake_must_fail() || ebb_fake.locked)
        return -EINVAL;
    REQUIRE_OF(caller, madvise(addr, bytes, MADV_DONTNEED) == 0);
    ebb_fake.purged_bytes += bytes;
    return 0;
}

int ebb__os_purge(void *addr, size_t bytes)
{
    pthread_mutex_lock(&ebb_fake_mutex);
    ebb_fake.purge_calls++;
    if (ebb_fake.purge_ns != 0) /* else the clock is read without a lock */
        ebb_fake.extra_ns += ebb_fake.purge_ns;
    int rc = purge(__func__, addr, bytes);
    pthread_mutex_unlock(&ebb_fake_mutex);
    return rc;
}

unsigned ebb__os_purge_many(const struct ebb_os_range *ranges, unsigned count)
{
    unsigned done = 0;
    REQUIRE(count <= EBB_OS_PURGE_MAX);
    pthread_mutex_lock(&ebb_fake_mutex);
    ebb_fake.purge_calls++;
    if (ebb_fake.purge_ns != 0) /* else the clock is read without a lock */
        ebb_fake.extra_ns += ebb_fake.purge_ns;
    while (done < count && purge(__func__, ranges[done].addr, ranges[done].bytes) == 0)
        done++;
    pthread_mutex_unlock(&ebb_fake_mutex);
    return done;
}

/* ---- huge pages ---- */

enum ebb_os_thp ebb__os_thp(void)
{
    return ebb_fake.thp;
}

int ebb__os_no_huge(void *addr, size_t bytes)
{
    int rc = -EINVAL;
    pthread_mutex_lock(&ebb_fake_mutex);
    struct record *r = find(addr);
    REQUIRE(r != NULL && r->reservation && r->newest == addr); /* as a whole, and before it is touched */
    REQUIRE((char *)addr + bytes == r->base + r->bytes && r->base + r->committed_bytes <= (char *)addr);
    if (!ebb_fake_must_fail()) {
        ebb_fake.no_huge_bytes += bytes;
        rc = 0;
    }
    pthread_mutex_unlock(&ebb_fake_mutex);
    return rc;
}

/* Like the kernel's, it leaves the content and makes all of it resident. */
int ebb__os_collapse(void *addr, size_t bytes)
{
    int rc = -EAGAIN;
    pthread_mutex_lock(&ebb_fake_mutex);
    struct record *r = find(addr);
    REQUIRE(r != NULL && (char *)addr + bytes <= r->base + r->committed_bytes);
    REQUIRE(bytes == EBB_MIB(2) && (uintptr_t)addr % EBB_MIB(2) == 0);
    if (!ebb_fake_must_fail()) {
        for (size_t at = 0; at < bytes; at += REAL_PAGE) /* other threads may be writing there */
            (void)__atomic_fetch_or((char *)addr + at, 0, __ATOMIC_RELAXED);
        ebb_fake.collapses++;
        rc = 0;
    }
    pthread_mutex_unlock(&ebb_fake_mutex);
    return rc;
}

int ebb__os_map(size_t bytes, size_t align, void **ret_addr)
{
    REQUIRE(bytes != 0 && bytes % STEP_BYTES == 0 && align >= STEP_BYTES && ebb__is_pow2(align));
    pthread_mutex_lock(&ebb_fake_mutex);
    int rc = map_aligned(bytes, align, PROT_READ | PROT_WRITE, false, ret_addr);
    pthread_mutex_unlock(&ebb_fake_mutex);
    return rc;
}

void ebb__os_unmap(void *addr, size_t bytes)
{
    pthread_mutex_lock(&ebb_fake_mutex);
    struct record *r = find(addr);
    REQUIRE(r != NULL && !r->reservation && r->base == addr && r->bytes == bytes);
    drop(r);
    pthread_mutex_unlock(&ebb_fake_mutex);
}

int ebb__os_remap(void *addr, size_t old_bytes, size_t new_bytes, void **ret_addr)
{
    int rc = -ENOMEM;
    pthread_mutex_lock(&ebb_fake_mutex);
    struct record *r = find(addr);
    REQUIRE(r != NULL && !r->reservation && r->base == addr && r->bytes == old_bytes);
    REQUIRE(new_bytes != 0 && new_bytes % STEP_BYTES == 0);
    size_t others = ebb_fake.mapped_bytes - old_bytes + new_bytes;
    if (ebb_fake.reserved_bytes + others > ebb_fake.as_bytes ||
        ebb_fake.committed_bytes + others > ebb_fake.commit_bytes) {
        ebb_fake.failures++;
    } else if (!ebb_fake_must_fail()) {
        void *got = mremap(addr, old_bytes, new_bytes, MREMAP_MAYMOVE);
        if (got != MAP_FAILED) {
            r->base = got;
            r->bytes = r->committed_bytes = new_bytes;
            *ret_addr = got;
            recount();
            rc = 0;
        }
    }
    pthread_mutex_unlock(&ebb_fake_mutex);
    return rc;
}
