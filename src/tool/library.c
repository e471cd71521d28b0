/* SPDX-License-Identifier: MIT
 *
 * Finding libebb-malloc.so, and making sure that it is one; see library.h.
 */
#include "tool/library.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "probe/probe.h"
#include "tool/serve.h"

#define FILE_NAME "libebb-malloc.so"

/* Where the library is, seen from the folder of this executable: in a build tree, and installed. */
static const char *const BESIDE[] = {"../entry", ("../lib/" EBB_MULTIARCH), "../lib", "../lib64"};

/* Makes the path absolute without following a link at its end. */
static int absolute(const char *path, char *ret_path, size_t path_bytes)
{
    char folder[PATH_MAX];
    char real[PATH_MAX];
    const char *slash = strrchr(path, '/');
    const char *file = slash == NULL ? path : slash + 1;

    if (snprintf(folder, sizeof(folder), "%.*s", slash == NULL ? 1 : (int)(slash - path + 1),
                 slash == NULL ? "." : path) >= (int)sizeof(folder))
        return -ENAMETOOLONG;
    if (realpath(folder, real) == NULL)
        return -errno;
    if (snprintf(ret_path, path_bytes, "%s/%s", strcmp(real, "/") == 0 ? "" : real, file) >= (int)path_bytes)
        return -ENAMETOOLONG;
    return 0;
}

/* Looks for the library that was built or installed together with us. */
static bool find_beside(char *ret_path, size_t path_bytes)
{
    char self[PATH_MAX];
    char path[2 * PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *slash;

    if (len > 0) {
        self[len] = '\0';
        slash = strrchr(self, '/');
        if (slash != NULL)
            *slash = '\0';
        for (unsigned i = 0; i < sizeof(BESIDE) / sizeof(BESIDE[0]); i++) {
            snprintf(path, sizeof(path), "%s/%s/" FILE_NAME, self, BESIDE[i]);
            if (access(path, R_OK) == 0 && absolute(path, ret_path, path_bytes) == 0)
                return true;
        }
    }
    return access(EBB_LIBDIR "/" FILE_NAME, R_OK) == 0 &&
           absolute(EBB_LIBDIR "/" FILE_NAME, ret_path, path_bytes) == 0;
}

/* What kind of file it is. 0, or -errno; -ENOEXEC when it is no shared library. */
static int inspect(struct ebb_library *library)
{
    struct ebb_elf_symbol symbol;
    struct ebb_elf elf;
    struct stat st;
    int fd = open(library->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    int err;

    if (fd < 0)
        return -errno;
    err = fstat(fd, &st) != 0 ? -errno : ebb__elf_open(&elf, fd);
    if (err == 0) {
        library->dev = st.st_dev;
        library->ino = st.st_ino;
        library->kind.bits = elf.bits;
        library->kind.machine = elf.machine;
        library->has_counter =
            ebb__elf_symbol_find(&elf, EBB_ELF_DYNAMIC, EBB_SERVE_COUNTER, &symbol) == 0 && symbol.exported;
        if (elf.type != ET_DYN)
            err = -ENOEXEC;
        ebb__elf_close(&elf);
    }
    close(fd);
    return err;
}

int ebb__library_find(const char *given, struct ebb_library *ret_library)
{
    struct ebb_library library = {0};
    const char *path = given != NULL ? given : secure_getenv("EBB_LIBRARY");
    int err;

    if (path != NULL && path[0] != '\0') {
        err = absolute(path, library.path, sizeof(library.path));
        if (err != 0) {
            fprintf(stderr, "ebb run: cannot use the library %s: %s\n", path, strerror(-err));
            return -1;
        }
    } else if (!find_beside(library.path, sizeof(library.path))) {
        fprintf(stderr, "ebb run: cannot find " FILE_NAME "; name it with --library\n");
        return -1;
    }
    err = inspect(&library);
    if (err != 0) {
        fprintf(stderr, "ebb run: cannot use the library %s: %s\n", library.path,
                err == -ENOEXEC || err == -EBADMSG ? "not a shared library" : strerror(-err));
        return -1;
    }
    if (strpbrk(library.path, " :") != NULL) {
        fprintf(stderr,
                "ebb run: cannot use the library %s: LD_PRELOAD has no way to write blanks and colons\n",
                library.path);
        return -1;
    }
    *ret_library = library;
    return 0;
}
