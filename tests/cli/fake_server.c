/* SPDX-License-Identifier: MIT
 *
 * A process with a stats page of its own making: what `ebb heap` and `ebb control` meet when all goes well, and when not.
 *
 *   fake_server MODE      prints "ready" and waits to be killed
 *
 * The page is not exported, as in a program that is linked with the library statically.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include "wire/control.h"
#include "wire/stats_page.h"

#define ROWS    8
#define CLASSES 4

struct fake_page {
    struct ebb_wire_header header;
    struct ebb_wire_summary summary;
    struct ebb_wire_class classes[CLASSES];
    struct ebb_wire_row rows[ROWS];
};

extern struct fake_page ebb_stats_page;
struct fake_page ebb_stats_page = {
    .header = {.magic = {'E', 'B', 'B', 'S', 'T', 'A', 'T', 'S'},
               .version = EBB_WIRE_VERSION,
               .page_bytes = sizeof(struct fake_page),
               .header_bytes = sizeof(struct ebb_wire_header),
               .summary_bytes = sizeof(struct ebb_wire_summary),
               .summary_offset = offsetof(struct fake_page, summary),
               .class_count = CLASSES,
               .class_bytes = sizeof(struct ebb_wire_class),
               .classes_offset = offsetof(struct fake_page, classes),
               .row_count = ROWS,
               .row_bytes = sizeof(struct ebb_wire_row),
               .rows_offset = offsetof(struct fake_page, rows),
               .sequence = 2,
               .library = "9.8.7"},
    .summary = {.ticks = 77,
                .level = 1,
                .live_bytes = 3 << 20,
                .live_blocks = 40,
                .cached_bytes = 1536,
                .cached_blocks = 9},
    .classes = {{0},
                {.bytes = 16, .taken_blocks = 100, .given_blocks = 40},
                {.bytes = 1024, .taken_blocks = 9, .given_blocks = 10}, /* read at two moments */
                {.bytes = 128, .internal = 1, .taken_blocks = 5}},
    .rows = {{"span_bytes", "bytes", 1, 4 << 20},
             {"span_blocks", "blocks", 1, 2},
             {"dirty_bytes", "bytes", 1, 512 << 10},
             {"backed_bytes", "bytes", 1, 6 << 20},
             {"committed_bytes", "bytes", 1, 0},
             {"lane_blocks", "blocks", 1, 3},
             {"bad\x1b[31mname", "\n\n", 0, 5},
             {"set_value", "bytes", 1, 0}},
};

/* What the listener does with a request. */
static enum { ANSWER, REFUSE, SILENT, DIE } manner;

static int listen(void *arg)
{
    struct ebb_wire_header *header = &ebb_stats_page.header;
    sigset_t set;
    (void)arg;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, EBB_WIRE_SIGNAL);
    __atomic_store_n(&header->thread_id, (uint32_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
    for (;;) {
        struct ebb_wire_request request;
        siginfo_t info;
        if (sigwaitinfo(&set, &info) < 0)
            continue;
        uint64_t value = (uint64_t)(uintptr_t)info.si_value.sival_ptr;
        if (value >> EBB_WIRE_PAYLOAD_BITS != EBB_WIRE_MAGIC)
            continue;
        if (manner == DIE)
            _exit(0);
        if (manner == SILENT)
            continue;
        int64_t result =
            ebb__wire_control_decode(value & ((UINT64_C(1) << EBB_WIRE_PAYLOAD_BITS) - 1), &request);
        if (result == 0 && manner == REFUSE)
            result = -ENOTSUP;
        if (result == 0 && request.op == EBB_WIRE_TRIM)
            result = 5 << 20;
        if (result == 0 && request.op == EBB_WIRE_SET)
            atomic_store(&ebb_stats_page.rows[7].value, request.setting * 1000000000000 + request.value);
        __atomic_store_n(&header->control_result, result, __ATOMIC_RELAXED);
        __atomic_store_n(&header->control_done, header->control_done + 1, __ATOMIC_RELEASE);
    }
}

/* Publishes summaries as fast as a reader can still stand. */
static void publish_for_ever(void)
{
    uint32_t *sequence = &ebb_stats_page.header.sequence;
    struct ebb_wire_summary *summary = &ebb_stats_page.summary;
    for (uint64_t i = 1;; i++) {
        __atomic_store_n(sequence, *sequence + 1, __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_RELEASE);
        __atomic_store_n(&summary->ticks, i, __ATOMIC_RELAXED);
        __atomic_store_n(&summary->live_blocks, i, __ATOMIC_RELAXED);
        __atomic_store_n(&summary->cached_blocks, i, __ATOMIC_RELAXED);
        __atomic_store_n(sequence, *sequence + 1, __ATOMIC_RELEASE);
        (void)thrd_sleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
}

static void start_listener(void)
{
    sigset_t set;
    thrd_t thread;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, EBB_WIRE_SIGNAL);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    if (thrd_create(&thread, listen, NULL) != thrd_success)
        exit(1);
    while (__atomic_load_n(&ebb_stats_page.header.thread_id, __ATOMIC_ACQUIRE) == 0)
        (void)thrd_sleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

int main(int argc, char **argv)
{
    struct ebb_wire_header *header = &ebb_stats_page.header;
    const char *mode = argc > 1 ? argv[1] : "";
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    ebb_stats_page.summary.updated_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    header->pid = (uint32_t)getpid();
    manner = strcmp(mode, "refuse") == 0   ? REFUSE
             : strcmp(mode, "silent") == 0 ? SILENT
             : strcmp(mode, "die") == 0    ? DIE
                                           : ANSWER;
    if (strcmp(mode, "listen") == 0 || manner != ANSWER)
        start_listener();
    else if (strcmp(mode, "deaf") == 0)
        header->thread_id = header->pid;
    else if (strcmp(mode, "gone") == 0)
        header->thread_id = 1;
    else if (strcmp(mode, "parent") == 0)
        header->pid = header->thread_id = 1;
    else if (strcmp(mode, "torn") == 0)
        header->sequence = 3;
    else if (strcmp(mode, "later") == 0)
        header->version = EBB_WIRE_VERSION + 1;
    else if (strcmp(mode, "future") == 0)
        ebb_stats_page.summary.updated_ms += 3600000;
    else if (strcmp(mode, "damaged") == 0)
        header->row_count = UINT32_MAX;
    else if (strcmp(mode, "other") == 0)
        header->magic[0] = 'X';
    (void)puts("ready");
    (void)fflush(stdout);
    if (strcmp(mode, "busy") == 0)
        publish_for_ever();
    for (;;)
        (void)pause();
}
