/* SPDX-License-Identifier: MIT
 *
 * Tests of the parser of /proc/PID/maps: lines as the kernel writes them, damaged ones, fixtures, and
 * ourselves.
 */
#include "test_probe.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "probe/probe.h"

struct row {
    const char *line;
    struct ebb_map map;
    const char *name; /* as it should be decoded */
};

static const struct row GOOD[] = {
    {"55b6e3a00000-55b6e3a21000 r--p 00000000 fe:01 131234                     /usr/sbin/mariadbd",
     {.start = 0x55b6e3a00000,
      .end = 0x55b6e3a21000,
      .inode = 131234,
      .dev_major = 0xfe,
      .dev_minor = 1,
      .readable = true},
     "/usr/sbin/mariadbd"},
    {"7f1c8c000000-7f1c8c021000 rw-p 00000000 00:00 0 ",
     {.start = 0x7f1c8c000000, .end = 0x7f1c8c021000, .readable = true, .writable = true},
     ""},
    {"7f1c8c021000-7f1c90000000 ---p 00000000 00:00 0 ",
     {.start = 0x7f1c8c021000, .end = 0x7f1c90000000},
     ""},
    {"7f1c94000000-7f1c94001000 rwxs 00021000 00:05 77                         /dev/shm/two words",
     {.start = 0x7f1c94000000,
      .end = 0x7f1c94001000,
      .offset_bytes = 0x21000,
      .inode = 77,
      .dev_minor = 5,
      .readable = true,
      .writable = true,
      .executable = true,
      .shared = true},
     "/dev/shm/two words"},
    {"7f0000000000-7f0000001000 r-xp 00001000 08:11 9 /tmp/a\\012b",
     {.start = 0x7f0000000000,
      .end = 0x7f0000001000,
      .offset_bytes = 0x1000,
      .inode = 9,
      .dev_major = 8,
      .dev_minor = 0x11,
      .readable = true,
      .executable = true},
     "/tmp/a\nb"},
    {"7f0000000000-7f0000001000 r-xp 00001000 08:11 9 /tmp/a\\01",
     {.start = 0x7f0000000000,
      .end = 0x7f0000001000,
      .offset_bytes = 0x1000,
      .inode = 9,
      .dev_major = 8,
      .dev_minor = 0x11,
      .readable = true,
      .executable = true},
     "/tmp/a\\01"},
    {"7f0000000000-7f0000001000 r-xp 00000000 08:11 9 /usr/lib/libebb-malloc.so (deleted)",
     {.start = 0x7f0000000000,
      .end = 0x7f0000001000,
      .inode = 9,
      .dev_major = 8,
      .dev_minor = 0x11,
      .readable = true,
      .executable = true,
      .deleted = true},
     "/usr/lib/libebb-malloc.so"},
    {"7f0000000000-7f0000001000 rw-s 00000000 00:01 1024 /memfd:a (deleted) (deleted)",
     {.start = 0x7f0000000000,
      .end = 0x7f0000001000,
      .inode = 1024,
      .dev_minor = 1,
      .readable = true,
      .writable = true,
      .shared = true,
      .deleted = true},
     "/memfd:a (deleted)"},
    {"55b6e4000000-55b6e4021000 rw-p 00000000 00:00 0                          [heap]",
     {.start = 0x55b6e4000000, .end = 0x55b6e4021000, .readable = true, .writable = true},
     "[heap]"},
    {"7f0000000000-7f0000001000 rw-p 00000000 00:00 0                          [anon:ebb: heap (deleted)]",
     {.start = 0x7f0000000000, .end = 0x7f0000001000, .readable = true, .writable = true},
     "[anon:ebb: heap (deleted)]"},
    {"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]",
     {.start = 0xffffffffff600000, .end = 0xffffffffff601000, .executable = true},
     "[vsyscall]"},
    {"08048000-08049000 r-xp 00000000 08:01 18446744073709551615",
     {.start = 0x08048000,
      .end = 0x08049000,
      .inode = UINT64_MAX,
      .dev_major = 8,
      .dev_minor = 1,
      .readable = true,
      .executable = true},
     ""},
};

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(GOOD) / sizeof(GOOD[0]); i++) {
        size_t len = strlen(GOOD[i].line);
        char *copy = test_copy(GOOD[i].line, len);
        const struct ebb_map *want = &GOOD[i].map;
        struct ebb_map map;
        char name[256];

        assert_int_equal(ebb__maps_line_parse(copy, len, &map), 0);
        assert_int_equal(map.start, want->start);
        assert_int_equal(map.end, want->end);
        assert_int_equal(map.offset_bytes, want->offset_bytes);
        assert_int_equal(map.inode, want->inode);
        assert_int_equal(map.dev_major, want->dev_major);
        assert_int_equal(map.dev_minor, want->dev_minor);
        assert_int_equal(map.readable, want->readable);
        assert_int_equal(map.writable, want->writable);
        assert_int_equal(map.executable, want->executable);
        assert_int_equal(map.shared, want->shared);
        assert_int_equal(map.deleted, want->deleted);
        assert_int_equal(ebb__maps_name_decode(&map, name, sizeof(name)), 0);
        assert_string_equal(name, GOOD[i].name);
        assert_int_equal(ebb__maps_name_decode(&map, name, strlen(GOOD[i].name) + 1), 0);
        assert_int_equal(ebb__maps_name_decode(&map, name, strlen(GOOD[i].name)), -ENAMETOOLONG);
        free(copy);
    }
}

