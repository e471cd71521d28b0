/* SPDX-License-Identifier: MIT
 *
 * The test double's descriptors: each call failing, events that the test raises, files that it removes, wakes and time.
 */
#include "support.h"

#include "os/fake.h"

#include <sys/eventfd.h>
#include <sys/stat.h>

static char file[64] = "/tmp/ebb-test-fake-XXXXXX";

static void make_file(void)
{
    int fd = mkstemp(file);
    EXPECT(fd >= 0 && write(fd, "text\n", 5) == 5 && close(fd) == 0);
}

static void each_call_fails_once(void)
{
    char text[16];
    struct ebb_os_poll p = {.events = EBB_OS_POLL_PRI};
    make_file();
    p.fd = ebb__os_fd_open(file, EBB_OS_READ_WRITE);
    EXPECT(p.fd >= 0);
    for (unsigned call = 0; call < 9; call++)
        for (unsigned time = 0; time < 2; time++) {
            ebb_fake.fail_at = time == 0 ? 1 : 0;
            long rc = call == 0   ? ebb__os_fd_own_table()
                      : call == 1 ? ebb__os_fd_open(file, EBB_OS_READ)
                      : call == 2 ? ebb__os_fd_kind(file)
                      : call == 3 ? ebb__os_fd_read_file(p.fd, text, sizeof(text))
                      : call == 4 ? ebb__os_fd_read(p.fd, text, sizeof(text))
                      : call == 5 ? ebb__os_fd_write(p.fd, "text\n", 5)
                      : call == 6 ? ebb__os_fd_event()
                      : call == 7 ? ebb__os_fd_wakes()
                                  : ebb__os_fd_poll(&p, 1, 0);
            EXPECT_MSG((rc < 0) == (time == 0), "call %u, time %u: %ld", call, time, rc);
        }
    EXPECT_EQ(ebb_fake.failures, 9);
    ebb_fake.fail_at = 1;
    EXPECT_EQ(ebb__os_fd_connect(file), -ECONNREFUSED);
    EXPECT_EQ(ebb_fake.failures, 10);
    EXPECT(ebb_fake.own_table && ebb_fake.fds == 4 && ebb_fake.fds_most == 4);
    EXPECT(strcmp(ebb_fake_written(0)->text, "text\n") == 0 && strcmp(ebb_fake_written(0)->path, file) == 0);
    EXPECT(ebb_fake_written(1) == NULL);
    ebb_fake_reset();
    EXPECT_EQ(ebb_fake.fds, 0);
    EXPECT(unlink(file) == 0);
}

static void the_test_plays_the_kernel(void)
{
    char text[16];
    uint64_t payload;
    make_file();
    struct ebb_os_poll p[2] = {{.events = EBB_OS_POLL_PRI}, {.events = EBB_OS_POLL_IN}};
    p[0].fd = ebb__os_fd_open(file, EBB_OS_READ);
    p[1].fd = ebb__os_fd_wakes();
    ebb_fake.now_ms = 100;
    EXPECT_EQ(ebb__os_fd_poll(p, 2, 50), 0);
    EXPECT_EQ(ebb_fake.now_ms, 150);
    EXPECT_EQ(ebb_fake_raise(file + 5, EBB_OS_POLL_PRI), 1);
    EXPECT_EQ(ebb_fake_raise("/nothing", EBB_OS_POLL_PRI), 0);
    EXPECT_EQ(ebb__os_fd_poll(p, 2, 50), 1);
    EXPECT(p[0].revents == EBB_OS_POLL_PRI && p[1].revents == 0 && ebb_fake.now_ms == 150);
    EXPECT_EQ(ebb__os_fd_poll(p, 2, 0), 0); /* once */
    EXPECT_EQ(ebb__os_wake(7, 3), 0);
    EXPECT_EQ(ebb__os_fd_poll(p, 2, EBB_OS_FOREVER), 1);
    EXPECT(p[1].revents == EBB_OS_POLL_IN && ebb__os_sleep(0, &payload) && payload == 3);
    EXPECT_EQ(ebb__os_fd_poll(p, 2, 0), 0);
    EXPECT_EQ(ebb_fake_remove(file), 1);
    EXPECT_EQ(ebb__os_fd_poll(p, 2, 0), 1);
    EXPECT_EQ(p[0].revents, EBB_OS_POLL_PRI | EBB_OS_POLL_ERR);
    EXPECT_EQ(ebb__os_fd_read_file(p[0].fd, text, sizeof(text)), -ENODEV);
    EXPECT(unlink(file) == 0);
}

/* A descriptor of the program's: real, and none of ours. */
static void a_descriptor_of_the_program(void)
{
    uint64_t value;
    struct ebb_os_file which = {0};
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ebb_fake.fail_at = 1;
    EXPECT_EQ(ebb__os_fd_file(fd, &which), -EBADF);
    EXPECT(ebb__os_fd_file(fd, &which) == 0 && which.inode != 0);
    ebb_fake.fail_at = 1;
    EXPECT_EQ(ebb__os_fd_ring(fd, &which), -EBADF);
    EXPECT_EQ(ebb__os_fd_ring(fd, &which), 0);
    EXPECT(read(fd, &value, sizeof(value)) == (ssize_t)sizeof(value) && value == 1);
    value = UINT64_MAX - 1;
    EXPECT(write(fd, &value, sizeof(value)) == (ssize_t)sizeof(value));
    EXPECT_EQ(ebb__os_fd_ring(fd, &which), -EAGAIN);
    which.inode++;
    EXPECT_EQ(ebb__os_fd_ring(fd, &which), -ESTALE);
    EXPECT(close(fd) == 0 && ebb__os_fd_ring(fd, &which) == -EBADF && ebb_fake.fds == 0);
}

static void close_a_foreign_one(void *unused)
{
    (void)unused;
    ebb__os_fd_close(0);
}

static void poll_a_closed_one(void *unused)
{
    struct ebb_os_poll p = {.fd = ebb__os_fd_event(), .events = EBB_OS_POLL_IN};
    (void)unused;
    ebb__os_fd_close(p.fd);
    (void)ebb__os_fd_poll(&p, 1, 0);
}

static void preconditions_end_the_test(void)
{
    void (*const rows[])(void *) = {close_a_foreign_one, poll_a_closed_one};
    for (size_t i = 0; i < EBB_ARRAY_COUNT(rows); i++) {
        struct support_outcome out = support_capture(rows[i], NULL);
        EXPECT_MSG(support_aborted(&out) && strncmp(out.text, "fake os: ", 9) == 0, "row %zu: %s", i,
                   out.text);
    }
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(each_call_fails_once),
        CASE(the_test_plays_the_kernel),
        CASE(a_descriptor_of_the_program),
        CASE(preconditions_end_the_test),
    };
    return RUN_CASES(cases);
}
