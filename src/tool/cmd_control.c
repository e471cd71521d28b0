/* SPDX-License-Identifier: MIT
 *
 * ebb control: asks the background thread of a process on ebb to do something, and waits for the answer.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "model/units.h"
#include "tool/cmd.h"
#include "tool/page.h"
#include "tool/request.h"
#include "tool/target.h"

static struct {
    long timeout_ms;
} options = {.timeout_ms = 2000};

static const char *const SYNOPSIS[] = {"[OPTION...] TARGET purge|trim|refresh",
                                       "[OPTION...] TARGET set NAME=VALUE", NULL};
static const char *const OPERANDS[] = {"purge", "trim", "refresh", "set", NULL};

static const struct ebb_opt ROWS[] = {
    {'t', "timeout", EBB_OPT_DURATION, "TIME", "wait this long for the answer (default 2s)",
     &options.timeout_ms},
    {0},
};

const struct ebb_opt_spec ebb__spec_control = {
    .command = "control",
    .synopsis = SYNOPSIS,
    .rows = ROWS,
    .operands = OPERANDS,
};

/* ---- what is asked for ---- */

struct order {
    const char *word; /* of OPERANDS */
    struct ebb_wire_request request;
    const char *setting; /* its name, for set */
};

static int complain_setting(const char *text)
{
    fprintf(stderr, "ebb control: '%s' cannot be set in a running process; these can:", text);
    for (unsigned i = 0; i < EBB_WIRE_SETTING_COUNT; i++)
        fprintf(stderr, " %s", ebb__wire_setting(i).name);
    fputc('\n', stderr);
    return EBB_EXIT_USAGE;
}

/* Takes NAME=VALUE. */
static int parse_setting(const char *text, struct order *ret_order)
{
    struct ebb_wire_setting setting;
    char min[EBB_UNITS_BYTES];
    char max[EBB_UNITS_BYTES];
    const char *equals = strchr(text, '=');

    if (equals == NULL)
        return ebb__opt_usage(&ebb__spec_control, "'%s' is not NAME=VALUE", text);
    if (!ebb__wire_setting_named(text, (size_t)(equals - text), &setting))
        return complain_setting(text);
    if (ebb__units_parse_bytes(equals + 1, &ret_order->request.value) != 0 ||
        ret_order->request.value < setting.min || ret_order->request.value > setting.max)
        return ebb__opt_usage(&ebb__spec_control, "%s: '%s' is not a number of bytes from %s to %s",
                              setting.name, equals + 1, ebb__units_bytes(setting.min, min),
                              ebb__units_bytes(setting.max, max));
    if (ret_order->request.value % setting.unit != 0)
        return ebb__opt_usage(&ebb__spec_control, "%s: '%s' is not a multiple of %s", setting.name,
                              equals + 1, ebb__units_bytes(setting.unit, min));
    ret_order->request.setting = setting.id;
    ret_order->setting = setting.name;
    return EBB_EXIT_OK;
}

/* Takes what follows TARGET. */
static int parse_order(int argc, char **argv, struct order *ret_order)
{
    static const struct {
        const char *word;
        enum ebb_wire_op op;
    } WORDS[] = {{"purge", EBB_WIRE_PURGE},
                 {"trim", EBB_WIRE_TRIM},
                 {"refresh", EBB_WIRE_REFRESH},
                 {"set", EBB_WIRE_SET}};

    for (unsigned i = 0; argc > 0 && i < sizeof(WORDS) / sizeof(WORDS[0]); i++) {
        if (strcmp(argv[0], WORDS[i].word) != 0)
            continue;
        ret_order->word = WORDS[i].word;
        ret_order->request.op = WORDS[i].op;
        if (WORDS[i].op == EBB_WIRE_SET)
            return argc == 2 ? parse_setting(argv[1], ret_order)
                             : ebb__opt_usage(&ebb__spec_control, "set needs one NAME=VALUE");
        return argc == 1 ? EBB_EXIT_OK : ebb__opt_usage(&ebb__spec_control, "%s takes nothing more", argv[0]);
    }
    if (argc == 0)
        return ebb__opt_usage(&ebb__spec_control, "which process, and what? purge, trim, refresh or set");
    return ebb__opt_usage(&ebb__spec_control, "'%s' is not purge, trim, refresh or set", argv[0]);
}

