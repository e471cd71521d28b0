/* SPDX-License-Identifier: MIT
 *
 * Who is told of pressure and of what, in one thread on the fake kernel: levels, order, merging, numbers, descriptors that go away, and
 * which threads a subscription starts.
 */
#include "governor_test.h"

#include <fcntl.h>
#include <sys/eventfd.h>

#define EARS 70u

/* What a subscriber has heard. */
struct ear {
    unsigned times;
    struct ebb_pressure_note last;
    void (*then)(struct ear *ear);
};
static struct ear ears[EARS];

static void hear(const struct ebb_pressure_note *note, void *context)
{
    struct ear *ear = context;
    EXPECT_EQ(note->size_of_struct, sizeof(*note));
    EXPECT(note->serial > ear->last.serial); /* in order, and none twice */
    EXPECT(note->cause != NULL);
    ear->times++;
    ear->last = *note;
    if (ear->then != NULL)
        ear->then(ear);
}

static struct ebb_pressure_subscriber listener(struct ear *ear, enum ebb_budget_level least)
{
    return (struct ebb_pressure_subscriber){.size_of_struct = sizeof(struct ebb_pressure_subscriber),
                                            .least_level = least,
                                            .callback = hear,
                                            .context = ear};
}

static int add(struct ear *ear, enum ebb_budget_level least)
{
    struct ebb_pressure_subscriber s = listener(ear, least);
    int number = ebb__subs_add(&s);
    EXPECT(number > 0);
    return number;
}

static int add_event(int fd, enum ebb_budget_level least)
{
    struct ebb_pressure_subscriber s = listener(NULL, least);
    s.callback = NULL;
    s.event_fd = fd;
    return ebb__subs_add(&s);
}

static void post(enum ebb_budget_level level, uint64_t want_bytes)
{
    const struct ebb_pressure_note note = {.level = level, .want_bytes = want_bytes, .cause = "a test"};
    ebb__subs_post(&note);
}

static void tell(enum ebb_budget_level level, uint64_t want_bytes)
{
    post(level, want_bytes);
    ebb__subs_deliver();
    EXPECT_EQ(ebb__subs_check(), 0);
}

static uint64_t value_of(int fd)
{
    uint64_t value = 0;
    return read(fd, &value, sizeof(value)) == (ssize_t)sizeof(value) ? value : 0;
}

static int make_event(uint64_t value, int flags)
{
    int fd = eventfd(0, EFD_CLOEXEC | flags);
    EXPECT(fd >= 0 && (value == 0 || write(fd, &value, sizeof(value)) == (ssize_t)sizeof(value)));
    return fd;
}

/* ---- notes ---- */

static void no_note_yet(void)
{
    struct ebb_pressure_note note;
    memset(&note, 0xff, sizeof(note));
    ebb__subs_last(&note);
    EXPECT(note.serial == 0 && note.level == EBB_LEVEL_GREEN && note.want_bytes == 0 && note.cause != NULL);
    add(&ears[0], EBB_LEVEL_GREEN);
    ebb__subs_deliver();
    EXPECT_EQ(ears[0].times, 0);
    EXPECT_EQ(ebb__subs_check(), 0);
}

static void the_last_of_many(void)
{
    struct ebb_pressure_note note;
    for (uint64_t n = 1; n <= 11; n++) {
        post(n % 2 != 0 ? EBB_LEVEL_RED : EBB_LEVEL_YELLOW, n * 4096);
        ebb__subs_last(&note);
        EXPECT(note.serial == n && note.want_bytes == n * 4096);
        EXPECT_EQ(note.level, n % 2 != 0 ? EBB_LEVEL_RED : EBB_LEVEL_YELLOW);
    }
}

static void of_the_least_level(void)
{
    for (unsigned level = EBB_LEVEL_GREEN; level <= EBB_LEVEL_RED; level++)
        add(&ears[level], (enum ebb_budget_level)level);
    tell(EBB_LEVEL_YELLOW, 1);
    tell(EBB_LEVEL_ORANGE, 2);
    tell(EBB_LEVEL_ORANGE, 3);
    EXPECT(ears[0].times == 3 && ears[1].times == 3 && ears[2].times == 2 && ears[3].times == 0);
    tell(EBB_LEVEL_YELLOW, 4); /* orange is over: said once */
    tell(EBB_LEVEL_YELLOW, 5);
    EXPECT(ears[2].times == 3 && ears[2].last.want_bytes == 4 && ears[2].last.level == EBB_LEVEL_YELLOW);
    EXPECT(ears[1].times == 5 && ears[3].times == 0);
    tell(EBB_LEVEL_GREEN, 0);
    tell(EBB_LEVEL_GREEN, 0);
    EXPECT(ears[0].times == 7 && ears[1].times == 6 && ears[2].times == 3);
    EXPECT_EQ(EBB_COUNTED(pressure_notes), 7 + 6 + 3);
}

