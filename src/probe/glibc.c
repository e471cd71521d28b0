/* SPDX-License-Identifier: MIT
 *
 * Reading glibc's malloc in another process: versions, layouts, and the cache of lines; see glibc.h.
 */
#include "probe/glibc.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "probe/glibc_priv.h"
#include "probe/scan.h"

#define NO_FIELD (-1)

static const int16_t PAR_A[EBB_GLIBC_PAR_COUNT] = {
#define EBB_GLIBC_PAR(id, a, b, bytes) [EBB_GLIBC_PAR_##id] = (a),
#include "probe/glibc_layout.def"
#undef EBB_GLIBC_PAR
};

static const int16_t PAR_B[EBB_GLIBC_PAR_COUNT] = {
#define EBB_GLIBC_PAR(id, a, b, bytes) [EBB_GLIBC_PAR_##id] = (b),
#include "probe/glibc_layout.def"
#undef EBB_GLIBC_PAR
};

static const struct ebb_glibc_layout LAYOUTS[] = {
#define EBB_GLIBC_LAYOUT(first, last, heap_info_bytes, hides_links, tcache_count_bytes, par)                 \
    {first, last, heap_info_bytes, hides_links, tcache_count_bytes, PAR_##par},
#include "probe/glibc_layout.def"
#undef EBB_GLIBC_LAYOUT
};

const struct ebb_glibc_layout *ebb__glibc_layout(unsigned minor)
{
    for (size_t i = 0; i < sizeof(LAYOUTS) / sizeof(LAYOUTS[0]); i++)
        if (minor >= LAYOUTS[i].first && minor <= LAYOUTS[i].last)
            return &LAYOUTS[i];
    return NULL;
}

/* ---- reading ---- */

int ebb__glibc_peek(struct ebb_glibc_process *process, uint64_t address, void *buf, size_t len)
{
    process->peeks++;
    process->peeked_bytes += len;
    return process->peek(process->context, address, buf, len);
}

void ebb__glibc_forget(struct ebb_glibc_process *process)
{
    memset(process->tags, 0, sizeof(process->tags));
}

int ebb__glibc_chunk(struct ebb_glibc_process *process, uint64_t address, struct glibc_chunk_head *ret_head)
{
    uint64_t offset = address % EBB_GLIBC_LINE_BYTES;
    uint64_t line = address - offset;
    uint64_t slot = line / EBB_GLIBC_LINE_BYTES * UINT64_C(0x9e3779b97f4a7c15) >> 52;

    _Static_assert(EBB_GLIBC_LINES == 1 << 12, "the slot has 12 bits");
    /* A head that is cut by the end of a line is rare, as blocks are aligned to 16 bytes, and not worth two lines. */
    if (offset + sizeof(*ret_head) > EBB_GLIBC_LINE_BYTES)
        return ebb__glibc_peek(process, address, ret_head, sizeof(*ret_head));
    if (process->tags[slot] != line + 1) {
        int err = ebb__glibc_peek(process, line, process->lines[slot], EBB_GLIBC_LINE_BYTES);

        process->tags[slot] = 0;
        if (err != 0)
            return err;
        process->tags[slot] = line + 1;
    }
    memcpy(ret_head, process->lines[slot] + offset, sizeof(*ret_head));
    return 0;
}

int ebb__glibc_chunks(struct ebb_glibc_process *process, const uint64_t *addresses, size_t count,
                      struct glibc_chunk_head *ret_heads)
{
    int err = 0;

    if (process->peek_many != NULL) {
        process->peeks++;
        process->peeked_bytes += count * sizeof(*ret_heads);
        return process->peek_many(process->context, addresses, count, ret_heads, sizeof(*ret_heads));
    }
    for (size_t i = 0; i < count && err == 0; i++)
        err = ebb__glibc_peek(process, addresses[i], &ret_heads[i], sizeof(*ret_heads));
    return err;
}

/* ---- which version ---- */

static const char BANNER[] = "GNU C Library";
static const char RELEASE[] = "release version 2.";

/* The rest of the banner's first sentence is at most this long, distributions' own words included. */
#define BANNER_BYTES 256

bool ebb__glibc_banner(const char *text, size_t len, unsigned *ret_minor)
{
    const char *end = text + len;

    while ((text = memmem(text, (size_t)(end - text), BANNER, strlen(BANNER))) != NULL) {
        size_t rest = (size_t)(end - text);
        const char *release =
            memmem(text, rest < BANNER_BYTES ? rest : BANNER_BYTES, RELEASE, strlen(RELEASE));
        struct ebb_scan scan;
        uint64_t minor;

        text += strlen(BANNER);
        if (release == NULL)
            continue;
        scan = (struct ebb_scan){.at = release + strlen(RELEASE), .end = end};
        /* What follows the number must be there: it may have been cut. */
        if (ebb__scan_dec(&scan, &minor) && minor < 1000 && scan.at < end) {
            *ret_minor = (unsigned)minor;
            return true;
        }
    }
    return false;
}

int ebb__glibc_version(struct ebb_glibc_process *process, uint64_t start, uint64_t end, unsigned *ret_minor)
{
    char *window = (char *)process->data;
    uint64_t room = sizeof(process->data);

    while (start < end) {
        size_t len = (size_t)(end - start < room ? end - start : room);
        int err = ebb__glibc_peek(process, start, window, len);

        if (err != 0)
            return err;
        if (ebb__glibc_banner(window, len, ret_minor))
            return 0;
        if (len < room)
            return -ENOENT;
        start += len - BANNER_BYTES;
    }
    return -ENOENT;
}

/* Looks through the notes of one segment, which are in `notes`. */
static bool take_build_id(const uint8_t *notes, size_t len, char ret_id[EBB_GLIBC_BUILD_ID_BYTES])
{
    size_t at = 0;

    while (at + sizeof(Elf64_Nhdr) <= len) {
        Elf64_Nhdr note;
        size_t name;
        size_t text;

        memcpy(&note, notes + at, sizeof(note));
        name = at + sizeof(note);
        if (note.n_namesz > len || note.n_descsz > len)
            return false;
        text = name + ((note.n_namesz + 3u) & ~3u);
        if (text + note.n_descsz > len)
            return false;
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && memcmp(notes + name, "GNU", 4) == 0 &&
            note.n_descsz * 2 < EBB_GLIBC_BUILD_ID_BYTES) {
            for (size_t i = 0; i < note.n_descsz; i++)
                snprintf(ret_id + i * 2, 3, "%02x", notes[text + i]);
            return true;
        }
        at = text + ((note.n_descsz + 3u) & ~3u);
    }
    return false;
}

