/* SPDX-License-Identifier: MIT
 *
 * Shared memory files on this kernel: what is taken and refused, that no descriptor stays, and a page that cannot be had.
 */
#include "support.h"

#include "os/os.h"
#include "refuse.h"
#include "shared.h"
#include "worker.h"

static void files_are_taken_and_refused(void)
{
    int before = program_fds();
    errno = 77;
    check_shared();
    EXPECT_EQ(program_fds(), before);
}

static void errno_stays(void)
{
    void *addr = NULL;
    size_t bytes = 0;
    errno = 77;
    EXPECT(ebb__os_map_shared("/nothing", 1, &addr, &bytes) == -ENOENT && errno == 77);
    int fd = make_shared(4096, F_SEAL_SHRINK);
    errno = 78;
    EXPECT(ebb__os_map_shared(shared_path, 4096, &addr, &bytes) == 0 && errno == 78);
    EXPECT(ebb__os_touch(addr, 4096) == 0 && errno == 78);
    (void)close(fd);
}

/* Behind the end of a file there is no page to be had, as in one for which there is no memory: SIGBUS for who touches it. */
static void what_cannot_be_had_is_an_error(void)
{
    size_t page = ebb__os_page_bytes();
    int fd = make_shared((off_t)(2 * page), F_SEAL_GROW);
    char *p = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    EXPECT(p != MAP_FAILED);
    EXPECT_EQ(ebb__os_touch(p, 2 * page), 0);
    EXPECT(ftruncate(fd, (off_t)page) == 0);
    EXPECT_EQ(ebb__os_touch(p, page), 0);
    EXPECT_EQ(ebb__os_touch(p, 2 * page), -EFAULT);
    EXPECT_EQ(ebb__os_touch(p + page + 4, 1), -EFAULT);
    EXPECT_EQ(ebb__os_touch(p + page - 1, 2), -EFAULT);
}

static void a_filter_is_an_error(void)
{
    void *addr = NULL;
    size_t bytes = 0;
    int fd = make_shared(4096, F_SEAL_SHRINK);
    EXPECT(fd >= 0);
    SKIP_WITHOUT_FILTERS(refuse(SYS_mmap, EPERM));
    EXPECT_EQ(ebb__os_map_shared(shared_path, 4096, &addr, &bytes), -EPERM);
    EXPECT(addr == NULL && bytes == 0);
    EXPECT(refuse(SYS_openat, EACCES));
    EXPECT_EQ(ebb__os_map_shared(shared_path, 4096, &addr, &bytes), -EACCES);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(files_are_taken_and_refused),
        CASE(errno_stays),
        CASE(what_cannot_be_had_is_an_error),
        CASE(a_filter_is_an_error),
    };
    return RUN_CASES(cases);
}
