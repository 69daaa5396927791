// SPDX-License-Identifier: MIT
// fields: reads a table of plain values strictly: every key known, every value of its kind and within its bounds.
//
// The first fault is kept, with the file and the whole key: "peers.lua: providers.google.quota[1].window: a duration is expected
// ('90s', '24h')"; after it everything reads as not given. So a reader asks for all it knows and looks at `good` once.
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "script/json.h"

struct fields {
    const char *file;
    struct arena *arena;  // texts that are read live here
    struct err *err;
    int64_t start_ms;     // what times that are durations count from
    char path[300];       // of the table being read: "providers.google."
    bool bad;
};

// Into a table and out again: `was` keeps the path to go back to.
void fields_enter(struct fields *f, struct bytes name, char was[300]);       // "name."
void fields_enter_item(struct fields *f, const char *name, size_t i, char was[300]); // "name[1]."
void fields_leave(struct fields *f, const char was[300]);

void fields_fault(struct fields *f, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
void fields_known(struct fields *f, const struct json *map, const char *const *names); // NULL at the end; map must be one

// What is not there leaves *out alone. True: it was there and is good.
bool fields_number(struct fields *f, const struct json *map, const char *name, double least, double most, double *out);
bool fields_count(struct fields *f, const struct json *map, const char *name, int64_t least, int64_t most, int64_t *out);
bool fields_flag(struct fields *f, const struct json *map, const char *name, bool *out);
bool fields_text(struct fields *f, const struct json *map, const char *name, struct bytes *out);
bool fields_duration(struct fields *f, const struct json *map, const char *name, int64_t *ms);
bool fields_size(struct fields *f, const struct json *map, const char *name, uint64_t *bytes);
// "2026-11-24T10:00Z", or a duration from the start: "3d10h".
bool fields_time(struct fields *f, const struct json *map, const char *name, int64_t *ms);
// One of `names` (NULL at the end), by its place.
bool fields_choice(struct fields *f, const struct json *map, const char *name, const char *const *names, int *out);
// The texts of a list; one text alone is a list of one.
size_t fields_texts(struct fields *f, const struct json *map, const char *name, struct bytes **out);

// The names of a map in order of their bytes (so that a run does not depend on hashing); `count` of them.
const char **fields_names(struct fields *f, const struct json *map, size_t *count);
