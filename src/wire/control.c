/* SPDX-License-Identifier: MIT
 *
 * Control requests as numbers; see control.h.
 */
#include "wire/control.h"

#include "os/os.h"

EBB_STATIC_ASSERT(EBB_WIRE_SIGNAL == EBB_OS_WAKE_SIGNAL && EBB_WIRE_MAGIC == EBB_OS_WAKE_MAGIC &&
                      EBB_WIRE_PAYLOAD_BITS == EBB_OS_WAKE_PAYLOAD_BITS,
                  "a request is a wake with something to say");

#define OP_SHIFT      40
#define SETTING_SHIFT 32
#define OP_MASK       UINT64_C(0xff)
#define SETTING_MASK  UINT64_C(0xff)
#define VALUE_MASK    UINT64_C(0xffffffff)
#define ARGUMENT_MASK ((UINT64_C(1) << OP_SHIFT) - 1)

#define ROW(id, name, unit) EBB_STATIC_ASSERT((id) > 0 && (id) <= 255, #name ": a byte holds the number");
EBB_WIRE_SETTINGS(ROW)
#undef ROW

/* The ranges, by the options' names: a setting that is no option does not compile. */
enum {
#define OPTION(name, kind, def, min, max, unit, help) OPTION_##name,
#include "conf/options.def"
#undef OPTION
};

static const struct {
    uint64_t min, max;
} ranges[] = {
#define OPTION(name, kind, def, min, max, unit, help) {min, max},
#include "conf/options.def"
#undef OPTION
};

static const struct {
    unsigned id;
    unsigned option;
    const char *name;
    uint64_t unit;
} settings[] = {
#define ROW(id, name, unit) {id, OPTION_##name, #name, unit},
    EBB_WIRE_SETTINGS(ROW)
#undef ROW
};

EBB_STATIC_ASSERT(EBB_ARRAY_COUNT(settings) == EBB_WIRE_SETTING_COUNT, "one row for each setting");

struct ebb_wire_setting ebb__wire_setting(unsigned position)
{
    return (struct ebb_wire_setting){
        .id = settings[position].id,
        .name = settings[position].name,
        .unit = settings[position].unit,
        .min = ranges[settings[position].option].min,
        .max = ranges[settings[position].option].max,
    };
}

bool ebb__wire_setting_named(const char *name, size_t len, struct ebb_wire_setting *ret_setting)
{
    for (unsigned i = 0; i < EBB_WIRE_SETTING_COUNT; i++)
        if (strlen(settings[i].name) == len && memcmp(settings[i].name, name, len) == 0) {
            *ret_setting = ebb__wire_setting(i);
            return true;
        }
    return false;
}

bool ebb__wire_setting_of(unsigned id, struct ebb_wire_setting *ret_setting)
{
    for (unsigned i = 0; i < EBB_WIRE_SETTING_COUNT; i++)
        if (settings[i].id == id) {
            *ret_setting = ebb__wire_setting(i);
            return true;
        }
    return false;
}

static bool takes_argument(enum ebb_wire_op op)
{
    return op == EBB_WIRE_SET;
}

int ebb__wire_control_encode(const struct ebb_wire_request *request, uint64_t *ret_payload)
{
    uint64_t argument = 0;
    if (request->op < EBB_WIRE_REFRESH || request->op > EBB_WIRE_SET)
        return -EINVAL;
    if (!takes_argument(request->op)) {
        if (request->setting != 0 || request->value != 0)
            return -EINVAL;
    } else {
        struct ebb_wire_setting setting;
        if (!ebb__wire_setting_of(request->setting, &setting) || request->value % setting.unit != 0)
            return -EINVAL;
        if (request->value < setting.min || request->value > setting.max)
            return -ERANGE;
        argument = (uint64_t)setting.id << SETTING_SHIFT | request->value / setting.unit;
    }
    *ret_payload = (uint64_t)request->op << OP_SHIFT | argument;
    return 0;
}

int ebb__wire_control_decode(uint64_t payload, struct ebb_wire_request *ret_request)
{
    struct ebb_wire_request request = {.op = (enum ebb_wire_op)(payload >> OP_SHIFT & OP_MASK)};
    if (payload >> EBB_WIRE_PAYLOAD_BITS != 0 || request.op < EBB_WIRE_REFRESH)
        return -EINVAL;
    if (request.op > EBB_WIRE_SET)
        return -ENOTSUP;
    if (!takes_argument(request.op)) {
        if ((payload & ARGUMENT_MASK) != 0)
            return -EINVAL;
    } else {
        struct ebb_wire_setting setting;
        request.setting = (unsigned)(payload >> SETTING_SHIFT & SETTING_MASK);
        if (!ebb__wire_setting_of(request.setting, &setting))
            return -ENOTSUP;
        request.value = (payload & VALUE_MASK) * setting.unit;
        if (request.value < setting.min || request.value > setting.max)
            return -ERANGE;
    }
    *ret_request = request;
    return 0;
}
