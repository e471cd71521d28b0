/* SPDX-License-Identifier: MIT
 *
 * The symbols that an ELF file offers and wants; see elf_file.h.
 *
 * The dynamic section gives the place of the symbol table but not its length. We take the length from the
 * section header when there is one, else from the hash table that the dynamic linker uses.
 */
#include <errno.h>
#include <gelf.h>
#include <string.h>

#include "probe/elf_priv.h"

/* Words of a hash chain that are read at a time. */
#define CHAIN_STEP 512

/* The value of word `i` of a chunk of words. */
static uint64_t word_of(const Elf_Data *words, size_t i)
{
    uint32_t value;

    memcpy(&value, (const char *)words->d_buf + i * sizeof(value), sizeof(value));
    return value;
}

/* The length of the chain that starts at symbol `first`, as the number of the symbol behind its last. */
static uint64_t chain_end(const struct ebb_elf *elf, uint64_t chains_offset, uint64_t first, uint64_t base)
{
    uint64_t index = first - base;

    for (;;) {
        uint64_t offset = chains_offset + index * sizeof(uint32_t);
        uint64_t left = offset < elf->file_bytes ? (elf->file_bytes - offset) / sizeof(uint32_t) : 0;
        size_t step = left < CHAIN_STEP ? (size_t)left : CHAIN_STEP;
        Elf_Data *words = step == 0 ? NULL : ebb__elf_chunk(elf, offset, step * sizeof(uint32_t), ELF_T_WORD);

        if (words == NULL)
            return 0;
        for (size_t i = 0; i < step; i++)
            if (word_of(words, i) & 1)
                return base + index + i + 1;
        index += step;
    }
}

/* The table of GNU style: header of 4 words, Bloom filter, buckets with the first symbol of each chain,
 * chains that cover the symbols from `base` on, each ended by an odd word. */
static uint64_t count_by_gnu_hash(const struct ebb_elf *elf)
{
    uint64_t offset;
    uint64_t bucket_count;
    uint64_t base;
    uint64_t bloom_bytes;
    uint64_t highest = 0;
    Elf_Data *words;

    if (!ebb__elf_offset_of(elf, elf->gnu_hash, &offset))
        return 0;
    words = ebb__elf_chunk(elf, offset, 4 * sizeof(uint32_t), ELF_T_WORD);
    if (words == NULL)
        return 0;
    bucket_count = word_of(words, 0);
    base = word_of(words, 1);
    bloom_bytes = word_of(words, 2) * (elf->bits / 8);
    offset += 4 * sizeof(uint32_t) + bloom_bytes;
    words = ebb__elf_chunk(elf, offset, bucket_count * sizeof(uint32_t), ELF_T_WORD);
    if (words == NULL)
        return 0;
    for (uint64_t i = 0; i < bucket_count; i++)
        if (word_of(words, i) > highest)
            highest = word_of(words, i);
    if (highest < base || highest == 0)
        return 0; /* offers nothing; the symbols that it wants are not covered */
    return chain_end(elf, offset + bucket_count * sizeof(uint32_t), highest, base);
}

static uint64_t count_by_sections(const struct ebb_elf *elf, uint64_t symtab_offset, size_t symbol_bytes)
{
    Elf_Scn *section = NULL;

    while ((section = elf_nextscn(elf->handle, section)) != NULL) {
        GElf_Shdr header;

        if (gelf_getshdr(section, &header) != NULL && header.sh_type == SHT_DYNSYM &&
            header.sh_offset == symtab_offset)
            return header.sh_size / symbol_bytes;
    }
    return 0;
}

static uint64_t count_dynamic_symbols(const struct ebb_elf *elf, uint64_t symtab_offset, size_t symbol_bytes)
{
    uint64_t count = count_by_sections(elf, symtab_offset, symbol_bytes);
    uint64_t offset;

    if (count == 0 && elf->hash != 0 && ebb__elf_offset_of(elf, elf->hash, &offset)) {
        Elf_Data *words = ebb__elf_chunk(elf, offset, 2 * sizeof(uint32_t), ELF_T_WORD);

        count = words == NULL ? 0 : word_of(words, 1);
    }
    if (count == 0 && elf->gnu_hash != 0)
        count = count_by_gnu_hash(elf);
    /* A program that offers nothing has an empty hash table. All linkers in use put the strings right behind
     * the symbols, which bounds them. */
    if (count == 0 && elf->strtab > elf->symtab)
        count = (elf->strtab - elf->symtab) / symbol_bytes;
    return count;
}

