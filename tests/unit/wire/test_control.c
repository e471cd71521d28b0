/* SPDX-License-Identifier: MIT
 *
 * Control requests: what is encoded comes back, and nothing else is accepted.
 */
#include "support.h"

#include "wire/control.h"

static uint64_t encoded(enum ebb_wire_op op, unsigned setting, uint64_t value)
{
    struct ebb_wire_request request = {.op = op, .setting = setting, .value = value};
    uint64_t payload = 0;
    EXPECT_EQ(ebb__wire_control_encode(&request, &payload), 0);
    return payload;
}

static int encode_error(int op, unsigned setting, uint64_t value)
{
    struct ebb_wire_request request = {.op = (enum ebb_wire_op)op, .setting = setting, .value = value};
    uint64_t payload = 77;
    int err = ebb__wire_control_encode(&request, &payload);
    EXPECT_EQ(payload, 77);
    return err;
}

static int decode_error(uint64_t payload)
{
    struct ebb_wire_request request = {.value = 77};
    int err = ebb__wire_control_decode(payload, &request);
    EXPECT_EQ(request.value, 77);
    return err;
}

static void the_numbers_are_those_of_the_format(void)
{
    EXPECT_EQ(encoded(EBB_WIRE_REFRESH, 0, 0), UINT64_C(1) << 40);
    EXPECT_EQ(encoded(EBB_WIRE_PURGE, 0, 0), UINT64_C(2) << 40);
    EXPECT_EQ(encoded(EBB_WIRE_TRIM, 0, 0), UINT64_C(3) << 40);
    EXPECT_EQ(encoded(EBB_WIRE_SET, EBB_WIRE_SETTING_cache_bytes, 65536), UINT64_C(0x040100000040));
    EXPECT_EQ(encoded(EBB_WIRE_SET, EBB_WIRE_SETTING_caches_bytes, UINT64_C(4) << 30),
              UINT64_C(0x040200400000));
    EXPECT_EQ(encoded(EBB_WIRE_SET, EBB_WIRE_SETTING_depot_bytes, 0), UINT64_C(0x040300000000));
    EXPECT(ebb__wire_sigval(UINT64_C(0x040100000040)) == UINT64_C(0xebb5040100000040));
}

static void every_request_comes_back(void)
{
    for (enum ebb_wire_op op = EBB_WIRE_REFRESH; op <= EBB_WIRE_TRIM; op++) {
        struct ebb_wire_request request;
        EXPECT_EQ(ebb__wire_control_decode(encoded(op, 0, 0), &request), 0);
        EXPECT(request.op == op && request.setting == 0 && request.value == 0);
    }
    for (unsigned i = 0; i < EBB_WIRE_SETTING_COUNT; i++) {
        struct ebb_wire_setting setting = ebb__wire_setting(i);
        uint64_t values[] = {setting.min, setting.max, setting.min + setting.unit};
        for (unsigned k = 0; k < 3; k++) {
            struct ebb_wire_request request;
            uint64_t payload = encoded(EBB_WIRE_SET, setting.id, values[k]);
            EXPECT_EQ(payload >> EBB_WIRE_PAYLOAD_BITS, 0);
            EXPECT_EQ(ebb__wire_control_decode(payload, &request), 0);
            EXPECT(request.op == EBB_WIRE_SET && request.setting == setting.id && request.value == values[k]);
        }
    }
}

static void settings_are_found(void)
{
    struct ebb_wire_setting setting, other;
    for (unsigned i = 0; i < EBB_WIRE_SETTING_COUNT; i++) {
        setting = ebb__wire_setting(i);
        EXPECT(ebb__wire_setting_of(setting.id, &other) && other.name == setting.name);
        EXPECT(ebb__wire_setting_named(setting.name, strlen(setting.name), &other) && other.id == setting.id);
        EXPECT(!ebb__wire_setting_named(setting.name, strlen(setting.name) - 1, &other));
        EXPECT(setting.min < setting.max && setting.unit != 0 && setting.max / setting.unit <= UINT32_MAX);
        EXPECT(setting.min % setting.unit == 0 && setting.max % setting.unit == 0);
    }
    EXPECT(ebb__wire_setting_named("cache_bytes=1", 11, &setting) &&
           setting.id == EBB_WIRE_SETTING_cache_bytes);
    EXPECT(setting.min == 1024 && setting.max == 1048576);
    EXPECT(!ebb__wire_setting_named("lane", 4, &setting));
    EXPECT(!ebb__wire_setting_of(0, &setting) && !ebb__wire_setting_of(255, &setting));
}

static void wrong_requests_are_refused(void)
{
    EXPECT_EQ(encode_error(0, 0, 0), -EINVAL);
    EXPECT_EQ(encode_error(EBB_WIRE_PROFILE, 0, 0), -EINVAL);
    EXPECT_EQ(encode_error(EBB_WIRE_PURGE, 1, 0), -EINVAL);
    EXPECT_EQ(encode_error(EBB_WIRE_TRIM, 0, 1), -EINVAL);
    EXPECT_EQ(encode_error(EBB_WIRE_SET, 0, 65536), -EINVAL);
    EXPECT_EQ(encode_error(EBB_WIRE_SET, EBB_WIRE_SETTING_cache_bytes, 65537), -EINVAL);
    EXPECT_EQ(encode_error(EBB_WIRE_SET, EBB_WIRE_SETTING_cache_bytes, 0), -ERANGE);
    EXPECT_EQ(encode_error(EBB_WIRE_SET, EBB_WIRE_SETTING_cache_bytes, 2 << 20), -ERANGE);

    EXPECT_EQ(decode_error(0), -EINVAL);
    EXPECT_EQ(decode_error(UINT64_C(1) << 48 | UINT64_C(1) << 40), -EINVAL);
    EXPECT_EQ(decode_error(ebb__wire_sigval(UINT64_C(1) << 40)), -EINVAL);
    EXPECT_EQ(decode_error(UINT64_C(2) << 40 | 1), -EINVAL);
    EXPECT_EQ(decode_error(UINT64_C(5) << 40), -ENOTSUP);
    EXPECT_EQ(decode_error(UINT64_C(0xff) << 40), -ENOTSUP);
    EXPECT_EQ(decode_error(UINT64_C(0x040000000001)), -ENOTSUP);
    EXPECT_EQ(decode_error(UINT64_C(0x04ff00000001)), -ENOTSUP);
    EXPECT_EQ(decode_error(UINT64_C(0x040100000000)), -ERANGE);
    EXPECT_EQ(decode_error(UINT64_C(0x0401ffffffff)), -ERANGE);
}

static void what_is_accepted_encodes_to_itself(void)
{
    struct support_rng rng = {support_seed("control")};
    unsigned accepted = 0;
    for (unsigned i = 0; i < 200000; i++) {
        uint64_t payload = support_next(&rng) & ((UINT64_C(1) << 43) - 1);
        struct ebb_wire_request request;
        if (i % 2 == 0)
            payload = UINT64_C(4) << 40 | (payload & UINT64_C(0x03000fffff));
        if (ebb__wire_control_decode(payload, &request) != 0)
            continue;
        accepted++;
        EXPECT(encoded(request.op, request.setting, request.value) == payload);
    }
    EXPECT(accepted > 1000);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(the_numbers_are_those_of_the_format),
        CASE(every_request_comes_back),
        CASE(settings_are_found),
        CASE(wrong_requests_are_refused),
        CASE(what_is_accepted_encodes_to_itself),
    };
    return RUN_CASES(cases);
}
