/* SPDX-License-Identifier: MIT
 *
 * The contract with the kernel: all that ebb asks of Linux, with pre- and postconditions.
 *
 * Two implementations have these symbols: linux*.c (library `os`) and fake*.c (library `os_fake`, tests only:
 * fails on demand, other page sizes, limited memory, a virtual clock). A module is linked with one of them;
 * there is no table of function pointers on the way.
 *
 * All functions return 0 or -errno unless said otherwise, keep errno, take no lock of ours, never allocate,
 * and may be called from any thread at any time, also before the C library's constructors. A failed call has
 * changed nothing.
 */
#ifndef EBB_OS_H
#define EBB_OS_H

#include "base/base.h"

/* The kernel's page size. post: a power of two, 4 KiB to 64 KiB, the same in every call */
size_t ebb__os_page_bytes(void);

struct ebb_os_limits {
    size_t ram_bytes;     /* physical memory; 0 when unknown */
    size_t as_bytes;      /* RLIMIT_AS; SIZE_MAX when none */
    size_t memlock_bytes; /* RLIMIT_MEMLOCK; SIZE_MAX when none */
};

/* Limits in effect now. Cost: a few system calls; for start and growth, never for the way of a block. */
void ebb__os_limits(struct ebb_os_limits *ret_limits);

/* vm.max_map_count, or its default when it cannot be read. Cost: opens a file. */
size_t ebb__os_max_map_count(void);

/* Address space without memory: one PROT_NONE mapping.
 * pre: bytes and align are multiples of 2 MiB, align a power of two
 * post: *ret_base is a multiple of align; at no moment more than `bytes` of address space were taken
 * -ENOMEM (no room, RLIMIT_AS), -EAGAIN (mlockall(MCL_FUTURE) and RLIMIT_MEMLOCK) */
int ebb__os_reserve(size_t bytes, size_t align, void **ret_base);

/* The same at a fixed address. -EEXIST when something is in the way. Where another reservation ends there, the two are one
 * from then on. */
int ebb__os_reserve_at(void *addr, size_t bytes);

/* Gives back address space. pre: reserved by the two above, and nothing in it committed */
void ebb__os_unreserve(void *addr, size_t bytes);

/* Makes reserved address space readable and writable; its pages are zero.
 * pre: inside one reservation, multiples of 64 KiB, not yet committed, adjacent to the committed prefix
 * -ENOMEM (overcommit, RLIMIT_DATA), -EAGAIN (locked memory) */
int ebb__os_commit(void *addr, size_t bytes);

/* Gives physical memory back; the range stays readable and writable and reads as zero. Never splits a
 * mapping. pre: committed or mapped, multiples of the kernel's page size -EINVAL (locked memory on kernels
 * before 5.18) */
int ebb__os_purge(void *addr, size_t bytes);

struct ebb_os_range {
    void *addr;
    size_t bytes;
};

/* Purges many ranges with as few calls and as few flushes of address translations as the kernel allows: one for all of
 * them with process_madvise(), one for each range where that is missing or forbidden.
 * pre: each as for ebb__os_purge(), count <= EBB_OS_PURGE_MAX
 * post: the first n ranges (n is returned) read as zero, the others are as they were
 * Cost: about 50 ns for each resident page, 1 to 5 us for the flush on each processor that runs the process. */
#define EBB_OS_PURGE_MAX 64u
unsigned ebb__os_purge_many(const struct ebb_os_range *ranges, unsigned count);

/* How the kernel makes huge pages of memory that nobody advised about (/sys/kernel/mm/transparent_hugepage/enabled, and
 * prctl PR_SET_THP_DISABLE). EBB_THP_NEVER when that cannot be read. Cost: opens a file; for start only. */
enum ebb_os_thp { EBB_THP_NEVER = 0, EBB_THP_MADVISE, EBB_THP_ALWAYS };
enum ebb_os_thp ebb__os_thp(void);

/* No huge pages in a reservation, for ever. pre: a whole reservation, just made. */
int ebb__os_no_huge(void *addr, size_t bytes);

/* Makes one huge page of a resident range now; the flags of the mapping do not change. pre: committed, 2 MiB, aligned to it
 * -EINVAL (not known, or forbidden here), -ENOMEM, -EAGAIN (not now), -EBUSY */
int ebb__os_collapse(void *addr, size_t bytes);

/* A mapping of its own, zeroed, readable and writable.
 * pre: bytes a multiple of 64 KiB; align a power of two, at least 64 KiB
 * post: *ret_addr is a multiple of align */
int ebb__os_map(size_t bytes, size_t align, void **ret_addr);

/* pre: from ebb__os_map() or ebb__os_remap(), whole */
void ebb__os_unmap(void *addr, size_t bytes);

/* Grows or shrinks a mapping, moves it if need be; new pages are zero. The old mapping is whole when it
 * fails. */
int ebb__os_remap(void *addr, size_t old_bytes, size_t new_bytes, void **ret_addr);

