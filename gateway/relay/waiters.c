// SPDX-License-Identifier: MIT
#include "relay/waiters.h"

#include "base/map.h"
#include "relay/order.h"
#include "relay/runner.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    CALL_MOST = 256,              // of what the limit counts, called and not heard of
    OUT_MOST = 8192,              // messages called and not back
    TOGETHER = 100,               // recipients of a message that are called as one
    KEEP_MS = 2000,               // so long the room is kept for those called
    SLOW_MS = 5 * 60 * 1000,         // those that are not heard of by then (a slow lane) keep nobody else from being called
    LOST_MS = 10 * 60 * 1000,     // nobody stays away for longer and keeps his place
    PAUSE_MS = 20,
    BLOCKED_MS = 30 * 1000,       // the longest pause where those called do not get as far as the grant
    PROBE_MS = 5 * 60 * 1000,     // first; each that learns nothing new doubles it
    PROBE_LONGEST_MS = 60 * 60 * 1000,
    ROUND_MS = 500,               // those called within that time are counted together
    TURNS_MOST = 64,              // of a class, looked at together
};

static const struct bytes prefix = {"limit:", 6}, suffix = {"/recipients", 11};

struct spot {
    struct spot *next;
    bool recipients, quiet;   // quiet: all that stand there are called
    uint64_t cap, cap_now;    // of the place; of those who last came from there
    int64_t probe_ms, probe_wait_ms; // when to look without room; INT64_MAX: not yet said
    uint64_t probe_most;
    size_t outs;              // of its messages called and not back
    // While some are chosen:
    uint64_t probe_left;
    bool found, more;         // somebody stands there; in turns that were not looked at, too
};

// Those called at about the same time.
struct round {
    struct round *older;
    int64_t at_ms;
    uint64_t units;   // not heard of
    size_t messages;  // not back
};

struct out { // a message of which some are called, and not back
    char key[8];
    struct spot *place;
    struct round *round;
    uint64_t units; // not heard of; 0: it has asked for its grant
};

struct waiters {
    struct spot *places;
    struct round *rounds; // the newest first
    struct map out;       // by id
    struct passing passing;
    uint64_t last_turn[ORDER_CLASSES];
    int64_t again_ms, pause_ms;
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
    return of->account.len < SPEND_ACCOUNT_MAX && bytes_to_u64(bytes_skip(place, (size_t)slash + 1), &of->cap);
}

static struct spot *find(const struct waiters *ws, const struct place_of *of) {
    struct spot *p = ws ? ws->places : NULL;
    while (p && (p->cap != of->cap || p->recipients != of->recipients)) p = p->next;
    return p;
}

void waiters_add(struct waiters **at, const struct place_of *of) {
    if (!*at) *at = must_alloc(sizeof **at);
    struct spot *p = find(*at, of);
    if (!p) {
        p = must_alloc(sizeof *p);
        *p = (struct spot){.next = (*at)->places, .cap = of->cap, .cap_now = of->cap, .recipients = of->recipients,
                            .probe_ms = INT64_MAX, .probe_wait_ms = PROBE_MS, .probe_most = 1};
        (*at)->places = p;
    }
    p->quiet = false;
}

void waiters_probe(struct waiters *ws) {
    for (struct spot *p = ws ? ws->places : NULL; p; p = p->next) {
        p->probe_ms = 0;
        p->probe_wait_ms = PROBE_MS;
        p->quiet = false;
    }
}

// ---- those who are called

static struct out *out_of(const struct waiters *ws, uint64_t id) {
    char key[8];
    put_be64(key, id);
    return map_get(&ws->out, bytes_range(key, sizeof key));
}

static struct round *round_of(struct waiters *ws, int64_t now_ms) {
    struct round *r = ws->rounds;
    if (r && now_ms >= r->at_ms && now_ms - r->at_ms < ROUND_MS) return r;
    r = must_alloc(sizeof *r);
    *r = (struct round){.older = ws->rounds, .at_ms = now_ms};
    ws->rounds = r;
    return r;
}

