/* SPDX-License-Identifier: MIT
 * The only two places where the library writes anything. */
#include "base/check.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/fmt.h"
#include "base/syscall.h"

#define LINE_BYTES 400

EBB_TLS int (*ebb__stderr_of_thread)(void);

static void write_line(const char *format, va_list args)
{
    char line[LINE_BYTES] = "ebb: ";
    size_t len = 5;
    len += ebb__vfmt(line + len, sizeof(line) - len - 1, format, args);
    line[len++] = '\n';
    int fd = ebb__stderr_of_thread == NULL ? 2 : ebb__stderr_of_thread();
    if (fd >= 0)
        (void)ebb__syscall(EBB_SYS_write, fd, (long)line, (long)len, 0, 0, 0);
}

void ebb__complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    write_line(format, args);
    va_end(args);
}

void ebb__die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    write_line(format, args);
    va_end(args);
    abort();
}
