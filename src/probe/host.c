/* SPDX-License-Identifier: MIT
 *
 * What the other numbers of a host are counted in; see host.h.
 */
#include "probe/host.h"

#include <errno.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "probe/file.h"
#include "probe/keyed.h"
#include "probe/lines.h"
#include "probe/scan.h"

/* The size of a page is a power of two; anything else would make nonsense of every size computed with it. */
#define PAGE_BYTES_MIN 4096
#define PAGE_BYTES_MAX (UINT64_C(1) << 21)
#define TICKS_MAX      10000

#define MAGIC "ebb capture 1\n"

static const struct ebb_keyed_row ROWS[] = {
    {"page_bytes", offsetof(struct ebb_host, page_bytes)},
    {"clock_ticks", offsetof(struct ebb_host, clock_ticks)},
    {"processors", offsetof(struct ebb_host, processors)},
};

#define ROW_COUNT (sizeof(ROWS) / sizeof(ROWS[0]))

static const struct {
    const char *key;
    size_t at;
} TEXTS[] = {
    {"host: ", offsetof(struct ebb_host, name)},
    {"kernel: ", offsetof(struct ebb_host, release)},
    {"machine: ", offsetof(struct ebb_host, machine)},
    {"time: ", offsetof(struct ebb_host, time)},
};

/* What does not fit is cut. Control characters have no place in any of them. */
static void set_text(char *ret_text, const char *from, size_t len)
{
    if (len >= EBB_HOST_TEXT)
        len = EBB_HOST_TEXT - 1;
    for (size_t i = 0; i < len; i++)
        ret_text[i] = (unsigned char)from[i] < ' ' || from[i] == 0x7f ? '?' : from[i];
    ret_text[len] = '\0';
}

static void take_texts(const char *text, size_t len, struct ebb_host *host)
{
    struct ebb_scan scan = {.at = text, .end = text + len};

    while (scan.at < scan.end) {
        const char *end = memchr(scan.at, '\n', (size_t)(scan.end - scan.at));

        if (end == NULL)
            return;
        for (unsigned i = 0; i < sizeof(TEXTS) / sizeof(TEXTS[0]); i++) {
            char *member = (char *)host + TEXTS[i].at;
            struct ebb_scan line = {.at = scan.at, .end = end};

            if (*member == '\0' && ebb__scan_word(&line, TEXTS[i].key))
                set_text(member, line.at, (size_t)(end - line.at));
        }
        scan.at = end + 1;
    }
}

/* Makes a number unknown that no machine has. */
static void refuse_nonsense(struct ebb_host *host)
{
    uint64_t page = host->page_bytes.value;

    if (host->page_bytes.known &&
        (page < PAGE_BYTES_MIN || page > PAGE_BYTES_MAX || (page & (page - 1)) != 0))
        host->page_bytes = ebb__fact_unknown(-EBADMSG);
    if (host->clock_ticks.known && (host->clock_ticks.value == 0 || host->clock_ticks.value > TICKS_MAX))
        host->clock_ticks = ebb__fact_unknown(-EBADMSG);
    if (host->processors.known && host->processors.value == 0)
        host->processors = ebb__fact_unknown(-EBADMSG);
}

int ebb__host_parse(const char *text, size_t len, struct ebb_host *ret_host)
{
    struct ebb_host host = {0};
    struct ebb_scan scan = {.at = text, .end = text + len};

    if (!ebb__scan_word(&scan, MAGIC))
        return -EBADMSG;
    ebb__keyed_parse(text, len, ROWS, ROW_COUNT, &host);
    take_texts(text, len, &host);
    refuse_nonsense(&host);
    *ret_host = host;
    return 0;
}

bool ebb__host_is_live(const char *root)
{
    return root[strspn(root, "/")] == '\0';
}

static struct ebb_fact from_sysconf(int name)
{
    long value = sysconf(name);

    return value > 0 ? ebb__fact((uint64_t)value) : ebb__fact_unknown(-ENODATA);
}

static void read_live(struct ebb_host *host)
{
    struct utsname names;

    host->page_bytes = from_sysconf(_SC_PAGESIZE);
    host->clock_ticks = from_sysconf(_SC_CLK_TCK);
    host->processors = from_sysconf(_SC_NPROCESSORS_ONLN);
    if (uname(&names) != 0)
        return;
    set_text(host->name, names.nodename, strlen(names.nodename));
    set_text(host->release, names.release, strlen(names.release));
    set_text(host->machine, names.machine, strlen(names.machine));
}

/* Processors are the lines of /proc/stat that begin with "cpu" and a digit. */
static struct ebb_fact count_processors(const char *root)
{
    struct ebb_lines lines;
    const char *line;
    size_t len;
    uint64_t count = 0;
    int fd = ebb__file_open(root, "/proc/stat");
    int got;

    if (fd < 0)
        return ebb__fact_unknown(fd);
    ebb__lines_init_fd(&lines, fd);
    while ((got = ebb__lines_next(&lines, &line, &len)) == 1 || got == -EMSGSIZE)
        count += got == 1 && len > 3 && memcmp(line, "cpu", 3) == 0 && line[3] >= '0' && line[3] <= '9';
    close(fd);
    return count != 0 ? ebb__fact(count) : ebb__fact_unknown(-ENODATA);
}

static void read_release(const char *root, struct ebb_host *host)
{
    char text[EBB_HOST_TEXT];
    size_t len;

    if (ebb__file_read(root, "/proc/sys/kernel/osrelease", text, sizeof(text), &len) == 0)
        set_text(host->release, text, len > 0 && text[len - 1] == '\n' ? len - 1 : len);
}

void ebb__host_read(const char *root, struct ebb_host *ret_host)
{
    char text[65536]; /* a line for each file that was left out */
    size_t len;
    int err;

    *ret_host = (struct ebb_host){0};
    if (ebb__host_is_live(root)) {
        read_live(ret_host);
        return;
    }
    err = ebb__file_read(root, EBB_HOST_MANIFEST, text, sizeof(text), &len);
    if (err == -EMSGSIZE) { /* what we need stands at its head */
        len = sizeof(text);
        err = 0;
    }
    if (err == 0)
        err = ebb__host_parse(text, len, ret_host);
    if (err != 0)
        ebb__keyed_unknown(err, ROWS, ROW_COUNT, ret_host);
    if (!ret_host->processors.known)
        ret_host->processors = count_processors(root);
    if (ret_host->release[0] == '\0')
        read_release(root, ret_host);
}

bool ebb__host_kernel_is(const struct ebb_host *host, unsigned major, unsigned minor)
{
    struct ebb_scan scan = {.at = host->release, .end = host->release + strlen(host->release)};
    uint64_t has_major;
    uint64_t has_minor = 0;

    if (!ebb__scan_dec(&scan, &has_major))
        return false;
    if (ebb__scan_char(&scan, '.'))
        ebb__scan_dec(&scan, &has_minor);
    return has_major > major || (has_major == major && has_minor >= minor);
}
