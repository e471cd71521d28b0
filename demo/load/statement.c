/* SPDX-License-Identifier: MIT
 *
 * What connections and statements of a lane allocate: kinds, sizes and lifetimes as in MySQL and MariaDB.
 */
#include "statement.h"

/* Blocks of a memory root: the first 8 KiB, each further one half as large again. */
#define ROOT_FIRST_BYTES 8192u

/* Sort buffers begin here; their upper bound is the lane's (16 MiB in a large load). */
#define BUFFER_MIN_BYTES 16384u

/* The largest network buffer is this part of the largest sort buffer (4 MiB in a large load), and at least...
 */
#define NET_GROWTH_SHIFT     2
#define NET_GROWTH_MIN_BYTES 65536u

/* Join buffers are smaller than sort buffers: this part of the largest one. */
#define JOIN_SHIFT 3

#define STMTS_PER_CONN_MAX 20u

/* Of 1000 statements, so many ... */
enum {
    PERMILLE_SORT = 25,    /* fill a sort buffer */
    PERMILLE_JOIN = 12,    /* fill one to three join buffers */
    PERMILLE_NET = 10,     /* receive or send a row that the network buffer must grow for */
    PERMILLE_RANGE = 200,  /* read a range of rows */
    PERMILLE_GIVE = 500,   /* of those, let another thread free the result set */
    PERMILLE_PREPARE = 80, /* prepare a statement that stays with the connection */
};

struct band {
    uint32_t permille, low, high;
};

static uint32_t draw(struct rng *r, const struct band *band)
{
    uint32_t roll = rng_below(r, 1000);

    for (; roll >= band->permille; band++)
        roll -= band->permille;
    return rng_between(r, band->low, band->high);
}

/* Items, names and control blocks: the sizes up to 2000 bytes that MariaDB 10.11.19 asked malloc for under
 * sysbench's oltp_read_write with 16 threads (828,000 calls counted, November 2026), in seven bands. */
uint32_t item_bytes(struct rng *r)
{
    static const struct band bands[] = {
        {55, 16, 35},    {20, 36, 64},     {260, 65, 128},   {40, 129, 255},
        {275, 256, 600}, {335, 601, 1200}, {15, 1201, 2000},
    };

    return draw(r, bands);
}

/* Rows of a result set are mostly small. The shares are an assumption. */
static uint32_t row_bytes(struct rng *r)
{
    static const struct band bands[] = {
        {220, 16, 32}, {260, 33, 64}, {220, 65, 128}, {180, 129, 256}, {120, 257, 600},
    };

    return draw(r, bands);
}

static void push_blocks(struct lane *l, struct block **list, uint32_t (*size_of)(struct rng *),
                        uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t size = size_of(&l->rng);

        block_push(list, block_new(&l->tally, BLOCK_PLAIN, size, size));
    }
}

/* A buffer that is filled from its begin: three of four wholly, the fourth to the half. */
static void push_buffer(struct lane *l, struct conn *c, uint32_t size)
{
    uint32_t used = rng_chance(&l->rng, 750) ? size : size / 2;

    if (l->tally.live_bytes + size <= l->target_bytes + l->target_bytes / 32)
        block_push(&c->buffers, block_new(&l->tally, BLOCK_PLAIN, size, used));
}

void conn_open(struct lane *l, struct conn *c)
{
    struct tally *t = &l->tally;
    uint32_t session = rng_between(&l->rng, 8192, 24576);

    *c = (struct conn){0};
    c->session = block_new(t, BLOCK_ZEROED, session, session);
    push_blocks(l, &c->state, item_bytes, rng_between(&l->rng, 12, 30));
    c->net = block_new(t, BLOCK_PLAIN, NET_BUFFER_BYTES, NET_BUFFER_BYTES);
    c->root = block_new(t, BLOCK_PLAIN, ROOT_FIRST_BYTES, ROOT_FIRST_BYTES);
}

