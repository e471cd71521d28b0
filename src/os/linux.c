/* SPDX-License-Identifier: MIT
 * The contract of os.h on Linux, by raw system calls: errno is kept, interposed mmap or read are not met. Here: address
 * space, limits, the clock. linux_purge.c has the pages, linux_thread.c the threads. */
#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#include "base/syscall.h"
#include "os/linux_priv.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

/* Linux' own default of vm.max_map_count. */
#define DEFAULT_MAX_MAP_COUNT 65530

static int map(void *addr, size_t bytes, int prot, int flags, void **ret_addr)
{
    long rc = ebb__syscall(SYS_mmap, (long)addr, (long)bytes, prot,
                           flags | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (rc < 0 && rc > -4096)
        return (int)rc;
    *ret_addr = (void *)rc; // NOLINT(performance-no-int-to-ptr): that is what mmap returns
    return 0;
}

static void unmap(void *addr, size_t bytes)
{
    (void)ebb__syscall(SYS_munmap, (long)addr, (long)bytes, 0, 0, 0, 0);
}

size_t ebb__os_page_bytes(void)
{
    static _Atomic size_t known; /* every thread stores the same value */
    size_t bytes = atomic_load_explicit(&known, memory_order_relaxed);
    if (bytes == 0) {
        bytes = (size_t)getauxval(AT_PAGESZ);
        atomic_store_explicit(&known, bytes, memory_order_relaxed);
    }
    return bytes;
}

static size_t rlimit_bytes(int which)
{
    struct rlimit64 {
        uint64_t cur, max;
    } limit;
    long rc = ebb__syscall(SYS_prlimit64, 0, which, 0, (long)&limit, 0, 0);
    return rc != 0 || limit.cur == ~UINT64_C(0) ? SIZE_MAX : (size_t)limit.cur;
}

void ebb__os_limits(struct ebb_os_limits *ret_limits)
{
    struct sysinfo info;
    long rc = ebb__syscall(SYS_sysinfo, (long)&info, 0, 0, 0, 0, 0);
    ret_limits->ram_bytes = rc == 0 ? info.totalram * info.mem_unit : 0;
    ret_limits->as_bytes = rlimit_bytes(RLIMIT_AS);
    ret_limits->memlock_bytes = rlimit_bytes(RLIMIT_MEMLOCK);
}

size_t ebb__os_read_file(const char *path, char *ret_text, size_t bytes)
{
    long fd = ebb__syscall(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
    if (fd < 0)
        return 0;
    long len = ebb__syscall(SYS_read, fd, (long)ret_text, (long)bytes - 1, 0, 0, 0);
    (void)ebb__syscall(SYS_close, fd, 0, 0, 0, 0, 0);
    if (len <= 0)
        return 0;
    ret_text[len] = '\0';
    return (size_t)len;
}

size_t ebb__os_max_map_count(void)
{
    char text[24];
    size_t value = 0, len = ebb__os_read_file("/proc/sys/vm/max_map_count", text, sizeof(text));
    for (size_t i = 0; i < len && text[i] >= '0' && text[i] <= '9'; i++)
        value = value * 10 + (size_t)(text[i] - '0');
    return value != 0 ? value : DEFAULT_MAX_MAP_COUNT;
}

/* The kernel places mappings downwards, so the aligned address below a fresh mapping is nearly always free:
 * asking for it costs no extra address space, which matters under RLIMIT_AS. Over-allocating and trimming is
 * the last resort. */
static int map_aligned(size_t bytes, size_t align, int prot, void **ret_addr)
{
    void *addr;
    int rc = map(NULL, bytes, prot, 0, &addr);
    if (rc != 0)
        return rc;
    if (((uintptr_t)addr & (align - 1)) == 0) {
        *ret_addr = addr;
        return 0;
    }
    uintptr_t wish = ebb__align_down((uintptr_t)addr, align);
    unmap(addr, bytes);
    for (int attempt = 0; attempt < 8 && wish > align; attempt++, wish -= align) {
        if (map((void *)wish, bytes, prot, MAP_FIXED_NOREPLACE, &addr) != 0)
            continue;
        if (addr == (void *)wish) {
            *ret_addr = addr;
            return 0;
        }
        unmap(addr, bytes); /* a kernel before 4.17 took the address as a hint */
    }
    if (bytes + align < bytes)
        return -ENOMEM;
    rc = map(NULL, bytes + align, prot, 0, &addr);
    if (rc != 0)
        return rc;
    uintptr_t start = ebb__align_up((uintptr_t)addr, align);
    if (start != (uintptr_t)addr)
        unmap(addr, start - (uintptr_t)addr);
    unmap((void *)(start + bytes), (uintptr_t)addr + align - start);
    *ret_addr = (void *)start;
    return 0;
}

int ebb__os_reserve(size_t bytes, size_t align, void **ret_base)
{
    return map_aligned(bytes, align, PROT_NONE, ret_base);
}

int ebb__os_reserve_at(void *addr, size_t bytes)
{
    void *got;
    int rc = map(addr, bytes, PROT_NONE, MAP_FIXED_NOREPLACE, &got);
    if (rc != 0)
        return rc;
    if (got == addr)
        return 0;
    unmap(got, bytes);
    return -EEXIST;
}

void ebb__os_unreserve(void *addr, size_t bytes)
{
    unmap(addr, bytes);
}

int ebb__os_commit(void *addr, size_t bytes)
{
    return (int)ebb__syscall(SYS_mprotect, (long)addr, (long)bytes, PROT_READ | PROT_WRITE, 0, 0, 0);
}

int ebb__os_map(size_t bytes, size_t align, void **ret_addr)
{
    return map_aligned(bytes, align, PROT_READ | PROT_WRITE, ret_addr);
}

void ebb__os_unmap(void *addr, size_t bytes)
{
    unmap(addr, bytes);
}

int ebb__os_remap(void *addr, size_t old_bytes, size_t new_bytes, void **ret_addr)
{
    long rc = ebb__syscall(SYS_mremap, (long)addr, (long)old_bytes, (long)new_bytes, MREMAP_MAYMOVE, 0, 0);
    if (rc < 0 && rc > -4096)
        return (int)rc;
    *ret_addr = (void *)rc; // NOLINT(performance-no-int-to-ptr): that is what mremap returns
    return 0;
}

uint64_t ebb__os_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now); /* vDSO: cannot fail, keeps errno */
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t ebb__os_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint32_t ebb__os_pid(void)
{
    return (uint32_t)ebb__syscall(SYS_getpid, 0, 0, 0, 0, 0, 0);
}

const char *ebb__os_env(const char *name)
{
    size_t len = strlen(name);
    if (environ == NULL || getauxval(AT_SECURE) != 0)
        return NULL;
    for (char **e = environ; *e != NULL; e++)
        if (strncmp(*e, name, len) == 0 && (*e)[len] == '=')
            return *e + len + 1;
    return NULL;
}
