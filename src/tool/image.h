/* SPDX-License-Identifier: MIT
 *
 * What a program file says about whether a preloaded malloc can serve it.
 */
#ifndef EBB_TOOL_IMAGE_H
#define EBB_TOOL_IMAGE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

enum ebb_alloc_kind { EBB_ALLOC_BLOCK, EBB_ALLOC_ABOUT, EBB_ALLOC_PRIVATE };

struct ebb_alloc_symbol {
    const char *name;
    enum ebb_alloc_kind kind;
};

/* The rows of alloc_symbols.def; "malloc" is the first. */
enum { EBB_ALLOC_SYMBOLS_MAX = 64 };
extern const struct ebb_alloc_symbol ebb__alloc_symbols[];
extern const unsigned ebb__alloc_symbol_count;

/* The row of that name, or -1. */
int ebb__alloc_symbol_row(const char *name);

struct ebb_image {
    char path[PATH_MAX];    /* the file that is executed in the end */
    bool by_script;         /* reached through the first line of a script */
    bool is_elf;            /* the facts below hold */
    unsigned bits;          /* 32 or 64 */
    unsigned machine;       /* EM_... */
    bool is_static;         /* no dynamic linker */
    bool is_musl;           /* musl's dynamic linker */
    bool raises_privileges; /* executing it gives the caller another user, group or capabilities */
    const char *sanitizer;  /* its name, or NULL */
    bool exports_malloc;    /* its own malloc, for all its libraries too */
    bool hides_malloc;      /* a static copy for itself alone */
    bool imports_malloc;    /* calls functions of kind BLOCK that others define */
    bool imports[EBB_ALLOC_SYMBOLS_MAX]; /* rows of alloc_symbols.def that it wants from libraries */
    const char *private_name; /* another allocator's function that it defines or imports, or NULL */
    bool private_defined;     /* that one is inside the program */
};

/* Looks at the program file `path`; follows "#!" as the kernel does. 0, or -errno when it cannot be read. */
int ebb__image_inspect(const char *path, struct ebb_image *ret_image);

/* Looks at the program that process `pid` is running. */
int ebb__image_inspect_process(int pid, struct ebb_image *ret_image);

/* A library that would be preloaded. */
struct ebb_image_library {
    unsigned bits;
    unsigned machine;
};

/* What a library must be like to serve the processes that we can look at: like ourselves. */
extern const struct ebb_image_library ebb__image_our_kind;

/* True when something in the file keeps a library of that kind from serving the program; then *ret_why says
 * what, as a clause that begins with "it". */
bool ebb__image_obstacle(const struct ebb_image *image, const struct ebb_image_library *library,
                         char *ret_why, size_t why_bytes);

/* True when preloading would not only be useless, but keep the program from running. */
bool ebb__image_preload_breaks(const struct ebb_image *image);

#endif
