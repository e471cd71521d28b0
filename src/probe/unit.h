/* SPDX-License-Identifier: MIT
 *
 * Units of systemd, as the names of cgroups tell them: no systemctl is asked, so a captured tree has them too.
 *
 * systemd gives each unit that runs something a cgroup of the unit's name: in version 2, or in a hierarchy of its own, "name=systemd",
 * of version 1. A process is the unit's when a component of its path there is that name:
 *
 *     /system.slice/mariadb.service                                       a service of the host
 *     /user.slice/user-1000.slice/user@1000.service/app.slice/x.service   one of a user, and below the host's user@1000.service
 *     /docker/0f3c/system.slice/mariadb.service                           one of a container that has a systemd of its own
 *
 * A name that could be taken for a file of the cgroup has an underscore before it there: "_memory.service".
 */
#ifndef EBB_PROBE_UNIT_H
#define EBB_PROBE_UNIT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* systemd's own bound for the name of a unit. */
#define EBB_UNIT_BYTES 256

/* Makes a unit's name whole: "mariadb" is "mariadb.service". False when the text cannot be one. */
bool ebb__unit_name(const char *text, char ret_unit[EBB_UNIT_BYTES]);

/* How much of a path is the unit's cgroup, from the outermost that has its name; 0 when the path does not lead there. */
size_t ebb__unit_in_path(const char *path, size_t len, const char *unit);

/* True for the cgroup of a unit of the host itself: all above it are slices, not another's user manager or container. */
bool ebb__unit_is_hosts(const char *path);

/* The path of the unit's cgroup, in systemd's hierarchy, from the text of /proc/PID/cgroup of a process in it. 0, -ENOENT when it
 * is not in it, or -ENAMETOOLONG. */
int ebb__unit_path_parse(const char *text, size_t len, const char *unit, char *ret_path, size_t path_bytes);
int ebb__unit_path_read(const char *root, pid_t pid, const char *unit, char *ret_path, size_t path_bytes);

/* The service that a process belongs to, the innermost; false when it is in none. `ret_of_user`: a user's manager runs it, not the
 * host's. */
bool ebb__unit_service_parse(const char *text, size_t len, char ret_unit[EBB_UNIT_BYTES], bool *ret_of_user);
bool ebb__unit_service_read(const char *root, pid_t pid, char ret_unit[EBB_UNIT_BYTES], bool *ret_of_user);

#endif
