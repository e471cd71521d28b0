/* SPDX-License-Identifier: MIT
 *
 * The contract with the kernel: all that ebb asks of Linux, with pre- and postconditions.
 *
 * Two implementations have these symbols: linux.c (library `os`) and fake.c (library `os_fake`, tests only:
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

/* The same at a fixed address. -EEXIST when something is in the way. */
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

/* A mapping of its own, zeroed, readable and writable.
 * pre: bytes a multiple of 64 KiB; align a power of two, at least 64 KiB
 * post: *ret_addr is a multiple of align */
int ebb__os_map(size_t bytes, size_t align, void **ret_addr);

/* pre: from ebb__os_map() or ebb__os_remap(), whole */
void ebb__os_unmap(void *addr, size_t bytes);

/* Grows or shrinks a mapping, moves it if need be; new pages are zero. The old mapping is whole when it
 * fails. */
int ebb__os_remap(void *addr, size_t old_bytes, size_t new_bytes, void **ret_addr);

/* Milliseconds since an arbitrary start; never goes back. */
uint64_t ebb__os_now_ms(void);

/* Process id, asked from the kernel each time. */
uint32_t ebb__os_pid(void);

/* Value of an environment variable, or NULL: when unset, when the C library has no environment yet, and
 * always in a set-user-ID process (AT_SECURE). */
const char *ebb__os_env(const char *name);

/* Calls fn(arg) in the calling thread when it exits; the last call of a thread wins, NULL disarms.
 * Not for the main thread's exit(). May call malloc. */
void ebb__os_thread_exit_arm(void (*fn)(void *), void *arg);

/* Calls fn in the child of every fork() from now on, before other handlers registered later.
 * pre: called once, from a constructor */
int ebb__os_on_fork_child(void (*fn)(void));

#endif
