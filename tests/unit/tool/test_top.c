/* SPDX-License-Identifier: MIT
 *
 * The parts of ebb top that need no terminal: histories, keys, lists, and the screen against golden ones in three sizes.
 *
 * EBB_GOLDEN_WRITE=1 writes the golden screens anew; then read them before they are committed.
 */
#include "support.h"

#include <math.h>
#include <unistd.h>

#include "top_scene.h"

/* ---- histories ---- */

static void rings(void)
{
    struct ebb_top_series series = {0};
    double low = 0;
    double high = 0;

    EXPECT(isnan(ebb__top_series_at(&series, 0)));
    EXPECT(!ebb__top_series_range(&series, EBB_TOP_SAMPLES, &low, &high));
    for (unsigned i = 0; i < 3 * EBB_TOP_SAMPLES + 7; i++) {
        ebb__top_series_push(&series, true, i);
        EXPECT(ebb__top_series_at(&series, 0) == i);
        EXPECT(i == 0 || ebb__top_series_at(&series, 1) == i - 1);
    }
    EXPECT(series.count == EBB_TOP_SAMPLES);
    EXPECT(isnan(ebb__top_series_at(&series, EBB_TOP_SAMPLES)));
    EXPECT(ebb__top_series_range(&series, EBB_TOP_SAMPLES, &low, &high) && high - low == EBB_TOP_SAMPLES - 1);
    EXPECT(ebb__top_series_range(&series, 2, &low, &high) && high - low == 1);
    ebb__top_series_push(&series, false, 5);
    EXPECT(isnan(ebb__top_series_at(&series, 0)));
    EXPECT(!ebb__top_series_range(&series, 1, &low, &high));
}

static void sparks(void)
{
    static const struct {
        const char *values; /* digits; '-' is not known */
        unsigned width;
        double low, high;
        bool ascii;
        const char *text;
    } ROWS[] = {
        {"01234567", 8, 0, 7, false, "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"},
        {"01234567", 8, 0, 7, true, "_.-:=+*#"},
        {"567", 5, 0, 7, true, "  +*#"},
        {"01234567", 3, 0, 7, true, "+*#"},
        {"3-3", 3, 0, 7, true, ": :"},
        /* Beyond the range, and a range that is none. */
        {"09", 2, 3, 5, true, "_#"},
        {"44", 2, 4, 4, true, "__"},
        {"", 3, 0, 1, true, "   "},
    };

    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        struct ebb_top_series series = {0};
        char text[EBB_TOP_SPARK_BYTES];

        for (const char *at = ROWS[i].values; *at != '\0'; at++)
            ebb__top_series_push(&series, *at != '-', *at - '0');
        ebb__top_spark(&series, ROWS[i].width, ROWS[i].low, ROWS[i].high, ROWS[i].ascii, text);
        EXPECT_MSG(strcmp(text, ROWS[i].text) == 0, "row %zu: '%s' is not '%s'", i, text, ROWS[i].text);
    }
}

/* The lines of a tall picture, put together, are as high as the value. */
static void graphs(void)
{
    struct ebb_top_series series = {0};
    char text[EBB_TOP_SPARK_BYTES];

    ebb__top_series_push(&series, true, 0);
    ebb__top_series_push(&series, true, 50);
    ebb__top_series_push(&series, true, 100);
    ebb__top_graph(&series, 3, 0, 100, 3, 2, true, text);
    EXPECT_MSG(strcmp(text, "  #") == 0, "'%s'", text);
    ebb__top_graph(&series, 3, 0, 100, 3, 1, true, text);
    EXPECT_MSG(strcmp(text, " =#") == 0, "'%s'", text);
    ebb__top_graph(&series, 3, 0, 100, 3, 0, true, text);
    EXPECT_MSG(strcmp(text, "_##") == 0, "'%s'", text);
    ebb__top_graph(&series, 5000, 0, 100, 3, 0, false, text); /* no wider than there are looks */
    EXPECT(strlen(text) < sizeof(text));
}

static void scales(void)
{
    double low = 100;
    double high = 100;

    ebb__top_series_scale(&low, &high); /* flat */
    EXPECT(low == 90 && high == 100);
    low = 20;
    ebb__top_series_scale(&low, &high);
    EXPECT(low == 20 && high == 100);
}

