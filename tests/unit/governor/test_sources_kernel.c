/* SPDX-License-Identifier: MIT
 *
 * placeholder
 */
#include "pressure_tree.h"

int main(void)
{
    return 0;
}