static void note_out(struct waiters *ws, struct spot *p, uint64_t id, uint64_t units, int64_t now_ms) {
    struct out *o = must_alloc(sizeof *o);
    *o = (struct out){.place = p, .round = round_of(ws, now_ms), .units = units};
    put_be64(o->key, id);
    o->round->units += units;
    o->round->messages++;
    p->outs++;
    map_put(&ws->out, bytes_range(o->key, sizeof o->key), o);
}

static void heard(struct out *o) {
    o->round->units -= o->units;
    o->units = 0;
}

static void end_out(struct waiters *ws, struct out *o) {
    heard(o);
    o->round->messages--;
    o->place->quiet = false;
    o->place->outs--;
    map_remove(&ws->out, bytes_range(o->key, sizeof o->key));
    free(o);
}

static bool is_within(const struct round *r, int64_t now_ms, int64_t most_ms) {
    return now_ms >= r->at_ms && now_ms - r->at_ms <= most_ms;
}

static uint64_t unheard(const struct waiters *ws, int64_t now_ms, int64_t most_ms) {
    uint64_t sum = 0;
    for (const struct round *r = ws ? ws->rounds : NULL; r && is_within(r, now_ms, most_ms); r = r->older) sum += r->units;
    return sum;
}

uint64_t waiters_reserved(const struct waiters *ws, int64_t now_ms) { return unheard(ws, now_ms, KEEP_MS); }

// Should one never be heard of again, it is called once more some time.
static void forget_lost(struct waiters *ws, int64_t now_ms) {
    for (struct round **at = &ws->rounds, *r; (r = *at);) {
        size_t i = 0;
        void *value;
        while (r->messages && !is_within(r, now_ms, LOST_MS) && map_next(&ws->out, &i, NULL, &value))
            if (((struct out *)value)->round == r) end_out(ws, value);
        if (r->messages) {
            at = &r->older;
            continue;
        }
        *at = r->older;
        free(r);
    }
}

bool waiters_arrived(struct waiters *ws, const struct place_of *from, uint64_t id, uint64_t cap, int64_t now_ms) {
    struct spot *p = find(ws, from);
    struct out *o = p ? out_of(ws, id) : NULL;
    if (!o || o->place != p) return false;
    bool in_time = is_within(o->round, now_ms, KEEP_MS);
    heard(o);
    if (p->cap_now != cap) p->probe_wait_ms = PROBE_MS;
    p->cap_now = cap;
    p->probe_most = 1;
    ws->pause_ms = 0;
    return in_time;
}

void waiters_back(struct waiters *ws, uint64_t id, bool elsewhere, int64_t now_ms) {
    struct out *o = ws ? out_of(ws, id) : NULL;
    if (!o) return;
    if (o->units && elsewhere) { // perhaps they all have another way now
        o->place->probe_most = o->place->probe_most * 4 < CALL_MOST ? o->place->probe_most * 4 : CALL_MOST;
        o->place->probe_ms = now_ms;
        o->place->probe_wait_ms = PROBE_MS;
    } else if (o->units) {
        ws->pause_ms = ws->pause_ms ? ws->pause_ms * 2 : PAUSE_MS;
        if (ws->pause_ms > BLOCKED_MS) ws->pause_ms = BLOCKED_MS;
        ws->again_ms = now_ms + ws->pause_ms;
    }
    end_out(ws, o);
}

// ---- whose turn it is

struct candidate { // a turn in a place
    struct spot *place;
    enum priority priority; // NONE: the order of age, as one turn of class normal
    uint64_t hash;
    struct due after;       // looked at up to here
    uint64_t debt;          // rounds to be passed over
    bool ended;
};