/* Maps a memory file of another process shared, readable and writable; keeps no descriptor. Only one that is sealed against becoming
 * shorter is taken: touching it never ends the process. *ret_bytes is its size.
 * pre: most_bytes >= 1
 * -ENOENT, -EACCES (no such file, or none of our business), -EINVAL (no such memory file), -EFBIG (more than most_bytes), -ENOMEM */
int ebb__os_map_shared(const char *path, size_t most_bytes, void **ret_addr, size_t *ret_bytes);

/* Takes back what map_shared() gave. */
void ebb__os_unmap_shared(void *addr, size_t bytes);

/* Has the kernel back each page of such a mapping, without changing it: memory that cannot be had is an error here, and a signal
 * where it is touched first. -EFAULT, -ENOMEM; then it must not be touched. pre: mapped by map_shared() */
int ebb__os_touch(void *addr, size_t bytes);

/* Milliseconds since an arbitrary start; never goes back. */
uint64_t ebb__os_now_ms(void);

/* The same clock, fine: a nanosecond's resolution at the price of a vDSO call. */
uint64_t ebb__os_now_ns(void);

/* Processor time of the calling thread. Cost: a system call. */
uint64_t ebb__os_thread_cpu_ns(void);

/* Process id, asked from the kernel each time. */
uint32_t ebb__os_pid(void);

/* Value of an environment variable, or NULL: when unset, when the C library has no environment yet, and
 * always in a set-user-ID process (AT_SECURE). */
const char *ebb__os_env(const char *name);

/* Calls fn(arg) in the calling thread when it exits; the last call of a thread wins, NULL disarms.
 * Not for the main thread's exit(). May call malloc.
 * -EAGAIN (another thread is just making the key: ask again later), -ENOMEM, -ENOTSUP (the program has taken all keys) */
int ebb__os_thread_exit_arm(void (*fn)(void *), void *arg);

/* Calls these around every fork() from now on; prepare after the handlers that were registered later, child before them.
 * pre: called once, from a constructor */
int ebb__os_on_fork(void (*prepare)(void), void (*parent)(void), void (*child)(void));

/* ---- one side of an asymmetric fence ----
 * After ebb__os_barrier() returned 0: of every other thread of the process, each access to memory is either ordered, in the
 * thread's own order of program, before something that the caller did before the call, or after something it does after it.
 * The other side is a compiler barrier. (membarrier PRIVATE_EXPEDITED.)
 * init registers the process; 0 or -errno (-ENOSYS, -EPERM: then the fence must not be relied on). Call it once, not on the
 * way of a block: in a process with threads it waits for a grace period of the kernel (milliseconds). A fork child
 * inherits it. Cost of the barrier: 1 to 20 us. */
int ebb__os_barrier_init(void);
int ebb__os_barrier(void);

/* ---- the background thread ---- */

/* Starts a detached thread named "ebb" that runs fn(arg), with every signal blocked that pthread_sigmask() can block and a
 * stack of its own of 1 MiB, or less than 4 MiB where the C library asks for more. It must end by returning.
 * pre: no lock of ours held; may call malloc (the C library does) -EAGAIN and others: no thread */
int ebb__os_thread_start(void (*fn)(void *arg), void *arg);

/* The calling thread's id in the kernel. */
uint32_t ebb__os_thread_id(void);

/* Threads of the process, the caller among them, and a main thread that has ended by pthread_exit(); 0 when unknown. Opens
 * no descriptor. */
unsigned ebb__os_thread_count(void);

/* False until a second thread was made (__libc_single_threaded, where the C library has it; else by counting). */
bool ebb__os_is_threaded(void);

/* Sleeps until ebb__os_wake() or for timeout_ms, for ever with EBB_OS_FOREVER. True when woken; *ret_payload is what the
 * waker said (several wakes that said 0 may be taken as one). Uses signal EBB_OS_WAKE_SIGNAL, directed at this thread; one that
 * was meant for the process and went astray is handed on to the main thread, as SI_QUEUE when it came from kill().
 * pre: called from a thread that ebb__os_thread_start() made */
#define EBB_OS_FOREVER     UINT64_MAX
#define EBB_OS_WAKE_SIGNAL 57
bool ebb__os_sleep(uint64_t timeout_ms, uint64_t *ret_payload);

/* A signal is a wake when it was queued (si_code SI_QUEUE) with this magic in the upper 16 bits of its 64-bit value; the lower
 * 48 are the payload. Other processes may wake the thread in the same way (rt_tgsigqueueinfo). */
#define EBB_OS_WAKE_MAGIC        UINT64_C(0xebb5)
#define EBB_OS_WAKE_PAYLOAD_BITS 48
#define EBB_OS_WAKE_PAYLOAD_MAX  ((UINT64_C(1) << EBB_OS_WAKE_PAYLOAD_BITS) - 1)

/* Wakes a sleeping thread of this process, or makes its next sleep return at once. *ret_payload of that sleep is the payload,
 * without the magic. 0, -ESRCH, -EAGAIN (queue full), -EINVAL (payload of more than 48 bits). */
int ebb__os_wake(uint32_t tid, uint64_t payload);

/* ---- descriptors, by the background thread alone ---- */

#include "os/descriptor.h"

#endif
