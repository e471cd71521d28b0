/* SPDX-License-Identifier: MIT
 *
 * What wakes the governor, on the fake kernel: what is asked of a host of each kind, what ends a poll, and each call failing.
 */
#include "pressure_tree.h"

#include <sys/socket.h>
#include <sys/un.h>

#include "os/fake.h"

static struct ebb_sources s;
static struct ebb_sources_event e;

static void open_tree(void)
{
    ebb__watch_note();
    ebb__sources_init(&s, tree, "/proc/self");
    EXPECT_EQ(ebb__sources_open(&s), 0);
    ebb__sources_listen(&s);
    EXPECT_EQ(ebb__sources_check(&s), 0);
}

static bool poll_now(void)
{
    bool any = ebb__sources_poll(&s, 0, &e);
    EXPECT_EQ(ebb__sources_check(&s), 0);
    return any;
}

/* How many of what was written begin so, and the last of them. */
static unsigned written(const char *path_end, const char *part, const char **ret_text)
{
    unsigned count = 0;
    for (unsigned n = 0; ebb_fake_written(n) != NULL; n++) {
        const struct ebb_fake_write *w = ebb_fake_written(n);
        size_t len = strlen(w->path), end_len = strlen(path_end);
        if (len < end_len || strcmp(w->path + len - end_len, path_end) != 0 || strstr(w->text, part) == NULL)
            continue;
        if (count++ == 0 && ret_text != NULL)
            *ret_text = w->text;
    }
    return count;
}

/* ---- version 1 ---- */

/* Raises the event that a line to cgroup.event_control has named, as the kernel would. */
static void raise_event(const char *text)
{
    uint64_t one = 1;
    int fd = (int)strtol(text, NULL, 10);
    EXPECT(write(fd, &one, sizeof(one)) == (ssize_t)sizeof(one));
}

static void version_1_is_asked_for_events(void)
{
    const char *medium = NULL, *critical = NULL, *oom = NULL, *text = NULL;
    make_tree();
    put_v1();
    open_tree();
    EXPECT_EQ(written("/a/b/cgroup.event_control", "medium,local", &medium), 1);
    EXPECT_EQ(written("/a/b/cgroup.event_control", "critical,local", &critical), 1);
    EXPECT_EQ(written("/a/b/cgroup.event_control", "", &oom), 3);
    EXPECT_EQ(written("/cgroup.event_control", "", NULL), 3); /* no other cgroup has a limit */
    EXPECT_EQ(written("/proc/pressure/memory", "some 75000 1000000", NULL), 1);

    const uint64_t bytes[] = {7000000, 7500000, 8000000};
    EXPECT_EQ(ebb__sources_set_thresholds(&s, 1, bytes, 3), -ENOTSUP); /* has no limit */
    EXPECT_EQ(ebb__sources_set_thresholds(&s, 0, bytes, 3), 0);
    EXPECT_EQ(written("/a/b/cgroup.event_control", " 8000000", &text), 1);
    EXPECT(!poll_now());
    raise_event(text);
    EXPECT(poll_now());
    EXPECT(e.causes == EBB_CAUSE_THRESHOLD && e.levels == 1 && !e.called);
    EXPECT(!poll_now()); /* told once */

    /* New ones replace the old: their event is closed, and so forgotten by the kernel. */
    unsigned fds = ebb_fake.fds;
    EXPECT_EQ(ebb__sources_set_thresholds(&s, 0, bytes, 1), 0);
    EXPECT_EQ(ebb_fake.fds, fds);
    EXPECT_EQ(ebb__sources_set_thresholds(&s, 0, bytes, 0), 0);
    EXPECT_EQ(ebb__sources_check(&s), 0);

    raise_event(medium);
    raise_event(critical);
    EXPECT(poll_now());
    EXPECT_EQ(e.causes, EBB_CAUSE_MEDIUM | EBB_CAUSE_CRITICAL);
    raise_event(oom);
    EXPECT(poll_now());
    EXPECT_EQ(e.causes, EBB_CAUSE_OOM);
    ebb__sources_close(&s);
    EXPECT_EQ(ebb_fake.fds, 0);
    remove_tree();
}

