/* SPDX-License-Identifier: MIT
 *
 * A kernel's log as a whole, in memory, and when its lines were written.
 */
#ifndef EBB_TOOL_OOM_LOG_FILE_H
#define EBB_TOOL_OOM_LOG_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "probe/oom_log.h"

struct ebb_oom_log_file {
    char *text;
    size_t len;
    size_t mapped_bytes;
    bool cut;  /* it was larger than we take */
    bool live; /* this host's kernel, since this boot */
};

/* `file` NULL: the kernel's buffer below `root`. EBB_EXIT_OK, or EBB_EXIT_FAILED after a line on standard error. */
int ebb__oom_log_file_read(const char *root, const char *file, struct ebb_oom_log_file *ret_log);
void ebb__oom_log_file_fini(struct ebb_oom_log_file *log);

/* When a line was written, or false. A stamp since boot tells it only of the live kernel. */
bool ebb__oom_log_when(const struct ebb_oom_log_file *log, const struct ebb_oom_stamp *stamp,
                       time_t *ret_when);

/* "30m", "2h", "7d" ago, or "2026-11-24" with or without "16:25[:34]": 0 or -EINVAL. */
int ebb__oom_log_since(const char *text, time_t now, time_t *ret_when);

#endif
