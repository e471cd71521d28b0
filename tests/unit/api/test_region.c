/* SPDX-License-Identifier: MIT
 *
 * <ebb/region.h> as servers use their mem_root: a parse tree, a prepared statement, savepoints, and the calls of MySQL 5.7 and 8.0
 * written down in those of regions.
 */
#include "small_space.h"
#include "support.h"

#include "api/api.h"
#include "ebb/budget.h"
#include "ebb/region.h"
#include "governor/governor.h"
#include "os/fake.h"
#include "region/region.h"

static struct ebb_region_stats figures(const struct ebb_region *region)
{
    struct ebb_region_stats s = {.size_of_struct = sizeof(s)};
    EXPECT_EQ(ebb_region_stats_get(region, &s), 0);
    return s;
}

static struct ebb_region *region_of(size_t block_bytes, size_t first_bytes)
{
    const struct ebb_region_options o = {
        .size_of_struct = sizeof(o), .block_bytes = block_bytes, .first_bytes = first_bytes};
    struct ebb_region *region = ebb_region_create(&o);
    EXPECT(region != NULL);
    return region;
}

static size_t live_blocks(void)
{
    struct ebb_stats s = {.size_of_struct = sizeof(s)};
    EXPECT_EQ(ebb_stats_get(&s), 0);
    return s.live_blocks;
}

/* ---- the calls ---- */

static void copies(void)
{
    struct ebb_region *region = ebb_region_create(NULL);
    char *a = ebb_region_strdup(region, "select 1"), *b = ebb_region_strndup(region, "select 1", 3);
    char *c = ebb_region_strndup(region, "from", 100), *d = ebb_region_memdup(region, "a\0b", 4);
    EXPECT(strcmp(a, "select 1") == 0 && strcmp(b, "sel") == 0 && strcmp(c, "from") == 0 &&
           memcmp(d, "a\0b", 4) == 0);
    EXPECT(strcmp(ebb_region_strdup(region, ""), "") == 0 && ebb_region_memdup(region, NULL, 0) != NULL);
    memset(ebb_region_alloc(region, 500), 0xff, 500);
    ebb_region_reset(region, EBB_REGION_KEEP_FIRST);
    EXPECT(support_is_zero(ebb_region_calloc(region, 7, 70), 490));
    EXPECT(ebb_region_calloc(region, 0, 10) != NULL);
    EXPECT_EQ(ebb_region_check(region), 0);
    ebb_region_destroy(region);
    ebb_region_destroy(NULL);
    EXPECT_EQ(live_blocks(), 0);
}

static size_t opaque(size_t n)
{
    __asm__ volatile("" : "+r"(n));
    return n;
}

static void expect_error(const void *p, int error)
{
    EXPECT(p == NULL);
    EXPECT_EQ(errno, error);
    errno = 0;
}

static void errors_are_in_errno(void)
{
    struct ebb_region *region = ebb_region_create(NULL);
    struct ebb_region_stats s = {.size_of_struct = 4};
    errno = 0;
    expect_error(ebb_region_alloc(region, opaque(SIZE_MAX)), ENOMEM);
    expect_error(ebb_region_alloc(region, opaque(PTRDIFF_MAX)), ENOMEM);
    expect_error(ebb_region_calloc(region, opaque(SIZE_MAX / 2), 3), ENOMEM);
    expect_error(ebb_region_calloc(region, opaque((size_t)1 << 32), (size_t)1 << 32), ENOMEM);
    expect_error(ebb_region_calloc(region, opaque(SIZE_MAX), 1), ENOMEM);
    expect_error(ebb_region_memdup(region, region, opaque(SIZE_MAX - 5)), ENOMEM);
    expect_error(ebb_region_alloc_aligned(region, 0, 1), EINVAL);
    expect_error(ebb_region_alloc_aligned(region, 24, 1), EINVAL);
    expect_error(ebb_region_alloc_aligned(region, opaque((size_t)1 << 63), 1), ENOMEM);
    expect_error(ebb_region_alloc_aligned(region, 16, opaque(SIZE_MAX)), ENOMEM);
    expect_error(ebb_region_create(&(struct ebb_region_options){0}), EINVAL);
    EXPECT_EQ(ebb_region_stats_get(region, &s), -EINVAL);
    (void)ebb_region_limit(region, 1);
    static char text[2000];
    memset(text, 'x', sizeof(text) - 1);
    expect_error(ebb_region_strdup(region, text), ENOMEM);
    errno = 77;
    ebb_region_rollback(region, ebb_region_mark(region));
    ebb_region_reset(region, EBB_REGION_KEEP_ALL);
    ebb_region_destroy(region);
    EXPECT_EQ(errno, 77);
    ebb_fake.commit_bytes = 0;
    errno = 0;
    for (unsigned i = 0; i < 100000 && errno == 0; i++)
        (void)ebb_region_create(NULL);
    EXPECT_EQ(errno, ENOMEM);
}

