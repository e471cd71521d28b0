/* SPDX-License-Identifier: MIT
 *
 * Worlds for the background thread under pressure: trees of files that say what a test wants, on the fake kernel.
 */
#ifndef EBB_TESTS_UNIT_GOVERNOR_ACT_TEST_H
#define EBB_TESTS_UNIT_GOVERNOR_ACT_TEST_H

#include "governor_test.h"
#include "pressure_tree.h"

#include "governor/act_priv.h"

#define LIMIT_MIB 1024u

static uint64_t payload;

static inline bool yes(void)
{
    return true;
}

static inline void put_number(const char *name, uint64_t n)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "%" PRIu64 "\n", n);
    put(name, text);
}

static inline void put_usage(unsigned mib)
{
    put_number(V1 "/a/b/memory.usage_in_bytes", (uint64_t)mib << 20);
}

/* A large host with nothing to say. */
static inline void put_quiet_host(void)
{
    make_tree();
    put_host();
    put("/proc/meminfo", "MemTotal: 16000000 kB\nMemAvailable: 12000000 kB\nSwapFree: 0 kB\n");
    put("/proc/self/mountinfo", MOUNT_ROOT);
    put("/proc/self/cgroup", "0::/\n");
    ebb__act_root = tree;
}

static inline void put_limited_group(void)
{
    put_quiet_host();
    put_v1();
    put("/proc/meminfo", "MemTotal: 16000000 kB\nMemAvailable: 12000000 kB\nSwapFree: 0 kB\n");
    put(V1 "/a/b/memory.stat", "total_inactive_file 0\ntotal_active_file 0\n");
    put_number(V1 "/a/b/memory.limit_in_bytes", (uint64_t)LIMIT_MIB << 20);
    put_usage(300);
}

static inline const char *watch_fifo(const char *name)
{
    return strcmp(name, "MEMORY_PRESSURE_WATCH") == 0 ? "/fifo" : NULL;
}

static inline void put_fifo(void)
{
    put_quiet_host();
    EXPECT(mkfifo(in_tree("/fifo"), 0600) == 0);
    ebb_fake.env_of = watch_fifo;
}

static inline void say_fifo(const char *text)
{
    int fd = open(in_tree("/fifo"), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    EXPECT(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0);
}

static inline void call_fifo(void)
{
    say_fifo("x");
}

/* 100 MiB of free memory, in a process whose main thread's end would be heard of. */
static inline void begin_process(void)
{
    start();
    fill_cache(1);
    take(100);
    give(100);
}

static inline void end_tree(void)
{
    ebb__act_end();
    EXPECT_EQ(ebb_fake.fds, 0);
    remove_tree();
}

#endif
