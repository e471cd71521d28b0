/* SPDX-License-Identifier: MIT
 *
 * Which library serves which function in a running process; see scope.h.
 *
 * The dynamic linker binds a function to the first object in its list that exports it. We read the list from
 * the process and the exports from the files that are mapped.
 */
#include "tool/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Objects of a process: servers have some 50, a desktop program some 300. */
#define OBJECTS_MAX 1024

/* Opens `path` when it is the file with that inode. The device is not compared: what maps shows and what
 * stat() returns differ on file systems such as btrfs and overlayfs. */
static int open_same(const char *path, uint64_t inode)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_ino != inode) {
        close(fd);
        return -ESTALE;
    }
    return fd;
}

int ebb__scope_open_mapped(pid_t pid, const struct ebb_map *map)
{
    char name[PATH_MAX];
    char path[PATH_MAX + 64];
    int fd = -ESTALE;

    if (ebb__maps_name_decode(map, name, sizeof(name)) == 0 && name[0] == '/') {
        /* The process may live in another mount namespace: its own view of the path comes first. */
        snprintf(path, sizeof(path), "/proc/%d/root%s", (int)pid, name);
        fd = open_same(path, map->inode);
        if (fd < 0)
            fd = open_same(name, map->inode);
    }
    if (fd < 0) {
        /* Reaches removed files as well, but needs a capability. */
        snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", (int)pid, (unsigned long long)map->start,
                 (unsigned long long)map->end);
        fd = open_same(path, map->inode);
    }
    return fd;
}

static bool holds(const struct ebb_map *map, uint64_t address)
{
    return address >= map->start && address < map->end;
}

/* Finds the mapping of each object. */
static int find_mappings(struct ebb_scope *scope)
{
    struct ebb_maps maps;
    struct ebb_map map;
    size_t missing = scope->count;
    int got = ebb__maps_open(&maps, "", scope->pid);

    if (got != 0)
        return got;
    while (missing != 0 && (got = ebb__maps_next(&maps, &map)) > 0) {
        for (size_t i = 0; i < scope->count; i++) {
            struct ebb_scope_object *object = &scope->objects[i];

            if (object->map.end != 0 || !holds(&map, object->dynamic_addr))
                continue;
            object->map = map;
            if (map.inode != 0)
                object->name = strndup(map.name, map.name_len);
            missing--;
        }
    }
    ebb__maps_close(&maps);
    return got < 0 ? got : 0;
}

int ebb__scope_read(pid_t pid, struct ebb_scope *ret_scope)
{
    struct ebb_scope scope = {.pid = pid};
    struct ebb_linkmap_object *list;
    struct ebb_auxv auxv;
    int err = ebb__auxv_read("", pid, sizeof(void *), &auxv);

    if (err != 0)
        return err;
    list = calloc(OBJECTS_MAX, sizeof(*list));
    scope.objects = calloc(OBJECTS_MAX, sizeof(*scope.objects));
    if (list == NULL || scope.objects == NULL)
        err = -ENOMEM;
    if (err == 0)
        err = ebb__linkmap_read(ebb__peek_process, &pid, &auxv, list, OBJECTS_MAX, &scope.count);
    for (size_t i = 0; err == 0 && i < scope.count; i++)
        scope.objects[i].dynamic_addr = list[i].dynamic_addr;
    if (err == 0)
        err = find_mappings(&scope);
    free(list);
    if (err != 0) {
        ebb__scope_fini(&scope);
        return err;
    }
    *ret_scope = scope;
    return 0;
}

void ebb__scope_fini(struct ebb_scope *scope)
{
    for (size_t i = 0; scope->objects != NULL && i < scope->count; i++)
        free(scope->objects[i].name);
    free(scope->objects);
    scope->objects = NULL;
    scope->count = 0;
}

struct search {
    const bool *wanted;
    int *owners;
    int object;
};

static bool take_owner(void *context, const char *name, const struct ebb_elf_symbol *symbol)
{
    struct search *search = context;
    int row = symbol->exported ? ebb__alloc_symbol_row(name) : -1;

    if (row >= 0 && search->wanted[row] && search->owners[row] < 0)
        search->owners[row] = search->object;
    return true;
}

static bool all_found(const struct search *search)
{
    for (unsigned i = 0; i < ebb__alloc_symbol_count; i++)
        if (search->wanted[i] && search->owners[i] < 0)
            return false;
    return true;
}

int ebb__scope_owners(const struct ebb_scope *scope, const bool wanted[EBB_ALLOC_SYMBOLS_MAX],
                      int ret_owners[EBB_ALLOC_SYMBOLS_MAX])
{
    struct search search = {.wanted = wanted, .owners = ret_owners};

    for (unsigned i = 0; i < EBB_ALLOC_SYMBOLS_MAX; i++)
        ret_owners[i] = -1;
    for (size_t i = 0; i < scope->count && !all_found(&search); i++) {
        struct ebb_map map = scope->objects[i].map;
        struct ebb_elf elf;
        int fd;
        int err;

        if (scope->objects[i].name == NULL)
            continue;
        map.name = scope->objects[i].name;
        map.name_len = strlen(map.name);
        fd = i == 0 ? ebb__proc_open("", scope->pid, "exe") : ebb__scope_open_mapped(scope->pid, &map);
        if (fd < 0)
            return fd;
        search.object = (int)i;
        err = ebb__elf_open(&elf, fd);
        if (err == 0) {
            err = ebb__elf_symbols_each(&elf, EBB_ELF_DYNAMIC, take_owner, &search);
            ebb__elf_close(&elf);
        }
        close(fd);
        if (err != 0)
            return err;
    }
    return 0;
}
