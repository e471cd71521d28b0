/* SPDX-License-Identifier: MIT
 *
 * An account of memory: a tree of rows below a total, each with its own source, and what nobody accounts for.
 *
 *     resident memory                  100 %    the kernel: status
 *       heap                                    the kernel: smaps
 *         live                                  the allocator
 *           buffer of one connection            the server's own books
 *           in nobody's books                   (rest)
 *         free, whole pages                     the allocator
 *         not attributed                        (rest)
 *       unattributed                            (rest)
 *     beside: page tables
 *
 * A row is put in after the one that it is part of. The rest of a row is what its parts leave over, and the only row that is computed
 * as a difference; it may be below zero, when the sources were read at different moments or count differently, and is then shown so.
 * Where a size below zero would mean nothing, since parts and whole are known to be of different moments, the rest is a rest apart: not
 * known as soon as the parts are more than the whole, with by how much. A row whose parts are not all known has a rest that is not
 * known. Rows beside stand at the end, and count nowhere.
 *
 * Invariants, which ebb__account_check() names:
 *   A1  the first row is the total, at depth 0; each other row is at most one deeper than the one before it
 *   A2  a row with parts has exactly one rest among them, the last one
 *   A3  a row that is known, with parts that are known, is their sum
 *   A4  rows beside come last, at depth 0
 *   A5  a rest apart is not below zero, and says by how much its whole is exceeded only when it is not known
 *
 * One thread; memory is that of the struct; nothing fails, but that rows beyond the last place are counted and not kept.
 */
#ifndef EBB_MODEL_ACCOUNT_H
#define EBB_MODEL_ACCOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "probe/fact.h"

#define EBB_ACCOUNT_ROWS_MAX   160
#define EBB_ACCOUNT_DEPTH_MAX  6
#define EBB_ACCOUNT_KEY_BYTES  128
#define EBB_ACCOUNT_NAME_BYTES 128

enum ebb_account_kind { EBB_ACCOUNT_PART, EBB_ACCOUNT_REST, EBB_ACCOUNT_BESIDE };

struct ebb_account_row {
    enum ebb_account_kind kind;
    unsigned depth;
    char key[EBB_ACCOUNT_KEY_BYTES];   /* for programs: "heap" */
    char name[EBB_ACCOUNT_NAME_BYTES]; /* for people */
    const char *source;                /* constant; NULL of a rest */
    bool known;
    int64_t bytes;
    const char *why; /* when it is not known */
    bool apart;      /* of a rest: parts and whole are of different moments */
    int64_t
        over_bytes; /* of such a rest that is not known: the parts are so much more than their whole; else 0 */
};

struct ebb_account {
    unsigned count;
    unsigned left_out;                    /* for want of places */
    unsigned open[EBB_ACCOUNT_DEPTH_MAX]; /* the row of each depth that what follows may be part of */
    unsigned depth;                       /* of the last row */
    struct ebb_account_row rows[EBB_ACCOUNT_ROWS_MAX];
};

/* Begins with the total. */
void ebb__account_init(struct ebb_account *account, const char *key, const char *name, const char *source,
                       struct ebb_fact bytes);

/* Adds a part at `depth`, 1 or more, of the last row that is one less deep. `key` and `name` are copied, and cut; slashes in the key become
 * points. */
void ebb__account_add(struct ebb_account *account, unsigned depth, const char *key, const char *name,
                      const char *source, struct ebb_fact bytes);

/* The same for a part that may be below zero, as some books have them. */
void ebb__account_add_signed(struct ebb_account *account, unsigned depth, const char *key, const char *name,
                             const char *source, int64_t bytes);

/* Adds the rest at `depth`, after all other parts of its row. */
void ebb__account_rest(struct ebb_account *account, unsigned depth, const char *key, const char *name);

/* The same where the parts and their row are of different moments. */
void ebb__account_rest_apart(struct ebb_account *account, unsigned depth, const char *key, const char *name);

/* Adds what does not count in the total. */
void ebb__account_beside(struct ebb_account *account, const char *key, const char *name, const char *source,
                         struct ebb_fact bytes);

/* Says better why the last row is not known; `why` is constant. Nothing when it is known. */
void ebb__account_because(struct ebb_account *account, const char *why);

/* The row with this key, the first one, or NULL. */
const struct ebb_account_row *ebb__account_find(const struct ebb_account *account, const char *key);

/* The keys of a row and all above it, "resident/heap/live". Returns its length without the NUL, cut to `bytes`. */
unsigned ebb__account_path(const struct ebb_account *account, unsigned row, char *ret_path, unsigned bytes);

/* NULL, or the broken invariant. */
const char *ebb__account_check(const struct ebb_account *account);

#endif
