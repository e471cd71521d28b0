/* SPDX-License-Identifier: MIT
 *
 * The library's side of early.c: its resolver runs while the program is relocated, its constructor
 * afterwards.
 */
#include "conform/early_lib.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCKS = 300 };

static void *blocks[BLOCKS];

static int picked(void)
{
    return 7;
}

__attribute__((used)) static int (*resolve(void))(void)
{
    return picked;
}

int early_lib_pick(void) __attribute__((ifunc("resolve")));

__attribute__((constructor(101))) static void allocate(void)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(i * 40 + 1);
        if (blocks[i] != NULL) {
            memset(blocks[i], (int)(i & 0xff), i * 40 + 1);
        }
    }
}

bool early_lib_is_sound(void)
{
    bool sound = true;
    for (size_t i = 0; i < BLOCKS; i++) {
        const unsigned char *bytes = blocks[i];
        sound = sound && bytes != NULL && bytes[0] == (i & 0xff) && bytes[i * 40] == (i & 0xff);
        free(blocks[i]);
    }
    return sound;
}