static void reset_wrongly(void *arg)
{
    ebb_region_reset(arg, (enum ebb_region_keep)9);
}

static void free_it(void *arg)
{
    ebb_free(arg);
}

/* A piece is no block, wherever it lies. */
static void pieces_cannot_be_freed(void)
{
    struct ebb_region *region = ebb_region_create(NULL);
    for (unsigned i = 0; i < 2000; i++) {
        void *p = ebb_region_alloc(region, 40 + i % 100);
        if (i % 400 == 0)
            EXPECT_DIES(free_it, p, "ebb_free: invalid pointer");
    }
    EXPECT_DIES(free_it, ebb_region_alloc(region, EBB_MIB(1)), "ebb_free: invalid pointer");
    ebb_region_destroy(region);
}

static void what_cannot_be_kept(void)
{
    EXPECT_DIES(reset_wrongly, ebb_region_create(NULL), "ebb_region_reset: 9 is nothing to keep");
}

/* ---- a parse tree: an expression is parsed into nodes, names and numbers copied out of the text ---- */

struct node {
    char kind; /* + - * 'n'umber 'p'arameter */
    long number;
    const char *name;
    struct node *left, *right;
};

struct parser {
    struct ebb_region *region;
    const char *at;
};

static struct node *node_of(struct ebb_region *region, char kind, struct node *left, struct node *right)
{
    struct node *n = ebb_region_alloc(region, sizeof(*n));
    EXPECT(n != NULL);
    *n = (struct node){.kind = kind, .left = left, .right = right};
    return n;
}

static struct node *parse_sum(struct parser *p);

static struct node *parse_atom(struct parser *p)
{
    if (*p->at == '(') {
        p->at++;
        struct node *n = parse_sum(p);
        EXPECT(*p->at == ')');
        p->at++;
        return n;
    }
    size_t length = strspn(p->at, "abcdefghijklmnopqrstuvwxyz0123456789");
    EXPECT(length != 0);
    bool is_number = *p->at <= '9';
    struct node *n = node_of(p->region, is_number ? 'n' : 'p', NULL, NULL);
    n->name = ebb_region_strndup(p->region, p->at, length);
    n->number = is_number ? strtol(n->name, NULL, 10) : 0;
    p->at += length;
    return n;
}

static struct node *parse_product(struct parser *p)
{
    struct node *n = parse_atom(p);
    while (*p->at == '*') {
        p->at++;
        n = node_of(p->region, '*', n, parse_atom(p));
    }
    return n;
}

static struct node *parse_sum(struct parser *p)
{
    struct node *n = parse_product(p);
    while (*p->at == '+' || *p->at == '-') {
        char kind = *p->at++;
        n = node_of(p->region, kind, n, parse_product(p));
    }
    return n;
}

