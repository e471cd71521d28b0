/* SPDX-License-Identifier: MIT
 *
 * Replies in Redis's protocol; see resp_priv.h.
 */
#include "books/resp_priv.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "probe/scan.h"

/* The longest line: an error with a name in it. */
#define LINE_BYTES_MAX 1024

/* More elements than an array of names and values has them that is worth reading. */
#define ELEMENTS_MAX 65536

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
        *ret_reply = (struct ebb_resp){.error = data[0] == '-',
                                       .text = data + 1,
                                       .len = (size_t)(end - data - 1),
                                       .bytes = (size_t)(end + 2 - data)};
        return 0;
    }
    scan = (struct ebb_scan){.at = data + 1, .end = end};
    if (!ebb__scan_dec(&scan, &body) || scan.at != end || body > EBB_RESP_BYTES_MAX)
        return -EBADMSG;
    if (body + 2 > (size_t)(data + len - (end + 2)))
        return -EAGAIN;
    if (memcmp(end + 2 + body, "\r\n", 2) != 0)
        return -EBADMSG;
    *ret_reply = (struct ebb_resp){
        .text = end + 2, .len = (size_t)body, .bytes = (size_t)(end + 2 - data) + (size_t)body + 2};
    return 0;
}

/* The head of a number or of an array: "*3\r\n", ":-1\r\n". A number below 0 is none that we take. */
static int parse_head(const char *data, size_t len, bool *ret_negative, uint64_t *ret_number,
                      size_t *ret_bytes)
{
    const char *end = memchr(data, '\r', len);
    struct ebb_scan scan;

    if (end == NULL)
        return len > LINE_BYTES_MAX ? -EBADMSG : -EAGAIN;
    if (end + 1 == data + len)
        return -EAGAIN;
    scan = (struct ebb_scan){.at = data + 1, .end = end};
    *ret_negative = ebb__scan_char(&scan, '-');
    if (end[1] != '\n' || !ebb__scan_dec(&scan, ret_number) || scan.at != end)
        return -EBADMSG;
    *ret_bytes = (size_t)(end + 2 - data);
    return 0;
}

static int walk(const char *data, size_t len, ebb_resp_take take, void *context)
{
    struct ebb_resp name = {0};
    uint64_t wanted = 1;

    for (size_t at = 0; wanted > 0; wanted--) {
        uint64_t number = 0;
        size_t bytes = 0;
        bool negative = false;
        int err;

        if (at == len)
            return -EAGAIN;
        if (data[at] == ':' || data[at] == '*') {
            err = parse_head(data + at, len - at, &negative, &number, &bytes);
            if (err == 0 && data[at] == '*' && (negative || number > ELEMENTS_MAX - wanted))
                err = -EBADMSG;
        } else {
            err = ebb__resp_parse(data + at, len - at, &name);
            bytes = name.bytes;
        }
        if (err != 0)
            return err;
        if (data[at] == ':' && name.text != NULL && !negative && take != NULL)
            take(context, name.text, name.len, number);
        /* What follows a number or an array is a name of its own. */
        if (data[at] == ':' || data[at] == '*')
            name = (struct ebb_resp){0};
        if (data[at] == '*')
            wanted += number;
        at += bytes;
    }
    return 0;
}

int ebb__resp_pairs(const char *data, size_t len, ebb_resp_take take, void *context)
{
    int err;

    if (len != 0 && data[0] != '*')
        return -EBADMSG;
    err = walk(data, len, NULL, NULL);
    return err != 0 ? err : walk(data, len, take, context);
}