static void what_came_meanwhile_is_merged(void)
{
    add(&ears[0], EBB_LEVEL_YELLOW);
    tell(EBB_LEVEL_YELLOW, 1);
    for (unsigned n = 2; n <= 9; n++)
        post(EBB_LEVEL_ORANGE, n);
    ebb__subs_deliver();
    ebb__subs_deliver();
    EXPECT(ears[0].times == 2 && ears[0].last.serial == 9 && ears[0].last.want_bytes == 9);
    post(EBB_LEVEL_RED, 10); /* it came and went: nothing to do any more */
    tell(EBB_LEVEL_ORANGE, 0);
    EXPECT(ears[0].times == 3 && ears[0].last.level == EBB_LEVEL_ORANGE);
}

static void post_another(struct ear *ear)
{
    ear->then = NULL;
    post(EBB_LEVEL_RED, 2);
}

/* One that takes long does not make the others hear of what is old. */
static void the_newest_when_the_turn_comes(void)
{
    add(&ears[0], EBB_LEVEL_YELLOW);
    add(&ears[1], EBB_LEVEL_YELLOW);
    ears[0].then = post_another;
    tell(EBB_LEVEL_YELLOW, 1);
    EXPECT(ears[0].last.want_bytes == 1 && ears[1].last.want_bytes == 2);
    ebb__subs_deliver();
    EXPECT(ears[0].times == 2 && ears[0].last.want_bytes == 2 && ears[1].times == 1);
}

static void told_at_once(void)
{
    tell(EBB_LEVEL_GREEN, 0);
    add(&ears[0], EBB_LEVEL_GREEN); /* green is no news */
    ebb__subs_deliver();
    EXPECT_EQ(ears[0].times, 0);
    tell(EBB_LEVEL_ORANGE, 77);
    add(&ears[1], EBB_LEVEL_ORANGE);
    add(&ears[2], EBB_LEVEL_RED);
    ebb__subs_deliver();
    EXPECT(ears[1].times == 1 && ears[1].last.want_bytes == 77 && ears[2].times == 0);
}

/* ---- the table ---- */

static void what_is_refused(void)
{
    struct ebb_pressure_subscriber s = listener(&ears[0], EBB_LEVEL_GREEN);
    s.size_of_struct--;
    EXPECT_EQ(ebb__subs_add(&s), -EINVAL);
    s = listener(&ears[0], (enum ebb_budget_level)4);
    EXPECT_EQ(ebb__subs_add(&s), -EINVAL);
    s = listener(&ears[0], (enum ebb_budget_level) - 1);
    EXPECT_EQ(ebb__subs_add(&s), -EINVAL);
    EXPECT_EQ(add_event(-1, EBB_LEVEL_GREEN), -EBADF);
    EXPECT_EQ(add_event(999, EBB_LEVEL_GREEN), -EBADF);
    int numbers[] = {0, -1, 1, 64, 1 << 20};
    for (size_t i = 0; i < EBB_ARRAY_COUNT(numbers); i++)
        EXPECT_EQ(ebb__subs_remove(numbers[i]), -ENOENT);
    EXPECT(ebb__subs_count() == 0 && ebb__subs_check() == 0);
}

static void sixty_four(void)
{
    int numbers[64];
    for (unsigned i = 0; i < 64; i++) {
        numbers[i] = add(&ears[i], EBB_LEVEL_GREEN);
        for (unsigned j = 0; j < i; j++)
            EXPECT(numbers[j] != numbers[i]);
    }
    struct ebb_pressure_subscriber s = listener(&ears[64], EBB_LEVEL_GREEN);
    EXPECT_EQ(ebb__subs_add(&s), -ENOSPC);
    tell(EBB_LEVEL_YELLOW, 1);
    for (unsigned i = 0; i < 64; i++)
        EXPECT_EQ(ears[i].times, 1);
    EXPECT_EQ(ebb__subs_remove(numbers[17]), 0);
    EXPECT_EQ(ebb__subs_remove(numbers[17]), -ENOENT);
    int again = add(&ears[64], EBB_LEVEL_GREEN);
    EXPECT(again != numbers[17]); /* a number that is not valid any more stays so */
    EXPECT_EQ(ebb__subs_remove(numbers[17]), -ENOENT);
    tell(EBB_LEVEL_YELLOW, 2);
    EXPECT(ears[17].times == 1 && ears[64].times == 1 && ears[18].times == 2);
    EXPECT_EQ(ebb__subs_count(), 64);
}

static int second;

