// SPDX-License-Identifier: MIT
#include "relay/recall.h"

#include "relay/runner.h"

enum { CALL_MAX = 512, KEEP_MS = 2000, AGAIN_MS = 500, READ_TURNS = 32, TURN_STAYS = 16 };
enum { HOLD_MS = 1000, HOLD_LONGEST_MS = 64 * 1000 };
enum { PROBE_MS = 5 * 60 * 1000, PROBE_LONGEST_MS = 60 * 60 * 1000, PROBE_AGAIN_MS = 2000 };

struct found {
    struct due at[CALL_MAX];
    size_t count, most;
};

static bool collect(void *arg, uint64_t id, uint32_t n) {
    struct found *f = arg;
    f->at[f->count++] = (struct due){.id = id, .n = n};
    return f->count < f->most;
}

// ---- one turn

static void rewind_turn(struct turn *t, int64_t now_ms) {
    // Those that were called and have no outcome yet still stand there: look again, but not at once.
    t->after_this = (struct due){0};
    t->again_ms = now_ms + AGAIN_MS;
}

// Calls up to `most`. Nothing found from the start: nobody is parked there any more.
static void call(struct turn *t, struct worker *w, struct bytes lane, size_t most, int64_t now_ms) {
    struct found f = {.most = most < CALL_MAX ? most : CALL_MAX};
    bool from_start = !t->after_this.id;
    enum priority priority = t->by_age ? PRIORITY_NONE : t->priority;
    reader_begin(w->reader);
    reader_parked_of(w->reader, lane, priority, t->hash, &t->after_this, collect, &f);
    reader_end(w->reader);
    if (f.count == 0 && from_start) {
        t->parked = false;
        return;
    }
    runner_call(w->gateway, BYTES(""), f.at, f.count);
    if (f.count) {
        t->after_this = f.at[f.count - 1];
        t->called += f.count;
        t->called_ms = now_ms;
    }
    if (f.count < f.most) rewind_turn(t, now_ms);
}

void recall_arrived(struct turn *turn, size_t recipients) {
    turn->called -= recipients < turn->called ? recipients : turn->called;
}

void recall_limited(struct turn *turn, int64_t now_ms) {
    if (now_ms < turn->held_until_ms) return; // one of several that asked together
    turn->hold_ms = turn->hold_ms * 2 < HOLD_LONGEST_MS ? turn->hold_ms * 2 : HOLD_LONGEST_MS;
    if (turn->hold_ms < HOLD_MS) turn->hold_ms = HOLD_MS;
    turn->held_until_ms = now_ms + turn->hold_ms;
}

void recall_granted(struct turn *turn) { turn->hold_ms = turn->held_until_ms = 0; }

// Those called that have gone another way do not come: they are not waited for for ever.
static void forget_called(struct turn *t, int64_t now_ms) {
    int64_t since = now_ms - t->called_ms;
    if (t->called && (since < 0 || since > KEEP_MS)) t->called = 0;
}

static bool is_wanted(const struct class *c, const struct turn *t, size_t room) {
    // Others wait to be known: it has had its share for now, and is found again later.
    if (c->unread && c->count == ORDER_TURNS && t->taken >= TURN_STAYS) return false;
    return t->parked && (t->waiting + t->called) * 2 <= room;
}

static int64_t earlier(int64_t a, int64_t b) { return a && a < b ? a : b; }

// When to come again, as recall_some.
static int64_t visit(struct class *c, struct turn *t, struct worker *w, struct bytes lane, size_t room, int64_t now_ms) {
    forget_called(t, now_ms);
    if (!is_wanted(c, t, room)) return t->parked && t->called ? KEEP_MS : 0;
    if (now_ms < t->again_ms && t->again_ms - now_ms <= AGAIN_MS) return t->again_ms - now_ms;
    if (now_ms < t->held_until_ms && t->held_until_ms - now_ms <= HOLD_LONGEST_MS) return t->held_until_ms - now_ms;
    if (t->hold_ms && t->called + t->waiting) return KEEP_MS; // the one that finds out is under way
    call(t, w, lane, t->hold_ms ? 1 : room - t->waiting - t->called, now_ms);
    return t->parked ? RECALL_PAUSE_MS : 0;
}

// ---- the turns that are not known

struct reading {
    struct order *order;
    struct class *class;
    enum priority priority;
    size_t fresh;
    bool full;
};

