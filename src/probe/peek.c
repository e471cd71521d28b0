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

/* Pieces for each system call. */
#define PIECES 256

int ebb__peek_many_process(void *context, const uint64_t *addresses, size_t count, void *buf, size_t each)
{
    struct iovec remote[PIECES];

    while (count != 0) {
        size_t pieces = count < PIECES ? count : PIECES;
        struct iovec local = {.iov_base = buf, .iov_len = pieces * each};
        ssize_t got;

        for (size_t i = 0; i < pieces; i++)
            remote[i] = (struct iovec){.iov_base = (void *)(uintptr_t)addresses[i], .iov_len = each};
        got = process_vm_readv(*(const pid_t *)context, &local, 1, remote, pieces, 0);
        if (got < 0)
            return -errno;
        if ((size_t)got != pieces * each)
            return -EFAULT;
        addresses += pieces;
        count -= pieces;
        buf = (char *)buf + pieces * each;
    }
    return 0;
}

int ebb__peek_process(void *context, uint64_t address, void *buf, size_t len)
{
    return ebb__peek(*(const pid_t *)context, address, buf, len);
}
