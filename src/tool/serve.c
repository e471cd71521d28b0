/* SPDX-License-Identifier: MIT
 *
 * Does our allocator serve a process? See serve.h.
 */
#include "tool/serve.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "probe/probe.h"
#include "tool/locate.h"
#include "tool/scope.h"

/* Takes a file with the counter when it is the library that we look for. */
static bool take_counter(void *context, const struct ebb_map *map, int fd, uint64_t address)
{
    struct ebb_serve *serve = context;
    struct stat st;

    /* On some file systems maps shows another device than stat() does, so the open file decides. */
    if (!serve->any_library &&
        !(fstat(fd, &st) == 0 && st.st_dev == serve->library_dev && st.st_ino == serve->library_ino))
        return false;
    if (ebb__maps_name_decode(map, serve->library, sizeof(serve->library)) != 0)
        return false;
    serve->counter_addr = address;
    serve->library_inode = map->inode;
    serve->library_major = map->dev_major;
    serve->library_minor = map->dev_minor;
    return true;
}

/* 1 when the library was found, 0 when not, -ESRCH when the process has no mappings any more, or -errno. */
static int locate(struct ebb_serve *serve)
{
    const struct ebb_locate wanted = {
        .pid = serve->pid,
        .symbol = EBB_SERVE_COUNTER,
        .only_inode = serve->any_library ? 0 : serve->library_ino,
        .found = take_counter,
        .context = serve,
    };

    return ebb__locate(&wanted);
}

static bool is_library(const struct ebb_serve *serve, const struct ebb_map *map)
{
    return map->inode == serve->library_inode && map->dev_major == serve->library_major &&
           map->dev_minor == serve->library_minor;
}

/* Finds whose malloc comes first, and compares it with the library that counts. */
static enum ebb_serve_state check_order(struct ebb_serve *serve)
{
    bool wanted[EBB_ALLOC_SYMBOLS_MAX] = {true}; /* malloc is row 0 */
    int owners[EBB_ALLOC_SYMBOLS_MAX];
    struct ebb_scope scope;
    enum ebb_serve_state state = EBB_SERVE_UNORDERED;

    serve->error = ebb__scope_read(serve->pid, &scope);
    if (serve->error != 0)
        return EBB_SERVE_UNORDERED;
    serve->error = ebb__scope_owners(&scope, wanted, owners);
    if (serve->error == 0 && owners[0] >= 0) {
        const struct ebb_scope_object *owner = &scope.objects[owners[0]];

        snprintf(serve->owner, sizeof(serve->owner), "%s", owner->name);
        state = is_library(serve, &owner->map) ? EBB_SERVE_YES : EBB_SERVE_OVERRULED;
    }
    ebb__scope_fini(&scope);
    return state;
}

static enum ebb_serve_state state_of_error(struct ebb_serve *serve, int err)
{
    serve->error = err;
    return err == -EACCES || err == -EPERM ? EBB_SERVE_DENIED : EBB_SERVE_GONE;
}

static enum ebb_serve_state look(struct ebb_serve *serve)
{
    char path[64];
    struct stat exe;
    uint64_t count;
    int err;

    snprintf(path, sizeof(path), "/proc/%d/exe", (int)serve->pid);
    if (stat(path, &exe) != 0)
        return state_of_error(serve, -errno);
    if (exe.st_dev != serve->exe_dev || exe.st_ino != serve->exe_ino) {
        /* Another program in the same process: everything begins anew. */
        serve->exe_dev = exe.st_dev;
        serve->exe_ino = exe.st_ino;
        serve->located = false;
        serve->counted = false;
    }
    if (!serve->located) {
        err = locate(serve);
        if (err < 0)
            return state_of_error(serve, err);
        if (err == 0)
            return EBB_SERVE_UNMAPPED;
        serve->located = true;
    }
    err = ebb__peek(serve->pid, serve->counter_addr, &count, sizeof(count));
    if (err == -EFAULT) {
        serve->located = false; /* the same program, executed again */
        serve->counted = false;
        return EBB_SERVE_UNMAPPED;
    }
    if (err != 0)
        return state_of_error(serve, err);
    if (!serve->counted)
        serve->first_count = count;
    serve->counted = true;
    serve->count = count;
    return count == 0 ? EBB_SERVE_UNUSED : check_order(serve);
}

enum ebb_serve_state ebb__serve_look(struct ebb_serve *serve)
{
    enum ebb_serve_state state = look(serve);

    /* The dynamic linker still works; blocks that it allocated for itself are no proof. */
    if (state == EBB_SERVE_UNORDERED && serve->error == -EAGAIN)
        state = EBB_SERVE_UNUSED;
    serve->state = state;
    return state;
}

void ebb__serve_settle(struct ebb_serve *serve)
{
    if (serve->state == EBB_SERVE_UNUSED && check_order(serve) == EBB_SERVE_OVERRULED)
        serve->state = EBB_SERVE_OVERRULED;
    else if (serve->state == EBB_SERVE_UNMAPPED)
        check_order(serve);
}

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}

/* Prints the rows that one object serves, and returns whether there was one. */
static bool report_object(FILE *stream, const char *prefix, const char *name, int object, const bool *rows,
                          const int *owners)
{
    bool any = false;

    for (unsigned i = 0; i < ebb__alloc_symbol_count; i++) {
        if (!rows[i] || owners[i] != object)
            continue;
        if (!any)
            fprintf(stream, "%s%s serves %s", prefix, name, ebb__alloc_symbols[i].name);
        else
            fprintf(stream, ", %s", ebb__alloc_symbols[i].name);
        any = true;
    }
    if (any)
        fputc('\n', stream);
    return any;
}

void ebb__serve_report_split(const struct ebb_serve *serve, FILE *stream, const char *prefix, bool all)
{
    int owners[EBB_ALLOC_SYMBOLS_MAX];
    struct ebb_image image;
    struct ebb_scope scope;
    int malloc_owner;

    if (ebb__image_inspect_process(serve->pid, &image) != 0 || ebb__scope_read(serve->pid, &scope) != 0)
        return;
    image.imports[0] = true;
    if (ebb__scope_owners(&scope, image.imports, owners) == 0) {
        malloc_owner = owners[0];
        for (int object = 0; object < (int)scope.count; object++) {
            bool rows[EBB_ALLOC_SYMBOLS_MAX] = {false};
            bool is_warning = false;

            if (scope.objects[object].name == NULL)
                continue;
            for (unsigned i = 0; i < ebb__alloc_symbol_count; i++) {
                bool strays = ebb__alloc_symbols[i].kind == EBB_ALLOC_BLOCK && owners[i] == object &&
                              object != malloc_owner;

                rows[i] = image.imports[i] && owners[i] == object && (all || strays);
                is_warning = is_warning || (rows[i] && strays);
            }
            if (report_object(stream, prefix, file_name(scope.objects[object].name), object, rows, owners) &&
                is_warning)
                fprintf(stream, "%swarning: blocks of %s and of %s can meet in this program\n", prefix,
                        file_name(scope.objects[object].name), file_name(serve->library));
        }
    }
    ebb__scope_fini(&scope);
}
