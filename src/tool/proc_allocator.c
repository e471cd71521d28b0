/* SPDX-License-Identifier: MIT
 *
 * Which allocator serves a process's malloc; see proc_allocator.h.
 */
#include "tool/proc_allocator.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool/image.h"
#include "tool/scope.h"
#include "tool/serve.h"

/* Libraries by how their file names begin, and the function by which a program shows that it holds the same one. */
static const struct {
    const char *file;
    const char *function;
    const char *name;
} KNOWN[] = {
    {"libebb", NULL, "ebb"},
    {"libjemalloc", "je_malloc", "jemalloc"},
    {"libjemalloc", "_rjem_malloc", "jemalloc"},
    {"libtcmalloc", "tc_malloc", "tcmalloc"},
    {"libmimalloc", "mi_malloc", "mimalloc"},
    {"libsnmalloc", "sn_", "snmalloc"},
    {"librpmalloc", "rpmalloc", "rpmalloc"},
    {"libhoard", NULL, "hoard"},
    {"libtbbmalloc", "scalable_malloc", "tbbmalloc"},
    {"libasan", NULL, "AddressSanitizer"},
    {"libtsan", NULL, "ThreadSanitizer"},
    {"libclang_rt", NULL, "a sanitizer"},
    {"libc.so.6", NULL, "glibc"},
    {"libc-2.", NULL, "glibc"},
    {"ld-musl", NULL, "musl"},
    {"libc.musl", NULL, "musl"},
};

#define KNOWN_COUNT (sizeof(KNOWN) / sizeof(KNOWN[0]))

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}

static bool begins(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

const char *ebb__proc_allocator_of_file(const char *path)
{
    for (size_t i = 0; i < KNOWN_COUNT; i++)
        if (begins(file_name(path), KNOWN[i].file))
            return KNOWN[i].name;
    return NULL;
}

static const char *name_of_function(const char *function)
{
    for (size_t i = 0; function != NULL && i < KNOWN_COUNT; i++)
        if (KNOWN[i].function != NULL && begins(function, KNOWN[i].function))
            return KNOWN[i].name;
    return NULL;
}

/* Names that are too long are cut: they are for people. */
__attribute__((format(printf, 2, 3))) static void prove(struct ebb_proc_allocator *allocator,
                                                        const char *format, ...)
{
    size_t used = strlen(allocator->evidence);
    va_list args;

    va_start(args, format);
    vsnprintf(allocator->evidence + used, sizeof(allocator->evidence) - used, format, args);
    va_end(args);
}

static void set_name(struct ebb_proc_allocator *allocator, const char *name)
{
    snprintf(allocator->name, sizeof(allocator->name), "%s", name);
}

static void judge_static(const struct ebb_image *image, struct ebb_proc_allocator *allocator)
{
    const char *name = image->private_defined ? name_of_function(image->private_name) : NULL;

    set_name(allocator, name != NULL ? name : "static");
    if (image->private_defined)
        prove(allocator, "a static program that contains %s", image->private_name);
    else if (image->exports_malloc || image->hides_malloc)
        prove(allocator, "a static program with a malloc inside");
    else
        prove(allocator, "a static program without symbols that would tell");
}

/* What the program does beside malloc. */
static void judge_program(const struct ebb_image *image, struct ebb_proc_allocator *allocator)
{
    if (image->private_defined)
        allocator->inner = name_of_function(image->private_name);
    if (image->private_name != NULL)
        prove(allocator, "; the program also %s %s", image->private_defined ? "contains" : "calls",
              image->private_name);
    else if (image->hides_malloc && !image->exports_malloc)
        prove(allocator, "; the program also has a malloc for itself alone");
}

/* Libraries of other allocators that are mapped and come later. */
static void judge_others(const struct ebb_scope *scope, int owner, struct ebb_proc_allocator *allocator)
{
    for (size_t i = (size_t)owner + 1; i < scope->count; i++) {
        const char *path = scope->objects[i].name;
        const char *name = path == NULL ? NULL : ebb__proc_allocator_of_file(path);

        if (name == NULL || strcmp(name, allocator->name) == 0 || strcmp(name, "glibc") == 0 ||
            strcmp(name, "musl") == 0)
            continue;
        prove(allocator, "; %s is mapped, but comes later", file_name(path));
    }
}

static void judge_count(pid_t pid, struct ebb_proc_allocator *allocator)
{
    struct ebb_serve *serve = calloc(1, sizeof(*serve));

    if (serve == NULL)
        return;
    serve->pid = pid;
    serve->any_library = true;
    switch (ebb__serve_look(serve)) {
    case EBB_SERVE_YES:
        prove(allocator, "; it has handed out %" PRIu64 " blocks", serve->count);
        break;
    case EBB_SERVE_UNUSED:
        prove(allocator, "; it has handed out nothing yet");
        break;
    default:
        break;
    }
    free(serve);
}

static void judge_owner(const struct ebb_image *image, const struct ebb_scope *scope, int owner,
                        struct ebb_proc_allocator *allocator)
{
    const char *path = owner < 0 ? NULL : scope->objects[owner].name;
    const char *name = path == NULL ? NULL : ebb__proc_allocator_of_file(path);

    if (path == NULL) {
        set_name(allocator, "none");
        prove(allocator, "none of its %zu objects exports malloc", scope->count);
    } else if (owner == 0) {
        name = image->private_defined ? name_of_function(image->private_name) : NULL;
        set_name(allocator, name != NULL ? name : "built in");
        prove(allocator, "the program itself exports malloc");
    } else {
        set_name(allocator, name != NULL ? name : file_name(path));
        prove(allocator, "%s is the first of %zu objects that exports malloc", file_name(path), scope->count);
    }
    if (strcmp(allocator->name, "ebb") == 0)
        judge_count(scope->pid, allocator);
    if (owner >= 0)
        judge_others(scope, owner, allocator);
    judge_program(image, allocator);
}

static int judge_dynamic(pid_t pid, const struct ebb_image *image, struct ebb_proc_allocator *allocator)
{
    bool wanted[EBB_ALLOC_SYMBOLS_MAX] = {true}; /* malloc is row 0 */
    int owners[EBB_ALLOC_SYMBOLS_MAX];
    struct ebb_scope scope;
    int err = ebb__scope_read(pid, &scope);

    if (err != 0)
        return err;
    err = ebb__scope_owners(&scope, wanted, owners);
    if (err == 0)
        judge_owner(image, &scope, owners[0], allocator);
    ebb__scope_fini(&scope);
    return err;
}

int ebb__proc_allocator_find(pid_t pid, struct ebb_proc_allocator **ret_allocator)
{
    struct ebb_proc_allocator *allocator = calloc(1, sizeof(*allocator));
    struct ebb_image image;
    int err;

    if (allocator == NULL)
        return -ENOMEM;
    err = ebb__image_inspect_process(pid, &image);
    if (err == 0 && image.is_static)
        judge_static(&image, allocator);
    else if (err == 0)
        err = judge_dynamic(pid, &image, allocator);
    if (err != 0) {
        free(allocator);
        return err;
    }
    *ret_allocator = allocator;
    return 0;
}
