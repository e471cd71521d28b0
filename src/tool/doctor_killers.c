/* SPDX-License-Identifier: MIT
 *
 * What ebb doctor reads of a host beside the kernel's own figures: programs that kill, and who may hold memory that no line of
 * /proc/meminfo names; see doctor.h.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tool/doctor.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- killers ---- */

/* Programs that kill when memory is short. */
static const struct {
    const char *name;
    bool by_score;
} KILLERS[] = {{"systemd-oomd", false}, {"oomd", false}, {"earlyoom", true}, {"nohang", true}};

/* "10", "10,5" and "0.5": what comes first, in hundredths. */
static struct ebb_fact percent(const char *text)
{
    struct ebb_scan scan = {.at = text, .end = text + strlen(text)};
    uint64_t whole;
    uint64_t part = 0;

    if (!ebb__scan_dec(&scan, &whole) || whole > 100)
        return ebb__fact_unknown(-EBADMSG);
    if (ebb__scan_char(&scan, '.') && scan.at < scan.end && scan.at[0] >= '0' && scan.at[0] <= '9')
        part = (uint64_t)(scan.at[0] - '0') * 10;
    return ebb__fact(whole * 100 + part);
}

/* The value of an option with one letter, behind it or in the next word; NULL without it. `words` end with NULs. */
static const char *value_of(const char *words, size_t len, char letter)
{
    const char *end = words + len;

    for (const char *at = words; at < end; at += strlen(at) + 1) {
        if (at[0] != '-' || at[1] != letter)
            continue;
        if (at[2] != '\0')
            return at + 2;
        return at + 3 < end ? at + 3 : NULL;
    }
    return NULL;
}

/* earlyoom acts when a tenth is left, of both, if it is not told otherwise. */
static void read_earlyoom(const char *root, struct ebb_doctor_killer *killer)
{
    static char words[4096];
    size_t len;
    const char *memory;
    const char *swap;

    killer->memory_hundredths = killer->swap_hundredths = ebb__fact_unknown(-ENODATA);
    if (ebb__proc_read(root, (pid_t)killer->pid, "cmdline", words, sizeof(words) - 1, &len) != 0 || len == 0)
        return;
    words[len] = '\0';
    /* In KiB instead of percent. */
    if (value_of(words, len, 'M') != NULL || value_of(words, len, 'S') != NULL)
        return;
    memory = value_of(words, len, 'm');
    swap = value_of(words, len, 's');
    killer->memory_hundredths = memory == NULL ? ebb__fact(1000) : percent(memory);
    killer->swap_hundredths = swap == NULL ? ebb__fact(1000) : percent(swap);
}

static void add_killer(const struct ebb_doctor_run *run, size_t process, struct ebb_doctor_host *host)
{
    struct ebb_doctor_killer *killer = &host->killers[host->killer_count];

    if (host->killer_count == EBB_DOCTOR_KILLERS_MAX)
        return;
    for (size_t i = 0; i < COUNT(KILLERS); i++) {
        if (strcmp(run->oom.processes[process].name, KILLERS[i].name) != 0)
            continue;
        *killer = (struct ebb_doctor_killer){
            .name = KILLERS[i].name, .pid = run->oom.tasks[process].pid, .by_score = KILLERS[i].by_score};
        if (strcmp(killer->name, "earlyoom") == 0)
            read_earlyoom(run->root, killer);
        host->killer_count++;
    }
}

static void find_killers(const struct ebb_doctor_run *run, struct ebb_doctor_host *host)
{
    uint64_t highest = 0;

    for (size_t i = 0; i < run->oom.count; i++) {
        struct ebb_fact score = run->oom.processes[i].score;

        add_killer(run, i, host);
        if (!score.known || score.value <= highest)
            continue;
        highest = score.value;
        host->score_name = run->oom.processes[i].name;
        host->score_pid = run->oom.tasks[i].pid;
    }
}

/* ---- memory without a name ---- */

/* "size  4  16777216" among the lines of arcstats. */
static struct ebb_fact read_arc(const char *root)
{
    static char text[32768];
    size_t len;
    int err = ebb__file_read(root, "/proc/spl/kstat/zfs/arcstats", text, sizeof(text), &len);
    const char *found = err == 0 ? memmem(text, len, "\nsize ", 6) : NULL;
    struct ebb_scan scan = {.at = found == NULL ? text : found + 6, .end = found == NULL ? text : text + len};
    uint64_t kind;
    uint64_t bytes;

    if (err != 0)
        return ebb__fact_unknown(err);
    ebb__scan_blanks(&scan);
    if (!ebb__scan_dec(&scan, &kind))
        return ebb__fact_unknown(-EBADMSG);
    ebb__scan_blanks(&scan);
    return ebb__scan_dec(&scan, &bytes) ? ebb__fact(bytes) : ebb__fact_unknown(-EBADMSG);
}

/* The third number of mm_stat: what the device has taken. Hosts with more than a few have had them made one by one. */
static struct ebb_fact read_zram(const char *root)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < 16; i++) {
        char path[64];
        char text[256];
        struct ebb_scan scan = {.at = text, .end = text};
        uint64_t number = 0;
        size_t len;

        snprintf(path, sizeof(path), "/sys/block/zram%u/mm_stat", i);
        if (ebb__file_read(root, path, text, sizeof(text), &len) != 0)
            continue;
        scan.end = text + len;
        for (unsigned column = 0; column < 3; column++) {
            ebb__scan_blanks(&scan);
            if (!ebb__scan_dec(&scan, &number))
                return ebb__fact_unknown(-EBADMSG);
        }
        sum += number;
    }
    return ebb__fact(sum);
}

static bool is_loaded(const char *root, const char *module)
{
    char path[64];
    char text[64];
    size_t len;

    snprintf(path, sizeof(path), "/sys/module/%s/initstate", module);
    return ebb__file_read(root, path, text, sizeof(text), &len) == 0;
}

static void find_drivers(const char *root, struct ebb_doctor_host *host)
{
    /* Balloons, graphics, storage and network in user space. */
    static const char *const NAMES[] = {"vmw_balloon", "hv_balloon", "zfs",  "nvidia", "amdgpu",
                                        "i915",        "xe",         "drbd", "vfio",   "kvm"};

    for (size_t i = 0; i < COUNT(NAMES) && host->driver_count < EBB_DOCTOR_DRIVERS_MAX; i++)
        if (is_loaded(root, NAMES[i]))
            host->drivers[host->driver_count++] = NAMES[i];
}

void ebb__doctor_beside(const struct ebb_doctor_run *run, struct ebb_doctor_host *host)
{
    host->min_ttl_ms = run->oom.min_ttl_ms;
    find_killers(run, host);
    host->arc_bytes = read_arc(run->root);
    host->zram_bytes = read_zram(run->root);
    find_drivers(run->root, host);
}
