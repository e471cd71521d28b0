/* SPDX-License-Identifier: MIT
 *
 * What the RTLD_DEEPBIND plugin offers to the program.
 */
#ifndef DEEPBIND_PLUGIN_H
#define DEEPBIND_PLUGIN_H

#include <stddef.h>

struct deepbind_plugin {
    void *(*allocate)(size_t size_bytes);         /* malloc, every byte 0x3c */
    void *(*allocate_zeroed)(size_t size_bytes);  /* calloc */
    void *(*allocate_aligned)(size_t size_bytes); /* aligned_alloc at 256 */
    void (*release_by)(void (*release)(void *), void *block);
    void (*release_own)(void *block); /* the free that the plugin is bound to */
    void *(*malloc_in_use)(void);     /* the malloc that the plugin is bound to */
};

#endif
