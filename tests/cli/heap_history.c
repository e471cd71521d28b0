/* SPDX-License-Identifier: MIT
 *
 * A process with a random past on malloc, for the tests of `ebb heap` on glibc: heap_history SEED MEGABYTES.
 *
 * Some threads take, resize, touch and free blocks of all sizes, then free all but a few survivors. Then the process says "ready PID", and
 * does what its standard input says, one word a line: "info" prints malloc_info(3), "trim" calls malloc_trim(0) and prints RssAnon before
 * and after in bytes, "grow N" takes N MiB and keeps them, "fall" frees them, "churn N" allocates in a thread for N ms, "fill N" fills the
 * caches of this thread and of N new ones, which stay. Every answer ends in a line "done". Neither waiting nor answering allocates.
 *
 * With -DEBB_OLD_SYMBOLS it needs no function's version that the glibc of 2018 did not have, and no start files.
 */
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef EBB_OLD_SYMBOLS
__asm__(".symver pthread_create,pthread_create@GLIBC_2.2.5");
__asm__(".symver old_start_main,__libc_start_main@GLIBC_2.2.5");
#endif

#define THREADS_MAX 8
#define SLOTS       6000

static struct worker {
    pthread_t thread;
    int go[2];   /* a byte: begin the next phase */
    int done[2]; /* a byte: it is over */
    uint64_t random;
    void *slots[SLOTS];
    size_t bytes[SLOTS];
} workers[THREADS_MAX];

static unsigned thread_count;
static uint64_t limit_bytes; /* for each thread */
static unsigned survivors_in_1000;
static char out_buffer[1 << 16];
static int filled[2];
static void *grown[4096];
static unsigned grown_count;

static uint64_t roll(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random;
}

static size_t roll_size(uint64_t *random)
{
    static const size_t LIMITS[] = {24, 200, 200, 1000, 1000, 4000, 16000, 130000, 1000000};
    uint64_t kind = roll(random) % 200;
    size_t limit = LIMITS[kind < 199 ? kind % 8 : 8];

    return 1 + roll(random) % limit;
}

static void *take(uint64_t *random, size_t bytes)
{
    char *block;

    switch (roll(random) % 12) {
    case 0:
        block = calloc(1, bytes);
        break;
    case 1:
        block = memalign((size_t)16 << roll(random) % 9, bytes);
        break;
    default:
        block = malloc(bytes);
        break;
    }
    if (block == NULL)
        abort();
    /* Some blocks are never touched. */
    if (roll(random) % 8 != 0)
        memset(block, 1, bytes);
    return block;
}

/* Takes, resizes and frees until there is as much as this thread may have. */
static void rise(struct worker *worker)
{
    uint64_t *random = &worker->random;
    uint64_t bytes = 0;

    for (unsigned turn = 0; bytes < limit_bytes && turn < SLOTS * 8; turn++) {
        unsigned slot = (unsigned)(roll(random) % SLOTS);
        size_t wanted = roll_size(random);

        if (worker->slots[slot] == NULL) {
            worker->slots[slot] = take(random, wanted);
            worker->bytes[slot] = wanted;
            bytes += wanted;
        } else if (roll(random) % 4 == 0) {
            void *block = realloc(worker->slots[slot], wanted);

            if (block == NULL)
                abort();
            bytes += wanted - worker->bytes[slot];
            worker->slots[slot] = block;
            worker->bytes[slot] = wanted;
        } else {
            free(worker->slots[slot]);
            worker->slots[slot] = NULL;
            bytes -= worker->bytes[slot];
        }
    }
}

/* Frees all but the survivors, half of them in runs. The blocks are another thread's. */
static void fall(struct worker *worker, struct worker *whose)
{
    bool keeps = false;

    for (unsigned i = 0; i < SLOTS; i++) {
        if (i % 16 == 0 || roll(&worker->random) % 2 == 0)
            keeps = roll(&worker->random) % 1000 < survivors_in_1000;
        if (keeps)
            continue;
        free(whose->slots[i]);
        whose->slots[i] = NULL;
    }
}

static void *work(void *context)
{
    struct worker *worker = context;
    struct worker *next = &workers[(unsigned)(worker - workers + 1) % thread_count];
    char byte;

    for (unsigned phase = 0; read(worker->go[0], &byte, 1) == 1; phase++) {
        if (phase % 2 == 0)
            rise(worker);
        else
            fall(worker, next);
        if (write(worker->done[1], "d", 1) != 1)
            abort();
    }
    return NULL;
}

static void phase_of_all(void)
{
    char byte;

    for (unsigned i = 0; i < thread_count; i++)
        if (write(workers[i].go[1], "g", 1) != 1)
            abort();
    for (unsigned i = 0; i < thread_count; i++)
        if (read(workers[i].done[0], &byte, 1) != 1)
            abort();
}

static unsigned long long anon_bytes(void)
{
    static char text[8192];
    int fd = open("/proc/self/status", O_RDONLY);
    ssize_t got = read(fd, text, sizeof(text) - 1);
    const char *line;

    close(fd);
    text[got > 0 ? got : 0] = '\0';
    line = strstr(text, "RssAnon:");
    return line == NULL ? 0 : strtoull(line + 8, NULL, 10) * 1024;
}

static void trim(void)
{
    unsigned long long before = anon_bytes();
    unsigned long long after;

    malloc_trim(0);
    after = anon_bytes();
    printf("%llu %llu\n", before, after);
}

