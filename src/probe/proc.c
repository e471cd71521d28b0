/* SPDX-License-Identifier: MIT
 *
 * Opening the files of a process below a root directory; see proc.h.
 */
#include "probe/proc.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "probe/file.h"

/* Appends `text`; false when it does not fit together with a NUL. */
static bool append(char *path, size_t path_bytes, size_t *used, const char *text)
{
    size_t len = strlen(text);

    if (len >= path_bytes - *used)
        return false;
    memcpy(path + *used, text, len + 1);
    *used += len;
    return true;
}

int ebb__proc_path(const char *root, pid_t pid, const char *file, char *ret_path, size_t path_bytes)
{
    char number[24];
    char *at = number + sizeof(number) - 1;
    unsigned long rest = (unsigned long)pid;
    size_t used = 0;

    if (path_bytes == 0)
        return -ENAMETOOLONG;
    *at = '\0';
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest != 0);
    if (!append(ret_path, path_bytes, &used, root) || !append(ret_path, path_bytes, &used, "/proc/") ||
        !append(ret_path, path_bytes, &used, at) || !append(ret_path, path_bytes, &used, "/") ||
        !append(ret_path, path_bytes, &used, file))
        return -ENAMETOOLONG;
    return 0;
}

int ebb__proc_open(const char *root, pid_t pid, const char *file)
{
    char path[EBB_PROC_PATH_BYTES];
    int err = ebb__proc_path(root, pid, file, path, sizeof(path));

    return err != 0 ? err : ebb__file_open_whole(root, path);
}

int ebb__proc_read(const char *root, pid_t pid, const char *file, void *buf, size_t buf_bytes,
                   size_t *ret_bytes)
{
    int fd = ebb__proc_open(root, pid, file);
    int err;

    if (fd < 0)
        return fd;
    err = ebb__file_read_fd(fd, buf, buf_bytes, ret_bytes);
    close(fd);
    return err;
}
