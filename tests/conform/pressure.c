/* SPDX-License-Identifier: MIT
 *
 * Subscriptions to memory pressure in a real process: somebody calls by the FIFO that MEMORY_PRESSURE_WATCH names, and a callback and an
 * eventfd hear of it. A case is a process of its own:
 *
 *   fifo      both are told within a second, with bytes and a deadline
 *   late      the same, in a process that was armed before the eventfd was made
 *   mallctl   the same by mallctl() alone, as a program does that is not linked with the library
 *   slow      a callback that blocks holds up neither malloc nor giving back
 *   fork      the child has no subscription, and may have its own
 *   end       the main thread leaves by pthread_exit(): nothing of the library's keeps the process alive, and as long as others live
 *             they are told
 */
#include "conform/background.h"

#include <ebb/pressure.h>

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { MIB = 1 << 20, SECOND_MS = 1000, LIMIT_MS = 10000 };

static int (*subscribe)(const struct ebb_pressure_subscriber *);
static int (*unsubscribe)(int);
static int (*last_note)(struct ebb_pressure_note *);
static enum ebb_budget_level (*level)(void);
static struct ebb_budget_account *(*process)(void);
static int64_t (*limit)(struct ebb_budget_account *, enum ebb_budget_limit, int64_t);
static size_t (*used)(const struct ebb_budget_account *);
static int (*control)(const char *, void *, size_t *, void *, size_t);

static void *find(const char *name)
{
    void *symbol = dlsym(RTLD_DEFAULT, name);
    CHECK(symbol != NULL, "%s", name);
    return symbol;
}

/* POSIX has it that a pointer to an object holds one to a function; C has not. */
static void find_functions(void)
{
    *(void **)&subscribe = find("ebb_pressure_subscribe");
    *(void **)&unsubscribe = find("ebb_pressure_unsubscribe");
    *(void **)&last_note = find("ebb_pressure_last");
    *(void **)&level = find("ebb_budget_level");
    *(void **)&process = find("ebb_budget_process");
    *(void **)&limit = find("ebb_budget_limit");
    *(void **)&used = find("ebb_budget_used");
    *(void **)&control = find("mallctl");
}

/* ---- who calls ---- */

static char folder[] = "/tmp/ebb-conform-pressure-XXXXXX";
static const char *fifo;

/* The library reads its environment before main(): so a first run makes the FIFO, and becomes the second, which is told of it. */
static void run_again_with_a_fifo(char **argv)
{
    char path[128];
    if (mkdtemp(folder) == NULL) {
        conform_skip("no folder can be made");
    }
    (void)snprintf(path, sizeof(path), "%s/fifo", folder);
    CHECK(mkfifo(path, 0600) == 0);
    setenv("MEMORY_PRESSURE_WATCH", path, 1);
    unsetenv("MEMORY_PRESSURE_WRITE");
    execv("/proc/self/exe", argv);
    CHECK(false, "%s", strerror(errno));
}

static void remove_fifo(void)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "%s", fifo);
    unlink(path);
    *strrchr(path, '/') = '\0';
    rmdir(path);
}

