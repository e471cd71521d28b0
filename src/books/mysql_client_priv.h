/* SPDX-License-Identifier: MIT
 *
 * A connection to MariaDB or MySQL that keeps a deadline, by libmariadb.
 */
#ifndef EBB_BOOKS_MYSQL_CLIENT_PRIV_H
#define EBB_BOOKS_MYSQL_CLIENT_PRIV_H

#include <stdbool.h>

#include "books/books.h"
#include "books/deadline_priv.h"
#include "books/endpoint_priv.h"

/* Errors of the server that mean more to us than their text. */
#define EBB_MYSQL_ACCESS_DENIED  1045
#define EBB_MYSQL_UNKNOWN_COLUMN 1054
#define EBB_MYSQL_TABLE_DENIED   1142
#define EBB_MYSQL_COLUMN_DENIED  1143
#define EBB_MYSQL_NEEDS_GRANT    1227

struct ebb_mysql;

/* 0 and the connection, or -errno with the reason: -ETIMEDOUT, -EACCES when the server does not let us in, -ENOENT without the
 * library, -ECONNREFUSED and others when there is no connection. */
int ebb__mysql_open(const struct ebb_endpoint *endpoint, const struct ebb_books_options *options,
                    struct ebb_deadline deadline, struct ebb_mysql **ret_mysql,
                    char ret_why[EBB_BOOKS_WHY_BYTES]);

/* Another deadline from here on. */
void ebb__mysql_extend(struct ebb_mysql *mysql, struct ebb_deadline deadline);
void ebb__mysql_close(struct ebb_mysql *mysql);

/* As the server said at the beginning. */
const char *ebb__mysql_version(const struct ebb_mysql *mysql);

/* Sends a statement and hands each row of the answer to `take`, with `columns` cells: texts, or NULL. It ends early when `take`
 * returns false. A statement without an answer has 0 columns. 0, or -errno with the reason: -ETIMEDOUT; -EPERM: the server
 * refused, and its number is in *ret_code; -EIO: the connection is lost; -EPROTO: the answer has another number of columns. */
typedef bool (*ebb_mysql_take)(void *context, char **cells);
int ebb__mysql_ask(struct ebb_mysql *mysql, const char *statement, unsigned columns, ebb_mysql_take take,
                   void *context, unsigned *ret_code, char ret_why[EBB_BOOKS_WHY_BYTES]);

/* The same for a statement without an answer that may last: while the server works, `idle` is called each `every_ms`. */
typedef void (*ebb_mysql_idle)(void *context);
int ebb__mysql_run(struct ebb_mysql *mysql, const char *statement, unsigned every_ms, ebb_mysql_idle idle,
                   void *context, unsigned *ret_code, char ret_why[EBB_BOOKS_WHY_BYTES]);

/* ---- rights, in mysql_rights.c: reads alone ---- */

/* Fills books->rights over a connection that is open. */
void ebb__mysql_ask_rights(struct ebb_books *books, struct ebb_mysql *mysql);

/* Whether FLUSH TABLES waits for tables in use: MySQL's does, and MariaDB's before 10.4. */
bool ebb__mysql_flush_waits(enum ebb_books_kind kind, const char *version);

/* Tables that a statement uses at this moment, of those that the account may see. */
struct ebb_fact ebb__mysql_tables_in_use(struct ebb_mysql *mysql);

#endif
