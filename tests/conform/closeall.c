/* SPDX-License-Identifier: MIT
 *
 * A program that closes every descriptor, as daemons do, and goes on allocating; the numbers it then gets
 * from open() are its own alone.
 */
#include "conform/conform.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static atomic_bool stop;

static void *churn(void *argument)
{
    uint64_t random = (uint64_t)(uintptr_t)argument;
    void *blocks[500] = {NULL};
    do {
        for (size_t i = 0; i < 500; i++) {
            free(blocks[i]);
            blocks[i] = malloc(conform_between(&random, 1, 200000));
            if (blocks[i] == NULL) {
                return (void *)1;
            }
            *(char *)blocks[i] = 1;
        }
    } while (!atomic_load(&stop));
    for (size_t i = 0; i < 500; i++) {
        free(blocks[i]);
    }
    return NULL;
}

int main(void)
{
    conform_start(60);
    churn((atomic_store(&stop, true), (void *)1));
    atomic_store(&stop, false);
    pthread_t threads[3];
    for (uintptr_t i = 0; i < 3; i++) {
        CHECK(pthread_create(&threads[i], NULL, churn, (void *)(i + 1)) == 0);
    }
    int spare = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 900);
    int spare_error = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 901);
    CHECK(spare == 900 && spare_error == 901, "%d, %d", spare, spare_error);
    /* All but the two that carry the verdict; then nothing but those may be open. */
    close_range(0, 899, 0);
    close_range(902, ~0u, 0);
    for (int round = 0; round < 100; round++) {
        int opened = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (opened != 0) {
            _exit(3);
        }
        nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL);
        /* Somebody who had kept a number would have read, written or closed ours. */
        if (close(opened) != 0) {
            _exit(4);
        }
    }
    atomic_store(&stop, true);
    void *failed = NULL;
    for (size_t i = 0; i < 3; i++) {
        pthread_join(threads[i], &failed);
        if (failed != NULL) {
            _exit(5);
        }
    }
    churn((void *)9);
    dup2(spare, STDOUT_FILENO);
    dup2(spare_error, STDERR_FILENO);
    return conform_end();
}
