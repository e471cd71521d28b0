/* SPDX-License-Identifier: MIT
 *
 * What a program file says about whether a preloaded malloc can serve it; see image.h.
 */
#include "tool/image.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "probe/probe.h"

/* The kernel follows "#!" this often, and reads this much of the first line. */
#define SCRIPTS_MAX       5
#define SCRIPT_HEAD_BYTES 256

const struct ebb_alloc_symbol ebb__alloc_symbols[] = {
#define EBB_ALLOC_SYMBOL(name, kind) {name, EBB_ALLOC_##kind},
#include "tool/alloc_symbols.def"
#undef EBB_ALLOC_SYMBOL
};

const unsigned ebb__alloc_symbol_count = sizeof(ebb__alloc_symbols) / sizeof(ebb__alloc_symbols[0]);

_Static_assert(sizeof(ebb__alloc_symbols) / sizeof(ebb__alloc_symbols[0]) <= EBB_ALLOC_SYMBOLS_MAX,
               "tables indexed by row are large enough");

/* Runtimes that replace malloc themselves and check it: how they are called, the library that holds them (its
 * name begins so), and a function that is there when they are linked statically. */
static const struct {
    const char *name;
    const char *library;
    const char *clang_library;
    const char *function;
} SANITIZERS[] = {
    {"AddressSanitizer", "libasan.so", "libclang_rt.asan", "__asan_init"},
    {"HWAddressSanitizer", "libhwasan.so", "libclang_rt.hwasan", "__hwasan_init"},
    {"ThreadSanitizer", "libtsan.so", "libclang_rt.tsan", "__tsan_init"},
    {"MemorySanitizer", "libmsan.so", "libclang_rt.msan", "__msan_init"},
    {"LeakSanitizer", "liblsan.so", "libclang_rt.lsan", "__lsan_init"},
};

#define SANITIZER_COUNT (sizeof(SANITIZERS) / sizeof(SANITIZERS[0]))

const struct ebb_image_library ebb__image_our_kind = {
    .bits = sizeof(void *) * CHAR_BIT,
#if defined(__aarch64__)
    .machine = EM_AARCH64,
#else
    .machine = EM_X86_64,
#endif
};

int ebb__alloc_symbol_row(const char *name)
{
    for (unsigned i = 0; i < ebb__alloc_symbol_count; i++)
        if (strcmp(ebb__alloc_symbols[i].name, name) == 0)
            return (int)i;
    return -1;
}

static bool begins(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool take_needed(void *context, const char *name)
{
    struct ebb_image *image = context;

    for (unsigned i = 0; i < SANITIZER_COUNT; i++)
        if (begins(name, SANITIZERS[i].library) || begins(name, SANITIZERS[i].clang_library))
            image->sanitizer = SANITIZERS[i].name;
    return true;
}

static void take_sanitizer_function(struct ebb_image *image, const char *name)
{
    if (name[0] != '_' || name[1] != '_')
        return;
    for (unsigned i = 0; i < SANITIZER_COUNT; i++)
        if (strcmp(name, SANITIZERS[i].function) == 0)
            image->sanitizer = SANITIZERS[i].name;
}

static bool take_dynamic_symbol(void *context, const char *name, const struct ebb_elf_symbol *symbol)
{
    struct ebb_image *image = context;
    int row = ebb__alloc_symbol_row(name);

    take_sanitizer_function(image, name);
    if (row < 0)
        return true;
    if (ebb__alloc_symbols[row].kind == EBB_ALLOC_PRIVATE) {
        image->private_name = ebb__alloc_symbols[row].name;
        image->private_defined = symbol->defined;
    }
    if (!symbol->defined) {
        image->imports[row] = true;
        if (ebb__alloc_symbols[row].kind == EBB_ALLOC_BLOCK)
            image->imports_malloc = true;
    }
    if (row == 0 && symbol->exported)
        image->exports_malloc = true;
    return true;
}

static bool take_static_symbol(void *context, const char *name, const struct ebb_elf_symbol *symbol)
{
    struct ebb_image *image = context;
    int row;

    if (!symbol->defined || !symbol->function)
        return true;
    take_sanitizer_function(image, name);
    row = ebb__alloc_symbol_row(name);
    if (row == 0 && !image->exports_malloc)
        image->hides_malloc = true;
    if (row >= 0 && ebb__alloc_symbols[row].kind == EBB_ALLOC_PRIVATE && image->private_name == NULL) {
        image->private_name = ebb__alloc_symbols[row].name;
        image->private_defined = true;
    }
    return true;
}

static int take_elf(int fd, struct ebb_image *image)
{
    struct ebb_elf elf;
    const char *interp_file;
    int err = ebb__elf_open(&elf, fd);

    if (err != 0)
        return err;
    image->is_elf = true;
    image->bits = elf.bits;
    image->machine = elf.machine;
    image->is_static = !elf.has_interp;
    interp_file = strrchr(elf.interp, '/');
    image->is_musl = interp_file != NULL && begins(interp_file, "/ld-musl");
    /* A damaged table leaves facts out, no more: what the process does is looked at as well. */
    ebb__elf_needed_each(&elf, take_needed, image);
    ebb__elf_symbols_each(&elf, EBB_ELF_DYNAMIC, take_dynamic_symbol, image);
    ebb__elf_symbols_each(&elf, EBB_ELF_STATIC, take_static_symbol, image);
    ebb__elf_close(&elf);
    return 0;
}

/* Whether execve() of this file by us sets AT_SECURE, upon which the dynamic linker ignores LD_PRELOAD. */
static bool raises_privileges(int fd, const struct stat *st)
{
    struct statvfs fs;

    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
        return false;
    if (fstatvfs(fd, &fs) == 0 && (fs.f_flag & ST_NOSUID) != 0)
        return false;
    if ((st->st_mode & S_ISUID) != 0 && st->st_uid != getuid())
        return true;
    if ((st->st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && st->st_gid != getgid())
        return true;
    return getuid() != 0 && fgetxattr(fd, "security.capability", NULL, 0) > 0;
}

/* The interpreter in the first line of a script, or false when it has none. */
static bool script_interpreter(int fd, char *ret_path, size_t path_bytes)
{
    char head[SCRIPT_HEAD_BYTES + 1];
    ssize_t got = pread(fd, head, SCRIPT_HEAD_BYTES, 0);
    size_t skip;
    size_t len;

    if (got < 2 || head[0] != '#' || head[1] != '!')
        return false;
    head[got] = '\0';
    skip = 2 + strspn(head + 2, " \t");
    len = strcspn(head + skip, " \t\n");
    if (len == 0 || len >= path_bytes)
        return false;
    memcpy(ret_path, head + skip, len);
    ret_path[len] = '\0';
    return true;
}

/* Files that are no program (directories, FIFOs) are left to execve(), which says what is wrong with them. */
static int open_program(const char *path, struct stat *ret_st)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0)
        return -errno;
    if (fstat(fd, ret_st) != 0 || !S_ISREG(ret_st->st_mode)) {
        close(fd);
        return -EACCES;
    }
    return fd;
}

