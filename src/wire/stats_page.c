/* SPDX-License-Identifier: MIT
 *
 * Reading a stats page from bytes that nobody vouches for; see stats_page.h.
 */
#include "wire/stats_page.h"

#include "wire/bytes_priv.h"

#define HEADER32(bytes, field) ebb__wire_word32(bytes, offsetof(struct ebb_wire_header, field))
#define HEADER64(bytes, field) ebb__wire_word64(bytes, offsetof(struct ebb_wire_header, field))

/* True when `count` entries of `entry_bytes` lie inside the page, behind the header's first version, aligned, and each
 * holds at least `known_bytes`. */
static bool section_fits(uint32_t offset, uint32_t count, uint32_t entry_bytes, size_t known_bytes,
                         size_t page_bytes)
{
    if (count > EBB_WIRE_ENTRIES_MAX || entry_bytes < known_bytes || entry_bytes > page_bytes)
        return false;
    if (offset % 8 != 0 || entry_bytes % 8 != 0)
        return false;
    return offset >= sizeof(struct ebb_wire_header) && offset <= page_bytes &&
           (uint64_t)count * entry_bytes <= page_bytes - offset;
}

int ebb__wire_page_bytes(const void *bytes, size_t n, size_t *ret_bytes)
{
    const unsigned char *b = bytes;
    if (n < sizeof(EBB_WIRE_PAGE_MAGIC) - 1)
        return -EMSGSIZE;
    if (memcmp(b, EBB_WIRE_PAGE_MAGIC, sizeof(EBB_WIRE_PAGE_MAGIC) - 1) != 0)
        return -EPROTO;
    if (n < sizeof(struct ebb_wire_header))
        return -EMSGSIZE;
    size_t page_bytes = HEADER32(b, page_bytes);
    uint32_t header_bytes = HEADER32(b, header_bytes);
    if (HEADER32(b, version) == 0 || header_bytes < sizeof(struct ebb_wire_header) ||
        page_bytes < header_bytes || page_bytes > EBB_WIRE_PAGE_BYTES_MAX)
        return -EBADMSG;
    *ret_bytes = page_bytes;
    return 0;
}

int ebb__wire_decode(const void *bytes, size_t n, struct ebb_wire_view *ret_view)
{
    const unsigned char *b = bytes;
    size_t page_bytes;
    int err = ebb__wire_page_bytes(bytes, n, &page_bytes);
    if (err != 0)
        return err;
    if (page_bytes > n)
        return -EMSGSIZE;
    struct ebb_wire_view view = {
        .bytes = b,
        .version = HEADER32(b, version),
        .pid = HEADER32(b, pid),
        .thread_id = HEADER32(b, thread_id),
        .sequence = HEADER32(b, sequence),
        .start_ms = HEADER64(b, start_ms),
        .control_done = HEADER64(b, control_done),
        .control_result = (int64_t)HEADER64(b, control_result),
        .torn = HEADER32(b, sequence) % 2 != 0,
        .class_count = HEADER32(b, class_count),
        .class_bytes = HEADER32(b, class_bytes),
        .classes_offset = HEADER32(b, classes_offset),
        .row_count = HEADER32(b, row_count),
        .row_bytes = HEADER32(b, row_bytes),
        .rows_offset = HEADER32(b, rows_offset),
    };
    uint32_t summary_offset = HEADER32(b, summary_offset);
    if (!section_fits(summary_offset, 1, HEADER32(b, summary_bytes), sizeof(struct ebb_wire_summary),
                      page_bytes) ||
        !section_fits(view.rows_offset, view.row_count, view.row_bytes, sizeof(struct ebb_wire_row),
                      page_bytes) ||
        !section_fits(view.classes_offset, view.class_count, view.class_bytes,
                      offsetof(struct ebb_wire_class, given_blocks) + sizeof(uint64_t), page_bytes))
        return -EBADMSG;
    memcpy(&view.summary, b + summary_offset, sizeof(view.summary));
    ebb__wire_text(view.library, b + offsetof(struct ebb_wire_header, library), EBB_WIRE_LIBRARY_BYTES);
    *ret_view = view;
    return 0;
}

void ebb__wire_class(const struct ebb_wire_view *view, unsigned i, struct ebb_wire_class *ret_class)
{
    const unsigned char *entry = view->bytes + view->classes_offset + (size_t)i * view->class_bytes;
    *ret_class = (struct ebb_wire_class){
        .bytes = ebb__wire_word32(entry, offsetof(struct ebb_wire_class, bytes)),
        .internal = ebb__wire_word32(entry, offsetof(struct ebb_wire_class, internal)),
        .taken_blocks = ebb__wire_word64(entry, offsetof(struct ebb_wire_class, taken_blocks)),
        .given_blocks = ebb__wire_word64(entry, offsetof(struct ebb_wire_class, given_blocks)),
    };
}

void ebb__wire_row(const struct ebb_wire_view *view, unsigned i, struct ebb_wire_row_view *ret_row)
{
    const unsigned char *entry = view->bytes + view->rows_offset + (size_t)i * view->row_bytes;
    ebb__wire_text(ret_row->name, entry + offsetof(struct ebb_wire_row, name), EBB_WIRE_NAME_BYTES);
    ebb__wire_text(ret_row->unit, entry + offsetof(struct ebb_wire_row, unit), EBB_WIRE_UNIT_BYTES);
    if (ret_row->name[0] == '\0')
        memcpy(ret_row->name, "?", 2);
    ret_row->is_gauge = ebb__wire_word32(entry, offsetof(struct ebb_wire_row, is_gauge)) != 0;
    ret_row->value = ebb__wire_word64(entry, offsetof(struct ebb_wire_row, value));
}

bool ebb__wire_find(const struct ebb_wire_view *view, const char *name, struct ebb_wire_row_view *ret_row)
{
    for (unsigned i = 0; i < view->row_count; i++) {
        struct ebb_wire_row_view row;
        ebb__wire_row(view, i, &row);
        if (strcmp(row.name, name) == 0) {
            *ret_row = row;
            return true;
        }
    }
    return false;
}
