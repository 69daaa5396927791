// SPDX-License-Identifier: MIT
#include "relay/order.h"

#include "base/bug.h"
#include "relay/job.h"

#include <stdlib.h>

enum { WEIGHT_SHIFT = 16, SHOWN_TURNS = 16 };

static const unsigned passed_most[ORDER_CLASSES] = {0, ORDER_NORMAL_PASSED, ORDER_BULK_PASSED};

// ---- turns

static struct turn *find(struct class *c, uint64_t hash) {
    for (size_t i = 0; i < c->count; i++)
        if (c->turns[i]->hash == hash && !c->turns[i]->by_age) return c->turns[i];
    return NULL;
}

struct turn *order_turn(struct order *order, enum priority priority, struct bytes name, bool make) {
    struct class *c = order_class(order, priority);
    uint64_t hash = bytes_hash(name);
    struct turn *turn = find(c, hash);
    if (turn || !make || c->count == ORDER_TURNS) return turn;
    if (c->count == c->room) {
        c->room = c->room ? c->room * 2 : 2;
        c->turns = must_realloc(c->turns, c->room * sizeof *c->turns);
    }
    turn = must_alloc(sizeof *turn);
    turn->hash = hash;
    turn->name = bytes_dupz(name);
    turn->priority = priority;
    c->turns[c->count++] = turn;
    return turn;
}

void order_drop_turn(struct order *order, struct turn *turn) {
    struct class *c = order_class(order, turn->priority);
    size_t i = 0;
    bug_if(turn->first);
    while (c->turns[i] != turn) i++;
    c->turns[i] = c->turns[--c->count];
    free(turn->name);
    free(turn);
    if (c->count) return;
    free(c->turns);
    c->turns = NULL;
    c->room = 0;
}

void order_release(struct order *order) {
    for (size_t i = 0; i < ORDER_CLASSES; i++)
        while (order->classes[i].count) order_drop_turn(order, order->classes[i].turns[0]);
}

size_t order_room(const struct class *c, size_t class_room) {
    size_t each = class_room / (c->count ? c->count : 1);
    return each > ORDER_LEAST ? each : ORDER_LEAST;
}

bool order_takes(const struct order *order, const struct turn *turn, size_t recipients, size_t class_room) {
    const struct class *c = &order->classes[turn->priority - PRIORITY_URGENT];
    if (!turn->first) return true;
    if (turn->waiting < ORDER_LEAST) return true;
    return c->waiting < class_room && turn->waiting + recipients <= order_room(c, class_room);
}

// ---- the ring

static void enter(struct class *c, struct turn *turn) {
    if (!c->ring) {
        c->ring = turn->before = turn->after = turn;
        return;
    }
    // Behind all that stand there.
    turn->after = c->ring;
    turn->before = c->ring->before;
    turn->before->after = turn->after->before = turn;
}

static void leave(struct class *c, struct turn *turn) {
    turn->before->after = turn->after;
    turn->after->before = turn->before;
    if (c->ring == turn) c->ring = turn->after == turn ? NULL : turn->after;
}

static uint64_t weight_of(const struct attempt *a) { return a->count + (a->job->message.body.length >> WEIGHT_SHIFT); }

static void count(struct order *order, struct turn *turn, const struct attempt *a, int sign) {
    struct class *c = order_class(order, turn->priority);
    size_t *recipients[] = {&turn->waiting, &c->waiting, &order->waiting};
    for (size_t i = 0; i < sizeof recipients / sizeof *recipients; i++)
        *recipients[i] += sign > 0 ? a->count : -a->count;
    c->attempts += (size_t)sign;
    order->attempts += (size_t)sign;
}

void order_add(struct order *order, struct turn *turn, struct attempt *a) {
    a->next = NULL;
    if (!turn->first) enter(order_class(order, turn->priority), turn);
    *(turn->first ? &turn->last->next : &turn->first) = a;
    turn->last = a;
    count(order, turn, a, 1);
}

