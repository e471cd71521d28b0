/* SPDX-License-Identifier: MIT
 *
 * Processes and threads as they are listed, and stat of live ones: odd names, threads, what has ended.
 */
#include "test_probe.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe/probe.h"

/* ---- listing ---- */

static void test_live(void **state)
{
    struct ebb_procs procs;
    pid_t before = 0;
    bool found = false;
    pid_t pid;

    (void)state;
    assert_int_equal(ebb__procs_open(&procs, ""), 0);
    while ((pid = ebb__procs_next(&procs)) != 0) {
        assert_true(pid > before);
        before = pid;
        found = found || pid == getpid();
    }
    assert_true(found);
    assert_int_equal(ebb__procs_next(&procs), 0);
    ebb__procs_close(&procs);
}

static void *wait_at(void *barrier)
{
    pthread_barrier_wait(barrier);
    pthread_barrier_wait(barrier);
    return NULL;
}

static void test_threads(void **state)
{
    enum { THREADS = 5 };
    pthread_barrier_t barrier;
    pthread_t threads[THREADS];
    struct ebb_procs procs;
    struct ebb_stat process;
    unsigned count = 0;
    pid_t tid;

    (void)state;
    assert_int_equal(pthread_barrier_init(&barrier, NULL, THREADS + 1), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, wait_at, &barrier), 0);
    pthread_barrier_wait(&barrier);
    assert_int_equal(ebb__stat_read("", getpid(), &process), 0);
    assert_int_equal(process.thread_count, THREADS + 1);
    assert_int_equal(ebb__procs_open_threads(&procs, "", getpid()), 0);
    while ((tid = ebb__procs_next(&procs)) != 0) {
        struct ebb_stat thread;

        assert_int_equal(ebb__stat_read_thread("", getpid(), tid, &thread), 0);
        assert_int_equal(thread.pid, tid);
        assert_int_equal(thread.ppid, getppid());
        assert_true(thread.start_ticks >= process.start_ticks);
        count++;
    }
    ebb__procs_close(&procs);
    assert_int_equal(count, THREADS + 1);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&barrier);
}

static void make_folder(const char *root, const char *name)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/%s", root, name);
    assert_int_equal(mkdir(path, 0755), 0);
}

/* What is no number of a process is passed over. */
static void test_tree(void **state)
{
    static const char *const FOLDERS[] = {"proc",        "proc/12",         "proc/0",
                                          "proc/7x",     "proc/x7",         "proc/-3",
                                          "proc/ 4",     "proc/2147483648", "proc/2147483647",
                                          "proc/sys",    "proc/+5",         "proc/99999999999999999999",
                                          "proc/12/task"};
    char root[] = "/tmp/ebb-procs-XXXXXX";
    struct ebb_procs procs;
    unsigned found = 0;
    pid_t pid;

    (void)state;
    assert_non_null(mkdtemp(root));
    for (size_t i = 0; i < sizeof(FOLDERS) / sizeof(FOLDERS[0]); i++)
        make_folder(root, FOLDERS[i]);
    assert_int_equal(ebb__procs_open(&procs, root), 0);
    while ((pid = ebb__procs_next(&procs)) != 0) {
        assert_true(pid == 12 || pid == 2147483647);
        found++;
    }
    ebb__procs_close(&procs);
    assert_int_equal(found, 2);
    assert_int_equal(ebb__procs_open_threads(&procs, root, 12), 0);
    assert_int_equal(ebb__procs_next(&procs), 0);
    ebb__procs_close(&procs);
    assert_int_equal(ebb__procs_open_threads(&procs, root, 13), -ESRCH);
    for (size_t i = sizeof(FOLDERS) / sizeof(FOLDERS[0]); i-- > 0;) {
        char path[512];

        snprintf(path, sizeof(path), "%s/%s", root, FOLDERS[i]);
        rmdir(path);
    }
    assert_int_equal(rmdir(root), 0);
}

