/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: the screen of ebb top. Any size, any names, any numbers, any keys: it stays within its grid, and each place holds one
 * character or none.
 */
#include "fuzz.h"

#include <stdio.h>
#include <string.h>

#include "tool/top_screen.h"
#include "tool/utf8.h"

#define PROCS_MAX 24

/* Takes bytes from the input; zeros behind its end. */
static const uint8_t *input;
static size_t input_left;

static void take(void *to, size_t bytes)
{
    size_t here = bytes < input_left ? bytes : input_left;

    memset(to, 0, bytes);
    memcpy(to, input, here);
    input += here;
    input_left -= here;
}

static unsigned take_byte(void)
{
    uint8_t byte;

    take(&byte, 1);
    return byte;
}

static struct ebb_fact take_fact(void)
{
    struct ebb_fact fact = {.known = take_byte() % 4 != 0};

    take(&fact.value, sizeof(fact.value));
    return fact;
}

static void take_proc(struct ebb_proc *proc, pid_t pid)
{
    memset(proc, 0, sizeof(*proc));
    proc->pid = pid;
    take(proc->name, sizeof(proc->name) - 1);
    proc->stat.state = (char)take_byte();
    take(&proc->stat.start_ticks, 2);
    take(&proc->stat.priority, 8);
    take(&proc->stat.policy, 1);
    take(&proc->status.present, 8);
    take(&proc->status.vm_rss_bytes, 8);
    take(&proc->status.vm_swap_bytes, 8);
    take(&proc->status.rss_anon_bytes, 8);
    proc->kernel = take_byte() % 8 == 0;
    proc->oom_score = take_fact();
    proc->oom_adj = take_fact();
    proc->oom_rank = take_byte();
    proc->rates.known = take_byte() % 4 != 0;
    proc->rates.why = "not known";
    take(&proc->rates.cpu_percent, 8);
    take(&proc->rates.minor_per_s, 8);
}

static void check_grid(const struct ebb_top_screen *screen)
{
    for (size_t i = 0; i < (size_t)screen->rows * screen->columns; i++) {
        const struct ebb_top_glyph *glyph = &screen->glyphs[i];

        FUZZ_CHECK(glyph->attr < EBB_TOP_ATTR_COUNT);
        FUZZ_CHECK(glyph->text[0] == '\0' ||
                   (ebb__utf8_len(glyph->text) == strlen(glyph->text) && !ebb__utf8_is_control(glyph->text)));
        FUZZ_CHECK(!screen->ascii || (unsigned char)glyph->text[0] < 0x80);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ebb_proc procs[PROCS_MAX];
    struct ebb_top_facts facts = {0};
    struct ebb_top_state state = {.sort = EBB_PROC_COL_RSS};
    struct ebb_top_list list = {0};
    struct ebb_top_screen screen;

    input = data;
    input_left = size;
    FUZZ_CHECK(ebb__top_screen_init(&screen, take_byte() % 70, take_byte()));
    facts.table.root = "/tree";
    facts.table.procs = procs;
    facts.table.count = facts.table.all = take_byte() % PROCS_MAX;
    facts.table.mem_total_bytes = take_fact();
    facts.table.uptime_ms = take_fact();
    facts.table.host.clock_ticks = take_fact();
    for (size_t i = 0; i < facts.table.count; i++)
        take_proc(&procs[i], (pid_t)i + 1);
    facts.host.free.total_bytes = take_fact();
    facts.host.free.available_bytes = take_fact();
    facts.host.pressure.some.avg10_hundredths = take_fact();
    facts.host.span_ms = take_fact();
    facts.host.reclaim.kswapd = take_fact();
    facts.host.load.avg1_hundredths = take_fact();
    for (unsigned looks = take_byte() % 4; looks > 0; looks--)
        FUZZ_CHECK(ebb__top_tracks_push(&facts.tracks, &facts.table));
    while (!state.quit) {
        unsigned key = take_byte();

        FUZZ_CHECK(ebb__top_list_make(&state, &facts.table, &list));
        ebb__top_settle(&state, &facts.table, &list);
        facts.detail = facts.table;
        facts.detail.count = facts.table.count == 0 ? 0 : 1;
        ebb__top_draw(&screen, &facts, &list, &state);
        check_grid(&screen);
        /* Some bytes are the keys without a character. */
        ebb__top_press(&state, &facts.table, &list, key < 8 ? EBB_TOP_KEY_UP + (int)key : (int)key);
        state.ascii = key % 5 == 0;
        ebb__top_list_fini(&list);
        FUZZ_CHECK(strlen(state.filter) < sizeof(state.filter) && strlen(state.edit) < sizeof(state.edit));
        if (input_left == 0)
            break;
    }
    ebb__top_tracks_fini(&facts.tracks);
    ebb__top_screen_fini(&screen);
    return 0;
}
