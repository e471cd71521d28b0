/* SPDX-License-Identifier: MIT
 *
 * Tests of ELF inspection: over this test's own file and the C library, whole, without section headers, cut
 * off, and with damaged bytes.
 */
#include "test_probe.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <sys/stat.h>
#include <unistd.h>

#include "probe/probe.h"

/* Symbols that the tests look for in this very file. */
__attribute__((visibility("default"), used)) uint64_t test_elf_exported = 7;
__attribute__((used)) static int test_elf_local(void)
{
    return 8;
}

static char *load(const char *path, size_t *ret_len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    char *image;

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    image = malloc((size_t)st.st_size);
    assert_int_equal(read(fd, image, (size_t)st.st_size), st.st_size);
    close(fd);
    *ret_len = (size_t)st.st_size;
    return image;
}

static const char *libc_path(void)
{
    Dl_info info;

    assert_true(dladdr(dlsym(RTLD_NEXT, "qsort"), &info) != 0);
    return info.dli_fname;
}

static bool note_needed(void *context, const char *name)
{
    if (strncmp(name, "libc.so.", 8) == 0)
        *(bool *)context = true;
    return true;
}

static void test_ourselves(void **state)
{
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    struct ebb_elf_symbol symbol;
    struct ebb_elf elf;
    bool needs_libc = false;

    (void)state;
    assert_int_equal(ebb__elf_open(&elf, fd), 0);
    assert_int_equal(elf.bits, sizeof(void *) * 8);
    assert_false(elf.big_endian);
#if defined(__x86_64__)
    assert_int_equal(elf.machine, EM_X86_64);
    assert_string_equal(elf.interp, "/lib64/ld-linux-x86-64.so.2");
#elif defined(__aarch64__)
    assert_int_equal(elf.machine, EM_AARCH64);
#endif
    assert_true(elf.has_interp);
    assert_true(elf.has_dynamic);
    assert_int_equal(ebb__elf_needed_each(&elf, note_needed, &needs_libc), 0);
    assert_true(needs_libc);
    assert_int_equal(ebb__elf_symbol_find(&elf, EBB_ELF_DYNAMIC, "getpid", &symbol), 0);
    assert_false(symbol.defined);
    assert_int_equal(ebb__elf_symbol_find(&elf, EBB_ELF_DYNAMIC, "no_such_symbol", &symbol), -ENOENT);
    assert_int_equal(ebb__elf_symbol_find(&elf, EBB_ELF_DYNAMIC, "test_elf_local", &symbol), -ENOENT);
    assert_int_equal(ebb__elf_symbol_find(&elf, EBB_ELF_STATIC, "test_elf_local", &symbol), 0);
    assert_true(symbol.defined && symbol.function && !symbol.exported);
    assert_int_equal(ebb__elf_symbol_find(&elf, EBB_ELF_STATIC, "test_elf_exported", &symbol), 0);
    assert_true(symbol.defined && !symbol.function);
    assert_true(symbol.size_bytes >= sizeof(test_elf_exported)); /* ASan pads variables */
    ebb__elf_close(&elf);
    close(fd);
}

/* The way of `ebb run`: symbol value, plus bias from maps, is an address at which the value can be read. */
static void test_bias(void **state)
{
    struct ebb_elf_symbol symbol;
    struct ebb_maps maps;
    struct ebb_elf elf;
    struct ebb_map map;
    uint64_t bias = 1;
    char exe[4096];
    ssize_t len = readlink("/proc/self/exe", exe, sizeof(exe));
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    uint64_t value = 0;

    (void)state;
    assert_int_equal(ebb__elf_open(&elf, fd), 0);
    assert_int_equal(ebb__elf_symbol_find(&elf, EBB_ELF_STATIC, "test_elf_exported", &symbol), 0);
    assert_int_equal(ebb__maps_open(&maps, "", getpid()), 0);
    while (ebb__maps_next(&maps, &map) > 0)
        if (map.name_len == (size_t)len && memcmp(map.name, exe, map.name_len) == 0)
            break;
    assert_int_equal(map.name_len, len);
    assert_int_equal(ebb__elf_bias(&elf, map.start, map.offset_bytes, (uint64_t)sysconf(_SC_PAGESIZE), &bias),
                     0);
    assert_int_equal(ebb__elf_bias(&elf, map.start, UINT64_C(1) << 40, 4096, &bias), -ENOENT);
    ebb__maps_close(&maps);
    assert_int_equal(bias + symbol.value, (uintptr_t)&test_elf_exported);
    assert_int_equal(ebb__peek(getpid(), bias + symbol.value, &value, sizeof(value)), 0);
    assert_int_equal(value, 7);
    assert_int_equal(ebb__peek(getpid(), 0, &value, sizeof(value)), -EFAULT);
    ebb__elf_close(&elf);
    close(fd);
}

