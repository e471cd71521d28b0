/* SPDX-License-Identifier: MIT
 *
 * Names of users, each asked for once; see users.h.
 *
 * The list only grows, by users that own a process; its texts stay where they are until the program ends. One thread.
 */
#include "tool/users.h"

#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe/host.h"
#include "probe/scan.h"

struct user {
    struct user *next;
    uid_t uid;
    bool live;
    char name[33]; /* useradd(8) allows 32 */
};

static struct user *users;

const char *ebb__users_name(const char *root, uid_t uid)
{
    bool live = ebb__host_is_live(root);
    const struct passwd *entry;
    struct user *user;

    for (user = users; user != NULL; user = user->next)
        if (user->uid == uid && user->live == live)
            return user->name;
    user = calloc(1, sizeof(*user));
    if (user == NULL)
        return "?";
    user->uid = uid;
    user->live = live;
    entry = live ? getpwuid(uid) : NULL;
    if (entry != NULL)
        snprintf(user->name, sizeof(user->name), "%s", entry->pw_name);
    else
        snprintf(user->name, sizeof(user->name), "%u", (unsigned)uid);
    user->next = users;
    users = user;
    return user->name;
}

bool ebb__users_find(const char *text, uid_t *ret_uid)
{
    struct ebb_scan scan = {.at = text, .end = text + strlen(text)};
    const struct passwd *entry;
    uint64_t value;

    /* A name may consist of digits, and then it is the name that counts. */
    entry = getpwnam(text);
    if (entry != NULL) {
        *ret_uid = entry->pw_uid;
        return true;
    }
    if (!ebb__scan_dec(&scan, &value) || scan.at != scan.end || value >= UINT_MAX)
        return false;
    *ret_uid = (uid_t)value;
    return true;
}
