/* SPDX-License-Identifier: MIT
 *
 * Where memory cgroups are, and which of them a process is in; see cgroup.h.
 */
#include "probe/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "probe/file.h"
#include "probe/lines.h"
#include "probe/proc.h"
#include "probe/scan.h"

/* Deeper trees than this are taken for damaged; each level costs the walk a file descriptor. */
#define DEPTH_MAX 128

/* A word of a line, not NUL-terminated. */
struct word {
    const char *at;
    size_t len;
};

/* The next word up to a blank; false at the end of the line. */
static bool next_word(struct ebb_scan *line, struct word *ret_word)
{
    const char *start;

    ebb__scan_blanks(line);
    start = line->at;
    while (line->at < line->end && *line->at != ' ')
        line->at++;
    ret_word->at = start;
    ret_word->len = (size_t)(line->at - start);
    return ret_word->len != 0;
}

static bool word_is(struct word word, const char *text)
{
    return word.len == strlen(text) && memcmp(word.at, text, word.len) == 0;
}

/* True when `name` is one of the words that stand between commas. */
static bool list_has(struct word list, const char *name)
{
    const char *end = list.at + list.len;

    while (list.at < end) {
        const char *comma = memchr(list.at, ',', (size_t)(end - list.at));
        struct word item = {list.at, (size_t)((comma == NULL ? end : comma) - list.at)};

        if (word_is(item, name))
            return true;
        list.at += item.len + 1;
    }
    return false;
}

struct mount_line {
    struct word root;
    struct word point;
    struct word type;
    struct word options; /* of the file system */
};

/* "36 31 0:33 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory" */
static bool mount_line_parse(const char *text, size_t len, struct mount_line *ret_line)
{
    struct ebb_scan scan = {.at = text, .end = text + len};
    struct word word;

    for (int i = 0; i < 3; i++)
        if (!next_word(&scan, &word))
            return false;
    if (!next_word(&scan, &ret_line->root) || !next_word(&scan, &ret_line->point))
        return false;
    do {
        if (!next_word(&scan, &word))
            return false;
    } while (!word_is(word, "-"));
    return next_word(&scan, &ret_line->type) && next_word(&scan, &word) &&
           next_word(&scan, &ret_line->options) && ret_line->root.at[0] == '/' &&
           ret_line->point.at[0] == '/';
}

/* Of two buffers of EBB_CGROUP_PATH_BYTES. */
static void copy_path(char *ret_path, const char *path)
{
    memcpy(ret_path, path, strlen(path) + 1);
}

/* Of several mounts of one hierarchy the one that shows the whole of it is wanted; of two on the same place the later one hides
 * the other. */
static void take(const struct mount_line *line, char *mount, char *top)
{
    char new_mount[EBB_CGROUP_PATH_BYTES];
    char new_top[EBB_CGROUP_PATH_BYTES];

    if (ebb__scan_unescape(line->point.at, line->point.len, new_mount, sizeof(new_mount)) != 0 ||
        ebb__scan_unescape(line->root.at, line->root.len, new_top, sizeof(new_top)) != 0)
        return;
    if (mount[0] != '\0' && strcmp(mount, new_mount) != 0 &&
        (strcmp(top, "/") == 0 || strcmp(new_top, "/") != 0))
        return;
    copy_path(mount, new_mount);
    copy_path(top, new_top);
}

/* What all lines together say, before it is known whether the unified hierarchy has the controller. */
struct found {
    char memory[EBB_CGROUP_PATH_BYTES];
    char memory_top[EBB_CGROUP_PATH_BYTES];
    char unified[EBB_CGROUP_PATH_BYTES];
    char unified_top[EBB_CGROUP_PATH_BYTES];
};

static int find_mounts(struct ebb_lines *lines, struct found *ret_found)
{
    const char *text;
    size_t len;
    bool any = false;
    int got;

    ret_found->memory[0] = '\0';
    ret_found->unified[0] = '\0';
    while ((got = ebb__lines_next(lines, &text, &len)) != 0) {
        struct mount_line line;

        if (got == -EMSGSIZE || got == -EBADMSG)
            continue;
        if (got < 0)
            return got;
        if (!mount_line_parse(text, len, &line))
            continue;
        any = true;
        if (word_is(line.type, "cgroup") && list_has(line.options, "memory"))
            take(&line, ret_found->memory, ret_found->memory_top);
        else if (word_is(line.type, "cgroup2"))
            take(&line, ret_found->unified, ret_found->unified_top);
    }
    return any ? 0 : -EBADMSG;
}

