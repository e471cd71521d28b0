/* SPDX-License-Identifier: MIT
 *
 * Memory files as other processes make them, for the tests of both implementations.
 */
#ifndef EBB_TESTS_UNIT_OS_SHARED_H
#define EBB_TESTS_UNIT_OS_SHARED_H

#include "support.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "os/os.h"

static char shared_path[64];

/* A memory file with these seals; its path is in shared_path. */
static inline int make_shared(off_t bytes, int seals)
{
    int fd = memfd_create("ebb-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    EXPECT(fd >= 0 && ftruncate(fd, bytes) == 0 && fcntl(fd, F_ADD_SEALS, seals) == 0);
    (void)snprintf(shared_path, sizeof(shared_path), "/proc/self/fd/%d", fd);
    return fd;
}

/* What every implementation takes and refuses. */
static inline void check_shared(void)
{
    char file[] = "/tmp/ebb-test-shared-XXXXXX";
    void *addr = NULL;
    size_t bytes = 0;
    int fd = make_shared(3 * 4096, F_SEAL_SHRINK);
    EXPECT_EQ(ebb__os_map_shared(shared_path, 3 * 4096 - 1, &addr, &bytes), -EFBIG);
    EXPECT_EQ(ebb__os_map_shared(shared_path, 3 * 4096, &addr, &bytes), 0);
    EXPECT(bytes == 3 * 4096 && addr != NULL);
    /* Both sides see the same, and a touch changes nothing. */
    char *p = addr, c = 0;
    p[5000] = 'x';
    EXPECT(pread(fd, &c, 1, 5000) == 1 && c == 'x');
    EXPECT_EQ(ebb__os_touch(p + 100, 2 * 4096), 0);
    EXPECT(p[5000] == 'x' && p[100] == 0);
    ebb__os_unmap_shared(addr, bytes);
    EXPECT(close(fd) == 0);
    EXPECT_EQ(ebb__os_map_shared(shared_path, 4096, &addr, &bytes), -ENOENT);
    /* One that may become shorter, an empty one, and what is no memory file at all. */
    fd = make_shared(4096, F_SEAL_GROW);
    EXPECT_EQ(ebb__os_map_shared(shared_path, 4096, &addr, &bytes), -EINVAL);
    EXPECT(close(fd) == 0);
    fd = make_shared(0, F_SEAL_SHRINK);
    EXPECT_EQ(ebb__os_map_shared(shared_path, 4096, &addr, &bytes), -EINVAL);
    EXPECT(close(fd) == 0);
    fd = mkstemp(file);
    EXPECT(fd >= 0 && ftruncate(fd, 4096) == 0 && close(fd) == 0);
    EXPECT_EQ(ebb__os_map_shared(file, 4096, &addr, &bytes), -EINVAL);
    EXPECT(unlink(file) == 0);
    EXPECT(mkfifo(file, 0600) == 0);
    EXPECT(ebb__os_map_shared(file, 4096, &addr, &bytes) < 0);
    EXPECT(unlink(file) == 0);
    EXPECT(ebb__os_map_shared("/dev/null", 4096, &addr, &bytes) == -EINVAL);
    EXPECT(ebb__os_map_shared("/proc", 4096, &addr, &bytes) < 0);
}

#endif
