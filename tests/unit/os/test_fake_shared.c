/* SPDX-License-Identifier: MIT
 *
 * The test double's shared memory files: what is taken and refused as by the kernel, and each call failing.
 */
#include "support.h"

#include "os/fake.h"
#include "shared.h"

static void files_are_taken_and_refused(void)
{
    check_shared();
    EXPECT_EQ(ebb_fake.failures, 0);
}

static void each_call_fails_once(void)
{
    void *addr = NULL;
    size_t bytes = 0;
    int fd = make_shared(4096, F_SEAL_SHRINK);
    ebb_fake.fail_at = 1;
    EXPECT(ebb__os_map_shared(shared_path, 4096, &addr, &bytes) == -EACCES && addr == NULL);
    EXPECT_EQ(ebb__os_map_shared(shared_path, 4096, &addr, &bytes), 0);
    ebb_fake.fail_at = 1;
    EXPECT_EQ(ebb__os_touch(addr, bytes), -EFAULT);
    EXPECT_EQ(ebb__os_touch(addr, bytes), 0);
    EXPECT_EQ(ebb_fake.failures, 2);
    ebb_fake_reset();
    (void)close(fd);
}

static void touch_elsewhere(void *unused)
{
    static char elsewhere[8];
    (void)unused;
    (void)ebb__os_touch(elsewhere, sizeof(elsewhere));
}

static void what_is_not_mapped_ends_the_test(void)
{
    struct support_outcome out = support_capture(touch_elsewhere, NULL);
    EXPECT(support_aborted(&out) && strstr(out.text, "precondition broken") != NULL);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(files_are_taken_and_refused),
        CASE(each_call_fails_once),
        CASE(what_is_not_mapped_ends_the_test),
    };
    return RUN_CASES(cases);
}
