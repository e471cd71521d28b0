/* SPDX-License-Identifier: MIT
 *
 * ebb doctor: what is wrong with the memory of a server and of its host, why, and what to do about it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tool/cmd.h"
#include "tool/doctor.h"

/* With --exit-code. */
#define EXIT_WARNING   10
#define EXIT_CRITICAL  11
#define EXIT_UNKNOWN   12
/* What monitoring plugins return when they could not look. */
#define NAGIOS_UNKNOWN 3

static struct {
    bool all;
    bool deep;
    bool no_sql;
    long between_ms;
    struct ebb_opt_list suppress;
    bool fix_script;
    bool exit_code;
    bool nagios;
    bool list;
    const char *explain;
    struct ebb_output output;
} options = {.between_ms = 1000};

static const char *const SYNOPSIS[] = {"[OPTION...] TARGET", "[OPTION...] --all", "--list", "--explain RULE",
                                       NULL};

static const struct ebb_opt ROWS[] = {
    {'a', "all", EBB_OPT_FLAG, NULL, "the host, all servers that ebb knows by name, and what is large",
     &options.all},
    {'d', "deep", EBB_OPT_FLAG, NULL, "read all pages of the process, however long that takes",
     &options.deep},
    {'\0', "no-sql", EBB_OPT_FLAG, NULL, "ask no server", &options.no_sql},
    {'b', "between", EBB_OPT_DURATION, "DURATION", "between the two looks at what rises, 1s if not given",
     &options.between_ms},
    {'s', "suppress", EBB_OPT_LIST, "RULES", "do not ask these, such as R07,no-swap", &options.suppress},
    {'f', "fix-script", EBB_OPT_FLAG, NULL, "print a script that does what is advised; nothing is run",
     &options.fix_script},
    {'x', "exit-code", EBB_OPT_FLAG, NULL,
     "exit with 10 for a warning, 11 for worse, 12 when facts are missing", &options.exit_code},
    {'n', "nagios", EBB_OPT_FLAG, NULL, "one line and the exit status of a monitoring plugin",
     &options.nagios},
    {'l', "list", EBB_OPT_FLAG, NULL, "list the rules", &options.list},
    {'e', "explain", EBB_OPT_TEXT, "RULE", "show a rule with its thresholds", &options.explain},
    EBB_OUTPUT_ROWS(options.output),
    {0},
};

const struct ebb_opt_spec ebb__spec_doctor = {
    .command = "doctor",
    .synopsis = SYNOPSIS,
    .rows = ROWS,
};

/* ---- what is asked for ---- */

static int parse_suppressed(uint64_t *ret_bits, unsigned *ret_count)
{
    for (unsigned i = 0; i < options.suppress.count; i++) {
        const char *at = options.suppress.items[i];

        while (*at != '\0') {
            size_t len = strcspn(at, ",");
            char name[64];
            enum ebb_rule_id id = EBB_RULE_COUNT;

            if (len < sizeof(name)) {
                memcpy(name, at, len);
                name[len] = '\0';
                id = ebb__rule_find(name);
            }
            if (id == EBB_RULE_COUNT)
                return ebb__opt_usage(&ebb__spec_doctor, "--suppress: '%.*s' is not a rule (see --list)",
                                      (int)len, at);
            *ret_count += (*ret_bits & UINT64_C(1) << id) == 0;
            *ret_bits |= UINT64_C(1) << id;
            at += len + (at[len] == ',');
        }
    }
    return EBB_EXIT_OK;
}

static int check_form(int count)
{
    if (options.list || options.explain != NULL)
        return count == 0 && !options.all ? EBB_EXIT_OK
                                          : ebb__opt_usage(&ebb__spec_doctor, "--%s takes no target",
                                                           options.list ? "list" : "explain");
    if (options.all && count != 0)
        return ebb__opt_usage(&ebb__spec_doctor, "--all takes no target");
    if (!options.all && count != 1)
        return ebb__opt_usage(&ebb__spec_doctor, "which process? a pid, a name, pidfile:PATH, or --all");
    if (options.nagios + options.fix_script + (options.output.json || options.output.format != NULL) > 1)
        return ebb__opt_usage(&ebb__spec_doctor, "--nagios, --fix-script and formats exclude each other");
    return EBB_EXIT_OK;
}

