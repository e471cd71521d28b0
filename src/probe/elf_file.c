/* SPDX-License-Identifier: MIT
 *
 * What an ELF file says about how it will be loaded and what it needs; see elf_file.h. Symbols:
 * elf_symbols.c.
 */
#include "probe/elf_file.h"

#include <errno.h>
#include <gelf.h>
#include <string.h>
#include <sys/stat.h>

#include "probe/elf_priv.h"

/* A dynamic section of more entries than this is taken for damage: programs have some 40, plus one for each
 * needed library. */
#define DYNAMIC_ENTRIES_MAX 65536

/* Position in the file of an address of the file's own numbering, and the bytes of the file behind it. */
bool ebb__elf_offset_of(const struct ebb_elf *elf, uint64_t address, uint64_t *ret_offset)
{
    size_t count;
    GElf_Phdr phdr;

    if (elf_getphdrnum(elf->handle, &count) != 0)
        return false;
    for (size_t i = 0; i < count && i < PN_XNUM; i++) {
        if (gelf_getphdr(elf->handle, (int)i, &phdr) == NULL)
            return false;
        if (phdr.p_type == PT_LOAD && address >= phdr.p_vaddr && address - phdr.p_vaddr < phdr.p_filesz) {
            uint64_t offset = phdr.p_offset + (address - phdr.p_vaddr);

            if (offset >= elf->file_bytes)
                return false;
            *ret_offset = offset;
            return true;
        }
    }
    return false;
}

Elf_Data *ebb__elf_chunk(const struct ebb_elf *elf, uint64_t offset, uint64_t len, Elf_Type type)
{
    if (offset > elf->file_bytes || len > elf->file_bytes - offset || len > SIZE_MAX)
        return NULL;
    return elf_getdata_rawchunk(elf->handle, (int64_t)offset, (size_t)len, type);
}

const char *ebb__elf_string(const Elf_Data *strings, uint64_t at)
{
    if (at >= strings->d_size)
        return NULL;
    if (memchr((const char *)strings->d_buf + at, '\0', strings->d_size - at) == NULL)
        return NULL;
    return (const char *)strings->d_buf + at;
}

static void take_interp(struct ebb_elf *elf, const GElf_Phdr *phdr)
{
    Elf_Data *data;

    elf->has_interp = true;
    if (phdr->p_filesz == 0 || phdr->p_filesz > sizeof(elf->interp))
        return;
    data = ebb__elf_chunk(elf, phdr->p_offset, phdr->p_filesz, ELF_T_BYTE);
    if (data != NULL && ebb__elf_string(data, 0) != NULL)
        memcpy(elf->interp, data->d_buf, strlen(data->d_buf) + 1);
}

static Elf_Data *dynamic_section(const struct ebb_elf *elf, size_t *ret_count)
{
    size_t entry_bytes = gelf_fsize(elf->handle, ELF_T_DYN, 1, EV_CURRENT);
    uint64_t count = elf->dynamic_bytes / entry_bytes;

    if (count == 0 || count > DYNAMIC_ENTRIES_MAX)
        return NULL;
    *ret_count = (size_t)count;
    return ebb__elf_chunk(elf, elf->dynamic_offset, count * entry_bytes, ELF_T_DYN);
}

static int take_dynamic(struct ebb_elf *elf, const GElf_Phdr *phdr)
{
    Elf_Data *data;
    size_t count;

    elf->dynamic_offset = phdr->p_offset;
    elf->dynamic_bytes = phdr->p_filesz;
    data = dynamic_section(elf, &count);
    if (data == NULL)
        return -EBADMSG;
    elf->has_dynamic = true;
    for (size_t i = 0; i < count; i++) {
        GElf_Dyn entry;

        if (gelf_getdyn(data, (int)i, &entry) == NULL)
            return -EBADMSG;
        if (entry.d_tag == DT_NULL)
            break;
        if (entry.d_tag == DT_STRTAB)
            elf->strtab = entry.d_un.d_ptr;
        else if (entry.d_tag == DT_STRSZ)
            elf->strtab_bytes = entry.d_un.d_val;
        else if (entry.d_tag == DT_SYMTAB)
            elf->symtab = entry.d_un.d_ptr;
        else if (entry.d_tag == DT_HASH)
            elf->hash = entry.d_un.d_ptr;
        else if (entry.d_tag == DT_GNU_HASH)
            elf->gnu_hash = entry.d_un.d_ptr;
    }
    return 0;
}

