/* SPDX-License-Identifier: MIT
 *
 * One lane: its connections, its dictionary and table cache, and the choice of the next event.
 */
#include "lane.h"

#include "statement.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* The long-lived parts may reach this share of the lane's live bytes each. */
#define DICT_TARGET_PERMILLE  60
#define TABLE_TARGET_PERMILLE 50

/* A dictionary entry: key, value and links. Its mean turns a share of bytes into a number of entries. */
#define DICT_ENTRY_MIN_BYTES  24u
#define DICT_ENTRY_MAX_BYTES  200u
#define DICT_ENTRY_MEAN_BYTES 112
#define TABLE_MIN_BYTES       2048u
#define TABLE_MAX_BYTES       12288u
#define TABLE_MEAN_BYTES      14500

/* The largest sort buffer is a quarter of the lane's live bytes, within these bounds. */
#define BUFFER_CAP_MAX_BYTES (16u << 20)
#define BUFFER_CAP_MIN_BYTES (64u << 10)

/* An inbox holds at most this part of the lane's live bytes, and one result set more. */
#define INBOX_PART 16

/* Of 1000 steps, so many ... */
enum {
    PERMILLE_OPEN_RAMP = 40, /* open a connection while the load grows */
    PERMILLE_REPLACE = 15,   /* close a connection and open another */
    PERMILLE_REFILL = 100,   /* open one if the lane holds less than it should */
    PERMILLE_DICT = 250,     /* add one to four dictionary entries, or replace them when it is full */
    PERMILLE_TABLE = 10,     /* open a table, and evict another when the cache is full */
    PERMILLE_SURVIVE = 50,   /* of 1000 connections, stay when the load falls */
};

