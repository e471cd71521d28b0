/* SPDX-License-Identifier: MIT
 *
 * Loading a client library when it is needed; see load_priv.h.
 */
#include "books/load_priv.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

int ebb__load(const char *library, const struct ebb_load_row *rows, size_t row_count, void *functions)
{
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);

    if (handle == NULL)
        return -ENOENT;
    for (size_t i = 0; i < row_count; i++) {
        void *function = dlsym(handle, rows[i].name);

        if (function == NULL) {
            dlclose(handle);
            return -ENOSYS;
        }
        /* A pointer to data is copied into one to a function, as POSIX has it. */
        memcpy((char *)functions + rows[i].at, &function, sizeof(function));
    }
    return 0;
}
