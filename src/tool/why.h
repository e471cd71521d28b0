/* SPDX-License-Identifier: MIT
 *
 * Why a process is not served, in words.
 */
#ifndef EBB_TOOL_WHY_H
#define EBB_TOOL_WHY_H

#include <stdbool.h>
#include <stddef.h>

#include "tool/image.h"
#include "tool/serve.h"

/* Room for any reason. */
#define EBB_WHY_BYTES (PATH_MAX + 1024)

/* True when the kernel told the process at its start that it runs with raised privileges; false when not, or
 * when we may not ask. */
bool ebb__why_is_secure(pid_t pid);

/* "is not served", or "could not be verified" where the last look leaves it open. */
const char *ebb__why_verdict(const struct ebb_serve *serve, const struct ebb_image *image,
                             const struct ebb_image_library *kind);

/* Says why the last look did not end in EBB_SERVE_YES, as a clause. `image` is the program that runs; `kind`
 * is what the library is like. */
void ebb__why_not(const struct ebb_serve *serve, const struct ebb_image *image,
                  const struct ebb_image_library *kind, char ret_why[EBB_WHY_BYTES]);

#endif
