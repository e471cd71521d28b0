/* SPDX-License-Identifier: MIT
 *
 * systemd's protocol of memory pressure: whoever started the process may name, in its environment, somebody who will tell it.
 *
 *     MEMORY_PRESSURE_WATCH=/path       a file of the kernel   write, then POLLPRI; never read
 *                                       a FIFO                 write, then POLLIN; read
 *                                       an AF_UNIX socket      connect, write, then POLLIN; read
 *                                       /dev/null              pressure is none of this process's business
 *     MEMORY_PRESSURE_WRITE=base64      what is written right after opening; may have zeros in it
 *
 * What a FIFO or a socket says is a call, whatever it is. The protocol gives no meaning to it; who knows us may say more, a line for
 * each call: "yellow", "orange" or "red", and behind it, if he likes, how much he wants: "orange 50M". A line that comes in two pieces,
 * which one write of less than a page never does, is a call like any other.
 *
 * A FIFO is opened for both directions, so that it has a writer always: with none, poll() would return at once for ever. Bytes
 * that we have written into it ourselves come back to us and are no pressure. A file that is not the kernel's is not written
 * to: the variable may be a mistake.
 *
 * The environment is read once, by the constructor, and copied: programs move and overwrite it.
 */
#include "governor/sources_priv.h"
#include "governor/text_priv.h"

/* Who floods us is read so often at a time, and then again after the governor has done its work. */
#define DRAIN_ROUNDS 16u

/* What to write to a kernel's file when nobody said so: at least one task waits for 150 ms of 2 s. */
static const char default_write[] = "some 150000 2000000";

static struct ebb_watch
    watch; /* written by ebb__watch_note() before a second thread exists, constant after */

void ebb__watch_note(void)
{
    const char *path = ebb__os_env("MEMORY_PRESSURE_WATCH");
    const char *code = ebb__os_env("MEMORY_PRESSURE_WRITE");
    watch.wish = EBB_WATCH_UNSAID;
    watch.write_bytes = 0;
    if (path == NULL)
        return;
    if (path[0] == '\0' || strcmp(path, "/dev/null") == 0) {
        watch.wish = EBB_WATCH_OFF;
        return;
    }
    size_t len = strlen(path);
    if (path[0] != '/' || len >= sizeof(watch.path))
        return;
    if (code != NULL) {
        long n = ebb__text_base64(ebb__text(code, strlen(code)), watch.write, sizeof(watch.write));
        if (n < 0)
            return;
        watch.write_bytes = (uint16_t)n;
    }
    memcpy(watch.path, path, len + 1);
    watch.wish = EBB_WATCH_PATH;
}

const struct ebb_watch *ebb__watch(void)
{
    return &watch;
}

static void understand(struct ebb_text line, struct ebb_watch_call *call)
{
    uint32_t level;
    uint64_t bytes;
    if (!ebb__text_call(line, &level, &bytes))
        return;
    call->level = level > call->level ? level : call->level;
    call->bytes = bytes <= UINT64_MAX - call->bytes ? call->bytes + bytes : UINT64_MAX;
}

/* Takes the whole lines out of a buffer, whose rest moves to its front. A line as long as the buffer is none. Returns how long the rest is. */
static size_t take_lines(char *text, size_t len, size_t most, struct ebb_watch_call *call)
{
    struct ebb_text rest = ebb__text(text, len), line;
    while (memchr(rest.at, '\n', ebb__text_len(rest)) != NULL && ebb__text_until(&rest, '\n', &line))
        understand(line, call);
    size_t left = ebb__text_len(rest);
    memmove(text, rest.at, left);
    return left < most ? left : 0;
}

bool ebb__watch_drain(int fd, struct ebb_watch_call *ret_call)
{
    char text[512];
    size_t len = 0;
    long n = 1;
    *ret_call = (struct ebb_watch_call){0};
    for (unsigned i = 0; i < DRAIN_ROUNDS && n > 0; i++) {
        n = ebb__os_fd_read(fd, text + len, sizeof(text) - len);
        if (n > 0) {
            ret_call->read_bytes += (size_t)n;
            len = take_lines(text, len + (size_t)n, sizeof(text), ret_call);
        }
    }
    understand(ebb__text(text, len), ret_call); /* the last one need not end */
    return n > 0 || n == -EAGAIN;
}

static int write_wish(const struct ebb_watch *w, int fd, int kind)
{
    if (w->write_bytes != 0)
        return ebb__os_fd_write(fd, w->write, w->write_bytes);
    return kind == EBB_OS_KERNEL_FILE ? ebb__os_fd_write(fd, default_write, sizeof(default_write)) : 0;
}

int ebb__watch_open(const struct ebb_watch *w, const char *root, short *ret_events, uint8_t *ret_kind,
                    bool *ret_seen)
{
    char path[EBB_PATH_BYTES];
    struct ebb_watch_call drained = {0};
    int rc = ebb__place_name(path, root, w->path, strlen(w->path), "");
    int kind = rc == 0 ? ebb__os_fd_kind(path) : rc;
    if (kind < 0)
        return kind;
    if (kind == EBB_OS_OTHER)
        return -ENOTSUP;
    int fd = kind == EBB_OS_SOCKET ? ebb__os_fd_connect(path) : ebb__os_fd_open(path, EBB_OS_READ_WRITE);
    if (fd < 0)
        return fd;
    rc = write_wish(w, fd, kind);
    if (rc != 0) {
        ebb__os_fd_close(fd);
        return rc;
    }
    if (kind == EBB_OS_FIFO)
        (void)ebb__watch_drain(fd, &drained);
    *ret_seen = drained.read_bytes > w->write_bytes;
    *ret_events = kind == EBB_OS_KERNEL_FILE ? EBB_OS_POLL_PRI : EBB_OS_POLL_IN;
    *ret_kind = (uint8_t)kind;
    return fd;
}
