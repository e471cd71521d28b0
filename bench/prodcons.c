/* SPDX-License-Identifier: MIT
 *
 * Threads free what other threads allocated.
 *
 * oneway: in each pair of threads one allocates and the other frees. both: two threads, each frees what the
 * other allocates. ring: each thread frees what its left neighbour allocated. Blocks travel in batches
 * through bounded queues of static memory, so that the cost of the queues is small and the same everywhere.
 */
#include "kit.h"
#include "probe.h"

enum { THREADS_MAX = 64, DEPTH = 128, BATCH_BLOCKS = 128 };

enum { THREADS, BATCHES, SEED, PARAM_COUNT };
enum mode { ONEWAY, BOTH, RING };

static struct bench_param params[PARAM_COUNT] = {
    [THREADS] = {"threads", "threads, in modes oneway and ring", 4, 2, THREADS_MAX, false},
    [BATCHES] = {"batches", "batches of 128 blocks, in all", 60000, 1, 1L << 32, true},
    [SEED] = {"seed", "of the random numbers", 1, 0, 1L << 40, false},
};

static const char *const modes[] = {"oneway", "both", "ring", NULL};
static const char *const program_names[] = {"prodcons-oneway", "prodcons-both", "prodcons-ring"};

/* A bounded queue from one thread to one other. `lock` protects both counts; the batches between them belong
 * to the receiver, the others to the sender. */
struct queue {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    pthread_cond_t emptied;
    size_t sent;
    size_t received;
    void *blocks[DEPTH][BATCH_BLOCKS];
};

static struct queue queues[THREADS_MAX];
static struct bench_gate gate = BENCH_GATE_INIT;

struct worker {
    struct queue *out;
    struct queue *in;
    struct bench_rng rng;
    uint64_t check;
    long batches;
};

static struct worker workers[THREADS_MAX];

static void send(struct queue *queue, struct bench_rng *rng)
{
    void **batch;

    pthread_mutex_lock(&queue->lock);
    while (queue->sent - queue->received == DEPTH) {
        pthread_cond_wait(&queue->emptied, &queue->lock);
    }
    batch = queue->blocks[queue->sent % DEPTH];
    pthread_mutex_unlock(&queue->lock);
    for (size_t i = 0; i < BATCH_BLOCKS; i++) {
        batch[i] = bench_block_new(bench_size_small(rng));
    }
    pthread_mutex_lock(&queue->lock);
    queue->sent++;
    pthread_cond_signal(&queue->filled);
    pthread_mutex_unlock(&queue->lock);
}

static uint64_t receive(struct queue *queue)
{
    uint64_t check = 0;
    void **batch;

    pthread_mutex_lock(&queue->lock);
    while (queue->sent == queue->received) {
        pthread_cond_wait(&queue->filled, &queue->lock);
    }
    batch = queue->blocks[queue->received % DEPTH];
    pthread_mutex_unlock(&queue->lock);
    for (size_t i = 0; i < BATCH_BLOCKS; i++) {
        check += bench_block_free(batch[i]);
    }
    pthread_mutex_lock(&queue->lock);
    queue->received++;
    pthread_cond_signal(&queue->emptied);
    pthread_mutex_unlock(&queue->lock);
    return check;
}

/* A thread of a ring cannot get further ahead of its right neighbour than there are threads, which is less
 * than the depth of a queue: nobody waits for ever. */
static void *work(void *argument)
{
    struct worker *worker = argument;

    for (long i = 0; i < worker->batches; i++) {
        if (worker->out) {
            send(worker->out, &worker->rng);
        }
        if (worker->in) {
            worker->check += receive(worker->in);
        }
    }
    bench_gate_pass(&gate);
    return NULL;
}

static void connect_workers(enum mode mode, size_t threads)
{
    for (size_t i = 0; i < threads; i++) {
        workers[i].rng = bench_rng_seed((uint64_t)params[SEED].value, i);
        if (mode == ONEWAY) {
            workers[i].out = i % 2 == 0 ? &queues[i] : NULL;
            workers[i].in = i % 2 == 1 ? &queues[i - 1] : NULL;
        } else {
            workers[i].out = &queues[i];
            workers[i].in = &queues[(i + threads - 1) % threads];
        }
        pthread_mutex_init(&queues[i].lock, NULL);
        pthread_cond_init(&queues[i].filled, NULL);
        pthread_cond_init(&queues[i].emptied, NULL);
    }
}

int main(int argc, char **argv)
{
    static pthread_t ids[THREADS_MAX];
    enum mode mode = (enum mode)bench_args(argc, argv, params, PARAM_COUNT, modes);
    size_t pairs = (size_t)params[THREADS].value / 2;
    size_t senders = mode == ONEWAY ? pairs : mode == BOTH ? 2 : (size_t)params[THREADS].value;
    size_t threads = mode == ONEWAY ? 2 * pairs : senders;
    long batches = params[BATCHES].value / (long)senders + 1;
    uint64_t check = 0;

    bench_probe_start(program_names[mode]);
    bench_sizes_init();
    connect_workers(mode, threads);
    for (size_t i = 0; i < threads; i++) {
        workers[i].batches = batches;
        ids[i] = bench_thread_start(work, &workers[i]);
    }
    bench_gate_hold(&gate, threads);
    for (size_t i = 0; i < threads; i++) {
        bench_thread_join(ids[i]);
        check += workers[i].check;
    }
    return bench_probe_finish((uint64_t)batches * senders * BATCH_BLOCKS, check);
}