static struct node *parse(struct ebb_region *region, const char *text)
{
    struct parser p = {region, text};
    struct node *n = parse_sum(&p);
    EXPECT(*p.at == '\0');
    return n;
}

/* Parameters are named by one letter. */
static long value_of(const struct node *n, const long *parameters)
{
    switch (n->kind) {
    case 'n':
        return n->number;
    case 'p':
        return parameters[n->name[0] - 'a'];
    case '*':
        return value_of(n->left, parameters) * value_of(n->right, parameters);
    case '+':
        return value_of(n->left, parameters) + value_of(n->right, parameters);
    default:
        return value_of(n->left, parameters) - value_of(n->right, parameters);
    }
}

/* (x*(x+1)-x*x) is x: nested so many times it stays what it was, and its text is as long as one likes. */
static char *nested(unsigned depth, const char *x)
{
    static char text[2][200000];
    (void)snprintf(text[0], sizeof(text[0]), "%s", x);
    for (unsigned i = 0; i < depth; i++)
        (void)snprintf(text[(i + 1) % 2], sizeof(text[0]), "(3*%s+1-(%s+1)-%s)", text[i % 2], text[i % 2],
                       text[i % 2]);
    return text[depth % 2];
}

/* As a connection of MySQL 5.7 does: one root for the statement, MY_KEEP_PREALLOC after each. */
static void a_parse_tree_for_each_statement(void)
{
    struct ebb_region *region = region_of(8192, 8192);
    size_t held = figures(region).held_bytes;
    for (unsigned i = 0; i < 400; i++) {
        char x[20];
        (void)snprintf(x, sizeof(x), "%u", i);
        const struct node *tree = parse(region, nested(i % 7, x));
        EXPECT_EQ(value_of(tree, NULL), i);
        EXPECT_EQ(ebb_region_check(region), 0);
        ebb_region_reset(region, EBB_REGION_KEEP_FIRST);
        EXPECT_EQ(figures(region).used_bytes, 0);
        EXPECT_EQ(figures(region).held_bytes, held);
    }
    ebb_region_destroy(region);
    EXPECT_EQ(live_blocks(), 0);
}

/* ---- a prepared statement: the tree stays, what an execution makes goes ---- */

static unsigned cursors_open;

static void close_cursor(void *arg)
{
    EXPECT_EQ(*(const char *)arg, 'c');
    cursors_open--;
}

/* Copies parameters, opens cursors with cleanups, builds rows of the result. */
static long execute(struct ebb_region *region, const struct node *tree, long x, unsigned rows)
{
    long *parameters = ebb_region_calloc(region, 26, sizeof(long));
    parameters['x' - 'a'] = x;
    for (unsigned i = 0; i < 1 + rows % 3; i++) {
        char *cursor = ebb_region_strdup(region, "cursor");
        EXPECT_EQ(ebb_region_cleanup_add(region, close_cursor, cursor), 0);
        cursors_open++;
    }
    long sum = 0;
    for (unsigned i = 0; i < rows; i++) {
        char text[32];
        (void)snprintf(text, sizeof(text), "%ld", value_of(tree, parameters));
        sum += strtol(ebb_region_strdup(region, text), NULL, 10);
    }
    return sum;
}

static void a_prepared_statement(void)
{
    struct ebb_region *region = region_of(8192, 2048);
    const struct node *tree = parse(region, nested(4, "x"));
    struct ebb_region_mark prepared = ebb_region_mark(region);
    size_t used = figures(region).used_bytes;
    uint64_t warm = 0;
    for (unsigned i = 0; i < 1000; i++) {
        EXPECT_EQ(execute(region, tree, (long)i, 500), (long)i * 500);
        EXPECT(cursors_open > 0);
        ebb_region_rollback(region, prepared);
        EXPECT_EQ(cursors_open, 0);
        EXPECT_EQ(figures(region).used_bytes, used);
        if (i == 2)
            warm = figures(region).blocks_taken;
    }
    EXPECT_EQ(figures(region).blocks_taken, warm); /* from the third on the heap is asked for nothing */
    EXPECT_EQ(value_of(tree, (const long[26]){['x' - 'a'] = 42}), 42);
    EXPECT_EQ(ebb_region_check(region), 0);
    ebb_region_destroy(region);
    EXPECT_EQ(live_blocks(), 0);
}