int ebb__image_inspect(const char *path, struct ebb_image *ret_image)
{
    int scripts = 0;

    memset(ret_image, 0, sizeof(*ret_image));
    if (snprintf(ret_image->path, sizeof(ret_image->path), "%s", path) >= (int)sizeof(ret_image->path))
        return -ENAMETOOLONG;
    for (;;) {
        struct stat st;
        int fd = open_program(ret_image->path, &st);
        int err;

        if (fd < 0)
            return fd;
        if (scripts < SCRIPTS_MAX && script_interpreter(fd, ret_image->path, sizeof(ret_image->path))) {
            ret_image->by_script = true;
            scripts++;
            close(fd);
            continue;
        }
        err = take_elf(fd, ret_image);
        if (err == 0)
            ret_image->raises_privileges = raises_privileges(fd, &st);
        close(fd);
        if (err != -ENOEXEC || scripts != 0)
            return err;
        /* Neither a program nor "#!": the shell will run it. */
        scripts = SCRIPTS_MAX;
        ret_image->by_script = true;
        snprintf(ret_image->path, sizeof(ret_image->path), "/bin/sh");
    }
}

int ebb__image_inspect_process(int pid, struct ebb_image *ret_image)
{
    struct stat st;
    int fd = ebb__proc_open("", pid, "exe");
    int err;

    memset(ret_image, 0, sizeof(*ret_image));
    if (fd < 0)
        return fd;
    err = take_elf(fd, ret_image);
    if (err == 0 && fstat(fd, &st) == 0)
        ret_image->raises_privileges = raises_privileges(fd, &st);
    close(fd);
    return err;
}

bool ebb__image_preload_breaks(const struct ebb_image *image)
{
    return image->is_elf && !image->is_static && (image->sanitizer != NULL || image->is_musl);
}

static const char *machine_name(unsigned machine)
{
    return machine == EM_X86_64    ? "x86-64"
           : machine == EM_386     ? "i386"
           : machine == EM_AARCH64 ? "aarch64"
           : machine == EM_ARM     ? "arm"
                                   : "another machine";
}

bool ebb__image_obstacle(const struct ebb_image *image, const struct ebb_image_library *library,
                         char *ret_why, size_t why_bytes)
{
    if (!image->is_elf)
        return false;
    if (image->bits != library->bits || image->machine != library->machine)
        snprintf(ret_why, why_bytes, "it is a %u-bit program for %s, and the library is %u-bit for %s",
                 image->bits, machine_name(image->machine), library->bits, machine_name(library->machine));
    else if (image->is_static)
        snprintf(ret_why, why_bytes, "it is a static program, into which no dynamic linker loads libraries");
    else if (image->sanitizer != NULL)
        snprintf(ret_why, why_bytes, "it is built with %s, which must serve malloc itself", image->sanitizer);
    else if (image->is_musl)
        snprintf(ret_why, why_bytes, "it uses the C library musl, and the library needs glibc");
    else if (image->exports_malloc)
        snprintf(ret_why, why_bytes,
                 "it defines malloc itself, and a program's own functions come before those of any library");
    else if (image->imports_malloc)
        return false;
    else if (image->private_name != NULL)
        snprintf(ret_why, why_bytes, "it calls %s%s, not malloc; only what its libraries allocate is served",
                 image->private_name,
                 image->private_defined ? ", which is part of it" : " of another allocator");
    else if (image->hides_malloc)
        snprintf(ret_why, why_bytes,
                 "it contains a malloc of its own; only what its libraries allocate is served");
    else
        return false;
    return true;
}
