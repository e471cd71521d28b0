/* SPDX-License-Identifier: MIT
 *
 * The tool's door to units, which judgements in model need for their sentences as well.
 */
#ifndef EBB_TOOL_UNITS_H
#define EBB_TOOL_UNITS_H

#include "model/units.h"

#endif
