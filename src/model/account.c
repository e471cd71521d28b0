/* SPDX-License-Identifier: MIT
 *
 * An account of memory; see account.h.
 */
#include "model/account.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Larger sizes are not believed, so that no sum of rows overflows. */
#define BYTES_MAX (INT64_MAX / EBB_ACCOUNT_ROWS_MAX)

static const char NOT_ALL_PARTS[] = "not all parts are known";
static const char TOO_MUCH[] = "its parts are of another moment, or not all touched, and more than the whole";

static void copy(char *to, size_t bytes, const char *text)
{
    snprintf(to, bytes, "%s", text);
}

/* A place for the next row, or NULL. */
static struct ebb_account_row *take(struct ebb_account *account, enum ebb_account_kind kind, unsigned depth,
                                    const char *key, const char *name)
{
    struct ebb_account_row *row;

    if (account->count == EBB_ACCOUNT_ROWS_MAX || depth >= EBB_ACCOUNT_DEPTH_MAX ||
        depth > account->depth + 1) {
        account->left_out++;
        return NULL;
    }
    row = &account->rows[account->count];
    *row = (struct ebb_account_row){.kind = kind, .depth = depth};
    copy(row->key, sizeof(row->key), key);
    /* A slash would look like one of the path. */
    for (char *c = row->key; *c != '\0'; c++)
        *c = *c == '/' ? '.' : *c;
    copy(row->name, sizeof(row->name), name);
    account->open[depth] = account->count++;
    account->depth = depth;
    return row;
}

static void put_fact(struct ebb_account_row *row, struct ebb_fact bytes)
{
    row->known = bytes.known && bytes.value <= BYTES_MAX;
    row->bytes = row->known ? (int64_t)bytes.value : 0;
    row->why = row->known    ? NULL
               : bytes.known ? ebb__fact_why(ebb__fact_unknown(-ERANGE))
                             : ebb__fact_why(bytes);
}

void ebb__account_init(struct ebb_account *account, const char *key, const char *name, const char *source,
                       struct ebb_fact bytes)
{
    struct ebb_account_row *row;

    memset(account, 0, sizeof(*account));
    row = take(account, EBB_ACCOUNT_PART, 0, key, name);
    row->source = source;
    put_fact(row, bytes);
}

void ebb__account_add(struct ebb_account *account, unsigned depth, const char *key, const char *name,
                      const char *source, struct ebb_fact bytes)
{
    struct ebb_account_row *row = take(account, EBB_ACCOUNT_PART, depth, key, name);

    if (row == NULL)
        return;
    row->source = source;
    put_fact(row, bytes);
}

void ebb__account_add_signed(struct ebb_account *account, unsigned depth, const char *key, const char *name,
                             const char *source, int64_t bytes)
{
    struct ebb_account_row *row = take(account, EBB_ACCOUNT_PART, depth, key, name);

    if (row == NULL)
        return;
    row->source = source;
    row->known = bytes <= BYTES_MAX && bytes >= -BYTES_MAX;
    row->bytes = row->known ? bytes : 0;
    row->why = row->known ? NULL : ebb__fact_why(ebb__fact_unknown(-ERANGE));
}

static void add_rest(struct ebb_account *account, unsigned depth, const char *key, const char *name,
                     bool apart)
{
    const struct ebb_account_row *whole;
    struct ebb_account_row *rest;
    unsigned first;
    int64_t left;

    if (depth == 0 || depth > account->depth + 1 || depth >= EBB_ACCOUNT_DEPTH_MAX)
        return;
    first = account->open[depth - 1];
    whole = &account->rows[first];
    left = whole->bytes;
    rest = take(account, EBB_ACCOUNT_REST, depth, key, name);
    if (rest == NULL)
        return;
    rest->known = whole->known;
    rest->why = whole->why;
    rest->apart = apart;
    for (unsigned i = first + 1; i + 1 < account->count; i++) {
        const struct ebb_account_row *part = &account->rows[i];

        if (part->depth != depth)
            continue;
        left -= part->bytes;
        if (!part->known && rest->known) {
            rest->known = false;
            rest->why = NOT_ALL_PARTS;
        }
    }
    if (apart && rest->known && left < 0) {
        rest->known = false;
        rest->why = TOO_MUCH;
        rest->over_bytes = -left;
    }
    rest->bytes = rest->known ? left : 0;
}