/* Only root may: what is left is to look. */
static void version_1_refuses(void)
{
    const uint64_t bytes[] = {7000000};
    make_tree();
    put_v1();
    put(V1 "/a/b/cgroup.event_control", NULL);
    open_tree();
    EXPECT_EQ(s.count, 2); /* the wakes and the host's stalls */
    EXPECT_EQ(ebb__sources_set_thresholds(&s, 0, bytes, 1), -ENOENT);
    put(V1 "/a/b/memory.usage_in_bytes", NULL);
    EXPECT_EQ(ebb__sources_set_thresholds(&s, 0, bytes, 1), -ENOENT);
    EXPECT_EQ(ebb__sources_check(&s), 0);
    ebb__sources_close(&s);
    EXPECT_EQ(ebb__sources_set_thresholds(&s, 0, bytes, 1), -ENOTSUP);
    remove_tree();
}

/* ---- version 2 ---- */

static void version_2_is_polled(void)
{
    const uint64_t bytes[] = {7000000};
    make_tree();
    put_v2();
    open_tree();
    EXPECT_EQ(s.count, 5); /* wakes, two cgroups, two stalls */
    EXPECT_EQ(ebb__sources_set_thresholds(&s, 0, bytes, 1), -ENOTSUP);
    EXPECT(!poll_now());
    EXPECT_EQ(ebb_fake_raise("/a/b/memory.events.local", EBB_OS_POLL_PRI | EBB_OS_POLL_ERR),
              2); /* kept open to be read, too */
    EXPECT(poll_now());
    EXPECT(e.causes == EBB_CAUSE_EVENT && e.levels == 1);
    EXPECT(!poll_now());
    EXPECT(ebb_fake_raise("/a/memory.events", EBB_OS_POLL_PRI | EBB_OS_POLL_ERR) != 0); /* no local one */
    EXPECT(poll_now());
    EXPECT(e.causes == EBB_CAUSE_EVENT && e.levels == 2);
    EXPECT(ebb_fake_raise("/a/b/memory.pressure", EBB_OS_POLL_PRI) != 0);
    EXPECT(poll_now());
    EXPECT(e.causes == EBB_CAUSE_STALL && e.levels == 0);
    EXPECT(ebb_fake_raise("/proc/pressure/memory", EBB_OS_POLL_PRI) != 0);
    EXPECT(poll_now());
    EXPECT_EQ(e.causes, EBB_CAUSE_HOST_STALL);
    EXPECT(!s.stale);

    /* The cgroup is removed: each of its sources wakes once more. */
    EXPECT(ebb_fake_remove("/a/b/memory.events.local") == 2 && ebb_fake_remove("/a/b/memory.pressure") == 2);
    EXPECT(!poll_now());
    EXPECT(s.stale && s.count == 3);
    EXPECT(!poll_now());
    ebb__sources_close(&s);
    EXPECT(ebb_fake.fds == 0 && !s.stale);
    remove_tree();
}

/* An unprivileged process: the shorter window is refused, the longer one is not; or the file itself is. */
static void triggers(void)
{
    make_tree();
    put_v2();
    open_tree();
    EXPECT_EQ(written("/a/b/memory.pressure", "some 75000 1000000", NULL), 1);
    EXPECT_EQ(written("/a/b/memory.pressure", "some 150000 2000000", NULL), 0);
    EXPECT_EQ(ebb_fake_written(0)->bytes, sizeof("some 75000 1000000")); /* with its zero */
    ebb__sources_close(&s);
    long calls = 0;
    unsigned longer = 0;
    for (long n = 0; n <= calls; n++) {
        ebb_fake_reset();
        ebb__sources_init(&s, tree, "/proc/self");
        ebb_fake.fail_at = n;
        (void)ebb__sources_open(&s);
        ebb__sources_listen(&s);
        calls = n == 0 ? ebb_fake.calls : calls;
        longer += written("/a/b/memory.pressure", "some 150000 2000000", NULL);
        ebb__sources_close(&s);
    }
    EXPECT_EQ(longer, 1); /* just when the first write failed */
    remove_tree();
}

/* ---- the order of things ---- */

static unsigned world;

static void raise_pressure(uint64_t timeout_ms)
{
    world++;
    EXPECT_EQ(timeout_ms, 5000);
    EXPECT(ebb_fake_raise("/proc/pressure/memory", EBB_OS_POLL_PRI) != 0);
    EXPECT_EQ(ebb__os_wake(9, 77), 0);
}

