/* SPDX-License-Identifier: MIT
 *
 * What the fuzz targets have in common: libFuzzer's entry point, and a check.
 *
 * Fuzz targets are a build of their own, because only clang has libFuzzer. All of them, from the root:
 *
 *   CC=clang meson setup build-fuzz tests/fuzz && ninja -C build-fuzz
 *   mkdir corpus && cp tests/fixtures/proc-mariadbd/proc/5141/maps corpus
 *   build-fuzz/fuzz_maps -max_total_time=60 -max_len=20000 corpus
 *
 * One of them by hand:
 *
 *   clang -g -O1 -fsanitize=fuzzer,address,undefined -std=gnu17 -D_GNU_SOURCE -Isrc
 *         tests/fuzz/fuzz_maps.c src/probe/?*.c -lelf -o fuzz_maps
 *
 * Seeds for fuzz_elf are small ELF files such as /bin/true; for the others, the files of tests/fixtures.
 */
#ifndef EBB_TESTS_FUZZ_FUZZ_H
#define EBB_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                                                \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            abort();                                                                                         \
    } while (0)

#endif