void ebb__glibc_build_id(struct ebb_glibc_process *process, uint64_t base,
                         char ret_id[EBB_GLIBC_BUILD_ID_BYTES])
{
    Elf64_Ehdr file;
    uint8_t notes[1024];

    ret_id[0] = '\0';
    if (ebb__glibc_peek(process, base, &file, sizeof(file)) != 0 ||
        memcmp(file.e_ident, ELFMAG, SELFMAG) != 0 || file.e_ident[EI_CLASS] != ELFCLASS64 ||
        file.e_phentsize != sizeof(Elf64_Phdr))
        return;
    for (unsigned i = 0; i < file.e_phnum && i < 64; i++) {
        Elf64_Phdr segment;

        if (ebb__glibc_peek(process, base + file.e_phoff + i * sizeof(segment), &segment, sizeof(segment)) !=
            0)
            return;
        if (segment.p_type != PT_NOTE || segment.p_filesz > sizeof(notes) ||
            ebb__glibc_peek(process, base + segment.p_offset, notes, (size_t)segment.p_filesz) != 0)
            continue;
        if (take_build_id(notes, (size_t)segment.p_filesz, ret_id))
            return;
        ret_id[0] = '\0';
    }
}

uint64_t ebb__glibc_tcache_max_bytes(const struct ebb_glibc *glibc)
{
    uint64_t bins = glibc->par[EBB_GLIBC_PAR_TCACHE_BINS];

    if (!glibc->has_par)
        return 0;
    /* Sizes of blocks: 32, 48, 64, ... */
    return glibc->par[EBB_GLIBC_PAR_TCACHE_COUNT] *
           (bins * CHUNK_MIN_BYTES + bins * (bins - 1) / 2 * CHUNK_ALIGN);
}
