/* SPDX-License-Identifier: MIT
 *
 * A process that keeps much free memory, because it goes on needing it now and then:
 *
 *   pressure_load MIB [PROCS_FILE]
 *
 * Joins the cgroup of that file, takes and frees MIB in blocks of 1 MiB once a second, and 8 MiB of them all the time, so that it is
 * never quiet. Lines on standard input: "still" ends the large rounds after the next one, and is answered when that is over; "main"
 * ends the main thread with a second one going on for half a second. Answers "ready" after the first round, then "ok".
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK_BYTES = 1 << 20, SMALL_BLOCKS = 8, LARGE_NS = 1000000000, PAUSE_NS = 10000000 };

static atomic_int still, is_still;

static void use(size_t blocks)
{
    static char *taken[1 << 16];

    for (size_t i = 0; i < blocks; i++) {
        taken[i] = malloc(BLOCK_BYTES);
        if (taken[i] == NULL)
            abort();
        memset(taken[i], 1, BLOCK_BYTES);
    }
    while (blocks-- != 0)
        free(taken[blocks]);
}

static long long now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* By the clock, so that a slow machine has its large rounds as often: what is kept is what was needed lately. */
static void *work(void *argument)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    size_t most = *(const size_t *)argument;
    long long last_ns = now_ns();

    for (;;) {
        int ends = atomic_load(&still);

        if (atomic_load(&is_still) == 0 && (ends != 0 || now_ns() - last_ns >= LARGE_NS)) {
            use(most);
            last_ns = now_ns();
            atomic_store(&is_still, ends);
        }
        use(SMALL_BLOCKS);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static void *go_on(void *unused)
{
    const struct timespec pause = {.tv_nsec = 500000000};

    (void)unused;
    nanosleep(&pause, NULL);
    free(malloc(BLOCK_BYTES));
    puts("late"); /* stays in the buffer until the process ends by itself */
    return NULL;
}

int main(int argc, char **argv)
{
    static size_t most;
    char line[64];
    pthread_t thread;

    if (argc < 2)
        return 2;
    most = strtoul(argv[1], NULL, 10);
    if (argc > 2) {
        int fd = open(argv[2], O_WRONLY);
        if (fd < 0 || write(fd, "0", 1) != 1)
            return 3;
        close(fd);
    }
    use(most);
    puts("ready");
    fflush(stdout);
    if (fgets(line, sizeof(line), stdin) != NULL && strcmp(line, "main\n") == 0) {
        if (pthread_create(&thread, NULL, go_on, NULL) != 0)
            return 4;
        pthread_exit(NULL);
    }
    if (pthread_create(&thread, NULL, work, &most) != 0)
        return 4;
    do {
        if (strcmp(line, "still\n") == 0) {
            const struct timespec pause = {.tv_nsec = PAUSE_NS};

            atomic_store(&still, 1);
            while (atomic_load(&is_still) == 0)
                nanosleep(&pause, NULL);
        }
        puts("ok");
        fflush(stdout);
    } while (fgets(line, sizeof(line), stdin) != NULL);
    return 0;
}