/* ---- savepoints: a transaction's root, with what is to be undone ---- */

struct change {
    int *row;
    int before;
};

struct savepoint {
    struct savepoint *before;
    char *name;
    struct ebb_region_mark mark;
};

struct transaction {
    struct ebb_region *root;
    struct savepoint *savepoints;
};

static void undo(void *arg)
{
    const struct change *c = arg;
    *c->row = c->before;
}

static void update(struct transaction *t, int *row, int value)
{
    struct change *c = ebb_region_alloc(t->root, sizeof(*c));
    *c = (struct change){row, *row};
    EXPECT_EQ(ebb_region_cleanup_add(t->root, undo, c), 0);
    *row = value;
}

static void savepoint(struct transaction *t, const char *name)
{
    struct ebb_region_mark mark = ebb_region_mark(t->root);
    struct savepoint *s = ebb_region_alloc(t->root, sizeof(*s));
    *s = (struct savepoint){t->savepoints, ebb_region_strdup(t->root, name), mark};
    t->savepoints = s;
}

/* ROLLBACK TO SAVEPOINT: what came later is undone and gone, the savepoint itself stays. */
static void rollback_to(struct transaction *t, const char *name)
{
    const struct savepoint *s = t->savepoints;
    char copy[32];
    while (strcmp(s->name, name) != 0)
        s = s->before;
    struct ebb_region_mark mark = s->mark;
    (void)snprintf(copy, sizeof(copy), "%s", name);
    t->savepoints = s->before;
    ebb_region_rollback(t->root, mark);
    savepoint(t, copy);
}

static void savepoints_roll_back(void)
{
    enum { ROWS = 2000 };
    static int rows[ROWS];
    struct transaction t = {region_of(8192, 4096), NULL};
    for (unsigned round = 0; round < 50; round++) {
        memset(rows, 0, sizeof(rows));
        update(&t, &rows[0], 1);
        savepoint(&t, "a");
        for (unsigned i = 0; i < ROWS; i++)
            update(&t, &rows[i], 2);
        savepoint(&t, "b");
        for (unsigned i = 0; i < ROWS; i++)
            update(&t, &rows[i], 3);
        savepoint(&t, "c");
        EXPECT(rows[0] == 3 && rows[ROWS - 1] == 3);
        rollback_to(&t, "b");
        EXPECT(rows[0] == 2 && rows[ROWS - 1] == 2);
        update(&t, &rows[5], 7);
        rollback_to(&t, "b");
        EXPECT(rows[5] == 2 && t.savepoints->before != NULL);
        rollback_to(&t, "a");
        EXPECT(rows[0] == 1 && rows[1] == 0 && rows[ROWS - 1] == 0 && t.savepoints->before == NULL);
        EXPECT_EQ(ebb_region_check(t.root), 0);
        /* ROLLBACK undoes everything; the connection's next transaction has the root as it was (ClearForReuse). */
        ebb_region_reset(t.root, EBB_REGION_KEEP_LARGEST);
        t.savepoints = NULL;
        EXPECT_EQ(rows[0], 0);
    }
    ebb_region_destroy(t.root);
    EXPECT_EQ(live_blocks(), 0);
}

/* ---- MySQL 5.7: init_alloc_root, alloc_root, free_root ---- */

typedef struct {
    struct ebb_region *region;
    size_t block_bytes, prealloc_bytes;
} MEM_ROOT_57;

enum { MY_MARK_BLOCKS_FREE = 2, MY_KEEP_PREALLOC = 1 };

