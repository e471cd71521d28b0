/* SPDX-License-Identifier: MIT
 *
 * Where a data symbol of a mapped file lies in the memory of a process; see locate.h.
 */
#include "tool/locate.h"

#include <errno.h>
#include <unistd.h>

#include "tool/scope.h"

static bool find_symbol(const struct ebb_locate *locate, struct ebb_elf *elf, uint64_t *ret_value)
{
    struct ebb_elf_symbol symbol;

    if (ebb__elf_symbol_find(elf, EBB_ELF_DYNAMIC, locate->symbol, &symbol) == 0 && symbol.exported) {
        *ret_value = symbol.value;
        return true;
    }
    if (locate->static_too && ebb__elf_symbol_find(elf, EBB_ELF_STATIC, locate->symbol, &symbol) == 0 &&
        symbol.defined) {
        *ret_value = symbol.value;
        return true;
    }
    return false;
}

static bool locate_in(const struct ebb_locate *locate, const struct ebb_map *map)
{
    struct ebb_elf elf;
    uint64_t value;
    uint64_t bias;
    bool found = false;
    bool done;
    int fd = ebb__scope_open_mapped(locate->pid, map);

    if (fd < 0)
        return false;
    if (ebb__elf_open(&elf, fd) == 0) {
        found =
            find_symbol(locate, &elf, &value) &&
            ebb__elf_bias(&elf, map->start, map->offset_bytes, (uint64_t)sysconf(_SC_PAGESIZE), &bias) == 0;
        ebb__elf_close(&elf);
    }
    done = found && locate->found(locate->context, map, fd, bias + value);
    close(fd);
    return done;
}

int ebb__locate(const struct ebb_locate *locate)
{
    struct ebb_maps maps;
    struct ebb_map map;
    bool any = false;
    int got = ebb__maps_open(&maps, "", locate->pid);

    if (got != 0)
        return got;
    while ((got = ebb__maps_next(&maps, &map)) > 0) {
        any = true;
        /* The private mapping of a file's beginning is where a loaded object begins. */
        if (map.inode == 0 || map.offset_bytes != 0 || map.shared || !map.readable || map.name_len == 0)
            continue;
        if (locate->only_inode != 0 && map.inode != locate->only_inode)
            continue;
        if (locate_in(locate, &map))
            break;
    }
    ebb__maps_close(&maps);
    if (got < 0)
        return got;
    return got > 0 ? 1 : any ? 0 : -ESRCH;
}