static void test_failures(void **state)
{
    char *root = test_copy("", 0);
    struct ebb_procs procs;

    (void)state;
    free(root);
    root = malloc(EBB_PROC_PATH_BYTES + 1);
    assert_non_null(root);
    memset(root, 'x', EBB_PROC_PATH_BYTES);
    root[EBB_PROC_PATH_BYTES] = '\0';
    assert_int_equal(ebb__procs_open(&procs, "/no/such/tree"), -ENOENT);
    assert_int_equal(ebb__procs_open(&procs, root), -ENAMETOOLONG);
    assert_int_equal(ebb__procs_open_threads(&procs, root, 1), -ENAMETOOLONG);
    assert_int_equal(ebb__procs_open_threads(&procs, "", 2147483647), -ESRCH);
    free(root);
}

/* ---- stat of live processes ---- */

/* A name comes back byte by byte, whatever is in it. */
static void test_names(void **state)
{
    static const char *const NAMES[] = {"two words", ") S 1 (",        "new\nline", "back\\slash",
                                        "((((",      "))))",           " ",         "gr\xc3\xbc\xc3\x9f",
                                        "\xff\x01",  "123456789012345"};
    char before[16];

    (void)state;
    assert_int_equal(prctl(PR_GET_NAME, before), 0);
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        struct ebb_status status;
        struct ebb_stat stat;

        assert_int_equal(prctl(PR_SET_NAME, NAMES[i]), 0);
        assert_int_equal(ebb__stat_read("", getpid(), &stat), 0);
        assert_string_equal(stat.name, NAMES[i]);
        assert_int_equal(stat.pid, getpid());
        assert_int_equal(stat.ppid, getppid());
        assert_int_equal(ebb__status_read("", getpid(), &status), 0);
        assert_string_equal(status.name, NAMES[i]);
    }
    prctl(PR_SET_NAME, before);
}

/* The kernel's own answers by other ways. */
static void test_numbers(void **state)
{
    struct rusage usage;
    struct ebb_stat stat;
    unsigned char *pages = malloc(512 * 4096);
    uint64_t faults;

    (void)state;
    assert_non_null(pages);
    assert_int_equal(ebb__stat_read("", getpid(), &stat), 0);
    faults = stat.minor_faults;
    for (size_t i = 0; i < 512; i++)
        ((volatile unsigned char *)pages)[i * 4096] = 1;
    assert_int_equal(ebb__stat_read("", getpid(), &stat), 0);
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    assert_true(stat.minor_faults > faults);
    assert_true(stat.minor_faults <= (uint64_t)usage.ru_minflt);
    assert_true(stat.major_faults <= (uint64_t)usage.ru_majflt);
    assert_int_equal(stat.nice, getpriority(PRIO_PROCESS, 0));
    assert_int_equal(stat.policy, sched_getscheduler(0));
    assert_int_equal(stat.session, getsid(0));
    assert_int_equal(stat.pgrp, getpgrp());
    assert_true(stat.vm_bytes > 512 * 4096);
    assert_true((stat.flags & EBB_STAT_KTHREAD) == 0);
    assert_int_equal(stat.state, 'R');
    free(pages);
}

/* Negative numbers: a nice process. Ended ones: a zombie is still there, with a state; then nobody. */
static void test_child(void **state)
{
    struct ebb_stat stat = {0};
    int fds[2];
    char byte;
    pid_t pid;

    (void)state;
    assert_int_equal(pipe(fds), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        setpriority(PRIO_PROCESS, 0, 7);
        write(fds[1], "x", 1);
        pause();
        _exit(0);
    }
    assert_int_equal(read(fds[0], &byte, 1), 1);
    assert_int_equal(ebb__stat_read("", pid, &stat), 0);
    assert_int_equal(stat.nice, 7);
    assert_int_equal(stat.priority, 27);
    assert_int_equal(stat.ppid, getpid());
    kill(pid, SIGKILL);
    for (int i = 0; i < 5000 && stat.state != 'Z'; i++) {
        assert_int_equal(ebb__stat_read("", pid, &stat), 0);
        usleep(1000);
    }
    assert_int_equal(stat.state, 'Z');
    assert_int_equal(stat.vm_bytes, 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(ebb__stat_read("", pid, &stat), -ENOENT);
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_live),     cmocka_unit_test(test_threads), cmocka_unit_test(test_tree),
        cmocka_unit_test(test_failures), cmocka_unit_test(test_names),   cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_child),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
