/* SPDX-License-Identifier: MIT
 *
 * Writing JSON to a stream; see json.h.
 */
#include "tool/json.h"

#include <inttypes.h>
#include <math.h>
#include <stddef.h>

/* Bytes of the UTF-8 character at `text`, 0 when there is none. */
static unsigned utf8_len(const unsigned char *text)
{
    unsigned len = text[0] < 0x80                      ? 1
                   : text[0] >= 0xc2 && text[0] < 0xe0 ? 2
                   : (text[0] & 0xf0) == 0xe0          ? 3
                                                       : 0;

    if (text[0] >= 0xf0 && text[0] < 0xf5)
        len = 4;
    for (unsigned i = 1; i < len; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    /* Forms that are too long, surrogates, and beyond the last code point. */
    if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] >= 0xa0) ||
        (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] >= 0x90))
        return 0;
    return len;
}

static void print_string(FILE *stream, const char *value)
{
    const unsigned char *at = (const unsigned char *)value;

    fputc('"', stream);
    while (*at != '\0') {
        unsigned len = utf8_len(at);

        if (len == 0) {
            fputs("\\ufffd", stream);
            at++;
        } else if (*at < ' ' || *at == 0x7f) {
            fprintf(stream, "\\u%04x", *at++);
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
