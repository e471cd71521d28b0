/* SPDX-License-Identifier: MIT
 *
 * Which cgroups the process is in, and in which folders they are.
 *
 * /proc/PID/cgroup names the cgroup from the top of the hierarchy, or of the cgroup namespace; mountinfo names for each mount the
 * part of the hierarchy that it shows, from the same top. What the first has beyond the second is the path below the
 * mount. On a hybrid host the memory controller is in version 1 and the stalls (PSI) are in version 2, and the process may be in
 * different places of both.
 *
 *     cgroup     4:memory:/docker/0a1b/x        0::/x
 *     mountinfo  /docker/0a1b on /sys/fs/cgroup/memory        / on /sys/fs/cgroup/unified
 *     folders    /sys/fs/cgroup/memory/x                      /sys/fs/cgroup/unified/x
 *
 * Of several mounts the one that shows the most ancestors is taken; of two on one place the later one hides the other. A
 * cgroup outside of what is mounted here ("/../x", another container's part) has no name here and is not guessed at. Limits of
 * ancestors above the mount cannot be seen, but for what version 1 says in memory.stat.
 *
 * Texts and paths are static: a thread that allocates looks too, and may have a stack of 16 KiB. Whoever looks while other threads
 * might holds the lock of limits.c.
 */
#include "governor/sources_priv.h"
#include "governor/text_priv.h"

/* Longer lines of mountinfo are passed over: overlay file systems list all their layers. */
#define LINE_BYTES 8192u

int ebb__place_name(char ret_path[EBB_PATH_BYTES], const char *root, const char *folder, size_t len,
                    const char *name)
{
    size_t root_len = strlen(root), name_len = strlen(name);
    if (root_len + len + name_len >= EBB_PATH_BYTES)
        return -ENAMETOOLONG;
    memcpy(ret_path, root, root_len);
    memcpy(ret_path + root_len, folder, len);
    memcpy(ret_path + root_len + len, name, name_len);
    ret_path[root_len + len + name_len] = '\0';
    return 0;
}

/* ---- lines of a file, in constant memory ---- */

struct lines {
    int fd;
    bool passing; /* over the rest of a line that was too long */
    size_t at, end;
    char text[LINE_BYTES];
};

static int lines_open(struct lines *lines, const char *root, const char *folder, const char *name)
{
    static char path[EBB_PATH_BYTES];
    int rc = ebb__place_name(path, root, folder, strlen(folder), name);
    if (rc == 0)
        rc = ebb__os_fd_open(path, EBB_OS_READ);
    lines->fd = rc;
    lines->passing = false;
    lines->at = lines->end = 0;
    return rc < 0 ? rc : 0;
}

static bool lines_next(struct lines *lines, struct ebb_text *ret_line)
{
    for (;;) {
        char *from = lines->text + lines->at;
        size_t held = lines->end - lines->at;
        char *hit = held == 0 ? NULL : memchr(from, '\n', held);
        if (hit != NULL) {
            lines->at = (size_t)(hit - lines->text) + 1;
            *ret_line = (struct ebb_text){from, hit};
            if (!lines->passing)
                return true;
            lines->passing = false;
            continue;
        }
        if (held == sizeof(lines->text)) {
            lines->passing = true;
            held = 0;
        }
        memmove(lines->text, lines->text + lines->end - held, held);
        lines->at = 0;
        long n = ebb__os_fd_read(lines->fd, lines->text + held, sizeof(lines->text) - held);
        lines->end = held + (n > 0 ? (size_t)n : 0);
        if (n <= 0)
            return false; /* half a line proves nothing */
    }
}

/* ---- what the process is in ---- */

struct paths {
    char memory[EBB_PATH_BYTES];  /* of version 1; "" when it is not in that hierarchy */
    char unified[EBB_PATH_BYTES]; /* of version 2 */
};

/* A cgroup that was removed, with the process still in it, is named with a word behind it. */
static void take_path(struct ebb_text from, char *ret_path)
{
    static const char deleted[] = " (deleted)";
    size_t len = ebb__text_len(from), tail = sizeof(deleted) - 1;
    if (len > tail && memcmp(from.end - tail, deleted, tail) == 0)
        len -= tail;
    if (len >= EBB_PATH_BYTES)
        len = 0;
    memcpy(ret_path, from.at, len);
    ret_path[len] = '\0';
}

static int read_paths(const char *root, const char *process, struct paths *ret)
{
    static struct lines lines;
    struct ebb_text line;
    struct ebb_text_cgroup row;
    ret->memory[0] = ret->unified[0] = '\0';
    int rc = lines_open(&lines, root, process, "/cgroup");
    if (rc != 0)
        return rc;
    while (lines_next(&lines, &line)) {
        if (!ebb__text_cgroup(line, &row))
            continue;
        if (ebb__text_len(row.controllers) == 0)
            take_path(row.path, ret->unified);
        else if (ebb__text_lists(row.controllers, "memory"))
            take_path(row.path, ret->memory);
    }
    ebb__os_fd_close(lines.fd);
    return 0;
}

/* ---- where that is ---- */

