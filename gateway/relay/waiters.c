// SPDX-License-Identifier: MIT
#include "relay/waiters.h"

#include "relay/runner.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

// WHOLE: as many recipients of a message as go in one transaction are called together or not at all.
enum { CALL_MAX = 512, WHOLE = 100, KEEP_MS = 2000, PROBE_MS = 5 * 60 * 1000, PAUSE_MS = 20 };

static const struct bytes prefix = {"limit:", 6}, suffix = {"/recipients", 11};

struct waiters {
    struct waiters *next;
    bool recipients;
    uint64_t cap, cap_now;  // of the place; of those who last came from there
    uint64_t called;        // and not come back yet
    int64_t called_ms;
    int64_t probe_ms;       // when to look without room, or again from the start
    uint64_t probe_most;    // more and more while those called do not come for a grant: the policy has another way for them now
    uint64_t after_id;      // all up to here have been called
    uint32_t after_n;
    bool quiet;             // nobody stands behind those that were called
};

// ---- places

struct bytes waiters_place(const struct place_of *of, char out[WAITERS_PLACE]) {
    int len = snprintf(out, WAITERS_PLACE, "limit:%.*s/%" PRIu64 "%s", BYTES_FMT(of->account), of->cap,
                       of->recipients ? suffix.at : "");
    return bytes_range(out, (size_t)len);
}

bool waiters_place_is(struct bytes place) { return bytes_starts(place, prefix); }

bool waiters_place_read(struct bytes place, struct place_of *of) {
    if (!waiters_place_is(place)) return false;
    of->recipients = bytes_ends_nocase(place, suffix);
    if (of->recipients) place.len -= suffix.len;
    ptrdiff_t slash = bytes_find_last(place, '/');
    if (slash < (ptrdiff_t)prefix.len) return false;
    of->account = bytes_range(place.at + prefix.len, (size_t)slash - prefix.len);
    return bytes_to_u64(bytes_skip(place, (size_t)slash + 1), &of->cap);
}

// ---- the list

static struct waiters *find(struct waiters *list, const struct place_of *of) {
    while (list && (list->cap != of->cap || list->recipients != of->recipients)) list = list->next;
    return list;
}

void waiters_add(struct waiters **list, const struct place_of *of, uint64_t id, uint32_t n) {
    struct waiters *p = find(*list, of);
    if (!p) {
        p = must_alloc(sizeof *p);
        *p = (struct waiters){.next = *list, .cap = of->cap, .cap_now = of->cap, .recipients = of->recipients,
                              .probe_ms = INT64_MAX, .probe_most = 1};
        *list = p;
    }
    p->quiet = false;
    // One that was called came back: it stands before those that are still to be called.
    if (p->after_id > id || (p->after_id == id && p->after_n >= n)) {
        p->after_id = n ? id : id - 1;
        p->after_n = n ? n - 1 : UINT32_MAX;
    }
}

bool waiters_arrived(struct waiters *list, const struct place_of *from, uint64_t cap, uint64_t n) {
    struct waiters *p = find(list, from);
    if (!p || p->called == 0) return false;
    p->called -= n < p->called ? n : p->called;
    p->cap_now = cap;
    p->probe_most = 1;
    return true;
}

uint64_t waiters_reserved(struct waiters *list, int64_t now_ms) {
    uint64_t sum = 0;
    for (struct waiters *p = list; p; p = p->next) {
        int64_t since = now_ms - p->called_ms;
        if (p->called && (since < 0 || since > KEEP_MS)) {
            p->called = 0;
            p->probe_ms = 0;
            p->probe_most = p->probe_most * 4 < CALL_MAX ? p->probe_most * 4 : CALL_MAX;
        }
        sum += p->called;
    }
    return sum;
}

void waiters_probe(struct waiters *list) {
    for (; list; list = list->next) list->probe_ms = 0;
}

// ---- calling

