// SPDX-License-Identifier: MIT
#include "script/json.h"

#include "base/bug.h"

#include <jansson.h>

// A struct json is jansson's json_t under a name of ours: the header stays free of it.
static json_t *inside(const struct json *j) {
    return (json_t *)j;
}
static struct json *ours(json_t *v) {
    return (struct json *)v;
}

struct json *json_parse(struct bytes text, struct err *err) {
    json_error_t fault;
    json_t *v =
        json_loadb(text.at ? text.at : "", text.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &fault);
    if (!v) err_set(err, "JSON, line %d column %d: %s", fault.line, fault.column, fault.text);
    return ours(v);
}

void json_free(struct json **j) {
    json_decref(inside(*j));
    *j = NULL;
}

enum json_kind json_kind(const struct json *j) {
    if (!j) return JSON_NOTHING;
    switch (json_typeof(inside(j))) {
    case JSON_OBJECT:
        return JSON_MAP;
    case JSON_ARRAY:
        return JSON_LIST;
    case JSON_STRING:
        return JSON_TEXT;
    case JSON_INTEGER:
        return JSON_INT;
    case JSON_REAL:
        return JSON_FLOAT;
    case JSON_TRUE:
    case JSON_FALSE:
        return JSON_BOOL;
    case JSON_NULL:
        break;
    }
    return JSON_NOTHING;
}

const struct json *json_get(const struct json *map, const char *name) {
    return ours(json_object_get(inside(map), name));
}

bool json_text(const struct json *j, struct bytes *out) {
    if (!json_is_string(inside(j))) return false;
    *out = bytes_range(json_string_value(inside(j)), json_string_length(inside(j)));
    return true;
}

bool json_int(const struct json *j, int64_t *out) {
    if (!json_is_integer(inside(j))) return false;
    *out = json_integer_value(inside(j));
    return true;
}

bool json_number(const struct json *j, double *out) {
    if (!json_is_number(inside(j))) return false;
    *out = json_number_value(inside(j));
    return true;
}

bool json_bool(const struct json *j, bool *out) {
    if (!json_is_boolean(inside(j))) return false;
    *out = json_is_true(inside(j));
    return true;
}

size_t json_count(const struct json *j) {
    return json_is_object(inside(j)) ? json_object_size(inside(j)) : json_array_size(inside(j));
}

const struct json *json_item(const struct json *list, size_t i) {
    return ours(json_array_get(inside(list), i));
}

bool json_next(const struct json *map, void **at, struct bytes *name, const struct json **value) {
    if (!json_is_object(inside(map))) return false;
    *at = *at ? json_object_iter_next(inside(map), *at) : json_object_iter(inside(map));
    if (!*at) return false;
    *name = bytes_of(json_object_iter_key(*at));
    *value = ours(json_object_iter_value(*at));
    return true;
}

static int write_piece(const char *piece, size_t len, void *out) {
    buf_add(out, bytes_range(piece, len));
    return 0;
}

void json_write(const struct json *j, struct buf *out) {
    bug_if(json_dump_callback(inside(j), write_piece, out, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY));
}
