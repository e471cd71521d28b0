/* SPDX-License-Identifier: MIT
 *
 * What elf_file.c and elf_symbols.c share.
 */
#ifndef EBB_PROBE_ELF_PRIV_H
#define EBB_PROBE_ELF_PRIV_H

#include <libelf.h>

#include "probe/elf_file.h"

/* Position in the file of an address of the file's own numbering; false when the file does not hold it. */
bool ebb__elf_offset_of(const struct ebb_elf *elf, uint64_t address, uint64_t *ret_offset);

/* A piece of the file in our byte order, or NULL when it is not wholly inside. Belongs to the handle. */
Elf_Data *ebb__elf_chunk(const struct ebb_elf *elf, uint64_t offset, uint64_t len, Elf_Type type);

/* The string at `at` of a string table, or NULL when it does not end inside. */
const char *ebb__elf_string(const Elf_Data *strings, uint64_t at);

/* The string table of the dynamic section, or NULL. */
Elf_Data *ebb__elf_dynamic_strings(const struct ebb_elf *elf);

#endif
