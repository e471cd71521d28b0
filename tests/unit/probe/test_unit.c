/* SPDX-License-Identifier: MIT
 *
 * Tests of units of systemd in the paths of cgroups: names, paths, and texts of /proc/PID/cgroup of hosts of several kinds.
 */
#include "test_probe.h"

#include <errno.h>

#include "probe/probe.h"

static void test_names(void **state)
{
    static const struct {
        const char *text;
        const char *unit; /* NULL: cannot be one */
    } ROWS[] = {
        {"mariadb", "mariadb.service"},
        {"mariadb.service", "mariadb.service"},
        {"mariadb@blue", "mariadb@blue.service"},
        {"php8.2-fpm", "php8.2-fpm.service"},
        {"system.slice", "system.slice"},
        {"session-4.scope", "session-4.scope"},
        {"var-lib-mysql.mount", "var-lib-mysql.mount"},
        {"logrotate.timer", "logrotate.timer"},
        {".service", ".service.service"}, /* no name has nothing before its suffix */
        {"", NULL},
        {"/system.slice/mariadb.service", NULL},
        {"a/b", NULL},
    };
    char longest[EBB_UNIT_BYTES + 1];
    char unit[EBB_UNIT_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        print_message("'%s'\n", ROWS[i].text);
        assert_int_equal(ebb__unit_name(ROWS[i].text, unit), ROWS[i].unit != NULL);
        if (ROWS[i].unit != NULL)
            assert_string_equal(unit, ROWS[i].unit);
    }
    memset(longest, '\0', sizeof(longest));
    memset(longest, 'x', EBB_UNIT_BYTES - 1 - strlen(".service"));
    assert_true(ebb__unit_name(longest, unit));
    assert_int_equal(strlen(unit), EBB_UNIT_BYTES - 1);
    memset(longest, 'x', EBB_UNIT_BYTES - strlen(".service"));
    assert_false(ebb__unit_name(longest, unit));
}