static void *map_table(size_t count, size_t size)
{
    void *p =
        mmap(NULL, count * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

static uint32_t buffer_cap(int64_t target_bytes)
{
    uint32_t cap = BUFFER_CAP_MAX_BYTES;

    while (cap > BUFFER_CAP_MIN_BYTES && cap > target_bytes / 4)
        cap /= 2;
    return cap;
}

int lane_init(struct lane *l, struct lane *all, unsigned index, unsigned count, uint64_t seed,
              int64_t target_bytes)
{
    memset(l, 0, sizeof(*l));
    rng_init(&l->rng, seed, index);
    l->tally.digest = rng_mix(index);
    l->index = index;
    l->target_bytes = target_bytes;
    l->buffer_max_bytes = buffer_cap(target_bytes);
    l->all = all;
    l->all_count = count;
    l->conn_cap = (unsigned)(target_bytes / CONN_MIN_BYTES) + 16;
    l->dict_cap = (unsigned)(target_bytes * DICT_TARGET_PERMILLE / 1000 / DICT_ENTRY_MEAN_BYTES) + 16;
    l->table_cap = (unsigned)(target_bytes * TABLE_TARGET_PERMILLE / 1000 / TABLE_MEAN_BYTES) + 4;
    l->conns = map_table(l->conn_cap, sizeof(*l->conns));
    l->dict = map_table(l->dict_cap, sizeof(struct block *));
    l->tables = map_table(l->table_cap, sizeof(*l->tables));
    if (l->conns == NULL || l->dict == NULL || l->tables == NULL)
        return -ENOMEM;
    return -pthread_mutex_init(&l->inbox_lock, NULL);
}

static void open_one(struct lane *l)
{
    if (l->conn_count < l->conn_cap)
        conn_open(l, &l->conns[l->conn_count++]);
}

static void close_one(struct lane *l, unsigned index)
{
    conn_close(l, &l->conns[index]);
    l->conns[index] = l->conns[--l->conn_count];
}

static void dict_insert(struct lane *l)
{
    for (uint32_t i = rng_between(&l->rng, 1, 4); i > 0; i--) {
        uint32_t size = rng_between(&l->rng, DICT_ENTRY_MIN_BYTES, DICT_ENTRY_MAX_BYTES);
        unsigned slot = l->dict_count < l->dict_cap ? l->dict_count++ : rng_below(&l->rng, l->dict_cap);

        block_free(&l->tally, l->dict[slot]);
        l->dict[slot] = block_new(&l->tally, BLOCK_PLAIN, size, size);
    }
}

static void table_close(struct lane *l, struct table *table)
{
    block_free_list(&l->tally, &table->parts);
    block_free(&l->tally, table->share);
    table->share = NULL;
}

static void table_open(struct lane *l)
{
    unsigned slot = l->table_count < l->table_cap ? l->table_count++ : rng_below(&l->rng, l->table_cap);
    struct table *table = &l->tables[slot];
    uint32_t size = rng_between(&l->rng, TABLE_MIN_BYTES, TABLE_MAX_BYTES);

    table_close(l, table);
    table->share = block_new(&l->tally, BLOCK_ZEROED, size, size);
    for (uint32_t i = rng_between(&l->rng, 8, 24); i > 0; i--) {
        uint32_t part = item_bytes(&l->rng);

        block_push(&table->parts, block_new(&l->tally, BLOCK_PLAIN, part, part));
    }
}

static void count_op(struct tally *t)
{
    uint64_t now = atomic_load_explicit(&t->meter->ops, memory_order_relaxed);

    atomic_store_explicit(&t->meter->ops, now + 1, memory_order_relaxed);
}

/* What happens at the peak and on the way to it alike: statements, and long-lived blocks among their short
 * ones. */
static void step_common(struct lane *l)
{
    struct rng *r = &l->rng;

    if (rng_chance(r, PERMILLE_DICT))
        dict_insert(l);
    if (rng_chance(r, PERMILLE_TABLE))
        table_open(l);
    if (l->conn_count > 0) {
        struct conn *c = &l->conns[rng_below(r, l->conn_count)];

        if (c->busy)
            statement_end(l, c);
        else
            statement_begin(l, c);
    }
    count_op(&l->tally);
}

void lane_ramp(struct lane *l)
{
    lane_drain(l);
    for (unsigned i = 0; i < LANE_ROUND_STEPS && !l->ramped; i++) {
        if (l->conn_count == 0 || rng_chance(&l->rng, PERMILLE_OPEN_RAMP))
            open_one(l);
        step_common(l);
        l->ramped = l->tally.live_bytes >= l->target_bytes;
    }
}

void lane_round(struct lane *l)
{
    lane_drain(l);
    for (unsigned i = 0; i < LANE_ROUND_STEPS; i++) {
        bool below = l->tally.live_bytes < l->target_bytes;

        if (l->conn_count > 1 && rng_chance(&l->rng, PERMILLE_REPLACE)) {
            close_one(l, rng_below(&l->rng, l->conn_count));
            if (below)
                open_one(l);
        }
        if (below && rng_chance(&l->rng, PERMILLE_REFILL))
            open_one(l);
        step_common(l);
    }
}

void lane_fall(struct lane *l)
{
    for (unsigned i = l->conn_count; i-- > 0;) {
        if (!rng_chance(&l->rng, PERMILLE_SURVIVE))
            close_one(l, i);
        else if (l->conns[i].busy)
            statement_end(l, &l->conns[i]);
    }
}

/* The list of an inbox, which is empty afterwards. */
static struct block *take_inbox(struct lane *l)
{
    struct block *list = l->inbox;

    l->inbox = NULL;
    l->inbox_bytes = 0;
    return list;
}

void lane_hand_over(struct lane *from, struct block **list)
{
    if (*list == NULL)
        return;

    /* An odd distance, so that with 2, 4, 8 or 16 threads the receiver runs on another thread than the
     * sender. */
    unsigned distance = 1 + 2 * rng_below(&from->rng, from->all_count / 2);
    struct lane *to = &from->all[(from->index + distance) % from->all_count];
    int64_t before_bytes = from->tally.live_bytes;
    struct block *last = block_hand_over(&from->tally, *list);
    struct block *overdue = NULL;

    pthread_mutex_lock(&to->inbox_lock);
    /* When the receiver has not run for long, the sender empties its inbox: a bounded queue that never
     * blocks. */
    if (to->inbox_bytes > to->target_bytes / INBOX_PART)
        overdue = take_inbox(to);
    block_append(last, to->inbox);
    to->inbox = *list;
    to->inbox_bytes += before_bytes - from->tally.live_bytes;
    pthread_mutex_unlock(&to->inbox_lock);
    *list = NULL;
    block_free_foreign(&from->tally, overdue);
}

void lane_drain(struct lane *l)
{
    pthread_mutex_lock(&l->inbox_lock);

    struct block *list = take_inbox(l);

    pthread_mutex_unlock(&l->inbox_lock);
    block_free_foreign(&l->tally, list);
}

void lane_fini(struct lane *l)
{
    lane_drain(l);
    while (l->conn_count > 0)
        close_one(l, l->conn_count - 1);
    while (l->dict_count > 0)
        block_free(&l->tally, l->dict[--l->dict_count]);
    while (l->table_count > 0)
        table_close(l, &l->tables[--l->table_count]);
}
