/* SPDX-License-Identifier: MIT
 *
 * The live screen of ebb top; see top_live.h.
 *
 * Signals that end a program end the loop instead, so that the terminal is given back first; then those that others sent take their usual
 * effect. They are blocked except while we wait, so none is missed between a test and a wait.
 */
#include "tool/top_live.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool/cmd.h"
#include "tool/top_curses.h"
#include "tool/top_screen.h"

/* A part of a key may look like nothing for a moment; an input that has ended does so for ever. */
#define EMPTY_READS_MAX 16

static volatile sig_atomic_t ended_by;

static void note_end(int number)
{
    ended_by = number;
}

static const int ENDS[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

#define END_COUNT (sizeof(ENDS) / sizeof(ENDS[0]))

/* Whom we are until the end of the loop. */
struct live {
    struct ebb_top_source *source;
    struct ebb_top_state *state;
    struct ebb_top_facts facts;
    struct ebb_top_list list;
    struct ebb_top_screen screen;
    unsigned empty_reads; /* one after another */
    sigset_t waiting;     /* signals that are blocked while we wait */
    struct sigaction before[END_COUNT];
};

static void hold_signals(struct live *live)
{
    struct sigaction action = {.sa_handler = note_end};
    sigset_t blocked;

    ended_by = 0;
    sigemptyset(&action.sa_mask);
    sigemptyset(&blocked);
    for (size_t i = 0; i < END_COUNT; i++) {
        sigaction(ENDS[i], &action, &live->before[i]);
        /* Who started us so that it is ignored, as nohup(1) does, knows why. */
        if (live->before[i].sa_handler == SIG_IGN)
            sigaction(ENDS[i], &live->before[i], NULL);
        sigaddset(&blocked, ENDS[i]);
    }
    sigprocmask(SIG_BLOCK, &blocked, &live->waiting);
}

static void release_signals(const struct live *live)
{
    for (size_t i = 0; i < END_COUNT; i++)
        sigaction(ENDS[i], &live->before[i], NULL);
    sigprocmask(SIG_SETMASK, &live->waiting, NULL);
    if (ended_by != 0 && ended_by != SIGINT)
        raise(ended_by);
}

/* Fits the grid to the terminal. */
static bool fit(struct live *live)
{
    unsigned rows;
    unsigned columns;

    ebb__top_curses_size(&rows, &columns);
    ebb__top_screen_fini(&live->screen);
    return ebb__top_screen_init(&live->screen, rows, columns);
}

static int look(struct live *live)
{
    int err;

    live->source->ask.kernel = live->state->kernel;
    live->source->ask.needs = ebb__top_needs(live->screen.columns, live->state);
    err = ebb__top_look(live->source, &live->facts);
    if (err == 0 && live->state->view == EBB_TOP_PROCESS)
        err = ebb__top_look_closely(live->source, &live->facts, live->state->selected_pid,
                                    live->state->selected_start);
    live->state->look = false;
    return err;
}

static int draw(struct live *live)
{
    ebb__top_list_fini(&live->list);
    if (!ebb__top_list_make(live->state, &live->facts.table, &live->list))
        return -ENOMEM;
    ebb__top_settle(live->state, &live->facts.table, &live->list);
    ebb__top_draw(&live->screen, &live->facts, &live->list, live->state);
    ebb__top_curses_show(&live->screen);
    return 0;
}

/* Waits for keys until `end_ns`; returns when something is to be done. */
static int wait_and_press(struct live *live, uint64_t end_ns)
{
    for (;;) {
        uint64_t now_ns = ebb__proc_now_ns();
        uint64_t left_ns = now_ns < end_ns ? end_ns - now_ns : 0;
        const struct timespec left = {.tv_sec = (time_t)(left_ns / 1000000000),
                                      .tv_nsec = (long)(left_ns % 1000000000)};
        struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
        bool pressed = false;
        bool resized = false;
        int key;
        int got = ppoll(&input, 1, &left, &live->waiting);

        if (ended_by != 0)
            return 0;
        while ((key = ebb__top_curses_key(&resized)) >= 0) {
            if (key != EBB_TOP_KEY_OTHER)
                ebb__top_press(live->state, &live->facts.table, &live->list, key);
            pressed = true;
            if (live->state->quit || live->state->look)
                break;
            /* The next key moves in the list as this one has left it. */
            ebb__top_list_fini(&live->list);
            if (!ebb__top_list_make(live->state, &live->facts.table, &live->list))
                return -ENOMEM;
            ebb__top_settle(live->state, &live->facts.table, &live->list);
        }
        /* The terminal has gone: there is something to read, and it is nothing. */
        if (got > 0 && !pressed && ((input.revents & ~POLLIN) != 0 || ++live->empty_reads == EMPTY_READS_MAX))
            live->state->quit = true;
        if (pressed)
            live->empty_reads = 0;
        if (resized && !fit(live))
            return -ENOMEM;
        if (got == 0 || live->state->quit || live->state->look)
            return 0;
        if (pressed) {
            int err = draw(live);

            if (err != 0)
                return err;
        }
    }
}

static int loop(struct live *live, long interval_ms, unsigned looks)
{
    uint64_t next_ns = 0;
    unsigned done = 0;
    int err = fit(live) ? 0 : -ENOMEM;

    while (err == 0 && !live->state->quit && ended_by == 0) {
        bool asked = live->state->look;

        err = look(live);
        if (err == 0)
            err = draw(live);
        if (!asked && ++done == looks)
            break;
        next_ns = ebb__proc_now_ns() + (uint64_t)interval_ms * 1000000;
        if (err == 0)
            err = wait_and_press(live, next_ns);
    }
    return err;
}

/* Why there can be no live screen, as a clause; NULL when nothing stands in the way so far. */
static const char *find_obstacle(void)
{
    const char *type = getenv("TERM");

    if (!isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO))
        return "standard input and output are no terminal";
    if (type == NULL || type[0] == '\0')
        return "TERM does not say what terminal this is";
    return strcmp(type, "dumb") == 0 ? "TERM=dumb cannot move its cursor" : NULL;
}

int ebb__top_live(struct ebb_top_source *source, struct ebb_top_state *state, long interval_ms,
                  unsigned looks)
{
    static struct live live;
    const char *no_colour = getenv("NO_COLOR");
    const char *why = find_obstacle();
    bool opened;
    int err = 0;

    /* Only here: the other commands read and write the same in all languages. */
    setlocale(LC_CTYPE, "");
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
        state->ascii = true;
    live = (struct live){.source = source, .state = state};
    hold_signals(&live);
    opened = why == NULL && ebb__top_curses_open(no_colour == NULL || no_colour[0] == '\0', &why);
    if (opened) {
        err = loop(&live, interval_ms, looks);
        ebb__top_curses_close();
    }
    ebb__top_list_fini(&live.list);
    ebb__top_screen_fini(&live.screen);
    ebb__top_facts_fini(&live.facts);
    release_signals(&live);
    if (!opened)
        fprintf(stderr, "ebb top: no live screen here: %s; ebb top --batch prints tables\n", why);
    else if (err != 0)
        fprintf(stderr, "ebb top: cannot look at processes: %s\n", strerror(-err));
    return opened && err == 0 ? EBB_EXIT_OK : EBB_EXIT_FAILED;
}
