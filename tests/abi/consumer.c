/* SPDX-License-Identifier: MIT
 *
 * A stranger's program, compiled against the installed copy: uses the API, and tells who serves malloc.
 */
#include <ebb/malloc.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
    char *block = ebb_malloc(100);
    if (block == NULL || ebb_usable_size(block) < 100) {
        return 1;
    }
    memset(block, 'x', 100);
    block = ebb_realloc(block, 100000);
    if (block == NULL || block[99] != 'x') {
        return 2;
    }
    ebb_free(block);

    /* One heap serves both when the drop-in library is linked: the API then counts what malloc hands out. */
    struct ebb_stats before = {.size_of_struct = sizeof(before)};
    struct ebb_stats after = {.size_of_struct = sizeof(after)};
    if (ebb_stats_get(&before) != 0) {
        return 3;
    }
    void *volatile plain = malloc(5 << 20);
    if (plain == NULL || ebb_stats_get(&after) != 0 || ebb_check() != 0) {
        return 4;
    }
    printf("version=%s malloc=%s\n", ebb_version(),
           after.live_bytes >= before.live_bytes + (5u << 20) ? "ebb" : "libc");
    free(plain);
    return 0;
}
