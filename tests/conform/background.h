/* SPDX-License-Identifier: MIT
 *
 * What the tests of a background thread share: how many threads there are, whether one of them is the library's, what it
 * does, and how much memory the process holds. Nothing here allocates.
 */
#ifndef CONFORM_BACKGROUND_H
#define CONFORM_BACKGROUND_H

#include "conform/conform.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BACKGROUND_THREAD_NAME "ebb"

static inline void pause_ms(long ms)
{
    struct timespec rest = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&rest, &rest) != 0) {
    }
}

static inline long long clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The bytes of a small file, with a zero behind them; 0 when it cannot be read. */
static inline size_t read_text(const char *path, char *text, size_t room)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = file >= 0 ? read(file, text, room - 1) : -1;
    if (file >= 0) {
        close(file);
    }
    text[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

/* The number behind a field of /proc/self/task/TID/status; of the process's own with tid 0. -1: none. */
static inline long status_number(int tid, const char *field)
{
    char path[64];
    char text[4096];
    if (tid == 0) {
        (void)snprintf(path, sizeof(path), "/proc/self/status");
    } else {
        (void)snprintf(path, sizeof(path), "/proc/self/task/%d/status", tid);
    }
    if (read_text(path, text, sizeof(text)) == 0) {
        return -1;
    }
    const char *at = strstr(text, field);
    return at != NULL ? strtol(at + strlen(field), NULL, 10) : -1;
}

static inline long thread_count(void)
{
    return status_number(0, "\nThreads:");
}

static inline long resident_kib(void)
{
    return status_number(0, "\nVmRSS:");
}

/* The library's thread, or 0. */
static inline int background_tid(void)
{
    char names[4096];
    int found = 0;
    int folder = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    long n = 0;
    while (folder >= 0 && found == 0 && (n = syscall(SYS_getdents64, folder, names, sizeof(names))) > 0) {
        for (long at = 0; at < n && found == 0;) {
            const struct dirent64 *entry = (const void *)(names + at);
            char path[300];
            char name[32];
            at += entry->d_reclen;
            (void)snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
            if (entry->d_name[0] != '.' && read_text(path, name, sizeof(name)) != 0 &&
                strcmp(name, BACKGROUND_THREAD_NAME "\n") == 0) {
                found = (int)strtol(entry->d_name, NULL, 10);
            }
        }
    }
    if (folder >= 0) {
        close(folder);
    }
    return found;
}

/* Waits until the thread is there. */
static inline int await_background(long ms)
{
    long long end_ms = clock_ms() + ms;
    int tid = background_tid();
    while (tid == 0 && clock_ms() < end_ms) {
        pause_ms(10);
        tid = background_tid();
    }
    return tid;
}

/* Takes memory in blocks of many sizes, writes to all of it, and frees it. Returns false when memory was refused. */
static inline bool use_memory(size_t bytes, uint64_t seed)
{
    enum { BLOCKS_MAX = 40000 };
    static _Thread_local void **blocks;
    size_t count = 0;
    size_t sum = 0;
    blocks = malloc(BLOCKS_MAX * sizeof(*blocks));
    if (blocks == NULL) {
        return false;
    }
    while (sum < bytes && count < BLOCKS_MAX) {
        size_t size = conform_between(&seed, 16, (size_t)1 << conform_between(&seed, 8, 17));
        if ((blocks[count] = malloc(size)) == NULL) {
            break;
        }
        memset(blocks[count++], 0x5a, size);
        sum += size;
    }
    bool enough = sum >= bytes || count == BLOCKS_MAX;
    while (count-- != 0) {
        free(blocks[count]);
    }
    free(blocks);
    return enough;
}

static inline void skip_without_library(void)
{
    if (!conform_is_preloaded()) {
        conform_skip("the C library has no background thread");
    }
}

#endif
