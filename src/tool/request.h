/* SPDX-License-Identifier: MIT
 *
 * A request to the background thread of a process on ebb, sent and waited for.
 */
#ifndef EBB_TOOL_REQUEST_H
#define EBB_TOOL_REQUEST_H

#include <stdint.h>

#include "tool/page.h"
#include "tool/target.h"
#include "wire/control.h"

struct ebb_request_answer {
    int64_t result; /* what the library says: 0 or more, or -errno; see control.h */
    uint64_t took_us;
};

/* Sends the request and waits for the answer as long as `timeout_ms`. An exit status, after a line on standard error
 * when it is not EBB_EXIT_OK; a library that refuses has answered. `page` is read again. */
int ebb__request(const struct ebb_target *target, struct ebb_page *page,
                 const struct ebb_wire_request *request, long timeout_ms,
                 struct ebb_request_answer *ret_answer);

#endif