static void remove_the_second(struct ear *ear)
{
    ear->then = NULL;
    EXPECT_EQ(ebb__subs_remove(second), 0);
    EXPECT_EQ(ebb__subs_check(), 0);
}

static void one_is_ended_in_the_callback_of_another(void)
{
    add(&ears[0], EBB_LEVEL_GREEN);
    second = add(&ears[1], EBB_LEVEL_GREEN);
    add(&ears[2], EBB_LEVEL_GREEN);
    ears[0].then = remove_the_second;
    tell(EBB_LEVEL_YELLOW, 1);
    EXPECT(ears[0].times == 1 && ears[1].times == 0 && ears[2].times == 1);
}

/* ---- descriptors ---- */

static void an_eventfd_rises(void)
{
    int fd = make_event(0, EFD_NONBLOCK);
    EXPECT(add_event(fd, EBB_LEVEL_YELLOW) > 0);
    tell(EBB_LEVEL_GREEN, 0);
    EXPECT_EQ(value_of(fd), 0);
    tell(EBB_LEVEL_YELLOW, 5);
    tell(EBB_LEVEL_ORANGE, 6);
    EXPECT_EQ(value_of(fd), 2);
    EXPECT_EQ(ebb_fake.fds, 0); /* it is the program's */
}

/* The descriptor is a blocking one, and nobody has read it for long: whoever tells must not wait. */
static void a_full_one_is_not_waited_for(void)
{
    int fd = make_event(UINT64_MAX - 1, 0);
    (void)alarm(20);
    EXPECT(add_event(fd, EBB_LEVEL_YELLOW) > 0);
    add(&ears[0], EBB_LEVEL_YELLOW);
    tell(EBB_LEVEL_YELLOW, 5);
    EXPECT_EQ(ears[0].times, 1);
    EXPECT_EQ(value_of(fd), UINT64_MAX - 1);
    tell(EBB_LEVEL_YELLOW, 6);
    EXPECT_EQ(value_of(fd), 1);
}

static void a_closed_one_tells_nobody(void)
{
    int fds[2];
    char byte;
    EXPECT(pipe(fds) == 0 && fcntl(fds[0], F_SETFL, O_NONBLOCK) == 0);
    int fd = make_event(0, EFD_NONBLOCK);
    int number = add_event(fd, EBB_LEVEL_YELLOW);
    add(&ears[0], EBB_LEVEL_YELLOW);
    EXPECT_EQ(close(fd), 0);
    tell(EBB_LEVEL_YELLOW, 5);
    EXPECT_EQ(ears[0].times, 1);
    /* The number means something else now: a pipe that would take the bytes. */
    EXPECT_EQ(dup2(fds[1], fd), fd);
    tell(EBB_LEVEL_YELLOW, 6);
    EXPECT(read(fds[0], &byte, 1) == -1 && errno == EAGAIN);
    EXPECT_EQ(ears[0].times, 2);
    EXPECT_EQ(ebb__subs_remove(number), 0);
}

static void calls_of_the_kernel_fail(void)
{
    int fd = make_event(0, EFD_NONBLOCK);
    ebb_fake.fail_at = 1;
    EXPECT_EQ(add_event(fd, EBB_LEVEL_YELLOW), -EBADF);
    EXPECT(ebb_fake.failures == 1 && ebb__subs_count() == 0);
    EXPECT(add_event(fd, EBB_LEVEL_YELLOW) > 0);
    ebb_fake.fail_at = 1;
    tell(EBB_LEVEL_YELLOW, 1);
    EXPECT(ebb_fake.failures == 2 && value_of(fd) == 0);
    tell(EBB_LEVEL_YELLOW, 2);
    EXPECT_EQ(value_of(fd), 1);
}

/* ---- threads ---- */

/* However small the process, and with one thread. */
static void both_threads_are_started(void)
{
    struct ebb_pressure_subscriber s = listener(&ears[0], EBB_LEVEL_ORANGE);
    ebb__governor_start();
    EXPECT_EQ(ebb_fake.threads_started, 0);
    int number = ebb__governor_subscribe(&s);
    EXPECT(number > 0);
    EXPECT_EQ(ebb_fake.threads_started, 2);
    EXPECT(atomic_load(&ebb__governor_awake) != 0);
    EXPECT_EQ(ebb__governor_unsubscribe(number), 0);
    EXPECT_EQ(ebb__governor_unsubscribe(number), -ENOENT);
    ebb_fake_thread_run(); /* the messenger finds nobody to tell */
    EXPECT_EQ(ebb__messenger_thread_id(), 0);
    EXPECT(ebb__governor_subscribe(&s) > 0); /* and another one starts */
    EXPECT_EQ(ebb_fake.threads_started, 3);
}

