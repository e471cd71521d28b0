/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: mountinfo and /proc/PID/cgroup. Paths begin with a slash and end.
 */
#include "fuzz.h"

#include <string.h>

#include "probe/probe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ebb_cgroup_tree tree;
    static char path[EBB_CGROUP_PATH_BYTES];
    size_t half = size / 2;

    if (ebb__cgroup_tree_parse((const char *)data, half, size % 2 == 0, &tree) != 0) {
        tree =
            (struct ebb_cgroup_tree){.version = size % 2 == 0 ? 2 : 1, .mount = "/sys/fs/cgroup", .top = "/"};
    } else if (tree.version != 0) {
        FUZZ_CHECK(tree.mount[0] == '/' && memchr(tree.mount, '\0', sizeof(tree.mount)) != NULL);
        FUZZ_CHECK(memchr(tree.top, '\0', sizeof(tree.top)) != NULL);
    }
    if (ebb__cgroup_path_parse((const char *)data + half, size - half, &tree, path, sizeof(path)) == 0) {
        FUZZ_CHECK(path[0] == '/' && memchr(path, '\0', sizeof(path)) != NULL);
        while (ebb__cgroup_parent(path))
            FUZZ_CHECK(path[0] == '/');
    }
    return 0;
}