/* ---- whom ---- */

struct patients {
    unsigned count;
    unsigned capacity;
    struct ebb_target *targets;
    struct ebb_doctor_first *firsts;
};

static int add_patient(struct patients *patients, const struct ebb_target *target)
{
    if (patients->count == patients->capacity) {
        unsigned capacity = patients->capacity == 0 ? 16 : 2 * patients->capacity;
        struct ebb_target *targets = reallocarray(patients->targets, capacity, sizeof(*targets));
        struct ebb_doctor_first *firsts;

        if (targets == NULL)
            return -ENOMEM;
        patients->targets = targets;
        firsts = reallocarray(patients->firsts, capacity, sizeof(*firsts));
        if (firsts == NULL)
            return -ENOMEM;
        patients->firsts = firsts;
        patients->capacity = capacity;
    }
    patients->targets[patients->count++] = *target;
    return 0;
}

/* A server, or large; not the children of a server, which are like it and share its memory. */
static bool is_patient(const char *root, pid_t pid, struct ebb_target *target)
{
    struct ebb_status status;
    char parent[EBB_STATUS_NAME_BYTES];

    if ((root[0] == '\0' && pid == getpid()) || ebb__status_read(root, pid, &status) != 0 ||
        !ebb__status_has(&status, EBB_STATUS_VM_RSS))
        return false;
    target->pid = pid;
    ebb__target_name(root, pid, target->name, sizeof(target->name));
    if (ebb__doctor_server(target->name) == EBB_SERVER_NONE &&
        status.vm_rss_bytes < (uint64_t)EBB_LIMIT_ALL_RSS << 20)
        return false;
    if (!ebb__status_has(&status, EBB_STATUS_PPID) || status.ppid == 0)
        return true;
    ebb__target_name(root, (pid_t)status.ppid, parent, sizeof(parent));
    return strcmp(parent, target->name) != 0;
}

static int find_all(const char *root, struct patients *patients)
{
    struct ebb_procs procs;
    pid_t pid;
    int err = ebb__procs_open(&procs, root);

    if (err != 0)
        return err;
    while (err == 0 && (pid = ebb__procs_next(&procs)) != 0) {
        struct ebb_target target = {.command = "doctor", .root = root};

        if (is_patient(root, pid, &target))
            err = add_patient(patients, &target);
    }
    ebb__procs_close(&procs);
    return err;
}

static int find(const char *root, int count, char **operands, struct patients *patients)
{
    struct ebb_target target;
    int status;
    int err;

    if (count == 0) {
        err = find_all(root, patients);
    } else {
        status = ebb__target_find("doctor", root, operands[0], &target);
        if (status != EBB_EXIT_OK)
            return status;
        err = add_patient(patients, &target);
    }
    if (err == 0)
        return EBB_EXIT_OK;
    fprintf(stderr, "ebb doctor: cannot list processes: %s\n", strerror(-err));
    return EBB_EXIT_FAILED;
}

/* ---- looking ---- */

/* Two looks at everybody at once. */
static int look(struct ebb_doctor_run *run, struct patients *patients)
{
    int err;

    ebb__doctor_first_look(run);
    if (options.between_ms == 0)
        run->has_before = false;
    for (unsigned i = 0; i < patients->count; i++)
        ebb__doctor_process_first(run, &patients->targets[i], &patients->firsts[i]);
    if (run->has_before)
        ebb__doctor_watch(run, patients->targets, patients->firsts, patients->count,
                          (uint64_t)options.between_ms);
    err = ebb__doctor_second_look(run);
    if (err == 0)
        return EBB_EXIT_OK;
    fprintf(stderr, "ebb doctor: cannot read %s/proc: %s\n", run->root, strerror(-err));
    return EBB_EXIT_FAILED;
}

/* With --all the host is a case of its own; of a single process, its part of it. */
static int judge(const struct ebb_doctor_run *run, const struct patients *patients, uint64_t suppressed,
                 struct ebb_doctor_report *report)
{
    int err = 0;