static void *churn(void *context)
{
    struct timespec now;
    struct timespec end;
    uint64_t random = 88172645463325252u;
    void *blocks[64] = {0};

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += *(const long *)context / 1000;
    end.tv_nsec += *(const long *)context % 1000 * 1000000;
    do {
        for (unsigned i = 0; i < 1000; i++) {
            unsigned slot = (unsigned)(roll(&random) % 64);

            free(blocks[slot]);
            blocks[slot] = malloc(1100 + roll(&random) % 20000);
        }
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec < end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec));
    for (unsigned i = 0; i < 64; i++)
        free(blocks[i]);
    return NULL;
}

/* Fills the calling thread's cache: 7 blocks of each of 64 sizes. */
static void fill(void)
{
    for (size_t bytes = 24; bytes <= 1032; bytes += 16) {
        void *blocks[7];

        for (unsigned i = 0; i < 7; i++)
            blocks[i] = malloc(bytes);
        for (unsigned i = 0; i < 7; i++)
            free(blocks[i]);
    }
}

static void *fill_and_stay(void *context)
{
    (void)context;
    fill();
    if (write(filled[1], "f", 1) != 1)
        abort();
    for (;;)
        pause();
}

static void fill_all(long count)
{
    pthread_t thread;
    char byte;

    if (pipe(filled) != 0)
        abort();
    for (long i = 0; i < count; i++)
        if (pthread_create(&thread, NULL, fill_and_stay, NULL) != 0 || read(filled[0], &byte, 1) != 1)
            abort();
    /* Last, because making a thread takes blocks. */
    fill();
}

static bool read_line(char *line, size_t room)
{
    size_t len = 0;

    while (len + 1 < room && read(STDIN_FILENO, line + len, 1) == 1) {
        if (line[len] == '\n') {
            line[len] = '\0';
            return true;
        }
        len++;
    }
    return false;
}

static void grow(long mebibytes)
{
    for (long i = 0; i < mebibytes * 16 && grown_count < 4096; i++) {
        grown[grown_count] = malloc(65000);
        memset(grown[grown_count++], 1, 65000);
    }
}

static void obey(void)
{
    char line[64];

    while (read_line(line, sizeof(line))) {
        long number = strchr(line, ' ') == NULL ? 0 : strtol(strchr(line, ' '), NULL, 10);
        static long churn_ms;

        if (strcmp(line, "info") == 0)
            malloc_info(0, stdout);
        else if (strcmp(line, "trim") == 0)
            trim();
        else if (strncmp(line, "fill", 4) == 0)
            fill_all(number);
        else if (strncmp(line, "grow", 4) == 0)
            grow(number);
        else if (strcmp(line, "fall") == 0)
            while (grown_count > 0)
                free(grown[--grown_count]);
        else if (strncmp(line, "churn", 5) == 0) {
            pthread_t thread;

            churn_ms = number;
            if (pthread_create(&thread, NULL, churn, &churn_ms) != 0)
                abort();
        }
        puts("done");
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    uint64_t random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    uint64_t megabytes = argc > 2 ? strtoull(argv[2], NULL, 10) : 8;

    setvbuf(stdout, out_buffer, _IOFBF, sizeof(out_buffer));
    for (unsigned i = 0; i < 8; i++)
        roll(&random);
    thread_count = 1 + (unsigned)(roll(&random) % THREADS_MAX);
    survivors_in_1000 = (unsigned)(roll(&random) % 5 == 0 ? 0 : roll(&random) % 200);
    limit_bytes = (megabytes << 20) / thread_count;
    if (roll(&random) % 3 == 0)
        mallopt(M_MXFAST, 160);
    if (roll(&random) % 3 == 0)
        mallopt(M_TRIM_THRESHOLD, 64 << 20);
    if (roll(&random) % 4 == 0)
        mallopt(M_ARENA_MAX, 2);
    if (roll(&random) % 4 == 0)
        mallopt(M_TOP_PAD, 1 << 20);
    /* The threshold grows to what has been freed, so that later blocks of this size come from arenas. */
    if (roll(&random) % 2 == 0)
        free(malloc(2000000));
    for (unsigned i = 0; i < thread_count; i++) {
        workers[i].random = roll(&random);
        if (pipe(workers[i].go) != 0 || pipe(workers[i].done) != 0 ||
            pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            return 1;
    }
    for (unsigned i = 0; i < 2 + 2 * roll(&random) % 4; i++)
        phase_of_all();
    /* The main thread has its share, last, in the main arena. */
    rise(&workers[0]);
    if (roll(&random) % 4 != 0)
        fall(&workers[0], &workers[0]);
    /* A child has all arenas, and shares its parent's pages. */
    if (seed % 5 == 0) {
        pid_t child = fork();

        if (child != 0) {
            waitpid(child, NULL, 0);
            return 0;
        }
    }
    printf("ready %d\n", (int)getpid());
    fflush(stdout);
    obey();
    return 0;
}

#ifdef EBB_OLD_SYMBOLS
int old_start_main(int (*main)(int, char **), int argc, char **argv, void (*init)(void), void (*fini)(void),
                   void (*rtld_fini)(void), void *stack_end);

__attribute__((used)) static void start(long *stack, void (*rtld_fini)(void))
{
    old_start_main(main, (int)stack[0], (char **)(stack + 1), NULL, NULL, rtld_fini, stack);
}

__asm__(".globl _start\n_start:\n xor %ebp,%ebp\n mov %rsp,%rdi\n mov %rdx,%rsi\n and $-16,%rsp\n call "
        "start\n hlt\n");
#endif
