/* SPDX-License-Identifier: MIT
 *
 * A process that takes memory as its standard input says: "KIB", one a line, takes that much more; each is answered by "ok".
 *
 *   oom_hog ADJ PROCS_FILE    sets its oom_score_adj, joins the cgroup, and answers "ready"
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t len = (ssize_t)strlen(text);
    ssize_t wrote = fd < 0 ? -1 : write(fd, text, (size_t)len);

    if (fd >= 0)
        close(fd);
    return wrote == len ? 0 : -1;
}

int main(int argc, char **argv)
{
    char line[64];

    if (argc != 3 || write_text("/proc/self/oom_score_adj", argv[1]) != 0 || write_text(argv[2], "0") != 0) {
        perror("oom_hog");
        return 1;
    }
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        size_t bytes = strtoul(line, NULL, 10) * 1024;
        char *area = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (area == MAP_FAILED)
            return 1;
        memset(area, 1, bytes);
        puts("ok");
        fflush(stdout);
    }
    return 0;
}
