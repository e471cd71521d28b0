/* SPDX-License-Identifier: MIT
 *
 * Where a process's cgroups are: captured hosts, and made-up ones of the kinds that are hard.
 */
#include "pressure_tree.h"

#include "os/fake.h"

static struct ebb_place place;

static void expect_level(uint32_t distance, const char *folder)
{
    EXPECT_MSG(distance < place.depth, "only %u levels", place.depth);
    EXPECT_MSG(strlen(folder) == place.path_len[distance] &&
                   strncmp(place.path, folder, place.path_len[distance]) == 0,
               "level %u is %.*s, not %s", distance, place.path_len[distance], place.path, folder);
}

static void find_in(const char *root, const char *process)
{
    memset(&place, 0x5a, sizeof(place));
    EXPECT_EQ(ebb__place_find(root, process, &place), 0);
    EXPECT_EQ(ebb_fake.fds, 0);
}

static void fixtures(void)
{
    find_in(FIXTURES "/host-x86-6.18", "/proc/13717");
    EXPECT(place.version == 1 && place.depth == 2);
    expect_level(0, V1 "/database");
    expect_level(1, V1);
    EXPECT(place.unified[0] == '\0'); /* the top: the host's own figures */

    find_in(FIXTURES "/host-x86-4.18", "/proc/1834");
    EXPECT(place.version == 1 && place.depth == 3);
    expect_level(0, V1 "/system.slice/mysql.service");
    expect_level(1, V1 "/system.slice");
    expect_level(2, V1);
    EXPECT(strcmp(place.unified, V2 "/unified/system.slice/mysql.service") == 0);

    find_in(FIXTURES "/host-x86-4.18", "/proc/2077"); /* elsewhere in version 1 than in version 2 */
    EXPECT(place.version == 1 && place.depth == 1);
    expect_level(0, V1);

    find_in(FIXTURES "/host-arm64-6.1", "/proc/2201");
    EXPECT(place.version == 2 && place.depth == 3);
    expect_level(0, V2 "/system.slice/mariadb.service");
    expect_level(2, V2);
    EXPECT(strcmp(place.unified, V2 "/system.slice/mariadb.service") == 0);

    find_in(FIXTURES "/host-arm64-6.1", "/proc/2");
    EXPECT(place.version == 2 && place.depth == 1 && place.unified[0] == '\0');
}

static void made_up(const char *mountinfo, const char *cgroup)
{
    put("/proc/self/mountinfo", mountinfo);
    put("/proc/self/cgroup", cgroup);
    find_in(tree, "/proc/self");
}

static void hybrid(void)
{
    make_tree();
    put(V2 "/unified/cgroup.controllers", "\n");
    made_up(MOUNT_UNIFIED MOUNT_CPU MOUNT_V1, "0::/v2/place\n5:cpu:/x\n4:memory:/v1/place\n");
    EXPECT(place.version == 1 && place.depth == 3);
    expect_level(0, V1 "/v1/place");
    EXPECT(strcmp(place.unified, V2 "/unified/v2/place") == 0);

    /* The controller is in version 1, but not mounted here: version 2 does not have it either. */
    made_up(MOUNT_UNIFIED MOUNT_CPU, "0::/v2/place\n4:memory:/v1/place\n");
    EXPECT(place.version == 0 && place.depth == 0);
    EXPECT(strcmp(place.unified, V2 "/unified/v2/place") == 0);

    /* Named in version 1 by mount, but the process has no line of it. */
    made_up(MOUNT_V1, "0::/v2/place\n");
    EXPECT(place.version == 0);
    remove_tree();
}