static void init_alloc_root(MEM_ROOT_57 *root, size_t block_bytes, size_t prealloc_bytes)
{
    *root = (MEM_ROOT_57){region_of(block_bytes, prealloc_bytes), block_bytes, prealloc_bytes};
}

static void *alloc_root(MEM_ROOT_57 *root, size_t bytes)
{
    if (root->region == NULL) /* a root is good again after free_root(0) */
        init_alloc_root(root, root->block_bytes, 0);
    return ebb_region_alloc(root->region, bytes);
}

static void free_root(MEM_ROOT_57 *root, int flags)
{
    if (flags & MY_MARK_BLOCKS_FREE) {
        ebb_region_reset(root->region, EBB_REGION_KEEP_ALL);
    } else if (flags & MY_KEEP_PREALLOC) {
        ebb_region_reset(root->region, EBB_REGION_KEEP_FIRST);
    } else {
        ebb_region_destroy(root->region);
        root->region = NULL;
    }
}

static void use_root(MEM_ROOT_57 *root)
{
    for (unsigned i = 0; i < 500; i++)
        memset(alloc_root(root, 100), 1, 100);
}

static void as_in_5_7(void)
{
    MEM_ROOT_57 root;
    init_alloc_root(&root, 4096, 4096);
    char *first = alloc_root(&root, 4000); /* out of the preallocated block */
    EXPECT_EQ(figures(root.region).blocks_taken, 1);
    use_root(&root);
    struct ebb_region_stats s = figures(root.region);
    free_root(&root, MY_MARK_BLOCKS_FREE); /* all blocks stay, none holds anything */
    EXPECT(figures(root.region).held_bytes == s.held_bytes && figures(root.region).used_bytes == 0);
    EXPECT(alloc_root(&root, 4000) == first);
    use_root(&root);
    EXPECT_EQ(figures(root.region).blocks_taken, s.blocks_taken);
    free_root(&root, MY_KEEP_PREALLOC); /* the first block stays */
    EXPECT(figures(root.region).held_bytes < 8192);
    EXPECT(alloc_root(&root, 4000) == first);
    free_root(&root, 0); /* nothing stays */
    EXPECT_EQ(live_blocks(), 0);
    use_root(&root);
    free_root(&root, 0);
    EXPECT_EQ(live_blocks(), 0);
}

/* ---- MySQL 8.0: Alloc, Clear, ClearForReuse, set_max_capacity ---- */

static unsigned killed;

static int kill_later(struct ebb_region *region, size_t wanted_bytes, void *arg)
{
    (void)region;
    (void)wanted_bytes;
    (void)arg;
    killed++;
    return 1;
}

static void as_in_8_0(void)
{
    struct ebb_region *root = region_of(8192, 0);
    for (unsigned i = 0; i < 1000; i++)
        memset(ebb_region_alloc(root, 300), 1, 300);
    struct ebb_region_stats s = figures(root);
    ebb_region_reset(root, EBB_REGION_KEEP_LARGEST); /* ClearForReuse() */
    size_t largest = figures(root).kept_bytes;
    EXPECT(largest * 2 > s.held_bytes - largest && largest < s.held_bytes / 3 * 2);
    for (unsigned i = 0; i < largest / 320; i++)
        memset(ebb_region_alloc(root, 300), 1, 300);
    EXPECT_EQ(figures(root).blocks_taken, s.blocks_taken);
    ebb_region_reset(root, EBB_REGION_KEEP_FIRST); /* Clear() */
    EXPECT_EQ(figures(root).kept_bytes, 0);
    EXPECT(figures(root).held_bytes <= 1024);

    EXPECT_EQ(ebb_region_limit(root, 20000), 0); /* set_max_capacity(), an error when it is exceeded */
    unsigned given = 0;
    while (ebb_region_alloc(root, 300) != NULL)
        given++;
    EXPECT(given > 55 && figures(root).held_bytes <= 20000);
    ebb_region_destroy(root);

    const struct ebb_region_options o = {
        .size_of_struct = sizeof(o), .limit_bytes = 20000, .over_limit = kill_later};
    root = ebb_region_create(&o); /* set_error_for_capacity_exceeded(false) */
    for (unsigned i = 0; i < 1000; i++)
        EXPECT(ebb_region_alloc(root, 300) != NULL);
    EXPECT(killed != 0);
    ebb_region_destroy(root);
    EXPECT_EQ(live_blocks(), 0);
}

