/* SPDX-License-Identifier: MIT
 *
 * A sandbox forbids some of the system calls that giving memory back would like to use. The program works all the same, its memory
 * goes back some other way, and nobody spins. The case is the argument.
 */
#include "conform/background.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif
#ifndef SYS_clone3
#define SYS_clone3 435
#endif

enum { MIB = 1 << 20, MEMORY_MIB = 40, SPARE_KIB = 25 << 10, PARKED = 2 };

/* From now on these calls fail, in all threads: 0 ends the list. */
static void forbid(const unsigned *numbers, int error)
{
    struct sock_filter code[16];
    unsigned short n = 0;
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (; *numbers != 0; numbers++) {
        code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, *numbers, 0, 1);
        code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error);
    }
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {.len = n, .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        conform_skip("no system call filters here");
    }
}

static double cpu_s(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

/* Uses memory and frees it; within some seconds, in which the program goes on a little, most of it must have gone. */
static void expect_memory_goes_back(void)
{
    static void *blocks[MEMORY_MIB * 10];
    for (size_t i = 0; i < MEMORY_MIB * 10; i++) {
        blocks[i] = malloc(MIB / 10);
        CHECK(blocks[i] != NULL);
        memset(blocks[i], 1, MIB / 10);
    }
    long high_kib = resident_kib();
    for (size_t i = 0; i < MEMORY_MIB * 10; i++) {
        free(blocks[i]);
    }
    long wanted_kib = high_kib - MEMORY_MIB * 1024 + SPARE_KIB;
    long long end_ms = clock_ms() + 12000;
    while (resident_kib() > wanted_kib && clock_ms() < end_ms) {
        free(malloc(70000));
        pause_ms(20);
    }
    CHECK(resident_kib() <= wanted_kib, "%ld KiB of %ld KiB are left", resident_kib(), high_kib);
}

/* While the program sleeps for a second, next to no processor time is used. */
static void expect_nobody_spins(void)
{
    double before = cpu_s();
    pause_ms(1000);
    CHECK(cpu_s() - before < 0.1, "%.3f s of 1 s", cpu_s() - before);
}

static long option(const char *name)
{
    long (*get)(const char *name) = (long (*)(const char *))dlsym(RTLD_DEFAULT, "ebb_option_get");
    return get != NULL ? get(name) : -1;
}

static pthread_barrier_t barrier;

static void *park(void *unused)
{
    (void)unused;
    CHECK(use_memory((size_t)5 * MIB, 4));
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    CHECK(use_memory((size_t)5 * MIB, 4));
    return NULL;
}

static void with_threads(void)
{
    pthread_t threads[PARKED];
    pthread_barrier_init(&barrier, NULL, PARKED + 1);
    for (size_t i = 0; i < PARKED; i++) {
        CHECK(pthread_create(&threads[i], NULL, park, NULL) == 0);
    }
    pthread_barrier_wait(&barrier);
    expect_memory_goes_back();
    CHECK(background_tid() != 0);
    expect_nobody_spins();
    pthread_barrier_wait(&barrier);
    for (size_t i = 0; i < PARKED; i++) {
        pthread_join(threads[i], NULL);
    }
    expect_memory_goes_back();
}

static void no_membarrier(int error)
{
    forbid((const unsigned[]){SYS_membarrier, 0}, error);
    with_threads();
    CHECK(option("drain") == 0, "drain is %ld", option("drain"));
}

static void membarrier_eperm(void)
{
    no_membarrier(EPERM);
}

static void membarrier_enosys(void)
{
    no_membarrier(ENOSYS);
}

static void process_madvise(void)
{
    forbid((const unsigned[]){SYS_process_madvise, 0}, EPERM);
    with_threads();
    CHECK(option("drain") == 1);
}

static void no_threads(void)
{
    forbid((const unsigned[]){SYS_clone3, SYS_clone, 0}, EAGAIN);
    expect_memory_goes_back();
    CHECK(thread_count() == 1);
    CHECK(use_memory((size_t)64 * MIB, 1));
    expect_memory_goes_back();
}

/* It may not sleep: then it must not be there. */
static void no_sleep(void)
{
    forbid((const unsigned[]){SYS_rt_sigtimedwait, 0}, EPERM);
    expect_memory_goes_back();
    expect_nobody_spins();
    expect_memory_goes_back();
    CHECK(background_tid() == 0);
}

/* It may sleep, but nobody may call it. */
static void no_call(void)
{
    forbid((const unsigned[]){SYS_rt_tgsigqueueinfo, 0}, EPERM);
    expect_memory_goes_back();
    CHECK(background_tid() != 0);
    pause_ms(2000); /* it falls asleep */
    expect_memory_goes_back();
    expect_nobody_spins();
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {
        {"membarrier_eperm", membarrier_eperm},
        {"membarrier_enosys", membarrier_enosys},
        {"process_madvise", process_madvise},
        {"no_threads", no_threads},
        {"no_sleep", no_sleep},
        {"no_call", no_call},
    };
    conform_start(60);
    skip_without_library();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (argc == 2 && strcmp(argv[1], cases[i].name) == 0) {
            cases[i].run();
        }
    }
    return conform_end();
}
