/* SPDX-License-Identifier: MIT
 *
 * What the tests of the allocator's floors share: cases in processes of their own, captured lines, seeds,
 * patterns.
 *
 * The heap is one per process and has no reset, so every case runs in a child and meets a heap that nobody
 * has touched. A failed EXPECT prints where and why and ends the process that it is in, in any thread.
 */
#ifndef EBB_TESTS_SUPPORT_H
#define EBB_TESTS_SUPPORT_H

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* and now */
#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define SUPPORT_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SUPPORT_ASAN 1
#endif
#endif
#ifndef SUPPORT_ASAN
#define SUPPORT_ASAN 0
#endif

#if defined(__SANITIZE_THREAD__)
#define SUPPORT_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SUPPORT_TSAN 1
#endif
#endif
#ifndef SUPPORT_TSAN
#define SUPPORT_TSAN 0
#endif

/* ---- expectations ---- */

#define EXPECT(e) EXPECT_MSG(e, "it does not hold")

#define EXPECT_MSG(e, ...)                                                                                   \
    do {                                                                                                     \
        if (!(e))                                                                                            \
            support_fail(__FILE__, __LINE__, #e, __VA_ARGS__);                                               \
    } while (0)

#define EXPECT_EQ(a, b)                                                                                      \
    do {                                                                                                     \
        long long support_a_ = (long long)(a), support_b_ = (long long)(b);                                  \
        if (support_a_ != support_b_)                                                                        \
            support_fail(__FILE__, __LINE__, #a " == " #b, "%lld is not %lld", support_a_, support_b_);      \
    } while (0)

/* Set by a thread that may have a table of descriptors of its own: standard error is in the program's. */
static __thread bool support_elsewhere;

static inline __attribute__((noreturn, cold, format(printf, 4, 5))) void
support_fail(const char *file, int line, const char *text, const char *format, ...)
{
    va_list args;
    FILE *out = support_elsewhere ? fopen("/proc/self/fd/2", "ae") : NULL;
    if (out == NULL)
        out = stderr;
    (void)fprintf(out, "%s:%d: expected %s: ", file, line, text);
    va_start(args, format);
    (void)vfprintf(out, format, args);
    va_end(args);
    (void)fputc('\n', out);
    (void)fflush(NULL);
    _exit(1);
}

/* How many times slower than a machine this one is: a processor in software says so (tools/vm.py). For bounds on times. */
static inline unsigned support_slow(void)
{
    const char *text = getenv("EBB_TEST_SLOW");
    unsigned times = text != NULL ? (unsigned)strtoul(text, NULL, 10) : 1;
    return times != 0 ? times : 1;
}

/* ---- cases in children ---- */

struct support_case {
    const char *name;
    void (*run)(void);
};

/* Rough bound on one case; a hang must not take the whole suite's time limit. */
#define SUPPORT_CASE_LIMIT_S 240

/* cmocka's handlers would go on with the next test in the child. */
static inline void support_default_signals(void)
{
    static const int fatal[] = {SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGSYS};
    for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
        (void)signal(fatal[i], SIG_DFL);
}

static inline void support_run_case(void **state)
{
    const struct support_case *c = *state;
    int status = 0;
    (void)fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        support_default_signals();
        (void)alarm(SUPPORT_CASE_LIMIT_S);
        c->run();
        (void)fflush(NULL);
        _exit(0);
    }
    while (waitpid(pid, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    if (WIFSIGNALED(status))
        fail_msg("%s: ended by signal %d", c->name, WTERMSIG(status));
    if (WEXITSTATUS(status) != 0)
        fail_msg("%s: exit status %d", c->name, WEXITSTATUS(status));
}

/* One row of a cmocka group: `run` gets a child of its own. */
static inline struct CMUnitTest support_row(const char *name, void (*run)(void))
{
    static struct support_case rows[64];
    static unsigned count;
    EXPECT(count < sizeof(rows) / sizeof(rows[0]));
    rows[count] = (struct support_case){name, run};
    return (struct CMUnitTest){name, support_run_case, NULL, NULL, &rows[count++]};
}

#define CASE(fn) support_row(#fn, fn)

#define RUN_CASES(cases) cmocka_run_group_tests(cases, NULL, NULL)

/* ---- a child whose standard error is read ---- */

struct support_outcome {
    int status;      /* as of waitpid */
    char text[4096]; /* the first bytes of its standard error */
    size_t len;
    unsigned lines;
};

/* qemu-user adds a line of its own when its program dies. */
static inline void support_drop_qemu_lines(struct support_outcome *out)
{
    char *line = out->text;
    while (*line != '\0') {
        char *end = strchr(line, '\n');
        char *next = end != NULL ? end + 1 : line + strlen(line);
        if (strncmp(line, "qemu: ", 6) == 0)
            memmove(line, next, strlen(next) + 1);
        else
            line = next;
    }
    out->len = strlen(out->text);
}

static inline struct support_outcome support_capture(void (*fn)(void *), void *arg)
{
    struct support_outcome out = {0};
    int fds[2];
    char spill[4096];
    (void)fflush(NULL);
    EXPECT(pipe(fds) == 0);
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        const struct rlimit no_core = {0, 0};
        (void)setrlimit(RLIMIT_CORE, &no_core);
        (void)dup2(fds[1], STDERR_FILENO);
        (void)close(fds[0]);
        (void)close(fds[1]);
        fn(arg);
        _exit(0);
    }
    (void)close(fds[1]);
    for (;;) {
        size_t room = sizeof(out.text) - 1 - out.len;
        ssize_t n = read(fds[0], room != 0 ? out.text + out.len : spill, room != 0 ? room : sizeof(spill));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        if (room != 0)
            out.len += (size_t)n;
    }
    (void)close(fds[0]);
    EXPECT(waitpid(pid, &out.status, 0) == pid);
    support_drop_qemu_lines(&out);
    for (size_t i = 0; i < out.len; i++)
        out.lines += out.text[i] == '\n';
    return out;
}

static inline bool support_aborted(const struct support_outcome *out)
{
    return WIFSIGNALED(out->status) && WTERMSIG(out->status) == SIGABRT;
}

/* Expects fn(arg) to abort with exactly one line, which contains `part`. */
#define EXPECT_DIES(fn, arg, part)                                                                           \
    do {                                                                                                     \
        struct support_outcome support_out_ = support_capture(fn, arg);                                      \
        EXPECT_MSG(support_aborted(&support_out_), "status 0x%x, text: %.300s",                              \
                   (unsigned)support_out_.status, support_out_.text);                                        \
        EXPECT_MSG(support_out_.lines == 1 && strncmp(support_out_.text, "ebb: ", 5) == 0, "%.300s",         \
                   support_out_.text);                                                                       \
        EXPECT_MSG(strstr(support_out_.text, part) != NULL, "no \"%s\" in %.300s", part, support_out_.text); \
    } while (0)

/* ---- randomness ---- */

struct support_rng {
    uint64_t state;
};

/* splitmix64 */
static inline uint64_t support_next(struct support_rng *rng)
{
    uint64_t z = rng->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* In [0, n). pre: n != 0 */
static inline size_t support_below(struct support_rng *rng, size_t n)
{
    return (size_t)(support_next(rng) % n);
}

/* In [low, high]. */
static inline size_t support_between(struct support_rng *rng, size_t low, size_t high)
{
    return low + support_below(rng, high - low + 1);
}

static inline size_t support_env_number(const char *name, size_t fallback)
{
    const char *text = getenv(name);
    return text != NULL && *text != '\0' ? (size_t)strtoull(text, NULL, 0) : fallback;
}

/* The seed of this run: SEED, else the time. Printed, so that a failure can be had again. */
static inline uint64_t support_seed(const char *what)
{
    uint64_t seed = support_env_number("SEED", 0);
    if (seed == 0)
        seed = (uint64_t)time(NULL) * 1000 + (uint64_t)getpid() % 1000;
    (void)printf("%s: SEED=%" PRIu64 "\n", what, seed);
    (void)fflush(stdout);
    return seed;
}

/* ---- patterns ---- */

/* Whole up to this size; beyond it both ends and one word in each unit, and in blocks above 1 MiB some 500
 * words in all, so that 200 MiB do not cost 50,000 page faults. */
#define SUPPORT_WHOLE_BYTES 1024u
#define SUPPORT_EDGE_BYTES  64u
#define SUPPORT_UNIT_BYTES  4096u
#define SUPPORT_DENSE_BYTES ((size_t)1 << 20)

static inline size_t support_step(size_t bytes)
{
    return bytes <= SUPPORT_DENSE_BYTES ? SUPPORT_UNIT_BYTES
                                        : (bytes / 512 / SUPPORT_UNIT_BYTES + 1) * SUPPORT_UNIT_BYTES;
}

static inline unsigned char support_byte(uint64_t tag, size_t at)
{
    return (unsigned char)((tag * UINT64_C(0x9e3779b97f4a7c15) >> 56) + at * 7 + (at >> 8));
}

static inline void support_put(unsigned char *p, size_t at, size_t n, uint64_t tag)
{
    for (size_t i = at; i < at + n; i++)
        p[i] = support_byte(tag, i);
}

static inline bool support_has(const unsigned char *p, size_t at, size_t n, uint64_t tag)
{
    for (size_t i = at; i < at + n; i++)
        if (p[i] != support_byte(tag, i))
            return false;
    return true;
}

static inline void support_fill(void *block, size_t bytes, uint64_t tag)
{
    unsigned char *p = block;
    if (bytes <= SUPPORT_WHOLE_BYTES) {
        support_put(p, 0, bytes, tag);
        return;
    }
    for (size_t at = 0; at + 8 <= bytes; at += support_step(bytes))
        support_put(p, at, 8, tag);
    support_put(p, 0, SUPPORT_EDGE_BYTES, tag);
    support_put(p, bytes - SUPPORT_EDGE_BYTES, SUPPORT_EDGE_BYTES, tag);
}

/* True when the first `kept` bytes are those of a block of `filled` bytes filled with the tag. */
static inline bool support_kept(const void *block, size_t filled, size_t kept, uint64_t tag)
{
    const unsigned char *p = block;
    if (filled <= SUPPORT_WHOLE_BYTES)
        return support_has(p, 0, kept, tag);
    for (size_t at = 0; at + 8 <= kept; at += support_step(filled))
        if (!support_has(p, at, 8, tag))
            return false;
    if (!support_has(p, 0, kept < SUPPORT_EDGE_BYTES ? kept : SUPPORT_EDGE_BYTES, tag))
        return false;
    size_t tail = filled - SUPPORT_EDGE_BYTES;
    return kept <= tail || support_has(p, tail, kept - tail, tag);
}

static inline bool support_is_zero(const void *block, size_t bytes)
{
    const unsigned char *p = block;
    return bytes == 0 || (p[0] == 0 && memcmp(p, p + 1, bytes - 1) == 0);
}

#endif
