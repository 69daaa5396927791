// SPDX-License-Identifier: MIT
#include "policy/lab_shelf.h"

#include "base/map.h"
#include "store/shelf.h"

#include <stdlib.h>

struct entry {
    int64_t until_ms; // 0: for ever
    char *value;
};

struct lab_shelf {
    const struct clock *clock;
    struct map entries;
};

struct lab_shelf *lab_shelf_new(const struct clock *clock) {
    struct lab_shelf *shelf = must_alloc(sizeof *shelf);
    shelf->clock = clock;
    return shelf;
}

static void drop(struct entry *e) {
    if (!e) return;
    free(e->value);
    free(e);
}

void lab_shelf_clear(struct lab_shelf *shelf) {
    size_t at = 0;
    void *value;
    while (map_next(&shelf->entries, &at, NULL, &value)) drop(value);
    map_release(&shelf->entries);
}

void lab_shelf_free(struct lab_shelf **at) {
    struct lab_shelf *shelf = *at;
    *at = NULL;
    if (!shelf) return;
    lab_shelf_clear(shelf);
    free(shelf);
}

void lab_shelf_keep(struct lab_shelf *shelf, const struct keep *keep) {
    struct err err;
    struct shelf_entry checked = {.key = keep->key, .value = keep->value};
    if (!shelf_key_is_valid(keep->key)) return;
    if (!keep->value.len) return drop(map_remove(&shelf->entries, keep->key));
    if (!shelf_check(&checked, &err)) return;
    struct entry *e = must_alloc(sizeof *e);
    e->value = bytes_dupz(keep->value);
    if (keep->expires_s) e->until_ms = clock_ms(shelf->clock) + keep->expires_s * 1000;
    drop(map_put(&shelf->entries, keep->key, e));
}

bool lab_shelf_get(void *arg, struct bytes key, struct arena *texts, struct bytes *value) {
    struct lab_shelf *shelf = arg;
    const struct entry *e = map_get(&shelf->entries, key);
    if (!e || (e->until_ms && e->until_ms <= clock_ms(shelf->clock))) return false;
    *value = arena_copy(texts, bytes_of(e->value));
    return true;
}
