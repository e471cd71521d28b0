/* SPDX-License-Identifier: MIT
 *
 * A plugin whose thread-local data use the initial-exec model: dlopen() must find room for them in the static
 * TLS block, of which the process keeps little, and a preloaded library must not have used it up.
 */
#include <stddef.h>

enum { TLS_BYTES = 480 };

static _Thread_local char data[TLS_BYTES] __attribute__((tls_model("initial-exec"))) = {1, 2, 3};

__attribute__((visibility("default"))) char *tls_plugin_data(size_t *ret_size_bytes);

char *tls_plugin_data(size_t *ret_size_bytes)
{
    *ret_size_bytes = TLS_BYTES;
    return data;
}