static void one_poll_over_all(void)
{
    make_tree();
    put_v1();
    open_tree();
    ebb_fake.now_ms = 100;
    EXPECT(!ebb__sources_poll(&s, 250, &e) && e.causes == 0);
    EXPECT_EQ(ebb_fake.now_ms, 350);
    EXPECT_EQ(ebb__os_wake(9, 5), 0);
    EXPECT(ebb__sources_poll(&s, EBB_OS_FOREVER, &e));
    EXPECT(e.called && e.payload == 5 && e.causes == 0);
    ebb_fake.on_poll = raise_pressure;
    EXPECT(ebb__sources_poll(&s, 5000, &e));
    EXPECT(e.called && e.payload == 77 && e.causes == EBB_CAUSE_HOST_STALL && world == 1);

    /* A poll that fails is a sleep: the thread is called all the same, and does not spin. */
    EXPECT_EQ(ebb__os_wake(9, 6), 0);
    ebb_fake.fail_at = 1;
    EXPECT(ebb__sources_poll(&s, 250, &e) && e.called && e.payload == 6);
    ebb_fake.fail_at = 1;
    ebb_fake.now_ms = 100;
    EXPECT(!ebb__sources_poll(&s, 250, &e));
    EXPECT_EQ(ebb_fake.now_ms, 350);
    ebb_fake.fail_at = 1; /* nor does it stay deaf for ever */
    EXPECT(!ebb__sources_poll(&s, EBB_OS_FOREVER, &e));
    EXPECT(ebb_fake.now_ms == 1350 && ebb_fake.slept_forever == 0);
    ebb__sources_close(&s);
    EXPECT(!ebb__sources_poll(&s, 250, &e)); /* nor does one that was closed */
    EXPECT_EQ(ebb_fake.now_ms, 1600);
    remove_tree();
}

static void without_a_table(void)
{
    make_tree();
    put_v2();
    ebb_fake.table_rc = -EPERM;
    ebb__sources_init(&s, tree, "/proc/self");
    EXPECT_EQ(ebb__sources_open(&s), -EPERM);
    EXPECT(ebb_fake.fds == 0 && s.count == 0 && !s.open);
    EXPECT_EQ(ebb__os_wake(9, 5), 0);
    EXPECT(ebb__sources_poll(&s, 1000, &e) && e.called && e.payload == 5);
    EXPECT(!ebb__sources_poll(&s, 1000, &e));
    ebb_fake.table_rc = 0; /* tried again */
    ebb__sources_listen(&s);
    EXPECT(s.count == 0 && !s.listening);
    EXPECT_EQ(ebb__sources_open(&s), 0);
    EXPECT_EQ(s.count, 3);
    ebb__sources_listen(&s);
    EXPECT(s.open && s.count == 5);
    ebb__sources_close(&s);
    remove_tree();
}

/* ---- who is named ---- */

static const char *env_path = "/run/pressure", *env_code = "aGVsbG8A"; /* "hello", with its zero */

static const char *env_two(const char *name)
{
    return strcmp(name, "MEMORY_PRESSURE_WATCH") == 0 ? env_path : env_code;
}

