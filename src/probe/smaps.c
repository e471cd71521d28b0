/* SPDX-License-Identifier: MIT
 *
 * /proc/PID/smaps; see smaps.h.
 *
 * An entry ends where the next one's head line stands, so a walk is always one head line ahead: its name is kept in one of two
 * buffers while the caller still looks at the other.
 */
#include "probe/smaps.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "probe/proc.h"
#include "probe/scan.h"

_Static_assert(EBB_VM_FLAG_COUNT <= 64, "one bit of ebb_smap.flags for each");

/* A walk of page tables: 4.475 s were measured for 210 GiB of pages of 4 KiB. */
#define WALK_US_PER_GIB 21000

/* Writing and reading some 25 lines; measured on x86-64 at 3 GHz. */
#define TEXT_NS_PER_MAP 6000

const struct ebb_smaps_row ebb__smaps_rows[EBB_SMAPS_FIELD_COUNT] = {
#define EBB_SMAPS(id, name, key, kb) [EBB_SMAPS_##id] = {#name, key, kb},
#include "probe/smaps.def"
#undef EBB_SMAPS
};

static const char VM_FLAGS[EBB_VM_FLAG_COUNT][3] = {
#define EBB_VM_FLAG(id, letters) [EBB_VM_FLAG_##id] = letters,
#include "probe/smaps.def"
#undef EBB_VM_FLAG
};

const char *ebb__vm_flag_letters(enum ebb_vm_flag flag)
{
    return VM_FLAGS[flag];
}

int ebb__smaps_open(struct ebb_smaps *smaps, const char *root, pid_t pid)
{
    int fd = ebb__proc_open(root, pid, "smaps");

    if (fd < 0)
        return fd;
    ebb__lines_init_fd(&smaps->lines, fd);
    smaps->owned_fd = fd;
    smaps->has_next = false;
    smaps->turn = 0;
    return 0;
}

void ebb__smaps_open_text(struct ebb_smaps *smaps, const char *text, size_t len)
{
    ebb__lines_init_text(&smaps->lines, text, len);
    smaps->owned_fd = -1;
    smaps->has_next = false;
    smaps->turn = 0;
}

void ebb__smaps_close(struct ebb_smaps *smaps)
{
    if (smaps->owned_fd >= 0)
        close(smaps->owned_fd);
    smaps->owned_fd = -1;
}

/* Keeps a head line for the next entry. Head lines begin with a hexadecimal address, the others with a capital letter and a colon
 * behind it. */
static bool take_head(struct ebb_smaps *smaps, const char *line, size_t len)
{
    struct ebb_map map;

    if (ebb__maps_line_parse(line, len, &map) != 0)
        return false;
    smaps->turn ^= 1;
    /* A longer name does not come from a kernel. */
    if (map.name_len > EBB_SMAPS_NAME_BYTES)
        map.name_len = EBB_SMAPS_NAME_BYTES;
    memcpy(smaps->names[smaps->turn], map.name, map.name_len);
    map.name = smaps->names[smaps->turn];
    smaps->next = map;
    smaps->has_next = true;
    return true;
}

static void take_flags(struct ebb_scan scan, struct ebb_smap *smap)
{
    smap->has_flags = true;
    for (;;) {
        ebb__scan_blanks(&scan);
        if (scan.end - scan.at < 2)
            return;
        for (unsigned i = 0; i < EBB_VM_FLAG_COUNT; i++)
            if (memcmp(scan.at, VM_FLAGS[i], 2) == 0 && (scan.end - scan.at == 2 || scan.at[2] == ' ')) {
                smap->flags |= UINT64_C(1) << i;
                break;
            }
        while (scan.at < scan.end && *scan.at != ' ')
            scan.at++;
    }
}

/* The row of a key; they come in the order of the table, so the search begins behind the last one that was found. */
static unsigned row_of(const char *key, size_t key_len, unsigned from)
{
    for (unsigned i = 0; i < EBB_SMAPS_FIELD_COUNT; i++) {
        unsigned at = (from + i) % EBB_SMAPS_FIELD_COUNT;

        /* By memcmp: a damaged text may hold a NUL. */
        if (strlen(ebb__smaps_rows[at].key) == key_len && memcmp(ebb__smaps_rows[at].key, key, key_len) == 0)
            return at;
    }
    return EBB_SMAPS_FIELD_COUNT;
}

