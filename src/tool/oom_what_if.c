/* SPDX-License-Identifier: MIT
 *
 * ebb oom --what-if: the same judgement on processes and limits that are not so yet.
 */
#include <stdio.h>
#include <string.h>

#include "model/units.h"
#include "probe/scan.h"
#include "tool/cmd.h"
#include "tool/oom.h"
#include "tool/target.h"

/* "WHO=VALUE" in two. */
static bool split(const char *text, char *ret_who, size_t who_bytes, const char **ret_value)
{
    const char *equals = strrchr(text, '=');

    if (equals == NULL || equals == text || equals[1] == '\0' || (size_t)(equals - text) >= who_bytes)
        return false;
    memcpy(ret_who, text, (size_t)(equals - text));
    ret_who[equals - text] = '\0';
    *ret_value = equals + 1;
    return true;
}

static int find(const struct ebb_oom_facts *facts, const char *who, size_t *ret_index)
{
    struct ebb_target target;
    int status = ebb__target_find("oom", facts->root, who, &target);

    if (status != EBB_EXIT_OK)
        return status;
    *ret_index = ebb__oom_facts_find(facts, target.pid);
    if (*ret_index < facts->count)
        return EBB_EXIT_OK;
    fprintf(stderr, "ebb oom: there is no process %d\n", (int)target.pid);
    return EBB_EXIT_NO_TARGET;
}

static int what_if_adj(const struct ebb_opt_spec *spec, struct ebb_oom_facts *facts, const char *who,
                       const char *value)
{
    struct ebb_scan scan = {.at = value, .end = value + strlen(value)};
    bool negative = ebb__scan_char(&scan, '-');
    uint64_t adj;
    size_t index;
    int status;

    if (!ebb__scan_dec(&scan, &adj) || scan.at != scan.end || adj > EBB_OOM_ADJ_MAX)
        return ebb__opt_usage(spec, "--what-if: '%s' is not a number from -1000 to 1000", value);
    status = find(facts, who, &index);
    if (status == EBB_EXIT_OK)
        facts->tasks[index].adj = negative ? -(int)adj : (int)adj;
    return status;
}

static int what_if_grow(const struct ebb_opt_spec *spec, struct ebb_oom_facts *facts, const char *who,
                        const char *value)
{
    uint64_t bytes;
    size_t index;
    int status;

    if (ebb__units_parse_bytes(value[0] == '+' ? value + 1 : value, &bytes) != 0)
        return ebb__opt_usage(spec, "--what-if: '%s' is not a size such as 512M or 1G", value);
    status = find(facts, who, &index);
    if (status == EBB_EXIT_OK && __builtin_add_overflow(facts->processes[index].grow_bytes, bytes,
                                                        &facts->processes[index].grow_bytes))
        facts->processes[index].grow_bytes = UINT64_MAX;
    return status;
}

static int what_if_limit(const struct ebb_opt_spec *spec, struct ebb_oom_facts *facts, const char *who,
                         const char *value)
{
    struct ebb_cgroup_tree tree;
    char path[EBB_CGROUP_PATH_BYTES];
    bool has_path = who[0] == '/' || ebb__target_is_group(who);
    struct ebb_oom_group *group;
    uint64_t bytes;
    int status;

    if (ebb__units_parse_bytes(value, &bytes) != 0)
        return ebb__opt_usage(spec, "--what-if: '%s' is not a size such as 512M or 1G", value);
    status = has_path ? ebb__target_find_cgroup("oom", facts->root, who, &tree, path) : EBB_EXIT_OK;
    if (status != EBB_EXIT_OK)
        return status;
    group = ebb__oom_facts_group(facts, has_path ? path : who);
    if (group == NULL) {
        fprintf(stderr, "ebb oom: there is no memory cgroup '%s'\n", who);
        return EBB_EXIT_NO_TARGET;
    }
    group->facts.limit_bytes = ebb__fact(bytes);
    return EBB_EXIT_OK;
}

int ebb__oom_what_if(const struct ebb_opt_spec *spec, const struct ebb_opt_list *what_if,
                     struct ebb_oom_facts *facts)
{
    static const struct {
        const char *word;
        int (*apply)(const struct ebb_opt_spec *, struct ebb_oom_facts *, const char *, const char *);
    } KINDS[] = {{"adj:", what_if_adj}, {"grow:", what_if_grow}, {"limit:", what_if_limit}};

    for (unsigned i = 0; i < what_if->count; i++) {
        char who[EBB_CGROUP_PATH_BYTES];
        const char *value;
        const char *text = what_if->items[i];
        unsigned kind = 0;
        int status;

        while (kind < 3 && strncmp(text, KINDS[kind].word, strlen(KINDS[kind].word)) != 0)
            kind++;
        if (kind == 3 || !split(text + strlen(KINDS[kind].word), who, sizeof(who), &value))
            return ebb__opt_usage(
                spec, "--what-if: '%s' is not adj:PID=N, grow:PID=SIZE or limit:CGROUP=SIZE", text);
        status = KINDS[kind].apply(spec, facts, who, value);
        if (status != EBB_EXIT_OK)
            return status;
    }
    return EBB_EXIT_OK;
}