/* Asks for 50 MiB, as soon as somebody listens. */
static bool call(void)
{
    long long end_ms = clock_ms() + LIMIT_MS;
    int fd;
    while ((fd = open(fifo, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0 && clock_ms() < end_ms) {
        pause_ms(2);
    }
    if (fd < 0) {
        return false;
    }
    bool called = write(fd, "orange 50M\n", 11) == 11;
    close(fd);
    return called;
}

/* ---- who is told ---- */

static struct {
    atomic_int times, tid;
    atomic_bool hold, allocates;
    _Atomic uint64_t want_bytes, deadline_ns, serial;
    _Atomic(const char *) cause;
    atomic_int level;
} heard;

static void hear(const struct ebb_pressure_note *note, void *context)
{
    CHECK(context == &heard && note->size_of_struct == sizeof(*note));
    atomic_store(&heard.tid, (int)syscall(SYS_gettid));
    atomic_store(&heard.want_bytes, note->want_bytes);
    atomic_store(&heard.deadline_ns, note->deadline_ns);
    atomic_store(&heard.serial, note->serial);
    atomic_store(&heard.cause, note->cause);
    atomic_store(&heard.level, (int)note->level);
    if (atomic_load(&heard.allocates)) {
        use_memory(100000, 5);
    }
    atomic_fetch_add(&heard.times, 1);
    while (atomic_load(&heard.hold)) {
        pause_ms(1);
    }
}

static struct ebb_pressure_subscriber by_callback(void)
{
    return (struct ebb_pressure_subscriber){.size_of_struct = sizeof(struct ebb_pressure_subscriber),
                                            .least_level = EBB_LEVEL_ORANGE,
                                            .callback = hear,
                                            .context = &heard};
}

static struct ebb_pressure_subscriber by_event(int fd)
{
    return (struct ebb_pressure_subscriber){.size_of_struct = sizeof(struct ebb_pressure_subscriber),
                                            .least_level = EBB_LEVEL_ORANGE,
                                            .event_fd = fd};
}

static bool await(atomic_int *counter, int least, long ms)
{
    long long end_ms = clock_ms() + ms;
    while (atomic_load(counter) < least && clock_ms() < end_ms) {
        pause_ms(1);
    }
    return atomic_load(counter) >= least;
}

static uint64_t await_event(int fd, long ms)
{
    uint64_t value = 0;
    long long end_ms = clock_ms() + ms;
    while (read(fd, &value, sizeof(value)) != (ssize_t)sizeof(value) && clock_ms() < end_ms) {
        pause_ms(1);
    }
    return value;
}

/* Somebody has called: both know it within a second. */
static void expect_to_hear(int fd)
{
    struct ebb_pressure_note note = {.size_of_struct = sizeof(note)};
    uint64_t now_ns = (uint64_t)clock_ms() * 1000000;
    CHECK(call());
    CHECK(await(&heard.times, 1, SECOND_MS), "no callback");
    CHECK(await_event(fd, SECOND_MS) >= 1, "no event");
    CHECK(atomic_load(&heard.level) >= EBB_LEVEL_ORANGE && level() >= EBB_LEVEL_ORANGE);
    /* less what the heap has had free */
    CHECK(atomic_load(&heard.want_bytes) > 30 * MIB && atomic_load(&heard.want_bytes) <= 50 * MIB,
          "%llu bytes", (unsigned long long)atomic_load(&heard.want_bytes));
    CHECK(atomic_load(&heard.deadline_ns) > now_ns && atomic_load(&heard.deadline_ns) < now_ns + 20000000000);
    const char *cause = atomic_load(&heard.cause);
    CHECK(cause != NULL && *cause != '\0');
    CHECK(last_note(&note) == 0 && note.serial >= atomic_load(&heard.serial) &&
          note.level >= EBB_LEVEL_ORANGE);
    CHECK(atomic_load(&heard.tid) != (int)syscall(SYS_gettid));
    (void)printf("# told in another thread: %llu MiB are wanted, because of \"%s\"\n",
                 (unsigned long long)atomic_load(&heard.want_bytes) / MIB, cause);
}

/* Sets a limit of the process's own, and fills it. */
static bool hear_of_a_limit(void)
{
    enum { BLOCKS = 64 };
    void *blocks[BLOCKS] = {NULL};
    int before = atomic_load(&heard.times), n = 0;
    limit(process(), EBB_BUDGET_HARD, (int64_t)used(process()) + 16 * MIB);
    while (n < BLOCKS && (blocks[n] = malloc(MIB)) != NULL) {
        n++;
    }
    bool told = n < BLOCKS && await(&heard.times, before + 1, 6 * SECOND_MS);
    while (n-- > 0) {
        free(blocks[n]);
    }
    return told;
}

static long await_threads(long most)
{
    long long end_ms = clock_ms() + LIMIT_MS;
    while (thread_count() > most && clock_ms() < end_ms) {
        pause_ms(5);
    }
    return thread_count();
}

/* ---- cases ---- */

static void case_fifo(void)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    struct ebb_pressure_subscriber first = by_callback(), second = by_event(fd);
    CHECK(thread_count() == 1); /* nobody has asked for anything yet */
    int numbers[2] = {subscribe(&first), subscribe(&second)};
    CHECK(numbers[0] > 0 && numbers[1] > 0 && numbers[0] != numbers[1]);
    expect_to_hear(fd);
    CHECK(unsubscribe(numbers[0]) == 0 && unsubscribe(numbers[0]) == -ENOENT);
    CHECK(unsubscribe(numbers[1]) == 0);
    int times = atomic_load(&heard.times);
    CHECK(await_threads(2) <= 2); /* the messenger has gone */
    pause_ms(50);
    CHECK(atomic_load(&heard.times) == times);
    first.size_of_struct--;
    CHECK(subscribe(&first) == -EINVAL);
    second.event_fd = 12345;
    CHECK(subscribe(&second) == -EBADF);
}

/* The thread that looks has had a table of descriptors of its own for long, in which this one is not. */
static void case_late(void)
{
    void *block = malloc((size_t)64 * MIB);
    CHECK(block != NULL);
    memset(block, 1, (size_t)64 * MIB);
    CHECK(use_memory((size_t)8 * MIB, 3));
    CHECK(await_background(LIMIT_MS) != 0 && call());
    pause_ms(200);
    CHECK(level() >= EBB_LEVEL_ORANGE); /* it is armed, and has heard that */
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    struct ebb_pressure_subscriber first = by_callback(), second = by_event(fd);
    CHECK(subscribe(&first) > 0 && subscribe(&second) > 0);
    CHECK(await(&heard.times, 1, SECOND_MS), "it is not told of what is known already");
    CHECK(await_event(fd, SECOND_MS) == 1);
    struct ebb_pressure_note note = {.size_of_struct = sizeof(note)};
    do { /* what was called for is forgotten after two seconds */
        pause_ms(10);
        CHECK(last_note(&note) == 0);
    } while (note.want_bytes != 0);
    pause_ms(50);
    (void)await_event(fd, 0);
    atomic_store(&heard.times, 0);
    expect_to_hear(fd);
    CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
    free(block);
}

static void case_mallctl(void)
{
    struct ebb_pressure_note note;
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), number = 0, second = 0;
    unsigned now = 7;
    size_t number_len = sizeof(number), now_len = sizeof(now), note_len = sizeof(note);
    struct ebb_pressure_subscriber me = by_callback(), event = by_event(fd);
    CHECK(control("ebb.pressure.level", &now, &now_len, NULL, 0) == 0 && now == EBB_LEVEL_GREEN);
    CHECK(control("ebb.pressure.note", &note, &note_len, NULL, 0) == 0 && note.serial == 0);
    CHECK(control("ebb.pressure.subscribe", &number, &number_len, &me, sizeof(me) - 1) == EINVAL);
    CHECK(control("ebb.pressure.subscribe", NULL, NULL, &me, sizeof(me)) == EINVAL);
    CHECK(control("ebb.pressure.subscribe", &number, &number_len, NULL, 0) == EINVAL);
    CHECK(control("ebb.pressure.level", &now, &now_len, &now, sizeof(now)) == EPERM);
    CHECK(control("ebb.pressure.note", &note, &number_len, NULL, 0) == EINVAL);
    CHECK(thread_count() == 1);
    CHECK(control("ebb.pressure.subscribe", &number, &number_len, &me, sizeof(me)) == 0 && number > 0);
    CHECK(control("ebb.pressure.subscribe", &second, &number_len, &event, sizeof(event)) == 0 && second > 0);
    expect_to_hear(fd);
    CHECK(control("ebb.pressure.level", &now, &now_len, NULL, 0) == 0 && now >= EBB_LEVEL_ORANGE);
    CHECK(control("ebb.pressure.note", &note, &note_len, NULL, 0) == 0 && note.level >= EBB_LEVEL_ORANGE);
    CHECK(control("ebb.pressure.unsubscribe", NULL, NULL, &number, sizeof(number)) == 0);
    CHECK(control("ebb.pressure.unsubscribe", NULL, NULL, &number, sizeof(number)) == ENOENT);
    CHECK(control("ebb.pressure.unsubscribe", NULL, NULL, &second, 1) == EINVAL);
    CHECK(control("ebb.pressure.unsubscribe", NULL, NULL, &second, sizeof(second)) == 0);
    CHECK(control("ebb.pressure", NULL, NULL, NULL, 0) == ENOENT);
}