static bool read_turn(void *arg, const struct parked_turn *turn) {
    struct reading *r = arg;
    if (turn->priority < r->priority) return true; // by age: known from the start
    if (turn->priority > r->priority) return false;
    struct turn *t = order_turn(r->order, r->priority, turn->name, true);
    r->full = !t || r->fresh == READ_TURNS;
    if (r->full) return false;
    r->fresh += !t->parked;
    t->parked = true;
    r->class->read = (struct parked_turn){.priority = turn->priority, .hash = turn->hash};
    return true;
}

static void read_turns(struct order *order, enum priority priority, struct worker *w, struct bytes lane) {
    struct class *c = order_class(order, priority);
    struct reading r = {order, c, priority, 0, false};
    if (!c->unread || c->count == ORDER_TURNS) return;
    struct parked_turn from = c->read;
    bool from_start = !from.priority;
    // The walk begins with the class, not with those before it.
    if (from_start && priority > PRIORITY_URGENT) from = (struct parked_turn){.priority = priority - 1, .hash = UINT64_MAX};
    reader_begin(w->reader);
    reader_parked_turns(w->reader, lane, &from, read_turn, &r);
    reader_end(w->reader);
    if (r.full) return;
    if (from_start) c->unread = false; // all of them
    c->read = (struct parked_turn){0};
}

void recall_all_unread(struct order *order) {
    for (enum priority p = PRIORITY_URGENT; p < PRIORITY_COUNT; p++) order_class(order, p)->unread = true;
    struct turn *old = order_turn(order, PRIORITY_NORMAL, BYTES(""), true);
    if (!old) return;
    old->by_age = old->parked = true;
    old->hash = 0;
}

void recall_look(struct order *order, struct worker *w, struct bytes lane) {
    for (enum priority p = PRIORITY_URGENT; p < PRIORITY_COUNT; p++) {
        order_class(order, p)->unread = true;
        read_turns(order, p, w, lane);
    }
}

void recall_note(struct order *order, enum priority priority, struct bytes name) {
    struct turn *turn = order_turn(order, priority, name, true);
    if (!turn) order_class(order, priority)->unread = true;
    if (!turn) return;
    turn->parked = true;
    turn->again_ms = 0;
}

int64_t recall_some(struct order *order, struct worker *w, struct bytes lane, size_t class_room, int64_t now_ms) {
    int64_t again = 0;
    for (enum priority p = PRIORITY_URGENT; p < PRIORITY_COUNT; p++) {
        struct class *c = order_class(order, p);
        read_turns(order, p, w, lane);
        size_t room = order_room(c, class_room);
        for (size_t i = c->count; i-- > 0;) { // one that is dropped has the last one in its place
            struct turn *t = c->turns[i];
            int64_t wait = visit(c, t, w, lane, room, now_ms);
            if (wait) again = earlier(again, wait);
            bool gives_way = c->unread && c->count == ORDER_TURNS && t->taken >= TURN_STAYS;
            if (!t->first && (!t->parked || gives_way)) order_drop_turn(order, t);
        }
        if (c->unread) again = earlier(again, RECALL_PAUSE_MS);
    }
    return again;
}

// ---- while nothing may start

void recall_probe_soon(struct probe *p) {
    p->at_ms = 1;
    p->wait_ms = PROBE_MS;
}

static bool is_first(const struct probe *p, const struct found *f) {
    return f->count && f->at[0].id == p->first.id && f->at[0].n == p->first.n;
}

void recall_probe(struct probe *p, struct worker *w, struct bytes lane, int64_t now_ms) {
    if (!p->at_ms) *p = (struct probe){.at_ms = now_ms + PROBE_MS, .wait_ms = PROBE_MS};
    if (now_ms < p->at_ms && p->at_ms - now_ms <= PROBE_LONGEST_MS) return;
    size_t more = p->most * 4 < CALL_MAX ? p->most * 4 : CALL_MAX;
    struct found f = {.most = more ? more : 1};
    reader_begin(w->reader);
    reader_parked(w->reader, lane, collect, &f);
    reader_end(w->reader);
    if (f.count == 0 || is_first(p, &f)) { // those who were called are back
        int64_t wait_ms = p->wait_ms * 2 < PROBE_LONGEST_MS ? p->wait_ms * 2 : PROBE_LONGEST_MS;
        *p = (struct probe){.at_ms = now_ms + p->wait_ms, .wait_ms = wait_ms};
        return;
    }
    if (p->first.id) p->wait_ms = PROBE_MS;
    p->first = f.at[0];
    p->most = f.most;
    p->at_ms = now_ms + PROBE_AGAIN_MS;
    runner_call(w->gateway, BYTES(""), f.at, f.count);
}