static void tracks(void)
{
    struct ebb_top_facts facts;
    const struct ebb_top_series *series;
    const struct ebb_proc *server = &scene_procs[2];

    scene_init(&facts, 3);
    series = ebb__top_tracks_find(&facts.tracks, server->pid, server->stat.start_ticks);
    EXPECT(series != NULL && series->count == 3);
    EXPECT(fabs(ebb__top_series_at(series, 0) - (54.0 * 1024 * 1024 + 56 * 1024)) < 8);
    EXPECT(ebb__top_tracks_find(&facts.tracks, server->pid, server->stat.start_ticks + 1) == NULL);
    EXPECT(ebb__top_tracks_find(&facts.tracks, 3, 103) == NULL);
    /* Who has no memory has a history of nothing. */
    series = ebb__top_tracks_find(&facts.tracks, 2, 102);
    EXPECT(series != NULL && isnan(ebb__top_series_at(series, 0)));
    /* The number is given again, and another one ends. */
    scene_procs[2].stat.start_ticks++;
    facts.table.count--;
    EXPECT(ebb__top_tracks_push(&facts.tracks, &facts.table));
    series = ebb__top_tracks_find(&facts.tracks, server->pid, server->stat.start_ticks);
    EXPECT(series != NULL && series->count == 1);
    EXPECT(ebb__top_tracks_find(&facts.tracks, server->pid, server->stat.start_ticks - 1) == NULL);
    EXPECT(facts.tracks.count == SCENE_COUNT - 1);
    scene_fini(&facts);
}

/* ---- keys ---- */

struct desk {
    struct ebb_top_facts facts;
    struct ebb_top_state state;
    struct ebb_top_list list;
};

static void desk_list(struct desk *desk)
{
    ebb__top_list_fini(&desk->list);
    EXPECT(ebb__top_list_make(&desk->state, &desk->facts.table, &desk->list));
    ebb__top_settle(&desk->state, &desk->facts.table, &desk->list);
}

static void desk_init(struct desk *desk, unsigned looks)
{
    memset(desk, 0, sizeof(*desk));
    scene_init(&desk->facts, looks);
    desk->state.sort = EBB_PROC_COL_RSS;
    desk->state.page = 4;
    desk_list(desk);
}

static void desk_fini(struct desk *desk)
{
    ebb__top_list_fini(&desk->list);
    scene_fini(&desk->facts);
}

static void desk_press(struct desk *desk, int key)
{
    ebb__top_press(&desk->state, &desk->facts.table, &desk->list, key);
    desk_list(desk);
}

static void desk_type(struct desk *desk, const char *keys)
{
    for (; *keys != '\0'; keys++)
        desk_press(desk, (unsigned char)*keys);
}

/* The numbers of the list, in order. */
static const char *desk_order(const struct desk *desk)
{
    static char text[256];
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; i < desk->list.count; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%d", i == 0 ? "" : " ",
                                 (int)desk->facts.table.procs[desk->list.order[i]].pid);
    return text;
}

static void expect_order(const struct desk *desk, const char *what, const char *order)
{
    EXPECT_MSG(strcmp(desk_order(desk), order) == 0, "%s: %s is not %s", what, desk_order(desk), order);
}

static void sort_keys(void)
{
    struct desk desk;

    desk_init(&desk, 1);
    expect_order(&desk, "memory", "612 733 1 801 802 4194303 2 900");
    desk_press(&desk, 'P');
    expect_order(&desk, "processor", "612 733 801 1 2 802 4194303 900");
    desk_press(&desk, 'F');
    expect_order(&desk, "minor faults", "612 733 801 1 2 802 4194303 900");
    desk_press(&desk, 'f');
    expect_order(&desk, "major faults", "612 802 1 2 733 801 4194303 900");
    desk_press(&desk, 'S');
    expect_order(&desk, "swap", "612 1 802 733 801 4194303 2 900");
    desk_press(&desk, 'O');
    expect_order(&desk, "rank", "612 733 801 802 4194303 900 1 2");
    desk_press(&desk, 'N');
    expect_order(&desk, "number", "1 2 612 733 801 802 900 4194303");
    desk_press(&desk, 'R');
    expect_order(&desk, "number, turned around", "4194303 900 802 801 733 612 2 1");
    desk_press(&desk, 'M');
    expect_order(&desk, "memory again", "612 733 1 801 802 4194303 2 900");
    EXPECT(!desk.state.reverse);
    desk_press(&desk, 'x');
    desk_press(&desk, EBB_TOP_KEY_OTHER);
    expect_order(&desk, "keys without a meaning", "612 733 1 801 802 4194303 2 900");
    desk_fini(&desk);
}

