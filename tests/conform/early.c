/* SPDX-License-Identifier: MIT
 *
 * Allocation before main: in the preinit array, in the first constructors, in constructors of libraries, and
 * in a process whose libraries are relocated with the help of IFUNC resolvers.
 *
 * early_lib.c holds the library's side. The blocks made so early are checked, resized and freed in main.
 */
#include "conform/conform.h"
#include "conform/early_lib.h"

#include <malloc.h>
#include <stdlib.h>

enum { BLOCKS = 50 };

static void *preinit_blocks[BLOCKS];
static void *constructor_blocks[BLOCKS];
static void *resized_block;

static size_t size_of(size_t i)
{
    return 8 + i * i * 30;
}

static void fill(void **blocks)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = i % 3 == 0   ? calloc(1, size_of(i))
                    : i % 3 == 1 ? malloc(size_of(i))
                                 : memalign(64, size_of(i));
        if (CHECK(blocks[i] != NULL)) {
            conform_fill(blocks[i], size_of(i), i);
        }
    }
}

static void empty(void **blocks)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        CHECK(conform_differs(blocks[i], size_of(i), i) == size_of(i));
        blocks[i] = realloc(blocks[i], size_of(i) * 2);
        CHECK(blocks[i] != NULL && conform_differs(blocks[i], size_of(i), i) == size_of(i));
        free(blocks[i]);
    }
}

/* The dynamic loader calls these before the constructor of any library. */
static void preinit(int argc, char **argv, char **environment)
{
    (void)argc;
    (void)argv;
    (void)environment;
    fill(preinit_blocks);
    resized_block = realloc(malloc(10), 100000);
}

__attribute__((section(".preinit_array"), used)) static void (*preinit_entry)(int, char **,
                                                                              char **) = preinit;

__attribute__((constructor(101))) static void constructor(void)
{
    fill(constructor_blocks);
    free(resized_block);
}

/* A resolver in the program itself; it runs during relocation and must call nobody. */
static int picked(void)
{
    return 5;
}

__attribute__((used)) static int (*resolve_own(void))(void)
{
    return picked;
}

int early_own_pick(void) __attribute__((ifunc("resolve_own")));

int main(void)
{
    conform_start(30);
    CHECK(early_own_pick() == 5);
    CHECK(early_lib_pick() == 7);
    CHECK(early_lib_is_sound());
    empty(preinit_blocks);
    empty(constructor_blocks);
    return conform_end();
}
