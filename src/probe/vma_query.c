/* SPDX-License-Identifier: MIT
 *
 * The mappings of a process as structs from the kernel; see vma_query.h.
 */
#include "probe/vma_query.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* The kernel's interface, as include/uapi/linux/fs.h documents it; headers before 6.11 lack it. The size in the struct tells the kernel
 * which version of it we know. */
struct procmap_query_v1 {
    uint64_t size;
    uint64_t query_flags;
    uint64_t query_addr;
    uint64_t vma_start;
    uint64_t vma_end;
    uint64_t vma_flags;
    uint64_t vma_page_size;
    uint64_t vma_offset;
    uint64_t inode;
    uint32_t dev_major;
    uint32_t dev_minor;
    uint32_t vma_name_size; /* in: room; out: bytes with the NUL, 0 without a name */
    uint32_t build_id_size;
    uint64_t vma_name_addr;
    uint64_t build_id_addr;
};

_Static_assert(sizeof(struct procmap_query_v1) == 104, "as the kernel has it");

#define QUERY_REQUEST _IOWR('f', 17, struct procmap_query_v1)

enum {
    QUERY_READABLE = 0x01,
    QUERY_WRITABLE = 0x02,
    QUERY_EXECUTABLE = 0x04,
    QUERY_SHARED = 0x08,
    QUERY_COVERING_OR_NEXT = 0x10,
};

static int ask(struct ebb_vma_query *query, struct procmap_query_v1 *ret_answer)
{
    struct procmap_query_v1 q = {
        .size = sizeof(q),
        .query_flags = QUERY_COVERING_OR_NEXT,
        .query_addr = query->at,
        .vma_name_size = sizeof(query->name),
        .vma_name_addr = (uintptr_t)query->name,
    };

    while (ioctl(query->fd, QUERY_REQUEST, &q) != 0) {
        if (errno == EINTR)
            continue;
        if (errno != ENAMETOOLONG || q.vma_name_size == 0)
            return -errno;
        /* A path that is too long for any path: go on without it. */
        q.vma_name_size = 0;
        q.vma_name_addr = 0;
    }
    *ret_answer = q;
    return 0;
}

int ebb__vma_query_open(struct ebb_vma_query *query, const char *root, pid_t pid, bool text_only)
{
    struct procmap_query_v1 q;
    int err = ebb__maps_open(&query->maps, root, pid);

    if (err != 0)
        return err;
    query->fd = query->maps.owned_fd;
    query->at = 0;
    query->page_bytes = 0;
    /* A file of a captured tree, an old kernel and a sandbox refuse in different ways; only an answer counts. -ENOENT is one: there are no
     * mappings. */
    err = text_only ? -ENOTTY : ask(query, &q);
    query->queries = err == 0 || err == -ENOENT;
    return 0;
}

void ebb__vma_query_close(struct ebb_vma_query *query)
{
    ebb__maps_close(&query->maps);
}

static void take_name(const struct ebb_vma_query *query, const struct procmap_query_v1 *q,
                      struct ebb_map *map)
{
    static const char DELETED[] = " (deleted)";
    size_t suffix_len = sizeof(DELETED) - 1;

    map->name = query->name;
    map->name_len = q->vma_name_size == 0 ? 0 : q->vma_name_size - 1;
    if (map->name_len > suffix_len && map->name[0] == '/' &&
        memcmp(map->name + map->name_len - suffix_len, DELETED, suffix_len) == 0) {
        map->name_len -= suffix_len;
        map->deleted = true;
    }
}

int ebb__vma_query_next(struct ebb_vma_query *query, struct ebb_map *ret_map)
{
    struct procmap_query_v1 q;
    int err;

    if (!query->queries)
        return ebb__maps_next(&query->maps, ret_map);
    err = ask(query, &q);
    /* Behind the last mapping, and when the process has ended. */
    if (err == -ENOENT || err == -ESRCH)
        return 0;
    if (err != 0)
        return err;
    if (q.vma_end <= q.vma_start || q.vma_end <= query->at || q.vma_name_size > sizeof(query->name))
        return -EBADMSG;
    *ret_map = (struct ebb_map){
        .start = q.vma_start,
        .end = q.vma_end,
        .offset_bytes = q.vma_offset,
        .inode = q.inode,
        .dev_major = q.dev_major,
        .dev_minor = q.dev_minor,
        .readable = (q.vma_flags & QUERY_READABLE) != 0,
        .writable = (q.vma_flags & QUERY_WRITABLE) != 0,
        .executable = (q.vma_flags & QUERY_EXECUTABLE) != 0,
        .shared = (q.vma_flags & QUERY_SHARED) != 0,
    };
    take_name(query, &q, ret_map);
    query->page_bytes = q.vma_page_size;
    query->at = q.vma_end;
    return 1;
}

static bool is_named(const struct ebb_map *map, const char *name)
{
    return map->name_len == strlen(name) && memcmp(map->name, name, map->name_len) == 0;
}

bool ebb__map_is_gate(const struct ebb_map *map)
{
    return map->inode == 0 && (is_named(map, "[vsyscall]") || is_named(map, "[vectors]"));
}
