/* SPDX-License-Identifier: MIT
 *
 * Pages on Linux: giving them back, one range or many in one call, and making them huge or keeping them small.
 *
 * Many ranges. process_madvise() on the own process takes a vector and flushes address translations once for all of it. The
 * process is named by PIDFD_SELF_THREAD_GROUP, which is a number and no descriptor: a program that closes all descriptors, or
 * counts them, never meets one of ours. That name and the right to give such advice to oneself came with Linux 6.14, so every
 * kernel that accepts the call also knows MADV_DONTNEED_LOCKED (5.18), and locked ranges need no case of their own. What an
 * older kernel or a system call filter says is remembered in one flag; from then on each range costs a call.
 *
 * A short answer means that the next range was refused or was cut off at the kernel's bound on one vector (2 GiB less a page).
 * That range is tried alone, then the rest goes on as a vector.
 */
#include <fcntl.h>
#include <linux/prctl.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "base/syscall.h"
#include "os/linux_priv.h"

/* In the kernel's headers of 5.18, 6.1, 6.14 and 6.18; the C library of the machine that builds may be older. */
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef PIDFD_SELF_THREAD_GROUP
#define PIDFD_SELF_THREAD_GROUP (-10001)
#endif
#ifndef PR_THP_DISABLE_EXCEPT_ADVISED
#define PR_THP_DISABLE_EXCEPT_ADVISED (1 << 1)
#endif
#ifndef SYS_process_madvise
#define SYS_process_madvise 440 /* the same on every architecture */
#endif

/* A vector of ranges is handed to the kernel as it is. */
EBB_STATIC_ASSERT(sizeof(struct ebb_os_range) == sizeof(struct iovec),
                  "the kernel reads ranges as struct iovec");
EBB_STATIC_ASSERT(offsetof(struct ebb_os_range, addr) == offsetof(struct iovec, iov_base), "address first");
EBB_STATIC_ASSERT(offsetof(struct ebb_os_range, bytes) == offsetof(struct iovec, iov_len), "length second");

/* Relaxed: nothing is ordered by it, and a thread that sees it late makes one call in vain. A fork child inherits it. */
static _Atomic bool no_vector;

static long advise(void *addr, size_t bytes, int advice)
{
    return ebb__syscall(SYS_madvise, (long)addr, (long)bytes, advice, 0, 0, 0);
}

int ebb__os_purge(void *addr, size_t bytes)
{
    long rc = advise(addr, bytes, MADV_DONTNEED);
    if (rc == -EINVAL) /* locked memory */
        rc = advise(addr, bytes, MADV_DONTNEED_LOCKED);
    return (int)rc;
}

/* How many of the ranges lie whole within the first `bytes` of them. */
static unsigned whole_ranges(const struct ebb_os_range *ranges, unsigned count, size_t bytes)
{
    unsigned n = 0;
    for (; n < count && ranges[n].bytes <= bytes; n++)
        bytes -= ranges[n].bytes;
    return n;
}

/* Purges a prefix in one call; its length, which is 0 when the kernel has refused. */
static unsigned purge_vector(const struct ebb_os_range *ranges, unsigned count)
{
    if (count < 2 || atomic_load_explicit(&no_vector, memory_order_relaxed))
        return 0;
    long rc = ebb__syscall(SYS_process_madvise, PIDFD_SELF_THREAD_GROUP, (long)ranges, count,
                           MADV_DONTNEED_LOCKED, 0, 0);
    if (rc == -ENOSYS || rc == -EPERM || rc == -EBADF || rc == -EINVAL)
        atomic_store_explicit(&no_vector, true, memory_order_relaxed);
    return rc > 0 ? whole_ranges(ranges, count, (size_t)rc) : 0;
}

unsigned ebb__os_purge_many(const struct ebb_os_range *ranges, unsigned count)
{
    unsigned done = 0;
    while (done < count) {
        done += purge_vector(ranges + done, count - done);
        if (done == count)
            break;
        if (ebb__os_purge(ranges[done].addr, ranges[done].bytes) != 0)
            break;
        done++;
    }
    return done;
}

/* ---- huge pages ---- */

enum ebb_os_thp ebb__os_thp(void)
{
    char text[64];
    enum ebb_os_thp thp = EBB_THP_NEVER;
    if (ebb__os_read_file("/sys/kernel/mm/transparent_hugepage/enabled", text, sizeof(text)) == 0)
        return EBB_THP_NEVER;
    const char *chosen = strchr(text, '[');
    if (chosen != NULL && strncmp(chosen, "[always]", 8) == 0)
        thp = EBB_THP_ALWAYS;
    else if (chosen != NULL && strncmp(chosen, "[madvise]", 9) == 0)
        thp = EBB_THP_MADVISE;

    /* 0, or 1 for "disabled in this process"; since 6.18 it may say "except where it was advised" beside that. */
    long disabled = ebb__syscall(SYS_prctl, PR_GET_THP_DISABLE, 0, 0, 0, 0, 0);
    if (disabled <= 0 || thp == EBB_THP_NEVER)
        return thp;
    return (disabled & PR_THP_DISABLE_EXCEPT_ADVISED) != 0 ? EBB_THP_MADVISE : EBB_THP_NEVER;
}

int ebb__os_no_huge(void *addr, size_t bytes)
{
    return (int)advise(addr, bytes, MADV_NOHUGEPAGE);
}

int ebb__os_collapse(void *addr, size_t bytes)
{
    return (int)advise(addr, bytes, MADV_COLLAPSE);
}
