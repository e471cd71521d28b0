/* SPDX-License-Identifier: MIT
 *
 * /proc/PID/smaps, one mapping at a time.
 *
 * Reading costs the kernel a walk over the page tables of the process, some 21 ms for each resident GiB, during which the process
 * may have to wait for its own address space. Callers estimate first (ebb__smaps_estimate_ms()).
 */
#ifndef EBB_PROBE_SMAPS_H
#define EBB_PROBE_SMAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "probe/fact.h"
#include "probe/lines.h"
#include "probe/maps.h"

enum ebb_smaps_field {
#define EBB_SMAPS(id, name, key, kb) EBB_SMAPS_##id,
#include "probe/smaps.def"
#undef EBB_SMAPS
    EBB_SMAPS_FIELD_COUNT
};

enum ebb_vm_flag {
#define EBB_VM_FLAG(id, letters) EBB_VM_FLAG_##id,
#include "probe/smaps.def"
#undef EBB_VM_FLAG
    EBB_VM_FLAG_COUNT
};

struct ebb_smaps_row {
    const char *name; /* as ebb calls it */
    const char *key;  /* as the kernel calls it */
    bool kb;
};

/* The rows of smaps.def, for headings. */
extern const struct ebb_smaps_row ebb__smaps_rows[EBB_SMAPS_FIELD_COUNT];

struct ebb_smap {
    struct ebb_map map; /* its name is valid until the next call */
    struct ebb_fact facts[EBB_SMAPS_FIELD_COUNT];
    bool has_flags;
    uint64_t flags; /* bit f: EBB_VM_FLAG_f; words that are not in smaps.def set none */
};

/* The longest name in a head line: a path of which each byte is written as four. */
#define EBB_SMAPS_NAME_BYTES 16640

struct ebb_smaps {
    struct ebb_lines lines;
    int owned_fd; /* -1 for a text */
    bool has_next;
    unsigned turn; /* which of the names is the next entry's */
    struct ebb_map next;
    char names[2][EBB_SMAPS_NAME_BYTES];
};

int ebb__smaps_open(struct ebb_smaps *smaps, const char *root, pid_t pid);
void ebb__smaps_open_text(struct ebb_smaps *smaps, const char *text, size_t len);
void ebb__smaps_close(struct ebb_smaps *smaps);

/* The next mapping with what is said of it. 1, 0 at the end, or -errno: -EBADMSG when the text does not begin with a mapping or is
 * cut off in the middle of a line. Lines that are not understood are passed over. */
int ebb__smaps_next(struct ebb_smaps *smaps, struct ebb_smap *ret_smap);

/* The letters of a flag, for people. */
const char *ebb__vm_flag_letters(enum ebb_vm_flag flag);

static inline bool ebb__smap_has_flag(const struct ebb_smap *smap, enum ebb_vm_flag flag)
{
    return (smap->flags & (UINT64_C(1) << flag)) != 0;
}

/* Shared_Dirty and Private_Dirty, which pmap calls Dirty. */
struct ebb_fact ebb__smap_dirty(const struct ebb_fact facts[EBB_SMAPS_FIELD_COUNT]);

/* Memory in huge pages: AnonHugePages, ShmemPmdMapped and FilePmdMapped, as far as this kernel has them. */
struct ebb_fact ebb__smap_huge(const struct ebb_fact facts[EBB_SMAPS_FIELD_COUNT]);

/* What reading all of smaps will take, from resident bytes and mappings. */
uint64_t ebb__smaps_estimate_ms(uint64_t rss_bytes, uint64_t map_count);

#endif