void conn_close(struct lane *l, struct conn *c)
{
    struct tally *t = &l->tally;

    if (c->busy)
        statement_end(l, c);
    block_free_list(t, &c->stmts);
    block_free(t, c->root);
    block_free(t, c->net);
    block_free_list(t, &c->state);
    block_free(t, c->session);
}

static void grow_roots(struct lane *l, struct conn *c)
{
    uint32_t size = ROOT_FIRST_BYTES;

    for (uint32_t i = rng_below(&l->rng, 4); i > 0; i--) {
        size += size / 2;
        block_push(&c->roots, block_new(&l->tally, BLOCK_PLAIN, size, size));
    }
}

/* By doubling, as a server does that learns the length of a row piece by piece. */
static void grow_net(struct lane *l, struct conn *c)
{
    uint32_t cap = l->buffer_max_bytes >> NET_GROWTH_SHIFT;
    uint32_t most = cap < NET_GROWTH_MIN_BYTES ? NET_GROWTH_MIN_BYTES : cap;
    uint32_t wanted = rng_log_uniform(&l->rng, 2 * NET_BUFFER_BYTES, most);

    for (uint32_t size = 2 * NET_BUFFER_BYTES; size <= wanted; size *= 2)
        c->net = block_resize(&l->tally, c->net, size);
}

static void use_buffers(struct lane *l, struct conn *c)
{
    struct rng *r = &l->rng;
    uint32_t join_max = l->buffer_max_bytes >> JOIN_SHIFT;

    if (rng_chance(r, PERMILLE_SORT))
        push_buffer(l, c, rng_log_uniform(r, BUFFER_MIN_BYTES, l->buffer_max_bytes));
    if (rng_chance(r, PERMILLE_JOIN)) {
        for (uint32_t i = rng_between(r, 1, 3); i > 0; i--)
            push_buffer(l, c, rng_log_uniform(r, BUFFER_MIN_BYTES, join_max < 32768 ? 32768 : join_max));
    }
    if (rng_chance(r, PERMILLE_NET))
        grow_net(l, c);
}

/* Reads what a statement looks up: two entries of the dictionary and a table object. */
static void look_up(struct lane *l)
{
    if (l->dict_count > 0) {
        block_read(l->dict[rng_below(&l->rng, l->dict_count)]);
        block_read(l->dict[rng_below(&l->rng, l->dict_count)]);
    }
    if (l->table_count > 0)
        block_read(l->tables[rng_below(&l->rng, l->table_count)].share);
}

void statement_begin(struct lane *l, struct conn *c)
{
    struct rng *r = &l->rng;

    c->busy = true;
    look_up(l);
    grow_roots(l, c);
    use_buffers(l, c);
    push_blocks(l, &c->rows, item_bytes, rng_between(r, 4, 12));
    c->gives_away = false;
    if (rng_chance(r, PERMILLE_RANGE)) {
        push_blocks(l, &c->rows, row_bytes, rng_between(r, 20, 150));
        c->gives_away = rng_chance(r, PERMILLE_GIVE);
    }
    if (c->stmt_count < STMTS_PER_CONN_MAX && rng_chance(r, PERMILLE_PREPARE)) {
        uint32_t size = rng_between(r, 200, 4000);

        block_push(&c->stmts, block_new(&l->tally, BLOCK_PLAIN, size, size));
        c->stmt_count++;
    }
}

void statement_end(struct lane *l, struct conn *c)
{
    struct tally *t = &l->tally;

    block_free_list(t, &c->buffers);
    block_free_list(t, &c->roots);
    if (c->gives_away)
        lane_hand_over(l, &c->rows);
    else
        block_free_list(t, &c->rows);
    if (c->net->size_bytes > NET_BUFFER_BYTES)
        c->net = block_resize(t, c->net, NET_BUFFER_BYTES);
    c->busy = false;
}