static void namespaces(void)
{
    make_tree();
    /* A container without a namespace of cgroups: a part of the tree is mounted. */
    made_up("36 31 0:33 /docker/0a1b /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
            "4:memory:/docker/0a1b/inner\n");
    EXPECT(place.version == 1 && place.depth == 2);
    expect_level(0, V1 "/inner");
    expect_level(1, V1);

    made_up("36 31 0:33 /docker/0a1b /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
            "4:memory:/docker/0a1b\n");
    EXPECT(place.depth == 1);
    expect_level(0, V1);

    /* A cgroup beside it is not below it, though its name begins so. */
    made_up("36 31 0:33 /docker/0a1b /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
            "4:memory:/docker/0a1bcd\n");
    EXPECT(place.version == 0);

    /* One with a namespace: the top of its tree is the container's cgroup, and not the host. */
    put(V2 "/cgroup.controllers", "cpu memory\n");
    put(V2 "/cgroup.events", "populated 1\nfrozen 0\n");
    made_up(MOUNT_V2, "0::/\n");
    EXPECT(place.version == 2 && place.depth == 1);
    expect_level(0, V2);
    EXPECT(strcmp(place.unified, V2) == 0);
    put(V2 "/cgroup.events", NULL);
    made_up(MOUNT_V2, "0::/\n");
    EXPECT(place.unified[0] == '\0');

    /* Outside of the namespace; and a mount from above it, below which our cgroup has no name. */
    made_up(MOUNT_V2, "0::/../other\n");
    EXPECT_EQ(place.version, 0);
    made_up(MOUNT_V2, "0::/..\n");
    EXPECT_EQ(place.version, 0);
    made_up("30 24 0:26 /../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "0::/\n");
    EXPECT_EQ(place.version, 0);
    made_up(MOUNT_V2, "0::/..a\n"); /* just a name */
    EXPECT(place.version == 2 && place.depth == 2);
    remove_tree();
}

static void several_mounts(void)
{
    make_tree();
    put(V2 "/cgroup.controllers", "memory\n");
    put("/mnt/all/cgroup.controllers", "memory\n");
    /* The one that shows more of the ancestors, in either order. */
    made_up("1 0 0:2 /a /sys/fs/cgroup rw - cgroup2 none rw\n1 0 0:2 / /mnt/all rw - cgroup2 none rw\n",
            "0::/a/b\n");
    expect_level(0, "/mnt/all/a/b");
    EXPECT_EQ(place.depth, 3);
    made_up("1 0 0:2 / /mnt/all rw - cgroup2 none rw\n1 0 0:2 /a /sys/fs/cgroup rw - cgroup2 none rw\n",
            "0::/a/b\n");
    expect_level(0, "/mnt/all/a/b");
    /* The only one that shows ours at all. */
    made_up("1 0 0:2 /c /mnt/all rw - cgroup2 none rw\n1 0 0:2 /a /sys/fs/cgroup rw - cgroup2 none rw\n",
            "0::/a/b\n");
    expect_level(0, V2 "/b");
    /* A later mount hides the one below. */
    made_up(MOUNT_V2 MOUNT_V2, "0::/a\n");
    expect_level(0, V2 "/a");
    /* A place with a blank in its name. */
    put("/mnt/a b/cgroup.controllers", "memory\n");
    made_up("1 0 0:2 / /mnt/a\\040b rw - cgroup2 none rw\n", "0::/x y\n");
    EXPECT_EQ(place.version, 2);
    expect_level(0, "/mnt/a b/x y");
    remove_tree();
}

static void removed_and_missing(void)
{
    make_tree();
    made_up(MOUNT_V1, "4:memory:/gone/too (deleted)\n");
    EXPECT_EQ(place.depth, 3);
    expect_level(0, V1 "/gone/too");

    made_up(MOUNT_V2, "0::/a\n"); /* no cgroup.controllers */
    EXPECT_EQ(place.version, 0);
    put(V2 "/cgroup.controllers", "cpu io\n");
    made_up(MOUNT_V2, "0::/a\n");
    EXPECT(place.version == 0 && strcmp(place.unified, V2 "/a") == 0); /* stalls are there all the same */
    put(V2 "/cgroup.controllers", "");
    made_up(MOUNT_V2, "0::/a\n");
    EXPECT_EQ(place.version, 0);
    made_up("", "");
    EXPECT(place.version == 0 && place.unified[0] == '\0');
    made_up(MOUNT_V1, "4:memory:/a"); /* half a line */
    EXPECT_EQ(place.version, 0);

    put("/proc/self/cgroup", NULL);
    EXPECT_EQ(ebb__place_find(tree, "/proc/self", &place), -ENOENT);
    put("/proc/self/cgroup", "0::/\n");
    put("/proc/self/mountinfo", NULL);
    EXPECT_EQ(ebb__place_find(tree, "/proc/self", &place), -ENOENT);
    EXPECT_EQ(ebb_fake.fds, 0);
    remove_tree();
}

/* Lines of any length: overlay mounts list their layers; and paths up to the longest that has a name. */
static void long_lines(void)
{
    static char text[60000], path[5000];
    make_tree();
    size_t len = 0;
    for (unsigned i = 0; i < 3; i++) {
        len +=
            (size_t)snprintf(text + len, sizeof(text) - len, "1 2 3:4 / /x rw - overlay overlay lowerdir=");
        size_t layers = i == 0 ? 8190 : i == 1 ? 20000 : 3;
        memset(text + len, 'l', layers);
        len += layers;
        text[len++] = '\n';
    }
    (void)snprintf(text + len, sizeof(text) - len, "%s", MOUNT_V1);
    made_up(text, "4:memory:/a\n");
    expect_level(0, V1 "/a");

    len = (size_t)snprintf(path, sizeof(path), "4:memory:");
    while (len < 4080)
        len += (size_t)snprintf(path + len, sizeof(path) - len, "/abcdefg");
    (void)snprintf(path + len, sizeof(path) - len, "\n");
    made_up(MOUNT_V1, path);
    EXPECT_EQ(place.version, 1);
    EXPECT_EQ(place.depth, EBB_PRESSURE_LEVELS); /* the nearest ones */
    EXPECT(place.path_len[0] == strlen(place.path) && place.path_len[1] == place.path_len[0] - 8);
    EXPECT(strncmp(place.path, V1 "/abcdefg/", strlen(V1) + 9) == 0);

    (void)snprintf(path + len, sizeof(path) - len,
                   "/0123456789\n"); /* with its mount it has no name any more */
    made_up(MOUNT_V1, path);
    EXPECT_EQ(place.version, 0);
    remove_tree();
}

static void calls_that_fail(void)
{
    make_tree();
    put_v2();
    long calls = 0;
    for (long n = 1; n == 1 || n <= calls; n++) {
        ebb_fake_reset();
        ebb_fake.fail_at = n == 1 ? 0 : n - 1;
        memset(&place, 0x5a, sizeof(place));
        int rc = ebb__place_find(tree, "/proc/self", &place);
        if (n == 1)
            calls = ebb_fake.calls + 1;
        EXPECT_EQ(ebb_fake.fds, 0);
        EXPECT_MSG(rc != 0 || place.version == 0 || (place.version == 2 && place.depth == 3), "call %ld", n);
    }
    EXPECT(calls > 6);
    remove_tree();
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(fixtures),
        CASE(hybrid),
        CASE(namespaces),
        CASE(several_mounts),
        CASE(removed_and_missing),
        CASE(long_lines),
        CASE(calls_that_fail),
    };
    return RUN_CASES(cases);
}