static void take_line(const char *line, size_t len, struct ebb_smap *smap, unsigned *row)
{
    const char *colon = memchr(line, ':', len);
    struct ebb_scan scan = {.end = line + len};
    uint64_t value;
    unsigned at;

    if (colon == NULL)
        return;
    scan.at = colon + 1;
    if (colon - line == 7 && memcmp(line, "VmFlags", 7) == 0) {
        if (!smap->has_flags)
            take_flags(scan, smap);
        return;
    }
    at = row_of(line, (size_t)(colon - line), *row);
    if (at == EBB_SMAPS_FIELD_COUNT)
        return;
    *row = at + 1;
    ebb__scan_blanks(&scan);
    if (smap->facts[at].known || !ebb__scan_dec(&scan, &value))
        return;
    if (ebb__smaps_rows[at].kb &&
        (!ebb__scan_word(&scan, " kB") || __builtin_mul_overflow(value, UINT64_C(1024), &value)))
        return;
    smap->facts[at] = ebb__fact(value);
}

int ebb__smaps_next(struct ebb_smaps *smaps, struct ebb_smap *ret_smap)
{
    const char *line = NULL;
    size_t len = 0;
    unsigned row = 0;
    int got;

    if (!smaps->has_next) {
        got = ebb__lines_next(&smaps->lines, &line, &len);
        if (got <= 0)
            return got;
        if (!take_head(smaps, line, len))
            return -EBADMSG;
    }
    ret_smap->map = smaps->next;
    ret_smap->has_flags = false;
    ret_smap->flags = 0;
    for (unsigned i = 0; i < EBB_SMAPS_FIELD_COUNT; i++)
        ret_smap->facts[i] = ebb__fact_unknown(-ENODATA);
    smaps->has_next = false;
    while ((got = ebb__lines_next(&smaps->lines, &line, &len)) == 1 || got == -EMSGSIZE) {
        if (got != 1 || len == 0)
            continue;
        /* Names of lines are words with a capital letter; addresses have none. */
        if ((line[0] < 'A' || line[0] > 'Z') && take_head(smaps, line, len))
            return 1;
        take_line(line, len, ret_smap, &row);
    }
    return got < 0 ? got : 1;
}

/* Older kernels lack some of them: those are none. */
static struct ebb_fact sum_of(const struct ebb_fact *facts, const enum ebb_smaps_field *fields,
                              unsigned count)
{
    struct ebb_fact sum = facts[fields[0]];

    for (unsigned i = 1; i < count; i++) {
        struct ebb_fact more = facts[fields[i]];

        if (!sum.known)
            sum = more;
        else if (more.known && __builtin_add_overflow(sum.value, more.value, &sum.value))
            return ebb__fact_unknown(-EBADMSG);
    }
    return sum;
}

struct ebb_fact ebb__smap_dirty(const struct ebb_fact facts[EBB_SMAPS_FIELD_COUNT])
{
    static const enum ebb_smaps_field FIELDS[] = {EBB_SMAPS_SHARED_DIRTY, EBB_SMAPS_PRIVATE_DIRTY};

    return sum_of(facts, FIELDS, 2);
}

struct ebb_fact ebb__smap_huge(const struct ebb_fact facts[EBB_SMAPS_FIELD_COUNT])
{
    static const enum ebb_smaps_field FIELDS[] = {EBB_SMAPS_ANON_HUGE, EBB_SMAPS_SHMEM_HUGE,
                                                  EBB_SMAPS_FILE_HUGE};

    return sum_of(facts, FIELDS, 3);
}

uint64_t ebb__smaps_estimate_ms(uint64_t rss_bytes, uint64_t map_count)
{
    uint64_t walk_us = (rss_bytes >> 20) * WALK_US_PER_GIB >> 10;

    return walk_us / 1000 + map_count * TEXT_NS_PER_MAP / 1000000;
}
