/* SPDX-License-Identifier: MIT
 *
 * The report of processes on ebb, both sides; see report.h.
 */
#include "wire/report.h"

#include "base/fmt.h"
#include "wire/bytes_priv.h"

/* ---- the name ---- */

void ebb__wire_report_name(const struct ebb_report_name *name, char ret_text[EBB_REPORT_NAME_TEXT_BYTES])
{
    (void)ebb__fmt(ret_text, EBB_REPORT_NAME_TEXT_BYTES, "%u:%u:%lx", name->pid, name->fd,
                   (unsigned long)name->cookie);
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
}

/* A number up to `end`, which must follow. NULL when it is none, or more than `most`. */
static const char *take_number(const char *text, unsigned base, uint64_t most, char end, uint64_t *ret)
{
    uint64_t n = 0;
    const char *at = text;
    for (; digit_of(*at) < (int)base; at++) {
        uint64_t digit = (uint64_t)digit_of(*at);
        if (n > (most - digit) / base)
            return NULL;
        n = n * base + digit;
    }
    if (at == text || *at != end)
        return NULL;
    *ret = n;
    return at + 1;
}

int ebb__wire_report_name_parse(const char *text, struct ebb_report_name *ret_name)
{
    uint64_t pid, fd, cookie;
    text = take_number(text, 10, INT32_MAX, ':', &pid);
    if (text != NULL)
        text = take_number(text, 10, INT32_MAX, ':', &fd);
    if (text != NULL)
        text = take_number(text, 16, UINT64_MAX, '\0', &cookie);
    if (text == NULL || pid == 0)
        return -EINVAL;
    *ret_name = (struct ebb_report_name){.pid = (uint32_t)pid, .fd = (uint32_t)fd, .cookie = cookie};
    return 0;
}

/* ---- writing ---- */

void ebb__wire_report_begin(struct ebb_report_header *header, uint64_t cookie)
{
    memcpy(header->magic, EBB_REPORT_MAGIC, sizeof(header->magic));
    header->version = EBB_REPORT_VERSION;
    header->file_bytes = (uint32_t)EBB_REPORT_BYTES;
    header->header_bytes = sizeof(*header);
    header->slot_count = EBB_REPORT_SLOTS;
    header->slot_bytes = EBB_REPORT_SLOT_BYTES;
    header->slots_offset = EBB_REPORT_SLOTS_OFFSET;
    header->cookie = cookie;
}

#define HEADER32(bytes, field) ebb__wire_word32(bytes, offsetof(struct ebb_report_header, field))
#define HEADER64(bytes, field) ebb__wire_word64(bytes, offsetof(struct ebb_report_header, field))

/* What readers and writers check alike. */
static int check_header(const unsigned char *b, size_t n, struct ebb_report_view *ret)
{
    if (n < sizeof(struct ebb_report_header))
        return -EMSGSIZE;
    if (memcmp(b, EBB_REPORT_MAGIC, sizeof(EBB_REPORT_MAGIC) - 1) != 0)
        return -EPROTO;
    struct ebb_report_view view = {
        .bytes = b,
        .version = HEADER32(b, version),
        .slot_count = HEADER32(b, slot_count),
        .slot_bytes = HEADER32(b, slot_bytes),
        .slots_offset = HEADER32(b, slots_offset),
    };
    size_t file_bytes = HEADER32(b, file_bytes), header_bytes = HEADER32(b, header_bytes);
    if (view.version == 0 || file_bytes > EBB_REPORT_BYTES_MAX ||
        header_bytes < sizeof(struct ebb_report_header) || view.slots_offset < header_bytes ||
        view.slots_offset > file_bytes)
        return -EBADMSG;
    if (view.slot_count == 0 || view.slot_count > EBB_REPORT_SLOTS_MAX || view.slot_bytes % 8 != 0 ||
        view.slots_offset % 8 != 0 || view.slot_bytes < sizeof(struct ebb_report_slot) ||
        (uint64_t)view.slot_count * view.slot_bytes > file_bytes - view.slots_offset)
        return -EBADMSG;
    if (file_bytes > n)
        return -EMSGSIZE;
    *ret = view;
    return 0;
}