static void test_bad(void **state)
{
    static const char *const ROWS[] = {
        "",
        " ",
        "x",
        "7f00-",
        "7f00-7e00 r--p 00000000 00:00 0 ",
        "7f00 7f01 r--p 00000000 00:00 0 ",
        "7f00-7f01 r--x 00000000 00:00 0 ",
        "7f00-7f01 R--p 00000000 00:00 0 ",
        "7f00-7f01 r-p 00000000 00:00 0 ",
        "7f00-7f01 r--p 00000000 00:00",
        "7f00-7f01 r--p 00000000 0000 0 ",
        "7f00-7f01 r--p 00000000 1ffffffff:00 0 ",
        "7f00-7f01 r--p 00000000 00:00 x",
        "7f00-7f01 r--p 00000000 00:00 12x",
        "7f00-7f01 r--p  00:00 0 ",
        "10000000000000000-10000000000000001 r--p 00000000 00:00 0 ",
        "7f00-7f01 r--p 00000000 00:00 18446744073709551616 ",
        "VmFlags: rd mr mw me",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        size_t len = strlen(ROWS[i]);
        char *copy = test_copy(ROWS[i], len);
        struct ebb_map map = {.start = 42};

        assert_int_equal(ebb__maps_line_parse(copy, len, &map), -EBADMSG);
        assert_int_equal(map.start, 42);
        free(copy);
    }
}

/* Whatever is cut off, the parser reads no further and either refuses or returns what is there. */
static void test_cut_off(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(GOOD) / sizeof(GOOD[0]); i++) {
        for (size_t len = 0; len < strlen(GOOD[i].line); len++) {
            char *copy = test_copy(GOOD[i].line, len);
            struct ebb_maps maps;
            struct ebb_map map;

            if (ebb__maps_line_parse(copy, len, &map) == 0) {
                assert_int_equal(map.start, GOOD[i].map.start);
                assert_true(map.name >= copy && map.name + map.name_len <= copy + len);
            }
            /* In a whole text the missing newline gives it away. */
            ebb__maps_open_text(&maps, copy, len);
            assert_int_equal(ebb__maps_next(&maps, &map), len == 0 ? 0 : -EBADMSG);
            assert_int_equal(ebb__maps_next(&maps, &map), 0);
            free(copy);
        }
    }
}

static void test_walk_goes_on_after_damage(void **state)
{
    static const char TEXT[] = "7f00-7f01 r--p 00000000 00:00 0 \n"
                               "rubbish\n"
                               "7f02-7f03 r--p 00000000 00:00 0 \n";
    struct ebb_maps maps;
    struct ebb_map map;

    (void)state;
    ebb__maps_open_text(&maps, TEXT, sizeof(TEXT) - 1);
    assert_int_equal(ebb__maps_next(&maps, &map), 1);
    assert_int_equal(ebb__maps_next(&maps, &map), -EBADMSG);
    assert_int_equal(ebb__maps_next(&maps, &map), 1);
    assert_int_equal(map.start, 0x7f02);
    assert_int_equal(ebb__maps_next(&maps, &map), 0);
}

/* The same columns head the entries of smaps. */
static void test_fixture(void **state)
{
    struct ebb_maps maps;
    struct ebb_map map;
    uint64_t end = 0;
    size_t count = 0;
    size_t heaps = 0;
    int got;

    (void)state;
    assert_int_equal(ebb__maps_open(&maps, FIXTURES "/proc-mariadbd", 5141), 0);
    while ((got = ebb__maps_next(&maps, &map)) > 0) {
        assert_true(map.start >= end);
        end = map.end;
        count++;
        heaps += map.name_len == 6 && memcmp(map.name, "[heap]", 6) == 0;
    }
    ebb__maps_close(&maps);
    assert_int_equal(got, 0);
    assert_int_equal(count, 181);
    assert_int_equal(heaps, 1);
    assert_int_equal(ebb__maps_open(&maps, FIXTURES "/proc-mariadbd", 5142), -ENOENT);
}

/* Our own mappings, with one that we know. */
static void test_ourselves(void **state)
{
    size_t bytes = 16 * (size_t)sysconf(_SC_PAGESIZE);
    char *block = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct ebb_maps maps;
    struct ebb_map map;
    bool found = false;
    int got;

    (void)state;
    assert_true(block != MAP_FAILED);
    assert_int_equal(ebb__maps_open(&maps, "", getpid()), 0);
    while ((got = ebb__maps_next(&maps, &map)) > 0)
        if (map.start <= (uintptr_t)block && map.end >= (uintptr_t)block + bytes) {
            found = true;
            assert_true(map.readable && !map.writable && !map.executable && !map.shared);
        }
    ebb__maps_close(&maps);
    assert_int_equal(got, 0);
    assert_true(found);
    munmap(block, bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),    cmocka_unit_test(test_bad),
        cmocka_unit_test(test_cut_off), cmocka_unit_test(test_walk_goes_on_after_damage),
        cmocka_unit_test(test_fixture), cmocka_unit_test(test_ourselves),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