static void test_paths(void **state)
{
    static const struct {
        const char *path;
        const char *unit;
        const char *found; /* NULL: does not lead there */
        bool of_host;
    } ROWS[] = {
        {"/system.slice/a.service", "a.service", "/system.slice/a.service", true},
        {"/system.slice/a.service/child/x", "a.service", "/system.slice/a.service", true},
        {"/system.slice/a.service", "system.slice", "/system.slice", true},
        {"/system.slice/aa.service", "a.service", NULL, false},
        {"/system.slice/a.services", "a.service", NULL, false},
        {"/", "a.service", NULL, false},
        {"", "a.service", NULL, false},
        {"/a.service", "a.service", "/a.service", true},
        {"/system.slice/_memory.service", "memory.service", "/system.slice/_memory.service", true},
        {"/system.slice/__x.service", "_x.service", "/system.slice/__x.service", true},
        {"/user.slice/user-7.slice/user@7.service/app.slice/a.service", "a.service",
         "/user.slice/user-7.slice/user@7.service/app.slice/a.service", false},
        {"/user.slice/user-7.slice/user@7.service/app.slice/a.service", "user@7.service",
         "/user.slice/user-7.slice/user@7.service", true},
        {"/docker/0f3c/system.slice/a.service", "a.service", "/docker/0f3c/system.slice/a.service", false},
        {"/x.slice/a.service/y/a.service", "a.service", "/x.slice/a.service", true},
        {"/a b.slice/c:d\xc3\xa9.service", "c:d\xc3\xa9.service", "/a b.slice/c:d\xc3\xa9.service", true},
        {"//system.slice//a.service/", "a.service", "//system.slice//a.service", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        size_t len = strlen(ROWS[i].path);
        char *copy = test_copy(ROWS[i].path, len);
        size_t got = ebb__unit_in_path(copy, len, ROWS[i].unit);

        print_message("%s in '%s'\n", ROWS[i].unit, ROWS[i].path);
        assert_int_equal(got, ROWS[i].found == NULL ? 0 : strlen(ROWS[i].found));
        if (ROWS[i].found != NULL) {
            assert_memory_equal(copy, ROWS[i].found, got);
            assert_int_equal(ebb__unit_is_hosts(ROWS[i].found), ROWS[i].of_host);
        }
        free(copy);
    }
}

static void test_texts(void **state)
{
    static const struct {
        const char *what;
        const char *text;
        const char *path;    /* of a.service; NULL: is not in it */
        const char *service; /* NULL: none */
        bool of_user;
    } ROWS[] = {
        {"version 2", "0::/system.slice/a.service\n", "/system.slice/a.service", "a.service", false},
        {"version 1", "9:memory:/\n1:name=systemd:/system.slice/a.service\n", "/system.slice/a.service",
         "a.service", false},
        {"hybrid", "1:name=systemd:/system.slice/a.service\n0::/system.slice/a.service\n",
         "/system.slice/a.service", "a.service", false},
        {"version 2 beside, unused", "0::/\n1:name=systemd:/system.slice/a.service\n",
         "/system.slice/a.service", "a.service", false},
        {"another hierarchy does not count", "9:memory:/system.slice/a.service\n0::/\n", NULL, NULL, false},
        {"another named one neither", "2:name=systemdx:/a.service\n3:name=x:/a.service\n", NULL, NULL, false},
        {"words in a path are no hierarchy", "9:memory:/x:name=systemd:/a.service\n", NULL, NULL, false},
        {"colons and blanks", "0::/a:b c.slice/a.service\n", "/a:b c.slice/a.service", "a.service", false},
        {"a user's", "0::/user.slice/user-7.slice/user@7.service/app.slice/a.service\n",
         "/user.slice/user-7.slice/user@7.service/app.slice/a.service", "a.service", true},
        {"a user's manager", "0::/user.slice/user-7.slice/user@7.service/init.scope\n", NULL,
         "user@7.service", false},
        {"a session", "0::/user.slice/user-7.slice/session-3.scope\n", NULL, NULL, false},
        {"below it", "0::/system.slice/a.service/b\n", "/system.slice/a.service", "a.service", false},
        {"a name like a file", "0::/system.slice/_memory.service\n", NULL, "memory.service", false},
        {"cut off", "0::/system.slice/a.service", NULL, NULL, false},
        {"no path", "0::a.service\n1:name=systemd:\n", NULL, NULL, false},
        {"nothing", "", NULL, NULL, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        size_t len = strlen(ROWS[i].text);
        char *copy = test_copy(ROWS[i].text, len);
        char path[128];
        char unit[EBB_UNIT_BYTES];
        bool of_user = false;
        int err = ebb__unit_path_parse(copy, len, "a.service", path, sizeof(path));

        print_message("%s\n", ROWS[i].what);
        assert_int_equal(err, ROWS[i].path != NULL ? 0 : -ENOENT);
        if (err == 0)
            assert_string_equal(path, ROWS[i].path);
        assert_int_equal(ebb__unit_service_parse(copy, len, unit, &of_user), ROWS[i].service != NULL);
        if (ROWS[i].service != NULL) {
            assert_string_equal(unit, ROWS[i].service);
            assert_int_equal(of_user, ROWS[i].of_user);
        }
        free(copy);
    }
}

static void test_bounds(void **state)
{
    static const char TEXT[] = "0::/a.service/b\n";
    char path[16];
    char unit[EBB_UNIT_BYTES];
    bool of_user;

    (void)state;
    assert_int_equal(ebb__unit_path_parse(TEXT, strlen(TEXT), "a.service", path, 11), 0);
    assert_string_equal(path, "/a.service");
    assert_int_equal(ebb__unit_path_parse(TEXT, strlen(TEXT), "a.service", path, 10), -ENAMETOOLONG);
    assert_int_equal(ebb__unit_path_read(FIXTURES "/nowhere", 1, "a.service", path, sizeof(path)), -ESRCH);
    assert_false(ebb__unit_service_read(FIXTURES "/nowhere", 1, unit, &of_user));
}

static void test_fixtures(void **state)
{
    char path[64];
    char unit[EBB_UNIT_BYTES];
    bool of_user = true;

    (void)state;
    assert_true(ebb__unit_service_read(FIXTURES "/host-arm64-6.1", 2201, unit, &of_user));
    assert_string_equal(unit, "mariadb.service");
    assert_false(of_user);
    assert_int_equal(
        ebb__unit_path_read(FIXTURES "/host-arm64-6.1", 2201, "mariadb.service", path, sizeof(path)), 0);
    assert_string_equal(path, "/system.slice/mariadb.service");
    assert_false(ebb__unit_service_read(FIXTURES "/host-arm64-6.1", 1, unit, &of_user));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),  cmocka_unit_test(test_paths),    cmocka_unit_test(test_texts),
        cmocka_unit_test(test_bounds), cmocka_unit_test(test_fixtures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
