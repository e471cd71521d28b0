/* SPDX-License-Identifier: MIT
 *
 * dlopen(), after start and with threads running, of a plugin that needs static TLS.
 */
#include "conform/conform.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef char *data_function(size_t *ret_size_bytes);

static data_function *plugin_data;
static pthread_barrier_t barrier;

static void *use_data(void *unused)
{
    (void)unused;
    free(malloc(100));
    pthread_barrier_wait(&barrier);
    /* Main opens the plugin now, while this thread exists already. */
    pthread_barrier_wait(&barrier);
    if (plugin_data == NULL) {
        return NULL;
    }
    size_t size_bytes = 0;
    char *data = plugin_data(&size_bytes);
    CHECK(data[0] == 1 && data[1] == 2 && data[2] == 3 && data[size_bytes - 1] == 0);
    memset(data, 0x77, size_bytes);
    void *block = malloc(1000);
    CHECK(block != NULL);
    free(block);
    return NULL;
}

int main(int argc, char **argv)
{
    conform_start(30);
    if (argc != 2) {
        return 2;
    }
    pthread_t thread;
    pthread_barrier_init(&barrier, NULL, 2);
    CHECK(pthread_create(&thread, NULL, use_data, NULL) == 0);
    pthread_barrier_wait(&barrier);
    void *plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (CHECK(plugin != NULL, "%s", dlerror())) {
        plugin_data = (data_function *)dlsym(plugin, "tls_plugin_data");
    }
    CHECK(plugin_data != NULL);
    pthread_barrier_wait(&barrier);
    pthread_join(thread, NULL);
    return conform_end();
}
