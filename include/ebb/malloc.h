/* SPDX-License-Identifier: MIT
 *
 * <ebb/malloc.h>: the heap of ebb as an API.
 *
 * Caveats first
 *  - The same heap serves these functions and, when libebb-malloc.so is loaded, malloc & co. A block may then
 *    be allocated by one and freed by the other. With libebb.so alone, malloc stays the C library's: give
 *    each block back to the side it came from. ebb_free() of a block of another allocator aborts the process.
 *  - A corrupt pointer (freed twice, in the middle of a block, never allocated) ends the process with one line
 *    on standard error that begins "ebb: " and names the check; see ebb-malloc(7). Everything else that can go
 *    wrong is a return value. The library never logs and never exits.
 *  - Blocks are whole size classes: usable size can exceed the size asked for by up to 12.5 % (16 bytes at the
 *    least, 4 KiB units above 32 KiB). The extra bytes may be used, but compilers that know the requested size
 *    (_FORTIFY_SOURCE=3) may stop a program that does.
 *  - Freed memory goes back to the kernel: blocks of 32 MiB and more at once, the rest from a background thread, which a process
 *    has when it has several threads or 32 MiB of heap. What the program needed again within ten seconds stays until it
 *    has been quiet for half a second.
 *  - fork() is supported at any instant in any thread, and the child may allocate at once. The blocks that the
 *    other threads of the parent held in their caches are lost to the child (at most some 100 KiB a thread).
 *  - Not async-signal-safe, as malloc is not.
 *
 * Thread safety: every function may be called by any thread at any time, a block may be freed by a thread other
 * than the one that allocated it. Cost: a hit in the thread's cache takes some 20 instructions and no atomic
 * operation; a miss moves up to 64 blocks at once under a lock of the block's size class.
 *
 * Sizes are in bytes. Blocks are aligned to 16 bytes. Requests above PTRDIFF_MAX fail with ENOMEM.
 */
#ifndef EBB_MALLOC_H
#define EBB_MALLOC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define EBB_API          __attribute__((visibility("default")))
#define EBB_ALLOCS(args) __attribute__((malloc, alloc_size args))
#else
#define EBB_API
#define EBB_ALLOCS(args)
#endif

/* Version of the library at run time, "MAJOR.MINOR.PATCH". Never freed. */
EBB_API const char *ebb_version(void);

/* A block of at least `size_bytes`, or NULL with errno ENOMEM. Size 0 gives a unique block.
 * The content is undefined. */
EBB_API void *ebb_malloc(size_t size_bytes) EBB_ALLOCS((1));

/* A block for `count` elements of `size_bytes` each, zeroed; NULL with ENOMEM, also when the product overflows.
 * Memory that the kernel has just zeroed is not zeroed again. */
EBB_API void *ebb_calloc(size_t count, size_t size_bytes) EBB_ALLOCS((1, 2));

/* The block resized to `size_bytes`; its content is kept up to the smaller of both sizes. In place when the size
 * class stays, when a large block shrinks, or when the units behind a large block are free; otherwise
 * moved. Blocks that grow beyond 32 MiB may get a mapping of their own, so that they grow by mremap without
 * copying. NULL with ENOMEM leaves the old block as it was. ebb_realloc(NULL, n) allocates.
 * ebb_realloc(p, 0) frees p and returns NULL, as glibc does. */
EBB_API void *ebb_realloc(void *block, size_t size_bytes) __attribute__((alloc_size(2)));

/* The same for count elements; NULL with ENOMEM when the product overflows. */
EBB_API void *ebb_reallocarray(void *block, size_t count, size_t size_bytes)
    __attribute__((alloc_size(2, 3)));

/* Gives a block back. NULL is allowed. Keeps errno. */
EBB_API void ebb_free(void *block);

/* As ebb_free(), with the size (and alignment) the block was asked for; a hint that is checked only with
 * EBB_MALLOC=check:1, where a wrong one aborts. */
EBB_API void ebb_free_sized(void *block, size_t size_bytes);
EBB_API void ebb_free_aligned_sized(void *block, size_t alignment_bytes, size_t size_bytes);

/* A block whose address is a multiple of `alignment_bytes`, a power of two; NULL with EINVAL when it is not,
 * with ENOMEM otherwise. `size_bytes` need not be a multiple of the alignment. */
EBB_API void *ebb_aligned_alloc(size_t alignment_bytes, size_t size_bytes)
    __attribute__((malloc, alloc_align(1), alloc_size(2)));

/* The bytes that the block can hold, at least what was asked for; 0 for NULL. */
EBB_API size_t ebb_usable_size(const void *block);

/* Gives free memory back to the kernel now: what all threads cache that are not in the middle of an allocation, the shared
 * depot, all OS pages without a living byte in the middle of slabs, and all free units that fill whole OS pages, except
 * `keep_bytes` of these. Returns 1 when anything was given back, else 0. Cost: some 0.1 ms for each MiB. */
EBB_API int ebb_trim(size_t keep_bytes);

/* Empties the calling thread's cache into the shared heap: for a thread that will sleep long.
 * Costs a few microseconds; the next allocation refills. */
EBB_API void ebb_thread_flush(void);

/* What the heap holds, in bytes unless said otherwise. Filled by ebb_stats_get(). Grows at its end in later
 * versions: set size_of_struct = sizeof(struct ebb_stats) before the call. */
struct ebb_stats {
    size_t size_of_struct;
    size_t live_bytes;      /* in blocks that the program holds, as whole size classes */
    size_t live_blocks;     /* their number */
    size_t cached_bytes;    /* in free blocks that threads and the depot cache */
    size_t backed_bytes;    /* in units that may hold physical memory, metadata excluded */
    size_t dirty_bytes;     /* of those, free: what could be given back */
    size_t committed_bytes; /* readable and writable address space, metadata included */
    size_t reserved_bytes;  /* address space taken */
    size_t lane_bytes;      /* in blocks with a mapping of their own */
    size_t mappings;        /* mappings made by the heap; a count */
};

/* Fills *ret_stats. 0, or -EINVAL when size_of_struct is unknown. Exact when no other thread allocates meanwhile;
 * else each figure is right to within what is in flight. Walks the heap: milliseconds for gigabytes. */
EBB_API int ebb_stats_get(struct ebb_stats *ret_stats);

/* Walks the whole heap and checks every invariant. 0, or -EUCLEAN after one line on standard error that names the
 * broken one. Stops nobody: call it when no other thread allocates. */
EBB_API int ebb_check(void);

/* The value in effect of an option (see ebb-malloc(7)), or -ENOENT. */
EBB_API long ebb_option_get(const char *name);

/* Rises when the heap hands blocks to a thread. Not a count of calls: most calls are served by the thread's cache and
 * count nowhere. `ebb run` reads it from outside to prove that the allocator serves. */
EBB_API extern uint64_t ebb_alloc_counter;

/* The library exports one more object, `ebb_stats_page`: what the heap holds and counts, for `ebb heap`, which reads it from
 * outside. Its layout says itself where everything is; a program uses ebb_stats_get() instead. */

#ifdef __cplusplus
}
#endif
#endif
