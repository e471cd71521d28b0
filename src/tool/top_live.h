/* SPDX-License-Identifier: MIT
 *
 * The live screen of ebb top: looks, draws, waits for a key or for the next look.
 */
#ifndef EBB_TOOL_TOP_LIVE_H
#define EBB_TOOL_TOP_LIVE_H

#include "tool/top_facts.h"
#include "tool/top_state.h"

/* Until the operator quits, or after `looks` of them (0: no end). `source` and `state` say what to begin with. An exit status; the terminal is
 * as it was before. */
int ebb__top_live(struct ebb_top_source *source, struct ebb_top_state *state, long interval_ms,
                  unsigned looks);

#endif
