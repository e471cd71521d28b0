/* SPDX-License-Identifier: MIT
 *
 * The contract of os.h on the real kernel, seen from outside: /proc/self/maps before and after.
 */
#include "support.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>

#include "os/os.h"

/* ---- looking at the process from outside ---- */

struct maps {
    size_t bytes;          /* address space mapped */
    unsigned count;        /* of mappings */
    unsigned inside;       /* of mappings that overlap [from, to) */
    size_t writable_bytes; /* of [from, to) */
};

/* Reads without malloc, which would map. Special mappings of the kernel's are left out. */
static struct maps look(const void *from, const void *to)
{
    static char text[1 << 20];
    struct maps maps = {0};
    size_t len = 0;
    ssize_t n;
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    EXPECT(fd >= 0);
    while ((n = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
        len += (size_t)n;
    (void)close(fd);
    text[len] = '\0';
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n")) != NULL && *line != '\0';) {
        char *end;
        uintptr_t low = strtoull(line, &end, 16), high = strtoull(end + 1, &end, 16);
        if (strstr(line, "[stack]") != NULL || strstr(line, "[v") != NULL)
            continue;
        maps.count++;
        maps.bytes += high - low;
        low = ebb__max(low, (uintptr_t)from);
        high = ebb__min(high, (uintptr_t)to);
        if (low < high) {
            maps.inside++;
            maps.writable_bytes += end[2] == 'w' ? high - low : 0;
        }
    }
    return maps;
}

static struct maps look_around(const void *p, size_t bytes)
{
    return look(p, (const char *)p + bytes);
}

/* Whether a byte can be read, asked from the kernel. */
static bool readable(const void *p)
{
    int fds[2], saved = errno;
    EXPECT(pipe(fds) == 0);
    bool ok = write(fds[1], p, 1) == 1;
    (void)close(fds[0]);
    (void)close(fds[1]);
    errno = saved;
    return ok;
}

#define SENTINEL 4321

static void expect_errno_kept(void)
{
    EXPECT_EQ(errno, SENTINEL);
}

/* ---- address space ---- */

static void reserve_is_aligned_and_leaves_nothing_over(void)
{
    errno = SENTINEL;
    for (size_t align = EBB_MIB(2); align <= EBB_GIB(1); align *= 2)
        for (size_t bytes = EBB_MIB(2); bytes <= EBB_GIB(16); bytes = bytes * 5 + EBB_MIB(2)) {
            void *p = NULL;
            size_t before = look(NULL, NULL).bytes;
            EXPECT_EQ(ebb__os_reserve(bytes, align, &p), 0);
            expect_errno_kept();
            EXPECT_EQ((uintptr_t)p % align, 0);
            struct maps now = look_around(p, bytes);
            EXPECT_EQ(now.bytes - before, bytes);
            EXPECT_EQ(now.writable_bytes, 0);
            EXPECT(!readable(p) && !readable((char *)p + bytes - 1));
            ebb__os_unreserve(p, bytes);
            EXPECT_EQ(look(NULL, NULL).bytes, before);
            errno = SENTINEL;
        }
}

static void reserve_fails_clean(void)
{
    void *p = &p;
    size_t before = look(NULL, NULL).bytes;
    errno = SENTINEL;
    EXPECT_EQ(ebb__os_reserve((size_t)1 << 50, EBB_MIB(2), &p), -ENOMEM);
    EXPECT_EQ(ebb__os_reserve((size_t)1 << 62, EBB_MIB(128), &p), -ENOMEM);
    expect_errno_kept();
    EXPECT(p == &p); /* written on success only */
    EXPECT_EQ(look(NULL, NULL).bytes, before);
}

static void reserve_at_a_place(void)
{
    void *p;
    errno = SENTINEL;
    EXPECT_EQ(ebb__os_reserve(EBB_MIB(64), EBB_MIB(64), &p), 0);
    char *upper = (char *)p + EBB_MIB(32);
    EXPECT_EQ(ebb__os_reserve_at(p, EBB_MIB(2)), -EEXIST);
    EXPECT_EQ(ebb__os_reserve_at(upper, EBB_MIB(32)), -EEXIST);
    ebb__os_unreserve(upper, EBB_MIB(32));
    EXPECT_EQ(ebb__os_reserve_at((char *)p + EBB_MIB(30), EBB_MIB(4)), -EEXIST); /* half of it is taken */
    EXPECT_EQ(ebb__os_reserve_at(upper, EBB_MIB(16)), 0);
    struct maps now = look_around(p, EBB_MIB(64));
    EXPECT_EQ(now.inside, 1); /* the two are one mapping */
    EXPECT(!readable(upper));
    expect_errno_kept();
}

static void commit_grows_a_prefix(void)
{
    char *p;
    void *base;
    errno = SENTINEL;
    EXPECT_EQ(ebb__os_reserve(EBB_MIB(64), EBB_MIB(2), &base), 0);
    p = base;
    for (size_t at = 0; at < EBB_MIB(8); at += EBB_MIB(1)) {
        EXPECT_EQ(ebb__os_commit(p + at, EBB_MIB(1)), 0);
        EXPECT(support_is_zero(p + at, EBB_MIB(1)));
        memset(p + at, 1, EBB_MIB(1));
        struct maps now = look_around(p, EBB_MIB(64));
        EXPECT_EQ(now.inside, 2);
        EXPECT_EQ(now.writable_bytes, at + EBB_MIB(1));
        EXPECT(!readable(p + at + EBB_MIB(1)));
    }
    EXPECT(p[0] == 1 && p[EBB_MIB(8) - 1] == 1);
    EXPECT_EQ(ebb__os_commit(p, EBB_MIB(2)), 0); /* again, as after a fork: content stays */
    EXPECT_EQ(p[5], 1);
    expect_errno_kept();
    ebb__os_unreserve(p, EBB_MIB(64));
    EXPECT_EQ(ebb__os_commit(p, EBB_MIB(1)), -ENOMEM); /* nothing is there */
    expect_errno_kept();
}

/* ---- giving back ---- */

static size_t resident_pages(char *p, size_t bytes)
{
    static unsigned char seen[1 << 14];
    size_t page = ebb__os_page_bytes(), n = bytes / page, sum = 0;
    EXPECT(n <= sizeof(seen) && mincore(p, bytes, seen) == 0);
    for (size_t i = 0; i < n; i++)
        sum += seen[i] & 1;
    return sum;
}

static void purge_gives_back_and_reads_zero(void)
{
    void *base;
    size_t page = ebb__os_page_bytes();
    errno = SENTINEL;
    EXPECT_EQ(ebb__os_reserve(EBB_MIB(8), EBB_MIB(2), &base), 0);
    char *p = base;
    EXPECT_EQ(ebb__os_commit(p, EBB_MIB(4)), 0);
    memset(p, 0x5a, EBB_MIB(4));
    unsigned before = look_around(p, EBB_MIB(8)).inside;
    EXPECT_EQ(resident_pages(p, EBB_MIB(4)), EBB_MIB(4) / page);
    EXPECT_EQ(ebb__os_purge(p + EBB_MIB(1), EBB_MIB(2)), 0);
    EXPECT_EQ(resident_pages(p, EBB_MIB(4)), EBB_MIB(2) / page);
    EXPECT_EQ(look_around(p, EBB_MIB(8)).inside, before); /* no mapping was split */
    EXPECT(support_is_zero(p + EBB_MIB(1), EBB_MIB(2)));
    EXPECT(p[EBB_MIB(1) - 1] == 0x5a && p[EBB_MIB(3)] == 0x5a);
    memset(p + EBB_MIB(1), 1, EBB_MIB(2)); /* still writable */
    EXPECT_EQ(ebb__os_purge(p, page), 0);
    EXPECT(p[0] == 0 && p[page] == 0x5a);
    expect_errno_kept();
}

/* Locked memory: either it is given back all the same (Linux 5.18 and later), or nothing has happened. */
static void purge_of_locked_memory(void)
{
    void *base;
    size_t bytes = EBB_KIB(256);
    EXPECT_EQ(ebb__os_map(bytes, EBB_KIB(64), &base), 0);
    char *p = base;
    memset(p, 0x5a, bytes);
    if (mlock(p, bytes) != 0) {
        (void)printf("purge_of_locked_memory: skipped, mlock: %s\n", strerror(errno));
        return;
    }
    errno = 0;
    if (madvise(p, EBB_KIB(64), 24 /* MADV_DONTNEED_LOCKED */) == 0 && p[0] == 0x5a) {
        (void)printf(
            "purge_of_locked_memory: skipped, this kernel or emulator takes the advice and does nothing\n");
        return;
    }
    memset(p, 0x5a, bytes);
    int rc = ebb__os_purge(p, bytes);
    EXPECT_MSG(rc == 0 || rc == -EINVAL, "%d", rc);
    if (rc == 0)
        EXPECT(support_is_zero(p, bytes));
    else
        EXPECT(p[0] == 0x5a && p[bytes - 1] == 0x5a);
}

/* ---- mappings of their own ---- */

static void map_and_unmap(void)
{
    errno = SENTINEL;
    for (size_t align = EBB_KIB(64); align <= EBB_GIB(4); align *= 4)
        for (size_t bytes = EBB_KIB(64); bytes <= EBB_GIB(1); bytes *= 16) {
            void *p;
            size_t before = look(NULL, NULL).bytes;
            EXPECT_EQ(ebb__os_map(bytes, align, &p), 0);
            EXPECT_EQ((uintptr_t)p % align, 0);
            struct maps now = look_around(p, bytes);
            EXPECT(now.bytes - before == bytes && now.writable_bytes == bytes);
            char *c = p;
            EXPECT(c[0] == 0 && c[bytes - 1] == 0);
            c[0] = c[bytes - 1] = 1;
            ebb__os_unmap(p, bytes);
            EXPECT_EQ(look(NULL, NULL).bytes, before);
            expect_errno_kept();
        }
    void *p = &p;
    EXPECT_EQ(ebb__os_map((size_t)1 << 50, EBB_KIB(64), &p), -ENOMEM);
    EXPECT_EQ(ebb__os_map((size_t)PTRDIFF_MAX & ~(EBB_KIB(64) - 1), EBB_GIB(1), &p), -ENOMEM);
    EXPECT_EQ(ebb__os_map(EBB_KIB(64), (size_t)1 << 62, &p), -ENOMEM);
    EXPECT(p == &p);
    expect_errno_kept();
}

static void remap_keeps_content(void)
{
    static const size_t sizes[] = {EBB_MIB(64), EBB_MIB(33), EBB_KIB(64), EBB_MIB(200), EBB_MIB(1)};
    void *p;
    size_t bytes = EBB_MIB(32), before = look(NULL, NULL).bytes;
    errno = SENTINEL;
    EXPECT_EQ(ebb__os_map(bytes, EBB_KIB(64), &p), 0);
    support_fill(p, bytes, 1);
    for (size_t i = 0; i < EBB_ARRAY_COUNT(sizes); i++) {
        void *q = NULL;
        EXPECT_EQ(ebb__os_remap(p, bytes, sizes[i], &q), 0);
        EXPECT(support_kept(q, bytes, ebb__min(bytes, sizes[i]), 1));
        if (sizes[i] > bytes)
            EXPECT(support_is_zero((char *)q + bytes, EBB_KIB(64)) && ((char *)q)[sizes[i] - 1] == 0);
        EXPECT_EQ(look(NULL, NULL).bytes - before, sizes[i]);
        p = q;
        bytes = sizes[i];
        support_fill(p, bytes, 1);
    }
    void *q = &q;
    EXPECT(ebb__os_remap(p, bytes, (size_t)1 << 50, &q) < 0);
    EXPECT(q == &q && support_kept(p, bytes, bytes, 1)); /* the old one is whole */
    expect_errno_kept();
    ebb__os_unmap(p, bytes);
    EXPECT_EQ(look(NULL, NULL).bytes, before);
}

/* ---- limits ---- */

/* RLIMIT_AS is met to the byte by what was promised: no more than `bytes` at any moment. */
static void reserve_under_an_address_space_limit(void)
{
    struct ebb_os_limits limits;
    struct rlimit limit;
    if (SUPPORT_ASAN || SUPPORT_TSAN) {
        (void)printf("reserve_under_an_address_space_limit: skipped, sanitizers need address space\n");
        return;
    }
    ebb__os_limits(&limits);
    EXPECT(limits.ram_bytes > EBB_MIB(16));
    EXPECT(getrlimit(RLIMIT_AS, &limit) == 0);
    EXPECT_EQ(limits.as_bytes, limit.rlim_cur == RLIM_INFINITY ? SIZE_MAX : (size_t)limit.rlim_cur);
    EXPECT(getrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    EXPECT_EQ(limits.memlock_bytes, limit.rlim_cur == RLIM_INFINITY ? SIZE_MAX : (size_t)limit.rlim_cur);

    size_t all = look(NULL, NULL).bytes + EBB_MIB(10) /* stack and the kernel's own */ + EBB_MIB(256);
    limit = (struct rlimit){all, all};
    EXPECT(setrlimit(RLIMIT_AS, &limit) == 0);
    if (mmap(NULL, EBB_MIB(512), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED) {
        (void)printf("reserve_under_an_address_space_limit: skipped, the limit is not honoured here\n");
        return;
    }
    ebb__os_limits(&limits);
    EXPECT_EQ(limits.as_bytes, all);
    void *p;
    EXPECT_EQ(ebb__os_reserve(EBB_MIB(512), EBB_MIB(128), &p), -ENOMEM);
    EXPECT_EQ(ebb__os_reserve(EBB_MIB(240), EBB_MIB(128), &p), 0);
    EXPECT_EQ((uintptr_t)p % EBB_MIB(128), 0);
}

/* ---- the rest ---- */

static void constants_of_the_machine(void)
{
    size_t page = ebb__os_page_bytes();
    EXPECT(ebb__is_pow2(page) && page >= 4096 && page <= 65536 && page == (size_t)sysconf(_SC_PAGESIZE));
    EXPECT_EQ(ebb__os_page_bytes(), page);
    EXPECT(ebb__os_max_map_count() >= 1000);
    FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
    unsigned long count;
    if (file != NULL && fscanf(file, "%lu", &count) == 1)
        EXPECT_EQ(ebb__os_max_map_count(), count);
}

static void clock_never_goes_back(void)
{
    uint64_t start = ebb__os_now_ms(), last = start;
    while (last < start + 40) {
        uint64_t now = ebb__os_now_ms();
        EXPECT(now >= last);
        last = now;
    }
}

static void process_id_is_asked_each_time(void)
{
    int status;
    uint32_t mine = ebb__os_pid();
    EXPECT_EQ(mine, getpid());
    pid_t pid = fork();
    if (pid == 0)
        _exit(ebb__os_pid() == (uint32_t)getpid() && ebb__os_pid() != mine ? 0 : 1);
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
}

static void environment(void)
{
    (void)unsetenv("EBB_TEST_NAME");
    EXPECT(ebb__os_env("EBB_TEST_NAME") == NULL);
    EXPECT(setenv("EBB_TEST_NAME_LONGER", "no", 1) == 0);
    EXPECT(ebb__os_env("EBB_TEST_NAME") == NULL);
    EXPECT(setenv("EBB_TEST_NAME", "a:1,b=2", 1) == 0);
    EXPECT(strcmp(ebb__os_env("EBB_TEST_NAME"), "a:1,b=2") == 0);
    EXPECT(setenv("EBB_TEST_NAME", "", 1) == 0);
    EXPECT(ebb__os_env("EBB_TEST_NAME") != NULL && *ebb__os_env("EBB_TEST_NAME") == '\0');
    char **saved = environ;
    environ = NULL; /* as in ld.so's first calls */
    EXPECT(ebb__os_env("EBB_TEST_NAME") == NULL);
    environ = saved;
}

/* ---- threads and fork ---- */

static _Atomic unsigned ran[3];

static void count_exit(void *arg)
{
    free(malloc(100)); /* may call malloc */
    atomic_fetch_add((_Atomic unsigned *)arg, 1);
}

static void *arm_once(void *unused)
{
    (void)unused;
    ebb__os_thread_exit_arm(count_exit, &ran[0]);
    return NULL;
}

static void *arm_twice(void *unused)
{
    (void)unused;
    ebb__os_thread_exit_arm(count_exit, &ran[0]);
    ebb__os_thread_exit_arm(count_exit, &ran[1]); /* the last one wins */
    return NULL;
}

static void *disarm(void *unused)
{
    (void)unused;
    ebb__os_thread_exit_arm(count_exit, &ran[2]);
    ebb__os_thread_exit_arm(NULL, NULL);
    return NULL;
}

static void thread_exits(void)
{
    void *(*const bodies[3])(void *) = {arm_once, arm_twice, disarm};
    for (unsigned round = 0; round < 10; round++)
        for (unsigned i = 0; i < 3; i++) {
            pthread_t thread;
            EXPECT(pthread_create(&thread, NULL, bodies[i], NULL) == 0);
            EXPECT(pthread_join(thread, NULL) == 0);
        }
    EXPECT_EQ(atomic_load(&ran[0]), 10);
    EXPECT_EQ(atomic_load(&ran[1]), 10);
    EXPECT_EQ(atomic_load(&ran[2]), 0);
}

static int forks_seen;

static void in_child(void)
{
    forks_seen++;
}

static void fork_children_are_told(void)
{
    int status;
    EXPECT_EQ(ebb__os_on_fork(NULL, NULL, in_child), 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(forks_seen == 1 ? 0 : 1);
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
    EXPECT_EQ(forks_seen, 0);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(reserve_is_aligned_and_leaves_nothing_over),
        CASE(reserve_fails_clean),
        CASE(reserve_at_a_place),
        CASE(commit_grows_a_prefix),
        CASE(purge_gives_back_and_reads_zero),
        CASE(purge_of_locked_memory),
        CASE(map_and_unmap),
        CASE(remap_keeps_content),
        CASE(reserve_under_an_address_space_limit),
        CASE(constants_of_the_machine),
        CASE(clock_never_goes_back),
        CASE(process_id_is_asked_each_time),
        CASE(environment),
        CASE(thread_exits),
        CASE(fork_children_are_told),
    };
    return RUN_CASES(cases);
}
