/* SPDX-License-Identifier: MIT
 *
 * The governor's inputs on this kernel: a real cgroup with a limit that a child runs into, stalls, whoever is named by the
 * environment, and what the program sees of it all. What needs root or a controller that is not there is skipped, and says so.
 */
#include "pressure_tree.h"
#include "worker.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#define MIB ((size_t)1 << 20)

#define SKIP(...)                                                                                            \
    do {                                                                                                     \
        (void)printf("%s: skipped, ", __func__);                                                             \
        (void)printf(__VA_ARGS__);                                                                           \
        (void)printf("\n");                                                                                  \
        return;                                                                                              \
    } while (0)

static struct ebb_sources s;
static struct ebb_sources_event e;
static struct ebb_pressure_facts f;

/* ---- a child that takes memory when told to ---- */

static struct {
    _Atomic size_t want_mib, have_mib;
    _Atomic bool thrash; /* reads a file that does not fit, again and again */
    _Atomic uint64_t began_ns, done_ns;
} * hog;

static const char *thrash_file;

static void hog_thrash(void)
{
    static char buffer[1 << 16];
    int fd = open(thrash_file, O_RDONLY | O_CLOEXEC);
    EXPECT(fd >= 0);
    while (atomic_load(&hog->thrash)) {
        (void)lseek(fd, 0, SEEK_SET);
        while (read(fd, buffer, sizeof(buffer)) > 0)
            ;
    }
    (void)close(fd);
}

static void hog_live(void)
{
    for (;;) {
        size_t have = atomic_load(&hog->have_mib), want = atomic_load(&hog->want_mib);
        if (atomic_load(&hog->thrash))
            hog_thrash();
        if (have >= want) {
            nap(1);
            continue;
        }
        atomic_store(&hog->began_ns, ebb__os_now_ns());
        char *p = mmap(NULL, (want - have) * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        EXPECT(p != MAP_FAILED);
        (void)madvise(p, (want - have) * MIB, MADV_NOHUGEPAGE);
        for (size_t at = 0; at < (want - have) * MIB; at += 4096)
            p[at] = 1;
        atomic_store(&hog->done_ns, ebb__os_now_ns());
        atomic_store(&hog->have_mib, want);
    }
}

static pid_t start_hog(void)
{
    hog = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    EXPECT(hog != MAP_FAILED);
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        EXPECT(fd >= 0 && write(fd, "1000", 4) == 4 && close(fd) == 0);
        hog_live();
    }
    return pid;
}

static void wait_for_hog(size_t mib)
{
    while (atomic_load(&hog->have_mib) != mib)
        nap(1);
}

static void hog_takes(size_t mib)
{
    atomic_store(&hog->want_mib, mib);
    wait_for_hog(mib);
}

static void end_hog(pid_t pid)
{
    (void)kill(pid, SIGKILL);
    EXPECT(waitpid(pid, NULL, 0) == pid);
}

/* ---- a cgroup of our own, and a child of ours in it ---- */

static char group[256], stall_group[256];

static int write_text(const char *folder, const char *name, const char *text)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int rc = write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -errno;
    (void)close(fd);
    return rc;
}

/* The top of the memory controller; 0 when there is none. */
static unsigned find_top(char ret_top[200])
{
    static struct ebb_place place;
    if (ebb__place_find("", "/proc/self", &place) != 0 || place.version == 0)
        return 0;
    unsigned len = place.path_len[place.depth - 1];
    (void)snprintf(ret_top, 200, "%.*s", (int)len, place.path);
    return place.version;
}

