/* SPDX-License-Identifier: MIT
 *
 * Control requests: what the tool may ask of the background thread of a process on ebb.
 *
 * A request is one queued signal with a payload, directed at the thread that the stats page names. Nothing listens in
 * the process: no socket, no file, no handler. The thread has the signal blocked and takes it where it sleeps; a
 * process without that thread must never be sent one, because the signal's default action ends the process.
 * The answer is in the stats page: control_done rises by one, control_result says what came of it. Who may send is the
 * kernel's decision: the same user, or CAP_KILL.
 *
 *   63            48 47       40 39                      0
 *   +---------------+-----------+------------------------+
 *   | EBB_WIRE_MAGIC | operation |        argument        |
 *   +---------------+-----------+------------------------+
 *   argument of EBB_WIRE_SET:     39  setting  32 31 value 0     value in the setting's unit
 *   of the others:                0
 */
#ifndef EBB_WIRE_CONTROL_H
#define EBB_WIRE_CONTROL_H

#include "base/base.h"

/* By what the background thread is woken: the same as in os/os.h, whose sleep takes the magic off and hands everything that
 * lacks it on to the main thread, which it would end. src/wire/control.c asserts that both agree. */
#define EBB_WIRE_SIGNAL       57      /* real-time signals queue */
#define EBB_WIRE_MAGIC        0xebb5u /* in the upper 16 bits of sigval */
#define EBB_WIRE_PAYLOAD_BITS 48u

enum ebb_wire_op {
    EBB_WIRE_REFRESH = 1, /* write the summary now */
    EBB_WIRE_PURGE = 2,   /* give free memory back now, without emptying caches; result: bytes given back */
    EBB_WIRE_TRIM = 3,    /* empty thread caches and depot, then purge all; result: bytes given back */
    EBB_WIRE_SET = 4,     /* change an option of the running process */
    EBB_WIRE_PROFILE = 5, /* reserved: no library knows it yet */
};

/* Options that a running process can change: a number that stays for ever, the option's name, the unit of the payload's
 * value in bytes. Ranges are those of options.def. */
#define EBB_WIRE_SETTINGS(row) row(1, cache_bytes, 1024) row(2, caches_bytes, 1024) row(3, depot_bytes, 1024)

enum ebb_wire_setting_id {
#define EBB_WIRE_SETTING_ID(id, name, unit) EBB_WIRE_SETTING_##name = (id),
    EBB_WIRE_SETTINGS(EBB_WIRE_SETTING_ID)
#undef EBB_WIRE_SETTING_ID
};

struct ebb_wire_setting {
    unsigned id;
    const char *name;
    uint64_t unit; /* values are multiples of it */
    uint64_t min, max;
};

#define EBB_WIRE_SETTING_COUNT               (0 EBB_WIRE_SETTINGS(EBB_WIRE_SETTING_ONE))
#define EBB_WIRE_SETTING_ONE(id, name, unit) +1

/* The setting at a position below EBB_WIRE_SETTING_COUNT, in the order of the table. */
struct ebb_wire_setting ebb__wire_setting(unsigned position);

/* The setting of that name (which need not end), or of that number. False when there is none. */
bool ebb__wire_setting_named(const char *name, size_t len, struct ebb_wire_setting *ret_setting);
bool ebb__wire_setting_of(unsigned id, struct ebb_wire_setting *ret_setting);

struct ebb_wire_request {
    enum ebb_wire_op op;
    unsigned setting; /* enum ebb_wire_setting_id, for EBB_WIRE_SET; else 0 */
    uint64_t value;   /* as the option is written: bytes; else 0 */
};

/* 0 and the 48 bits; -EINVAL for an operation or setting that is not known, an argument where none belongs, or a value
 * that is not a multiple of the unit; -ERANGE for a value outside the option's range. */
int ebb__wire_control_encode(const struct ebb_wire_request *request, uint64_t *ret_payload);

/* The other way, in the process that was asked: the payload may come from a tool of another version, or from anybody who
 * may signal us. 0, -EINVAL, -ERANGE as above; -ENOTSUP for an operation or setting of a later version. */
int ebb__wire_control_decode(uint64_t payload, struct ebb_wire_request *ret_request);

/* What stands in sigval for a payload. */
EBB_INLINE uint64_t ebb__wire_sigval(uint64_t payload)
{
    return (uint64_t)EBB_WIRE_MAGIC << EBB_WIRE_PAYLOAD_BITS | payload;
}

#endif
