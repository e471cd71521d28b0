/* SPDX-License-Identifier: MIT
 *
 * A lane: one share of the database-like load, with connections, a dictionary and a table cache of its own.
 *
 * The work is cut into lanes, and a thread runs one or more of them in turn. What a lane does depends on the
 * seed, its number and its share of the live bytes alone, never on time, on addresses or on what other lanes
 * do. So the same options give the same sequence of calls and sizes in each lane under every allocator and
 * with any number of threads up to the number of lanes.
 *
 * A step is one event: a connection comes or goes, a statement begins, or a statement ends. Between its
 * begin and its end a statement holds its buffers while other connections of the lane go on, as in a server.
 */
#ifndef EBB_LOAD_LANE_H
#define EBB_LOAD_LANE_H

#include "block.h"

#include <pthread.h>

#define LANE_COUNT_MIN 16u
#define LANE_COUNT_MAX 256u

/* Steps of one visit to a lane. A run is a whole number of visits to every lane. */
#define LANE_ROUND_STEPS 64u

struct conn {
    struct block *session; /* the session object */
    struct block *state;   /* list: names, variables, privileges */
    struct block *root;    /* first block of the statement's memory root, kept between statements */
    struct block *net;     /* network buffer */
    struct block *stmts;   /* list: prepared statements */
    unsigned stmt_count;
    bool busy; /* a statement has begun and not ended; the rest is what it holds */
    bool gives_away;
    struct block *rows;    /* list: rows and items */
    struct block *roots;   /* list: further blocks of the memory root */
    struct block *buffers; /* list: sort and join buffers */
};

struct table {
    struct block *share; /* the table object */
    struct block *parts; /* list: fields, keys, names */
};

struct lane {
    struct tally tally;
    struct rng rng;
    unsigned index;
    int64_t target_bytes;
    uint32_t buffer_max_bytes; /* the largest sort buffer, a power of two */
    bool ramped;               /* the target has been reached once */

    struct conn *conns;
    unsigned conn_count, conn_cap;
    struct block **dict;
    unsigned dict_count, dict_cap;
    struct table *tables;
    unsigned table_count, table_cap;

    struct lane *all; /* the lanes of the load, to hand result sets to */
    unsigned all_count;
    _Alignas(128) pthread_mutex_t inbox_lock;
    struct block *inbox; /* list of blocks that other lanes have handed over; under inbox_lock */
    int64_t inbox_bytes; /* their bytes, since it was last emptied; under inbox_lock */
};

/* Prepares lane `index` of `count`. 0 or -ENOMEM. Tables come from mmap, not from the allocator under test.
 */
int lane_init(struct lane *l, struct lane *all, unsigned index, unsigned count, uint64_t seed,
              int64_t target_bytes);

/* One visit while the lane grows; sets `ramped` and stops when the target is reached. */
void lane_ramp(struct lane *l);

/* One visit of LANE_ROUND_STEPS steps at the peak. */
void lane_round(struct lane *l);

/* Ends all statements and closes 95 % of the connections, chosen at random. */
void lane_fall(struct lane *l);

/* Frees what other lanes have handed over. */
void lane_drain(struct lane *l);

/* Frees all that is left. */
void lane_fini(struct lane *l);

/* Gives a list of blocks to another lane, which frees them at its next visit. */
void lane_hand_over(struct lane *from, struct block **list);

#endif