static void a_fifo_is_read(void)
{
    make_tree();
    put_v2();
    make_folders(in_tree("/run/pressure"));
    EXPECT(mkfifo(in_tree("/run/pressure"), 0600) == 0);
    ebb_fake.env_of = env_two;
    open_tree();
    EXPECT_EQ(written("/run/pressure", "hello", NULL), 1);
    EXPECT_EQ(s.count, 5); /* in the place of the own cgroup's stalls */
    EXPECT_EQ(written("/a/b/memory.pressure", "some", NULL), 0);
    EXPECT(!poll_now()); /* our own bytes are no pressure */
    for (unsigned i = 0; i < 3; i++) {
        int fd = open(in_tree("/run/pressure"), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        EXPECT(fd >= 0 && write(fd, "now", 3) == 3 && close(fd) == 0);
        EXPECT(poll_now() && e.causes == EBB_CAUSE_WATCH);
        EXPECT(!poll_now()); /* the writer's end is no event */
    }
    static const char *const words[] = {"orange 50M\n", "yellow\nred 1M\nrubbish\norange 2M\n", "please"};
    static const uint32_t levels[] = {2, 3, 0};
    static const uint64_t mib[] = {50, 3, 0};
    for (unsigned i = 0; i < 3; i++) {
        int fd = open(in_tree("/run/pressure"), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        EXPECT(fd >= 0 && write(fd, words[i], strlen(words[i])) > 0 && close(fd) == 0);
        EXPECT(poll_now() && e.causes == EBB_CAUSE_WATCH);
        EXPECT(e.call_level == levels[i] && e.call_bytes == EBB_MIB(mib[i]));
        EXPECT(!poll_now() && e.call_level == 0 && e.call_bytes == 0);
    }
    /* Who floods it is read in pieces. */
    int fd = open(in_tree("/run/pressure"), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    char flood[1024] = {0};
    unsigned polls = 0;
    while (write(fd, flood, sizeof(flood)) > 0)
        polls++;
    EXPECT(polls > 16);
    for (polls = 0; poll_now(); polls++)
        EXPECT_EQ(e.causes, EBB_CAUSE_WATCH);
    EXPECT_MSG(polls > 1 && polls < 100, "%u", polls);
    (void)close(fd);
    ebb__sources_close(&s);

    /* What others have written before we came is. */
    int holder = open(in_tree("/run/pressure"), O_RDWR | O_NONBLOCK | O_CLOEXEC);
    EXPECT(write(holder, "early", 5) == 5);
    EXPECT_EQ(ebb__sources_open(&s), 0);
    EXPECT_EQ(s.count, 3); /* after a close it does not listen by itself */
    ebb__sources_listen(&s);
    EXPECT(poll_now() && e.causes == EBB_CAUSE_WATCH);
    EXPECT(!poll_now());
    ebb__sources_close(&s);
    (void)close(holder);
    remove_tree();
}

static int listen_in_tree(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    make_folders(in_tree("/run/pressure"));
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", in_tree("/run/pressure"));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    EXPECT(fd >= 0 && bind(fd, (const struct sockaddr *)(const void *)&address, sizeof(address)) == 0);
    EXPECT(listen(fd, 2) == 0);
    return fd;
}

static void a_socket_is_connected(void)
{
    char text[16];
    make_tree();
    put_v2();
    int server = listen_in_tree();
    ebb_fake.env_of = env_two;
    open_tree();
    int peer = accept(server, NULL, NULL);
    EXPECT(peer >= 0 && read(peer, text, sizeof(text)) == 6 && memcmp(text, "hello", 6) == 0);
    EXPECT(!poll_now());
    EXPECT(write(peer, "pressure", 8) == 8);
    EXPECT(poll_now() && e.causes == EBB_CAUSE_WATCH && !s.stale);
    EXPECT(!poll_now());
    EXPECT(close(peer) == 0); /* the server ends: not an event, and no poll that spins */
    EXPECT(!poll_now());
    EXPECT(s.stale && s.count == 4);
    EXPECT(!poll_now());
    (void)close(server);
    EXPECT_EQ(ebb__sources_open(&s), 0); /* goes on listening. Nobody is there: the cgroup's own stalls */
    EXPECT_EQ(written("/a/b/memory.pressure", "some", NULL), 1);
    ebb__sources_close(&s);
    remove_tree();
}

static void a_file_of_the_kernel(void)
{
    make_tree();
    put_v2();
    env_path = V2 "/a/b/memory.pressure";
    env_code = "c29tZSAyMDAwMDAgMjAwMDAwMAA=";
    ebb_fake.env_of = env_two;
    open_tree();
    EXPECT_EQ(written("/a/b/memory.pressure", "some 200000 2000000", NULL), 1);
    EXPECT_EQ(written("/a/b/memory.pressure", "some 75000", NULL), 0);
    EXPECT(ebb_fake_raise("/a/b/memory.pressure", EBB_OS_POLL_PRI) != 0);
    EXPECT(poll_now() && e.causes == EBB_CAUSE_WATCH);
    EXPECT(ebb_fake_remove("/a/b/memory.pressure") != 0);
    EXPECT(!poll_now() && s.stale);
    ebb__sources_close(&s);
    env_code = NULL; /* nothing to write: it would never tell */
    open_tree();
    EXPECT_EQ(written("/a/b/memory.pressure", "some 150000 2000000", NULL), 1);
    ebb__sources_close(&s);
    remove_tree();
}

static void what_the_environment_may_say(void)
{
    static char long_path[5000], long_code[500];
    memset(long_path, 'x', sizeof(long_path) - 1);
    long_path[0] = '/';
    memset(long_code, 'A', sizeof(long_code) - 1);
    const struct {
        const char *path, *code;
        enum ebb_watch_wish wish;
    } rows[] = {
        {NULL, NULL, EBB_WATCH_UNSAID},
        {NULL, "Zg==", EBB_WATCH_UNSAID},
        {"", NULL, EBB_WATCH_OFF},
        {"/dev/null", "Zg==", EBB_WATCH_OFF},
        {"/a", NULL, EBB_WATCH_PATH},
        {"/a", "Zg==", EBB_WATCH_PATH},
        {"relative", NULL, EBB_WATCH_UNSAID},
        {"/a", "no base64!", EBB_WATCH_UNSAID},
        {"/a", long_code, EBB_WATCH_UNSAID},
        {long_path, NULL, EBB_WATCH_UNSAID},
    };
    ebb_fake.env_of = env_two;
    for (size_t i = 0; i < EBB_ARRAY_COUNT(rows); i++) {
        env_path = rows[i].path;
        env_code = rows[i].code;
        ebb__watch_note();
        EXPECT_MSG(ebb__watch()->wish == rows[i].wish, "row %zu", i);
        EXPECT(ebb__watch()->wish != EBB_WATCH_PATH || strcmp(ebb__watch()->path, "/a") == 0);
    }
}

/* Who wants no notification of pressure gets none; limits are watched all the same. */
static void off_is_off(void)
{
    make_tree();
    put_v2();
    env_path = "/dev/null";
    env_code = NULL;
    ebb_fake.env_of = env_two;
    open_tree();
    EXPECT_EQ(s.count, 3);
    EXPECT(ebb_fake_written(0) == NULL);
    ebb__sources_close(&s);
    env_path = "/run/pressure"; /* a folder: not watched, and the cgroup's own stalls are */
    put("/run/pressure/x", "");
    open_tree();
    EXPECT_EQ(s.count, 5);
    ebb__sources_close(&s);
    remove_tree();
}

/* ---- failures ---- */

/* Each call failing while arming, polling, reading, setting thresholds: nothing leaks, invariants hold, wakes arrive. */
static void calls_that_fail(void)
{
    const uint64_t bytes[] = {7000000, 7500000};
    for (unsigned version = 1; version <= 2; version++) {
        make_tree();
        (version == 1 ? put_v1 : put_v2)();
        int server = listen_in_tree();
        env_path = "/run/pressure";
        env_code = "Zg==";
        long calls = 0;
        for (long n = 0; n <= calls; n++)
            for (unsigned forever = 0; forever < 2; forever++) {
                struct ebb_pressure_facts f;
                ebb_fake_reset();
                ebb_fake.env_of = env_two;
                ebb__watch_note();
                ebb__sources_init(&s, tree, "/proc/self");
                ebb_fake.fail_at = n;
                ebb_fake.fail_forever = forever != 0;
                int rc = ebb__sources_open(&s);
                EXPECT(rc == 0 || s.count == 0);
                ebb__sources_listen(&s);
                EXPECT_EQ(ebb__sources_check(&s), 0);
                (void)ebb__sources_set_thresholds(&s, 0, bytes, 2);
                (void)poll_now();
                ebb__sources_read(&s, &f);
                calls = n == 0 ? ebb_fake.calls : calls;
                ebb_fake.fail_at = 0;
                EXPECT_EQ(ebb__os_wake(9, 31), 0);
                EXPECT(ebb__sources_poll(&s, 10, &e) && e.called && e.payload == 31);
                EXPECT_EQ(ebb__sources_check(&s), 0);
                ebb__sources_close(&s);
                EXPECT_MSG(ebb_fake.fds == 0, "version %u, call %ld: %u left open", version, n, ebb_fake.fds);
                for (int peer = accept(server, NULL, NULL); peer >= 0; peer = accept(server, NULL, NULL))
                    (void)close(peer);
            }
        EXPECT(calls > 30);
        (void)close(server);
        remove_tree();
    }
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(version_1_is_asked_for_events),
        CASE(version_1_refuses),
        CASE(version_2_is_polled),
        CASE(triggers),
        CASE(one_poll_over_all),
        CASE(without_a_table),
        CASE(a_fifo_is_read),
        CASE(a_socket_is_connected),
        CASE(a_file_of_the_kernel),
        CASE(what_the_environment_may_say),
        CASE(off_is_off),
        CASE(calls_that_fail),
    };
    return RUN_CASES(cases);
}
