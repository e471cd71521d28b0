/* SPDX-License-Identifier: MIT
 *
 * The table of zones and their watermarks, which ebb vm and ebb reclaim have in common.
 */
#ifndef EBB_TOOL_ZONES_H
#define EBB_TOOL_ZONES_H

#include "probe/zoneinfo.h"
#include "tool/emit.h"

/* A section with a row for each zone that has memory. */
void ebb__zones_put(struct ebb_emit *emit, const struct ebb_zoneinfo *info, struct ebb_fact page_bytes);

#endif
