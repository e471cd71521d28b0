/* SPDX-License-Identifier: MIT
 *
 * Reading the memory of another process; see peek.h.
 */
#include "probe/peek.h"

#include <errno.h>
#include <sys/uio.h>

int ebb__peek(pid_t pid, uint64_t address, void *buf, size_t len)
{
    struct iovec local = {.iov_base = buf, .iov_len = len};
    struct iovec remote = {.iov_base = (void *)(uintptr_t)address, .iov_len = len};
    ssize_t got;

    if (len == 0)
        return 0;
    got = process_vm_readv(pid, &local, 1, &remote, 1, 0);
    if (got < 0)
        return -errno;
    return (size_t)got == len ? 0 : -EFAULT;
}

int ebb__peek_process(void *context, uint64_t address, void *buf, size_t len)
{
    return ebb__peek(*(const pid_t *)context, address, buf, len);
}
