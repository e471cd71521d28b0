/* SPDX-License-Identifier: MIT
 *
 * Tests of where memory cgroups are and of what they say: texts of hosts of several kinds, trees of files, and cgroups that
 * the test makes when it may.
 */
#include "test_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "probe/probe.h"

static int parse_tree(const char *text, bool unified_has_memory, struct ebb_cgroup_tree *tree)
{
    size_t len = strlen(text);
    char *copy = test_copy(text, len);
    int err = ebb__cgroup_tree_parse(copy, len, unified_has_memory, tree);

    free(copy);
    return err;
}

static int parse_path(const char *text, const struct ebb_cgroup_tree *tree, char *path)
{
    size_t len = strlen(text);
    char *copy = test_copy(text, len);
    int err = ebb__cgroup_path_parse(copy, len, tree, path, EBB_CGROUP_PATH_BYTES);

    free(copy);
    return err;
}

#define ROOT_MOUNT "22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro\n"
#define MEMORY_MOUNT                                                                                         \
    "36 31 0:33 / /sys/fs/cgroup/memory rw,nosuid,relatime shared:15 - cgroup cgroup rw,memory\n"

static void test_trees(void **state)
{
    static const struct {
        const char *what;
        const char *mountinfo;
        bool unified_has_memory;
        int version;
        const char *mount;
        const char *top;
        const char *unified;
    } ROWS[] = {
        {"systemd, version 2",
         ROOT_MOUNT "30 24 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 "
                    "rw,nsdelegate,memory_recursiveprot\n",
         true, 2, "/sys/fs/cgroup", "/", ""},
        {"version 1",
         "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
         "34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n" MEMORY_MOUNT,
         false, 1, "/sys/fs/cgroup/memory", "/", ""},
        {"hybrid",
         MEMORY_MOUNT "40 31 0:37 / /sys/fs/cgroup/unified rw,relatime shared:5 - cgroup2 cgroup2 rw\n",
         false, 1, "/sys/fs/cgroup/memory", "/", "/sys/fs/cgroup/unified"},
        {"version 2 without the controller", "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n", false, 0,
         "", "", "/sys/fs/cgroup"},
        {"no cgroups", ROOT_MOUNT, true, 0, "", "", ""},
        {"several controllers on one mount", "9 1 0:7 / /dev/cgroup rw - cgroup none rw,cpu,memory,blkio\n",
         false, 1, "/dev/cgroup", "/", ""},
        {"a controller whose name only begins so", "9 1 0:7 / /c rw - cgroup none rw,memoryx,xmemory\n",
         false, 0, "", "", ""},
        {"a named hierarchy is no controller", "9 1 0:7 / /c rw - cgroup none rw,name=memory\n", false, 0, "",
         "", ""},
        {"container, version 2, cgroup namespace",
         "1500 1499 0:26 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw\n", true, 2,
         "/sys/fs/cgroup", "/", ""},
        {"container, version 1, bind mount",
         "700 690 0:33 /docker/abc /sys/fs/cgroup/memory ro,relatime master:15 - cgroup cgroup rw,memory\n",
         false, 1, "/sys/fs/cgroup/memory", "/docker/abc", ""},
        {"seen from outside of the mount's namespace",
         "30 24 0:26 /../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", true, 2, "/sys/fs/cgroup", "/../..",
         ""},
        {"a bind mount of a part beside the whole",
         "41 31 0:33 /part /jail/cgroup rw - cgroup cgroup rw,memory\n" MEMORY_MOUNT
         "42 31 0:33 /part /jail2/cgroup rw - cgroup cgroup rw,memory\n",
         false, 1, "/sys/fs/cgroup/memory", "/", ""},
        {"the later mount hides the other",
         MEMORY_MOUNT "42 31 0:33 /part /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n", false, 1,
         "/sys/fs/cgroup/memory", "/part", ""},
        {"names with blanks, newlines and backslashes",
         "9 1 0:7 /a\\040b /my\\040cgroup\\012s\\134x rw opt:1 opt:2 - cgroup none rw,memory\n", false, 1,
         "/my cgroup\ns\\x", "/a b", ""},
        {"backslashes that are no escape", "9 1 0:7 / /a\\09\\04 rw - cgroup none rw,memory\n", false, 1,
         "/a\\09\\04", "/", ""},
        {"lines that are damaged",
         "\n \n36 31\n36 31 0:33 / /x rw\n9 1 0:7 / /y rw - cgroup\n9 1 0:7 / z rw - cgroup none rw,memory\n"
         "9 1 0:7 / /n\\000 rw - cgroup none rw,memory\n" MEMORY_MOUNT,
         false, 1, "/sys/fs/cgroup/memory", "/", ""},
        {"a last line that was cut off", ROOT_MOUNT "9 1 0:7 / /c rw - cgroup none rw,memory", false, 0, "",
         "", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        struct ebb_cgroup_tree tree;

        print_message("%s\n", ROWS[i].what);
        assert_int_equal(parse_tree(ROWS[i].mountinfo, ROWS[i].unified_has_memory, &tree), 0);
        assert_int_equal(tree.version, ROWS[i].version);
        assert_string_equal(tree.mount, ROWS[i].mount);
        assert_string_equal(tree.top, ROWS[i].top);
        assert_string_equal(tree.unified, ROWS[i].unified);
    }
}

static void test_no_mountinfo(void **state)
{
    struct ebb_cgroup_tree tree;

    (void)state;
    assert_int_equal(parse_tree("", false, &tree), -EBADMSG);
    assert_int_equal(parse_tree("hello\nworld\n", false, &tree), -EBADMSG);
}

static void test_paths(void **state)
{
    static const struct {
        const char *what;
        int version;
        const char *top;
        const char *text;
        int err;
        const char *path;
    } ROWS[] = {
        {"version 2", 2, "/", "0::/system.slice/mariadb.service\n", 0, "/system.slice/mariadb.service"},
        {"the top", 2, "/", "0::/\n", 0, "/"},
        {"version 1", 1, "/", "9:name=systemd:/\n4:memory:/containers/c5\n0::/\n", 0, "/containers/c5"},
        {"version 1, several controllers", 1, "/", "4:cpu,memory:/x\n", 0, "/x"},
        {"hybrid: version 2's line is not the one", 1, "/", "0::/user.slice\n12:memory:/user\n", 0, "/user"},
        {"version 2 beside version 1", 2, "/", "12:memory:/user\n0::/user.slice\n", 0, "/user.slice"},
        {"no line", 1, "/", "3:cpuset:/\n0::/\n", -ENOENT, NULL},
        {"nothing", 2, "/", "", -ENOENT, NULL},
        {"colons in the path", 1, "/", "4:memory:/a:b:c\n", 0, "/a:b:c"},
        {"blanks in the path", 2, "/", "0::/a b\n", 0, "/a b"},
        {"removed", 2, "/", "0::/gone (deleted)\n", 0, "/gone (deleted)"},
        {"outside of the namespace", 2, "/", "0::/../other\n", -EXDEV, NULL},
        {"the namespace's parent", 2, "/", "0::/..\n", -EXDEV, NULL},
        {"a name that begins with dots", 2, "/", "0::/..data\n", 0, "/..data"},
        {"container without namespace", 1, "/docker/abc", "4:memory:/docker/abc\n", 0, "/"},
        {"below it", 1, "/docker/abc", "4:memory:/docker/abc/db\n", 0, "/db"},
        {"another container", 1, "/docker/abc", "4:memory:/docker/abcd\n", -EXDEV, NULL},
        {"the host", 1, "/docker/abc", "4:memory:/\n", -EXDEV, NULL},
        {"mounted from above the namespace", 2, "/..", "0::/../x\n", 0, "/x"},
        {"the same, farther out", 2, "/..", "0::/../../x\n", -EXDEV, NULL},
        {"the same, ourselves", 2, "/..", "0::/\n", -EXDEV, NULL},
        {"cut off", 2, "/", "0::/system.sli", -ENOENT, NULL},
        {"no path", 2, "/", "0::\n", -ENOENT, NULL},
        {"no controller", 0, "", "0::/x\n", -ENOENT, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        static struct ebb_cgroup_tree tree;
        char path[EBB_CGROUP_PATH_BYTES] = "";

        print_message("%s\n", ROWS[i].what);
        tree.version = ROWS[i].version;
        snprintf(tree.top, sizeof(tree.top), "%s", ROWS[i].top);
        assert_int_equal(parse_path(ROWS[i].text, &tree, path), ROWS[i].err);
        if (ROWS[i].err == 0)
            assert_string_equal(path, ROWS[i].path);
    }
}

static void test_short_buffers(void **state)
{
    static struct ebb_cgroup_tree tree = {.version = 2, .mount = "/sys/fs/cgroup", .top = "/"};
    char path[8];

    (void)state;
    assert_int_equal(ebb__cgroup_path_parse("0::/abcdef\n", 11, &tree, path, 8), 0);
    assert_int_equal(ebb__cgroup_path_parse("0::/abcdef\n", 11, &tree, path, 7), -ENAMETOOLONG);
    assert_int_equal(ebb__cgroup_file(&tree, "/a", "memory.max", path, sizeof(path)), -ENAMETOOLONG);
}

static void test_parents_and_files(void **state)
{
    static struct ebb_cgroup_tree tree = {.version = 2, .mount = "/sys/fs/cgroup", .top = "/"};
    char path[EBB_CGROUP_PATH_BYTES] = "/a/b";
    char file[EBB_CGROUP_PATH_BYTES];

    (void)state;
    assert_int_equal(ebb__cgroup_file(&tree, path, "memory.max", file, sizeof(file)), 0);
    assert_string_equal(file, "/sys/fs/cgroup/a/b/memory.max");
    assert_true(ebb__cgroup_parent(path));
    assert_string_equal(path, "/a");
    assert_true(ebb__cgroup_parent(path));
    assert_string_equal(path, "/");
    assert_false(ebb__cgroup_parent(path));
    assert_string_equal(path, "/");
    assert_int_equal(ebb__cgroup_file(&tree, path, "memory.stat", file, sizeof(file)), 0);
    assert_string_equal(file, "/sys/fs/cgroup/memory.stat");
}

/* A tree of files below a directory of its own. */
struct files {
    char root[64];
};

static void put(const struct files *files, const char *path, const char *text)
{
    char whole[PATH_MAX];
    int fd;

    snprintf(whole, sizeof(whole), "%s%s", files->root, path);
    for (char *at = whole + strlen(files->root) + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        assert_true(mkdir(whole, 0755) == 0 || errno == EEXIST);
        *at = '/';
    }
    fd = open(whole, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void begin(struct files *files)
{
    snprintf(files->root, sizeof(files->root), "/tmp/ebb-test-cgroup-XXXXXX");
    assert_non_null(mkdtemp(files->root));
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *place)
{
    (void)st;
    (void)kind;
    (void)place;
    return remove(path);
}

static void end(const struct files *files)
{
    assert_int_equal(nftw(files->root, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static struct ebb_cgroup_tree tree;

static void test_version_2(void **state)
{
    struct files files;
    struct ebb_cgroup cgroup;
    char path[EBB_CGROUP_PATH_BYTES];

    (void)state;
    begin(&files);
    put(&files, "/proc/mountinfo", "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    put(&files, "/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n");
    put(&files, "/proc/7/cgroup", "0::/db\n");
    put(&files, "/sys/fs/cgroup/db/memory.current", "1000000\n");
    put(&files, "/sys/fs/cgroup/db/memory.max", "max\n");
    put(&files, "/sys/fs/cgroup/db/memory.high", "900000\n");
    put(&files, "/sys/fs/cgroup/db/memory.swap.max", "0\n");
    put(&files, "/sys/fs/cgroup/db/memory.oom.group", "1\n");
    put(&files, "/sys/fs/cgroup/db/memory.events",
        "low 0\nhigh 5\nmax 6\noom 2\noom_kill 1\noom_group_kill 0\n");
    put(&files, "/sys/fs/cgroup/db/memory.stat",
        "anon 400000\nfile 500000\nkernel 12\nshmem 100000\nfile_dirty 4096\ninactive_anon 3\nactive_anon 4\n"
        "inactive_file 5\nactive_file 6\nslab_reclaimable 7\npgscan 70\npgscan_kswapd 60\npgscan_direct 10\n"
        "workingset_refault_anon 8\nworkingset_refault_file 9\n");
    assert_int_equal(ebb__cgroup_tree_read(files.root, &tree), 0);
    assert_int_equal(tree.version, 2);
    assert_int_equal(ebb__cgroup_path_read(files.root, 7, &tree, path, sizeof(path)), 0);
    assert_string_equal(path, "/db");
    assert_int_equal(ebb__cgroup_path_read(files.root, 8, &tree, path, sizeof(path)), -ESRCH);
    assert_int_equal(ebb__cgroup_read(files.root, &tree, "/db", &cgroup), 0);
    assert_int_equal(cgroup.version, 2);
    assert_int_equal(cgroup.usage_bytes.value, 1000000);
    assert_true(cgroup.limit_bytes.known && cgroup.limit_bytes.value == UINT64_MAX);
    assert_int_equal(cgroup.high_bytes.value, 900000);
    assert_true(cgroup.swap_limit_bytes.known && cgroup.swap_limit_bytes.value == 0);
    assert_int_equal(cgroup.oom_group.value, 1);
    assert_int_equal(cgroup.high_hits.value, 5);
    assert_int_equal(cgroup.limit_hits.value, 6);
    assert_int_equal(cgroup.oom_events.value, 2);
    assert_int_equal(cgroup.oom_kills.value, 1);
    assert_int_equal(cgroup.anon_bytes.value, 400000);
    assert_int_equal(cgroup.file_bytes.value, 400000);
    assert_int_equal(cgroup.shmem_bytes.value, 100000);
    assert_int_equal(cgroup.kernel_bytes.value, 12);
    assert_int_equal(cgroup.dirty_bytes.value, 4096);
    assert_int_equal(cgroup.pgscan.value, 70);
    assert_int_equal(cgroup.refault_file.value, 9);
    /* What is missing is unknown, for the right reason. */
    assert_true(!cgroup.peak_bytes.known && cgroup.peak_bytes.err == -ENOENT);
    assert_true(!cgroup.swappiness.known && cgroup.swappiness.err == -ENODATA);
    assert_true(!cgroup.pgfault.known && cgroup.pgfault.err == -ENODATA);
    assert_int_equal(ebb__cgroup_read(files.root, &tree, "/none", &cgroup), -ENOENT);
    assert_int_equal(ebb__cgroup_read(files.root, &tree, "/db/memory.max", &cgroup), -ENOENT);
    end(&files);
}

static void test_version_1(void **state)
{
    static const struct {
        const char *limit;
        const char *memsw;
        uint64_t limit_bytes;
        uint64_t swap_limit_bytes;
    } ROWS[] = {
        {"9223372036854771712\n", "9223372036854771712\n", UINT64_MAX, UINT64_MAX}, /* pages of 4 KiB */
        {"9223372036854759424\n", "9223372036854759424\n", UINT64_MAX, UINT64_MAX}, /* 16 KiB */
        {"9223372036854710272\n", "9223372036854710272\n", UINT64_MAX, UINT64_MAX}, /* 64 KiB */
        {"18446744073709551615\n", "9223372036854775807\n", UINT64_MAX, UINT64_MAX},
        {"1000\n", "9223372036854771712\n", 1000, UINT64_MAX},
        {"1000\n", "1500\n", 1000, 500},
        {"1000\n", "1000\n", 1000, 0},
    };
    struct files files;
    struct ebb_cgroup cgroup;

    (void)state;
    begin(&files);
    put(&files, "/proc/1/mountinfo", MEMORY_MOUNT);
    put(&files, "/sys/fs/cgroup/memory/db/memory.usage_in_bytes", "77\n");
    put(&files, "/sys/fs/cgroup/memory/db/memory.swappiness", "60\n");
    put(&files, "/sys/fs/cgroup/memory/db/memory.oom_control",
        "oom_kill_disable 0\nunder_oom 1\noom_kill 3\n");
    put(&files, "/sys/fs/cgroup/memory/db/memory.stat",
        "cache 1\nrss 2\nshmem 3\ntotal_cache 1000\ntotal_rss 20\ntotal_shmem 400\ntotal_swap 50\n"
        "inactive_anon 1\ntotal_inactive_anon 11\ntotal_workingset_refault_file 12\n");
    assert_int_equal(ebb__cgroup_tree_read(files.root, &tree), 0);
    assert_int_equal(tree.version, 1);
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        put(&files, "/sys/fs/cgroup/memory/db/memory.limit_in_bytes", ROWS[i].limit);
        put(&files, "/sys/fs/cgroup/memory/db/memory.memsw.limit_in_bytes", ROWS[i].memsw);
        assert_int_equal(ebb__cgroup_read(files.root, &tree, "/db", &cgroup), 0);
        assert_true(cgroup.limit_bytes.known && cgroup.limit_bytes.value == ROWS[i].limit_bytes);
        assert_true(cgroup.swap_limit_bytes.known &&
                    cgroup.swap_limit_bytes.value == ROWS[i].swap_limit_bytes);
    }
    assert_int_equal(cgroup.version, 1);
    assert_int_equal(cgroup.usage_bytes.value, 77);
    assert_int_equal(cgroup.swappiness.value, 60);
    assert_int_equal(cgroup.under_oom.value, 1);
    assert_int_equal(cgroup.oom_kills.value, 3);
    assert_int_equal(cgroup.anon_bytes.value, 20);
    assert_int_equal(cgroup.file_bytes.value, 600);
    assert_int_equal(cgroup.swap_bytes.value, 50);
    assert_int_equal(cgroup.inactive_anon_bytes.value, 11);
    assert_int_equal(cgroup.refault_file.value, 12);
    assert_true(!cgroup.high_bytes.known && cgroup.high_bytes.err == -ENODATA);
    assert_true(!cgroup.pgscan.known && cgroup.pgscan.err == -ENODATA);
    end(&files);
}

#define SEEN_BYTES 256

static int note(const char *path, void *context)
{
    char *seen = context;
    size_t len = strlen(seen);

    snprintf(seen + len, SEEN_BYTES - len, "%s;", path);
    return strcmp(path, "/stop") == 0 ? 5 : 0;
}

static void test_walk(void **state)
{
    struct files files;
    char seen[SEEN_BYTES] = "";

    (void)state;
    begin(&files);
    tree = (struct ebb_cgroup_tree){.version = 2, .mount = "/cg", .top = "/"};
    put(&files, "/cg/a/b c/memory.max", "max\n");
    assert_int_equal(ebb__cgroup_walk(files.root, &tree, note, seen), 0);
    assert_string_equal(seen, "/;/a;/a/b c;");
    put(&files, "/cg/stop/x/memory.max", "max\n");
    seen[0] = '\0';
    assert_int_equal(ebb__cgroup_walk(files.root, &tree, note, seen), 5);
    assert_null(strstr(seen, "/stop/x"));
    tree.version = 0;
    assert_int_equal(ebb__cgroup_walk(files.root, &tree, note, seen), -ENOENT);
    end(&files);
}

static bool write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        close(fd);
    return ok;
}

static int count(const char *path, void *context)
{
    (void)path;
    ++*(unsigned *)context;
    return 0;
}

/* The kernel's own cgroups: ours, and one that we make. */
static void test_this_host(void **state)
{
    char path[EBB_CGROUP_PATH_BYTES];
    char made[EBB_CGROUP_PATH_BYTES];
    char name[64];
    struct ebb_cgroup cgroup;
    unsigned before = 0;
    unsigned after = 0;
    int err;

    (void)state;
    err = ebb__cgroup_tree_read("", &tree);
    if (err != 0 || tree.version == 0)
        skip();
    err = ebb__cgroup_path_read("", getpid(), &tree, path, sizeof(path));
    assert_true(err == 0 || err == -EXDEV);
    if (err == 0) {
        assert_int_equal(ebb__cgroup_read("", &tree, path, &cgroup), 0);
        assert_true(cgroup.anon_bytes.known && cgroup.inactive_file_bytes.known);
    }
    snprintf(name, sizeof(name), "ebb-test-%d", (int)getpid());
    assert_int_equal(ebb__cgroup_file(&tree, "/", name, made, sizeof(made)), 0);
    assert_int_equal(ebb__cgroup_walk("", &tree, count, &before), 0);
    if (mkdir(made, 0755) != 0)
        skip();
    snprintf(path, sizeof(path), "/%s", name);
    assert_int_equal(ebb__cgroup_file(&tree, path, tree.version == 1 ? "memory.limit_in_bytes" : "memory.max",
                                      made, sizeof(made)),
                     0);
    err = ebb__cgroup_read("", &tree, path, &cgroup);
    if (err == 0 && cgroup.limit_bytes.known && cgroup.limit_bytes.value == UINT64_MAX &&
        write_file(made, "67108864"))
        err = ebb__cgroup_read("", &tree, path, &cgroup);
    ebb__cgroup_walk("", &tree, count, &after);
    ebb__cgroup_file(&tree, "/", name, made, sizeof(made));
    assert_int_equal(rmdir(made), 0);
    assert_int_equal(err, 0);
    /* Others may make and remove cgroups meanwhile, so that nothing is certain but that ours was among them. */
    assert_true(after >= 2 && before >= 1);
    if (cgroup.limit_bytes.known) {
        assert_int_equal(cgroup.limit_bytes.value, 67108864);
        assert_true(cgroup.usage_bytes.known && cgroup.usage_bytes.value < 67108864);
        assert_true(cgroup.anon_bytes.known && cgroup.anon_bytes.value == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trees),     cmocka_unit_test(test_no_mountinfo),
        cmocka_unit_test(test_paths),     cmocka_unit_test(test_short_buffers),
        cmocka_unit_test(test_version_2), cmocka_unit_test(test_version_1),
        cmocka_unit_test(test_walk),      cmocka_unit_test(test_parents_and_files),
        cmocka_unit_test(test_this_host),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
