/* SPDX-License-Identifier: MIT
 *
 * The lines of a file or of a text; see lines.h.
 */
#include "probe/lines.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

void ebb__lines_init_fd(struct ebb_lines *lines, int fd)
{
    lines->fd = fd;
    lines->eof = false;
    lines->too_long = false;
    lines->at = lines->buf;
    lines->end = lines->buf;
}

void ebb__lines_init_text(struct ebb_lines *lines, const char *text, size_t len)
{
    lines->fd = -1;
    lines->eof = true;
    lines->too_long = false;
    lines->at = text;
    lines->end = text + len;
}

/* Reads more behind what is there. 0, or -errno; sets eof. Only called for files, so `at` points into buf. */
static int refill(struct ebb_lines *lines)
{
    size_t kept = (size_t)(lines->end - lines->at);
    ssize_t got;

    memmove(lines->buf, lines->at, kept);
    lines->at = lines->buf;
    lines->end = lines->buf + kept;
    do {
        got = read(lines->fd, lines->buf + kept, sizeof(lines->buf) - kept);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    if (got == 0)
        lines->eof = true;
    lines->end += got;
    return 0;
}

int ebb__lines_next(struct ebb_lines *lines, const char **ret_line, size_t *ret_len)
{
    for (;;) {
        size_t held = (size_t)(lines->end - lines->at);
        const char *newline = held == 0 ? NULL : memchr(lines->at, '\n', held);
        int err;

        if (newline != NULL) {
            bool was_too_long = lines->too_long;
            const char *line = lines->at;

            lines->at = newline + 1;
            lines->too_long = false;
            if (was_too_long)
                return -EMSGSIZE;
            *ret_line = line;
            *ret_len = (size_t)(newline - line);
            return 1;
        }
        if (lines->eof) {
            bool cut_off = held != 0 || lines->too_long;

            lines->at = lines->end;
            lines->too_long = false;
            return cut_off ? -EBADMSG : 0;
        }
        if (held == sizeof(lines->buf)) {
            lines->too_long = true;
            lines->at = lines->end;
        }
        err = refill(lines);
        if (err != 0)
            return err;
    }
}
