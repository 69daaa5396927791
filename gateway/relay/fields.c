// SPDX-License-Identifier: MIT
#include "relay/fields.h"

#include "base/clock.h"
#include "base/nearest.h"
#include "base/quantity.h"

#include <stdio.h>
#include <stdlib.h>

static void append(struct fields *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void append(struct fields *f, const char *format, ...) {
    size_t at = strlen(f->path);
    va_list args;
    va_start(args, format);
    vsnprintf(f->path + at, sizeof f->path - at, format, args);
    va_end(args);
}

void fields_enter(struct fields *f, struct bytes name, char was[300]) {
    memcpy(was, f->path, sizeof f->path);
    append(f, "%.*s.", BYTES_FMT(name));
}

void fields_enter_item(struct fields *f, const char *name, size_t i, char was[300]) {
    memcpy(was, f->path, sizeof f->path);
    append(f, "%s[%zu].", name, i + 1);
}

void fields_leave(struct fields *f, const char was[300]) { memcpy(f->path, was, sizeof f->path); }

void fields_fault(struct fields *f, const char *name, const char *format, ...) {
    char words[200];
    va_list args;
    if (f->bad) return;
    va_start(args, format);
    vsnprintf(words, sizeof words, format, args);
    va_end(args);
    f->bad = true;
    size_t path = strlen(f->path);
    if (!name[0] && path && f->path[path - 1] == '.') path--; // the table itself
    err_set(f->err, "%s: %.*s%s%s%s", f->file, (int)path, f->path, name, path || name[0] ? ": " : "", words);
}

static bool is_known(struct bytes name, const char *const *names, struct nearest *near) {
    for (; *names; names++) {
        if (bytes_equal(name, bytes_of(*names))) return true;
        nearest_offer(near, *names);
    }
    return false;
}

void fields_known(struct fields *f, const struct json *map, const char *const *names) {
    size_t count;
    // A table without an entry is a list as well.
    if (json_kind(map) != JSON_MAP && !(json_kind(map) == JSON_LIST && !json_count(map)))
        return fields_fault(f, "", "a table of names and values is expected");
    const char **given = fields_names(f, map, &count);
    for (size_t i = 0; i < count; i++) {
        struct nearest near = nearest_to(bytes_of(given[i]));
        struct buf hint = {0};
        if (is_known(bytes_of(given[i]), names, &near)) continue;
        nearest_hint(&near, &hint);
        fields_fault(f, given[i], "unknown key%s", buf_z(&hint));
        buf_release(&hint);
    }
}

// The value, where it is given and nothing has gone wrong yet.
static const struct json *given(const struct fields *f, const struct json *map, const char *name) {
    const struct json *value = f->bad ? NULL : json_get(map, name);
    return json_kind(value) == JSON_NOTHING ? NULL : value;
}

bool fields_number(struct fields *f, const struct json *map, const char *name, double least, double most, double *out) {
    const struct json *value = given(f, map, name);
    double n;
    if (!value) return false;
    if (!json_number(value, &n) || !(n >= least && n <= most))
        return fields_fault(f, name, "a number from %g to %g is expected", least, most), false;
    *out = n;
    return true;
}

bool fields_count(struct fields *f, const struct json *map, const char *name, int64_t least, int64_t most, int64_t *out) {
    const struct json *value = given(f, map, name);
    int64_t n;
    if (!value) return false;
    if (!json_int(value, &n) || n < least || n > most)
        return fields_fault(f, name, "a whole number from %lld to %lld is expected", (long long)least, (long long)most), false;
    *out = n;
    return true;
}

bool fields_flag(struct fields *f, const struct json *map, const char *name, bool *out) {
    const struct json *value = given(f, map, name);
    if (!value) return false;
    if (json_bool(value, out)) return true;
    return fields_fault(f, name, "true or false is expected"), false;
}

bool fields_text(struct fields *f, const struct json *map, const char *name, struct bytes *out) {
    const struct json *value = given(f, map, name);
    struct bytes text;
    if (!value) return false;
    if (!json_text(value, &text)) return fields_fault(f, name, "a text is expected"), false;
    *out = arena_copy(f->arena, text);
    return true;
}

static bool duration_of(const struct json *value, int64_t *ms) {
    struct bytes text;
    double seconds;
    int64_t whole, millis;
    uint64_t n;
    if (json_number(value, &seconds) && seconds >= 0 && seconds < 1e10) {
        *ms = (int64_t)(seconds * 1000);
        return true;
    }
    if (!json_text(value, &text)) return false;
    if (bytes_ends_nocase(text, BYTES("ms")) && bytes_to_u64(bytes_first(text, text.len - 2), &n) && n < 100000000) {
        millis = (int64_t)n;
        *ms = millis;
        return true;
    }
    if (!quantity_duration(text, &whole) || whole > 10000000000) return false;
    *ms = whole * 1000;
    return true;
}

bool fields_duration(struct fields *f, const struct json *map, const char *name, int64_t *ms) {
    const struct json *value = given(f, map, name);
    if (!value) return false;
    if (duration_of(value, ms)) return true;
    return fields_fault(f, name, "a duration is expected ('300ms', '90s', '24h', '2d')"), false;
}

bool fields_size(struct fields *f, const struct json *map, const char *name, uint64_t *bytes) {
    const struct json *value = given(f, map, name);
    struct bytes text;
    int64_t n;
    if (!value) return false;
    if (json_int(value, &n) && n >= 0) {
        *bytes = (uint64_t)n;
        return true;
    }
    if (json_text(value, &text) && quantity_size(text, bytes)) return true;
    return fields_fault(f, name, "a size is expected ('20kB', '1MiB')"), false;
}

bool fields_time(struct fields *f, const struct json *map, const char *name, int64_t *ms) {
    const struct json *value = given(f, map, name);
    struct bytes text;
    int64_t after;
    if (!value) return false;
    if (json_text(value, &text) && clock_from_iso(text, ms)) return true;
    if (!duration_of(value, &after))
        return fields_fault(f, name, "a time is expected ('2026-11-24T10:00Z', or '3d10h' after the start)"), false;
    *ms = f->start_ms + after;
    return true;
}

bool fields_choice(struct fields *f, const struct json *map, const char *name, const char *const *names, int *out) {
    struct bytes text = BYTES("");
    struct buf list = {0};
    if (!given(f, map, name) || !fields_text(f, map, name, &text)) return false;
    for (int i = 0; names[i]; i++) {
        if (bytes_equal(text, bytes_of(names[i]))) {
            *out = i;
            buf_release(&list);
            return true;
        }
        buf_format(&list, "%s'%s'", i ? ", " : "", names[i]);
    }
    fields_fault(f, name, "one of %s is expected", buf_z(&list));
    buf_release(&list);
    return false;
}

size_t fields_texts(struct fields *f, const struct json *map, const char *name, struct bytes **out) {
    const struct json *value = given(f, map, name);
    struct bytes text;
    size_t count = json_text(value, &text) ? 1 : json_count(value);
    if (!value || !count) return 0;
    struct bytes *list = arena_alloc(f->arena, count * sizeof *list);
    for (size_t i = 0; i < count; i++) {
        const struct json *one = json_kind(value) == JSON_TEXT ? value : json_item(value, i);
        if (!json_text(one, &text)) return fields_fault(f, name, "a text or a list of texts is expected"), 0;
        list[i] = arena_copy(f->arena, text);
    }
    *out = list;
    return count;
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

const char **fields_names(struct fields *f, const struct json *map, size_t *count) {
    void *at = NULL;
    struct bytes name;
    const struct json *value;
    const char **names = arena_alloc(f->arena, (json_count(map) + 1) * sizeof *names);
    *count = 0;
    while (json_kind(map) == JSON_MAP && json_next(map, &at, &name, &value)) names[(*count)++] = arena_z(f->arena, name);
    if (*count) qsort(names, *count, sizeof *names, by_text);
    return names;
}