struct choice {
    struct waiters *waiters;
    struct worker *worker;
    struct bytes account;
    struct candidate *turns[ORDER_CLASSES];
    size_t count[ORDER_CLASSES], at[ORDER_CLASSES];
    uint64_t taken, budget;
    int64_t now_ms;
    struct due *called;
    size_t called_count;
    // While turns are read:
    struct spot *place;
    size_t class, read;
    uint64_t stop;
};

static uint64_t room_of(const struct spot *p, uint64_t taken) { return p->cap_now > taken ? p->cap_now - taken : 0; }

static uint64_t may_call(const struct choice *c, const struct spot *p) {
    uint64_t room = room_of(p, c->taken);
    if (room < p->probe_left) room = p->probe_left;
    return room < c->budget ? room : c->budget;
}

static struct bytes text_of(const struct choice *c, const struct spot *p, char text[WAITERS_PLACE]) {
    return waiters_place(&(struct place_of){c->account, p->cap, p->recipients}, text);
}

static void add_candidate(struct choice *c, const struct parked_turn *turn) {
    size_t n = c->count[c->class]++;
    if ((n & (n - 1)) == 0) c->turns[c->class] = must_realloc(c->turns[c->class], (n ? n * 2 : 1) * sizeof **c->turns);
    c->turns[c->class][n] = (struct candidate){.place = c->place, .priority = turn->priority, .hash = turn->hash};
    c->place->found = true;
}

static bool add_by_age(void *arg, const struct parked_turn *turn) {
    if (!turn->priority) add_candidate(arg, turn);
    return false;
}

static bool add_turn(void *arg, const struct parked_turn *turn) {
    struct choice *c = arg;
    enum priority wanted = (enum priority)(c->class + PRIORITY_URGENT);
    if (turn->priority < wanted) return true; // the order of age comes before all classes
    if (turn->priority > wanted || turn->hash > c->stop) return false;
    if (c->read++ == TURNS_MOST) c->place->more = true;
    else add_candidate(c, turn);
    return !c->place->more;
}

// The turns of a class in a place: from the one behind the last that had its turn, once around.
static void read_turns(struct choice *c, struct spot *p, size_t class) {
    char text[WAITERS_PLACE];
    struct bytes place = text_of(c, p, text);
    struct reader *reader = c->worker->reader;
    enum priority priority = (enum priority)(class + PRIORITY_URGENT);
    struct parked_turn last = {.priority = priority, .hash = c->waiters->last_turn[class]};
    struct parked_turn before = {.priority = priority - 1, .hash = UINT64_MAX};
    c->place = p;
    c->class = class;
    c->read = 0;
    c->stop = UINT64_MAX;
    if (priority == PRIORITY_NORMAL) reader_parked_turns(reader, place, &(struct parked_turn){0}, add_by_age, c);
    reader_parked_turns(reader, place, &last, add_turn, c);
    c->stop = last.hash;
    if (!p->more) reader_parked_turns(reader, place, &before, add_turn, c);
}

// One sender's turns in several places stand together, the lowest cap (the oldest step of a warmup) in front.
static void sort_turns(struct choice *c, size_t class) {
    struct candidate *all = c->turns[class];
    uint64_t first = c->waiters->last_turn[class] + 1;
    for (size_t i = 1; i < c->count[class]; i++) {
        struct candidate turn = all[i];
        size_t k = i;
        for (; k > 0; k--) {
            const struct candidate *before = &all[k - 1];
            uint64_t mine = turn.hash - first, theirs = before->hash - first;
            if (theirs < mine || (theirs == mine && before->place->cap <= turn.place->cap)) break;
            all[k] = *before;
        }
        all[k] = turn;
    }
}

// ---- choosing

struct taking { // one message
    const struct waiters *waiters;
    struct candidate *turn;
    struct due *into;
    size_t count, most;
};

static bool collect(void *arg, uint64_t id, uint32_t n) {
    struct taking *t = arg;
    if (t->count ? id != t->into[0].id : out_of(t->waiters, id) != NULL) return t->count == 0;
    t->turn->after = (struct due){.id = id, .n = n};
    t->into[t->count++] = t->turn->after;
    return t->count < t->most;
}