/* ---- asking ---- */

static bool rss_of(pid_t pid, uint64_t *ret_bytes)
{
    struct ebb_status status;

    if (ebb__status_read("", pid, &status) != 0 || !ebb__status_has(&status, EBB_STATUS_VM_RSS))
        return false;
    *ret_bytes = status.vm_rss_bytes;
    return true;
}

static int report_answer(const struct ebb_target *target, const struct order *order, int64_t result,
                         uint64_t took_us)
{
    char text[EBB_UNITS_BYTES];
    char time[EBB_UNITS_BYTES];

    if (result < 0) {
        fprintf(
            stderr, "ebb control: %s (pid %d) refused %s: %s\n", target->name, (int)target->pid, order->word,
            result == -ENOTSUP ? "its version of the library does not know that" : strerror((int)-result));
        return EBB_EXIT_FAILED;
    }
    printf("%s (pid %d): %s, ", target->name, (int)target->pid, order->word);
    switch (order->request.op) {
    case EBB_WIRE_PURGE:
    case EBB_WIRE_TRIM:
        printf("%s given back", ebb__units_bytes((uint64_t)result, text));
        break;
    case EBB_WIRE_SET:
        printf("%s is %s now", order->setting, ebb__units_bytes(order->request.value, text));
        break;
    default:
        printf("the summary is new");
        break;
    }
    printf(", after %s", ebb__units_ms(took_us / 1000, time));
    return EBB_EXIT_OK;
}

static int carry_out(const struct ebb_target *target, struct ebb_page *page, const struct order *order)
{
    struct ebb_request_answer answer;
    char from[EBB_UNITS_BYTES];
    char to[EBB_UNITS_BYTES];
    char change[EBB_UNITS_BYTES];
    uint64_t rss_before = 0;
    uint64_t rss_after = 0;
    bool has_rss = rss_of(target->pid, &rss_before);
    int status = ebb__request(target, page, &order->request, options.timeout_ms, &answer);

    if (status == EBB_EXIT_OK)
        status = report_answer(target, order, answer.result, answer.took_us);
    if (status != EBB_EXIT_OK)
        return status;
    if (has_rss && rss_of(target->pid, &rss_after))
        printf("; RSS %s -> %s (%s)", ebb__units_bytes(rss_before, from), ebb__units_bytes(rss_after, to),
               ebb__units_change(rss_before, rss_after, change));
    putchar('\n');
    return EBB_EXIT_OK;
}

int ebb__cmd_control(int argc, char **argv)
{
    struct order order = {.word = NULL};
    struct ebb_target target;
    struct ebb_page page;
    int first;
    int status;
    int err;

    if (!ebb__opt_parse(&ebb__spec_control, argc, argv, &first, &status))
        return status;
    status = first == argc ? parse_order(0, NULL, &order)
                           : parse_order(argc - first - 1, argv + first + 1, &order);
    if (status == EBB_EXIT_OK)
        status = ebb__target_find("control", "", argv[first], &target);
    if (status != EBB_EXIT_OK)
        return status;
    err = ebb__page_find(target.pid, &page);
    if (err == -ENOENT || err == -EBADMSG) {
        fprintf(stderr, "ebb control: %s (pid %d) %s\n", target.name, (int)target.pid,
                err == -ENOENT ? "is not on ebb, or on one without a stats page; 'ebb heap' says more"
                               : "has a stats page that is damaged");
        return EBB_EXIT_FAILED;
    }
    if (err != 0)
        return ebb__target_failed(&target, err);
    status = carry_out(&target, &page, &order);
    ebb__page_fini(&page);
    return status;
}