/* The version, or 0 and why not. */
static unsigned make_group(size_t limit_mib, const char **ret_why)
{
    char top[200], limit[32], both[32];
    if (SUPPORT_TSAN) {
        *ret_why = "the sanitizer's own memory does not fit in the limit";
        return 0;
    }
    unsigned version = find_top(top);
    *ret_why = version == 0 ? "no memory controller" : "";
    if (version == 0)
        return 0;
    (void)snprintf(group, sizeof(group), "%s/ebb-test-inputs-%d", top, (int)getpid());
    (void)snprintf(limit, sizeof(limit), "%zu", limit_mib * MIB);
    (void)snprintf(both, sizeof(both), "%zu", (limit_mib + 1) * MIB); /* hardly any swap */
    if (version == 2)
        (void)write_text(top, "cgroup.subtree_control", "+memory");
    if (mkdir(group, 0700) != 0 && (errno != EEXIST || strcmp(group, stall_group) != 0)) {
        *ret_why = strerror(errno);
        return 0;
    }
    int rc = write_text(group, version == 1 ? "memory.limit_in_bytes" : "memory.max", limit);
    (void)write_text(group, version == 1 ? "memory.memsw.limit_in_bytes" : "memory.swap.max",
                     version == 1 ? both : "0");
    if (rc == 0)
        return version;
    *ret_why = strerror(-rc);
    (void)rmdir(group);
    return 0;
}

static void remove_group(const char *folder)
{
    for (unsigned i = 0; i < 500 && rmdir(folder) != 0 && errno != ENOENT; i++)
        nap(10);
    EXPECT_MSG(access(folder, F_OK) != 0, "%s", folder);
}

/* Runs the case's own part in the group; the group is removed whatever becomes of it. */
static void in_group(void (*run)(void))
{
    (void)fflush(NULL);
    pid_t pid = fork();
    int status;
    EXPECT(pid >= 0);
    if (pid == 0) {
        (void)alarm(60);
        EXPECT_EQ(write_text(group, "cgroup.procs", "0"), 0);
        if (stall_group[0] != '\0')
            EXPECT_EQ(write_text(stall_group, "cgroup.procs", "0"), 0);
        run();
        (void)fflush(NULL);
        _exit(0);
    }
    EXPECT(waitpid(pid, &status, 0) == pid);
    remove_group(group);
    if (stall_group[0] != '\0')
        remove_group(stall_group);
    EXPECT_EQ(status, 0);
}

/* ---- a poll that waits until all of these have come ---- */

static uint32_t wait_for(uint32_t causes, unsigned limit_ms)
{
    uint32_t seen = 0;
    for (uint64_t end = ebb__os_now_ms() + limit_ms; (seen & causes) != causes && ebb__os_now_ms() < end;)
        if (ebb__sources_poll(&s, 100, &e))
            seen |= e.causes;
    EXPECT_EQ(ebb__sources_check(&s), 0);
    return seen;
}

static void settle(void)
{
    while (ebb__sources_poll(&s, 50, &e))
        ;
}

/* ---- this host as it is ---- */

static void arm_and_measure(unsigned step_number)
{
    uint64_t best_ns = UINT64_MAX, worst_ns = 0, start_ns = ebb__os_now_ns();
    (void)step_number;
    ebb__sources_init(&s, "", "/proc/self");
    EXPECT_EQ(ebb__sources_open(&s), 0);
    ebb__sources_listen(&s);
    uint64_t armed_ns = ebb__os_now_ns() - start_ns;
    for (unsigned i = 0; i < 300; i++) {
        start_ns = ebb__os_now_ns();
        ebb__sources_read(&s, &f);
        uint64_t ns = ebb__os_now_ns() - start_ns;
        best_ns = ns < best_ns ? ns : best_ns;
        worst_ns = ns > worst_ns ? ns : worst_ns;
    }
    (void)printf("armed with %u sources, %d descriptors in %" PRIu64
                 " us; %u of %u cgroups limited; facts read in %" PRIu64 " us at best, %" PRIu64
                 " us at worst\n",
                 s.count, thread_fds(), armed_ns / 1000, f.count, f.depth, best_ns / 1000, worst_ns / 1000);
    if (!SUPPORT_ASAN && !SUPPORT_TSAN)
        EXPECT_MSG(best_ns < UINT64_C(100000) * support_slow(), "%" PRIu64 " ns", best_ns);
    EXPECT(f.rss_bytes.known && f.rss_bytes.value > 100000 && f.mem_total_bytes.known &&
           f.mem_available_bytes.known);
    EXPECT(f.mem_available_bytes.value <= f.mem_total_bytes.value && !f.stale);
    EXPECT_EQ(ebb__sources_check(&s), 0);
}

