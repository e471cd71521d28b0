/* SPDX-License-Identifier: MIT
 *
 * A program under LD_AUDIT: the audit library allocates in its namespace, the program in its own, while
 * libraries are opened and closed and threads come and go.
 */
#include "conform/conform.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whether the file of LD_AUDIT is mapped: the loader drops an audit library it does not like, in silence. */
static bool audit_is_loaded(const char *audit_path)
{
    bool found = false;
    char line[4096];
    FILE *maps = fopen("/proc/self/maps", "r");
    const char *name = strrchr(audit_path, '/');
    while (maps != NULL && !found && fgets(line, sizeof(line), maps) != NULL) {
        found = strstr(line, name != NULL ? name : audit_path) != NULL;
    }
    if (maps != NULL) {
        fclose(maps);
    }
    return found;
}

static void *work(void *argument)
{
    void *blocks[500];
    for (size_t i = 0; i < 500; i++) {
        blocks[i] = malloc(i * 21);
        conform_fill(blocks[i], i * 21, i);
    }
    for (size_t i = 0; i < 500; i++) {
        CHECK(conform_differs(blocks[i], i * 21, i) == i * 21);
        free(blocks[i]);
    }
    return argument;
}

int main(int argc, char **argv)
{
    conform_start(60);
    const char *audit_path = getenv("LD_AUDIT");
    if (!CHECK(audit_path != NULL && audit_is_loaded(audit_path), "no audit library was loaded")) {
        return conform_end();
    }
    for (int round = 0; round < 20; round++) {
        pthread_t threads[4];
        for (size_t i = 0; i < 4; i++) {
            CHECK(pthread_create(&threads[i], NULL, work, NULL) == 0);
        }
        void *library = argc > 1 ? dlopen(argv[1], RTLD_NOW) : NULL;
        CHECK(library != NULL, "%s", dlerror());
        work(NULL);
        for (size_t i = 0; i < 4; i++) {
            pthread_join(threads[i], NULL);
        }
        dlclose(library);
    }
    return conform_end();
}