struct sum {
    uint64_t count;
    uint64_t exported;
};

static bool add_symbol(void *context, const char *name, const struct ebb_elf_symbol *symbol)
{
    struct sum *sum = context;

    sum->count += strlen(name) != 0;
    sum->exported += symbol->exported;
    return true;
}

/* Without section headers the hash table must give the same symbols. */
static void test_without_sections(void **state)
{
    size_t len;
    char *image = load(libc_path(), &len);
    struct ebb_elf_symbol symbol[2];
    struct ebb_elf elf;
    struct sum sums[2] = {{0}};

    (void)state;
    for (int i = 0; i < 2; i++) {
        if (i == 1) {
            ((ElfW(Ehdr) *)(void *)image)->e_shoff = 0;
            ((ElfW(Ehdr) *)(void *)image)->e_shnum = 0;
            ((ElfW(Ehdr) *)(void *)image)->e_shstrndx = 0;
        }
        assert_int_equal(ebb__elf_open_memory(&elf, image, len), 0);
        assert_int_equal(ebb__elf_symbols_each(&elf, EBB_ELF_DYNAMIC, add_symbol, &sums[i]), 0);
        assert_int_equal(ebb__elf_symbol_find(&elf, EBB_ELF_DYNAMIC, "malloc", &symbol[i]), 0);
        assert_true(symbol[i].exported && symbol[i].function);
        ebb__elf_close(&elf);
    }
    assert_true(sums[0].count > 1000);
    assert_int_equal(sums[0].count, sums[1].count);
    assert_int_equal(sums[0].exported, sums[1].exported);
    assert_int_equal(symbol[0].value, symbol[1].value);
    free(image);
}

static void test_no_elf(void **state)
{
    static char text[] = "#!/bin/sh\necho this is no ELF file, but long enough for one\n";
    struct ebb_elf elf;
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_int_equal(ebb__elf_open_memory(&elf, text, sizeof(text)), -ENOEXEC);
    assert_int_equal(ebb__elf_open_memory(&elf, text, 0), -ENOEXEC);
    assert_int_equal(ebb__elf_open(&elf, fd), -ENOEXEC);
    close(fd);
    assert_int_equal(ebb__elf_open(&elf, fd), -EBADF);
}

/* Uses everything; the answers do not matter, only that they come. */
static void try_everything(char *image, size_t len)
{
    struct ebb_elf_symbol symbol;
    struct ebb_elf elf;
    struct sum sum = {0};
    bool flag = false;
    uint64_t bias;

    if (ebb__elf_open_memory(&elf, image, len) != 0)
        return;
    ebb__elf_needed_each(&elf, note_needed, &flag);
    ebb__elf_symbols_each(&elf, EBB_ELF_DYNAMIC, add_symbol, &sum);
    ebb__elf_symbols_each(&elf, EBB_ELF_STATIC, add_symbol, &sum);
    ebb__elf_symbol_find(&elf, EBB_ELF_DYNAMIC, "malloc", &symbol);
    ebb__elf_bias(&elf, 0x7f0000000000, 0, 4096, &bias);
    ebb__elf_close(&elf);
}

static void test_cut_off(void **state)
{
    size_t len;
    char *image = load("/proc/self/exe", &len);

    (void)state;
    for (size_t cut = 0; cut < len; cut += cut < 4096 ? 1 : 509) {
        char *copy = test_copy(image, cut);

        try_everything(copy, cut);
        free(copy);
    }
    free(image);
}

static void test_damaged(void **state)
{
    size_t len;
    char *image = load("/proc/self/exe", &len);

    (void)state;
    test_seed();
    for (int round = 0; round < 2000; round++) {
        char *copy = test_copy(image, len);
        /* Headers and dynamic tables are at the front; damage anywhere else only changes names. */
        size_t span = round % 2 == 0 ? 1024 : len;

        for (int i = 0; i < 8; i++)
            copy[(size_t)random() % span] = (char)random();
        memcpy(copy, ELFMAG, SELFMAG);
        try_everything(copy, len);
        free(copy);
    }
    free(image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ourselves),        cmocka_unit_test(test_bias),
        cmocka_unit_test(test_without_sections), cmocka_unit_test(test_no_elf),
        cmocka_unit_test(test_cut_off),          cmocka_unit_test(test_damaged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
