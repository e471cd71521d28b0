/* SPDX-License-Identifier: MIT
 *
 * Why a process is not served, in words; see why.h.
 */
#include "tool/why.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "probe/probe.h"

/* An environment can be larger (a quarter of the stack's limit), but hardly ever is. */
#define ENVIRON_BYTES (256 * 1024)

static const char *const PRIVILEGED = "it runs with raised privileges (setuid, setgid or file capabilities), "
                                      "and then the dynamic linker ignores "
                                      "LD_PRELOAD";

bool ebb__why_is_secure(pid_t pid)
{
    struct ebb_auxv auxv;
    uint64_t secure;

    return ebb__auxv_read("", pid, sizeof(void *), &auxv) == 0 && ebb__auxv_get(&auxv, AT_SECURE, &secure) &&
           secure != 0;
}

/* What LD_PRELOAD was at the start of the process. 0 and the text, which may be ""; -ENOENT when it was not
 * set; or -errno. */
static int read_preload(pid_t pid, char *ret_text, size_t text_bytes)
{
    static const char KEY[] = "LD_PRELOAD=";
    char *environment = malloc(ENVIRON_BYTES + 1);
    size_t len;
    int err =
        environment == NULL ? -ENOMEM : ebb__proc_read("", pid, "environ", environment, ENVIRON_BYTES, &len);

    if (err == 0) {
        environment[len] = '\0';
        err = -ENOENT;
        for (size_t at = 0; at < len; at += strlen(environment + at) + 1) {
            if (strncmp(environment + at, KEY, sizeof(KEY) - 1) != 0)
                continue;
            snprintf(ret_text, text_bytes, "%s", environment + at + sizeof(KEY) - 1);
            err = 0;
            break;
        }
    }
    free(environment);
    return err;
}

static void why_unmapped(const struct ebb_serve *serve, char ret_why[EBB_WHY_BYTES])
{
    char preload[512];
    int err = read_preload(serve->pid, preload, sizeof(preload));

    if (ebb__why_is_secure(serve->pid))
        snprintf(ret_why, EBB_WHY_BYTES, "%s", PRIVILEGED);
    else if (err == -ENOENT || (err == 0 && preload[0] == '\0'))
        snprintf(ret_why, EBB_WHY_BYTES, "it was started without LD_PRELOAD%s%s",
                 serve->owner[0] == '\0' ? "" : "; malloc is served by ", serve->owner);
    else if (err == 0)
        snprintf(
            ret_why, EBB_WHY_BYTES,
            "the library is not mapped, though LD_PRELOAD is '%s'; the dynamic linker says on standard error "
            "what it could not load",
            preload);
    else
        snprintf(ret_why, EBB_WHY_BYTES, "the library is not mapped");
}

const char *ebb__why_verdict(const struct ebb_serve *serve, const struct ebb_image *image,
                             const struct ebb_image_library *kind)
{
    char obstacle[256];
    bool open;

    switch (serve->state) {
    case EBB_SERVE_UNUSED:
    case EBB_SERVE_UNORDERED:
        open = !ebb__image_obstacle(image, kind, obstacle, sizeof(obstacle));
        break;
    case EBB_SERVE_DENIED:
        open = !(image->is_elf && image->raises_privileges);
        break;
    default:
        open = false;
        break;
    }
    return open ? "could not be verified" : "is not served";
}

void ebb__why_not(const struct ebb_serve *serve, const struct ebb_image *image,
                  const struct ebb_image_library *kind, char ret_why[EBB_WHY_BYTES])
{
    char obstacle[256];
    bool has_obstacle = ebb__image_obstacle(image, kind, obstacle, sizeof(obstacle));

    switch (serve->state) {
    case EBB_SERVE_YES:
        snprintf(ret_why, EBB_WHY_BYTES, "%s", has_obstacle ? obstacle : "it is served");
        return;
    case EBB_SERVE_GONE:
        snprintf(ret_why, EBB_WHY_BYTES, "it has ended");
        return;
    case EBB_SERVE_UNMAPPED:
        if (has_obstacle)
            snprintf(ret_why, EBB_WHY_BYTES, "%s", obstacle);
        else
            why_unmapped(serve, ret_why);
        return;
    case EBB_SERVE_UNUSED:
        snprintf(ret_why, EBB_WHY_BYTES, "the library is mapped, but its counter does not rise: %s",
                 has_obstacle ? obstacle : "it comes first, but the program has not allocated anything");
        return;
    case EBB_SERVE_OVERRULED:
        if (has_obstacle)
            snprintf(ret_why, EBB_WHY_BYTES, "the library is mapped, but %s", obstacle);
        else
            snprintf(ret_why, EBB_WHY_BYTES,
                     "the library is mapped, but %s comes before it and serves malloc", serve->owner);
        return;
    case EBB_SERVE_UNORDERED:
        snprintf(
            ret_why, EBB_WHY_BYTES,
            "the library is mapped and its counter is %llu, but whose malloc comes first cannot be found "
            "out: %s",
            (unsigned long long)serve->count, strerror(-serve->error));
        return;
    case EBB_SERVE_DENIED:
        if (image->is_elf && image->raises_privileges)
            snprintf(ret_why, EBB_WHY_BYTES, "%s", PRIVILEGED);
        else
            snprintf(ret_why, EBB_WHY_BYTES, "its memory may not be read: %s%s", strerror(-serve->error),
                     geteuid() == 0 ? "" : " (try as root)");
        return;
    }
}
