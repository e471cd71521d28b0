/* SPDX-License-Identifier: MIT
 *
 * A kernel's log as a whole; see oom_log_file.h.
 */
#include "tool/oom_log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "probe/file.h"
#include "probe/host.h"
#include "probe/scan.h"
#include "tool/cmd.h"

/* The kernel's own buffer has 64 MiB at most in practice; of a log file that is longer, the end counts. Memory is taken as it is used. */
#define TEXT_BYTES (UINT64_C(256) << 20)

/* The end of what a descriptor has, where it is longer than the buffer. */
static int read_end(int fd, struct ebb_oom_log_file *log)
{
    off_t size = lseek(fd, 0, SEEK_END);

    if (size > 0 && (uint64_t)size > log->mapped_bytes) {
        log->cut = true;
        size -= (off_t)log->mapped_bytes;
    } else {
        size = 0;
    }
    /* A pipe has no end to begin from, and is read as it comes. */
    (void)lseek(fd, size, SEEK_SET);
    for (;;) {
        ssize_t got = read(fd, log->text + log->len, log->mapped_bytes - log->len);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            return 0;
        log->len += (size_t)got;
        if (log->len == log->mapped_bytes) {
            log->cut = true;
            return 0;
        }
    }
}

static int read_file(const char *file, struct ebb_oom_log_file *log)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    int err;

    if (fd < 0)
        return -errno;
    err = read_end(fd, log);
    close(fd);
    return err;
}

/* `root` is NULL when a file was named. */
static int fail(const char *name, int err, const char *root)
{
    bool buffer = root != NULL;

    if (buffer && !ebb__host_is_live(root) && err == -ENOENT)
        fprintf(stderr,
                "ebb oom: %s holds no log of the kernel: give one of that host with --file, such as "
                "what journalctl -k prints there\n",
                root);
    else if (buffer && (err == -EPERM || err == -EACCES))
        fprintf(stderr, "ebb oom: the kernel's log may not be read: it needs CAP_SYSLOG "
                        "(kernel.dmesg_restrict); or give a log "
                        "with --file, such as what journalctl -k prints\n");
    else
        fprintf(stderr, "ebb oom: cannot read %s: %s\n", name, strerror(-err));
    return EBB_EXIT_FAILED;
}

int ebb__oom_log_file_read(const char *root, const char *file, struct ebb_oom_log_file *ret_log)
{
    struct ebb_oom_log_file log = {.mapped_bytes = TEXT_BYTES};
    void *text =
        mmap(NULL, TEXT_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int err;

    if (text == MAP_FAILED)
        return fail("memory for the log", -errno, NULL);
    log.text = text;
    if (file != NULL) {
        err = read_file(file, &log);
    } else {
        err = ebb__oom_log_read(root, log.text, log.mapped_bytes, &log.len);
        log.live = ebb__host_is_live(root);
        if (err == -EMSGSIZE) {
            log.cut = true;
            err = 0;
        }
    }
    if (err != 0) {
        ebb__oom_log_file_fini(&log);
        return fail(file != NULL ? file : "/dev/kmsg", err, file != NULL ? NULL : root);
    }
    *ret_log = log;
    return EBB_EXIT_OK;
}

void ebb__oom_log_file_fini(struct ebb_oom_log_file *log)
{
    munmap(log->text, log->mapped_bytes);
    log->text = NULL;
}

/* ---- time ---- */

/* Today's clock, less the time since that moment. */
static time_t when_since_boot(uint64_t boot_us)
{
    struct timespec real;
    struct timespec boot;
    double age;

    clock_gettime(CLOCK_REALTIME, &real);
    clock_gettime(CLOCK_MONOTONIC, &boot); /* the kernel's stamps stand still in suspend, too */
    age = (double)boot.tv_sec + (double)boot.tv_nsec / 1e9 - (double)boot_us / 1e6;
    return (time_t)((double)real.tv_sec + (double)real.tv_nsec / 1e9 - age);
}

bool ebb__oom_log_when(const struct ebb_oom_log_file *log, const struct ebb_oom_stamp *stamp,
                       time_t *ret_when)
{
    struct tm parts = {.tm_isdst = -1};
    time_t now = time(NULL);
    const char *end;

    if (stamp->text[0] == '\0' || strspn(stamp->text, "0123456789. ") == strlen(stamp->text)) {
        if (!log->live || !stamp->boot_us.known)
            return false;
        *ret_when = when_since_boot(stamp->boot_us.value);
        return true;
    }
    end = strptime(stamp->text, "%Y-%m-%dT%H:%M:%S", &parts);
    if (end != NULL) {
        const char *zone = end + strspn(end, ".,0123456789");
        struct tm offset = {0};

        *ret_when = mktime(&parts);
        if (strptime(zone, "%z", &offset) != NULL)
            *ret_when = timegm(&parts) - offset.tm_gmtoff;
        return true;
    }
    if (strptime(stamp->text, "%a %b %d %H:%M:%S %Y", &parts) != NULL) {
        *ret_when = mktime(&parts);
        return true;
    }
    /* Syslog leaves the year out: what would lie in the future was last year. */
    localtime_r(&now, &parts);
    if (strptime(stamp->text, "%b %d %H:%M:%S", &parts) == NULL)
        return false;
    parts.tm_isdst = -1;
    *ret_when = mktime(&parts);
    if (*ret_when > now + 24 * 60 * 60) {
        parts.tm_year--;
        parts.tm_isdst = -1;
        *ret_when = mktime(&parts);
    }
    return true;
}

int ebb__oom_log_since(const char *text, time_t now, time_t *ret_when)
{
    static const char *const FORMATS[] = {"%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S",
                                          "%Y-%m-%dT%H:%M:%S"};
    static const struct {
        char unit;
        uint64_t seconds;
    } UNITS[] = {{'s', 1}, {'m', 60}, {'h', 60 * 60}, {'d', 24 * 60 * 60}, {'w', 7 * 24 * 60 * 60}};
    struct ebb_scan scan = {.at = text, .end = text + strlen(text)};
    uint64_t value;

    ebb__scan_char(&scan, '-'); /* journalctl's way */
    if (ebb__scan_dec(&scan, &value) && scan.end - scan.at == 1 && value < 1000000)
        for (size_t i = 0; i < sizeof(UNITS) / sizeof(UNITS[0]); i++)
            if (*scan.at == UNITS[i].unit) {
                *ret_when = now - (time_t)(value * UNITS[i].seconds);
                return 0;
            }
    for (size_t i = 0; i < sizeof(FORMATS) / sizeof(FORMATS[0]); i++) {
        struct tm parts = {.tm_isdst = -1};
        const char *end = strptime(text, FORMATS[i], &parts);

        if (end != NULL && *end == '\0') {
            parts.tm_isdst = -1;
            *ret_when = mktime(&parts);
            return 0;
        }
    }
    return -EINVAL;
}
