/* SPDX-License-Identifier: MIT
 *
 * Names of users, each asked for once: behind getpwuid(3) may be a server on the network.
 */
#ifndef EBB_TOOL_USERS_H
#define EBB_TOOL_USERS_H

#include <stdbool.h>
#include <sys/types.h>

/* The name, or the number in digits where there is none, and always for a captured tree: its users are not ours. Valid for good. */
const char *ebb__users_name(const char *root, uid_t uid);

/* A name or a number: true when it is a user's. Names are those of this host. */
bool ebb__users_find(const char *text, uid_t *ret_uid);

#endif
