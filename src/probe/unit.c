/* SPDX-License-Identifier: MIT
 *
 * Units of systemd, as the names of cgroups tell them; see unit.h.
 */
#include "probe/unit.h"

#include <errno.h>
#include <string.h>

#include "probe/cgroup.h"
#include "probe/lines.h"
#include "probe/proc.h"
#include "probe/scan.h"

/* A dozen hierarchies of version 1, each with a path of its own. */
#define TEXT_BYTES (16 * EBB_CGROUP_PATH_BYTES)

static const char SERVICE[] = ".service";
static const char SLICE[] = ".slice";

/* A part of a path, between two slashes. */
struct part {
    const char *at;
    size_t len;
};

static bool ends_with(struct part part, const char *suffix)
{
    size_t len = strlen(suffix);

    return part.len > len && memcmp(part.at + part.len - len, suffix, len) == 0;
}

bool ebb__unit_name(const char *text, char ret_unit[EBB_UNIT_BYTES])
{
    static const char *const SUFFIXES[] = {SERVICE, ".scope", SLICE,        ".socket", ".mount", ".swap",
                                           ".path", ".timer", ".automount", ".target", ".device"};
    const struct part whole = {text, strlen(text)};
    const char *suffix = SERVICE;

    for (size_t i = 0; i < sizeof(SUFFIXES) / sizeof(SUFFIXES[0]); i++)
        if (ends_with(whole, SUFFIXES[i]))
            suffix = "";
    if (whole.len == 0 || strchr(text, '/') != NULL || whole.len + strlen(suffix) >= EBB_UNIT_BYTES)
        return false;
    memcpy(ret_unit, text, whole.len);
    memcpy(ret_unit + whole.len, suffix, strlen(suffix) + 1);
    return true;
}

/* The next part of a path, without the underscore that keeps it from being taken for a file; false at the end. */
static bool next_part(struct ebb_scan *path, struct part *ret_part)
{
    const char *slash;

    while (ebb__scan_char(path, '/'))
        ;
    if (path->at == path->end)
        return false;
    slash = memchr(path->at, '/', (size_t)(path->end - path->at));
    ret_part->at = path->at;
    ret_part->len = (size_t)((slash == NULL ? path->end : slash) - path->at);
    path->at += ret_part->len;
    if (ret_part->len > 1 && ret_part->at[0] == '_') {
        ret_part->at++;
        ret_part->len--;
    }
    return true;
}

size_t ebb__unit_in_path(const char *path, size_t len, const char *unit)
{
    struct ebb_scan scan = {.at = path, .end = path + len};
    struct part part;

    while (next_part(&scan, &part))
        if (part.len == strlen(unit) && memcmp(part.at, unit, part.len) == 0)
            return (size_t)(scan.at - path);
    return 0;
}

bool ebb__unit_is_hosts(const char *path)
{
    struct ebb_scan scan = {.at = path, .end = path + strlen(path)};
    struct part above;
    struct part part;
    bool more = next_part(&scan, &part);

    while (more) {
        above = part;
        more = next_part(&scan, &part);
        if (more && !ends_with(above, SLICE))
            return false;
    }
    return true;
}

/* The path of a line of /proc/PID/cgroup when it is one of systemd's hierarchies: "0::/path", or "1:name=systemd:/path". */
static bool line_parse(const char *line, size_t len, struct ebb_scan *ret_path)
{
    struct ebb_scan scan = {.at = line, .end = line + len};
    uint64_t hierarchy;

    if (!ebb__scan_dec(&scan, &hierarchy) || !ebb__scan_char(&scan, ':'))
        return false;
    if (!(hierarchy == 0 && ebb__scan_char(&scan, ':')) && !ebb__scan_word(&scan, "name=systemd:"))
        return false;
    *ret_path = scan;
    return scan.at < scan.end && *scan.at == '/';
}

/* The next path of systemd's hierarchies in the lines: both may be there, and one of them unused. */
static bool next_path(struct ebb_lines *lines, struct ebb_scan *ret_path)
{
    const char *line;
    size_t len;
    int got;

    while ((got = ebb__lines_next(lines, &line, &len)) != 0)
        if (got == 1 && line_parse(line, len, ret_path))
            return true;
    return false;
}

int ebb__unit_path_parse(const char *text, size_t len, const char *unit, char *ret_path, size_t path_bytes)
{
    struct ebb_lines lines;
    struct ebb_scan path;

    ebb__lines_init_text(&lines, text, len);
    while (next_path(&lines, &path)) {
        size_t found = ebb__unit_in_path(path.at, (size_t)(path.end - path.at), unit);

        if (found == 0)
            continue;
        if (found >= path_bytes)
            return -ENAMETOOLONG;
        memcpy(ret_path, path.at, found);
        ret_path[found] = '\0';
        return 0;
    }
    return -ENOENT;
}

/* -ESRCH when there is no such process. */
static int read_text(const char *root, pid_t pid, char text[TEXT_BYTES], size_t *ret_len)
{
    int err = ebb__proc_read(root, pid, "cgroup", text, TEXT_BYTES, ret_len);

    return err == -ENOENT ? -ESRCH : err;
}

int ebb__unit_path_read(const char *root, pid_t pid, const char *unit, char *ret_path, size_t path_bytes)
{
    char text[TEXT_BYTES];
    size_t len;
    int err = read_text(root, pid, text, &len);

    return err == 0 ? ebb__unit_path_parse(text, len, unit, ret_path, path_bytes) : err;
}

/* The last part of a path that is a service: "/system.slice/mariadb.service/child" has one. */
static bool find_service(struct ebb_scan path, char ret_unit[EBB_UNIT_BYTES], bool *ret_of_user)
{
    struct part part;
    bool in_manager = false;
    bool found = false;

    while (next_part(&path, &part)) {
        if (!ends_with(part, SERVICE) || part.len >= EBB_UNIT_BYTES)
            continue;
        memcpy(ret_unit, part.at, part.len);
        ret_unit[part.len] = '\0';
        *ret_of_user = in_manager;
        found = true;
        in_manager |= strncmp(ret_unit, "user@", 5) == 0;
    }
    return found;
}

bool ebb__unit_service_parse(const char *text, size_t len, char ret_unit[EBB_UNIT_BYTES], bool *ret_of_user)
{
    struct ebb_lines lines;
    struct ebb_scan path;

    ebb__lines_init_text(&lines, text, len);
    while (next_path(&lines, &path))
        if (find_service(path, ret_unit, ret_of_user))
            return true;
    return false;
}

bool ebb__unit_service_read(const char *root, pid_t pid, char ret_unit[EBB_UNIT_BYTES], bool *ret_of_user)
{
    char text[TEXT_BYTES];
    size_t len;

    return read_text(root, pid, text, &len) == 0 && ebb__unit_service_parse(text, len, ret_unit, ret_of_user);
}
