/* SPDX-License-Identifier: MIT
 *
 * Opening and reading small files below a root directory; see file.h.
 */
#include "probe/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "probe/host.h"
#include "probe/proc.h"
#include "probe/scan.h"

int ebb__file_open_whole(const char *root, const char *whole)
{
    struct stat st;
    int fd = open(whole, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0)
        return -errno;
    if (ebb__host_is_live(root) || (fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))))
        return fd;
    close(fd);
    return -EBADMSG;
}

int ebb__file_open(const char *root, const char *path)
{
    char whole[EBB_PROC_PATH_BYTES];
    int len = snprintf(whole, sizeof(whole), "%s%s", root, path);

    if (len < 0 || (size_t)len >= sizeof(whole))
        return -ENAMETOOLONG;
    return ebb__file_open_whole(root, whole);
}

int ebb__file_read_fd(int fd, void *buf, size_t buf_bytes, size_t *ret_bytes)
{
    size_t used = 0;

    for (;;) {
        char beyond;
        /* A full buffer is the whole file only when nothing follows. */
        bool full = used == buf_bytes;
        ssize_t got = read(fd, full ? &beyond : (char *)buf + used, full ? 1 : buf_bytes - used);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        if (full)
            return -EMSGSIZE;
        used += (size_t)got;
    }
    *ret_bytes = used;
    return 0;
}

int ebb__file_read(const char *root, const char *path, void *buf, size_t buf_bytes, size_t *ret_bytes)
{
    int fd = ebb__file_open(root, path);
    int err;

    if (fd < 0)
        return fd;
    err = ebb__file_read_fd(fd, buf, buf_bytes, ret_bytes);
    close(fd);
    return err;
}

struct ebb_fact ebb__file_number(const char *root, const char *path)
{
    char text[64];
    size_t len;
    uint64_t value;
    int err = ebb__file_read(root, path, text, sizeof(text), &len);
    struct ebb_scan scan;

    if (err != 0)
        return ebb__fact_unknown(err);
    scan = (struct ebb_scan){.at = text, .end = text + len};
    if (ebb__scan_word(&scan, "max"))
        return ebb__fact(UINT64_MAX);
    return ebb__scan_dec(&scan, &value) ? ebb__fact(value) : ebb__fact_unknown(-EBADMSG);
}