static void marks(void)
{
    struct desk desk;

    desk_init(&desk, 1);
    EXPECT(desk.state.selected_pid == 612);
    desk_press(&desk, EBB_TOP_KEY_UP);
    EXPECT(desk.state.selected_pid == 612);
    desk_press(&desk, EBB_TOP_KEY_DOWN);
    EXPECT(desk.state.selected_pid == 733);
    desk_press(&desk, EBB_TOP_KEY_PAGE_DOWN);
    EXPECT(desk.state.selected == 5);
    desk_press(&desk, EBB_TOP_KEY_END);
    EXPECT(desk.state.selected == SCENE_COUNT - 1);
    desk_press(&desk, EBB_TOP_KEY_DOWN);
    EXPECT(desk.state.selected == SCENE_COUNT - 1);
    desk_press(&desk, EBB_TOP_KEY_PAGE_UP);
    EXPECT(desk.state.selected == SCENE_COUNT - 5);
    desk_press(&desk, EBB_TOP_KEY_HOME);
    desk_press(&desk, EBB_TOP_KEY_DOWN);
    EXPECT(desk.state.selected_pid == 733);
    /* It stays with the process when the order changes by itself. */
    scene_procs[3].status.vm_rss_bytes = 60 * GIB;
    desk_list(&desk);
    EXPECT(desk.state.selected_pid == 733 && desk.state.selected == 0);
    /* When that one ends, whoever stands there now is marked. */
    scene_procs[3].stat.start_ticks++;
    desk.state.selected = 1;
    desk_list(&desk);
    EXPECT(desk.state.selected_pid == 612 && desk.state.selected == 1);
    /* Another order begins at its head. */
    desk_press(&desk, 'N');
    EXPECT(desk.state.selected_pid == 1 && desk.state.selected == 0);
    /* An empty list has no mark, and no process to look at. */
    desk_type(&desk, "/nobody\n");
    EXPECT(desk.list.count == 0 && desk.state.selected_pid == 0);
    desk_press(&desk, EBB_TOP_KEY_ENTER);
    EXPECT(desk.state.view == EBB_TOP_LIST);
    desk_fini(&desk);
}

static void filters(void)
{
    struct desk desk;

    desk_init(&desk, 1);
    desk_type(&desk, "/RED");
    EXPECT(desk.state.editing);
    expect_order(&desk, "while typing", "733");
    desk_press(&desk, EBB_TOP_KEY_ENTER);
    EXPECT(!desk.state.editing && strcmp(desk.state.filter, "RED") == 0);
    expect_order(&desk, "kept", "733");
    desk_press(&desk, '/');
    desk_press(&desk, EBB_TOP_KEY_BACKSPACE);
    desk_press(&desk, EBB_TOP_KEY_BACKSPACE);
    expect_order(&desk, "shorter", "612 733 801 2");
    desk_press(&desk, EBB_TOP_KEY_ESCAPE);
    expect_order(&desk, "given up", "733");
    desk_press(&desk, EBB_TOP_KEY_ESCAPE);
    EXPECT(desk.list.count == SCENE_COUNT);
    /* A character of two bytes comes and goes as one; keys of sorts are letters here; a number is a process. */
    desk_type(&desk, "/M\xc3\xbc");
    EXPECT(desk.state.sort == EBB_PROC_COL_RSS && strcmp(desk.state.edit, "M\xc3\xbc") == 0);
    desk_press(&desk, EBB_TOP_KEY_BACKSPACE);
    EXPECT(strcmp(desk.state.edit, "M") == 0);
    desk_press(&desk, EBB_TOP_KEY_BACKSPACE);
    desk_press(&desk, EBB_TOP_KEY_BACKSPACE);
    EXPECT(desk.state.edit[0] == '\0');
    desk_press(&desk, EBB_TOP_KEY_DOWN); /* no character */
    desk_type(&desk, "801");
    expect_order(&desk, "by number", "801");
    for (int i = 0; i < 200; i++)
        desk_press(&desk, 'y');
    EXPECT(strlen(desk.state.edit) == sizeof(desk.state.edit) - 1);
    desk_fini(&desk);
}

