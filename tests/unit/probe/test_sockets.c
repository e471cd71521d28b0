/* SPDX-License-Identifier: MIT
 *
 * Listening sockets: lines of net/unix and net/tcp, whole and damaged, and those of this test itself.
 */
#include "test_probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "probe/probe.h"

#define LISTENS "0000000000000000: 00000002 00000000 00010000 0001 01 28313 /run/mysqld/mysqld.sock"

static bool unix_line(const char *text, struct ebb_socket *ret_socket)
{
    char *copy = test_copy(text, strlen(text));
    bool is = ebb__socket_unix_line(copy, strlen(text), ret_socket);

    free(copy);
    return is;
}

static bool tcp_line(const char *text, enum ebb_socket_family family, struct ebb_socket *ret_socket)
{
    char *copy = test_copy(text, strlen(text));
    bool is = ebb__socket_tcp_line(copy, strlen(text), family, ret_socket);

    free(copy);
    return is;
}

static void test_unix(void **state)
{
    struct ebb_socket socket;

    (void)state;
    assert_true(unix_line(LISTENS, &socket));
    assert_int_equal(socket.family, EBB_SOCKET_UNIX);
    assert_int_equal(socket.inode, 28313);
    assert_string_equal(socket.path, "/run/mysqld/mysqld.sock");
    /* The kernel aligns the inode, and a name may hold blanks. */
    assert_true(unix_line("ffff9c2b4d3f8800: 00000002 00000000 00010000 0001 01     7 ./a b", &socket));
    assert_string_equal(socket.path, "./a b");
    assert_int_equal(socket.inode, 7);
    assert_true(unix_line("0: 2 0 10000 1 1 9 @abstract", &socket));
    assert_string_equal(socket.path, "@abstract");
}

static void test_unix_of_no_use(void **state)
{
    static const char *const TEXTS[] = {
        "Num       RefCount Protocol Flags    Type St Inode Path",
        /* connected; a datagram; without a name */
        "0000000000000000: 00000003 00000000 00000000 0001 03 28313 /run/mysqld/mysqld.sock",
        "0000000000000000: 00000002 00000000 00010000 0002 01 28313 /run/log",
        "0000000000000000: 00000002 00000000 00010000 0001 01 28313",
        "0000000000000000: 00000002 00000000 00010000 0001 01 28313 ",
        "0000000000000000 00000002 00000000 00010000 0001 01 28313 /a",
        "",
    };
    char line[300];
    struct ebb_socket socket;

    (void)state;
    for (size_t i = 0; i < sizeof(TEXTS) / sizeof(TEXTS[0]); i++)
        assert_false(unix_line(TEXTS[i], &socket));
    for (size_t len = 0; len < strlen(LISTENS) - strlen("/run/mysqld/mysqld.sock"); len++) {
        snprintf(line, sizeof(line), "%.*s", (int)len, LISTENS);
        assert_false(unix_line(line, &socket));
    }
    /* No address is that long. */
    snprintf(line, sizeof(line), "0: 2 0 10000 1 1 9 /%0108d", 7);
    assert_false(unix_line(line, &socket));
    snprintf(line, sizeof(line), "0: 2 0 10000 1 1 9 /%0107d", 7);
    assert_true(unix_line(line, &socket));
}

static void test_tcp(void **state)
{
    static const unsigned char LOOPBACK[16] = {127, 0, 0, 1};
    char line[300];
    struct ebb_socket socket;
    uint32_t word;

    (void)state;
    memcpy(&word, LOOPBACK, sizeof(word));
    snprintf(line, sizeof(line),
             "   2: %08X:0CEA 00000000:0000 0A 00000000:00000000 00:00000000 00000000   112        0 23456 1 "
             "0000000000000000 100 0 0 10 0",
             (unsigned)word);
    assert_true(tcp_line(line, EBB_SOCKET_TCP4, &socket));
    assert_int_equal(socket.port, 3306);
    assert_int_equal(socket.inode, 23456);
    assert_memory_equal(socket.address, LOOPBACK, 4);
    for (size_t len = 0; len < (size_t)(strstr(line, "23456") - line); len++) {
        char cut[300];

        snprintf(cut, sizeof(cut), "%.*s", (int)len, line);
        assert_false(tcp_line(cut, EBB_SOCKET_TCP4, &socket));
    }
    *strstr(line, " 0A ") = 'x'; /* no blank where one must be */
    assert_false(tcp_line(line, EBB_SOCKET_TCP4, &socket));
    memcpy(strstr(line, "x0A "), " 01 ", 4); /* a connection */
    assert_false(tcp_line(line, EBB_SOCKET_TCP4, &socket));
    assert_false(
        tcp_line("  sl  local_address rem_address   st tx_queue rx_queue tr", EBB_SOCKET_TCP4, &socket));
    assert_true(
        tcp_line("   0: 00000000000000000000000000000000:18EB 00000000000000000000000000000000:0000 0A "
                 "00000000:00000000 00:00000000 00000000     0        0 99 1 0 100 0 0 10 0",
                 EBB_SOCKET_TCP6, &socket));
    assert_int_equal(socket.port, 6379);
    assert_int_equal(socket.inode, 99);
    assert_int_equal(socket.family, EBB_SOCKET_TCP6);
    /* The short address of the other file is no address here. */
    assert_false(
        tcp_line("   0: 00000000:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 99 1",
                 EBB_SOCKET_TCP6, &socket));
}

static void test_live(void **state)
{
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t bytes = sizeof(any);
    struct ebb_socket *sockets = calloc(4096, sizeof(*sockets));
    char folder[] = "/tmp/ebb-sockets-XXXXXX";
    int tcp = socket(AF_INET, SOCK_STREAM, 0), own = socket(AF_UNIX, SOCK_STREAM, 0), second;
    size_t count = 0;

    (void)state;
    assert_non_null(sockets);
    assert_non_null(mkdtemp(folder));
    snprintf(local.sun_path, sizeof(local.sun_path), "%s/a b", folder);
    assert_int_equal(bind(own, (struct sockaddr *)&local, sizeof(local)), 0);
    assert_int_equal(listen(own, 1), 0);
    assert_int_equal(bind(tcp, (struct sockaddr *)&any, sizeof(any)), 0);
    assert_int_equal(listen(tcp, 1), 0);
    assert_int_equal(getsockname(tcp, (struct sockaddr *)&any, &bytes), 0);
    /* A second descriptor of the same socket is no second socket. */
    second = dup(own);
    assert_int_equal(ebb__sockets_listening("", getpid(), sockets, 4096, &count), 0);
    assert_int_equal(count, 2);
    assert_int_equal(sockets[0].family, EBB_SOCKET_UNIX);
    assert_string_equal(sockets[0].path, local.sun_path);
    assert_int_equal(sockets[1].family, EBB_SOCKET_TCP4);
    assert_int_equal(sockets[1].port, ntohs(any.sin_port));
    assert_memory_equal(sockets[1].address, &any.sin_addr, 4);
    assert_int_equal(ebb__sockets_listening("/no/such/tree", getpid(), sockets, 4096, &count), -ESRCH);
    close(second);
    close(own);
    close(tcp);
    unlink(local.sun_path);
    rmdir(folder);
    free(sockets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unix),
        cmocka_unit_test(test_unix_of_no_use),
        cmocka_unit_test(test_tcp),
        cmocka_unit_test(test_live),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