static void case_slow(void)
{
    struct ebb_pressure_subscriber me = by_callback();
    atomic_store(&heard.hold, true);
    CHECK(subscribe(&me) > 0);
    CHECK(call() && await(&heard.times, 1, SECOND_MS));
    /* It is in there, and stays. */
    long before_kib = resident_kib();
    CHECK(use_memory((size_t)100 * MIB, 3));
    long long end_ms = clock_ms() + LIMIT_MS;
    while (resident_kib() > before_kib + 20 * 1024 && clock_ms() < end_ms) {
        pause_ms(5);
    }
    CHECK(resident_kib() <= before_kib + 20 * 1024, "%ld KiB", resident_kib() - before_kib);
    CHECK(atomic_load(&heard.times) == 1);
    pause_ms(1200); /* a note a second is merged meanwhile */
    uint64_t first = atomic_load(&heard.serial);
    CHECK(call());
    pause_ms(300);
    atomic_store(&heard.hold, false);
    CHECK(await(&heard.times, 2, SECOND_MS));
    CHECK(atomic_load(&heard.serial) >= first + 2, "%llu after %llu",
          (unsigned long long)atomic_load(&heard.serial), (unsigned long long)first);
}

static void in_child(int number)
{
    struct ebb_pressure_subscriber me = by_callback();
    struct ebb_pressure_note note = {.size_of_struct = sizeof(note)};
    CHECK(thread_count() == 1);
    CHECK(last_note(&note) == 0 && note.serial == 0);
    CHECK(unsubscribe(number) == -ENOENT);
    CHECK(subscribe(&me) > 0);
    CHECK(hear_of_a_limit()); /* the FIFO is the parent's */
    CHECK(await_threads(3) == 3);
    _exit(conform_failed() ? 1 : 0);
}