void order_add_front(struct order *order, struct turn *turn, struct attempt *a) {
    if (!turn->first) return order_add(order, turn, a);
    a->next = turn->first;
    turn->first = a;
    count(order, turn, a, 1);
}

// ---- who is next

size_t passing_next(const struct passing *p, const size_t waiting[ORDER_CLASSES]) {
    size_t next = ORDER_CLASSES;
    for (size_t i = 0; i < ORDER_CLASSES; i++) {
        if (!waiting[i]) continue;
        if (next == ORDER_CLASSES || p->over[i] >= passed_most[i]) next = i; // the less urgent one has waited for longer
    }
    return next;
}

void passing_took(struct passing *p, const size_t waiting[ORDER_CLASSES], size_t class) {
    p->over[class] = 0;
    for (size_t i = class + 1; i < ORDER_CLASSES; i++)
        if (waiting[i]) p->over[i]++;
}

static size_t next_class(const struct order *order, size_t waiting[ORDER_CLASSES]) {
    for (size_t i = 0; i < ORDER_CLASSES; i++) waiting[i] = order->classes[i].attempts;
    return passing_next(&order->passing, waiting);
}

// Pays the debts of those it passes: the same one is found again until it is taken.
static struct turn *next_turn(struct class *c) {
    for (; c->ring->debt; c->ring = c->ring->after) c->ring->debt--;
    return c->ring;
}

struct attempt *order_peek(struct order *order) {
    size_t waiting[ORDER_CLASSES], next = next_class(order, waiting);
    return next < ORDER_CLASSES ? next_turn(&order->classes[next])->first : NULL;
}

struct attempt *order_take(struct order *order) {
    size_t waiting[ORDER_CLASSES], next = next_class(order, waiting);
    if (next == ORDER_CLASSES) return NULL;
    struct class *c = &order->classes[next];
    struct turn *turn = next_turn(c);
    struct attempt *a = turn->first;
    turn->first = a->next;
    a->next = NULL;
    count(order, turn, a, -1);
    passing_took(&order->passing, waiting, next);
    turn->taken++;
    turn->debt = weight_of(a) - 1;
    c->ring = turn->after;
    if (!turn->first) leave(c, turn);
    if (!turn->first && !turn->parked) order_drop_turn(order, turn);
    return a;
}

// ---- what is known of it

bool order_is_parked(const struct order *order) {
    for (size_t i = 0; i < ORDER_CLASSES; i++) {
        const struct class *c = &order->classes[i];
        if (c->unread) return true;
        for (size_t k = 0; k < c->count; k++)
            if (c->turns[k]->parked) return true;
    }
    return false;
}

static void show_turns(const struct class *c, struct jsonl *j) {
    jsonl_open(j, "turns", '[');
    for (size_t i = 0; i < c->count && i < SHOWN_TURNS; i++) {
        const struct turn *t = c->turns[i];
        jsonl_open(j, NULL, '{');
        jsonl_textz(j, "turn", t->by_age ? "(from an earlier version)" : t->name);
        jsonl_int(j, "waiting", (int64_t)t->waiting);
        jsonl_bool(j, "parked", t->parked);
        jsonl_close(j, '}');
    }
    jsonl_close(j, ']');
}

void order_show(const struct order *order, struct jsonl *j) {
    jsonl_open(j, "classes", '[');
    for (size_t i = 0; i < ORDER_CLASSES; i++) {
        const struct class *c = &order->classes[i];
        if (!c->count && !c->unread) continue;
        jsonl_open(j, NULL, '{');
        jsonl_textz(j, "priority", priority_name[i + PRIORITY_URGENT]);
        jsonl_int(j, "waiting", (int64_t)c->waiting);
        jsonl_int(j, "senders", (int64_t)c->count);
        jsonl_bool(j, "more", c->unread || c->count > SHOWN_TURNS);
        show_turns(c, j);
        jsonl_close(j, '}');
    }
    jsonl_close(j, ']');
}