int ebb__wire_report_join(void *bytes, size_t n, uint64_t cookie, struct ebb_report_map *ret_map)
{
    struct ebb_report_view view;
    int rc = check_header(bytes, n, &view);
    if (rc == -EMSGSIZE)
        return -EBADMSG;
    if (rc != 0)
        return rc;
    if (HEADER64(view.bytes, cookie) != cookie)
        return -EPROTO;
    if (view.slot_bytes < sizeof(struct ebb_report_slot_full))
        return -EBADMSG;
    *ret_map = (struct ebb_report_map){
        .header = bytes,
        .slots = (unsigned char *)bytes + view.slots_offset,
        .slot_count = view.slot_count,
        .slot_bytes = view.slot_bytes,
    };
    return 0;
}

enum ebb_report_role ebb__wire_report_enrol(const struct ebb_report_map *map, uint32_t pid)
{
    uint32_t nobody = 0;
    (void)atomic_fetch_add_explicit(&map->header->opened, 1, memory_order_relaxed);
    if (atomic_compare_exchange_strong_explicit(&map->header->first_pid, &nobody, pid, memory_order_relaxed,
                                                memory_order_relaxed))
        return EBB_REPORT_FIRST;
    return nobody == pid ? EBB_REPORT_LATER : EBB_REPORT_OTHER;
}

struct ebb_report_slot_full *ebb__wire_report_claim(const struct ebb_report_map *map,
                                                    enum ebb_report_role role)
{
    uint32_t number = 0;
    if (role != EBB_REPORT_FIRST)
        number = atomic_fetch_add_explicit(&map->header->taken, 1, memory_order_relaxed);
    if (role != EBB_REPORT_FIRST && number++ >= map->slot_count - 1)
        return NULL;
    return (struct ebb_report_slot_full *)(void *)(map->slots + (size_t)number * map->slot_bytes);
}

/* The odd number before what is changed, the even one after it. A reader has a copy of the file, made after the writer's end or while
 * it writes; it compares nothing, and only looks whether the number is odd. */
