/* SPDX-License-Identifier: MIT
 *
 * Copying files of this host into a folder; see capture.h.
 */
#include "tool/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "probe/probe.h"

#define CHUNK_BYTES 65536

/* Folders that nftw() keeps open at once. */
#define OPEN_FOLDERS 16

/* Makes the folders above a file: "/proc/sys/vm/swappiness" makes proc, proc/sys and proc/sys/vm. */
static int make_parents(const struct ebb_capture *capture, const char *path)
{
    char folder[EBB_PROC_PATH_BYTES];

    for (const char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        int len = snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path - 1), path + 1);

        if (len < 0 || (size_t)len >= sizeof(folder))
            return -ENAMETOOLONG;
        if (mkdirat(capture->folder, folder, 0700) != 0 && errno != EEXIST)
            return -errno;
    }
    return 0;
}

/* A descriptor of a new file in the folder, or -errno. */
static int create(const struct ebb_capture *capture, const char *path)
{
    int err = make_parents(capture, path);
    int fd;

    if (err != 0)
        return err;
    fd = openat(capture->folder, path + 1, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd >= 0 ? fd : -errno;
}

static int write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t done = write(fd, data, len);

        if (done < 0 && errno != EINTR)
            return -errno;
        if (done > 0) {
            data += done;
            len -= (size_t)done;
        }
    }
    return 0;
}

/* Reads up to a chunk: 0 and its length, 0 at the end, or -errno. */
static int read_some(int fd, char *data, size_t *ret_len)
{
    ssize_t got;

    do {
        got = read(fd, data, CHUNK_BYTES);
    } while (got < 0 && errno == EINTR);
    *ret_len = got < 0 ? 0 : (size_t)got;
    return got < 0 ? -errno : 0;
}

void ebb__capture_leave_out(struct ebb_capture *capture, const char *path, int err)
{
    capture->left_out_count++;
    if (capture->left_out_stream == NULL)
        capture->left_out_stream = open_memstream(&capture->left_out, &capture->left_out_bytes);
    if (capture->left_out_stream == NULL)
        return;
    fputs("left out: ", capture->left_out_stream);
    for (const char *at = path + 1; *at != '\0'; at++)
        fputc((unsigned char)*at < ' ' ? '?' : *at, capture->left_out_stream);
    fprintf(capture->left_out_stream, ": %s\n", ebb__fact_why(ebb__fact_unknown(err)));
}

/* Copies what follows the first chunk. An error of reading leaves a file that ends early: it is noted, and the file removed. */
static int copy_rest(struct ebb_capture *capture, int from, int to, char *chunk, size_t len,
                     int *ret_read_err)
{
    int err = 0;

    while (len > 0 && err == 0) {
        err = write_all(to, chunk, len);
        capture->bytes += len;
        if (err == 0) {
            *ret_read_err = read_some(from, chunk, &len);
            if (*ret_read_err != 0)
                break;
        }
    }
    return err;
}

int ebb__capture_file(struct ebb_capture *capture, const char *path, bool (*is_ignored)(int err))
{
    char chunk[CHUNK_BYTES];
    size_t len = 0;
    int from = ebb__file_open("", path);
    int read_err = from < 0 ? from : read_some(from, chunk, &len);
    int err = 0;

    if (read_err == 0) {
        int to = create(capture, path);

        err = to < 0 ? to : copy_rest(capture, from, to, chunk, len, &read_err);
        if (to >= 0 && close(to) != 0 && err == 0)
            err = -errno;
        if (to >= 0 && (read_err != 0 || err != 0))
            unlinkat(capture->folder, path + 1, 0);
        else
            capture->file_count++;
    }
    if (from >= 0)
        close(from);
    if (read_err != 0 && !is_ignored(read_err))
        ebb__capture_leave_out(capture, path, read_err);
    return err;
}

int ebb__capture_text(struct ebb_capture *capture, const char *path, const char *text, size_t len)
{
    int fd = create(capture, path);
    int err;

    if (fd < 0)
        return fd;
    err = write_all(fd, text, len);
    if (close(fd) != 0 && err == 0)
        err = -errno;
    return err;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    (void)remove(path);
    return 0;
}

void ebb__capture_remove(const char *path)
{
    nftw(path, remove_one, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}
