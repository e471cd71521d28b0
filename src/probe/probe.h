/* SPDX-License-Identifier: MIT
 *
 * Door of src/probe: facts about processes and program files, read from outside, without stopping anybody.
 *
 * Each source of facts is a pure parser, which takes text and a length and knows nothing of files, and a thin
 * reader, which takes a root directory: "" is the live host, anything else is a captured tree that looks like
 * it (ROOT/proc/PID/...). A fact that the source does not hold is absent, never 0.
 *
 * Nothing here prints or sleeps, and memory is allocated only by libelf (elf_file.c) and for open directories (procs.c, cgroup.c).
 * Readers open with O_NONBLOCK, so that a captured tree with a FIFO in it cannot hang them. On a live host
 * the kernel itself can still make a read of maps wait for the address space lock of the process that is
 * looked at.
 */
#ifndef EBB_PROBE_PROBE_H
#define EBB_PROBE_PROBE_H

#include "probe/auxv.h"
#include "probe/buddyinfo.h"
#include "probe/cgroup.h"
#include "probe/cpu_stat.h"
#include "probe/elf_file.h"
#include "probe/fact.h"
#include "probe/file.h"
#include "probe/glibc.h"
#include "probe/host.h"
#include "probe/keyed.h"
#include "probe/lines.h"
#include "probe/linkmap.h"
#include "probe/load.h"
#include "probe/lru_gen.h"
#include "probe/maps.h"
#include "probe/meminfo.h"
#include "probe/oom_log.h"
#include "probe/pages.h"
#include "probe/peek.h"
#include "probe/pressure.h"
#include "probe/proc.h"
#include "probe/procs.h"
#include "probe/scan.h"
#include "probe/smaps.h"
#include "probe/sockets.h"
#include "probe/stat.h"
#include "probe/status.h"
#include "probe/swaps.h"
#include "probe/unit.h"
#include "probe/vma_query.h"
#include "probe/vmstat.h"
#include "probe/zoneinfo.h"

#endif
