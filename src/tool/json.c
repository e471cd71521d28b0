/* SPDX-License-Identifier: MIT
 *
 * Writing JSON to a stream; see json.h.
 */
#include "tool/json.h"

#include <inttypes.h>
#include <math.h>
#include <stddef.h>

#include "tool/utf8.h"

static void print_string(FILE *stream, const char *value)
{
    const char *at = value;

    fputc('"', stream);
    while (*at != '\0') {
        unsigned len = ebb__utf8_len(at);

        if (len == 0) {
            fputs("\\ufffd", stream);
            at++;
        } else if (len == 1 && ebb__utf8_is_control(at)) {
            fprintf(stream, "\\u%04x", (unsigned char)*at++);
        } else {
            if (*at == '"' || *at == '\\')
                fputc('\\', stream);
            fwrite(at, 1, len, stream);
            at += len;
        }
    }
    fputc('"', stream);
}

static void begin(struct ebb_json *json, const char *key)
{
    if (json->has_before)
        fputc(',', json->stream);
    json->has_before = true;
    if (key != NULL) {
        print_string(json->stream, key);
        fputc(':', json->stream);
    }
}

void ebb__json_open(struct ebb_json *json, const char *key, char bracket)
{
    begin(json, key);
    fputc(bracket, json->stream);
    json->has_before = false;
}

void ebb__json_close(struct ebb_json *json, char bracket)
{
    fputc(bracket == '{' ? '}' : ']', json->stream);
    json->has_before = true;
}

void ebb__json_number(struct ebb_json *json, const char *key, uint64_t value)
{
    begin(json, key);
    fprintf(json->stream, "%" PRIu64, value);
}

void ebb__json_signed(struct ebb_json *json, const char *key, int64_t value)
{
    begin(json, key);
    fprintf(json->stream, "%" PRId64, value);
}

void ebb__json_real(struct ebb_json *json, const char *key, double value)
{
    if (!isfinite(value)) {
        ebb__json_null(json, key);
        return;
    }
    begin(json, key);
    fprintf(json->stream, "%.10g", value);
}

void ebb__json_bool(struct ebb_json *json, const char *key, bool value)
{
    begin(json, key);
    fputs(value ? "true" : "false", json->stream);
}

void ebb__json_null(struct ebb_json *json, const char *key)
{
    begin(json, key);
    fputs("null", json->stream);
}

void ebb__json_string(struct ebb_json *json, const char *key, const char *value)
{
    begin(json, key);
    print_string(json->stream, value);
}
