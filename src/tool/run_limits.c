/* SPDX-License-Identifier: MIT
 *
 * Limits of ebb run as options of the allocator; see run_limits.h.
 */
#include "tool/run_limits.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/units.h"

#define BUDGET_PREFIX "cgroup:"

/* 1 to 100, or 0 when it is no cgroup:PERCENT%. */
static unsigned budget_percent(const char *text)
{
    char *end;
    unsigned long percent;

    if (strncmp(text, BUDGET_PREFIX, strlen(BUDGET_PREFIX)) != 0)
        return 0;
    text += strlen(BUDGET_PREFIX);
    if (text[0] < '0' || text[0] > '9')
        return 0;
    percent = strtoul(text, &end, 10);
    return strcmp(end, "%") == 0 && percent <= 100 ? (unsigned)percent : 0;
}

static uint64_t size_of(const char *text)
{
    uint64_t bytes = 0;

    if (text == NULL || ebb__units_parse_bytes(text, &bytes) != 0)
        return 0;
    return bytes;
}

const char *ebb__run_limits_check(const struct ebb_run_limits *limits, char *ret_why, size_t why_bytes)
{
    uint64_t limit = size_of(limits->limit);
    uint64_t hard_limit = size_of(limits->hard_limit);

    if (limits->limit != NULL && limit == 0)
        snprintf(ret_why, why_bytes, "--limit: '%s' is no size above 0, such as 512M", limits->limit);
    else if (limits->hard_limit != NULL && hard_limit == 0)
        snprintf(ret_why, why_bytes, "--hard-limit: '%s' is no size above 0, such as 600M",
                 limits->hard_limit);
    else if (limit > INT64_MAX || hard_limit > INT64_MAX)
        snprintf(ret_why, why_bytes, "a limit of more than 8 EiB is none");
    else if (limit != 0 && hard_limit != 0 && limit > hard_limit)
        snprintf(ret_why, why_bytes, "--limit is above --hard-limit, so it would never be met");
    else if (limits->budget != NULL && budget_percent(limits->budget) == 0)
        snprintf(ret_why, why_bytes,
                 "--budget: '%s' is not cgroup:PERCENT%% with 1 to 100, such as cgroup:90%%", limits->budget);
    else
        return NULL;
    return ret_why;
}

char *ebb__run_limits_join(const struct ebb_run_limits *limits, const char *malloc_options)
{
    const char *before = malloc_options != NULL ? malloc_options : getenv("EBB_MALLOC");
    uint64_t limit = size_of(limits->limit);
    uint64_t hard_limit = size_of(limits->hard_limit);
    size_t bytes;
    char *text = NULL;
    FILE *out;

    if (limits->limit == NULL && limits->hard_limit == NULL && limits->budget == NULL)
        return malloc_options == NULL ? NULL : strdup(malloc_options);
    out = open_memstream(&text, &bytes);
    if (out == NULL)
        return NULL;
    fputs(before == NULL ? "" : before, out);
    if (limits->limit != NULL)
        fprintf(out, ",limit:%" PRIu64, limit);
    if (limits->hard_limit != NULL)
        fprintf(out, ",hard_limit:%" PRIu64, hard_limit);
    if (limits->budget != NULL)
        fprintf(out, ",budget:%u", budget_percent(limits->budget));
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