static void settle(const struct found *found, bool unified_has_memory, struct ebb_cgroup_tree *ret_tree)
{
    bool v1 = found->memory[0] != '\0';
    bool v2 = !v1 && found->unified[0] != '\0' && unified_has_memory;

    ret_tree->version = v1 ? 1 : v2 ? 2 : 0;
    copy_path(ret_tree->mount, v1 ? found->memory : v2 ? found->unified : "");
    copy_path(ret_tree->top, v1 ? found->memory_top : v2 ? found->unified_top : "");
    copy_path(ret_tree->unified, v2 ? "" : found->unified);
}

int ebb__cgroup_tree_parse(const char *mountinfo, size_t len, bool unified_has_memory,
                           struct ebb_cgroup_tree *ret_tree)
{
    struct ebb_lines lines;
    struct found found;
    int err;

    ebb__lines_init_text(&lines, mountinfo, len);
    err = find_mounts(&lines, &found);
    if (err == 0)
        settle(&found, unified_has_memory, ret_tree);
    return err;
}

/* Whether the controller is listed at the top of the version 2 tree that is mounted there. */
static bool has_memory(const char *root, const char *unified)
{
    char path[EBB_PROC_PATH_BYTES];
    char text[1024];
    size_t len;
    struct ebb_scan scan;
    struct word word;
    int path_len = snprintf(path, sizeof(path), "%s/cgroup.controllers", unified);

    if (path_len < 0 || (size_t)path_len >= sizeof(path) ||
        ebb__file_read(root, path, text, sizeof(text), &len) != 0)
        return false;
    while (len > 0 && text[len - 1] == '\n')
        len--;
    scan = (struct ebb_scan){.at = text, .end = text + len};
    while (next_word(&scan, &word))
        if (word_is(word, "memory"))
            return true;
    return false;
}

int ebb__cgroup_tree_read(const char *root, struct ebb_cgroup_tree *ret_tree)
{
    /* A captured tree has no "self". */
    static const char *const PLACES[] = {"/proc/self/mountinfo", "/proc/mountinfo", "/proc/1/mountinfo"};
    struct ebb_lines lines;
    struct found found;
    int fd = -ENOENT;
    int err;

    for (size_t i = 0; i < sizeof(PLACES) / sizeof(PLACES[0]) && fd == -ENOENT; i++)
        fd = ebb__file_open(root, PLACES[i]);
    if (fd < 0)
        return fd;
    ebb__lines_init_fd(&lines, fd);
    err = find_mounts(&lines, &found);
    close(fd);
    if (err == 0)
        settle(&found, found.unified[0] != '\0' && has_memory(root, found.unified), ret_tree);
    return err;
}

/* The path in "4:cpu,memory:/path" or "0::/path", when the line is that of the tree's hierarchy. */
static bool path_line_parse(const char *line, size_t len, int version, struct word *ret_path)
{
    const char *end = line + len;
    const char *first = memchr(line, ':', len);
    const char *second = first == NULL ? NULL : memchr(first + 1, ':', (size_t)(end - first - 1));
    struct word controllers;

    if (second == NULL)
        return false;
    controllers = (struct word){first + 1, (size_t)(second - first - 1)};
    if (version == 1 ? !list_has(controllers, "memory") : controllers.len != 0)
        return false;
    *ret_path = (struct word){second + 1, (size_t)(end - second - 1)};
    return ret_path->len != 0 && ret_path->at[0] == '/';
}

/* True when the path leaves the part of the tree that can be named: "/..", "/../x". */
static bool leads_out(struct word path)
{
    return path.len >= 3 && memcmp(path.at, "/..", 3) == 0 && (path.len == 3 || path.at[3] == '/');
}

