/* SPDX-License-Identifier: MIT
 * <ebb/pressure.h>: subscriptions under their public names. errno is kept, as by everything that returns -errno. */
#include "ebb/pressure.h"
#include "governor/governor.h"

int ebb_pressure_subscribe(const struct ebb_pressure_subscriber *subscriber)
{
    int saved = errno;
    int number = ebb__governor_subscribe(subscriber);
    errno = saved;
    return number;
}

int ebb_pressure_unsubscribe(int number)
{
    int saved = errno;
    int rc = ebb__governor_unsubscribe(number);
    errno = saved;
    return rc;
}

int ebb_pressure_last(struct ebb_pressure_note *ret_note)
{
    if (ret_note->size_of_struct != sizeof(*ret_note))
        return -EINVAL;
    ebb__governor_last_note(ret_note);
    return 0;
}
