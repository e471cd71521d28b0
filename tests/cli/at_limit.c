/* SPDX-License-Identifier: MIT
 *
 * A program that takes all memory that malloc gives: in blocks of 1 MiB, then of 4,000 bytes, frees all of it, and takes the large
 * ones again. Argument: how many MiB it maps and touches by itself before. Prints bytes: large, small, again, the RSS at the end of the
 * large ones, and the peak RSS. Fails when malloc says anything but ENOMEM.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define LARGE ((size_t)1 << 20)
#define SMALL ((size_t)4000)

struct list {
    struct list *next;
};

static long rss_bytes(void)
{
    char text[128] = "";
    FILE *file = fopen("/proc/self/statm", "r");
    long pages = 0;

    if (file == NULL)
        return -1;
    if (fgets(text, sizeof(text), file) != NULL)
        sscanf(text, "%*d %ld", &pages);
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

static size_t take_all(size_t bytes, struct list **list)
{
    size_t sum = 0;

    for (;;) {
        struct list *block = malloc(bytes);

        if (block == NULL) {
            if (errno != ENOMEM)
                exit(3);
            return sum;
        }
        memset(block, 1, bytes);
        block->next = *list;
        *list = block;
        sum += bytes;
    }
}

static void free_all(struct list **list)
{
    while (*list != NULL) {
        struct list *block = *list;

        *list = block->next;
        free(block);
    }
}

int main(int argc, char **argv)
{
    size_t mapped = argc > 1 ? strtoul(argv[1], NULL, 10) << 20 : 0;
    static char out[512];
    struct list *list = NULL;
    struct rusage usage;

    setvbuf(stdout, out, _IOFBF, sizeof(out));
    if (mapped != 0) {
        void *area = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (area == MAP_FAILED)
            return 1;
        memset(area, 1, mapped);
    }
    size_t large = take_all(LARGE, &list);
    long large_end = rss_bytes();
    size_t small = take_all(SMALL, &list);

    free_all(&list);
    size_t again = take_all(LARGE, &list);

    getrusage(RUSAGE_SELF, &usage);
    printf("large %zu small %zu again %zu large_end %ld peak %ld\n", large, small, again, large_end,
           usage.ru_maxrss * 1024);
    return 0;
}
