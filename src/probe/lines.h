/* SPDX-License-Identifier: MIT
 *
 * The lines of a file or of a text, one at a time, in constant memory.
 */
#ifndef EBB_PROBE_LINES_H
#define EBB_PROBE_LINES_H

#include <stdbool.h>
#include <stddef.h>

/* The longest line of /proc/PID/maps is a path of PATH_MAX bytes, each of them a newline written as four
 * characters, after some 80 characters of columns. */
#define EBB_LINES_BYTES 32768

struct ebb_lines {
    int fd;         /* read from here, or -1 for a text; borrowed */
    bool eof;       /* nothing more will be read */
    bool too_long;  /* in the middle of a line that did not fit */
    const char *at; /* [at, end) is read but not yet returned */
    const char *end;
    char buf[EBB_LINES_BYTES];
};

void ebb__lines_init_fd(struct ebb_lines *lines, int fd);
void ebb__lines_init_text(struct ebb_lines *lines, const char *text, size_t len);

/* The next line, without its newline; valid until the next call. Returns 1, 0 at the end, or
 *  -EMSGSIZE  the line is longer than the buffer; the next call goes on behind it,
 *  -EBADMSG   the last line lacks its newline: the source was cut off, and half a line proves nothing,
 *  -errno     from read(). */
int ebb__lines_next(struct ebb_lines *lines, const char **ret_line, size_t *ret_len);

#endif
