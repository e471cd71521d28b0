/* SPDX-License-Identifier: MIT
 *
 * The allocator opened by dlopen() in a process that does not preload it, as an extension module of an
 * interpreter would pull it in: its static TLS must fit, its functions must serve old and new threads, and
 * dlclose() must not take away memory that is in use.
 */
#include "conform/conform.h"

#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static struct {
    void *(*allocate)(size_t);
    void *(*allocate_zeroed)(size_t, size_t);
    void *(*resize)(void *, size_t);
    void *(*allocate_aligned)(size_t, size_t);
    void (*release)(void *);
    size_t (*usable)(void *);
} other;

static pthread_barrier_t barrier;

static void *use_other(void *unused)
{
    (void)unused;
    for (int round = 0; round < 50; round++) {
        void *theirs[200];
        void *ours[200];
        for (size_t i = 0; i < 200; i++) {
            theirs[i] = i % 2 == 0 ? other.allocate(i * 60) : other.allocate_zeroed(i, 60);
            ours[i] = malloc(i * 60);
            conform_fill(theirs[i], i * 60, i);
            conform_fill(ours[i], i * 60, i + 1);
        }
        for (size_t i = 0; i < 200; i++) {
            CHECK(other.usable(theirs[i]) >= i * 60);
            theirs[i] = other.resize(theirs[i], i * 90 + 1);
            CHECK(conform_differs(theirs[i], i * 60, i) == i * 60);
            CHECK(conform_differs(ours[i], i * 60, i + 1) == i * 60);
            other.release(theirs[i]);
            free(ours[i]);
        }
    }
    return NULL;
}

static void *old_thread(void *unused)
{
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return use_other(unused);
}

static void *symbol(void *library, const char *name)
{
    void *address = dlsym(library, name);
    if (!CHECK(address != NULL, "%s", name)) {
        _exit(conform_end());
    }
    return address;
}

int main(int argc, char **argv)
{
    conform_start(60);
    if (argc != 2) {
        return 2;
    }
    pthread_t before;
    pthread_t after;
    pthread_barrier_init(&barrier, NULL, 2);
    CHECK(pthread_create(&before, NULL, old_thread, NULL) == 0);
    pthread_barrier_wait(&barrier);
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (!CHECK(library != NULL, "%s", dlerror())) {
        return conform_end();
    }
    other.allocate = (void *(*)(size_t))symbol(library, "malloc");
    other.allocate_zeroed = (void *(*)(size_t, size_t))symbol(library, "calloc");
    other.resize = (void *(*)(void *, size_t))symbol(library, "realloc");
    other.allocate_aligned = (void *(*)(size_t, size_t))symbol(library, "memalign");
    other.release = (void (*)(void *))symbol(library, "free");
    other.usable = (size_t(*)(void *))symbol(library, "malloc_usable_size");
    pthread_barrier_wait(&barrier);
    use_other(NULL);
    CHECK(pthread_create(&after, NULL, use_other, NULL) == 0);
    pthread_join(before, NULL);
    pthread_join(after, NULL);

    void *kept = other.allocate_aligned(4096, 5000);
    CHECK(kept != NULL && (uintptr_t)kept % 4096 == 0);
    conform_fill(kept, 5000, 1);
    dlclose(library);
    CHECK(conform_differs(kept, 5000, 1) == 5000);
    void *again = dlopen(argv[1], RTLD_NOW | RTLD_NOLOAD);
    CHECK(again != NULL, "dlclose unloaded the allocator while its blocks were in use");
    other.release(kept);
    use_other(NULL);
    return conform_end();
}
