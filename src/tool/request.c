/* SPDX-License-Identifier: MIT
 *
 * Requests to a process on ebb; see request.h.
 */
#include "tool/request.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "model/units.h"
#include "tool/background.h"
#include "tool/cmd.h"

/* Between two looks for the answer: short at first, a refresh takes microseconds. */
#define FIRST_PAUSE_NS 500000
#define LAST_PAUSE_NS  20000000

static uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Waits until the count of answers has risen above `before`. 0, -ETIMEDOUT, or -errno. */
static int await(struct ebb_page *page, uint64_t before, long timeout_ms)
{
    uint64_t deadline_us = now_us() + (uint64_t)timeout_ms * 1000;
    struct timespec pause = {.tv_nsec = FIRST_PAUSE_NS};

    for (;;) {
        int err = ebb__page_read(page);

        /* What was read in one piece may be the new count and the old result: another read has both. */
        if (err == 0 && page->view.control_done != before)
            return ebb__page_read(page);
        if (err != 0)
            return err;
        if (now_us() >= deadline_us)
            return -ETIMEDOUT;
        nanosleep(&pause, NULL);
        if (pause.tv_nsec < LAST_PAUSE_NS)
            pause.tv_nsec *= 2;
    }
}

static int report_failure(const struct ebb_target *target, const struct ebb_page *page, long timeout_ms,
                          int err)
{
    struct ebb_background background;
    char time[EBB_UNITS_BYTES];

    if (err != -ETIMEDOUT) {
        if (err != -EPERM && err != -EAGAIN)
            return ebb__target_failed(target, err);
        fprintf(stderr, "ebb %s: %s (pid %d) cannot be asked: %s\n", target->command, target->name,
                (int)target->pid,
                err == -EPERM ? "only its own user and root may signal it"
                              : "the kernel's queue of signals for its user is full");
        return EBB_EXIT_FAILED;
    }
    if (ebb__background_look(page, &background) == -ESRCH)
        return ebb__target_failed(target, -ESRCH);
    fprintf(stderr, "ebb %s: %s (pid %d): no answer within %s; %s\n", target->command, target->name,
            (int)target->pid, ebb__units_ms((uint64_t)timeout_ms, time),
            background.activity == 'T' || background.activity == 't'
                ? "it is stopped, and will do so when it continues"
                : "the request is queued and may still be carried out");
    return EBB_EXIT_FAILED;
}

int ebb__request(const struct ebb_target *target, struct ebb_page *page,
                 const struct ebb_wire_request *request, long timeout_ms,
                 struct ebb_request_answer *ret_answer)
{
    struct ebb_background background;
    uint64_t before = page->view.control_done;
    uint64_t payload = 0;
    uint64_t start_us;
    int err = ebb__background_look(page, &background);

    if (err != 0)
        return ebb__target_failed(target, err);
    if (background.state != EBB_BACKGROUND_LISTENS) {
        fprintf(stderr, "ebb %s: %s (pid %d) takes no requests: %s\n", target->command, target->name,
                (int)target->pid, ebb__background_why(background.state));
        return EBB_EXIT_FAILED;
    }
    start_us = now_us();
    err = ebb__wire_control_encode(request, &payload);
    if (err == 0)
        err = ebb__background_send(target->pid, background.tid, payload);
    if (err == 0)
        err = await(page, before, timeout_ms);
    if (err != 0)
        return report_failure(target, page, timeout_ms, err);
    *ret_answer =
        (struct ebb_request_answer){.result = page->view.control_result, .took_us = now_us() - start_us};
    return EBB_EXIT_OK;
}
