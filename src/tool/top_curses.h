/* SPDX-License-Identifier: MIT
 *
 * A terminal for ebb top, by ncurses.
 *
 * The library is loaded when a screen is opened, not when ebb starts: it and its tables would cost all other commands memory and time that
 * they have no use for, and a host without it can still use them. One screen at a time, one thread.
 */
#ifndef EBB_TOOL_TOP_CURSES_H
#define EBB_TOOL_TOP_CURSES_H

#include <stdbool.h>

#include "tool/top_screen.h"

/* Takes the terminal. True, or false with the reason in *ret_why, a clause that is valid until the next call. */
bool ebb__top_curses_open(bool colour, const char **ret_why);

/* Gives it back as it was. */
void ebb__top_curses_close(void);

void ebb__top_curses_size(unsigned *ret_rows, unsigned *ret_columns);

/* Copies a screen to the terminal. */
void ebb__top_curses_show(const struct ebb_top_screen *screen);

/* The next key that has been pressed, a character or one of enum ebb_top_key; -1 when there is none. Never waits. *ret_resized is set when
 * the terminal has another size now. */
int ebb__top_curses_key(bool *ret_resized);

#endif
