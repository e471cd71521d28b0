/* SPDX-License-Identifier: MIT
 *
 * Trees of files for tests of the governor's inputs: /proc and cgroups of hosts that we do not have, in a folder of their own.
 */
#ifndef EBB_TESTS_UNIT_GOVERNOR_PRESSURE_TREE_H
#define EBB_TESTS_UNIT_GOVERNOR_PRESSURE_TREE_H

#include "support.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>

#include "governor/sources_priv.h"

static char tree[64];

/* A path in the tree; four are remembered. */
static inline const char *in_tree(const char *name)
{
    static char path[4][1024];
    static unsigned n;
    (void)snprintf(path[n % 4], sizeof(path[0]), "%s%s", tree, name);
    return path[n++ % 4];
}

static inline void make_tree(void)
{
    (void)snprintf(tree, sizeof(tree), "/tmp/ebb-test-tree-XXXXXX");
    EXPECT(mkdtemp(tree) != NULL);
}

static inline void make_folders(const char *path)
{
    char folder[1024];
    (void)snprintf(folder, sizeof(folder), "%s", path);
    for (char *slash = strchr(folder + strlen(tree) + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        EXPECT_MSG(mkdir(folder, 0700) == 0 || errno == EEXIST, "%s", folder);
        *slash = '/';
    }
}

/* A file of the tree, with its folders; NULL removes it. */
static inline void put(const char *name, const char *text)
{
    const char *path = in_tree(name);
    if (text == NULL) {
        EXPECT_MSG(unlink(path) == 0, "%s", path);
        return;
    }
    make_folders(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    EXPECT_MSG(fd >= 0, "%s: %s", path, strerror(errno));
    EXPECT(write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0);
}

static inline int remove_one(const char *path, const struct stat *st, int kind, struct FTW *walk)
{
    (void)st, (void)kind, (void)walk;
    return remove(path);
}

static inline void remove_tree(void)
{
    EXPECT(nftw(tree, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
}

#define MOUNT_ROOT    "22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n"
#define MOUNT_V1      "36 31 0:33 / /sys/fs/cgroup/memory rw,nosuid shared:15 - cgroup cgroup rw,memory\n"
#define MOUNT_CPU     "37 31 0:32 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
#define MOUNT_V2      "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
#define MOUNT_UNIFIED "32 31 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw\n"

#define V1 "/sys/fs/cgroup/memory"
#define V2 "/sys/fs/cgroup"

#define PSI_TEXT                                                                                             \
    "some avg10=0.10 avg60=0.00 avg300=0.00 total=7\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=3\n"

/* What every host has. */
static inline void put_host(void)
{
    put("/proc/meminfo",
        "MemTotal:       1000 kB\nMemFree:        100 kB\nMemAvailable:    400 kB\nSwapFree:        50 kB\n");
    put("/proc/self/statm", "900 25 10 1 0 200 0\n");
    put("/proc/pressure/memory", PSI_TEXT);
}

/* /a/b of version 1: b has a limit, a has none, the top has none. */
static inline void put_v1(void)
{
    put_host();
    put("/proc/self/mountinfo", MOUNT_ROOT MOUNT_V1 MOUNT_CPU);
    put("/proc/self/cgroup", "5:memory:/a/b\n4:cpu,cpuacct:/\n");
    static const char *const folders[] = {V1, V1 "/a", V1 "/a/b"};
    for (unsigned i = 0; i < 3; i++) {
        char name[128];
        (void)snprintf(name, sizeof(name), "%s/memory.limit_in_bytes", folders[i]);
        put(name, i == 2 ? "8192000\n" : "9223372036854771712\n");
        (void)snprintf(name, sizeof(name), "%s/memory.usage_in_bytes", folders[i]);
        put(name, "5000000\n");
        (void)snprintf(name, sizeof(name), "%s/memory.failcnt", folders[i]);
        put(name, "12\n");
        (void)snprintf(name, sizeof(name), "%s/memory.oom_control", folders[i]);
        put(name, "oom_kill_disable 0\nunder_oom 1\noom_kill 4\n");
        (void)snprintf(name, sizeof(name), "%s/memory.stat", folders[i]);
        put(name, "cache 1\nhierarchical_memory_limit 8192000\ntotal_dirty 1000\ntotal_writeback 2000\n"
                  "total_inactive_file 100000\ntotal_active_file 50000\n");
        (void)snprintf(name, sizeof(name), "%s/cgroup.event_control", folders[i]);
        put(name, "");
        (void)snprintf(name, sizeof(name), "%s/memory.pressure_level", folders[i]);
        put(name, "");
    }
}

/* /a/b of version 2: b has a high limit, a a hard one, the top no such files. */
static inline void put_v2(void)
{
    put_host();
    put("/proc/self/mountinfo", MOUNT_ROOT MOUNT_V2);
    put("/proc/self/cgroup", "0::/a/b\n");
    put(V2 "/cgroup.controllers", "cpuset cpu io memory pids\n");
    put(V2 "/a/b/memory.max", "max\n");
    put(V2 "/a/b/memory.high", "600000\n");
    put(V2 "/a/b/memory.current", "500000\n");
    put(V2 "/a/b/memory.stat",
        "anon 1\ninactive_file 70000\nactive_file 30000\nfile_dirty 500\nfile_writeback 500\n");
    put(V2 "/a/b/memory.events", "low 1\nhigh 2\nmax 3\noom 4\noom_kill 5\noom_group_kill 0\n");
    put(V2 "/a/b/memory.events.local", "low 0\nhigh 1\nmax 0\noom 0\noom_kill 0\n");
    put(V2 "/a/b/memory.pressure", PSI_TEXT);
    put(V2 "/a/memory.max", "900000\n");
    put(V2 "/a/memory.high", "max\n");
    put(V2 "/a/memory.current", "850000\n");
    put(V2 "/a/memory.stat", "inactive_file 1000\nactive_file 0\nfile_dirty 5000\nfile_writeback 0\n");
    put(V2 "/a/memory.events",
        "low 10\nhigh 20\nmax 30\noom 40\noom_kill 50\n"); /* no local ones: Linux 4.18 */
    put(V2 "/a/memory.pressure", PSI_TEXT);
}

#endif
