/* SPDX-License-Identifier: MIT
 *
 * A load for processes with little room: it takes what it can get, and every refusal must be NULL with
 * ENOMEM.
 *
 *   limits THREADS CAP_MIB [mlock] [REFUSED_BYTES]
 *
 * Prints what it got in one line for limits.py: "threads=N first_bytes=N second_bytes=N refusals=N
 * mlock=ERRNO".
 */
#include "conform/conform.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { THREADS_MAX = 64, STEP_BYTES = 4096 };

/* Blocks are chained through their first bytes, so that the load itself needs no other memory. */
struct link {
    struct link *next;
    size_t size_bytes;
    uint64_t tag;
};

struct worker {
    pthread_t thread;
    struct link *chain;
    size_t cap_bytes;
    size_t first_bytes;
    size_t second_bytes;
    uint64_t random;
};

static atomic_uint refusals;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t barrier;
static struct worker workers[THREADS_MAX];

static void *payload(struct link *link)
{
    return link + 1;
}

static struct link *take(struct worker *worker)
{
    uint64_t choice = conform_random(&worker->random);
    size_t size_bytes = conform_between(&worker->random, sizeof(struct link) + 1, (size_t)64 << choice % 13);
    errno = 0;
    struct link *link = choice % 64 == 0  ? memalign(4096, size_bytes)
                        : choice % 5 == 0 ? calloc(1, size_bytes)
                                          : malloc(size_bytes);
    if (link == NULL) {
        CHECK(errno == ENOMEM, "%zu bytes were refused with errno %d", size_bytes, errno);
        atomic_fetch_add(&refusals, 1);
        return NULL;
    }
    link->size_bytes = size_bytes;
    link->tag = choice;
    conform_stamp(payload(link), size_bytes - sizeof(*link), STEP_BYTES, choice);
    return link;
}

static void give(struct link *link)
{
    size_t room_bytes = link->size_bytes - sizeof(*link);
    CHECK(conform_stamp_differs(payload(link), room_bytes, STEP_BYTES, link->tag) == room_bytes);
    free(link);
}

/* Allocates up to the cap or the first refusal; the amount. */
static size_t fill(struct worker *worker)
{
    size_t taken_bytes = 0;
    while (taken_bytes < worker->cap_bytes) {
        struct link *link = take(worker);
        if (link == NULL) {
            break;
        }
        link->next = worker->chain;
        worker->chain = link;
        taken_bytes += link->size_bytes;
    }
    return taken_bytes;
}

static void empty(struct worker *worker)
{
    while (worker->chain != NULL) {
        struct link *link = worker->chain;
        worker->chain = link->next;
        give(link);
    }
}

static void resize_under_pressure(struct worker *worker)
{
    struct link *link = worker->chain;
    if (link == NULL) {
        return;
    }
    struct link old = *link;
    errno = 0;
    struct link *moved = realloc(link, (size_t)1 << 45);
    CHECK(moved == NULL && errno == ENOMEM, "32 TiB: errno %d", errno);
    CHECK(memcmp(link, &old, sizeof(old)) == 0, "a failed realloc changed the block");
    moved = realloc(link, old.size_bytes * 2);
    worker->chain = moved != NULL ? moved : link;
    CHECK(memcmp(worker->chain, &old, sizeof(old)) == 0, "realloc lost content");
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    pthread_barrier_wait(&barrier);
    worker->first_bytes = fill(worker);
    resize_under_pressure(worker);
    pthread_barrier_wait(&barrier);
    empty(worker);
    pthread_barrier_wait(&barrier);
    /* What was freed must be there again. */
    worker->second_bytes = fill(worker);
    pthread_barrier_wait(&barrier);
    empty(worker);
    return NULL;
}

/* Starts as many threads as the limits allow. They wait for `gate`, as the barrier must know their number. */
static size_t run(size_t wanted, size_t cap_bytes)
{
    size_t count = 1;
    pthread_mutex_lock(&gate);
    for (; count < wanted; count++) {
        workers[count].random = count;
        if (pthread_create(&workers[count].thread, NULL, work, &workers[count]) != 0) {
            break;
        }
    }
    for (size_t i = 0; i < count; i++) {
        workers[i].cap_bytes = cap_bytes / count;
    }
    pthread_barrier_init(&barrier, NULL, (unsigned)count);
    pthread_mutex_unlock(&gate);
    work(&workers[0]);
    for (size_t i = 1; i < count; i++) {
        pthread_join(workers[i].thread, NULL);
    }
    return count;
}

int main(int argc, char **argv)
{
    conform_start(60);
    if (argc < 3) {
        return 2;
    }
    size_t wanted = strtoul(argv[1], NULL, 10);
    size_t cap_bytes = strtoul(argv[2], NULL, 10) << 20;
    int mlock_errno = -1;
    size_t huge_bytes = (size_t)1 << 45;
    for (int i = 3; i < argc; i++) {
        if (strcmp(argv[i], "mlock") == 0) {
            mlock_errno = mlockall(MCL_CURRENT | MCL_FUTURE) == 0 ? 0 : errno;
        } else {
            huge_bytes = strtoul(argv[i], NULL, 10);
        }
    }
    wanted = wanted < 1 ? 1 : wanted > THREADS_MAX ? THREADS_MAX : wanted;
    size_t count = run(wanted, cap_bytes);
    size_t first_bytes = 0;
    size_t second_bytes = 0;
    for (size_t i = 0; i < count; i++) {
        first_bytes += workers[i].first_bytes;
        second_bytes += workers[i].second_bytes;
    }
    errno = 0;
    void *block = malloc(conform_opaque(huge_bytes));
    CHECK(block == NULL && errno == ENOMEM, "%zu bytes: %p, errno %d", huge_bytes, block, errno);
    errno = 0;
    block = calloc(conform_opaque(huge_bytes), 1);
    CHECK(block == NULL && errno == ENOMEM, "calloc of %zu bytes: errno %d", huge_bytes, errno);
    block = malloc(1000);
    /* Where there never was room for anything, there is none now. */
    CHECK(block != NULL || first_bytes == 0, "nothing works after a refusal");
    free(block);
    printf("threads=%zu first_bytes=%zu second_bytes=%zu refusals=%u mlock=%d\n", count, first_bytes,
           second_bytes, atomic_load(&refusals), mlock_errno);
    fflush(stdout);
    return conform_end();
}
