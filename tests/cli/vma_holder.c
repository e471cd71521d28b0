/* SPDX-License-Identifier: MIT
 *
 * A process that makes mappings until the kernel refuses, step by step, as its standard input says.
 *
 *   vma_holder holes|protect|advice        in one large anonymous mapping, every second page is unmapped, made inaccessible, advised
 *   vma_holder files FILE                  maps the file again and again
 *
 * Commands, one a line; each is answered by one line:
 *
 *   grow N      N more steps, or fewer: "STEPS CALL ERRNO" of the call that failed, "STEPS - 0" when none did
 *   map N       N more mappings of another kind: the same answer
 *   try OP      split, mmap, mremap or mremap_fixed: "ok" or "ENOMEM"; leaves as many mappings as there were
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t page;
static char *region; /* of pairs of pages */
static size_t pair_count;
static size_t done;
static int file = -1;

/* What the tries are done with; all shared, so that nothing merges with them. */
static char *triple; /* three pages */
static char *single; /* one page, with a neighbour right above it */
static char *room;   /* unmapped address space for a page */

static char *map(char *at, size_t pages, int flags, int fd)
{
    return mmap(at, pages * page, PROT_READ | PROT_WRITE, flags | (at == NULL ? 0 : MAP_FIXED), fd, 0);
}

static void need(bool condition, const char *what)
{
    if (condition)
        return;
    perror(what);
    exit(1);
}

static const char *step(const char *mode)
{
    char *odd = region + (2 * done + 1) * page;

    if (strcmp(mode, "files") == 0)
        return map(NULL, 1, MAP_SHARED, file) == MAP_FAILED ? "mmap" : NULL;
    if (done == pair_count)
        return "region";
    if (strcmp(mode, "holes") == 0 && munmap(odd, page) != 0)
        return "munmap";
    if (strcmp(mode, "protect") == 0 && mprotect(odd, page, PROT_NONE) != 0)
        return "mprotect";
    if (strcmp(mode, "advice") == 0 && madvise(odd, page, MADV_DONTDUMP) != 0)
        return "madvise";
    return NULL;
}

static void grow(const char *mode, long count)
{
    long steps = 0;
    const char *failed = NULL;
    int err = 0;

    while (steps < count && failed == NULL) {
        failed = step(mode);
        err = failed == NULL ? 0 : errno;
        done += failed == NULL;
        steps += failed == NULL;
    }
    printf("%ld %s %s\n", steps, failed == NULL ? "-" : failed, err == 0 ? "0" : strerrorname_np(err));
}

static void more(long count)
{
    long steps = 0;

    while (steps < count && map(NULL, 1, MAP_SHARED | MAP_ANONYMOUS, -1) != MAP_FAILED)
        steps++;
    printf("%ld %s %s\n", steps, steps == count ? "-" : "mmap",
           steps == count ? "0" : strerrorname_np(errno));
}

static bool try_split(void)
{
    if (munmap(triple + page, page) != 0)
        return false;
    need(munmap(triple, page) == 0 && munmap(triple + 2 * page, page) == 0, "munmap");
    need(map(triple, 3, MAP_SHARED | MAP_ANONYMOUS, -1) == triple, "mmap");
    return true;
}

static bool try_mmap(void)
{
    char *made = map(NULL, 1, MAP_SHARED | MAP_ANONYMOUS, -1);

    if (made == MAP_FAILED)
        return false;
    need(munmap(made, page) == 0, "munmap");
    return true;
}

/* To grow, it must move, because of its neighbour. */
static bool try_mremap(void)
{
    char *moved = mremap(single, page, 2 * page, MREMAP_MAYMOVE);

    if (moved == MAP_FAILED)
        return false;
    need(munmap(moved, 2 * page) == 0, "munmap");
    need(map(single, 1, MAP_SHARED | MAP_ANONYMOUS, -1) == single, "mmap");
    return true;
}

static bool try_mremap_fixed(void)
{
    if (mremap(single, page, page, MREMAP_MAYMOVE | MREMAP_FIXED, room) == MAP_FAILED)
        return false;
    need(munmap(room, page) == 0, "munmap");
    need(map(single, 1, MAP_SHARED | MAP_ANONYMOUS, -1) == single, "mmap");
    return true;
}

static void try_one(const char *op)
{
    bool ok = strcmp(op, "split") == 0    ? try_split()
              : strcmp(op, "mmap") == 0   ? try_mmap()
              : strcmp(op, "mremap") == 0 ? try_mremap()
                                          : try_mremap_fixed();

    puts(ok ? "ok" : strerrorname_np(errno));
}

/* Space for what the tries need: a whole that nothing else lies in, taken apart. */
static void prepare(void)
{
    char *space = mmap(NULL, 32 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    need(space != MAP_FAILED, "mmap");
    need(munmap(space, 32 * page) == 0, "munmap");
    triple = map(space + 4 * page, 3, MAP_SHARED | MAP_ANONYMOUS, -1);
    single = map(space + 10 * page, 1, MAP_SHARED | MAP_ANONYMOUS, -1);
    need(map(space + 11 * page, 1, MAP_SHARED | MAP_ANONYMOUS, -1) != MAP_FAILED, "mmap");
    /* Nothing is put there: new mappings go to lower addresses first. */
    room = space + 20 * page;
    need(triple != MAP_FAILED && single != MAP_FAILED, "mmap");
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "holes";
    char line[64];

    page = (size_t)sysconf(_SC_PAGESIZE);
    pair_count = 140000;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc > 2)
        file = open(argv[2], O_RDWR | O_CREAT, 0600);
    need(argc <= 2 || (file >= 0 && ftruncate(file, (off_t)page) == 0), "file");
    region = mmap(NULL, 2 * pair_count * page, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    need(region != MAP_FAILED, "mmap");
    prepare();
    printf("ready\n");
    while (fgets(line, sizeof(line), stdin) != NULL) {
        char *word = strchr(line, ' ');

        line[strcspn(line, "\n")] = '\0';
        if (word == NULL)
            return 1;
        *word++ = '\0';
        if (strcmp(line, "grow") == 0)
            grow(mode, strtol(word, NULL, 10));
        else if (strcmp(line, "map") == 0)
            more(strtol(word, NULL, 10));
        else
            try_one(word);
    }
    return 0;
}