// Calls the next message of a turn; what it counts for, 0: there is none.
static uint64_t call_one(struct choice *c, struct candidate *turn) {
    char text[WAITERS_PLACE];
    struct spot *p = turn->place;
    uint64_t room = may_call(c, p), most = p->recipients && room < TOGETHER ? room : TOGETHER;
    c->called = must_realloc(c->called, (c->called_count + TOGETHER) * sizeof *c->called);
    struct taking t = {.waiters = c->waiters, .turn = turn, .into = c->called + c->called_count, .most = most};
    struct due after = turn->after;
    reader_parked_of(c->worker->reader, text_of(c, p, text), turn->priority, turn->hash, &after, collect, &t);
    turn->ended = t.count == 0;
    if (turn->ended) return 0;
    uint64_t units = p->recipients ? t.count : 1;
    if (!room_of(p, c->taken)) p->probe_left -= units < p->probe_left ? units : p->probe_left;
    note_out(c->waiters, p, t.into[0].id, units, c->now_ms);
    c->called_count += t.count;
    c->taken += units;
    c->budget -= units;
    turn->debt = units - 1;
    return units;
}

// The turn behind those that stand together with this one.
static size_t behind(const struct choice *c, size_t class, size_t i) {
    const struct candidate *all = c->turns[class];
    size_t next = i + 1;
    while (next < c->count[class] && all[next].hash == all[i].hash) next++;
    return next % c->count[class];
}

// One step of the ring of a class. False: nobody there can be called.
static bool step(struct choice *c, size_t class) {
    size_t open = 0;
    for (size_t tried = 0, i = c->at[class]; tried < c->count[class]; tried++, i = (i + 1) % c->count[class]) {
        struct candidate *turn = &c->turns[class][i];
        if (turn->ended || !may_call(c, turn->place)) continue;
        open++;
        if (turn->debt) {
            turn->debt--;
            continue;
        }
        if (!call_one(c, turn)) continue;
        c->at[class] = behind(c, class, i);
        c->waiters->last_turn[class] = turn->hash;
        return true;
    }
    return open > 0;
}

static void choose(struct choice *c) {
    struct passing *passing = &c->waiters->passing;
    size_t waiting[ORDER_CLASSES], class;
    memcpy(waiting, c->count, sizeof waiting);
    while (c->budget && (class = passing_next(passing, waiting)) < ORDER_CLASSES) {
        uint64_t before = c->budget;
        if (!step(c, class)) waiting[class] = 0;
        else if (c->budget < before) passing_took(passing, waiting, class);
    }
}

static bool is_open(const struct choice *c, const struct spot *p) { return !p->quiet && may_call(c, p) > 0; }

static void begin(struct choice *c) {
    for (struct spot *p = c->waiters->places; p; p = p->next) {
        if (p->probe_ms == INT64_MAX) p->probe_ms = c->now_ms + PROBE_MS;
        bool probes = c->now_ms >= p->probe_ms;
        p->probe_left = probes && !room_of(p, c->taken) ? p->probe_most : 0;
        p->found = p->more = false;
        if (!probes) continue;
        p->quiet = false;
        p->probe_ms = c->now_ms + p->probe_wait_ms;
        p->probe_wait_ms = p->probe_wait_ms * 2 < PROBE_LONGEST_MS ? p->probe_wait_ms * 2 : PROBE_LONGEST_MS;
    }
}

// Drops the places that were looked at and where nobody stands.
static void tidy(struct choice *c, const bool *looked) {
    for (struct spot **at = &c->waiters->places, *p; (p = *at); looked++) {
        if (*looked && may_call(c, p) && !p->more) p->quiet = true;
        if (!*looked || p->found || p->outs) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        free(p);
    }
}

