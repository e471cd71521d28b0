/* SPDX-License-Identifier: MIT
 *
 * Prints the books of a process as one line of JSON, for the tests of src/books:
 * books_sample [--sql WHERE] [--defaults-file FILE] [--budget-ms N] [--root DIR] PID
 */
#include <stdlib.h>
#include <string.h>

#include "books/books.h"
#include "tool/json.h"

static void put_fact(struct ebb_json *json, const struct ebb_books *books, const struct ebb_books_row *row)
{
    struct ebb_fact fact = ebb__books_fact(books, row);

    if (fact.known)
        ebb__json_number(json, row->name, fact.value);
    else
        ebb__json_null(json, row->name);
}

static void put_facts(struct ebb_json *json, const struct ebb_books *books)
{
    size_t count;
    const struct ebb_books_row *rows = ebb__books_rows(books->kind, &count);

    ebb__json_open(json, "facts", '{');
    for (size_t i = 0; i < count; i++)
        put_fact(json, books, &rows[i]);
    ebb__json_close(json, '{');
    ebb__json_open(json, "unknown", '{');
    for (size_t i = 0; i < count; i++)
        if (!ebb__books_fact(books, &rows[i]).known)
            ebb__json_string(
                json, rows[i].name,
                ebb__books_why(books,
                               (const struct ebb_fact *)(const void *)((const char *)books + rows[i].at)));
    ebb__json_close(json, '{');
}

static void put_items(struct ebb_json *json, const struct ebb_books_items *list)
{
    ebb__json_open(json, "items", '{');
    ebb__json_bool(json, "known", list->known);
    ebb__json_string(json, "why", list->why);
    ebb__json_number(json, "total_count", list->total_count);
    ebb__json_signed(json, "total_bytes", list->total_bytes);
    if (list->instruments.known) {
        ebb__json_number(json, "instruments", list->instruments.value);
        ebb__json_number(json, "instruments_on", list->instruments_on.value);
    }
    ebb__json_open(json, "list", '[');
    for (size_t i = 0; i < list->count; i++) {
        ebb__json_open(json, NULL, '{');
        ebb__json_string(json, "name", list->items[i].name);
        ebb__json_signed(json, "bytes", list->items[i].bytes);
        ebb__json_signed(json, "high_bytes", list->items[i].high_bytes);
        ebb__json_signed(json, "count", list->items[i].count);
        if (list->items[i].offset.known)
            ebb__json_number(json, "offset", list->items[i].offset.value);
        ebb__json_close(json, '{');
    }
    ebb__json_close(json, '[');
    ebb__json_close(json, '{');
}

static void put_sessions(struct ebb_json *json, const struct ebb_books_sessions *list)
{
    ebb__json_open(json, "sessions", '{');
    ebb__json_bool(json, "known", list->known);
    ebb__json_string(json, "why", list->why);
    ebb__json_number(json, "total_count", list->total_count);
    ebb__json_signed(json, "total_bytes", list->total_bytes);
    ebb__json_open(json, "list", '[');
    for (size_t i = 0; i < list->count; i++) {
        const struct ebb_books_session *session = &list->sessions[i];

        ebb__json_open(json, NULL, '{');
        ebb__json_number(json, "id", session->id);
        if (session->tid.known)
            ebb__json_number(json, "tid", session->tid.value);
        if (session->bytes_known) {
            ebb__json_signed(json, "bytes", session->bytes);
            ebb__json_signed(json, "high_bytes", session->high_bytes);
        }
        ebb__json_string(json, "name", session->name);
        ebb__json_string(json, "command", session->command);
        ebb__json_close(json, '{');
    }
    ebb__json_close(json, '[');
    ebb__json_close(json, '{');
}

int main(int argc, char **argv)
{
    struct ebb_books_options options = {.root = ""};
    struct ebb_json json = {.stream = stdout};
    struct ebb_books books;
    const char *kind;

    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";

        if (strcmp(argv[i], "--sql") == 0 && ++i)
            options.sql = value;
        else if (strcmp(argv[i], "--defaults-file") == 0 && ++i)
            options.defaults_file = value;
        else if (strcmp(argv[i], "--root") == 0 && ++i)
            options.root = value;
        else if (strcmp(argv[i], "--budget-ms") == 0 && ++i)
            options.budget_ms = (unsigned)strtoul(value, NULL, 10);
        else
            options.pid = (pid_t)strtol(argv[i], NULL, 10);
    }
    ebb__books_read(&options, &books);
    kind = ebb__books_kind_name(books.kind);
    ebb__json_open(&json, NULL, '{');
    ebb__json_string(&json, "kind", kind != NULL ? kind : "");
    ebb__json_bool(&json, "answered", books.answered);
    ebb__json_string(&json, "why", books.why);
    ebb__json_string(&json, "asked", books.asked);
    ebb__json_string(&json, "version", books.version);
    ebb__json_string(&json, "product", books.product);
    ebb__json_string(&json, "malloc_library", books.malloc_library);
    ebb__json_string(&json, "state", books.state);
    ebb__json_number(&json, "elapsed_ms", books.elapsed_ms);
    put_facts(&json, &books);
    put_items(&json, &books.items);
    put_sessions(&json, &books.sessions);
    ebb__json_close(&json, '{');
    putchar('\n');
    ebb__books_fini(&books);
    return 0;
}
