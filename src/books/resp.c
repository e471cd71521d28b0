/* SPDX-License-Identifier: MIT
 *
 * One reply in Redis's protocol; see resp_priv.h.
 */
#include "books/resp_priv.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "probe/scan.h"

/* The longest line: an error with a name in it. */
#define LINE_BYTES_MAX 1024

int ebb__resp_parse(const char *data, size_t len, struct ebb_resp *ret_reply)
{
    const char *end = len == 0 ? NULL : memchr(data, '\r', len);
    struct ebb_scan scan;
    uint64_t body;

    if (len != 0 && strchr("+-$", data[0]) == NULL)
        return -EBADMSG;
    if (end == NULL)
        return len > LINE_BYTES_MAX ? -EBADMSG : -EAGAIN;
    if (end + 1 == data + len)
        return -EAGAIN;
    if (end[1] != '\n' || data[0] == '\0')
        return -EBADMSG;
    if (data[0] != '$') {
        *ret_reply =
            (struct ebb_resp){.error = data[0] == '-', .text = data + 1, .len = (size_t)(end - data - 1)};
        return 0;
    }
    scan = (struct ebb_scan){.at = data + 1, .end = end};
    if (!ebb__scan_dec(&scan, &body) || scan.at != end || body > EBB_RESP_BYTES_MAX)
        return -EBADMSG;
    if (body + 2 > (size_t)(data + len - (end + 2)))
        return -EAGAIN;
    if (memcmp(end + 2 + body, "\r\n", 2) != 0)
        return -EBADMSG;
    *ret_reply = (struct ebb_resp){.text = end + 2, .len = (size_t)body};
    return 0;
}
