/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: pressure, /proc/stat, uptime and load averages, manifests, and texts with names and numbers. The first byte chooses.
 */
#include "fuzz.h"

#include <string.h>

#include "probe/probe.h"

static void check_fact(struct ebb_fact fact)
{
    FUZZ_CHECK(fact.known || fact.err < 0);
}

static void try_keyed(const char *text, size_t len)
{
    struct ebb_meminfo info;
    struct ebb_vmstat vm;

    if (ebb__meminfo_parse(text, len, &info) == 0) {
#define EBB_MEMINFO(field, key) check_fact(info.field);
#include "probe/meminfo.def"
#undef EBB_MEMINFO
    }
    if (ebb__vmstat_parse(text, len, &vm) == 0) {
#define EBB_VMSTAT(name) check_fact(vm.name);
#include "probe/vmstat.def"
#undef EBB_VMSTAT
    }
}

static void try_host(const char *text, size_t len)
{
    struct ebb_host host;

    if (ebb__host_parse(text, len, &host) != 0)
        return;
    check_fact(host.page_bytes);
    if (host.page_bytes.known)
        FUZZ_CHECK((host.page_bytes.value & (host.page_bytes.value - 1)) == 0 &&
                   host.page_bytes.value >= 4096);
    FUZZ_CHECK(strlen(host.name) < EBB_HOST_TEXT && strlen(host.time) < EBB_HOST_TEXT);
    ebb__host_kernel_is(&host, 6, 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data + 1;
    size_t len = size - 1;
    struct ebb_pressure pressure;
    struct ebb_cpu_stat stat;
    struct ebb_load load = {0};

    if (size == 0)
        return 0;
    switch (data[0] % 5) {
    case 0:
        if (ebb__pressure_parse(text, len, &pressure) == 0)
            check_fact(pressure.some.total_us);
        break;
    case 1:
        if (ebb__cpu_stat_parse(text, len, &stat) == 0)
            FUZZ_CHECK(stat.user_ticks.known && stat.idle_ticks.known);
        break;
    case 2:
        ebb__load_parse_uptime(text, len, &load);
        ebb__load_parse_averages(text, len, &load);
        break;
    case 3:
        try_keyed(text, len);
        break;
    default:
        try_host(text, len);
        break;
    }
    return 0;
}
