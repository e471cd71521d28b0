/* SPDX-License-Identifier: MIT
 *
 * Texts of the kernel, as the governor reads them: pure, no locale, no allocation. The tool has parsers of its own in src/probe, with
 * reasons for what is missing; the allocator must not drag those in.
 *
 * Texts have a length and need no zero behind them. Any bytes may come: what is not understood is passed over or refused.
 */
#ifndef EBB_GOVERNOR_TEXT_PRIV_H
#define EBB_GOVERNOR_TEXT_PRIV_H

#include "governor/pressure_facts.h"

struct ebb_text {
    const char *at, *end;
};

EBB_INLINE struct ebb_text ebb__text(const char *text, size_t len)
{
    return (struct ebb_text){text, text + len};
}

EBB_INLINE size_t ebb__text_len(struct ebb_text text)
{
    return (size_t)(text.end - text.at);
}

bool ebb__text_is(struct ebb_text text, const char *word);

/* Takes the part up to the next `c`, and `c`; the rest when there is none. False when nothing is left. */
bool ebb__text_until(struct ebb_text *rest, char c, struct ebb_text *ret_part);

/* Takes a decimal number. False, and nothing taken, when there is none or when it has more than 64 bits. */
bool ebb__text_number(struct ebb_text *rest, uint64_t *ret_value);

/* "No limit" of version 1 is LONG_MAX rounded down to the page size, which is 64 KiB at most. */
#define EBB_V1_NO_LIMIT UINT64_C(0x7fffffffffff0000)

/* "max" or a number; version 1 says "none" by a number near 2^63. Unknown for anything else. */
struct ebb_known ebb__text_limit(struct ebb_text text);

/* A file that is one number. */
struct ebb_known ebb__text_one_number(struct ebb_text text);

/* The numbers of lines "name 123" or "name:  123 kB" (which is in KiB), wherever they stand. What is not there is left unknown; of
 * a name that comes twice the first counts. */
struct ebb_text_row {
    const char *name;
    struct ebb_known *ret_value;
};
void ebb__text_rows(struct ebb_text text, const struct ebb_text_row *rows, unsigned count);

/* "some avg10=0.12 avg60=... total=123", and the same for "full". */
void ebb__text_stall(struct ebb_text text, struct ebb_stall *ret_stall);

/* One line of mountinfo. */
struct ebb_text_mount {
    struct ebb_text root, point;   /* escaped: a blank is \040 */
    struct ebb_text kind, options; /* of the file system */
};
bool ebb__text_mount(struct ebb_text line, struct ebb_text_mount *ret_mount);

/* Whether `name` is one of the words between commas. */
bool ebb__text_lists(struct ebb_text list, const char *name);

/* Writes what an escaped name means, with a zero behind it. Its length; -ENAMETOOLONG, -EINVAL (a zero in it). */
long ebb__text_unescape(struct ebb_text text, char *ret_name, size_t bytes);

/* One line of /proc/PID/cgroup, "4:memory:/path" or "0::/path". */
struct ebb_text_cgroup {
    struct ebb_text controllers, path;
};
bool ebb__text_cgroup(struct ebb_text line, struct ebb_text_cgroup *ret_cgroup);

/* One line of who calls for memory: "yellow", "orange" or "red" (1, 2, 3), and how much, in bytes or with K, M or G behind it; 0 when
 * he does not say. False for anything else. */
bool ebb__text_call(struct ebb_text line, uint32_t *ret_level, uint64_t *ret_bytes);

/* Base64 (RFC 4648), padded or not; white space is passed over. The number of bytes; -EINVAL, -EMSGSIZE when there are more. */
long ebb__text_base64(struct ebb_text text, unsigned char *ret_bytes, size_t bytes);

#endif
