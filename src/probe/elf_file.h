/* SPDX-License-Identifier: MIT
 *
 * What an ELF file says about how it will be loaded and which symbols it offers and wants.
 *
 * Files are looked at as the dynamic linker does, through program headers and the dynamic section; section
 * headers are only a help and may be absent. A file may be hostile: libelf reads it without mapping it (so
 * that a file which shrinks meanwhile cannot raise SIGBUS), and every offset goes through libelf's own bounds
 * check. Any class, byte order and machine can be inspected.
 */
#ifndef EBB_PROBE_ELF_FILE_H
#define EBB_PROBE_ELF_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct Elf; /* libelf's handle */

struct ebb_elf {
    struct Elf *handle;
    uint64_t file_bytes;
    unsigned bits; /* 32 or 64 */
    bool big_endian;
    unsigned machine; /* EM_... */
    unsigned type;    /* ET_... */
    bool has_interp;  /* false: static, no dynamic linker will run */
    bool has_dynamic; /* has a dynamic section, so needed libraries and dynamic symbols can be asked for */
    char interp[256]; /* the dynamic linker's path; "" when absent or longer */
    uint64_t strtab;  /* what the dynamic section says, as addresses in the file's own numbering; 0: absent */
    uint64_t strtab_bytes;
    uint64_t symtab;
    uint64_t hash;
    uint64_t gnu_hash;
    uint64_t dynamic_offset; /* of the dynamic section in the file */
    uint64_t dynamic_bytes;
};

/* Inspects the file open at `fd`, which stays the caller's and must stay open until close.
 * 0, -ENOEXEC when it is no ELF file, -EBADMSG when it is damaged, or -errno. */
int ebb__elf_open(struct ebb_elf *ret_elf, int fd);

/* The same for a file that holds only what strip removed: it has EBB_ELF_STATIC alone, and its program headers lead nowhere. */
int ebb__elf_open_debug(struct ebb_elf *ret_elf, int fd);

/* The same for an image in memory, which is not changed but must be writable for libelf's sake. */
int ebb__elf_open_memory(struct ebb_elf *ret_elf, char *image, size_t len);

void ebb__elf_close(struct ebb_elf *elf);

/* Calls `fn` with the name of each library that the file needs, in order, until it returns false.
 * 0, -EBADMSG when the list is damaged. */
typedef bool (*ebb_elf_needed_fn)(void *context, const char *name);
int ebb__elf_needed_each(struct ebb_elf *elf, ebb_elf_needed_fn fn, void *context);

enum ebb_elf_table {
    EBB_ELF_DYNAMIC, /* what the dynamic linker sees */
    EBB_ELF_STATIC,  /* .symtab, which strip removes */
};

struct ebb_elf_symbol {
    uint64_t value; /* address in the file's own numbering */
    uint64_t size_bytes;
    bool defined;  /* false: wanted from elsewhere */
    bool exported; /* defined, global or weak, and visible to other objects */
    bool function; /* or indirect function; else data or unknown */
};

/* Calls `fn` with each named symbol of the table until it returns false. 0, also when there is no such table,
 * or -EBADMSG when it is damaged. */
typedef bool (*ebb_elf_symbol_fn)(void *context, const char *name, const struct ebb_elf_symbol *symbol);
int ebb__elf_symbols_each(struct ebb_elf *elf, enum ebb_elf_table table, ebb_elf_symbol_fn fn, void *context);

/* The first symbol of that name, one that is defined before one that is wanted. 0, -ENOENT, or -EBADMSG. */
int ebb__elf_symbol_find(struct ebb_elf *elf, enum ebb_elf_table table, const char *name,
                         struct ebb_elf_symbol *ret_symbol);

/* What must be added to the file's addresses in a process that has mapped `map_offset_bytes` of it at
 * `map_start`: 0, or -ENOENT when no loadable segment starts in that page. */
int ebb__elf_bias(struct ebb_elf *elf, uint64_t map_start, uint64_t map_offset_bytes, uint64_t page_bytes,
                  uint64_t *ret_bias);

#endif
