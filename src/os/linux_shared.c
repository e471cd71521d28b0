/* SPDX-License-Identifier: MIT
 *
 * Memory shared with another process, on Linux: a memory file (memfd) that it holds open.
 *
 * Touching. The pages of a memory file are found when they are touched first; where there are none to be had (a commit limit without
 * overcommit) that is SIGBUS. A futex operation on the word in question (OR with 0) has the kernel look for the page first, and says
 * -EFAULT. A fault of the kernel's own making does not call the OOM killer either: at the limit of a cgroup it fails (so the source of the
 * kernel says; no test shows it). Every kernel has it, and no filter of system calls forbids futexes to a program with threads.
 */
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/syscall.h"
#include "os/linux_priv.h"

/* Since Linux 3.17; headers of the C library may be older. */
#ifndef F_GET_SEALS
#define F_GET_SEALS 1034
#endif
#ifndef F_SEAL_SHRINK
#define F_SEAL_SHRINK 0x0002
#endif

static int map_open(int fd, size_t most_bytes, void **ret_addr, size_t *ret_bytes)
{
    struct stat st; /* on both architectures the kernel's own layout */
    long seals = ebb__syscall(SYS_fcntl, fd, F_GET_SEALS, 0, 0, 0, 0);
    if (seals < 0 || (seals & F_SEAL_SHRINK) == 0)
        return -EINVAL; /* other files know no seals */
    long rc = ebb__syscall(SYS_fstat, fd, (long)&st, 0, 0, 0, 0);
    if (rc != 0)
        return (int)rc;
    if (st.st_size <= 0)
        return -EINVAL;
    if ((uint64_t)st.st_size > most_bytes)
        return -EFBIG;
    rc = ebb__syscall(SYS_mmap, 0, (long)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (rc < 0 && rc > -4096)
        return (int)rc;
    *ret_addr = (void *)rc; // NOLINT(performance-no-int-to-ptr): that is what mmap returns
    *ret_bytes = (size_t)st.st_size;
    return 0;
}

int ebb__os_map_shared(const char *path, size_t most_bytes, void **ret_addr, size_t *ret_bytes)
{
    long fd =
        ebb__syscall(SYS_openat, AT_FDCWD, (long)path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0, 0, 0);
    if (fd < 0)
        return (int)fd;
    int rc = map_open((int)fd, most_bytes, ret_addr, ret_bytes);
    (void)ebb__syscall(SYS_close, fd, 0, 0, 0, 0, 0);
    return rc;
}

void ebb__os_unmap_shared(void *addr, size_t bytes)
{
    (void)ebb__syscall(SYS_munmap, (long)addr, (long)bytes, 0, 0, 0, 0);
}

int ebb__os_touch(void *addr, size_t bytes)
{
    const long or_nothing = FUTEX_OP(FUTEX_OP_OR, 0, FUTEX_OP_CMP_EQ, 1);
    size_t page_bytes = ebb__os_page_bytes();
    uintptr_t at = (uintptr_t)addr, end = at + bytes;
    for (; at < end; at = ebb__align_down(at, page_bytes) + page_bytes) {
        long word = (long)ebb__align_down(at, sizeof(uint32_t));
        long rc = ebb__syscall(SYS_futex, word, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 0, 0, word, or_nothing);
        if (rc < 0)
            return (int)rc;
    }
    return 0;
}