static struct ebb_elf_symbol describe(const GElf_Sym *sym)
{
    unsigned type = GELF_ST_TYPE(sym->st_info);
    unsigned bind = GELF_ST_BIND(sym->st_info);
    unsigned visibility = GELF_ST_VISIBILITY(sym->st_other);
    struct ebb_elf_symbol symbol = {
        .value = sym->st_value,
        .size_bytes = sym->st_size,
        .defined = sym->st_shndx != SHN_UNDEF,
        .function = type == STT_FUNC || type == STT_GNU_IFUNC,
    };

    symbol.exported =
        symbol.defined && bind != STB_LOCAL && (visibility == STV_DEFAULT || visibility == STV_PROTECTED);
    return symbol;
}

static int each_in(Elf_Data *symbols, size_t count, const Elf_Data *strings, ebb_elf_symbol_fn fn,
                   void *context)
{
    for (size_t i = 1; i < count; i++) {
        struct ebb_elf_symbol symbol;
        const char *name;
        GElf_Sym sym;

        if (gelf_getsym(symbols, (int)i, &sym) == NULL)
            return -EBADMSG;
        name = ebb__elf_string(strings, sym.st_name);
        if (name == NULL)
            return -EBADMSG;
        if (name[0] == '\0')
            continue;
        symbol = describe(&sym);
        if (!fn(context, name, &symbol))
            break;
    }
    return 0;
}

static int each_dynamic(struct ebb_elf *elf, ebb_elf_symbol_fn fn, void *context)
{
    size_t symbol_bytes = gelf_fsize(elf->handle, ELF_T_SYM, 1, EV_CURRENT);
    Elf_Data *strings;
    Elf_Data *symbols;
    uint64_t offset;
    uint64_t count;

    if (!elf->has_dynamic || elf->symtab == 0)
        return 0;
    if (!ebb__elf_offset_of(elf, elf->symtab, &offset))
        return -EBADMSG;
    count = count_dynamic_symbols(elf, offset, symbol_bytes);
    if (count <= 1)
        return 0;
    if (count > INT32_MAX)
        return -EBADMSG;
    strings = ebb__elf_dynamic_strings(elf);
    symbols = ebb__elf_chunk(elf, offset, count * symbol_bytes, ELF_T_SYM);
    if (strings == NULL || symbols == NULL)
        return -EBADMSG;
    return each_in(symbols, (size_t)count, strings, fn, context);
}

static int each_static(struct ebb_elf *elf, ebb_elf_symbol_fn fn, void *context)
{
    size_t symbol_bytes = gelf_fsize(elf->handle, ELF_T_SYM, 1, EV_CURRENT);
    Elf_Scn *section = NULL;

    while ((section = elf_nextscn(elf->handle, section)) != NULL) {
        Elf_Data *symbols;
        Elf_Data *strings;
        GElf_Shdr header;
        uint64_t count;

        if (gelf_getshdr(section, &header) == NULL)
            return -EBADMSG;
        if (header.sh_type != SHT_SYMTAB)
            continue;
        count = header.sh_size / symbol_bytes;
        if (count > INT32_MAX)
            return -EBADMSG;
        symbols = ebb__elf_chunk(elf, header.sh_offset, count * symbol_bytes, ELF_T_SYM);
        section = elf_getscn(elf->handle, header.sh_link);
        if (symbols == NULL || section == NULL || gelf_getshdr(section, &header) == NULL)
            return -EBADMSG;
        strings = ebb__elf_chunk(elf, header.sh_offset, header.sh_size, ELF_T_BYTE);
        return strings == NULL ? -EBADMSG : each_in(symbols, (size_t)count, strings, fn, context);
    }
    return 0;
}

int ebb__elf_symbols_each(struct ebb_elf *elf, enum ebb_elf_table table, ebb_elf_symbol_fn fn, void *context)
{
    return table == EBB_ELF_DYNAMIC ? each_dynamic(elf, fn, context) : each_static(elf, fn, context);
}

struct wanted {
    const char *name;
    bool found;
    struct ebb_elf_symbol symbol;
};

static bool match(void *context, const char *name, const struct ebb_elf_symbol *symbol)
{
    struct wanted *wanted = context;

    if (strcmp(name, wanted->name) != 0)
        return true;
    if (!wanted->found || symbol->defined)
        wanted->symbol = *symbol;
    wanted->found = true;
    return !symbol->defined;
}

int ebb__elf_symbol_find(struct ebb_elf *elf, enum ebb_elf_table table, const char *name,
                         struct ebb_elf_symbol *ret_symbol)
{
    struct wanted wanted = {.name = name};
    int err = ebb__elf_symbols_each(elf, table, match, &wanted);

    if (err != 0)
        return err;
    if (!wanted.found)
        return -ENOENT;
    *ret_symbol = wanted.symbol;
    return 0;
}