static void case_fork(void)
{
    struct ebb_pressure_subscriber me = by_callback();
    int number = subscribe(&me);
    CHECK(number > 0 && call() && await(&heard.times, 1, SECOND_MS));
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        in_child(number);
    }
    CHECK(conform_wait(pid) == 0);
    CHECK(unsubscribe(number) == 0);
}

/* ---- the end ---- */

static int mark = -1; /* a pipe: what happened, a letter each */

static void say(const char *what)
{
    (void)!write(mark, what, 1);
}

static void at_end(void)
{
    say("h");
}

static void *never_allocate(void *unused)
{
    (void)unused;
    pause_ms(400);
    say("w");
    return NULL;
}

static void *allocate(void *unused)
{
    (void)unused;
    use_memory((size_t)5 * MIB, 3);
    pause_ms(300);
    use_memory((size_t)5 * MIB, 3);
    say("w");
    return NULL;
}

/* Long after the main thread has ended: the thread that had a table of descriptors has ended with it, and another one looks. */
static void *meet_a_limit(void *unused)
{
    (void)unused;
    pause_ms(300);
    if (hear_of_a_limit()) {
        say("w");
    }
    return NULL;
}

struct way {
    const char *name;
    void *(*worker)(void *); /* NULL: there is none */
    bool told;               /* before the main thread ends */
    bool allocates;          /* in the callback, so that the messenger has a cache */
    bool main_allocates;
};

static const struct way WAYS[] = {
    {"nobody but main", NULL, false, false, true},
    {"main never allocates", NULL, false, false, false},
    {"a worker that never allocates", never_allocate, false, false, true},
    {"a worker that allocates", allocate, true, false, true},
    {"a callback that allocates", never_allocate, true, true, true},
    {"a callback that allocates, main alone", NULL, true, true, true},
    {"a worker is told", meet_a_limit, false, false, true},
    {"a worker is told again", meet_a_limit, true, true, true},
};

/* In the child; does not return. */
static void live(const struct way *way)
{
    pthread_t thread;
    struct ebb_pressure_subscriber me = by_callback();
    atexit(at_end);
    atomic_store(&heard.allocates, way->allocates);
    if (way->main_allocates) {
        use_memory((size_t)4 * MIB, 3);
    }
    if (subscribe(&me) <= 0 || (way->told && !(call() && await(&heard.times, 1, 3 * SECOND_MS)))) {
        _exit(3);
    }
    if (way->worker != NULL &&
        (pthread_create(&thread, NULL, way->worker, NULL) != 0 || pthread_detach(thread) != 0)) {
        _exit(4);
    }
    pthread_exit(NULL);
}

static void expect_a_good_end(const struct way *way)
{
    int pipes[2], status = -1, got = 0;
    char seen[16] = "";
    long long start_ms = clock_ms();
    CHECK(pipe(pipes) == 0);
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        close(pipes[0]);
        mark = pipes[1];
        live(way);
    }
    close(pipes[1]);
    while ((got = waitpid(pid, &status, WNOHANG)) == 0 && clock_ms() < start_ms + LIMIT_MS) {
        pause_ms(5);
    }
    long long end_ms = clock_ms();
    if (got == 0) {
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
    }
    ssize_t n = read(pipes[0], seen, sizeof(seen) - 1);
    close(pipes[0]);
    CHECK(got == pid, "%s: the process does not end", way->name);
    CHECK(status == 0, "%s: status 0x%x", way->name, (unsigned)status);
    CHECK(n >= 0 && strcmp(seen, way->worker != NULL ? "wh" : "h") == 0, "%s: \"%s\"", way->name, seen);
    (void)printf("# %s: %lld ms\n", way->name, end_ms - start_ms);
}

static void case_end(void)
{
    for (size_t i = 0; i < sizeof(WAYS) / sizeof(WAYS[0]); i++) {
        expect_a_good_end(&WAYS[i]);
    }
}

static const struct {
    const char *name;
    void (*run)(void);
} CASES[] = {
    {"fifo", case_fifo}, {"late", case_late}, {"mallctl", case_mallctl},
    {"slow", case_slow}, {"fork", case_fork}, {"end", case_end},
};

int main(int argc, char **argv)
{
    conform_start(90);
    skip_without_library();
    fifo = getenv("MEMORY_PRESSURE_WATCH");
    if (argc != 2) {
        return 2;
    }
    if (fifo == NULL || strstr(fifo, "ebb-conform-pressure") == NULL) {
        run_again_with_a_fifo(argv);
    }
    find_functions();
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        if (strcmp(argv[1], CASES[i].name) == 0) {
            CASES[i].run();
        }
    }
    remove_fifo();
    return conform_end();
}
