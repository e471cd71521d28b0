/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: ELF inspection of a hostile file.
 */
#include "fuzz.h"

#include <string.h>

#include "probe/probe.h"

static bool take_name(void *context, const char *name)
{
    *(size_t *)context += strlen(name);
    return true;
}

static bool take_symbol(void *context, const char *name, const struct ebb_elf_symbol *symbol)
{
    *(size_t *)context += strlen(name);
    FUZZ_CHECK(!symbol->exported || symbol->defined);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size == 0 ? 1 : size);
    struct ebb_elf_symbol symbol;
    struct ebb_elf elf;
    size_t sum = 0;
    uint64_t bias;

    FUZZ_CHECK(copy != NULL);
    if (size != 0)
        memcpy(copy, data, size);
    if (ebb__elf_open_memory(&elf, copy, size) == 0) {
        FUZZ_CHECK(memchr(elf.interp, '\0', sizeof(elf.interp)) != NULL);
        ebb__elf_needed_each(&elf, take_name, &sum);
        ebb__elf_symbols_each(&elf, EBB_ELF_DYNAMIC, take_symbol, &sum);
        ebb__elf_symbols_each(&elf, EBB_ELF_STATIC, take_symbol, &sum);
        ebb__elf_symbol_find(&elf, EBB_ELF_DYNAMIC, "malloc", &symbol);
        ebb__elf_bias(&elf, 0x7f0000000000, 0, 4096, &bias);
        ebb__elf_close(&elf);
    }
    free(copy);
    return 0;
}
