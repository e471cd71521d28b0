/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: the dynamic linker's list, in a process whose memory is the input, from address 4096 on.
 */
#include "fuzz.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "probe/probe.h"

#define BASE 4096

struct memory {
    const uint8_t *data;
    size_t size;
    size_t reads;
};

static int peek(void *context, uint64_t address, void *buf, size_t len)
{
    struct memory *memory = context;

    FUZZ_CHECK(++memory->reads < 10000);
    if (address < BASE || address - BASE > memory->size || len > memory->size - (address - BASE))
        return -EFAULT;
    memcpy(buf, memory->data + (address - BASE), len);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ebb_linkmap_object objects[64];
    struct memory memory = {.data = data, .size = size};
    struct ebb_auxv auxv = {.present = 1u << AT_PHDR | 1u << AT_PHNUM | 1u << AT_PHENT};
    size_t count = 0;

    auxv.values[AT_PHDR] = BASE;
    auxv.values[AT_PHNUM] = 3;
    auxv.values[AT_PHENT] = sizeof(Elf64_Phdr);
    if (ebb__linkmap_read(peek, &memory, &auxv, objects, 64, &count) == 0)
        FUZZ_CHECK(count > 0 && count <= 64);
    return 0;
}