struct found {
    const struct waiters *place;
    struct due at[CALL_MAX];
    size_t count;
    uint64_t units, most; // of what the limit counts
};

static bool collect(void *arg, uint64_t id, uint32_t n) {
    struct found *f = arg;
    const struct waiters *p = f->place;
    if (id < p->after_id || (id == p->after_id && n <= p->after_n)) return true;
    bool another = p->recipients || !f->count || f->at[f->count - 1].id != id;
    if (another && (f->units == f->most || f->count > CALL_MAX - WHOLE)) return false;
    f->units += another;
    f->at[f->count++] = (struct due){.id = id, .n = n};
    return f->count < CALL_MAX;
}

// True: somebody may stand behind those that were found.
static bool look(struct worker *w, struct bytes account, struct found *f) {
    char text[WAITERS_PLACE];
    struct bytes place = waiters_place(&(struct place_of){account, f->place->cap, f->place->recipients}, text);
    reader_begin(w->reader);
    bool all = reader_parked(w->reader, place, collect, f);
    reader_end(w->reader);
    return !all;
}

static uint64_t room(const struct waiters *p, uint64_t taken) { return p->cap_now > taken ? p->cap_now - taken : 0; }

// False: nobody waits here any more.
static bool call(struct waiters *p, struct worker *w, struct bytes account, uint64_t taken, int64_t now_ms) {
    bool probe = now_ms >= p->probe_ms;
    uint64_t most = room(p, taken);
    if (probe && p->quiet) p->after_id = p->after_n = 0; // some may have come back unheard
    else if (p->quiet) return true;
    if (most == 0 && !probe) return true;
    if (probe && most < p->probe_most) most = p->probe_most;
    struct found f = {.place = p, .most = most};
    p->quiet = !look(w, account, &f);
    if (f.count == 0 && p->after_id == 0) return false;
    p->probe_ms = now_ms + (p->quiet ? 2 * KEEP_MS : PROBE_MS);
    if (f.count == 0) return true;
    p->called += f.units;
    p->called_ms = now_ms;
    p->after_id = f.at[f.count - 1].id;
    p->after_n = f.at[f.count - 1].n;
    runner_call(w->gateway, f.at, f.count);
    return true;
}

void waiters_call(struct waiters **list, struct worker *w, struct bytes account, uint64_t taken, int64_t now_ms) {
    for (struct waiters **at = list; *at;) {
        struct waiters *p = *at;
        uint64_t was = p->called;
        if (p->probe_ms == INT64_MAX) p->probe_ms = now_ms + PROBE_MS;
        if (call(p, w, account, taken, now_ms)) {
            taken += p->called - was;
            at = &p->next;
            continue;
        }
        *at = p->next;
        free(p);
    }
}

int64_t waiters_next(struct waiters *list, uint64_t taken, int64_t next_free_ms, int64_t now_ms) {
    int64_t next = INT64_MAX;
    for (struct waiters *p = list; p; p = p->next) {
        int64_t at = p->probe_ms;
        if (!p->quiet && next_free_ms < at) at = next_free_ms;
        if (!p->quiet && room(p, taken)) at = now_ms + PAUSE_MS;
        if (p->called && p->called_ms + KEEP_MS < at) at = p->called_ms + KEEP_MS;
        if (at < next) next = at;
    }
    return next;
}

void waiters_show(struct waiters *list, struct jsonl *j) {
    jsonl_open(j, "waiting", '[');
    for (struct waiters *p = list; p; p = p->next) {
        jsonl_open(j, NULL, '{');
        jsonl_int(j, "cap", (int64_t)p->cap_now);
        jsonl_int(j, "called", (int64_t)p->called);
        jsonl_close(j, '}');
    }
    jsonl_close(j, ']');
}

void waiters_free(struct waiters **list) {
    for (struct waiters *p = *list, *next; p; p = next) {
        next = p->next;
        free(p);
    }
    *list = NULL;
}