static void views(void)
{
    struct desk desk;

    desk_init(&desk, 1);
    desk_press(&desk, EBB_TOP_KEY_ENTER);
    EXPECT(desk.state.view == EBB_TOP_PROCESS && desk.state.look);
    /* Keys of the list mean nothing there, and the view stays with its process when it ends. */
    desk_press(&desk, 'N');
    EXPECT(desk.state.sort == EBB_PROC_COL_RSS);
    scene_procs[2].stat.start_ticks++;
    desk_list(&desk);
    EXPECT(desk.state.selected_pid == 612 && desk.state.selected_start == 712);
    desk_press(&desk, 'q');
    EXPECT(desk.state.view == EBB_TOP_LIST && !desk.state.quit);
    desk_press(&desk, EBB_TOP_KEY_ENTER);
    desk_press(&desk, EBB_TOP_KEY_ESCAPE);
    EXPECT(desk.state.view == EBB_TOP_LIST);
    desk_press(&desk, '?');
    EXPECT(desk.state.view == EBB_TOP_HELP);
    desk_press(&desk, 'q');
    EXPECT(desk.state.view == EBB_TOP_LIST && !desk.state.quit);
    desk.state.look = false;
    desk_press(&desk, ' ');
    EXPECT(desk.state.look);
    desk.state.look = false;
    desk_press(&desk, 'K');
    EXPECT(desk.state.kernel && desk.state.look);
    desk_press(&desk, 'q');
    EXPECT(desk.state.quit);
    desk_fini(&desk);
}

/* ---- screens ---- */

static void draw(struct desk *desk, unsigned rows, unsigned columns, char **ret_text)
{
    struct ebb_top_screen screen;
    size_t bytes;
    FILE *stream = open_memstream(ret_text, &bytes);

    EXPECT(stream != NULL);
    EXPECT(ebb__top_screen_init(&screen, rows, columns));
    ebb__top_draw(&screen, &desk->facts, &desk->list, &desk->state);
    ebb__top_print(&screen, stream);
    fclose(stream);
    ebb__top_screen_fini(&screen);
}

static char *read_whole(const char *path)
{
    char *text = calloc(1, 65536);
    FILE *file = fopen(path, "r");

    EXPECT(text != NULL);
    if (file != NULL) {
        text[fread(text, 1, 65535, file)] = '\0';
        fclose(file);
    }
    return text;
}

static void compare(struct desk *desk, const char *name, unsigned rows, unsigned columns)
{
    char path[512];
    char *golden;
    char *text;

    snprintf(path, sizeof(path), "%s/top-%s-%ux%u.txt", GOLDEN, name, columns, rows);
    draw(desk, rows, columns, &text);
    if (getenv("EBB_GOLDEN_WRITE") != NULL) {
        FILE *file = fopen(path, "w");

        EXPECT_MSG(file != NULL, "%s", path);
        fputs(text, file);
        fclose(file);
    }
    golden = read_whole(path);
    EXPECT_MSG(strcmp(text, golden) == 0, "%s is another screen:\n%s\nIt should be:\n%s", path, text, golden);
    free(golden);
    free(text);
}

static const struct {
    unsigned rows, columns;
} SIZES[] = {{24, 80}, {10, 40}, {50, 200}};

static void golden_lists(void)
{
    struct desk desk;

    desk_init(&desk, 30);
    for (size_t i = 0; i < sizeof(SIZES) / sizeof(SIZES[0]); i++)
        compare(&desk, "list", SIZES[i].rows, SIZES[i].columns);
    desk.state.ascii = true;
    desk_press(&desk, 'O');
    desk_type(&desk, "/e");
    compare(&desk, "ascii-filter", 24, 80);
    compare(&desk, "ascii-filter", 10, 40);
    desk_fini(&desk);
}

static void golden_processes(void)
{
    struct desk desk;

    desk_init(&desk, 60);
    desk_press(&desk, EBB_TOP_KEY_ENTER);
    scene_closely(&desk.facts, 612);
    for (size_t i = 0; i < sizeof(SIZES) / sizeof(SIZES[0]); i++)
        compare(&desk, "process", SIZES[i].rows, SIZES[i].columns);
    desk.facts.detail.count = 0;
    compare(&desk, "ended", 24, 80);
    desk_fini(&desk);
}

