/* SPDX-License-Identifier: MIT
 *
 * Which version of an allocator a process has mapped; see alloc_version.h.
 *
 * What is looked at are pages that the process has mapped for reading alone, as it sees them: its file may have been replaced since, or lie
 * in another mount namespace. A program's constants come in pieces, and no more than a bound: a mapping may be any size.
 */
#include "tool/alloc_version.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "probe/probe.h"
#include "tool/scope.h"

#define PIECE_BYTES ((size_t)1 << 20)
#define ALL_BYTES   ((uint64_t)64 << 20)
#define CODE_BYTES  16

static const struct form {
    const char *allocator;
    const char *file; /* how its library is called */
    enum ebb_alloc_version_form form;
    const char *function; /* that returns the version instead; NULL */
} FORMS[] = {
    {"jemalloc", "libjemalloc", EBB_ALLOC_VERSION_JEMALLOC, NULL},
    {"tcmalloc", "libtcmalloc", EBB_ALLOC_VERSION_GPERFTOOLS, NULL},
    {"mimalloc", "libmimalloc", EBB_ALLOC_VERSION_JEMALLOC, "mi_version"},
};

static const struct form *form_of(const char *allocator)
{
    for (size_t i = 0; i < sizeof(FORMS) / sizeof(FORMS[0]); i++)
        if (strcmp(FORMS[i].allocator, allocator) == 0)
            return &FORMS[i];
    return NULL;
}

bool ebb__alloc_version_knows(const char *allocator)
{
    return form_of(allocator) != NULL;
}

/* What is being looked for, and where. */
struct search {
    pid_t pid;
    const struct form *form;
    char program[PATH_MAX]; /* "" in its library */
    uint64_t left;          /* bytes that may still be looked at */
    char *piece;
    char *version;
};

/* Goes through a mapping; pieces overlap, so that no version lies across two. */
static bool search_text(struct search *search, const struct ebb_map *map)
{
    uint64_t at = map->start;

    while (at < map->end && search->left > 0) {
        size_t len = map->end - at < PIECE_BYTES ? (size_t)(map->end - at) : PIECE_BYTES;

        if (ebb__peek(search->pid, at, search->piece, len) != 0)
            return false;
        if (ebb__alloc_version_find(search->form->form, search->piece, len, search->version))
            return true;
        search->left -= len < search->left ? len : search->left;
        at += len > EBB_ALLOC_VERSION_OVERLAP && at + len < map->end ? len - EBB_ALLOC_VERSION_OVERLAP : len;
    }
    return false;
}

/* Where the function lies, by the symbols of the mapped file. */
static bool find_function(struct search *search, const struct ebb_map *map, uint64_t *ret_address)
{
    struct ebb_elf elf;
    struct ebb_elf_symbol symbol;
    uint64_t bias;
    bool found = false;
    int fd = ebb__scope_open_mapped(search->pid, map);

    if (fd < 0)
        return false;
    if (ebb__elf_open(&elf, fd) == 0) {
        found =
            ebb__elf_bias(&elf, map->start, map->offset_bytes, (uint64_t)sysconf(_SC_PAGESIZE), &bias) == 0 &&
            ebb__elf_symbol_find(&elf, EBB_ELF_DYNAMIC, search->form->function, &symbol) == 0 &&
            symbol.defined;
        if (found)
            *ret_address = bias + symbol.value;
        ebb__elf_close(&elf);
    }
    close(fd);
    return found;
}

static bool search_code(struct search *search, const struct ebb_map *map)
{
    unsigned char code[CODE_BYTES];
    uint64_t address;
    uint32_t number;

    if (map->offset_bytes != 0 || !find_function(search, map, &address) ||
        ebb__peek(search->pid, address, code, sizeof(code)) != 0 ||
        !ebb__alloc_version_code(code, sizeof(code), &number))
        return false;
    ebb__alloc_version_mimalloc(number, search->version);
    return true;
}

static bool is_wanted(const struct search *search, const struct ebb_map *map)
{
    size_t len = strlen(search->program[0] == '\0' ? search->form->file : search->program);
    const char *slash = map->name_len == 0 ? NULL : memrchr(map->name, '/', map->name_len);

    if (slash == NULL || !map->readable || map->writable || map->inode == 0)
        return false;
    if (search->program[0] != '\0')
        return map->name_len == len && memcmp(map->name, search->program, len) == 0;
    return (size_t)(map->name + map->name_len - slash - 1) >= len &&
           memcmp(slash + 1, search->form->file, len) == 0;
}

/* 1 when found, 0 when not, or -errno. `ret_mapped`: such a file is mapped at all. */
static int search_maps(struct search *search, bool *ret_mapped)
{
    static struct ebb_vma_query query;
    struct ebb_map map;
    int got = ebb__vma_query_open(&query, "", search->pid, false);
    bool found = false;

    *ret_mapped = false;
    if (got != 0)
        return got;
    while (!found && ((got = ebb__vma_query_next(&query, &map)) > 0 || got == -EBADMSG || got == -EMSGSIZE)) {
        if (got < 0 || !is_wanted(search, &map))
            continue;
        *ret_mapped = true;
        found = search->form->function != NULL ? search_code(search, &map) : search_text(search, &map);
    }
    ebb__vma_query_close(&query);
    return found ? 1 : got < 0 ? got : 0;
}

/* The program's name as maps has it: what the link says, without the mark of a file that was removed. */
static bool name_program(struct search *search)
{
    static const char DELETED[] = " (deleted)";
    char path[64];
    ssize_t len;
    size_t mark = sizeof(DELETED) - 1;

    snprintf(path, sizeof(path), "/proc/%d/exe", (int)search->pid);
    len = readlink(path, search->program, sizeof(search->program) - 1);
    if (len <= 0)
        return false;
    search->program[len] = '\0';
    if ((size_t)len > mark && strcmp(search->program + len - mark, DELETED) == 0)
        search->program[(size_t)len - mark] = '\0';
    return true;
}

int ebb__alloc_version_read(pid_t pid, const char *allocator, char ret_version[EBB_ALLOC_VERSION_BYTES])
{
    static struct search search;
    bool mapped = false;
    int got;

    search =
        (struct search){.pid = pid, .form = form_of(allocator), .left = ALL_BYTES, .version = ret_version};
    if (search.form == NULL)
        return -EOPNOTSUPP;
    search.piece = malloc(PIECE_BYTES);
    if (search.piece == NULL)
        return -ENOMEM;
    got = search_maps(&search, &mapped);
    /* Of a program, only the text tells. */
    if (got == 0 && !mapped && search.form->function == NULL && name_program(&search))
        got = search_maps(&search, &mapped);
    free(search.piece);
    return got > 0 ? 0 : got == 0 ? -ENOENT : got;
}
