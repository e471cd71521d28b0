/* SPDX-License-Identifier: MIT
 *
 * Where a variable of the C library's own lies in a process, by the library's symbols or by the debug file with its build-id.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tool/heap_glibc.h"
#include "tool/scope.h"

/* What strip removed stands in a file of its own, where debuggers look for it. */
#define DEBUG_FOLDER "/usr/lib/debug/.build-id"

static bool symbol_in(struct ebb_elf *elf, const char *name, uint64_t *ret_value)
{
    struct ebb_elf_symbol symbol;

    if (ebb__elf_symbol_find(elf, EBB_ELF_STATIC, name, &symbol) != 0 || !symbol.defined)
        return false;
    *ret_value = symbol.value;
    return true;
}

static bool symbol_in_debug_file(const char *build_id, const char *name, uint64_t *ret_value)
{
    char path[sizeof(DEBUG_FOLDER) + EBB_GLIBC_BUILD_ID_BYTES + sizeof("//.debug")];
    struct ebb_elf elf;
    bool found = false;
    int fd;

    if (strlen(build_id) < 4)
        return false;
    snprintf(path, sizeof(path), DEBUG_FOLDER "/%.2s/%s.debug", build_id, build_id + 2);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return false;
    if (ebb__elf_open_debug(&elf, fd) == 0) {
        found = symbol_in(&elf, name, ret_value);
        ebb__elf_close(&elf);
    }
    close(fd);
    return found;
}

bool ebb__heap_symbol(pid_t pid, const struct ebb_map *map, const char *build_id, const char *name,
                      uint64_t *ret_address)
{
    struct ebb_elf elf;
    uint64_t value = 0;
    uint64_t bias = 0;
    bool found = false;
    int fd = ebb__scope_open_mapped(pid, map);

    if (fd < 0)
        return false;
    if (ebb__elf_open(&elf, fd) == 0) {
        found =
            ebb__elf_bias(&elf, map->start, map->offset_bytes, (uint64_t)sysconf(_SC_PAGESIZE), &bias) == 0 &&
            (symbol_in(&elf, name, &value) || symbol_in_debug_file(build_id, name, &value));
        ebb__elf_close(&elf);
    }
    close(fd);
    if (found)
        *ret_address = bias + value;
    return found;
}
