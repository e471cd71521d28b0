/* SPDX-License-Identifier: MIT
 *
 * Writing JSON to a stream, one line for each document.
 */
#ifndef EBB_TOOL_JSON_H
#define EBB_TOOL_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct ebb_json {
    FILE *stream;
    bool has_before; /* something stands before at this depth */
};

/* Opens or closes an object or an array: '{' or '['. A document is one of them; after its end comes a newline, which the
 * caller prints. `key` is NULL in an array and for the document itself. Closing in the right order is the caller's. */
void ebb__json_open(struct ebb_json *json, const char *key, char bracket);
void ebb__json_close(struct ebb_json *json, char bracket);

void ebb__json_number(struct ebb_json *json, const char *key, uint64_t value);
void ebb__json_signed(struct ebb_json *json, const char *key, int64_t value);
/* What is no number in JSON, such as infinity, becomes null. */
void ebb__json_real(struct ebb_json *json, const char *key, double value);
void ebb__json_bool(struct ebb_json *json, const char *key, bool value);
void ebb__json_null(struct ebb_json *json, const char *key);

/* Bytes that are no valid UTF-8 are replaced. */
void ebb__json_string(struct ebb_json *json, const char *key, const char *value);

#endif