static void this_host(void)
{
    start(arm_and_measure);
    int before = program_fds();
    step();
    EXPECT_EQ(program_fds(), before);
    EXPECT(thread_fds() > 4);
}

/* ---- a limit ---- */

static pid_t hog_pid;

static void measure_in_group(unsigned step_number)
{
    static const uint64_t bytes[] = {28 * MIB, 32 * MIB};
    if (step_number == 1) {
        arm_and_measure(1);
        EXPECT(f.count == 1 && f.levels[0].distance == 0 && f.tightest == 0);
        EXPECT(f.levels[0].limit_bytes.value == 64 * MIB && f.levels[0].usage_bytes.known);
        EXPECT(f.levels[0].clean_bytes.known && f.levels[0].max_events.known && f.levels[0].oom_kills.known);
        uint64_t start_ns = ebb__os_now_ns();
        int rc = ebb__sources_set_thresholds(&s, 0, bytes, 2);
        (void)printf("two thresholds in %" PRIu64 " us\n", (ebb__os_now_ns() - start_ns) / 1000);
        EXPECT_EQ(rc, s.place.version == 1 ? 0 : -ENOTSUP);
        settle();
        return;
    }
    if (s.place.version == 1) {
        uint32_t seen = wait_for(EBB_CAUSE_THRESHOLD, 20000);
        uint64_t woken_ns = ebb__os_now_ns();
        EXPECT(seen == EBB_CAUSE_THRESHOLD && e.levels == 1);
        wait_for_hog(40);
        uint64_t began_ns = atomic_load(&hog->began_ns), done_ns = atomic_load(&hog->done_ns);
        (void)printf("woken by a threshold %" PRIu64
                     " us after the child began to take 20 MiB, which took it %" PRIu64 " us\n",
                     (woken_ns - began_ns) / 1000, (done_ns - began_ns) / 1000);
        EXPECT(woken_ns > began_ns);
    }
    wait_for_hog(40); /* version 2 has nothing that would have told */
    ebb__sources_read(&s, &f);
    EXPECT(f.levels[0].usage_bytes.value > 40 * MIB && ebb__level_headroom(&f.levels[0]).value < 24 * MIB);
    settle();
}

static void measure_at_the_end(unsigned step_number)
{
    if (step_number < 3) {
        measure_in_group(step_number);
        return;
    }
    bool v1 = s.place.version == 1;
    uint32_t wanted = v1 ? EBB_CAUSE_CRITICAL | EBB_CAUSE_OOM : EBB_CAUSE_EVENT;
    uint32_t seen = wait_for(wanted, 20000);
    EXPECT_MSG((seen & wanted) == wanted, "causes %#x", seen);
    for (unsigned i = 0; i < 100; i++) { /* the kill comes a little after the word of it */
        ebb__sources_read(&s, &f);
        if (f.levels[0].oom_kills.value != 0)
            break;
        nap(20);
    }
    EXPECT_EQ(f.levels[0].oom_kills.value, 1);
    EXPECT(f.levels[0].max_events.value != 0);
}

