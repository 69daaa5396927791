// SPDX-License-Identifier: MIT
#include "cli/loose_ends.h"

#include "base/map.h"
#include "base/nearest.h"
#include "base/quantity.h"
#include "policy/watched.h"

#include <stdio.h>
#include <stdlib.h>

// Where a script looked at limits: the first account of each such line that is not spent, and whether any is.
struct look {
    struct look *next;
    struct bytes where, key, account;
    int64_t window_s;
};

struct loose_ends {
    struct arena arena;
    struct look *looks, **end;
    struct map seen;  // "WHERE ACCOUNT" of looks
    struct map spent; // accounts -> key, NUL-terminated
    bool sends;       // some plan of the trial does
};

struct telling {
    struct loose_ends *ends;
    struct map identities, users; // names, NUL-terminated
    void (*warn)(void *arg, const char *text);
    void *arg;
};

struct loose_ends *loose_ends_new(void) {
    struct loose_ends *ends = must_alloc(sizeof *ends);
    ends->end = &ends->looks;
    return ends;
}

void loose_ends_free(struct loose_ends **at) {
    struct loose_ends *ends = *at;
    *at = NULL;
    if (!ends) return;
    map_release(&ends->seen);
    map_release(&ends->spent);
    arena_release(&ends->arena);
    free(ends);
}

// ---- the trial

static struct bytes text_of(const struct json *map, const char *name) {
    struct bytes text = BYTES("");
    json_text(json_get(map, name), &text);
    return text;
}

static struct bytes account_of(struct arena *arena, struct bytes key, int64_t window_s) {
    return arena_format(arena, "%.*s/%lld", BYTES_FMT(key), (long long)window_s);
}

static void note_look(struct loose_ends *ends, const struct json *looked) {
    int64_t window_s;
    if (!json_get(looked, "limit") || !json_int(json_get(looked, "window_s"), &window_s)) return;
    struct look *look = arena_alloc(&ends->arena, sizeof *look);
    look->where = arena_copy(&ends->arena, text_of(looked, "where"));
    look->key = arena_copy(&ends->arena, text_of(looked, "limit"));
    look->window_s = window_s;
    look->account = account_of(&ends->arena, look->key, window_s);
    struct bytes both = arena_format(&ends->arena, "%s %s", look->where.at, look->account.at);
    if (map_put(&ends->seen, both, look)) return;
    *ends->end = look;
    ends->end = &look->next;
}

static void note_spends(struct loose_ends *ends, const struct json *spends) {
    for (size_t i = 0; i < json_count(spends); i++) {
        const struct json *s = json_item(spends, i);
        int64_t window_s = 0;
        struct bytes key = text_of(s, "key");
        json_int(json_get(s, "window_s"), &window_s);
        map_put(&ends->spent, account_of(&ends->arena, key, window_s), arena_z(&ends->arena, key));
    }
}

static void note_plan(struct loose_ends *ends, const struct json *plan) {
    for (; plan; plan = json_get(plan, "otherwise")) {
        note_spends(ends, json_get(plan, "spend"));
        ends->sends = ends->sends || bytes_equal(text_of(plan, "do"), BYTES("send"));
    }
}

void loose_ends_decided(struct loose_ends *ends, const struct json *decision) {
    const struct json *looked = json_get(decision, "looked"), *tally = json_get(decision, "tally");
    for (size_t i = 0; i < json_count(looked); i++) note_look(ends, json_item(looked, i));
    note_spends(ends, json_get(decision, "spend"));
    note_plan(ends, json_get(decision, "plan"));
    for (size_t i = 0; i < json_count(tally); i++) {
        struct bytes account;
        if (!json_text(json_item(tally, i), &account)) continue;
        ptrdiff_t slash = bytes_find_last(account, '/');
        map_put(&ends->spent, account, arena_z(&ends->arena, bytes_first(account, slash < 0 ? account.len : (size_t)slash)));
    }
}

// ---- warnings

__attribute__((format(printf, 2, 3))) static void warn(struct telling *t, const char *format, ...) {
    va_list args;
    struct buf words = {0};
    va_start(args, format);
    buf_formatv(&words, format, args);
    va_end(args);
    t->warn(t->arg, buf_z(&words));
    buf_release(&words);
}

// " (did you mean 'acme'?)", or "".
static const char *hint(struct telling *t, struct bytes wanted, const struct map *known) {
    struct nearest near = nearest_to(wanted);
    struct buf words = {0};
    struct bytes name;
    void *z;
    for (size_t at = 0; map_next(known, &at, &name, &z);) nearest_offer(&near, z);
    nearest_hint(&near, &words);
    const char *kept = arena_z(&t->ends->arena, buf_bytes(&words));
    buf_release(&words);
    return kept;
}

static bool line_is_spent(const struct loose_ends *ends, struct bytes where) {
    for (const struct look *l = ends->looks; l; l = l->next)
        if (bytes_equal(l->where, where) && map_get(&ends->spent, l->account)) return true;
    return false;
}