int ebb__cgroup_path_parse(const char *text, size_t len, const struct ebb_cgroup_tree *tree, char *ret_path,
                           size_t path_bytes)
{
    size_t top_len = strcmp(tree->top, "/") == 0 ? 0 : strlen(tree->top);
    struct ebb_lines lines;
    struct word path = {"", 0};
    const char *line;
    size_t line_len;
    bool found = false;
    int got;

    if (tree->version == 0)
        return -ENOENT;
    ebb__lines_init_text(&lines, text, len);
    while (!found && (got = ebb__lines_next(&lines, &line, &line_len)) != 0)
        found = got == 1 && path_line_parse(line, line_len, tree->version, &path);
    if (!found)
        return -ENOENT;
    if (path.len < top_len || memcmp(path.at, tree->top, top_len) != 0 ||
        (path.len > top_len && path.at[top_len] != '/'))
        return -EXDEV;
    path = (struct word){path.at + top_len, path.len - top_len};
    if (leads_out(path))
        return -EXDEV;
    if (path.len == 0)
        path = (struct word){"/", 1};
    if (path.len >= path_bytes)
        return -ENAMETOOLONG;
    memcpy(ret_path, path.at, path.len);
    ret_path[path.len] = '\0';
    return 0;
}

int ebb__cgroup_path_read(const char *root, pid_t pid, const struct ebb_cgroup_tree *tree, char *ret_path,
                          size_t path_bytes)
{
    /* A dozen hierarchies of version 1, each with a path of its own. */
    char text[16 * EBB_CGROUP_PATH_BYTES];
    size_t len;
    int err = ebb__proc_read(root, pid, "cgroup", text, sizeof(text), &len);

    if (err == -ENOENT)
        return -ESRCH;
    return err == 0 ? ebb__cgroup_path_parse(text, len, tree, ret_path, path_bytes) : err;
}

bool ebb__cgroup_parent(char *path)
{
    char *slash = strrchr(path, '/');

    if (slash == NULL || path[1] == '\0')
        return false;
    slash[slash == path ? 1 : 0] = '\0';
    return true;
}

bool ebb__cgroup_is_below(const char *path, const char *top)
{
    size_t len = strcmp(top, "/") == 0 ? 0 : strlen(top);

    return strncmp(path, top, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

int ebb__cgroup_file(const struct ebb_cgroup_tree *tree, const char *path, const char *file, char *ret_path,
                     size_t path_bytes)
{
    int len =
        snprintf(ret_path, path_bytes, "%s%s/%s", tree->mount, strcmp(path, "/") == 0 ? "" : path, file);

    return len < 0 || (size_t)len >= path_bytes ? -ENAMETOOLONG : 0;
}

/* One walk: the path grows and shrinks in one buffer as the walk goes down and up. */
struct walk {
    int (*visit)(const char *path, void *context);
    void *context;
    char path[EBB_CGROUP_PATH_BYTES];
};

/* Visits the cgroup of `fd`, which is closed, and those below it. */
static int walk_down(struct walk *walk, int fd, unsigned depth) // NOLINT(misc-no-recursion): DEPTH_MAX
{
    size_t len = strlen(walk->path);
    const struct dirent *entry;
    DIR *directory = fdopendir(fd);
    int result;

    if (directory == NULL) {
        result = -errno;
        close(fd);
        return result;
    }
    result = walk->visit(len == 0 ? "/" : walk->path, walk->context);
    while (result == 0 && (entry = readdir(directory)) != NULL) {
        int child;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            (entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN))
            continue;
        /* One that has vanished, that we may not read, or that is no directory after all is passed over. */
        child = openat(dirfd(directory), entry->d_name,
                       O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (child < 0)
            continue;
        if (depth == DEPTH_MAX || len + 1 + strlen(entry->d_name) >= sizeof(walk->path)) {
            close(child);
            result = -ENAMETOOLONG;
            break;
        }
        snprintf(walk->path + len, sizeof(walk->path) - len, "/%s", entry->d_name);
        result = walk_down(walk, child, depth + 1);
        walk->path[len] = '\0';
    }
    closedir(directory);
    return result;
}

int ebb__cgroup_walk(const char *root, const struct ebb_cgroup_tree *tree,
                     int (*visit)(const char *path, void *context), void *context)
{
    struct walk walk = {.visit = visit, .context = context};
    int fd;

    if (tree->version == 0)
        return -ENOENT;
    fd = ebb__file_open(root, tree->mount);
    return fd < 0 ? fd : walk_down(&walk, fd, 0);
}
