/* SPDX-License-Identifier: MIT
 *
 * /proc/PID/auxv: what the kernel told a program at its start; see auxv.h.
 */
#include "probe/auxv.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "probe/proc.h"

static uint64_t word_at(const char *at, size_t word_bytes)
{
    uint64_t wide;
    uint32_t narrow;

    if (word_bytes == sizeof(wide)) {
        memcpy(&wide, at, sizeof(wide));
        return wide;
    }
    memcpy(&narrow, at, sizeof(narrow));
    return narrow;
}

int ebb__auxv_parse(const void *data, size_t len, size_t word_bytes, struct ebb_auxv *ret_auxv)
{
    struct ebb_auxv auxv = {0};
    const char *at = data;

    if (word_bytes != sizeof(uint64_t) && word_bytes != sizeof(uint32_t))
        return -EINVAL;
    if (len == 0)
        return -ENODATA;
    while (len >= 2 * word_bytes) {
        uint64_t type = word_at(at, word_bytes);
        uint64_t value = word_at(at + word_bytes, word_bytes);

        if (type == AT_NULL) {
            *ret_auxv = auxv;
            return 0;
        }
        if (type < EBB_AUXV_TYPES && (auxv.present & (UINT64_C(1) << type)) == 0) {
            auxv.present |= UINT64_C(1) << type;
            auxv.values[type] = value;
        }
        at += 2 * word_bytes;
        len -= 2 * word_bytes;
    }
    return -EBADMSG;
}

int ebb__auxv_read(const char *root, pid_t pid, size_t word_bytes, struct ebb_auxv *ret_auxv)
{
    char data[4096]; /* far more than the some 25 entries of 16 bytes that Linux hands out */
    size_t len;
    int err = ebb__proc_read(root, pid, "auxv", data, sizeof(data), &len);

    return err != 0 ? err : ebb__auxv_parse(data, len, word_bytes, ret_auxv);
}

bool ebb__auxv_get(const struct ebb_auxv *auxv, unsigned type, uint64_t *ret_value)
{
    if (type >= EBB_AUXV_TYPES || (auxv->present & (UINT64_C(1) << type)) == 0)
        return false;
    *ret_value = auxv->values[type];
    return true;
}