static void look(struct choice *c) {
    size_t places = 0;
    for (const struct spot *p = c->waiters->places; p; p = p->next) places++;
    bool *looked = must_alloc((places + 1) * sizeof *looked), any = false;
    size_t i = 0;
    for (const struct spot *p = c->waiters->places; p; p = p->next) any |= looked[i++] = is_open(c, p);
    if (any) {
        reader_begin(c->worker->reader);
        i = 0;
        for (struct spot *p = c->waiters->places; p; p = p->next, i++)
            for (size_t class = 0; looked[i] && class < ORDER_CLASSES; class++) read_turns(c, p, class);
        for (size_t class = 0; class < ORDER_CLASSES; class++) sort_turns(c, class);
        choose(c);
        reader_end(c->worker->reader);
        tidy(c, looked);
    }
    free(looked);
}

void waiters_call(struct waiters **at, struct worker *w, struct bytes account, uint64_t taken, int64_t now_ms) {
    struct waiters *ws = *at;
    if (!ws) return;
    forget_lost(ws, now_ms);
    uint64_t under_way = unheard(ws, now_ms, SLOW_MS);
    bool pauses = now_ms < ws->again_ms && ws->again_ms - now_ms <= BLOCKED_MS;
    if (pauses || under_way > CALL_MOST / 2 || ws->out.count >= OUT_MOST) return;
    struct choice c = {.waiters = ws, .worker = w, .account = account, .taken = taken + under_way, .budget = CALL_MOST - under_way, .now_ms = now_ms};
    begin(&c);
    look(&c);
    if (c.called_count) {
        ws->again_ms = now_ms + PAUSE_MS;
        runner_call(w->gateway, account, c.called, c.called_count);
    }
    for (size_t class = 0; class < ORDER_CLASSES; class++) free(c.turns[class]);
    free(c.called);
    if (!ws->places) waiters_free(at);
}

int64_t waiters_next(const struct waiters *ws, uint64_t taken, int64_t next_free_ms, int64_t now_ms) {
    int64_t next = INT64_MAX;
    uint64_t under_way = unheard(ws, now_ms, SLOW_MS);
    for (const struct spot *p = ws ? ws->places : NULL; p; p = p->next) {
        int64_t at = p->probe_ms < INT64_MAX ? p->probe_ms : now_ms + PROBE_MS;
        bool room = room_of(p, taken + under_way) > 0;
        if (!p->quiet && !room && next_free_ms < at) at = next_free_ms;
        if (!p->quiet && room && under_way <= CALL_MOST / 2) at = now_ms + PAUSE_MS;
        if (at < next) next = at;
    }
    if (ws && next < ws->again_ms && ws->again_ms - now_ms <= BLOCKED_MS) next = ws->again_ms;
    for (const struct round *r = ws ? ws->rounds : NULL; r && is_within(r, now_ms, SLOW_MS); r = r->older)
        if (r->units && r->at_ms + SLOW_MS < next) next = r->at_ms + SLOW_MS + 1;
    return next;
}

void waiters_show(const struct waiters *ws, struct jsonl *j) {
    jsonl_open(j, "waiting", '[');
    for (const struct spot *p = ws ? ws->places : NULL; p; p = p->next) {
        jsonl_open(j, NULL, '{');
        jsonl_int(j, "cap", (int64_t)p->cap_now);
        jsonl_int(j, "called", (int64_t)p->outs);
        jsonl_close(j, '}');
    }
    jsonl_close(j, ']');
}

void waiters_free(struct waiters **at) {
    struct waiters *ws = *at;
    size_t i = 0;
    void *value;
    *at = NULL;
    if (!ws) return;
    while (map_next(&ws->out, &i, NULL, &value)) free(value);
    map_release(&ws->out);
    for (struct round *r = ws->rounds, *older; r; r = older) {
        older = r->older;
        free(r);
    }
    for (struct spot *p = ws->places, *next; p; p = next) {
        next = p->next;
        free(p);
    }
    free(ws);
}
