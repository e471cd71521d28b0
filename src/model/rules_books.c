/* SPDX-License-Identifier: MIT
 *
 * Rules about what a server's own books say: whether there are any, and whether the pool is as large as its data.
 */
#include "model/rules_priv.h"

static const char *why(const struct ebb_doctor_books *books)
{
    return books->why == NULL ? "the server was not asked" : books->why;
}

/* ---- R21 ---- */

enum ebb_rule_answer ebb__rule_books_off(const struct ebb_doctor_facts *facts, struct ebb_finding *finding)
{
    const struct ebb_doctor_process *process = &facts->process;
    const struct ebb_doctor_books *books = &process->books;
    char text[EBB_UNITS_BYTES];

    if (process->server != EBB_SERVER_MYSQL)
        return EBB_RULE_SILENT;
    if (!books->memory_instruments.known)
        return ebb__finding_lacks(finding, "memory instruments of the performance schema", why(books));
    if (books->memory_instruments.value != 0)
        return EBB_RULE_SILENT;
    ebb__finding_evidence(finding, books->source, "no memory instrument of the performance schema is on");
    if (process->heap.live_bytes.known)
        ebb__finding_evidence(finding, process->heap.source, "%s of live heap cannot be named",
                              ebb__units_bytes(process->heap.live_bytes.value, text));
    ebb__finding_advise_good(finding, "in the option file: performance_schema=ON and "
                                      "performance_schema_instrument='memory/%%=ON', and a restart");
    ebb__finding_gain(finding, "ebb explain names whose the live heap is");
    return EBB_RULE_FIRES;
}

/* ---- R22 ---- */

enum ebb_rule_answer ebb__rule_pool_size(const struct ebb_doctor_facts *facts, struct ebb_finding *finding)
{
    const struct ebb_doctor_process *process = &facts->process;
    const struct ebb_doctor_books *books = &process->books;
    uint64_t pool;
    uint64_t data;
    uint64_t uptime;
    char text[2][EBB_UNITS_BYTES];

    if (process->server != EBB_SERVER_MYSQL)
        return EBB_RULE_SILENT;
    if (!books->pool_bytes.known || !books->pool_data_bytes.known || !books->uptime_s.known)
        return ebb__finding_lacks(finding, "size and data of the buffer pool", why(books));
    pool = books->pool_bytes.value;
    data = books->pool_data_bytes.value;
    uptime = books->uptime_s.value;
    if (uptime < EBB_LIMIT_POOL_UPTIME_HOURS * 3600U || ebb__is_share(data, pool, EBB_LIMIT_POOL_DATA))
        return EBB_RULE_SILENT;
    ebb__finding_severity(finding, EBB_SEVERITY_WARNING);
    ebb__finding_evidence(finding, books->source, "%s of the pool's %s hold data (%.0f %%), after %llu hours",
                          ebb__units_bytes(data, text[0]), ebb__units_bytes(pool, text[1]),
                          ebb__share_of(data, pool), (unsigned long long)(uptime / 3600));
    ebb__finding_advise_now(finding, "in SQL: SET GLOBAL innodb_buffer_pool_size = %llu;",
                            (unsigned long long)data + data / 4);
    ebb__finding_advise_good(finding, "the same innodb_buffer_pool_size in the option file");
    ebb__finding_gain(finding, "%s for caches and sessions",
                      ebb__units_bytes(pool - data - data / 4, text[0]));
    return EBB_RULE_FIRES;
}
