/* SPDX-License-Identifier: MIT
 * What the files of the Linux half share among themselves. */
#ifndef EBB_OS_LINUX_PRIV_H
#define EBB_OS_LINUX_PRIV_H

#include "os/os.h"

/* The first bytes of a small file of /proc or /sys, with a zero behind them; their number, 0 when it cannot be read. pre:
 * bytes >= 2 */
size_t ebb__os_read_file(const char *path, char *ret_text, size_t bytes);

#endif
