/* SPDX-License-Identifier: MIT
 *
 * Why a number is not known, in words; see fact.h.
 */
#include "probe/fact.h"

#include <errno.h>
#include <string.h>

const char *ebb__fact_why(struct ebb_fact fact)
{
    const char *text;

    switch (-fact.err) {
    case 0:
        return fact.known ? "known" : "not read";
    case ENODATA:
    case ENOTTY:
    case EOPNOTSUPP:
        return "this kernel does not have it";
    case ENOENT:
        return "there is no such file";
    case ESRCH:
        return "the process has ended";
    case EACCES:
    case EPERM:
        return "needs CAP_SYS_PTRACE or the same user";
    case ESTALE:
        return "the counter began anew between the looks";
    case EBADMSG:
        return "the source is damaged";
    case EMSGSIZE:
        return "the source is larger than expected";
    case EINPROGRESS:
        return "left out: it would take long (--deep)";
    default:
        text = strerrordesc_np(-fact.err);
        return text != NULL ? text : "an unknown error";
    }
}
