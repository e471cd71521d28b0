/* SPDX-License-Identifier: MIT
 *
 * Which allocator the stress programs call: the malloc family, to be preloaded, or with -DSTRESS_EBB_API=1
 * the functions of <ebb/malloc.h>, so that the same sources run under sanitizers, which keep malloc for
 * themselves.
 */
#ifndef STRESS_NAMES_H
#define STRESS_NAMES_H

#include <malloc.h>
#include <stdlib.h>

#ifndef STRESS_EBB_API
#define STRESS_EBB_API 0
#endif

#if STRESS_EBB_API
#include <ebb/malloc.h>
#define st_malloc(size)               ebb_malloc(size)
#define st_calloc(count, size)        ebb_calloc(count, size)
#define st_realloc(block, size)       ebb_realloc(block, size)
#define st_free(block)                ebb_free(block)
#define st_aligned_alloc(align, size) ebb_aligned_alloc(align, size)
#define st_usable_size(block)         ebb_usable_size(block)
#define st_trim()                     ((void)ebb_trim(0))
#else
#define st_malloc(size)               malloc(size)
#define st_calloc(count, size)        calloc(count, size)
#define st_realloc(block, size)       realloc(block, size)
#define st_free(block)                free(block)
#define st_aligned_alloc(align, size) aligned_alloc(align, size)
#define st_usable_size(block)         malloc_usable_size(block)
#define st_trim()                     ((void)malloc_trim(0))
#endif

#endif
