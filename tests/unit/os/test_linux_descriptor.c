/* SPDX-License-Identifier: MIT
 *
 * A table of descriptors of its own on the real kernel: what the program sees of it, what it holds of the program's, and what can
 * be opened and polled in it.
 */
#include "refuse.h"
#include "worker.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "os/os.h"

/* ---- the table ---- */

static void own_then_open(unsigned step)
{
    if (step == 1)
        atomic_store(&worker.rc, ebb__os_fd_own_table());
    else
        atomic_store(&worker.rc, ebb__os_fd_open("/proc/self/statm", EBB_OS_READ));
}

static bool peer_sees_the_end(int fd)
{
    char byte;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1 && read(fd, &byte, 1) == 0;
}

/* The heart of it, for each way to come by a table. */
static void a_table_of_its_own(void)
{
    int pair[2];
    EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    start(own_then_open);
    int before = program_fds();
    EXPECT(before >= 4);
    step();
    EXPECT_EQ(atomic_load(&worker.rc), 0);
    EXPECT_EQ(program_fds(), before);
    EXPECT_EQ(thread_fds(), 0);

    /* Nothing of the program's is held. */
    EXPECT(close(pair[0]) == 0);
    EXPECT(peer_sees_the_end(pair[1]));

    /* What the thread opens gets the lowest number there and none here. */
    step();
    EXPECT_EQ(atomic_load(&worker.rc), 0);
    EXPECT_EQ(thread_fds(), 1);
    EXPECT_EQ(program_fds(), before - 1);
    EXPECT(open("/dev/null", O_RDONLY | O_CLOEXEC) == pair[0]);
    /* The program cannot close it. */
    EXPECT(close_range(3, ~0U, 0) == 0);
    EXPECT_EQ(thread_fds(), 1);
}

/* A child has what the program has. */
static void a_child_has_none_of_it(void)
{
    start(own_then_open);
    step();
    step();
    int before = program_fds();
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0)
        _exit(program_fds() == before ? 0 : 1);
    int status;
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
}

/* Linux before 5.9. */
static void without_close_range(void)
{
    SKIP_WITHOUT_FILTERS(refuse(SYS_close_range, ENOSYS));
    int pair[2];
    EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    for (int fd = 20; fd < 400; fd++) /* more than one piece of the list */
        EXPECT(dup2(pair[0], fd) == fd);
    start(own_then_open);
    int before = program_fds();
    step();
    EXPECT_EQ(atomic_load(&worker.rc), 0);
    EXPECT_EQ(program_fds(), before);
    EXPECT_EQ(thread_fds(), 0);
    for (int fd = 20; fd < 400; fd++)
        EXPECT(close(fd) == 0);
    EXPECT(!peer_sees_the_end(pair[1]));
    EXPECT(close(pair[0]) == 0);
    EXPECT(peer_sees_the_end(pair[1]));
}

/* And without a list of what is open. */
static void without_close_range_and_list(void)
{
    const unsigned numbers[] = {SYS_close_range};
    const unsigned lists[] = {SYS_getdents64};
    int pair[2];
    EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    EXPECT(dup2(pair[0], 900) == 900);
    const struct rlimit limit = {1024, 1024};
    EXPECT(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    SKIP_WITHOUT_FILTERS(refuse_by(numbers, 1, SECCOMP_RET_ERRNO | ENOSYS));
    SKIP_WITHOUT_FILTERS(refuse_by(lists, 1, SECCOMP_RET_ERRNO | EPERM));
    start(own_then_open);
    step();
    EXPECT_EQ(atomic_load(&worker.rc), 0);
    EXPECT(close(900) == 0 && close(pair[0]) == 0);
    EXPECT(peer_sees_the_end(pair[1]));
}

static void where_it_is_refused_nothing_changes(void)
{
    const unsigned numbers[] = {SYS_close_range, SYS_unshare};
    SKIP_WITHOUT_FILTERS(refuse_by(numbers, 2, SECCOMP_RET_ERRNO | EPERM));
    start(own_then_open);
    int before = program_fds();
    step();
    EXPECT_EQ(atomic_load(&worker.rc), -EPERM);
    EXPECT_EQ(program_fds(), before);
    step();
    EXPECT(atomic_load(&worker.rc) > 2);
    EXPECT_EQ(program_fds(), before + 1); /* it is shared, and seen */
}

/* The program's record locks belong to the program's table. */
static void record_locks_stay(void)
{
    SKIP_WITHOUT_FILTERS(refuse(SYS_close_range, ENOSYS));
    char name[] = "/tmp/ebb-test-lock-XXXXXX";
    int fd = mkstemp(name);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    EXPECT(fd >= 0 && fcntl(fd, F_SETLK, &lock) == 0);
    start(own_then_open);
    step();
    EXPECT_EQ(atomic_load(&worker.rc), 0);
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        lock.l_type = F_WRLCK;
        _exit(fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type == F_WRLCK ? 0 : 1);
    }
    int status;
    EXPECT(waitpid(pid, &status, 0) == pid);
    (void)unlink(name);
    EXPECT_EQ(status, 0);
}

