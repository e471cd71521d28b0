/* SPDX-License-Identifier: MIT
 *
 * bench-spawn COMMAND [ARGUMENT ...]: starts a command, waits for it, and writes what it cost on
 * descriptor 4.
 *
 * The runner is a Python program, and a process inherits the peak resident memory of the one that it was
 * forked from: started by the runner itself, each program would seem to need as much as Python does. This
 * process is small, and takes the time right before the start and right after the end. The library to be
 * preloaded into the command alone comes in the environment variable BENCH_PRELOAD.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { REPORT_FD = 4, USAGE_STATUS = 125, START_STATUS = 126, REPORT_STATUS = 124 };

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static double time_s(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec * 1e-6;
}

static int set_preload(void)
{
    const char *library = getenv("BENCH_PRELOAD");

    if (library && setenv("LD_PRELOAD", library, 1) != 0) {
        return -errno;
    }
    unsetenv("BENCH_PRELOAD");
    return 0;
}

int main(int argc, char **argv)
{
    double began_s;
    double ended_s;
    struct rusage usage;
    pid_t pid;
    int status;
    int error;

    if (argc < 2 || fcntl(REPORT_FD, F_SETFD, FD_CLOEXEC) != 0) {
        fputs("usage: bench-spawn COMMAND [ARGUMENT ...] 4>REPORT\n", stderr);
        return USAGE_STATUS;
    }
    error = -set_preload();
    began_s = now_s();
    if (error == 0) {
        error = posix_spawnp(&pid, argv[1], NULL, NULL, argv + 1, environ);
    }
    if (error != 0) {
        fprintf(stderr, "bench-spawn: cannot start %s: %s\n", argv[1], strerror(error));
        return START_STATUS;
    }
    while (wait4(pid, &status, 0, &usage) < 0) {
        if (errno != EINTR) {
            fprintf(stderr, "bench-spawn: cannot wait for %s: %s\n", argv[1], strerror(errno));
            return START_STATUS;
        }
    }
    ended_s = now_s();
    if (dprintf(REPORT_FD, "time_s=%.6f cpu_s=%.6f peak_kib=%ld minflt=%ld signal=%d status=%d\n",
                ended_s - began_s, time_s(usage.ru_utime) + time_s(usage.ru_stime), usage.ru_maxrss,
                usage.ru_minflt, WIFSIGNALED(status) ? WTERMSIG(status) : 0,
                WIFEXITED(status) ? WEXITSTATUS(status) : 0) < 0) {
        return REPORT_STATUS;
    }
    return 0;
}