void ebb__account_rest(struct ebb_account *account, unsigned depth, const char *key, const char *name)
{
    add_rest(account, depth, key, name, false);
}

void ebb__account_rest_apart(struct ebb_account *account, unsigned depth, const char *key, const char *name)
{
    add_rest(account, depth, key, name, true);
}

void ebb__account_because(struct ebb_account *account, const char *why)
{
    struct ebb_account_row *last = &account->rows[account->count - 1];

    if (!last->known)
        last->why = why;
}

void ebb__account_beside(struct ebb_account *account, const char *key, const char *name, const char *source,
                         struct ebb_fact bytes)
{
    struct ebb_account_row *row = take(account, EBB_ACCOUNT_BESIDE, 0, key, name);

    if (row == NULL)
        return;
    row->source = source;
    put_fact(row, bytes);
}

const struct ebb_account_row *ebb__account_find(const struct ebb_account *account, const char *key)
{
    for (unsigned i = 0; i < account->count; i++)
        if (strcmp(account->rows[i].key, key) == 0)
            return &account->rows[i];
    return NULL;
}

unsigned ebb__account_path(const struct ebb_account *account, unsigned row, char *ret_path, unsigned bytes)
{
    unsigned line[EBB_ACCOUNT_DEPTH_MAX];
    unsigned depth = account->rows[row].depth;
    unsigned len = 0;

    /* Upwards: the nearest row before that is one less deep. */
    line[depth] = row;
    for (unsigned i = row, at = depth; at > 0; i--)
        if (account->rows[i - 1].depth == at - 1)
            line[--at] = i - 1;
    ret_path[0] = '\0';
    for (unsigned i = 0; i <= depth && len < bytes; i++)
        len += (unsigned)snprintf(ret_path + len, bytes - len, "%s%s", i == 0 ? "" : "/",
                                  account->rows[line[i]].key);
    return len < bytes ? len : bytes - 1;
}

/* Whether the parts of a row are as they should be. */
static const char *check_parts(const struct ebb_account *account, unsigned whole)
{
    unsigned depth = account->rows[whole].depth + 1;
    const struct ebb_account_row *last = NULL;
    unsigned rests = 0;
    int64_t sum = 0;
    bool all_known = account->rows[whole].known;

    for (unsigned i = whole + 1; i < account->count; i++) {
        const struct ebb_account_row *row = &account->rows[i];

        if (row->depth < depth)
            break;
        if (row->depth > depth)
            continue;
        last = row;
        rests += row->kind == EBB_ACCOUNT_REST;
        all_known = all_known && row->known;
        sum += row->bytes;
    }
    if (last == NULL)
        return NULL;
    if (rests != 1 || last->kind != EBB_ACCOUNT_REST)
        return "A2 a row with parts has one rest, the last of them";
    if (all_known && sum != account->rows[whole].bytes)
        return "A3 a row is the sum of its parts";
    return NULL;
}

const char *ebb__account_check(const struct ebb_account *account)
{
    bool beside = false;

    if (account->count == 0 || account->rows[0].depth != 0 || account->rows[0].kind != EBB_ACCOUNT_PART)
        return "A1 the first row is the total";
    for (unsigned i = 1; i < account->count; i++) {
        const struct ebb_account_row *row = &account->rows[i];

        if (row->depth > account->rows[i - 1].depth + 1 ||
            (row->depth == 0) != (row->kind == EBB_ACCOUNT_BESIDE))
            return "A1 a row is at most one deeper than the one before it";
        if (beside && row->kind != EBB_ACCOUNT_BESIDE)
            return "A4 rows beside come last";
        beside = row->kind == EBB_ACCOUNT_BESIDE;
        if ((row->apart && row->bytes < 0) || row->over_bytes < 0 ||
            (row->over_bytes != 0 && (row->known || !row->apart)))
            return "A5 a rest apart is not below zero";
    }
    for (unsigned i = 0; i < account->count; i++) {
        const char *broken = check_parts(account, i);

        if (broken != NULL)
            return broken;
    }
    return NULL;
}
