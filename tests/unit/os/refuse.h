/* SPDX-License-Identifier: MIT
 * A system call filter for tests: some calls fail from now on in this process, as in a sandbox or on an old kernel. */
#ifndef EBB_TESTS_REFUSE_H
#define EBB_TESTS_REFUSE_H

#include "support.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* pre: numbers below 2^31. False when this machine or emulator has no filters. */
static inline bool refuse_by(const unsigned *numbers, unsigned count, uint32_t action)
{
    struct sock_filter code[16];
    unsigned short n = 0;
    EXPECT(count <= 6);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (unsigned i = 0; i < count; i++) {
        code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, numbers[i], 0, 1);
        code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action);
    }
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {.len = n, .filter = code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static inline bool refuse(unsigned number, int error)
{
    return refuse_by(&number, 1, SECCOMP_RET_ERRNO | (uint32_t)error);
}

#define SKIP_WITHOUT_FILTERS(installed)                                                                      \
    do {                                                                                                     \
        if (!(installed)) {                                                                                  \
            (void)printf("%s: skipped, no system call filters here: %s\n", __func__, strerror(errno));       \
            return;                                                                                          \
        }                                                                                                    \
    } while (0)

#endif
