/* SPDX-License-Identifier: MIT
 *
 * Allocates a little and prints the values of the options named on the command line, as ebb_option_get()
 * tells them.
 */
#include "conform/conform.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    conform_start(30);
    void *blocks[200];
    for (size_t i = 0; i < 200; i++) {
        blocks[i] = malloc(i * 1000);
        CHECK(blocks[i] != NULL);
    }
    for (size_t i = 0; i < 200; i++) {
        free(blocks[i]);
    }
    long (*option_get)(const char *) = (long (*)(const char *))dlsym(RTLD_DEFAULT, "ebb_option_get");
    CHECK(option_get != NULL, "the library has no ebb_option_get");
    for (int i = 1; i < argc && option_get != NULL; i++) {
        printf("%s=%ld\n", argv[i], option_get(argv[i]));
    }
    fflush(stdout);
    return conform_end();
}
