/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: a stats page from a hostile process, and the first bytes of it as a control request.
 */
#include "fuzz.h"

#include <string.h>

#include "wire/control.h"
#include "wire/stats_page.h"

static void check_text(const char *text, size_t max)
{
    size_t len = strlen(text);

    FUZZ_CHECK(len <= max);
    for (size_t i = 0; i < len; i++)
        FUZZ_CHECK(text[i] >= ' ' && text[i] <= '~');
}

static void check_page(const uint8_t *data, size_t size)
{
    struct ebb_wire_view view;
    struct ebb_wire_row_view row;
    size_t bytes;

    if (ebb__wire_decode(data, size, &view) != 0)
        return;
    FUZZ_CHECK(ebb__wire_page_bytes(data, size, &bytes) == 0 && bytes <= size);
    check_text(view.library, EBB_WIRE_LIBRARY_BYTES);
    for (unsigned i = 0; i < view.row_count; i++) {
        ebb__wire_row(&view, i, &row);
        check_text(row.name, EBB_WIRE_NAME_BYTES);
        check_text(row.unit, EBB_WIRE_UNIT_BYTES);
        FUZZ_CHECK(row.name[0] != '\0' && ebb__wire_find(&view, row.name, &row));
        i += view.row_count / 64; /* finding is a walk of its own */
    }
    for (unsigned i = 0; i < view.class_count; i++) {
        struct ebb_wire_class c;

        ebb__wire_class(&view, i, &c);
    }
}

static void check_request(const uint8_t *data, size_t size)
{
    struct ebb_wire_request request;
    uint64_t payload;
    uint64_t again;

    if (size < sizeof(payload))
        return;
    memcpy(&payload, data, sizeof(payload));
    if (ebb__wire_control_decode(payload, &request) == 0)
        FUZZ_CHECK(ebb__wire_control_encode(&request, &again) == 0 && again == payload);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_page(data, size);
    check_request(data, size);
    return 0;
}
