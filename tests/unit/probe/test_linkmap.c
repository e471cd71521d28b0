/* SPDX-License-Identifier: MIT
 *
 * Tests of reading the dynamic linker's list: our own, and made-up processes with every kind of damage.
 */
#include "test_probe.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <unistd.h>

#include "probe/probe.h"

#define MAX 512

static void test_ourselves(void **state)
{
    static struct ebb_linkmap_object objects[MAX];
    pid_t pid = getpid();
    struct ebb_auxv auxv;
    size_t count = 0;
    size_t i = 0;

    (void)state;
    assert_int_equal(ebb__auxv_read("", pid, sizeof(long), &auxv), 0);
    assert_int_equal(ebb__linkmap_read(ebb__peek_process, &pid, &auxv, objects, MAX, &count), 0);
    assert_true(count >= 3);
    for (const struct link_map *object = _r_debug.r_map; object != NULL; object = object->l_next, i++) {
        assert_true(i < count);
        assert_int_equal(objects[i].bias, object->l_addr);
        assert_int_equal(objects[i].dynamic_addr, (uintptr_t)object->l_ld);
    }
    assert_int_equal(i, count);
    assert_int_equal(ebb__linkmap_read(ebb__peek_process, &pid, &auxv, objects, count, &count), 0);
    assert_int_equal(ebb__linkmap_read(ebb__peek_process, &pid, &auxv, objects, count - 1, &count), -E2BIG);
}

/* A made-up process whose memory is one block at BASE. */
#define BASE 0x10000u

struct fake {
    Elf64_Phdr phdrs[3];
    Elf64_Dyn dynamic[3];
    struct r_debug debug;
    struct link_map objects[2];
};

static int peek_fake(void *context, uint64_t address, void *buf, size_t len)
{
    const struct fake *fake = context;

    if (address < BASE || address - BASE > sizeof(*fake) || len > sizeof(*fake) - (address - BASE))
        return -EFAULT;
    memcpy(buf, (const char *)fake + (address - BASE), len);
    return 0;
}

static uint64_t at(size_t offset)
{
    return BASE + offset;
}

static void make_fake(struct fake *fake, struct ebb_auxv *auxv)
{
    *fake = (struct fake){
        .phdrs = {{.p_type = PT_PHDR, .p_vaddr = 0},
                  {.p_type = PT_LOAD},
                  {.p_type = PT_DYNAMIC, .p_vaddr = offsetof(struct fake, dynamic)}},
        .dynamic = {{.d_tag = DT_STRTAB}, {.d_tag = DT_DEBUG}, {.d_tag = DT_NULL}},
        .debug = {.r_version = 1, .r_state = RT_CONSISTENT},
    };
    fake->dynamic[1].d_un.d_ptr = at(offsetof(struct fake, debug));
    fake->debug.r_map = (struct link_map *)(uintptr_t)at(offsetof(struct fake, objects[0]));
    fake->objects[0].l_addr = 0x1111;
    fake->objects[0].l_next = (struct link_map *)(uintptr_t)at(offsetof(struct fake, objects[1]));
    fake->objects[1].l_addr = 0x2222;
    *auxv = (struct ebb_auxv){.present = 1u << AT_PHDR | 1u << AT_PHNUM | 1u << AT_PHENT};
    auxv->values[AT_PHDR] = BASE;
    auxv->values[AT_PHNUM] = 3;
    auxv->values[AT_PHENT] = sizeof(Elf64_Phdr);
}

enum damage {
    NONE,
    NO_AUXV,
    PHDR_COUNT,
    PHDR_SIZE,
    PHDR_ADDRESS,
    NO_DYNAMIC,
    NO_DEBUG,
    DEBUG_NOT_SET,
    DYNAMIC_ENDLESS,
    DEBUG_ADDRESS,
    NO_LIST,
    LIST_CHANGING,
    OBJECT_ADDRESS,
    LIST_CIRCULAR,
};

static void do_damage(enum damage damage, struct fake *fake, struct ebb_auxv *auxv)
{
    switch (damage) {
    case NONE:
        break;
    case NO_AUXV:
        auxv->present = 0;
        break;
    case PHDR_COUNT:
        auxv->values[AT_PHNUM] = UINT64_MAX;
        break;
    case PHDR_SIZE:
        auxv->values[AT_PHENT] = 32;
        break;
    case PHDR_ADDRESS:
        auxv->values[AT_PHDR] = 8;
        break;
    case NO_DYNAMIC:
        fake->phdrs[2].p_type = PT_NOTE;
        break;
    case NO_DEBUG:
        fake->dynamic[1].d_tag = DT_SYMTAB;
        break;
    case DEBUG_NOT_SET:
        fake->dynamic[1].d_un.d_ptr = 0;
        break;
    case DYNAMIC_ENDLESS:
        fake->dynamic[1].d_tag = DT_SYMTAB;
        fake->dynamic[2].d_tag = DT_SYMTAB;
        break;
    case DEBUG_ADDRESS:
        fake->dynamic[1].d_un.d_ptr = UINT64_MAX - 4;
        break;
    case NO_LIST:
        fake->debug.r_map = NULL;
        break;
    case LIST_CHANGING:
        fake->debug.r_state = RT_ADD;
        break;
    case OBJECT_ADDRESS:
        fake->objects[0].l_next = (struct link_map *)(uintptr_t)1;
        break;
    case LIST_CIRCULAR:
        fake->objects[1].l_next = fake->debug.r_map;
        break;
    }
}

static void test_made_up(void **state)
{
    static const struct {
        enum damage damage;
        int err;
    } ROWS[] = {
        {NONE, 0},
        {NO_AUXV, -EBADMSG},
        {PHDR_COUNT, -EBADMSG},
        {PHDR_SIZE, -EBADMSG},
        {PHDR_ADDRESS, -EFAULT},
        {NO_DYNAMIC, -ENOENT},
        {NO_DEBUG, -ENOENT},
        {DEBUG_NOT_SET, -EAGAIN},
        /* Behind the entries lies r_debug, whose version 1 reads as one more entry and 0 as the end. */
        {DYNAMIC_ENDLESS, -ENOENT},
        {DEBUG_ADDRESS, -EFAULT},
        {NO_LIST, -EAGAIN},
        {LIST_CHANGING, -EAGAIN},
        {OBJECT_ADDRESS, -EFAULT},
        {LIST_CIRCULAR, -E2BIG},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        struct ebb_linkmap_object objects[MAX];
        struct ebb_auxv auxv;
        struct fake fake;
        size_t count = 42;

        make_fake(&fake, &auxv);
        do_damage(ROWS[i].damage, &fake, &auxv);
        assert_int_equal(ebb__linkmap_read(peek_fake, &fake, &auxv, objects, MAX, &count), ROWS[i].err);
        if (ROWS[i].err != 0) {
            assert_int_equal(count, 42);
            continue;
        }
        assert_int_equal(count, 2);
        assert_int_equal(objects[0].bias, 0x1111);
        assert_int_equal(objects[1].bias, 0x2222);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ourselves),
        cmocka_unit_test(test_made_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
