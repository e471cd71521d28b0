/* SPDX-License-Identifier: MIT
 *
 * Tests of the line reader: over texts, and over a pipe that hands out any number of bytes at a time.
 */
#include "test_probe.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe/probe.h"

static void test_text(void **state)
{
    static const struct {
        const char *text;
        const char *lines[4];
        int last; /* what follows the lines */
    } ROWS[] = {
        {"", {NULL}, 0},
        {"\n", {"", NULL}, 0},
        {"a\nb\n", {"a", "b", NULL}, 0},
        {"a\n\nb\n", {"a", "", "b", NULL}, 0},
        {"a\nb", {"a", NULL}, -EBADMSG},
        {"b", {NULL}, -EBADMSG},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        size_t text_len = strlen(ROWS[i].text);
        char *copy = test_copy(ROWS[i].text, text_len);
        struct ebb_lines lines;
        const char *line;
        size_t len;

        ebb__lines_init_text(&lines, copy, text_len);
        for (size_t j = 0; ROWS[i].lines[j] != NULL; j++) {
            assert_int_equal(ebb__lines_next(&lines, &line, &len), 1);
            assert_int_equal(len, strlen(ROWS[i].lines[j]));
            assert_memory_equal(line, ROWS[i].lines[j], len);
        }
        assert_int_equal(ebb__lines_next(&lines, &line, &len), ROWS[i].last);
        assert_int_equal(ebb__lines_next(&lines, &line, &len), 0);
        free(copy);
    }
}

/* Writes `len` bytes to a new pipe from a child, in pieces of random length, and returns the reading end. */
static int feed(const char *data, size_t len, pid_t *ret_pid)
{
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    *ret_pid = fork();
    assert_true(*ret_pid >= 0);
    if (*ret_pid == 0) {
        close(fds[0]);
        while (len != 0) {
            size_t piece = 1 + (size_t)random() % 5000;
            ssize_t put = write(fds[1], data, piece < len ? piece : len);

            if (put <= 0)
                _exit(1);
            data += put;
            len -= (size_t)put;
        }
        _exit(0);
    }
    close(fds[1]);
    return fds[0];
}

static void test_pieces(void **state)
{
    static struct ebb_lines lines;
    enum { COUNT = 3000 };
    char *data = malloc(COUNT * 200);
    size_t used = 0;
    pid_t pid;
    int fd;
    const char *line;
    size_t len;

    (void)state;
    test_seed();
    for (int i = 0; i < COUNT; i++) {
        char dashes[151];

        memset(dashes, '-', sizeof(dashes));
        used += (size_t)snprintf(data + used, 200, "%d:%.*s\n", i, (int)(random() % 150), dashes);
    }
    fd = feed(data, used, &pid);
    ebb__lines_init_fd(&lines, fd);
    used = 0;
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(ebb__lines_next(&lines, &line, &len), 1);
        assert_memory_equal(line, data + used, len);
        used += len + 1;
        assert_int_equal(data[used - 1], '\n');
    }
    assert_int_equal(ebb__lines_next(&lines, &line, &len), 0);
    close(fd);
    waitpid(pid, NULL, 0);
    free(data);
}

/* A line that is longer than the buffer is reported once, and the lines around it are whole. */
static void test_too_long(void **state)
{
    static const size_t LENGTHS[] = {EBB_LINES_BYTES - 1, EBB_LINES_BYTES, EBB_LINES_BYTES + 1,
                                     5 * EBB_LINES_BYTES};
    static struct ebb_lines lines;
    char *data = malloc(5 * EBB_LINES_BYTES + 64);

    (void)state;
    test_seed();
    for (size_t i = 0; i < sizeof(LENGTHS) / sizeof(LENGTHS[0]); i++) {
        const char *line;
        size_t len;
        pid_t pid;
        int fd;

        memcpy(data, "first\n", 6);
        memset(data + 6, 'x', LENGTHS[i]);
        memcpy(data + 6 + LENGTHS[i], "\nlast\n", 6);
        fd = feed(data, 12 + LENGTHS[i], &pid);
        ebb__lines_init_fd(&lines, fd);
        assert_int_equal(ebb__lines_next(&lines, &line, &len), 1);
        assert_int_equal(len, 5);
        if (LENGTHS[i] < EBB_LINES_BYTES) {
            assert_int_equal(ebb__lines_next(&lines, &line, &len), 1);
            assert_int_equal(len, LENGTHS[i]);
        } else {
            assert_int_equal(ebb__lines_next(&lines, &line, &len), -EMSGSIZE);
        }
        assert_int_equal(ebb__lines_next(&lines, &line, &len), 1);
        assert_int_equal(len, 4);
        assert_memory_equal(line, "last", 4);
        assert_int_equal(ebb__lines_next(&lines, &line, &len), 0);
        close(fd);
        waitpid(pid, NULL, 0);
    }
    free(data);
}

static void test_read_error(void **state)
{
    static struct ebb_lines lines;
    const char *line;
    size_t len;

    (void)state;
    ebb__lines_init_fd(&lines, -1);
    lines.fd = 9999;
    assert_int_equal(ebb__lines_next(&lines, &line, &len), -EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_read_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