void ebb__wire_report_change_begin(struct ebb_report_slot *slot)
{
    uint32_t before = atomic_load_explicit(&slot->sequence, memory_order_relaxed) & ~1u;
    atomic_store_explicit(&slot->sequence, before + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
}

void ebb__wire_report_change_end(struct ebb_report_slot *slot)
{
    uint32_t now = atomic_load_explicit(&slot->sequence, memory_order_relaxed);
    now = now == UINT32_MAX ? 2 : now + 1; /* 0 is for those that were never written */
    atomic_store_explicit(&slot->sequence, now, memory_order_release);
}

/* ---- reading ---- */

int ebb__wire_report_decode(const void *bytes, size_t n, struct ebb_report_view *ret_view)
{
    struct ebb_report_view view;
    int rc = check_header(bytes, n, &view);
    if (rc != 0)
        return rc;
    uint32_t taken = HEADER32(view.bytes, taken);
    view.first_pid = HEADER32(view.bytes, first_pid);
    view.opened = HEADER32(view.bytes, opened);
    view.turned_away = taken > view.slot_count - 1 ? taken - (view.slot_count - 1) : 0;
    *ret_view = view;
    return 0;
}

#define SLOT32(bytes, field) ebb__wire_word32(bytes, offsetof(struct ebb_report_slot, field))
#define SLOT64(bytes, field) ebb__wire_word64(bytes, offsetof(struct ebb_report_slot, field))

static struct ebb_report_peak peak_at(const unsigned char *slot, size_t at)
{
    return (struct ebb_report_peak){
        .bytes = ebb__wire_word64(slot, at + offsetof(struct ebb_report_peak, bytes)),
        .at_ms = ebb__wire_word64(slot, at + offsetof(struct ebb_report_peak, at_ms)),
    };
}

/* A table of the slot; false when it does not lie inside it, behind the fixed part. */
static bool take_table(const unsigned char *slot, size_t slot_bytes, size_t at, size_t known_bytes,
                       struct ebb_report_table *ret)
{
    struct ebb_report_table t = {
        .offset = ebb__wire_word32(slot, at + offsetof(struct ebb_report_table, offset)),
        .count = ebb__wire_word32(slot, at + offsetof(struct ebb_report_table, count)),
        .entry_bytes = ebb__wire_word32(slot, at + offsetof(struct ebb_report_table, entry_bytes)),
    };
    if (t.count > EBB_REPORT_ENTRIES_MAX || t.entry_bytes < known_bytes || t.entry_bytes > slot_bytes)
        return false;
    if (t.offset < sizeof(struct ebb_report_slot) || t.offset > slot_bytes ||
        (uint64_t)t.count * t.entry_bytes > slot_bytes - t.offset)
        return false;
    *ret = t;
    return true;
}

static void take_figures(const unsigned char *s, struct ebb_report_process *p)
{
    uint32_t role = SLOT32(s, role), kind = SLOT32(s, group_kind);
    p->pid = SLOT32(s, pid);
    p->role = role <= EBB_REPORT_LATER ? (enum ebb_report_role)role : EBB_REPORT_OTHER;
    p->ended_ms = SLOT64(s, ended_ms);
    p->start_ms = SLOT64(s, start_ms);
    p->written_ms = SLOT64(s, written_ms);
    p->process = peak_at(s, offsetof(struct ebb_report_slot, process));
    p->heap = peak_at(s, offsetof(struct ebb_report_slot, heap));
    p->untracked = peak_at(s, offsetof(struct ebb_report_slot, untracked));
    p->used_bytes = SLOT64(s, used_bytes);
    p->limit_bytes = SLOT64(s, limit_bytes);
    p->hard_limit_bytes = SLOT64(s, hard_limit_bytes);
    p->budget_percent = SLOT32(s, budget_percent);
    p->level = SLOT32(s, level);
    p->group_kind = kind <= EBB_REPORT_GROUP_HIGH ? (enum ebb_report_group_kind)kind : EBB_REPORT_NO_GROUP;
    p->group_distance = SLOT32(s, group_distance);
    p->group_limit_bytes = SLOT64(s, group_limit_bytes);
    p->group_used_bytes = SLOT64(s, group_used_bytes);
    p->soft_hits = SLOT64(s, soft_hits);
    p->hard_hits = SLOT64(s, hard_hits);
    p->refusals = SLOT64(s, refusals);
    p->refused_ms = SLOT64(s, refused_ms);
    p->refused_bytes = SLOT64(s, refused_bytes);
    ebb__wire_text(p->program, s + offsetof(struct ebb_report_slot, program), EBB_REPORT_PROGRAM_BYTES);
    ebb__wire_text(p->library, s + offsetof(struct ebb_report_slot, library), EBB_WIRE_LIBRARY_BYTES);
    ebb__wire_text(p->group, s + offsetof(struct ebb_report_slot, group), EBB_REPORT_GROUP_BYTES);
    if (p->program[0] == '\0')
        memcpy(p->program, "?", 2);
}

int ebb__wire_report_slot(const struct ebb_report_view *view, unsigned i, struct ebb_report_process *ret)
{
    const unsigned char *s = view->bytes + view->slots_offset + (size_t)i * view->slot_bytes;
    uint32_t sequence = SLOT32(s, sequence);
    size_t bytes = view->slot_bytes;
    if (sequence == 0)
        return -ENOENT;
    struct ebb_report_process p = {.bytes = s, .torn = sequence % 2 != 0};
#define TABLE(name, type)                                                                                    \
    take_table(s, bytes, offsetof(struct ebb_report_slot, name), sizeof(struct type), &p.name)
    if (!TABLE(gives, ebb_report_sum) || !TABLE(causes, ebb_report_sum) || !TABLE(limits, ebb_report_sum) ||
        !TABLE(rows, ebb_wire_row) || !TABLE(records, ebb_report_record) || SLOT32(s, pid) == 0)
        return -EBADMSG;
#undef TABLE
    take_figures(s, &p);
    p.give_count = p.gives.count;
    p.cause_count = p.causes.count;
    p.row_count = p.rows.count;
    p.record_next = SLOT64(s, record_count);
    p.record_count = p.record_next < p.records.count ? (unsigned)p.record_next : p.records.count;
    p.records_before = p.record_next - p.record_count;
    *ret = p;
    return 0;
}

static const unsigned char *entry(const struct ebb_report_process *p, const struct ebb_report_table *table,
                                  size_t i)
{
    return p->bytes + table->offset + i * table->entry_bytes;
}

static void take_sum(const unsigned char *from, struct ebb_report_sum_view *ret)
{
    ebb__wire_text(ret->name, from + offsetof(struct ebb_report_sum, name), EBB_REPORT_NAME_BYTES);
    ret->bytes = ebb__wire_word64(from, offsetof(struct ebb_report_sum, bytes));
    if (ret->name[0] == '\0')
        memcpy(ret->name, "?", 2);
}

void ebb__wire_report_give(const struct ebb_report_process *p, unsigned i, struct ebb_report_sum_view *ret)
{
    take_sum(entry(p, &p->gives, i), ret);
}

void ebb__wire_report_cause(const struct ebb_report_process *p, unsigned i, struct ebb_report_sum_view *ret)
{
    take_sum(entry(p, &p->causes, i), ret);
}

void ebb__wire_report_row(const struct ebb_report_process *p, unsigned i, struct ebb_wire_row_view *ret)
{
    const unsigned char *from = entry(p, &p->rows, i);
    ebb__wire_text(ret->name, from + offsetof(struct ebb_wire_row, name), EBB_WIRE_NAME_BYTES);
    ebb__wire_text(ret->unit, from + offsetof(struct ebb_wire_row, unit), EBB_WIRE_UNIT_BYTES);
    if (ret->name[0] == '\0')
        memcpy(ret->name, "?", 2);
    ret->is_gauge = ebb__wire_word32(from, offsetof(struct ebb_wire_row, is_gauge)) != 0;
    ret->value = ebb__wire_word64(from, offsetof(struct ebb_wire_row, value));
}

uint64_t ebb__wire_report_value(const struct ebb_report_process *p, const char *name)
{
    for (unsigned i = 0; i < p->row_count; i++) {
        struct ebb_wire_row_view row;
        ebb__wire_report_row(p, i, &row);
        if (strcmp(row.name, name) == 0)
            return row.value;
    }
    return 0;
}

#define RECORD32(bytes, field) ebb__wire_word32(bytes, offsetof(struct ebb_report_record, field))
#define RECORD64(bytes, field) ebb__wire_word64(bytes, offsetof(struct ebb_report_record, field))
#define RECORD8(bytes, field)  ((bytes)[offsetof(struct ebb_report_record, field)])

void ebb__wire_report_record(const struct ebb_report_process *p, unsigned i,
                             struct ebb_report_record_view *ret)
{
    struct ebb_report_sum_view name;
    const unsigned char *r =
        entry(p, &p->records, (size_t)((p->record_next - p->record_count + i) % p->records.count));
    unsigned cause = RECORD8(r, cause), limit = RECORD8(r, limit);
    *ret = (struct ebb_report_record_view){
        .from_ms = RECORD64(r, from_ms),
        .last_ms = RECORD64(r, last_ms),
        .want_bytes = RECORD64(r, want_bytes),
        .got_bytes = RECORD64(r, got_bytes),
        .took_ms = RECORD32(r, took_ms),
        .steps = RECORD32(r, steps),
        .level = RECORD8(r, level),
        .need = RECORD8(r, need),
        .refused = RECORD8(r, refused) != 0,
        .cause = "?",
    };
    if (cause < p->causes.count) {
        take_sum(entry(p, &p->causes, cause), &name);
        memcpy(ret->cause, name.name, sizeof(ret->cause));
    }
    if (limit < p->limits.count) {
        take_sum(entry(p, &p->limits, limit), &name);
        memcpy(ret->limit, name.name, sizeof(ret->limit));
    }
}
