// SPDX-License-Identifier: MIT
// json: reads JSON text into values and walks them. [jansson]
//
// What json_parse returns is the caller's until json_free; all other values are parts of it and live as long.
// Strict (RFC 8259): UTF-8 only, no repeated names, no U+0000 in texts, integers are 64 bits wide and stay integers,
// nesting is bounded. The readers take NULL and a value of another kind, and then say false (or NULL, or 0), so
// that json_text(json_get(json_get(j, "a"), "b"), &text) is one test. Writing is the jsonl room's affair.
// A value is not to be used by two threads at a time.
#pragma once

#include "base/bytes.h"
#include "base/err.h"

struct json;

enum json_kind { JSON_NOTHING, JSON_BOOL, JSON_INT, JSON_FLOAT, JSON_TEXT, JSON_LIST, JSON_MAP };

must_use struct json *json_parse(struct bytes text, struct err *err); // any kind of value, and nothing behind it
void json_free(struct json **j);                                      // NULL inside is fine

enum json_kind json_kind(const struct json *j); // JSON_NOTHING: null, or j is NULL

const struct json *json_get(const struct json *map, const char *name); // NULL where there is none
bool json_text(const struct json *j, struct bytes *out);
bool json_int(const struct json *j, int64_t *out);
bool json_number(const struct json *j, double *out); // of an integer or a float
bool json_bool(const struct json *j, bool *out);

size_t json_count(const struct json *j); // of a list or a map; else 0
const struct json *json_item(const struct json *list, size_t i);
// Walks a map in no particular order: start with *at = NULL; false when done.
bool json_next(const struct json *map, void **at, struct bytes *name, const struct json **value);

void json_write(const struct json *j, struct buf *out); // compact, names sorted: equal values give equal text