struct seat {
    bool found;
    size_t top_len;   /* of the part of the hierarchy that the mount shows: the shorter, the more of it */
    size_t point_len; /* of the folder that is the top */
    char folder[EBB_PATH_BYTES];
};

/* The rest of a path below a top; false when it is not below it, or leads out. */
static bool below(const char *path, const char *top, const char **ret_rest)
{
    size_t len = strcmp(top, "/") == 0 ? 0 : strlen(top);
    if (strncmp(path, top, len) != 0 || (path[len] != '\0' && path[len] != '/'))
        return false;
    path += len;
    *ret_rest = strcmp(path, "/") == 0 ? "" : path;
    return strncmp(path, "/..", 3) != 0 || (path[3] != '\0' && path[3] != '/');
}

static void consider(const struct ebb_text_mount *mount, const char *path, struct seat *seat)
{
    static char top[EBB_PATH_BYTES], point[EBB_PATH_BYTES];
    const char *rest;
    long top_len = ebb__text_unescape(mount->root, top, sizeof(top));
    long point_len = ebb__text_unescape(mount->point, point, sizeof(point));
    if (path[0] == '\0' || top_len < 0 || point_len < 0 || !below(path, top, &rest))
        return;
    bool is_over = seat->found && (size_t)point_len == seat->point_len &&
                   memcmp(point, seat->folder, seat->point_len) == 0; /* mounted over the other */
    if (seat->found && !is_over && (size_t)top_len >= seat->top_len)
        return;
    if (ebb__place_name(seat->folder, "", point, (size_t)point_len, rest) != 0)
        return;
    seat->found = true;
    seat->top_len = (size_t)top_len;
    seat->point_len = (size_t)point_len;
}

/* Whether the top of a version 2 hierarchy has the memory controller. */
static bool has_memory(const char *root, const struct seat *seat)
{
    static char path[EBB_PATH_BYTES], text[512];
    struct ebb_text rest, word;
    if (ebb__place_name(path, root, seat->folder, seat->point_len, "/cgroup.controllers") != 0)
        return false;
    int fd = ebb__os_fd_open(path, EBB_OS_READ);
    if (fd < 0)
        return false;
    long n = ebb__os_fd_read_file(fd, text, sizeof(text));
    ebb__os_fd_close(fd);
    rest = ebb__text(text, n > 0 ? (size_t)n : 0);
    if (rest.at != rest.end && rest.end[-1] == '\n')
        rest.end--;
    while (ebb__text_until(&rest, ' ', &word))
        if (ebb__text_is(word, "memory"))
            return true;
    return false;
}

/* The top of the whole hierarchy has the host's figures, and no cgroup.events; what a namespace shows as the top has. */
static bool is_a_cgroup(const char *root, const struct seat *seat)
{
    static char path[EBB_PATH_BYTES];
    size_t len = strlen(seat->folder);
    return len > seat->point_len || (ebb__place_name(path, root, seat->folder, len, "/cgroup.events") == 0 &&
                                     ebb__os_fd_kind(path) >= 0);
}

/* The levels: the own folder, its parent, up to the top of the mount. */
static void take_levels(const struct seat *seat, struct ebb_place *place)
{
    size_t len = strlen(seat->folder);
    memcpy(place->path, seat->folder, len + 1);
    while (place->depth < EBB_PRESSURE_LEVELS) {
        place->path_len[place->depth++] = (uint16_t)len;
        if (len <= seat->point_len)
            break;
        while (len > seat->point_len && place->path[len - 1] != '/')
            len--;
        len -= len > seat->point_len; /* the slash itself */
    }
}

int ebb__place_find(const char *root, const char *process, struct ebb_place *ret_place)
{
    static struct paths paths;
    static struct seat memory, unified;
    static struct lines lines;
    struct ebb_text line;
    struct ebb_text_mount mount;
    memset(&memory, 0, sizeof(memory));
    memset(&unified, 0, sizeof(unified));
    int rc = read_paths(root, process, &paths);
    if (rc == 0)
        rc = lines_open(&lines, root, "/proc/self", "/mountinfo");
    if (rc != 0)
        return rc;
    bool any_v1 = false;
    while (lines_next(&lines, &line)) {
        if (!ebb__text_mount(line, &mount))
            continue;
        bool v1 = ebb__text_is(mount.kind, "cgroup") && ebb__text_lists(mount.options, "memory");
        if (v1)
            consider(&mount, paths.memory, &memory);
        else if (ebb__text_is(mount.kind, "cgroup2"))
            consider(&mount, paths.unified, &unified);
        any_v1 |= v1;
    }
    ebb__os_fd_close(lines.fd);

    ret_place->depth = 0;
    ret_place->path[0] = ret_place->unified[0] = '\0';
    ret_place->version = memory.found ? 1 : !any_v1 && unified.found && has_memory(root, &unified) ? 2 : 0;
    if (ret_place->version != 0)
        take_levels(memory.found ? &memory : &unified, ret_place);
    if (unified.found && is_a_cgroup(root, &unified))
        memcpy(ret_place->unified, unified.folder, strlen(unified.folder) + 1);
    return 0;
}
