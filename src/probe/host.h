/* SPDX-License-Identifier: MIT
 *
 * What the other numbers of a host are counted in: the size of its pages, the length of its clock ticks, its processors and kernel.
 *
 * The live host is asked by sysconf(3) and uname(2). A captured tree, which may come from another kind of machine, holds them in
 * the file MANIFEST at its root:
 *
 *     ebb capture 1
 *     time: 2026-11-24T15:58:00Z
 *     host: db1
 *     kernel: 6.1.0-18-arm64
 *     machine: aarch64
 *     page_bytes: 65536
 *     clock_ticks: 100
 *     processors: 4
 *     left out: proc/1/maps: needs CAP_SYS_PTRACE or the same user
 *
 * A tree without it still has a release and processors when it has /proc/sys/kernel/osrelease and /proc/stat, but the size of its
 * pages is not known, and is not taken for ours.
 */
#ifndef EBB_PROBE_HOST_H
#define EBB_PROBE_HOST_H

#include <stdbool.h>
#include <stddef.h>

#include "probe/fact.h"

#define EBB_HOST_MANIFEST "/MANIFEST"
#define EBB_HOST_TEXT     128

struct ebb_host {
    struct ebb_fact page_bytes;
    struct ebb_fact clock_ticks; /* for each second: times in /proc/stat and /proc/PID/stat are in ticks */
    struct ebb_fact processors;  /* online */
    char name[EBB_HOST_TEXT];    /* "" when it is not known, as the others */
    char release[EBB_HOST_TEXT]; /* "6.1.0-18-amd64" */
    char machine[EBB_HOST_TEXT]; /* "x86_64" */
    char time[EBB_HOST_TEXT];    /* when the tree was captured, as the manifest says; "" for the live host */
};

/* 0, or -EBADMSG when the text is no manifest. What a line is missing for stays unknown. */
int ebb__host_parse(const char *text, size_t len, struct ebb_host *ret_host);

/* True when the root is this host: "" or slashes only. */
bool ebb__host_is_live(const char *root);

/* Of the live host, or of a captured tree. Always returns something; what cannot be told is unknown. */
void ebb__host_read(const char *root, struct ebb_host *ret_host);

/* True when the release is known to be major.minor or later. */
bool ebb__host_kernel_is(const struct ebb_host *host, unsigned major, unsigned minor);

#endif
