/* SPDX-License-Identifier: MIT
 *
 * An audit library (rtld-audit(7)): it lives in a namespace of its own, is loaded before everything else, and
 * allocates there from its first call on. A broken block ends the process with status 99.
 */
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCKS = 400, BROKEN_STATUS = 99 };

static unsigned char *blocks[BLOCKS];
static size_t next_block;

static size_t size_of(size_t i)
{
    return 1 + i * 53;
}

static void allocate(size_t count)
{
    for (size_t k = 0; k < count; k++, next_block++) {
        size_t i = next_block % BLOCKS;
        if (blocks[i] != NULL && (blocks[i][0] != (i & 0xff) || blocks[i][size_of(i) - 1] != (i & 0xff))) {
            _exit(BROKEN_STATUS);
        }
        free(blocks[i]);
        blocks[i] = malloc(size_of(i));
        if (blocks[i] == NULL) {
            _exit(BROKEN_STATUS);
        }
        memset(blocks[i], (int)(i & 0xff), size_of(i));
    }
}

__attribute__((visibility("default"))) unsigned int la_version(unsigned int version)
{
    allocate(BLOCKS);
    return version < LAV_CURRENT ? version : LAV_CURRENT;
}

__attribute__((visibility("default"))) unsigned int la_objopen(struct link_map *map, Lmid_t lmid,
                                                               uintptr_t *cookie)
{
    (void)map;
    (void)lmid;
    (void)cookie;
    allocate(60);
    return LA_FLG_BINDTO | LA_FLG_BINDFROM;
}

__attribute__((visibility("default"))) void la_preinit(uintptr_t *cookie)
{
    (void)cookie;
    allocate(200);
}

__attribute__((visibility("default"))) unsigned int la_objclose(uintptr_t *cookie)
{
    (void)cookie;
    allocate(60);
    return 0;
}
