/* SPDX-License-Identifier: MIT
 *
 * What the account that we are may change in MariaDB and MySQL, found out without changing anything.
 *
 * Rights that come through a role are in no list that every server shows: with a role in force, what is not listed is not known.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "books/mysql_client_priv.h"
#include "books/rows_priv.h"
#include "probe/scan.h"

/* Our own account as USER_PRIVILEGES writes it, in quotes: 'user'@'host'. Names may hold an @, hosts do not. */
#define GRANTEE                                                                                              \
    "CONCAT(QUOTE(LEFT(CURRENT_USER(), CHAR_LENGTH(CURRENT_USER()) - 1"                                      \
    " - CHAR_LENGTH(SUBSTRING_INDEX(CURRENT_USER(), '@', -1)))), '@',"                                       \
    " QUOTE(SUBSTRING_INDEX(CURRENT_USER(), '@', -1)))"

struct privileges {
    unsigned count;
    bool super;
    bool variables; /* SYSTEM_VARIABLES_ADMIN, which MySQL has for what takes SUPER elsewhere */
    bool reload;
    bool flush; /* FLUSH_TABLES, likewise */
    bool role;
};

static bool take_privilege(void *context, char **cells)
{
    struct privileges *privileges = context;
    const char *name = cells[0] != NULL ? cells[0] : "";

    privileges->count++;
    privileges->super |= strcmp(name, "SUPER") == 0;
    privileges->variables |= strcmp(name, "SYSTEM_VARIABLES_ADMIN") == 0;
    privileges->reload |= strcmp(name, "RELOAD") == 0;
    privileges->flush |= strcmp(name, "FLUSH_TABLES") == 0;
    return true;
}

static bool take_role(void *context, char **cells)
{
    struct privileges *privileges = context;

    privileges->role = cells[0] != NULL && strcmp(cells[0], "NONE") != 0;
    return true;
}

static struct ebb_fact right_of(const struct privileges *privileges, bool has)
{
    if (has)
        return ebb__fact(1);
    /* An account without any right has a row too. */
    return privileges->role || privileges->count == 0 ? ebb__fact_unknown(-EAGAIN) : ebb__fact(0);
}

static bool count_row(void *context, char **cells)
{
    uint64_t *count = context;

    (void)cells;
    ++*count;
    return true;
}

struct ebb_fact ebb__mysql_tables_in_use(struct ebb_mysql *mysql)
{
    char why[EBB_BOOKS_WHY_BYTES];
    uint64_t count = 0;
    unsigned code;
    int err = ebb__mysql_ask(mysql, "SHOW OPEN TABLES WHERE In_use > 0", 4, count_row, &count, &code, why);

    return err == 0 ? ebb__fact(count) : ebb__fact_unknown(err);
}

bool ebb__mysql_flush_waits(enum ebb_books_kind kind, const char *version)
{
    struct ebb_scan scan = {.at = version, .end = version + strlen(version)};
    uint64_t major, minor;

    if (kind != EBB_BOOKS_MARIADB || !ebb__scan_dec(&scan, &major) || !ebb__scan_char(&scan, '.') ||
        !ebb__scan_dec(&scan, &minor))
        return true;
    return major < 10 || (major == 10 && minor < 4);
}

void ebb__mysql_ask_rights(struct ebb_books *books, struct ebb_mysql *mysql)
{
    struct ebb_books_rights *rights = &books->rights;
    struct privileges privileges = {0};
    char why[EBB_BOOKS_WHY_BYTES];
    unsigned code;
    int err = ebb__mysql_ask(
        mysql, "SELECT PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES WHERE GRANTEE = " GRANTEE, 1,
        take_privilege, &privileges, &code, why);

    /* Servers without roles refuse this one, and are right. */
    if (err == 0)
        err = ebb__mysql_ask(mysql, "SELECT CURRENT_ROLE()", 1, take_role, &privileges, &code, why);
    if (err != 0 && err != -EPERM) {
        rights->may_set = ebb__fact_unknown(err);
        rights->may_flush = ebb__fact_unknown(err);
        return;
    }
    rights->may_set = right_of(&privileges, privileges.super || privileges.variables);
    rights->may_flush = right_of(&privileges, privileges.reload || privileges.flush);
    rights->flush_waits = ebb__mysql_flush_waits(books->kind, books->version);
    if (rights->flush_waits)
        rights->tables_in_use = ebb__mysql_tables_in_use(mysql);
}
