/* SPDX-License-Identifier: MIT
 *
 * A cache that gives way when memory is short: as large as there is room for, and no larger.
 *
 *   pressure MIB      puts MIB of entries into the cache, 64 MiB a second, then waits for the end of standard input
 *
 * It subscribes to memory pressure (ebb_pressure(3)). When somebody needs memory, in its cgroup or on the host, it drops its oldest
 * entries, as many as are asked for; until the danger is over it does not grow. Try it beside something that takes memory:
 *
 *   systemd-run --user --pty -p MemoryMax=256M ./pressure 1000
 */
#include <ebb/pressure.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ENTRY_BYTES   65536u
#define ENTRIES_A_MIB 16u
#define PAUSE_NS      976562 /* after each entry: 64 MiB a second */

struct entry {
    struct entry *younger;
    char value[ENTRY_BYTES - sizeof(struct entry *)];
};

struct cache {
    pthread_mutex_t lock;
    struct entry *oldest, *youngest;
    size_t bytes, dropped_bytes;
    unsigned told; /* how often somebody wanted memory */
};

/* Under the lock. */
static void drop_oldest(struct cache *cache, size_t bytes)
{
    for (size_t dropped = 0; dropped < bytes && cache->oldest != NULL; dropped += sizeof(struct entry)) {
        struct entry *entry = cache->oldest;
        cache->oldest = entry->younger;
        cache->bytes -= sizeof(*entry);
        cache->dropped_bytes += sizeof(*entry);
        free(entry);
    }
}

/* In a thread of the library's, which may wait for a lock as any other thread does. */
static void give_way(const struct ebb_pressure_note *note, void *context)
{
    struct cache *cache = context;
    pthread_mutex_lock(&cache->lock);
    drop_oldest(cache, note->want_bytes);
    cache->told += note->want_bytes != 0;
    pthread_mutex_unlock(&cache->lock);
}

static bool put(struct cache *cache)
{
    struct entry *entry = malloc(sizeof(*entry));
    if (entry == NULL)
        return false;
    memset(entry->value, 'x', sizeof(entry->value));
    entry->younger = NULL;
    pthread_mutex_lock(&cache->lock);
    if (ebb_budget_level() != EBB_LEVEL_GREEN)
        drop_oldest(cache, sizeof(*entry));
    *(cache->oldest != NULL ? &cache->youngest->younger : &cache->oldest) = entry;
    cache->youngest = entry;
    cache->bytes += sizeof(*entry);
    pthread_mutex_unlock(&cache->lock);
    return true;
}

static void report(struct cache *cache, const char *what)
{
    static const char *const names[] = {"green", "yellow", "orange", "red"};
    pthread_mutex_lock(&cache->lock);
    printf("%s: %zu MiB cached, %zu MiB dropped, asked %u times; %s\n", what, cache->bytes >> 20,
           cache->dropped_bytes >> 20, cache->told, names[ebb_budget_level()]);
    pthread_mutex_unlock(&cache->lock);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static struct cache cache = {.lock = PTHREAD_MUTEX_INITIALIZER};
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    struct ebb_pressure_subscriber me = {.size_of_struct = sizeof(me),
                                         .least_level = EBB_LEVEL_ORANGE,
                                         .callback = give_way,
                                         .context = &cache};
    unsigned long mib = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
    if (mib == 0) {
        fprintf(stderr, "usage: pressure MIB\n");
        return 2;
    }
    int number = ebb_pressure_subscribe(&me);
    if (number < 0)
        fprintf(stderr, "pressure: nobody will ask for memory: %s\n", strerror(-number));
    for (unsigned long n = 1; n <= mib * ENTRIES_A_MIB && put(&cache); n++) {
        if (n % (64 * ENTRIES_A_MIB) == 0)
            report(&cache, "filling");
        nanosleep(&pause, NULL);
    }
    report(&cache, "full");
    while (getchar() != EOF)
        ;
    report(&cache, "end");
    if (number > 0)
        ebb_pressure_unsubscribe(number); /* waits until nobody is in give_way() */
    drop_oldest(&cache, cache.bytes);
    return 0;
}
