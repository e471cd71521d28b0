/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: the kernel's messages about memory that ran out. Walks end, names end, tables stay within the text.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "probe/probe.h"

#define ENDS(field) FUZZ_CHECK(memchr(field, '\0', sizeof(field)) != NULL)

static void check_table(const struct ebb_oom_kill *kill, const char *begin, const char *end)
{
    struct ebb_oom_rows rows;
    struct ebb_oom_row row;
    size_t count = 0;

    if (kill->table != NULL)
        FUZZ_CHECK(kill->table >= begin && kill->table <= kill->table_end && kill->table_end <= end);
    ebb__oom_rows_init(kill, &rows);
    while (ebb__oom_rows_next(&rows, &row)) {
        ENDS(row.name);
        count++;
    }
    FUZZ_CHECK(count == kill->row_count);
}

/* What is kept is no more than there was, and is kept as it is the next time. */
static void check_keeping(const char *begin, size_t size)
{
    char *text = malloc(size + 1);
    size_t kept;

    FUZZ_CHECK(text != NULL);
    memcpy(text, begin, size);
    kept = ebb__oom_log_keep_kills(text, size);
    FUZZ_CHECK(kept <= size);
    FUZZ_CHECK(ebb__oom_log_keep_kills(text, kept) == kept);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ebb_oom_kill kill;
    struct ebb_oom_log log;
    const char *begin = (const char *)data;
    size_t count = 0;

    ebb__oom_log_init(&log, begin, size);
    while (ebb__oom_log_next(&log, &kill)) {
        FUZZ_CHECK(++count <= size);
        ENDS(kill.name);
        ENDS(kill.invoker);
        ENDS(kill.oom_memcg);
        ENDS(kill.task_memcg);
        ENDS(kill.group);
        ENDS(kill.stamp.text);
        FUZZ_CHECK(kill.truncated == (kill.truncated_why != NULL));
        check_table(&kill, begin, begin + size);
        ebb__oom_kill_page_bytes(&kill);
    }
    check_keeping(begin, size);
    return 0;
}
