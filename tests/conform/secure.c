/* SPDX-License-Identifier: MIT
 *
 * Run once as an ordinary program and once set-user-ID: tells whether the kernel asked for secure execution,
 * and which value of the option "check" is in effect (-1 where the allocator has no such option). Compiled by
 * secure.py.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>

int main(void)
{
    void *blocks[100];
    for (size_t i = 0; i < 100; i++) {
        blocks[i] = malloc(i * 100);
    }
    for (size_t i = 0; i < 100; i++) {
        free(blocks[i]);
    }
    long (*option_get)(const char *) = (long (*)(const char *))dlsym(RTLD_DEFAULT, "ebb_option_get");
    long check = option_get != NULL ? option_get("check") : -1;
    printf("secure=%lu check=%ld\n", getauxval(AT_SECURE), check);
    return 0;
}
