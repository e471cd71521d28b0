/* SPDX-License-Identifier: MIT
 *
 * Counts the mappings that are the allocator's: read from /proc/self/maps by plain read(2), without an allocation.
 *
 * A line counts when it has no file behind it, is none of the kernel's own ([stack], [vdso] and so on), and reaches
 * beyond every range that is known to be somebody else's. Those are the images of the loaded objects, whose zeroed
 * data is anonymous memory like an allocator's, and what the program excluded: its tables and the stacks of its
 * threads. Since the kernel joins neighbours with equal rights, a mapping that reaches beyond such a range holds
 * something of the allocator's as well, and counts once.
 */
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <unistd.h>

#include "mem.h"

enum { RANGES_MAX = 512, EXCLUDED_MAX = 64, LINE_BYTES = 512, PIECE_BYTES = 16 * 1024 };

struct range {
    uintptr_t start;
    uintptr_t end;
};

static struct range excluded[EXCLUDED_MAX];
static size_t excluded_count;
static struct range ranges[RANGES_MAX];
static size_t ranges_count;
static char piece[PIECE_BYTES];

void mem_mappings_exclude(const void *start, size_t size_bytes)
{
    if (excluded_count == EXCLUDED_MAX) {
        errno = EOVERFLOW;
        bench_die("the list of ranges that do not count");
    }
    excluded[excluded_count++] = (struct range){(uintptr_t)start, (uintptr_t)start + size_bytes};
}

static int add_object(struct dl_phdr_info *object, size_t size_bytes, void *unused)
{
    struct range range = {UINTPTR_MAX, 0};

    (void)size_bytes;
    (void)unused;
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &object->dlpi_phdr[i];

        if (header->p_type == PT_LOAD) {
            uintptr_t start = object->dlpi_addr + header->p_vaddr;

            range.start = start < range.start ? start : range.start;
            range.end = start + header->p_memsz > range.end ? start + header->p_memsz : range.end;
        }
    }
    if (range.end != 0 && ranges_count < RANGES_MAX) {
        uintptr_t mask = (uintptr_t)sysconf(_SC_PAGESIZE) - 1;

        ranges[ranges_count++] = (struct range){range.start & ~mask, (range.end + mask) & ~mask};
    }
    return 0;
}

static void know_ranges(void)
{
    memcpy(ranges, excluded, excluded_count * sizeof(*excluded));
    ranges_count = excluded_count;
    dl_iterate_phdr(add_object, NULL);
}

static const char *skip_field(const char *at)
{
    while (*at != '\0' && *at != ' ') {
        at++;
    }
    while (*at == ' ') {
        at++;
    }
    return at;
}

/* START-END RIGHTS OFFSET DEVICE INODE [NAME] */
static bool counts(const char *line, bool with_brk)
{
    char *end;
    uintptr_t from = strtoull(line, &end, 16);
    uintptr_t to = strtoull(end + 1, NULL, 16);
    const char *at = skip_field(skip_field(skip_field(skip_field(line))));
    bool has_file = strtoull(at, NULL, 10) != 0;
    const char *name = skip_field(at);

    if (has_file ||
        (strncmp(name, "[heap]", 6) == 0 ? !with_brk : name[0] == '[' && strncmp(name, "[anon", 5) != 0)) {
        return false;
    }
    for (size_t i = 0; i < ranges_count; i++) {
        if (from >= ranges[i].start && to <= ranges[i].end) {
            return false;
        }
    }
    return true;
}

long mem_mappings_count(bool with_brk)
{
    char line[LINE_BYTES];
    size_t filled = 0;
    long count = 0;
    ssize_t got;
    int fd;

    know_ranges();
    fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        bench_die("open of /proc/self/maps");
    }
    while ((got = read(fd, piece, sizeof(piece))) > 0 || (got < 0 && errno == EINTR)) {
        for (ssize_t i = 0; i < got; i++) {
            if (piece[i] == '\n') {
                line[filled] = '\0';
                count += counts(line, with_brk);
                filled = 0;
            } else if (filled < sizeof(line) - 1) {
                /* What a long path has beyond the buffer is of no interest. */
                line[filled++] = piece[i];
            }
        }
    }
    if (got < 0) {
        bench_die("read of /proc/self/maps");
    }
    close(fd);
    return count;
}