/* ---- with the rest of the library ---- */

static void an_account_is_charged_and_refuses(void)
{
    struct ebb_budget_account *account;
    EXPECT_EQ(ebb_budget_create(ebb_budget_heap(), "statements", EBB_BUDGET_QUERY, &account), 0);
    const struct ebb_region_options o = {.size_of_struct = sizeof(o), .account = account};
    struct ebb_region *region = ebb_region_create(&o), *other = ebb_region_create(&o);
    for (unsigned i = 0; i < 10000; i++)
        EXPECT(ebb_region_alloc(region, 100) != NULL);
    EXPECT_EQ(ebb_budget_exact(account), figures(region).held_bytes + figures(other).held_bytes);
    size_t process = ebb_budget_exact(ebb_budget_process());
    (void)ebb_budget_limit(account, EBB_BUDGET_HARD, (int64_t)ebb_budget_exact(account) + EBB_KIB(64));
    size_t more = 0;
    errno = 0;
    while (ebb_region_alloc(region, 100) != NULL)
        more += 100;
    EXPECT(errno == ENOMEM && more < EBB_MIB(3));
    EXPECT(ebb_budget_exact(account) <= (size_t)ebb_budget_limit(account, EBB_BUDGET_HARD, -1));
    EXPECT(ebb_region_alloc(other, 100) != NULL); /* what its block has left needs no charge */
    ebb_region_reset(region, EBB_REGION_KEEP_ALL);
    EXPECT_EQ(ebb_trim(0), 1); /* kept blocks go, and off the account */
    EXPECT_EQ(ebb_budget_exact(account), figures(region).held_bytes + figures(other).held_bytes);
    EXPECT(ebb_budget_exact(ebb_budget_process()) < process);
    EXPECT_EQ(ebb_budget_destroy(account), -EBUSY);
    ebb_region_destroy(region);
    ebb_region_destroy(other);
    EXPECT_EQ(ebb_budget_exact(account), 0);
    (void)ebb_budget_limit(account, EBB_BUDGET_HARD, 100);
    EXPECT(ebb_region_create(&o) == NULL && errno == ENOMEM);
    EXPECT_EQ(ebb_budget_check(), 0);
    EXPECT_EQ(ebb_budget_destroy(account), 0);
    EXPECT_EQ(live_blocks(), 0);
}

static void a_trim_takes_what_is_kept(void)
{
    struct ebb_region *region = ebb_region_create(NULL);
    for (unsigned i = 0; i < 100000; i++)
        (void)ebb_region_alloc(region, 100);
    ebb_region_reset(region, EBB_REGION_KEEP_ALL);
    EXPECT(figures(region).kept_bytes > EBB_MIB(8));
    EXPECT_EQ(ebb_trim(0), 1);
    EXPECT_EQ(figures(region).kept_bytes, 0);
    EXPECT_EQ(ebb_check(), 0);
    ebb_region_destroy(region);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(copies),
        CASE(errors_are_in_errno),
        CASE(pieces_cannot_be_freed),
        CASE(what_cannot_be_kept),
        CASE(a_parse_tree_for_each_statement),
        CASE(a_prepared_statement),
        CASE(savepoints_roll_back),
        CASE(as_in_5_7),
        CASE(as_in_8_0),
        CASE(an_account_is_charged_and_refuses),
        CASE(a_trim_takes_what_is_kept),
    };
    small_reservations();
    return RUN_CASES(cases);
}
