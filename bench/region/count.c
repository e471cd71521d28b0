/* SPDX-License-Identifier: MIT
 *
 * Preloaded: counts what a program and its libraries ask of malloc and its kin, and of mmap, from which Debian's APR has its
 * memory; writes the number into the file that BENCH_COUNT names when the program ends. What the C library maps for itself does
 * not come by here.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *block, size_t bytes);

static unsigned long asked;

__attribute__((visibility("default"))) void *malloc(size_t bytes)
{
    __atomic_fetch_add(&asked, 1, __ATOMIC_RELAXED);
    return __libc_malloc(bytes);
}

__attribute__((visibility("default"))) void *calloc(size_t count, size_t bytes)
{
    __atomic_fetch_add(&asked, 1, __ATOMIC_RELAXED);
    return __libc_calloc(count, bytes);
}

__attribute__((visibility("default"))) void *realloc(void *block, size_t bytes)
{
    __atomic_fetch_add(&asked, 1, __ATOMIC_RELAXED);
    return __libc_realloc(block, bytes);
}

/* By its label: the headers may give the name mmap to mmap64. */
__attribute__((visibility("default"))) void *counted_mmap(void *address, size_t bytes, int protection,
                                                          int flags, int fd, off_t offset) __asm__("mmap");

void *counted_mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    __atomic_fetch_add(&asked, 1, __ATOMIC_RELAXED);
    return (void *)syscall(SYS_mmap, address, bytes, protection, flags, fd, offset);
}

__attribute__((destructor)) static void write_count(void)
{
    const char *path = getenv("BENCH_COUNT");
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
    if (fd < 0)
        return;
    char text[32];
    int length = snprintf(text, sizeof(text), "%lu\n", asked);
    if (write(fd, text, (size_t)length) != length)
        _exit(1);
    close(fd);
}