/* ---- the library's last line ---- */

static void own_then_die(unsigned step)
{
    if (step == 1)
        atomic_store(&worker.rc, ebb__os_fd_own_table());
    else
        ebb__die("said by thread of %s", "another table");
}

static void die_in_the_thread(void *unused)
{
    (void)unused;
    start(own_then_die);
    step();
    step();
}

static void die_without_getfd(void *unused)
{
    if (!refuse(SYS_pidfd_getfd, ENOSYS))
        ebb__die("said by thread of another table");
    die_in_the_thread(unused);
}

static void last_words_are_heard(void)
{
    EXPECT_DIES(die_in_the_thread, NULL, "said by thread of another table");
    EXPECT_DIES(die_without_getfd, NULL, "said by thread of another table");
}

/* ---- what can be opened ---- */

static char folder[64];

static const char *in_folder(const char *name)
{
    static char path[4][128];
    static unsigned n;
    (void)snprintf(path[n % 4], sizeof(path[0]), "%s/%s", folder, name);
    return path[n++ % 4];
}

static void make_folder(void)
{
    (void)snprintf(folder, sizeof(folder), "/tmp/ebb-test-fd-XXXXXX");
    EXPECT(mkdtemp(folder) != NULL);
}

static void remove_folder(void)
{
    static const char *const names[] = {"fifo", "socket", "file", "link"};
    for (size_t i = 0; i < EBB_ARRAY_COUNT(names); i++)
        (void)unlink(in_folder(names[i]));
    EXPECT(rmdir(folder) == 0);
}

static int listen_at(const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    (void)snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT(fd >= 0 && bind(fd, (const struct sockaddr *)(const void *)&name, sizeof(name)) == 0);
    EXPECT(listen(fd, 2) == 0);
    return fd;
}

