/* SPDX-License-Identifier: MIT
 *
 * Reading the memory of another process without stopping it.
 */
#ifndef EBB_PROBE_PEEK_H
#define EBB_PROBE_PEEK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A way to read `len` bytes at `address` of some process: 0, or -errno. Functions that walk foreign data
 * structures take one, so that tests can hand them a made-up process. */
typedef int (*ebb_peek_fn)(void *context, uint64_t address, void *buf, size_t len);

/* Reads all `len` bytes at `address` of process `pid`, by process_vm_readv: 0, -EFAULT when not all of it is
 * mapped, -ESRCH when the process has gone, -EPERM when we may not trace it. */
int ebb__peek(pid_t pid, uint64_t address, void *buf, size_t len);

/* The same as an ebb_peek_fn; `context` points to the pid_t. */
int ebb__peek_process(void *context, uint64_t address, void *buf, size_t len);

/* A way to read `each` bytes at each of `count` addresses, one behind the other into `buf`: 0, or -errno, also when only one of them cannot be
 * read. */
typedef int (*ebb_peek_many_fn)(void *context, const uint64_t *addresses, size_t count, void *buf,
                                size_t each);

/* As an ebb_peek_many_fn, with few system calls; `context` points to the pid_t. */
int ebb__peek_many_process(void *context, const uint64_t *addresses, size_t count, void *buf, size_t each);

#endif
