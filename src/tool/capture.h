/* SPDX-License-Identifier: MIT
 *
 * Writing a copy of this host's /proc and /sys facts into a folder, which --root of every command reads.
 *
 * The copy grows in FOLDER.tmp and gets its name when it is whole. Files and folders are for their owner only. What could not be
 * read is noted, with the reason, for the manifest.
 */
#ifndef EBB_TOOL_CAPTURE_H
#define EBB_TOOL_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct ebb_capture {
    int folder; /* a file descriptor of FOLDER.tmp */
    uint64_t file_count;
    uint64_t bytes;
    uint64_t left_out_count;
    char *left_out; /* lines of the manifest */
    size_t left_out_bytes;
    FILE *left_out_stream;
};

/* Copies a file of this host, "/proc/meminfo", to the same place in the folder. 0, also when it could not be read, which is noted
 * unless `is_ignored` says so; or -errno when it could not be written. */
int ebb__capture_file(struct ebb_capture *capture, const char *path, bool (*is_ignored)(int err));

/* Notes what was left out, and why. */
void ebb__capture_leave_out(struct ebb_capture *capture, const char *path, int err);

/* Writes a text to a new file of the folder, "/MANIFEST". 0, or -errno. */
int ebb__capture_text(struct ebb_capture *capture, const char *path, const char *text, size_t len);

/* Removes a folder with all that is in it. */
void ebb__capture_remove(const char *path);

#endif