static void golden_help(void)
{
    struct desk desk;

    desk_init(&desk, 1);
    desk_press(&desk, '?');
    for (size_t i = 0; i < sizeof(SIZES) / sizeof(SIZES[0]); i++)
        compare(&desk, "help", SIZES[i].rows, SIZES[i].columns);
    desk_fini(&desk);
}

/* A host of which nothing is known, at its first look. */
static void golden_unknown(void)
{
    struct desk desk;

    desk_init(&desk, 1);
    ebb__top_list_fini(&desk.list);
    scene_fini(&desk.facts);
    memset(&desk.facts, 0, sizeof(desk.facts));
    desk.facts.table.root = "/tree";
    desk.facts.host.since_boot = true;
    desk.facts.host.pressure.some.avg10_hundredths = ebb__fact_unknown(-EOPNOTSUPP);
    desk_list(&desk);
    compare(&desk, "unknown", 24, 80);
    desk_fini(&desk);
}

/* Whatever the size, no line is wider than the screen, there are as many as it has, and the marked process is on it. */
static void all_sizes(void)
{
    struct desk desk;

    desk_init(&desk, 9);
    for (unsigned rows = 0; rows <= 60; rows += rows < 26 ? 1 : 17)
        for (unsigned columns = 0; columns <= 220; columns += columns < 60 ? 3 : 17)
            for (int view = EBB_TOP_LIST; view <= EBB_TOP_HELP; view++) {
                char *text;
                unsigned lines = 0;

                desk.state.view = (enum ebb_top_view)view;
                desk.state.selected = rows % SCENE_COUNT;
                scene_closely(&desk.facts, 612);
                draw(&desk, rows, columns, &text);
                for (char *line = text; *line != '\0'; lines++) {
                    char *end = strchr(line, '\n');
                    unsigned width = 0;

                    *end = '\0';
                    /* Wide characters take two places: these are the ones of the scene. */
                    for (const char *at = line; *at != '\0'; at++)
                        width += ((unsigned char)*at & 0xc0) != 0x80
                                     ? ((unsigned char)*at == 0xe6 || (unsigned char)*at == 0xe5 ? 2 : 1)
                                     : 0;
                    EXPECT_MSG(width <= columns, "%u columns in %ux%u: '%s'", width, columns, rows, line);
                    line = end + 1;
                }
                EXPECT_MSG(lines == rows, "%u lines in %ux%u", lines, columns, rows);
                free(text);
            }
    desk_fini(&desk);
}

/* The column that the list is sorted by is on every screen that holds it beside names. */
static void the_order_is_visible(void)
{
    struct desk desk;

    desk_init(&desk, 1);
    for (unsigned columns = 30; columns < 200; columns++) {
        char *text;

        desk_press(&desk, 'S');
        draw(&desk, 24, columns, &text);
        EXPECT_MSG(strstr(text, " SWAP ") != NULL, "%u columns", columns);
        free(text);
        EXPECT((ebb__top_needs(columns, &desk.state) & EBB_PROC_RANK) != 0);
    }
    EXPECT((ebb__top_needs(80, &desk.state) & EBB_PROC_CGROUP) == 0);
    EXPECT((ebb__top_needs(200, &desk.state) & EBB_PROC_CGROUP) != 0);
    desk_fini(&desk);
}

/* What is wrong on the host is marked so. */
static void attributes(void)
{
    struct ebb_top_screen screen;
    struct desk desk;
    bool seen[EBB_TOP_ATTR_COUNT] = {false};

    desk_init(&desk, 9);
    desk.facts.host.free.available_bytes = ebb__fact(64 * GIB / 100);
    EXPECT(ebb__top_screen_init(&screen, 24, 80));
    ebb__top_draw(&screen, &desk.facts, &desk.list, &desk.state);
    for (size_t i = 0; i < (size_t)24 * 80; i++) {
        EXPECT(screen.glyphs[i].attr < EBB_TOP_ATTR_COUNT);
        seen[screen.glyphs[i].attr] = true;
    }
    for (unsigned i = 0; i < EBB_TOP_ATTR_COUNT; i++)
        EXPECT_MSG(seen[i], "nothing has attribute %u", i);
    ebb__top_screen_fini(&screen);
    desk_fini(&desk);
}

/* ---- cells ---- */

