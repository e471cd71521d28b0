/* SPDX-License-Identifier: MIT
 *
 * The drain model's search: every interleaving, breadth first, each state once.
 *
 * States lie in one array in the order in which they were found; a hash table of indices finds them again; one index
 * for each leads back to the state it was first reached from. So the first violation found is one of the shortest, and
 * its way is told by making the same moves again with somebody reading along.
 */
#include "drain_model.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATES_MOST 6000000U /* a mistake in the model shows here, before it fills the machine's memory */

/* Moves of one thread: its next step (two choices), a store of its buffer, a load ahead of its turn. */
#define CHOICES      2
#define THREAD_MOVES (CHOICES + STORES + 1)
#define MOVES        (THREADS * THREAD_MOVES)

struct search {
    const struct world *world;
    struct state *states;
    uint32_t *from;
    uint32_t count, room;
    uint32_t *table; /* 1 + index; 0: empty. A power of two of at least twice `room` */
    uint32_t mask;
    struct outcome outcome;
};

void drain_say(struct step *step, const char *format, ...)
{
    va_list args;
    if (step->text == NULL)
        return;
    size_t said = strlen(step->text);
    if (said != 0 && said + 3 < SAID) {
        memcpy(step->text + said, "; ", 3);
        said += 2;
    }
    va_start(args, format);
    (void)vsnprintf(step->text + said, SAID - said, format, args);
    va_end(args);
}

/* Makes move m on step->s. */
static void make_move(struct step *step, unsigned m)
{
    unsigned t = m / THREAD_MOVES, which = m % THREAD_MOVES;
    if (which >= CHOICES + STORES)
        memory_load_ahead(step, t);
    else if (which >= CHOICES)
        memory_commit(step, t, which - CHOICES);
    else if (t != DRAINER)
        owner_step(step, t, which);
    else if (which == 0)
        drainer_step(step);
    else
        step->blocked = true;
}

/* ---- the states that were found ---- */

static void *grown(void *array, size_t bytes)
{
    void *larger = realloc(array, bytes);
    if (larger == NULL) {
        (void)fprintf(stderr, "drain_model: no memory for %zu bytes of states\n", bytes);
        exit(2);
    }
    return larger;
}

static uint32_t hash(const struct state *s)
{
    const unsigned char *bytes = (const unsigned char *)s;
    uint64_t h = 0x9e3779b97f4a7c15U;
    size_t i = 0;
    for (; i + 8 <= sizeof(*s); i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, sizeof(word));
        h = (h ^ word) * 0xff51afd7ed558ccdU;
        h ^= h >> 32;
    }
    for (; i < sizeof(*s); i++)
        h = (h ^ bytes[i]) * 0xff51afd7ed558ccdU;
    return (uint32_t)(h ^ h >> 29);
}

static void enlarge(struct search *search)
{
    search->room = search->room != 0 ? search->room * 2 : 1U << 14;
    search->states = grown(search->states, search->room * sizeof(*search->states));
    search->from = grown(search->from, search->room * sizeof(*search->from));
    search->mask = search->room * 2 - 1;
    search->table = grown(search->table, (search->mask + (size_t)1) * sizeof(*search->table));
    memset(search->table, 0, (search->mask + (size_t)1) * sizeof(*search->table));
    for (uint32_t i = 0; i < search->count; i++) {
        uint32_t at = hash(&search->states[i]) & search->mask;
        while (search->table[at] != 0)
            at = (at + 1) & search->mask;
        search->table[at] = i + 1;
    }
}

/* Adds a state that is new. */
static void found(struct search *search, const struct state *s, uint32_t from)
{
    uint32_t at = hash(s) & search->mask;
    for (; search->table[at] != 0; at = (at + 1) & search->mask)
        if (memcmp(&search->states[search->table[at] - 1], s, sizeof(*s)) == 0)
            return;
    if (search->count == STATES_MOST) {
        (void)fprintf(stderr, "drain_model: more than %u states\n", STATES_MOST);
        exit(2);
    }
    search->states[search->count] = *s;
    search->from[search->count] = from;
    search->table[at] = ++search->count;
    if (search->count == search->room)
        enlarge(search);
}

/* ---- the way to a violation ---- */

/* Tells move m from s. */
static void tell(const struct search *search, unsigned number, const struct state *before, unsigned m)
{
    struct state s = *before;
    char text[SAID] = "";
    struct step step = {.world = search->world, .s = &s, .text = text};
    make_move(&step, m);
    if (m / THREAD_MOVES == DRAINER)
        printf("%4u                                          | drainer   %s\n", number, text);
    else
        printf("%4u  owner %u   %s\n", number, m / THREAD_MOVES + 1, text);
}

/* The move that leads from one state to the other. */
static unsigned move_between(const struct search *search, const struct state *before,
                             const struct state *after)
{
    for (unsigned m = 0; m < MOVES; m++) {
        struct state s = *before;
        struct step step = {.world = search->world, .s = &s};
        make_move(&step, m);
        if (!step.blocked && memcmp(&s, after, sizeof(s)) == 0)
            return m;
    }
    return 0;
}

/* Counts the steps to state `last`, and tells them. Returns their number. */
static unsigned way_to(const struct search *search, uint32_t last, bool tells)
{
    unsigned length = 0;
    for (uint32_t i = last; i != 0; i = search->from[i])
        length++;
    if (!tells)
        return length;
    uint32_t *way = grown(NULL, (length + (size_t)1) * sizeof(*way));
    uint32_t i = last;
    for (unsigned n = length + 1; n-- != 0; i = search->from[i])
        way[n] = i;
    for (unsigned n = 0; n < length; n++) {
        const struct state *before = &search->states[way[n]];
        tell(search, n + 1, before, move_between(search, before, &search->states[way[n + 1]]));
    }
    free(way);
    return length;
}

/* ---- the search ---- */

/* Makes every move from state i. False at a violation. */
static bool expand(struct search *search, uint32_t i, bool tells)
{
    struct outcome *outcome = &search->outcome;
    bool moved = false;
    for (unsigned m = 0; m < MOVES; m++) {
        struct state s = search->states[i];
        struct step step = {.world = search->world, .s = &s};
        make_move(&step, m);
        if (step.blocked)
            continue;
        moved = true;
        outcome->steps++;
        outcome->seen[step.event]++;
        memory_check(&step);
        if (step.broken != NULL) {
            outcome->broken = step.broken;
            outcome->length = way_to(search, i, tells) + 1;
            if (tells)
                tell(search, outcome->length, &search->states[i], m);
            return false;
        }
        found(search, &s, i);
    }
    if (!moved) {
        struct step step = {.world = search->world, .s = &search->states[i]};
        protocol_check_end(&step);
        outcome->broken = step.broken;
        if (step.broken != NULL)
            outcome->length = way_to(search, i, tells);
    }
    return outcome->broken == NULL;
}

struct outcome explore(const struct world *world, bool tells)
{
    struct search search = {.world = world};
    struct state start;
    memset(&start, 0, sizeof(start));
    protocol_start(&start, world);
    enlarge(&search);
    found(&search, &start, 0);
    for (uint32_t i = 0; i < search.count && expand(&search, i, tells); i++)
        ;
    search.outcome.states = search.count;
    free(search.states);
    free(search.from);
    free(search.table);
    return search.outcome;
}
