/* SPDX-License-Identifier: MIT
 *
 * Shared memory of the fake kernel: real memory files, with each call failing on demand.
 */
#include "os/fake_priv.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The first that is mapped; a process has no more than some. */
#define SHARED_MAX 8u

static struct {
    char *addr;
    size_t bytes;
} shared[SHARED_MAX];

void ebb_fake_shared_reset(void)
{
    for (unsigned i = 0; i < SHARED_MAX; i++)
        if (shared[i].addr != NULL)
            ebb__os_unmap_shared(shared[i].addr, shared[i].bytes);
}

static unsigned find(const void *addr, size_t bytes)
{
    unsigned i = 0;
    while (i < SHARED_MAX && !(shared[i].addr != NULL && (const char *)addr >= shared[i].addr &&
                               (const char *)addr + bytes <= shared[i].addr + shared[i].bytes))
        i++;
    return i;
}

int ebb__os_map_shared(const char *path, size_t most_bytes, void **ret_addr, size_t *ret_bytes)
{
    struct stat st;
    unsigned free_row = 0;
    REQUIRE(most_bytes >= 1);
    if (ebb_fake_must_fail())
        return -EACCES;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    int seals = fcntl(fd, F_GET_SEALS), rc = 0;
    void *addr = MAP_FAILED;
    if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || fstat(fd, &st) != 0 || st.st_size <= 0)
        rc = -EINVAL;
    else if ((uint64_t)st.st_size > most_bytes)
        rc = -EFBIG;
    else if ((addr = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)) == MAP_FAILED)
        rc = -errno;
    (void)close(fd);
    if (rc != 0)
        return rc;
    while (free_row < SHARED_MAX && shared[free_row].addr != NULL)
        free_row++;
    REQUIRE(free_row < SHARED_MAX);
    shared[free_row].addr = addr;
    shared[free_row].bytes = (size_t)st.st_size;
    *ret_addr = addr;
    *ret_bytes = (size_t)st.st_size;
    return 0;
}

void ebb__os_unmap_shared(void *addr, size_t bytes)
{
    unsigned i = find(addr, bytes);
    REQUIRE(i < SHARED_MAX && shared[i].addr == addr && shared[i].bytes == bytes);
    (void)munmap(addr, bytes);
    shared[i].addr = NULL;
}

int ebb__os_touch(void *addr, size_t bytes)
{
    REQUIRE(find(addr, bytes) < SHARED_MAX);
    return ebb_fake_must_fail() ? -EFAULT : 0;
}