static void orders(void)
{
    struct ebb_proc_table table;
    size_t order[SCENE_COUNT];

    scene_table(&table);
    for (int id = 0; id < EBB_PROC_COLUMN_COUNT; id++)
        for (int reverse = 0; reverse < 2; reverse++) {
            bool had_unknown = false;
            bool seen[SCENE_COUNT] = {false};

            EXPECT(ebb__proc_order(&table, (enum ebb_proc_column)id, reverse, order));
            for (size_t i = 0; i < SCENE_COUNT; i++) {
                struct ebb_cell cell =
                    ebb__proc_cell(&table, &table.procs[order[i]], (enum ebb_proc_column)id);

                EXPECT(!seen[order[i]]);
                seen[order[i]] = true;
                EXPECT_MSG(cell.kind != EBB_CELL_UNKNOWN || cell.why != NULL, "%s is unknown for no reason",
                           ebb__proc_columns[id].name);
                /* What is not known comes last, either way. */
                EXPECT(!(had_unknown && cell.kind != EBB_CELL_UNKNOWN));
                had_unknown = cell.kind == EBB_CELL_UNKNOWN;
            }
        }
}

static void cells(void)
{
    struct ebb_proc_table table;
    struct ebb_proc proc;
    struct ebb_cell cell;

    scene_table(&table);
    /* The peak is written down late: what is resident now may be more. */
    proc = scene_procs[2];
    proc.status.vm_hwm_bytes = 5 * MIB;
    cell = ebb__proc_cell(&table, &proc, EBB_PROC_COL_HWM);
    EXPECT(cell.kind == EBB_CELL_NUMBER && cell.number == proc.status.vm_rss_bytes);
    cell = ebb__proc_cell(&table, &proc, EBB_PROC_COL_SHR);
    EXPECT(cell.kind == EBB_CELL_NUMBER && cell.number == 56 * MIB);
    /* A line that the kernel does not have is not 0. */
    proc.status.present &= ~(UINT64_C(1) << EBB_STATUS_RSS_SHMEM);
    EXPECT(ebb__proc_cell(&table, &proc, EBB_PROC_COL_SHR).kind == EBB_CELL_UNKNOWN);
    proc.oom_adj = ebb__fact((uint64_t)-1000);
    proc.oom_rank = 0;
    cell = ebb__proc_cell(&table, &proc, EBB_PROC_COL_OOM_ADJ);
    EXPECT(cell.kind == EBB_CELL_SIGNED && cell.signed_number == -1000);
    cell = ebb__proc_cell(&table, &proc, EBB_PROC_COL_OOM);
    EXPECT(cell.kind == EBB_CELL_UNKNOWN && strstr(cell.why, "never killed") != NULL);
    proc.stat.policy = 1;
    EXPECT(ebb__proc_cell(&table, &proc, EBB_PROC_COL_NICE).kind == EBB_CELL_UNKNOWN);
    cell = ebb__proc_cell(&table, &proc, EBB_PROC_COL_CLASS);
    EXPECT(strcmp(cell.text, "FF") == 0);
    proc.stat.policy = 99;
    EXPECT(strcmp(ebb__proc_cell(&table, &proc, EBB_PROC_COL_CLASS).text, "?") == 0);
    /* Without stat there are no rates and no state. */
    proc.stat_err = -EACCES;
    EXPECT(ebb__proc_cell(&table, &proc, EBB_PROC_COL_STATE).kind == EBB_CELL_UNKNOWN);
    table.max_map_count = ebb__fact(0);
    EXPECT(ebb__proc_cell(&table, &scene_procs[2], EBB_PROC_COL_VMA_SHARE).kind == EBB_CELL_UNKNOWN);
    table.mem_total_bytes = ebb__fact_unknown(-ENOENT);
    EXPECT(ebb__proc_cell(&table, &scene_procs[2], EBB_PROC_COL_MEM).kind == EBB_CELL_UNKNOWN);
    for (int letter = 0; letter < 256; letter++)
        EXPECT(strlen(ebb__proc_state((char)letter)) == 1);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(rings),          CASE(sparks),           CASE(graphs),
        CASE(scales),         CASE(tracks),           CASE(sort_keys),
        CASE(marks),          CASE(filters),          CASE(views),
        CASE(golden_lists),   CASE(golden_processes), CASE(golden_help),
        CASE(golden_unknown), CASE(all_sizes),        CASE(the_order_is_visible),
        CASE(attributes),     CASE(orders),           CASE(cells),
    };

    return RUN_CASES(cases);
}
