/* SPDX-License-Identifier: MIT
 *
 * Allocation and release during exit(): in atexit handlers, in on_exit handlers and in destructors, which run
 * after whatever the library under test does at its own end.
 */
#include "conform/conform.h"

#include <stdlib.h>
#include <unistd.h>

enum { HANDLERS = 40, BLOCKS = 200 };

static void *from_main[BLOCKS];
static void *from_handlers[HANDLERS];
static size_t handlers_run;

static size_t size_of(size_t i)
{
    return 10 + i * i;
}

static void handler(void)
{
    void *blocks[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(size_of(i));
        if (CHECK(blocks[i] != NULL)) {
            conform_fill(blocks[i], size_of(i), i);
        }
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        CHECK(conform_differs(blocks[i], size_of(i), i) == size_of(i));
        free(blocks[i]);
    }
    from_handlers[handlers_run] = calloc(1, 3000 + handlers_run);
    handlers_run++;
}

static void on_exit_handler(int status, void *argument)
{
    CHECK(status == 0);
    CHECK(conform_differs(argument, 500, 500) == 500);
    free(argument);
}

/* Priority 101 runs last of all. */
__attribute__((destructor(101))) static void last(void)
{
    CHECK(handlers_run == HANDLERS, "%zu handlers were run", handlers_run);
    for (size_t i = 0; i < BLOCKS; i++) {
        CHECK(conform_differs(from_main[i], size_of(i), i) == size_of(i));
        from_main[i] = realloc(from_main[i], size_of(i) * 2);
        CHECK(from_main[i] != NULL);
        free(from_main[i]);
    }
    for (size_t i = 0; i < HANDLERS; i++) {
        free(from_handlers[i]);
    }
    /* The status of exit() is settled by now, so the verdict must come from here. */
    _exit(conform_end());
}

int main(void)
{
    conform_start(30);
    for (size_t i = 0; i < BLOCKS; i++) {
        from_main[i] = malloc(size_of(i));
        conform_fill(from_main[i], size_of(i), i);
    }
    for (size_t i = 0; i < HANDLERS; i++) {
        CHECK(atexit(handler) == 0);
    }
    void *block = malloc(500);
    conform_fill(block, 500, 500);
    CHECK(on_exit(on_exit_handler, block) == 0);
    exit(0);
}
