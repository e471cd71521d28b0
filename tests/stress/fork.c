/* SPDX-License-Identifier: MIT
 *
 * Every thread forks while all the others allocate; the children check what they inherited, allocate, and
 * some of them fork again.
 */
#include "stress/names.h"
#include "stress/stress.h"

#include <unistd.h>

enum { OWN_BLOCKS = 100, FORK_EVERY = 400, CHILD_LIMIT_S = 30, GENERATIONS = 3 };

/* The child owns nothing but the calling thread's blocks for certain: another thread may have been writing
 * its own at the instant of the fork. */
static int live(struct stress_block **own, uint64_t *random, unsigned generations_left)
{
    alarm(CHILD_LIMIT_S);
    for (unsigned i = 0; i < OWN_BLOCKS; i++) {
        stress_block_free(own[i]);
        own[i] = stress_block_new(stress_size(random) / 4 + sizeof(*own[i]), 0, random);
    }
    int status = 0;
    if (generations_left > 0) {
        int pid = fork();
        if (pid == 0) {
            _exit(live(own, random, generations_left - 1));
        }
        status = conform_wait(pid);
    }
    st_trim();
    for (unsigned i = 0; i < OWN_BLOCKS; i++) {
        stress_block_free(own[i]);
    }
    /* A failed check has printed its line already; it must reach the parent as well. */
    return status != 0 ? 1 : conform_failed() ? 1 : 0;
}

static void *fork_and_allocate(void *argument)
{
    struct stress_thread *self = argument;
    struct stress_block *own[OWN_BLOCKS] = {NULL};
    for (uint64_t step = 1; step % 64 != 0 || stress_goes_on(self->stress); step++) {
        unsigned i = (unsigned)(conform_random(&self->random) % OWN_BLOCKS);
        stress_block_free(own[i]);
        own[i] = stress_block_new(stress_size(&self->random) / 4 + sizeof(*own[i]), 0, &self->random);
        if (step % FORK_EVERY != 0) {
            continue;
        }
        int pid = fork();
        if (pid == 0) {
            _exit(live(own, &self->random, (unsigned)(step / FORK_EVERY % (GENERATIONS + 1))));
        }
        int status = conform_wait(pid);
        CHECK(status == 0, "a child ended with %d", status);
    }
    for (unsigned i = 0; i < OWN_BLOCKS; i++) {
        stress_block_free(own[i]);
    }
    return NULL;
}

void stress_fork(const struct stress *stress)
{
    stress_run_threads(stress, fork_and_allocate, NULL);
}