static int take_program_headers(struct ebb_elf *elf)
{
    size_t count;

    if (elf_getphdrnum(elf->handle, &count) != 0)
        return -EBADMSG;
    for (size_t i = 0; i < count && i < PN_XNUM; i++) {
        GElf_Phdr phdr;
        int err = 0;

        if (gelf_getphdr(elf->handle, (int)i, &phdr) == NULL)
            return -EBADMSG;
        if (phdr.p_type == PT_INTERP)
            take_interp(elf, &phdr);
        else if (phdr.p_type == PT_DYNAMIC)
            err = take_dynamic(elf, &phdr);
        if (err != 0)
            return err;
    }
    return 0;
}

/* Takes over `handle`, also on failure. Program headers of a file that is never loaded are not followed. */
static int inspect(struct ebb_elf *ret_elf, Elf *handle, uint64_t file_bytes, bool loads)
{
    struct ebb_elf elf = {.handle = handle, .file_bytes = file_bytes};
    GElf_Ehdr header;
    int err;

    if (handle == NULL)
        return -ENOEXEC;
    if (elf_kind(handle) != ELF_K_ELF) {
        elf_end(handle);
        return -ENOEXEC;
    }
    if (gelf_getehdr(handle, &header) == NULL) {
        elf_end(handle);
        return -EBADMSG;
    }
    elf.bits = gelf_getclass(handle) == ELFCLASS64 ? 64 : 32;
    elf.big_endian = header.e_ident[EI_DATA] == ELFDATA2MSB;
    elf.machine = header.e_machine;
    elf.type = header.e_type;
    err = loads ? take_program_headers(&elf) : 0;
    if (err != 0) {
        elf_end(handle);
        return err;
    }
    *ret_elf = elf;
    return 0;
}

static int open_file(struct ebb_elf *ret_elf, int fd, bool loads)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || st.st_size < EI_NIDENT)
        return -ENOEXEC;
    elf_version(EV_CURRENT);
    return inspect(ret_elf, elf_begin(fd, ELF_C_READ, NULL), (uint64_t)st.st_size, loads);
}

int ebb__elf_open(struct ebb_elf *ret_elf, int fd)
{
    return open_file(ret_elf, fd, true);
}

int ebb__elf_open_debug(struct ebb_elf *ret_elf, int fd)
{
    return open_file(ret_elf, fd, false);
}

int ebb__elf_open_memory(struct ebb_elf *ret_elf, char *image, size_t len)
{
    if (len < EI_NIDENT)
        return -ENOEXEC;
    elf_version(EV_CURRENT);
    return inspect(ret_elf, elf_memory(image, len), len, true);
}

void ebb__elf_close(struct ebb_elf *elf)
{
    if (elf->handle != NULL)
        elf_end(elf->handle);
    elf->handle = NULL;
}

Elf_Data *ebb__elf_dynamic_strings(const struct ebb_elf *elf)
{
    uint64_t offset;

    if (elf->strtab == 0 || elf->strtab_bytes == 0 || !ebb__elf_offset_of(elf, elf->strtab, &offset))
        return NULL;
    return ebb__elf_chunk(elf, offset, elf->strtab_bytes, ELF_T_BYTE);
}

int ebb__elf_needed_each(struct ebb_elf *elf, ebb_elf_needed_fn fn, void *context)
{
    Elf_Data *entries;
    Elf_Data *strings;
    size_t count;

    if (!elf->has_dynamic)
        return 0;
    entries = dynamic_section(elf, &count);
    if (entries == NULL)
        return -EBADMSG;
    for (size_t i = 0; i < count; i++) {
        const char *name;
        GElf_Dyn entry;

        if (gelf_getdyn(entries, (int)i, &entry) == NULL)
            return -EBADMSG;
        if (entry.d_tag == DT_NULL)
            break;
        if (entry.d_tag != DT_NEEDED)
            continue;
        strings = ebb__elf_dynamic_strings(elf);
        name = strings == NULL ? NULL : ebb__elf_string(strings, entry.d_un.d_val);
        if (name == NULL)
            return -EBADMSG;
        if (!fn(context, name))
            break;
    }
    return 0;
}

int ebb__elf_bias(struct ebb_elf *elf, uint64_t map_start, uint64_t map_offset_bytes, uint64_t page_bytes,
                  uint64_t *ret_bias)
{
    size_t count;

    if (elf_getphdrnum(elf->handle, &count) != 0)
        return -ENOENT;
    for (size_t i = 0; i < count && i < PN_XNUM; i++) {
        GElf_Phdr phdr;

        if (gelf_getphdr(elf->handle, (int)i, &phdr) == NULL)
            return -ENOENT;
        if (phdr.p_type == PT_LOAD && (phdr.p_offset & ~(page_bytes - 1)) == map_offset_bytes) {
            *ret_bias = map_start - (phdr.p_vaddr & ~(page_bytes - 1));
            return 0;
        }
    }
    return -ENOENT;
}