// The window under which the key is spent; 0: under none.
static int64_t other_window(const struct loose_ends *ends, struct bytes key) {
    struct bytes account;
    void *z;
    for (size_t at = 0; map_next(&ends->spent, &at, &account, &z);)
        if (bytes_equal(bytes_of(z), key)) return atoll(account.at + key.len + 1);
    return 0;
}

static void tell_looks(struct telling *t) {
    struct loose_ends *ends = t->ends;
    struct map told = {0};
    for (const struct look *l = ends->looks; ends->sends && l; l = l->next) {
        char window[QUANTITY_TEXT], other[QUANTITY_TEXT];
        if (line_is_spent(ends, l->where) || map_put(&told, l->where, ends)) continue;
        quantity_duration_text(l->window_s, window);
        int64_t spent_s = other_window(ends, l->key);
        quantity_duration_text(spent_s, other);
        if (spent_s) warn(t, "%s: how much is left of the limit '%s' in %s is asked here, but it is spent in windows of %s", l->where.at, l->key.at, window, other);
        else warn(t, "%s: how much is left of the limit '%s' (in %s) is asked here, but nothing that was tried spends it%s", l->where.at, l->key.at, window,
                  hint(t, l->key, &ends->spent));
    }
    map_release(&told);
}

// A way may be made of another one in the same line (a preset): then only the last of them is held.
static bool has_held_twin(const struct watched *all, const struct watched *one) {
    for (const struct watched *w = all; w; w = w->next)
        if (w->held && strcmp(w->where, one->where) == 0 && bytes_equal(w->name, one->name)) return true;
    return false;
}

static void tell_name(struct telling *t, const struct watched *w) {
    static const struct bytes of_identity = {"identity/", 9}, of_user = {"user/", 5};
    if (bytes_starts(w->name, of_identity)) {
        struct bytes name = bytes_skip(w->name, of_identity.len);
        if (!map_get(&t->identities, name))
            warn(t, "%s: the limit '%s' is for an identity that the policy does not define%s", w->where, w->name.at, hint(t, name, &t->identities));
    } else if (bytes_starts(w->name, of_user) && t->users.count) {
        struct bytes name = bytes_skip(w->name, of_user.len);
        if (!map_get(&t->users, name))
            warn(t, "%s: the limit '%s' is for a user that is not in the users file%s", w->where, w->name.at, hint(t, name, &t->users));
    }
}

static void tell_watched(struct telling *t, struct generation *g) {
    const struct watched *all = generation_watched(g);
    for (const struct watched *w = all; w; w = w->next) {
        bool limit = bytes_starts(bytes_of(w->kind), BYTES("limit."));
        if (limit) tell_name(t, w);
        else if (!w->held && *w->where && !has_held_twin(all, w))
            warn(t, "%s: %s '%s' is made here, and nothing uses it", w->where, w->kind, w->name.at);
    }
}

static void tell_user(struct telling *t, const char *file, struct bytes name, const struct json *facts, bool tried) {
    static const char *const windows[] = {"per_minute", "per_hour", "per_day"};
    struct bytes identity = text_of(facts, "identity"), account;
    const char *z = arena_z(&t->ends->arena, name);
    if (identity.len && t->identities.count && !map_get(&t->identities, identity))
        warn(t, "%s: %s: identity=%.*s: the policy defines no such identity%s", file, z, BYTES_FMT(identity), hint(t, identity, &t->identities));
    if (!tried) return;
    void *key;
    for (size_t at = 0; map_next(&t->ends->spent, &at, &account, &key);)
        if (bytes_search(account, name) >= 0) return;
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++)
        if (json_get(facts, windows[i]))
            return warn(t, "%s: %s: %s= is not held: nothing that was tried spends a limit of this user (users.limits makes them, for `spend`)", file, z,
                        windows[i]);
}

static void know_names(struct telling *t, struct generation *g, const struct users *users) {
    struct bytes lines = generation_identities(g), name, facts;
    while (lines.len) {
        struct json *row = json_parse(bytes_cut(&lines, '\n'), NULL);
        name = text_of(row, "identity");
        if (name.len) map_put(&t->identities, name, arena_z(&t->ends->arena, name));
        json_free(&row);
    }
    for (size_t at = 0; users_next(users, &at, &name, &facts);) map_put(&t->users, name, arena_z(&t->ends->arena, name));
}

void loose_ends_tell(struct loose_ends *ends, struct generation *g, const struct users *users, const char *users_file, struct bytes login,
                     void (*fn)(void *arg, const char *text), void *arg) {
    struct telling t = {.ends = ends, .warn = fn, .arg = arg};
    struct bytes name, facts;
    know_names(&t, g, users);
    tell_watched(&t, g);
    tell_looks(&t);
    for (size_t at = 0; users_next(users, &at, &name, &facts);) {
        struct json *map = json_parse(facts, NULL);
        tell_user(&t, users_file, name, map, ends->sends && bytes_equal(name, login));
        json_free(&map);
    }
    map_release(&t.identities);
    map_release(&t.users);
}