static void kinds(void)
{
    make_folder();
    EXPECT(mkfifo(in_folder("fifo"), 0600) == 0);
    int server = listen_at(in_folder("socket"));
    EXPECT(close(open(in_folder("file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)) == 0);
    EXPECT(symlink("/proc/self/statm", in_folder("link")) == 0);
    EXPECT_EQ(ebb__os_fd_kind(in_folder("fifo")), EBB_OS_FIFO);
    EXPECT_EQ(ebb__os_fd_kind(in_folder("socket")), EBB_OS_SOCKET);
    EXPECT_EQ(ebb__os_fd_kind(in_folder("file")), EBB_OS_OTHER);
    EXPECT_EQ(ebb__os_fd_kind(in_folder("link")), EBB_OS_KERNEL_FILE);
    EXPECT_EQ(ebb__os_fd_kind("/proc/meminfo"), EBB_OS_KERNEL_FILE);
    EXPECT_EQ(ebb__os_fd_kind("/dev/null"), EBB_OS_OTHER);
    EXPECT_EQ(ebb__os_fd_kind("/proc"), EBB_OS_OTHER);
    EXPECT_EQ(ebb__os_fd_kind(in_folder("nothing")), -ENOENT);
    (void)close(server);
    remove_folder();
}

static void files_are_read_anew(void)
{
    char text[4096];
    make_folder();
    const char *path = in_folder("file");
    int writer = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    EXPECT(write(writer, "one\n", 4) == 4);
    errno = 4321;
    int fd = ebb__os_fd_open(path, EBB_OS_READ);
    EXPECT(fd >= 0 && ebb__os_fd_read_file(fd, text, sizeof(text)) == 4 && strcmp(text, "one\n") == 0);
    EXPECT(pwrite(writer, "second\n", 7, 0) == 7);
    EXPECT(ebb__os_fd_read_file(fd, text, sizeof(text)) == 7 && strcmp(text, "second\n") == 0);
    EXPECT(ebb__os_fd_read_file(fd, text, 4) == 3 && strcmp(text, "sec") == 0);
    EXPECT_EQ(ebb__os_fd_write(fd, "x", 1), -EBADF);
    EXPECT_EQ(ebb__os_fd_open(in_folder("nothing"), EBB_OS_READ), -ENOENT);
    EXPECT_EQ(errno, 4321);
    ebb__os_fd_close(fd);
    EXPECT_EQ(ebb__os_fd_read(fd, text, 1), -EBADF);
    (void)close(writer);

    /* Some of the kernel's files have more than one page: /proc/self/smaps is never asked for, but any must be whole. */
    fd = ebb__os_fd_open("/proc/self/maps", EBB_OS_READ);
    long n = ebb__os_fd_read_file(fd, text, sizeof(text));
    EXPECT(n > 0 && n < (long)sizeof(text));
    ebb__os_fd_close(fd);
    remove_folder();
}

static void sockets_and_fifos(void)
{
    char byte[4];
    make_folder();
    EXPECT_EQ(ebb__os_fd_connect(in_folder("socket")), -ENOENT);
    int server = listen_at(in_folder("socket"));
    int fd = ebb__os_fd_connect(in_folder("socket"));
    EXPECT(fd >= 0);
    int peer = accept(server, NULL, NULL);
    EXPECT_EQ(ebb__os_fd_read(fd, byte, 1), -EAGAIN);
    EXPECT_EQ(ebb__os_fd_write(fd, "a\0b", 3), 0);
    EXPECT(read(peer, byte, 4) == 3 && memcmp(byte, "a\0b", 3) == 0);
    (void)close(peer);
    EXPECT_EQ(ebb__os_fd_read(fd, byte, 1), 0);
    EXPECT_EQ(ebb__os_fd_write(fd, "c", 1), -EPIPE); /* and no signal */
    ebb__os_fd_close(fd);
    (void)close(server);
    EXPECT_EQ(ebb__os_fd_connect(in_folder("socket")), -ECONNREFUSED);
    char long_name[200];
    memset(long_name, 'x', sizeof(long_name));
    long_name[0] = '/';
    long_name[199] = '\0';
    EXPECT_EQ(ebb__os_fd_connect(long_name), -ENAMETOOLONG);

    EXPECT(mkfifo(in_folder("fifo"), 0600) == 0);
    fd = ebb__os_fd_open(in_folder("fifo"), EBB_OS_READ_WRITE);
    EXPECT(fd >= 0 && ebb__os_fd_read(fd, byte, 1) == -EAGAIN);
    EXPECT_EQ(ebb__os_fd_write(fd, "z", 1), 0);
    EXPECT(ebb__os_fd_read(fd, byte, 4) == 1 && byte[0] == 'z');
    ebb__os_fd_close(fd);
    remove_folder();
}

/* A descriptor of the program's, which may be closed, full, or another file by now. */
static void an_event_is_rung(void)
{
    uint64_t value = UINT64_MAX - 1;
    struct ebb_os_file file, other;
    int fds[2], fd = eventfd(0, EFD_CLOEXEC);
    (void)alarm(60);
    EXPECT(fd >= 0 && pipe(fds) == 0);
    errno = 4321;
    EXPECT_EQ(ebb__os_fd_file(fd, &file), 0);
    EXPECT_EQ(ebb__os_fd_ring(fd, &file), 0);
    EXPECT_EQ(ebb__os_fd_ring(fd, &file), 0);
    EXPECT(read(fd, &value, sizeof(value)) == (ssize_t)sizeof(value) && value == 2);
    value = UINT64_MAX - 1;
    EXPECT(write(fd, &value, sizeof(value)) == (ssize_t)sizeof(value));
    EXPECT_EQ(ebb__os_fd_ring(fd, &file), -EAGAIN); /* it is a blocking one, and nobody waits */
    EXPECT_EQ(close(fd), 0);
    EXPECT_EQ(ebb__os_fd_ring(fd, &file), -EBADF);
    EXPECT_EQ(ebb__os_fd_file(fd, &file), -EBADF);
    EXPECT_EQ(ebb__os_fd_file(fds[1], &other), 0);
    EXPECT_EQ(ebb__os_fd_ring(fds[1], &file), -ESTALE);
    EXPECT_EQ(ebb__os_fd_ring(fds[1], &other), 0);
    EXPECT(read(fds[0], &value, sizeof(value)) == (ssize_t)sizeof(value) && value == 1);
    EXPECT_EQ(errno, 4321);
}

/* ---- polls ---- */

static void polls_wait(void)
{
    uint64_t one = 1;
    int fd = ebb__os_fd_event();
    struct ebb_os_poll p = {.fd = fd, .events = EBB_OS_POLL_IN};
    EXPECT(fd >= 0);
    uint64_t start_ns = ebb__os_now_ns();
    EXPECT_EQ(ebb__os_fd_poll(&p, 1, 30), 0);
    uint64_t waited_ms = (ebb__os_now_ns() - start_ns) / 1000000;
    EXPECT_MSG(waited_ms >= 29, "%" PRIu64 " ms", waited_ms);
    EXPECT_EQ(ebb__os_fd_poll(&p, 1, 0), 0);
    EXPECT(write(fd, &one, 8) == 8);
    EXPECT_EQ(ebb__os_fd_poll(&p, 1, EBB_OS_FOREVER), 1);
    EXPECT(p.revents == EBB_OS_POLL_IN && ebb__os_fd_read(fd, &one, 8) == 8 && one == 1);
    EXPECT_EQ(ebb__os_fd_poll(&p, 1, 0), 0);
    ebb__os_fd_close(fd);
    EXPECT_EQ(ebb__os_fd_poll(&p, 1, 0), 1);
    EXPECT_EQ(p.revents, EBB_OS_POLL_NVAL);
}

static struct {
    _Atomic bool woken;
    _Atomic uint64_t payload;
    _Atomic int ready, again;
} waked;

static void poll_for_a_wake(unsigned step)
{
    static int fd;
    uint64_t payload = 0;
    if (step == 1) {
        EXPECT_EQ(ebb__os_fd_own_table(), 0);
        fd = ebb__os_fd_wakes();
        EXPECT(fd >= 0);
        return;
    }
    struct ebb_os_poll p = {.fd = fd, .events = EBB_OS_POLL_IN};
    atomic_store(&waked.ready, ebb__os_fd_poll(&p, 1, step == 2 ? 10000 : EBB_OS_FOREVER));
    atomic_store(&waked.woken, ebb__os_sleep(0, &payload));
    atomic_store(&waked.payload, payload);
    atomic_store(&waked.again, ebb__os_fd_poll(&p, 1, 0));
}

/* A wake ends a poll, before it has begun and while it waits, and is taken by the sleep that follows. */
static void wakes_end_polls(void)
{
    start(poll_for_a_wake);
    step();
    for (unsigned round = 0; round < 20; round++) {
        EXPECT_EQ(round % 2 == 0 ? ebb__os_wake(atomic_load(&worker.tid), round) : 0, 0);
        atomic_fetch_add(&worker.step, 1);
        if (round % 2 == 1) {
            nap(20);
            EXPECT_EQ(ebb__os_wake(atomic_load(&worker.tid), round), 0);
        }
        while (atomic_load(&worker.done) < round + 2)
            nap(1);
        EXPECT(atomic_load(&waked.ready) == 1 && atomic_load(&waked.woken));
        EXPECT_EQ(atomic_load(&waked.payload), round);
        EXPECT_EQ(atomic_load(&waked.again), 0);
    }
}

static struct {
    _Atomic int rc;
    _Atomic uint64_t waited_ms;
    _Atomic bool polling;
} interrupted;

static void poll_in_vain(unsigned unused)
{
    (void)unused;
    int fd = ebb__os_fd_event();
    struct ebb_os_poll p = {.fd = fd, .events = EBB_OS_POLL_IN};
    uint64_t start_ns = ebb__os_now_ns();
    atomic_store(&interrupted.polling, true);
    atomic_store(&interrupted.rc, ebb__os_fd_poll(&p, 1, 300));
    atomic_store(&interrupted.waited_ms, (ebb__os_now_ns() - start_ns) / 1000000);
}

/* setuid() runs in every thread, by a signal that nobody can block. */
static void no_signal_ends_a_poll(void)
{
    atomic_store(&interrupted.rc, 77);
    start(poll_in_vain);
    atomic_fetch_add(&worker.step, 1);
    while (!atomic_load(&interrupted.polling))
        nap(1);
    for (unsigned i = 0; i < 20; i++) {
        nap(5);
        EXPECT(setuid(getuid()) == 0);
    }
    while (atomic_load(&worker.done) < 1)
        nap(1);
    EXPECT_EQ(atomic_load(&interrupted.rc), 0);
    EXPECT_MSG(atomic_load(&interrupted.waited_ms) >= 299, "%" PRIu64, atomic_load(&interrupted.waited_ms));
}

/* Files of the kernel that tell of a change: the population of a cgroup of version 2, where one may be made. */
static void files_that_tell(void)
{
    static const char *const tops[] = {"/sys/fs/cgroup/unified", "/sys/fs/cgroup"};
    char path[128], text[256];
    const char *top = NULL;
    for (size_t i = 0; i < 2 && top == NULL; i++) {
        (void)snprintf(path, sizeof(path), "%s/cgroup.controllers", tops[i]);
        if (access(path, R_OK) == 0)
            top = tops[i];
    }
    (void)snprintf(folder, sizeof(folder), "%s/ebb-test-%d", top == NULL ? "/nothing" : top, (int)getpid());
    if (mkdir(folder, 0700) != 0) {
        (void)printf("%s: skipped, no cgroup of version 2 can be made: %s\n", __func__, strerror(errno));
        return;
    }
    int fd = ebb__os_fd_open(in_folder("cgroup.events"), EBB_OS_READ);
    struct ebb_os_poll p = {.fd = fd, .events = EBB_OS_POLL_PRI};
    EXPECT(fd >= 0 && ebb__os_fd_read_file(fd, text, sizeof(text)) > 0);
    EXPECT_EQ(ebb__os_fd_poll(&p, 1, 0), 0);
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        int procs = open(in_folder("cgroup.procs"), O_WRONLY | O_CLOEXEC);
        _exit(write(procs, "0", 1) == 1 ? 0 : 1);
    }
    int status;
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
    EXPECT_EQ(ebb__os_fd_poll(&p, 1, 5000), 1);
    EXPECT((p.revents & EBB_OS_POLL_PRI) != 0);
    EXPECT(ebb__os_fd_read_file(fd, text, sizeof(text)) > 0);
    int again = ebb__os_fd_poll(&p, 1, 100); /* in and out may be told together or one by one */
    EXPECT(again == 0 || (again == 1 && ebb__os_fd_read_file(fd, text, sizeof(text)) > 0));
    EXPECT(rmdir(folder) == 0);
    EXPECT_EQ(ebb__os_fd_poll(&p, 1, 5000), 1);
    EXPECT_EQ(ebb__os_fd_read_file(fd, text, sizeof(text)), -ENODEV);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(a_table_of_its_own),
        CASE(a_child_has_none_of_it),
        CASE(without_close_range),
        CASE(without_close_range_and_list),
        CASE(where_it_is_refused_nothing_changes),
        CASE(record_locks_stay),
        CASE(last_words_are_heard),
        CASE(kinds),
        CASE(files_are_read_anew),
        CASE(sockets_and_fifos),
        CASE(an_event_is_rung),
        CASE(polls_wait),
        CASE(wakes_end_polls),
        CASE(no_signal_ends_a_poll),
        CASE(files_that_tell),
    };
    return RUN_CASES(cases);
}