    report->cases = calloc(patients->count + 1U, sizeof(*report->cases));
    if (report->cases == NULL)
        err = -ENOMEM;
    if (err == 0 && options.all) {
        err = ebb__doctor_judge(run, NULL, NULL, true, suppressed, &report->cases[0]);
        report->case_count += err == 0;
    }
    for (unsigned i = 0; err == 0 && i < patients->count; i++) {
        err = ebb__doctor_judge(run, &patients->targets[i], &patients->firsts[i], !options.all, suppressed,
                                &report->cases[report->case_count]);
        report->case_count += err == 0;
        /* Who ends meanwhile is no patient any more. */
        if (err == -ESRCH && options.all)
            err = 0;
        else if (err != 0 && err != -ENOMEM)
            return ebb__target_failed(&patients->targets[i], err);
    }
    if (err == 0)
        return EBB_EXIT_OK;
    fprintf(stderr, "ebb doctor: %s\n", strerror(-err));
    return EBB_EXIT_FAILED;
}

static int exit_code(const struct ebb_doctor_report *report)
{
    struct ebb_doctor_counts counts;

    if (!options.exit_code)
        return EBB_EXIT_OK;
    ebb__doctor_count(report, &counts);
    if (counts.of[EBB_SEVERITY_CRITICAL] != 0)
        return EXIT_CRITICAL;
    if (counts.of[EBB_SEVERITY_WARNING] != 0)
        return EXIT_WARNING;
    return counts.unsure ? EXIT_UNKNOWN : EBB_EXIT_OK;
}

static int tell(struct ebb_emit *emit, const struct ebb_doctor_report *report)
{
    if (options.nagios)
        return ebb__doctor_nagios(report);
    if (options.fix_script)
        ebb__doctor_script(report);
    else
        ebb__doctor_print(emit, report);
    return exit_code(report);
}

static int examine(struct ebb_emit *emit, const char *root, int count, char **operands)
{
    static struct ebb_doctor_run run;
    struct ebb_doctor_report report = {.case_count = 0};
    struct patients patients = {.count = 0};
    uint64_t suppressed = 0;
    int status = parse_suppressed(&suppressed, &report.rules_suppressed);

    run.root = root;
    run.deep = options.deep;
    run.no_sql = options.no_sql;
    if (status == EBB_EXIT_OK)
        status = find(root, count, operands, &patients);
    if (status == EBB_EXIT_OK)
        status = look(&run, &patients);
    if (status == EBB_EXIT_OK) {
        status = judge(&run, &patients, suppressed, &report);
        if (status == EBB_EXIT_OK)
            status = tell(emit, &report);
        else if (options.nagios)
            status = NAGIOS_UNKNOWN;
        ebb__doctor_run_fini(&run);
    }
    for (unsigned i = 0; i < report.case_count; i++)
        ebb__doctor_case_fini(&report.cases[i]);
    free(report.cases);
    free(patients.targets);
    free(patients.firsts);
    return status;
}

int ebb__cmd_doctor(int argc, char **argv)
{
    static struct ebb_emit emit;
    const char *root;
    int first;
    int status;

    if (!ebb__opt_parse(&ebb__spec_doctor, argc, argv, &first, &status))
        return status;
    status = check_form(argc - first);
    if (status == EBB_EXIT_OK)
        status = ebb__emit_init(&emit, &ebb__spec_doctor, &options.output);
    if (status == EBB_EXIT_OK)
        status = ebb__output_root(&ebb__spec_doctor, &options.output, &root);
    if (status != EBB_EXIT_OK)
        return status;
    if (options.list) {
        ebb__doctor_list(&emit);
        return EBB_EXIT_OK;
    }
    if (options.explain == NULL)
        return examine(&emit, root, argc - first, argv + first);
    if (ebb__rule_find(options.explain) == EBB_RULE_COUNT)
        return ebb__opt_usage(&ebb__spec_doctor, "--explain: '%s' is not a rule (see --list)",
                              options.explain);
    ebb__doctor_explain(&emit, ebb__rule_find(options.explain));
    return EBB_EXIT_OK;
}