static void bg_0_has_nobody_to_look(void)
{
    struct ebb_pressure_subscriber s = listener(&ears[0], EBB_LEVEL_ORANGE);
    EXPECT_EQ(ebb__governor_subscribe(&s), -EAGAIN); /* the constructor has not run */
    ebb__conf.bg = 0;
    ebb__governor_start();
    EXPECT_EQ(ebb__governor_subscribe(&s), -ENOTSUP);
    EXPECT(ebb_fake.threads_started == 0 && ebb__subs_count() == 0);
}

static void threads_are_refused(void)
{
    struct ebb_pressure_subscriber s = listener(&ears[0], EBB_LEVEL_ORANGE);
    ebb__governor_start();
    for (long n = 1; n <= 2; n++) { /* that which looks, that which tells */
        ebb_fake.fail_at = n;
        EXPECT_EQ(ebb__governor_subscribe(&s), -EAGAIN);
        EXPECT_EQ(ebb_fake.failures, n);
        EXPECT(ebb__subs_count() == 0 && ebb__subs_check() == 0);
    }
    EXPECT(ebb__governor_subscribe(&s) > 0);
    EXPECT_EQ(ebb_fake.threads_started, 2);
}

static void not_by_the_background_thread(unsigned nth)
{
    struct ebb_pressure_subscriber s = listener(&ears[0], EBB_LEVEL_ORANGE);
    (void)nth;
    EXPECT_EQ(ebb__governor_subscribe(&s), -EDEADLK);
    EXPECT_EQ(ebb__subs_count(), 0);
    finish();
}

static void a_shrinker_of_the_background_thread_may_not(void)
{
    ebb__conf.pressure = 0;
    start();
    take(40);
    give(40);
    serve();
    while_asleep = not_by_the_background_thread;
    ebb_fake_thread_run();
    EXPECT_EQ(forever_count, 1);
}

static void a_fork_child_has_none(void)
{
    struct ebb_pressure_subscriber s = listener(&ears[0], EBB_LEVEL_GREEN);
    struct ebb_pressure_note note;
    ebb__governor_start();
    int number = ebb__governor_subscribe(&s);
    tell(EBB_LEVEL_RED, 5);
    EXPECT_EQ(ears[0].times, 1);
    ebb__governor_fork_child();
    EXPECT_EQ(ebb__subs_count(), 0);
    ebb__subs_last(&note);
    EXPECT(note.serial == 0 && note.level == EBB_LEVEL_GREEN);
    EXPECT_EQ(ebb__governor_unsubscribe(number), -ENOENT);
    tell(EBB_LEVEL_RED, 5);
    EXPECT_EQ(ears[0].times, 1);
    ears[0].last.serial = 0;
    EXPECT(ebb__governor_subscribe(&s) != number);
    EXPECT_EQ(ebb_fake.threads_started, 4);
    ebb__subs_deliver();
    EXPECT_EQ(ears[0].times, 2);
}

static unsigned told_in_child;

static void fork_here(struct ear *ear)
{
    (void)ear;
    told_in_child++;
    ebb__governor_fork_child();
    add(&ears[5], EBB_LEVEL_GREEN);
}

/* The child of a fork in a callback: the round that the parent began goes no further. */
static void a_fork_in_a_callback(void)
{
    ebb__governor_start();
    add(&ears[0], EBB_LEVEL_GREEN);
    add(&ears[1], EBB_LEVEL_GREEN);
    ears[0].then = fork_here;
    post(EBB_LEVEL_RED, 5);
    ebb__subs_deliver();
    EXPECT(told_in_child == 1 && ears[1].times == 0 && ears[5].times == 0);
    EXPECT(ebb__subs_count() == 1 && !ebb__subs_is_telling() && ebb__subs_check() == 0);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(no_note_yet),
        CASE(the_last_of_many),
        CASE(of_the_least_level),
        CASE(what_came_meanwhile_is_merged),
        CASE(the_newest_when_the_turn_comes),
        CASE(told_at_once),
        CASE(what_is_refused),
        CASE(sixty_four),
        CASE(one_is_ended_in_the_callback_of_another),
        CASE(an_eventfd_rises),
        CASE(a_full_one_is_not_waited_for),
        CASE(a_closed_one_tells_nobody),
        CASE(calls_of_the_kernel_fail),
        CASE(both_threads_are_started),
        CASE(bg_0_has_nobody_to_look),
        CASE(threads_are_refused),
        CASE(a_shrinker_of_the_background_thread_may_not),
        CASE(a_fork_child_has_none),
        CASE(a_fork_in_a_callback),
    };
    small_reservations();
    return RUN_CASES(cases);
}
