/* SPDX-License-Identifier: MIT
 *
 * From what a server answers to the facts of the books: pure functions over rows of text.
 */
#ifndef EBB_BOOKS_ROWS_PRIV_H
#define EBB_BOOKS_ROWS_PRIV_H

#include "books/books.h"

/* All facts unknown, for one reason. */
void ebb__rows_init(struct ebb_books *books);

/* Those of a source that are still unknown are so for this reason: -ENODATA once the whole answer has been read. */
void ebb__rows_mark(struct ebb_books *books, enum ebb_books_source source, int err);

/* A row of SHOW GLOBAL VARIABLES, SHOW GLOBAL STATUS or SHOW ENGINE ... STATUS, or "name", "setting" and "unit" of PostgreSQL (else
 * `unit` is NULL). Names that no row of a .def has are passed over. */
void ebb__rows_take(struct ebb_books *books, enum ebb_books_source source, const char *name,
                    const char *value, const char *unit);

/* A value as a fact: -EBADMSG when it is no number of that kind, -ERANGE when it is below 0. */
struct ebb_fact ebb__rows_value(enum ebb_books_unit kind, const char *value, const char *unit);

/* A signed number; false when the text is none. NULL, which servers send for no value, is none either. */
bool ebb__rows_signed(const char *text, int64_t *ret_value);

/* The names of a source as a list in quotes, for a statement: "'a','b'". False when it does not fit. */
bool ebb__rows_names(enum ebb_books_kind kind, enum ebb_books_source source, char *ret_text,
                     size_t text_bytes);

/* Copies a text and cuts it off where it must end: not inside a character of UTF-8. What is below a blank becomes one, and at the
 * end none. */
void ebb__rows_text(const char *from, char *ret_text, size_t text_bytes);

/* The same of `len` bytes without a NUL behind them. */
void ebb__rows_text_of(const char *from, size_t len, char *ret_text, size_t text_bytes);

/* Adds to the fact of a row, which begins at 0; what does not fit makes it unknown. */
void ebb__rows_sum(struct ebb_books *books, const struct ebb_books_row *row, uint64_t number);

/* Adds a row to a list; false when memory is short. Beyond the most that a list holds, only the sums go on. */
bool ebb__rows_add_item(struct ebb_books_items *list, const struct ebb_books_item *item);
bool ebb__rows_add_session(struct ebb_books_sessions *list, const struct ebb_books_session *session);

/* Largest first. */
void ebb__rows_sort(struct ebb_books *books);

/* The body of a reply to INFO. 0, or -EBADMSG, and nothing taken, when it is none: it names no version. */
int ebb__rows_info(struct ebb_books *books, const char *text, size_t len);

#endif
