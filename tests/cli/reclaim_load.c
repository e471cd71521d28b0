/* SPDX-License-Identifier: MIT
 *
 * A process in a memory cgroup that fills it as its standard input says; each line is answered by "ok".
 *
 *   reclaim_load PROCS_FILE DATA_FILE   joins the cgroup, and answers "ready"
 *     anon KIB        takes so much more memory, no page of it like another
 *     write KIB       writes that much, behind what was written, and waits until it is on disk: clean, inactive file pages
 *     use KIB         reads the first so much of the file twice, which makes these pages active
 *
 * The file is written and read in pieces of 4 KiB: larger ones would make larger folios, of which the kernel looks at more
 * than it was asked to.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PIECE 4096

static char piece[PIECE];

static int join(const char *path)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    int err = fd < 0 || write(fd, "0", 1) != 1;

    if (fd >= 0)
        close(fd);
    return err;
}

static int take(size_t bytes)
{
    static uint64_t number;
    char *area = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (area == MAP_FAILED)
        return 1;
    madvise(area, bytes, MADV_NOHUGEPAGE);
    for (size_t at = 0; at < bytes; at += PIECE) {
        number += UINT64_C(0x9e3779b97f4a7c15);
        memcpy(area + at, &number, sizeof(number));
    }
    return 0;
}

static int fill(int fd, size_t bytes)
{
    for (size_t done = 0; done < bytes; done += PIECE)
        if (write(fd, piece, PIECE) != PIECE)
            return 1;
    return fsync(fd);
}

static int use(int fd, size_t bytes)
{
    for (unsigned pass = 0; pass < 2; pass++)
        for (size_t at = 0; at < bytes; at += PIECE)
            if (pread(fd, piece, PIECE, (off_t)at) != PIECE)
                return 1;
    return 0;
}

int main(int argc, char **argv)
{
    char line[64];
    int fd = argc == 3 ? open(argv[2], O_RDWR | O_CLOEXEC) : -1;

    if (fd < 0 || join(argv[1]) != 0) {
        perror("reclaim_load");
        return 1;
    }
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        const char *number = strchr(line, ' ');
        size_t bytes = number == NULL ? 0 : strtoul(number, NULL, 10) * 1024;
        int err = line[0] == 'a' ? take(bytes) : line[0] == 'w' ? fill(fd, bytes) : use(fd, bytes);

        if (err != 0) {
            perror(line);
            return 1;
        }
        puts("ok");
        fflush(stdout);
    }
    return 0;
}
