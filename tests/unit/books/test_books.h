/* SPDX-License-Identifier: MIT
 *
 * What the tests of books have in common.
 */
#ifndef EBB_TESTS_UNIT_BOOKS_TEST_BOOKS_H
#define EBB_TESTS_UNIT_BOOKS_TEST_BOOKS_H

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* and now */
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "books/books.h"

#endif
