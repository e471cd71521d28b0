/* SPDX-License-Identifier: MIT
 *
 * Whose code may be made to start a thread, asked in this very process and its real objects.
 */
#include "support.h"

#include "governor/governor_priv.h"

#include <dlfcn.h>
#include <link.h>
#include <malloc.h>
#include <sys/auxv.h>

static const void *next(const char *name)
{
    const void *code = dlsym(RTLD_DEFAULT, name);
    EXPECT_MSG(code != NULL, "%s", name);
    return code;
}

static const char *object_of(const void *code)
{
    Dl_info info;
    return dladdr(code, &info) != 0 && info.dli_fname != NULL ? info.dli_fname : "";
}

static void the_c_library_may_not(void)
{
    static const char *const names[] = {"qsort",     "fopen",   "getaddrinfo",    "setenv",
                                        "strerror",  "popen",   "pthread_create", "malloc_usable_size",
                                        "localtime", "regcomp", "opendir",        "__libc_start_main"};
    ebb__caller_init();
    for (size_t i = 0; i < EBB_ARRAY_COUNT(names); i++) {
        const void *code = next(names[i]);
        if (strstr(object_of(code), "libc.so") == NULL && strstr(object_of(code), "libpthread") == NULL) {
            (void)printf("%s is in %s: not asked\n", names[i], object_of(code));
            continue; /* a sanitizer's */
        }
        EXPECT_MSG(!ebb__caller_may_wait(code), "%s in %s", names[i], object_of(code));
    }
}

static int find_linker(struct dl_phdr_info *info, size_t size, void *ret)
{
    (void)size;
    const char *name = info->dlpi_name != NULL ? strrchr(info->dlpi_name, '/') : NULL;
    if (name == NULL || strncmp(name, "/ld-", 4) != 0)
        return 0;
    for (unsigned i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD && (info->dlpi_phdr[i].p_flags & PF_X) != 0)
            *(uintptr_t *)ret = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr + 16;
    return 1;
}

static bool linker_may_wait(bool *ret_found)
{
    uintptr_t code = 0;
    (void)dl_iterate_phdr(find_linker, &code);
    *ret_found = code != 0;
    return ebb__caller_may_wait((const void *)code); // NOLINT(performance-no-int-to-ptr): an address of code
}

static void the_linker_may_not(void)
{
    bool found;
    ebb__caller_init();
    bool may = linker_may_wait(&found);
    EXPECT(found && !may);
}

static void the_program_and_others_may(void)
{
    int local;
    ebb__caller_init();
    EXPECT(ebb__caller_may_wait((const void *)&the_program_and_others_may));
    EXPECT(ebb__caller_may_wait(next("_cmocka_run_group_tests")));
    EXPECT(ebb__caller_may_wait(&local)); /* code made at run time */
    EXPECT(ebb__caller_may_wait(NULL));
}

/* The linker can be run as a program, with the program as its argument; then the kernel tells no address of it. */
static void with_the_linker_as_program(void)
{
    char self[4096];
    const char *linker = NULL;
    Dl_info info;
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    EXPECT(n > 0);
    self[n] = '\0';
    if (dladdr((const void *)getauxval(AT_BASE), &info) != 0) // NOLINT(performance-no-int-to-ptr)
        linker = info.dli_fname;
    if (linker == NULL || access(linker, X_OK) != 0) {
        (void)printf("%s: skipped, no linker that can be run\n", __func__);
        return;
    }
    (void)execl(linker, linker, self, "linker", (char *)NULL);
    EXPECT_MSG(false, "%s: %s", linker, strerror(errno));
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "linker") == 0) {
        bool found;
        ebb__caller_init();
        bool may = linker_may_wait(&found);
        EXPECT(found);
        EXPECT_MSG(!may, "the linker is taken for a part of the program");
        return 0;
    }
    const struct CMUnitTest cases[] = {
        CASE(the_c_library_may_not),
        CASE(the_linker_may_not),
        CASE(the_program_and_others_may),
        CASE(with_the_linker_as_program),
    };
    return RUN_CASES(cases);
}
