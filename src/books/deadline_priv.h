/* SPDX-License-Identifier: MIT
 *
 * A moment until which everything must be done, and waiting for a descriptor no longer than that.
 */
#ifndef EBB_BOOKS_DEADLINE_PRIV_H
#define EBB_BOOKS_DEADLINE_PRIV_H

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <time.h>

struct ebb_deadline {
    int64_t end_ns; /* CLOCK_MONOTONIC */
};

static inline int64_t ebb__deadline_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline struct ebb_deadline ebb__deadline_in(unsigned ms)
{
    return (struct ebb_deadline){.end_ns = ebb__deadline_now_ns() + (int64_t)ms * 1000000};
}

/* What is left, in whole milliseconds; 0 when it has passed. */
static inline int ebb__deadline_left_ms(struct ebb_deadline deadline)
{
    int64_t left_ns = deadline.end_ns - ebb__deadline_now_ns();

    return left_ns <= 0 ? 0 : (int)(left_ns / 1000000);
}

/* Waits for one of `events`. 0 and what came, -ETIMEDOUT, or -errno. */
static inline int ebb__deadline_poll(struct ebb_deadline deadline, int fd, short events, short *ret_events)
{
    for (;;) {
        struct pollfd wanted = {.fd = fd, .events = events};
        int left_ms = ebb__deadline_left_ms(deadline);
        int got = left_ms == 0 ? 0 : poll(&wanted, 1, left_ms);

        if (got > 0) {
            *ret_events = wanted.revents;
            return 0;
        }
        if (got == 0)
            return -ETIMEDOUT;
        if (errno != EINTR)
            return -errno;
    }
}

#endif
