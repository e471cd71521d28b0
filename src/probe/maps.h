/* SPDX-License-Identifier: MIT
 *
 * /proc/PID/maps: the mappings of a process, one at a time.
 *
 * Two things that the kernel's text cannot tell apart: a newline in a file name is written "\012", and so is
 * a file name that really holds these four characters; " (deleted)" is appended to the name of a removed
 * file, and a file may really be named so. Whoever must be sure compares the inode.
 */
#ifndef EBB_PROBE_MAPS_H
#define EBB_PROBE_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "probe/lines.h"

struct ebb_map {
    uint64_t start; /* addresses, [start, end) */
    uint64_t end;
    uint64_t offset_bytes; /* in the file */
    uint64_t inode;        /* 0: no file */
    uint32_t dev_major;
    uint32_t dev_minor;
    bool readable;
    bool writable;
    bool executable;
    bool shared;
    bool deleted;     /* the name carried " (deleted)", which is not part of name_len */
    const char *name; /* as the kernel wrote it, not NUL-terminated; points into the line */
    size_t name_len;  /* 0: anonymous without a name */
};

/* One line without its newline; also the head line of an entry in smaps. 0, or -EBADMSG. */
int ebb__maps_line_parse(const char *line, size_t len, struct ebb_map *ret_map);

/* Writes the name with "\012" turned back into newlines, and a NUL. 0, or -ENAMETOOLONG. */
int ebb__maps_name_decode(const struct ebb_map *map, char *ret_name, size_t name_bytes);

/* Walks the mappings in constant memory, however many there are. */
struct ebb_maps {
    struct ebb_lines lines;
    int owned_fd; /* -1 for a text */
};

int ebb__maps_open(struct ebb_maps *maps, const char *root, pid_t pid);
void ebb__maps_open_text(struct ebb_maps *maps, const char *text, size_t len);
void ebb__maps_close(struct ebb_maps *maps);

/* The next mapping; its name is valid until the next call. 1, 0 at the end, -EBADMSG for a damaged or cut off
 * line, -EMSGSIZE for one that is too long, or -errno. After -EBADMSG and -EMSGSIZE the walk may go on. */
int ebb__maps_next(struct ebb_maps *maps, struct ebb_map *ret_map);

#endif