static void run_into_the_limit(void)
{
    hog_pid = start_hog();
    hog_takes(20);
    start(measure_at_the_end);
    step();
    atomic_fetch_add(&worker.step, 1); /* polls while the child takes */
    nap(20);
    hog_takes(40);
    while (atomic_load(&worker.done) < 2)
        nap(1);
    atomic_fetch_add(&worker.step, 1);
    nap(20);
    atomic_store(&hog->want_mib, 100); /* of 64 */
    while (atomic_load(&worker.done) < 3)
        nap(1);
    int status;
    EXPECT(waitpid(hog_pid, &status, 0) == hog_pid);
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void a_limit_is_met(void)
{
    const char *why;
    stall_group[0] = '\0';
    if (make_group(64, &why) == 0)
        SKIP("%s", why);
    in_group(run_into_the_limit);
}

/* ---- another user, another root ---- */

static void arm_as_nobody(unsigned step_number)
{
    const uint64_t bytes[] = {32 * MIB};
    if (step_number == 1) {
        arm_and_measure(1);
        EXPECT(f.count == 1 && f.levels[0].usage_bytes.known);
        return;
    }
    if (step_number == 2) { /* the program has gone into another root: what was opened is read on */
        ebb__sources_read(&s, &f);
        EXPECT(f.count == 1 && f.levels[0].usage_bytes.known && f.rss_bytes.known && !f.stale);
        EXPECT(f.mem_available_bytes.known);
        return;
    }
    EXPECT_EQ(ebb__sources_open(&s), 0); /* nothing is there, and nobody may */
    EXPECT(s.place.version == 0 && s.count == 1);
    EXPECT_EQ(ebb__sources_set_thresholds(&s, 0, bytes, 1), -ENOTSUP);
    ebb__sources_read(&s, &f);
    EXPECT(f.count == 0 && !f.rss_bytes.known);
}

static void leave_the_root(void)
{
    start(arm_as_nobody);
    step();
    if (chroot(tree) != 0)
        SKIP("%s", strerror(errno));
    EXPECT(chdir("/") == 0);
    step();
    step();
}

static void another_root(void)
{
    const char *why;
    stall_group[0] = '\0';
    if (make_group(64, &why) == 0)
        SKIP("%s", why);
    make_tree();
    in_group(leave_the_root);
    remove_tree();
}

/* A server that has given up root before it is armed: it may look, and on most kernels not be woken by version 1. */
static void look_as_nobody(unsigned step_number)
{
    const uint64_t bytes[] = {32 * MIB};
    arm_and_measure(step_number);
    EXPECT(f.count == 1 && f.levels[0].usage_bytes.known && f.levels[0].clean_bytes.known);
    int rc = ebb__sources_set_thresholds(&s, 0, bytes, 1);
    (void)printf("without root: thresholds %s, stalls of the host %s\n", rc == 0 ? "are set" : strerror(-rc),
                 s.count > 1 ? "are watched" : "are not");
    EXPECT(rc == 0 || rc == -EACCES || rc == -ENOTSUP);
}

static void give_up_root(void)
{
    EXPECT(chmod(group, 0755) == 0);
    if (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0)
        SKIP("%s", strerror(errno));
    start(look_as_nobody);
    step();
}

static void without_root(void)
{
    const char *why;
    stall_group[0] = '\0';
    if (make_group(64, &why) == 0)
        SKIP("%s", why);
    in_group(give_up_root);
}

/* ---- stalls ---- */

static bool has_stalls(void)
{
    char text[256];
    int fd = open("/proc/pressure/memory", O_RDONLY | O_CLOEXEC);
    bool has = fd >= 0 && read(fd, text, sizeof(text)) > 0;
    if (fd >= 0)
        (void)close(fd);
    return has;
}

static void wait_for_a_stall(unsigned step_number)
{
    if (step_number == 1) {
        ebb__watch_note();
        arm_and_measure(1);
        EXPECT(f.own.some_total_us.known && f.host.some_total_us.known);
        settle();
        return;
    }
    uint32_t wanted = ebb__watch()->wish == EBB_WATCH_PATH ? EBB_CAUSE_WATCH : EBB_CAUSE_STALL;
    uint64_t start_ns = ebb__os_now_ns(), before_us = f.own.some_total_us.value;
    uint32_t seen = wait_for(wanted, 30000);
    ebb__sources_read(&s, &f);
    (void)printf("causes %#x after %" PRIu64 " ms, in which the cgroup waited for %" PRIu64 " ms\n", seen,
                 (ebb__os_now_ns() - start_ns) / 1000000, (f.own.some_total_us.value - before_us) / 1000);
    EXPECT((seen & wanted) != 0 && f.own.some_total_us.value > before_us);
}

static void thrash(void)
{
    hog_pid = start_hog();
    hog_takes(20); /* of 24: there is little left for the file */
    start(wait_for_a_stall);
    step();
    atomic_store(&hog->thrash, true);
    step();
    end_hog(hog_pid);
}

/* The cgroup of version 2 whose stalls are counted: the group itself, or another beside a group of version 1. */
static const char *make_stall_group(void)
{
    static const char *const tops[] = {"/sys/fs/cgroup/unified", "/sys/fs/cgroup"};
    for (size_t i = 0; i < 2; i++) {
        char path[256];
        (void)snprintf(path, sizeof(path), "%s/memory.pressure", tops[i]);
        if (access(path, R_OK) != 0)
            continue;
        (void)snprintf(stall_group, sizeof(stall_group), "%s/ebb-test-inputs-%d", tops[i], (int)getpid());
        if (mkdir(stall_group, 0755) == 0 || errno == EEXIST)
            return NULL;
    }
    stall_group[0] = '\0';
    return "no cgroup of version 2 can be made";
}

static void make_thrash_file(void)
{
    static char buffer[1 << 20];
    make_tree();
    put("/file", "");
    int fd = open(in_tree("/file"), O_WRONLY | O_CLOEXEC);
    memset(buffer, 0x5a, sizeof(buffer));
    for (unsigned i = 0; i < 64; i++)
        EXPECT(write(fd, buffer, sizeof(buffer)) == (ssize_t)sizeof(buffer));
    EXPECT(fsync(fd) == 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0 && close(fd) == 0);
    static char name[128];
    (void)snprintf(name, sizeof(name), "%s", in_tree("/file"));
    thrash_file = name;
}

static void thrash_somewhere(void)
{
    const char *why;
    if (!has_stalls())
        SKIP("the kernel counts no stalls");
    if ((why = make_stall_group()) != NULL)
        SKIP("%s", why);
    if (make_group(24, &why) == 0) {
        remove_group(stall_group);
        SKIP("%s", why);
    }
    make_thrash_file();
    in_group(thrash);
    remove_tree();
}

static void a_cgroup_stalls(void)
{
    EXPECT(unsetenv("MEMORY_PRESSURE_WATCH") == 0);
    thrash_somewhere();
}

/* As systemd would have it. */
static void a_named_file_of_the_kernel(void)
{
    char path[300];
    const char *why = make_stall_group();
    if (why != NULL)
        SKIP("%s", why);
    (void)snprintf(path, sizeof(path), "%s/memory.pressure", stall_group);
    EXPECT(setenv("MEMORY_PRESSURE_WATCH", path, 1) == 0);
    EXPECT(setenv("MEMORY_PRESSURE_WRITE", "c29tZSAyMDAwMDAgMjAwMDAwMAA=", 1) == 0);
    thrash_somewhere();
}

/* ---- who is named ---- */

static void name(const char *path)
{
    EXPECT(setenv("MEMORY_PRESSURE_WATCH", path, 1) == 0 &&
           setenv("MEMORY_PRESSURE_WRITE", "aGVsbG8A", 1) == 0);
    ebb__watch_note();
    EXPECT_EQ(ebb__watch()->wish, EBB_WATCH_PATH);
    EXPECT(unsetenv("MEMORY_PRESSURE_WATCH") == 0);
}

static void wait_to_be_told(unsigned step_number)
{
    if (step_number == 1) {
        arm_and_measure(1);
        EXPECT(!ebb__sources_poll(&s, 0, &e) || e.causes != EBB_CAUSE_WATCH);
        return;
    }
    EXPECT((wait_for(EBB_CAUSE_WATCH, 20000) & EBB_CAUSE_WATCH) != 0);
}

static void a_fifo_tells(void)
{
    make_tree();
    EXPECT(mkfifo(in_tree("/fifo"), 0600) == 0);
    name(in_tree("/fifo"));
    start(wait_to_be_told);
    int before = program_fds();
    step();
    EXPECT_EQ(program_fds(), before);
    for (unsigned i = 0; i < 3; i++) { /* a writer that comes and goes, as a shell's echo does */
        int fd = open(in_tree("/fifo"), O_WRONLY | O_CLOEXEC);
        EXPECT(fd >= 0 && write(fd, "\n", 1) == 1 && close(fd) == 0);
        step();
    }
    remove_tree();
}

static void a_socket_tells(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char text[16];
    make_tree();
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", in_tree("/socket"));
    int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT(bind(server, (const struct sockaddr *)(const void *)&address, sizeof(address)) == 0);
    EXPECT(listen(server, 2) == 0);
    name(address.sun_path);
    start(wait_to_be_told);
    step();
    int peer = accept(server, NULL, NULL);
    EXPECT(peer >= 0 && read(peer, text, sizeof(text)) == 6 && memcmp(text, "hello", 6) == 0);
    for (unsigned i = 0; i < 3; i++) {
        EXPECT(write(peer, "now", 3) == 3);
        step();
    }
    remove_tree();
}

/* ---- counters of version 2: the file that tells is another one of the kernel's, which every host has ---- */

static void wait_for_counters(unsigned step_number)
{
    if (step_number == 1) {
        ebb__sources_init(&s, tree, "/proc/self");
        EXPECT_EQ(ebb__sources_open(&s), 0);
        EXPECT(s.place.version == 2 && s.limited == 1 && s.count == 2);
        EXPECT(!ebb__sources_poll(&s, 0, &e));
        return;
    }
    if (step_number == 2) {
        EXPECT_EQ(wait_for(EBB_CAUSE_EVENT, 10000), EBB_CAUSE_EVENT);
        EXPECT_EQ(e.levels, 1);
        settle();
        EXPECT(!s.stale);
        return;
    }
    for (unsigned i = 0; i < 100 && !s.stale; i++)
        (void)ebb__sources_poll(&s, 100, &e);
    EXPECT(s.stale && s.count == 1);
    EXPECT(!ebb__sources_poll(&s, 0, &e));
    EXPECT_EQ(ebb__sources_check(&s), 0);
}

static void counters_tell(void)
{
    char path[300];
    const char *why = make_stall_group();
    if (why != NULL)
        SKIP("%s", why);
    make_tree();
    put("/proc/self/mountinfo", MOUNT_V2);
    put("/proc/self/cgroup", "0::/a\n");
    put(V2 "/cgroup.controllers", "memory\n");
    put(V2 "/a/memory.max", "1000000\n");
    (void)snprintf(path, sizeof(path), "%s/cgroup.events", stall_group);
    EXPECT(symlink(path, in_tree(V2 "/a/memory.events.local")) == 0);
    start(wait_for_counters);
    step();
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0)
        _exit(write_text(stall_group, "cgroup.procs", "0") == 0 ? 0 : 1);
    int status;
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
    step();
    remove_group(stall_group);
    step();
    remove_tree();
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(this_host),    CASE(a_limit_is_met),  CASE(another_root),
        CASE(without_root), CASE(a_cgroup_stalls), CASE(a_named_file_of_the_kernel),
        CASE(a_fifo_tells), CASE(a_socket_tells),  CASE(counters_tell),
    };
    return RUN_CASES(cases);
}
