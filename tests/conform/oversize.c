/* SPDX-License-Identifier: MIT
 *
 * Requests from gigabytes to more than the address space: refused with ENOMEM, or whole. A size that is cut
 * to 32 bits on its way, in bytes or in pages, gives a block that is smaller than what was asked for, or a
 * wild pointer.
 */
#include "conform/conform.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

enum { POINTS = 16, FORM_COUNT = 4 };

/* Twice what most machines could promise: calloc below this may have to clear what it hands out. */
static const size_t calloc_least_bytes = (size_t)1 << 42;

static unsigned granted;
static unsigned refused;

static void *allocate(unsigned form, size_t size_bytes)
{
    switch (form) {
    case 0:
        return malloc(size_bytes);
    case 1:
        return size_bytes >= calloc_least_bytes ? calloc(1, size_bytes) : malloc(size_bytes);
    case 2:
        return aligned_alloc(1u << 16, size_bytes);
    default:
        return realloc(NULL, size_bytes);
    }
}

static void try_size(unsigned form, size_t size_bytes)
{
    errno = 0;
    char *block = allocate(form, conform_opaque(size_bytes));
    if (block == NULL) {
        CHECK(errno == ENOMEM, "form %u, %zu bytes: errno %d", form, size_bytes, errno);
        refused++;
        return;
    }
    granted++;
    if (CHECK(malloc_usable_size(block) >= size_bytes, "form %u, %zu bytes: only %zu are usable", form,
              size_bytes, malloc_usable_size(block))) {
        conform_stamp(block, size_bytes, size_bytes / POINTS, form);
        CHECK(conform_stamp_differs(block, size_bytes, size_bytes / POINTS, form) == size_bytes);
    }
    free(block);
}

int main(void)
{
    conform_start(60);
    void *neighbour = malloc(1000);
    conform_fill(neighbour, 1000, 1);
    for (unsigned shift = 31; shift < 63; shift++) {
        size_t size_bytes = (size_t)1 << shift;
        for (unsigned form = 0; form < FORM_COUNT; form++) {
            try_size(form, size_bytes - 4096);
            try_size(form, size_bytes);
            try_size(form, size_bytes + 1);
            /* Wraps to something small when it is cut to 32 bits of bytes, of 4 KiB, of 2 MiB. */
            try_size(form, size_bytes + 100000);
        }
    }
    CHECK(granted > 0 && refused > 0, "%u granted, %u refused", granted, refused);
    CHECK(conform_differs(neighbour, 1000, 1) == 1000);
    free(neighbour);
    return conform_end();
}
