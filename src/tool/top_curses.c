/* SPDX-License-Identifier: MIT
 *
 * A terminal for ebb top, by ncurses; see top_curses.h.
 */
#include "tool/top_curses.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

/* Functions, not macros: the names below are those of a table. */
#define NCURSES_NOMACROS         1
#define NCURSES_WIDECHAR         1
#define NCURSES_ENABLE_STDBOOL_H 1
#include <ncurses.h>

#define LIBRARY "libncursesw.so.6"

/* What was loaded; all NULL before. */
static struct {
    void *library;
    SCREEN *screen;
    WINDOW *window;
    bool colour;
#define EBB_CURSES(name) __typeof__(&(name)) name;
#include "tool/top_curses.def"
#undef EBB_CURSES
} curses;

static const struct {
    const char *name;
    size_t at;
} FUNCTIONS[] = {
#define EBB_CURSES(function) {#function, offsetof(__typeof__(curses), function)},
#include "tool/top_curses.def"
#undef EBB_CURSES
};

/* Colours of text, where there are colours; else the attribute alone tells. */
enum { PAIR_NONE, PAIR_GRAPH, PAIR_WARN, PAIR_BAD };

static bool load(const char **ret_why)
{
    if (curses.library != NULL)
        return true;
    curses.library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (curses.library == NULL) {
        *ret_why = "the library " LIBRARY " is not installed";
        return false;
    }
    for (size_t i = 0; i < sizeof(FUNCTIONS) / sizeof(FUNCTIONS[0]); i++) {
        void *function = dlsym(curses.library, FUNCTIONS[i].name);

        if (function == NULL) {
            *ret_why = "the library " LIBRARY " lacks a function";
            dlclose(curses.library);
            curses.library = NULL;
            return false;
        }
        /* A pointer to data is copied into one to a function, as POSIX has it. */
        memcpy((char *)&curses + FUNCTIONS[i].at, &function, sizeof(function));
    }
    return true;
}

bool ebb__top_curses_open(bool colour, const char **ret_why)
{
    WINDOW **window;

    if (!load(ret_why))
        return false;
    window = dlsym(curses.library, "stdscr");
    curses.screen = curses.newterm(NULL, stdout, stdin);
    if (curses.screen == NULL || window == NULL) {
        *ret_why = "the terminal database does not know its type, or it cannot move its cursor";
        return false;
    }
    curses.window = *window;
    curses.cbreak();
    curses.noecho();
    curses.keypad(curses.window, true);
    curses.nodelay(curses.window, true);
    /* A lone Esc is told from the beginning of a key by what follows at once. */
    curses.set_escdelay(50);
    curses.curs_set(0);
    curses.colour = colour && curses.has_colors() && curses.start_color() == OK;
    if (curses.colour) {
        short back = curses.use_default_colors() == OK ? -1 : COLOR_BLACK;

        curses.init_pair(PAIR_GRAPH, COLOR_CYAN, back);
        curses.init_pair(PAIR_WARN, COLOR_YELLOW, back);
        curses.init_pair(PAIR_BAD, COLOR_RED, back);
    }
    return true;
}

void ebb__top_curses_close(void)
{
    if (curses.screen == NULL)
        return;
    curses.endwin();
    curses.delscreen(curses.screen);
    curses.screen = NULL;
    curses.window = NULL;
}

void ebb__top_curses_size(unsigned *ret_rows, unsigned *ret_columns)
{
    int rows = curses.getmaxy(curses.window);
    int columns = curses.getmaxx(curses.window);

    *ret_rows = rows > 0 ? (unsigned)rows : 1;
    *ret_columns = columns > 0 ? (unsigned)columns : 1;
}

static int attributes_of(unsigned char attr)
{
    static const struct {
        attr_t attributes;
        int pair;
    } ATTRIBUTES[EBB_TOP_ATTR_COUNT] = {
        [EBB_TOP_PLAIN] = {A_NORMAL, PAIR_NONE},
        [EBB_TOP_STRONG] = {A_BOLD, PAIR_NONE},
        [EBB_TOP_WEAK] = {A_DIM, PAIR_NONE},
        [EBB_TOP_HEAD] = {A_REVERSE, PAIR_NONE},
        [EBB_TOP_SORTED] = {A_REVERSE | A_BOLD | A_UNDERLINE, PAIR_NONE},
        [EBB_TOP_MARK] = {A_REVERSE, PAIR_NONE},
        [EBB_TOP_GRAPH] = {A_NORMAL, PAIR_GRAPH},
        [EBB_TOP_WARN] = {A_BOLD, PAIR_WARN},
        [EBB_TOP_BAD] = {A_BOLD | A_REVERSE, PAIR_BAD},
    };
    attr_t attributes = attr < EBB_TOP_ATTR_COUNT ? ATTRIBUTES[attr].attributes : A_NORMAL;

    if (curses.colour && attr < EBB_TOP_ATTR_COUNT)
        attributes |= (attr_t)ATTRIBUTES[attr].pair << NCURSES_ATTR_SHIFT;
    return (int)attributes;
}

void ebb__top_curses_show(const struct ebb_top_screen *screen)
{
    int rows = curses.getmaxy(curses.window);
    int columns = curses.getmaxx(curses.window);

    curses.werase(curses.window);
    for (int row = 0; row < rows && row < (int)screen->rows; row++)
        for (int column = 0; column < columns && column < (int)screen->columns; column++) {
            const struct ebb_top_glyph *glyph =
                &screen->glyphs[(size_t)row * screen->columns + (size_t)column];

            if (glyph->text[0] == '\0')
                continue;
            curses.wmove(curses.window, row, column);
            curses.wattrset(curses.window, attributes_of(glyph->attr));
            curses.waddnstr(curses.window, glyph->text, -1);
        }
    curses.wattrset(curses.window, A_NORMAL);
    curses.wnoutrefresh(curses.window);
    curses.doupdate();
}

int ebb__top_curses_key(bool *ret_resized)
{
    static const struct {
        int code;
        int key;
    } KEYS[] = {
        {KEY_UP, EBB_TOP_KEY_UP},
        {KEY_DOWN, EBB_TOP_KEY_DOWN},
        {KEY_PPAGE, EBB_TOP_KEY_PAGE_UP},
        {KEY_NPAGE, EBB_TOP_KEY_PAGE_DOWN},
        {KEY_HOME, EBB_TOP_KEY_HOME},
        {KEY_END, EBB_TOP_KEY_END},
        {KEY_ENTER, EBB_TOP_KEY_ENTER},
        {'\r', EBB_TOP_KEY_ENTER},
        {KEY_BACKSPACE, EBB_TOP_KEY_BACKSPACE},
        {'\b', EBB_TOP_KEY_BACKSPACE},
    };
    int code = curses.wgetch(curses.window);

    if (code == ERR)
        return -1;
    if (code == KEY_RESIZE) {
        *ret_resized = true;
        return EBB_TOP_KEY_OTHER;
    }
    for (size_t i = 0; i < sizeof(KEYS) / sizeof(KEYS[0]); i++)
        if (KEYS[i].code == code)
            return KEYS[i].key;
    return code < 256 ? code : EBB_TOP_KEY_OTHER;
}
