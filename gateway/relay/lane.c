// SPDX-License-Identifier: MIT
#include "relay/lane.h"

#include "base/map.h"
#include "policy/decision.h"
#include "relay/brake.h"
#include "relay/courier.h"
#include "relay/grant.h"
#include "relay/job.h"
#include "relay/pause.h"
#include "relay/recall.h"
#include "relay/runner.h"
#include "relay/slots.h"
#include "relay/waiters.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    PAUSE_MS = 500,               // while the store can take no outcome
    LINE_MIN = 4,                 // attempts in line for each connection, however little room there is
    LOOK_MS = 60 * 1000,          // a lane that is kept for what is known of it is looked at
    LINE_FIRST = 64,              // recipients called back while it is not known how fast they go
    LINE_SECONDS = 4,             // and then as many as go in that time
};

struct fifo {
    struct attempt *first, *last;
};

struct lane {
    struct lanes *lanes;
    struct lane *dirty_next;
    bool dirty;
    char *key;
    const struct plan *plan; // the latest one offered; NULL while it only calls back what is parked
    struct brake brake;
    struct order order;        // who waits, in order
    struct fifo asking;      // chosen, and asks for a grant first
    struct fifo ready;       // chosen: may go
    size_t granted, asked;   // attempts among `ready` with a grant; that ask for one
    size_t chosen;           // recipients in both
    struct courier **couriers;
    size_t courier_count, courier_room;
    int64_t recalled_ms;     // when those in the store were looked at last
    uint64_t taken;          // attempts given to couriers, ever
    int64_t second_ms;       // since then
    uint64_t went, went_before; // ... so many recipients went; in the second before it
    struct timer *timer;
    struct slot_wish wish;   // for a connection, where all are taken
};

struct lanes {
    struct worker *worker;
    struct slots *slots;
    struct pauses pauses;
    struct map by_key;
    size_t waiting;          // recipients in all lines
    struct lane *dirty;
    struct task soon;
    bool scheduled, stopped, freed;
};

static int64_t now_ms(const struct lane *lane) { return clock_ms(&lane->lanes->worker->gateway->clock); }

struct worker *lane_worker(struct lane *lane) { return lane->lanes->worker; }
struct slots *lane_slots(struct lane *lane) { return lane->lanes->slots; }

// ---- stepping: soon, once, for every lane that something happened to -------------------------------------------------------

static void touch(struct lane *lane) {
    struct lanes *ls = lane->lanes;
    if (!lane->dirty) {
        lane->dirty = true;
        lane->dirty_next = ls->dirty;
        ls->dirty = lane;
    }
    if (ls->scheduled) return;
    ls->scheduled = true;
    loop_post(ls->worker->loop, &ls->soon);
}

static void on_timer(void *arg) { touch(arg); }

// The brake as the pauses have it.
static void look_for_pause(struct lane *lane) {
    const struct pause *p = pauses_find(&lane->lanes->pauses, bytes_of(lane->key));
    if (p) brake_pause(&lane->brake, true, p->until_ms, p->because);
    else brake_pause(&lane->brake, false, 0, BYTES(""));
}

static struct lane *lane_get(struct lanes *ls, struct bytes key) {
    struct lane *lane = map_get(&ls->by_key, key);
    if (lane) return lane;
    lane = must_alloc(sizeof *lane);
    lane->lanes = ls;
    lane->key = bytes_dupz(key);
    lane->timer = timer_new(ls->worker->loop, on_timer, lane);
    lane->wish.owner = lane;
    look_for_pause(lane);
    map_put(&ls->by_key, key, lane);
    return lane;
}

static void lane_drop(struct lane *lane) {
    map_remove(&lane->lanes->by_key, bytes_of(lane->key));
    slots_forget(lane->lanes->slots, &lane->wish);
    timer_free(&lane->timer);
    plan_free(&lane->plan);
    order_release(&lane->order);
    free(lane->couriers);
    free(lane->key);
    free(lane);
}

// ---- who waits -------------------------------------------------------------------------------------------------------------

static void fifo_add(struct fifo *f, struct attempt *a) {
    a->next = NULL;
    *(f->first ? &f->last->next : &f->first) = a;
    f->last = a;
}

static void fifo_add_front(struct fifo *f, struct attempt *a) {
    if (!f->first) f->last = a;
    a->next = f->first;
    f->first = a;
}

static struct attempt *fifo_take(struct fifo *f) {
    struct attempt *a = f->first;
    if (a) f->first = a->next;
    return a;
}

static void fifo_remove(struct fifo *f, struct attempt *a) {
    struct attempt *before = NULL;
    for (struct attempt *at = f->first; at != a; at = at->next) before = at;
    *(before ? &before->next : &f->first) = a->next;
    if (f->last == a) f->last = before;
}

static void count_in(struct lane *lane, const struct attempt *a) {
    lane->chosen += a->count;
    lane->lanes->waiting += a->count;
}

static void count_out(struct lane *lane, const struct attempt *a) {
    lane->chosen -= a->count;
    lane->lanes->waiting -= a->count;
}

static size_t waiting(const struct lane *lane) { return lane->chosen + lane->order.waiting; }

static struct bytes turn_of(const struct attempt *a) { return plan_turn(a->plan, &a->job->message); }

static struct attempt *take_from_line(struct lane *lane) {
    struct attempt *a = order_take(&lane->order);
    if (a) lane->lanes->waiting -= a->count;
    return a;
}

// False: it has no place there.
static bool put_into_line(struct lane *lane, struct attempt *a, bool front) {
    struct turn *turn = order_turn(&lane->order, a->plan->priority, turn_of(a), true);
    if (!turn) return false;
    (front ? order_add_front : order_add)(&lane->order, turn, a);
    lane->lanes->waiting += a->count;
    return true;
}

static struct attempt *take_chosen(struct lane *lane) {
    struct attempt *a = fifo_take(&lane->ready);
    if (a) count_out(lane, a);
    if (a && a->grant) lane->granted--;
    return a;
}

void lane_put_back(struct lane *lane, struct attempt *a) {
    fifo_add_front(&lane->ready, a);
    count_in(lane, a);
    if (a->grant) lane->granted++;
    touch(lane);
}

static void send_back(struct attempt *a, enum attempt_end end) {
    a->end = end;
    attempt_return(a);
}

static int64_t closed_until(struct lane *lane) { return brake_closed_until(&lane->brake, now_ms(lane)); }

static void park(struct lane *lane, struct attempt *a) {
    a->rest_until_ms = closed_until(lane);
    send_back(a, ATTEMPT_PARK);
}

// Those that ask for a grant go when they are answered.
static void empty_lines(struct lane *lane, enum attempt_end end) {
    for (struct attempt *a; (a = take_chosen(lane)) || (a = take_from_line(lane));) {
        if (end == ATTEMPT_PARK) park(lane, a);
        else send_back(a, end);
    }
}

// What one class of a lane may have in line: of the room that is left a part, so that a slow lane never keeps the others out.
static size_t class_room(const struct lane *lane) {
    size_t capacity = (size_t)lane->lanes->worker->site->conf->limits.queue_in_memory;
    size_t left = capacity > lane->lanes->waiting ? capacity - lane->lanes->waiting : 0;
    size_t least = (size_t)(lane->plan ? lane->plan->connections : 1) * LINE_MIN;
    return left / 2 > least ? left / 2 : least;
}

static size_t connections_allowed(struct lane *lane) {
    const struct plan *plan = lane->ready.first ? lane->ready.first->plan : lane->plan; // plans of one lane may differ in it
    return brake_width(&lane->brake, plan && plan->connections > 0 ? (size_t)plan->connections : 1, now_ms(lane));
}

static void count_gone(struct lane *lane, size_t recipients) {
    int64_t now = now_ms(lane), since = now - lane->second_ms;
    if (since < 0 || since >= 1000) {
        lane->went_before = since >= 0 && since < 2000 ? lane->went : 0;
        lane->went = 0;
        lane->second_ms = now;
    }
    lane->went += recipients;
}

// Of what waits in the store so much is worth having in line as goes in a moment: should the lane close, or a limit be used up, all in
// line goes back, and was routed in vain.
static size_t line_room(struct lane *lane, bool known) {
    size_t room = class_room(lane), held = brake_line(&lane->brake, connections_allowed(lane), now_ms(lane));
    count_gone(lane, 0);
    uint64_t fastest = lane->went > lane->went_before ? lane->went : lane->went_before;
    uint64_t moment = LINE_FIRST + fastest * LINE_SECONDS;
    if (held < room) room = held;
    return known && moment < room ? (size_t)moment : room;
}

static bool has_place(struct lane *lane, const struct attempt *a) {
    struct turn *turn = order_turn(&lane->order, a->plan->priority, turn_of(a), true);
    const struct recipient *r = &a->job->recipients[a->which[0]].record;
    bool waited = r->state == RECIPIENT_PARKED, was_called = waited && bytes_equal(r->lane, a->plan->lane);
    if (turn && was_called) recall_arrived(turn, a->count);
    return turn && order_takes(&lane->order, turn, a->count, waited && !was_called ? line_room(lane, false) : class_room(lane));
}

void lanes_offer(struct lanes *ls, struct attempt *a) {
    if (ls->stopped) return send_back(a, ATTEMPT_BACK);
    struct lane *lane = lane_get(ls, a->plan->lane);
    plan_free(&lane->plan);
    lane->plan = plan_ref(a->plan);
    if (!has_place(lane, a) || closed_until(lane) || !put_into_line(lane, a, false)) park(lane, a);
    touch(lane);
}

// ---- calling back what is parked ----------------------------------------------------------------------------------------------

static void maybe_recall(struct lane *lane) {
    struct worker *w = lane->lanes->worker;
    if (!order_is_parked(&lane->order)) return;
    int64_t now = now_ms(lane), since = now - lane->recalled_ms;
    if (since >= 0 && since < RECALL_PAUSE_MS) return timer_set(lane->timer, RECALL_PAUSE_MS - since);
    lane->recalled_ms = now;
    int64_t again = recall_some(&lane->order, w, bytes_of(lane->key), line_room(lane, true), now);
    if (again) timer_set(lane->timer, again);
}

struct told {
    enum priority priority;
    char key[512], turn[128];
};

static void hear_parked(struct worker *w, void *arg) {
    struct told *told = arg;
    if (!w->lanes) return free(told);
    struct lane *lane = lane_get(w->lanes, bytes_of(told->key));
    recall_note(&lane->order, told->priority, bytes_of(told->turn));
    touch(lane);
    free(told);
}

static void copy_text(char *to, size_t size, struct bytes text) { memcpy(to, text.at, text.len < size ? text.len : size - 1); }

void lane_tell_parked(struct gateway *g, const struct plan *plan, struct bytes turn) {
    struct told *told = must_alloc(sizeof *told);
    told->priority = plan->priority;
    copy_text(told->key, sizeof told->key, plan->lane);
    copy_text(told->turn, sizeof told->turn, turn);
    worker_post(gateway_worker_of_lane(g, plan->lane), hear_parked, told);
}

static bool note_lane(void *arg, struct bytes key) {
    struct lanes *ls = arg;
    if (waiters_place_is(key) || gateway_worker_of_lane(ls->worker->gateway, key) != ls->worker) return true;
    struct lane *lane = lane_get(ls, key);
    recall_all_unread(&lane->order);
    touch(lane);
    return true;
}

void lanes_recover(struct lanes *ls) {
    lanes_read_pauses(ls);
    reader_begin(ls->worker->reader);
    reader_parked_lanes(ls->worker->reader, note_lane, ls);
    reader_end(ls->worker->reader);
}

// ---- grants: asked for as many attempts as can start now, and no more -----------------------------------------------------------

static void refused(struct lane *lane, struct attempt *a, const struct refusal *why) {
    a->grant = NULL;
    if (!why->spend) return send_back(a, ATTEMPT_BACK);
    if (why->room && why->room < a->count) { // as many as fit may go
        struct attempt *rest = attempt_split(a, why->room);
        rest->limited = *why;
        send_back(rest, ATTEMPT_LIMITED);
        if (put_into_line(lane, a, true)) return;
    }
    a->limited = *why;
    send_back(a, ATTEMPT_LIMITED);
}

static void on_grant(void *arg, const struct refusal *why) {
    struct attempt *a = arg;
    struct lane *lane = a->lane;
    fifo_remove(&lane->asking, a);
    lane->asked--;
    count_out(lane, a);
    touch(lane);
    struct turn *turn = order_turn(&lane->order, a->plan->priority, turn_of(a), false);
    if (turn && why && why->spend) recall_limited(turn, now_ms(lane));
    if (turn && !why) recall_granted(turn);
    if (why) return refused(lane, a, why);
    if (lane->lanes->stopped) return send_back(a, ATTEMPT_BACK);
    if (closed_until(lane)) return park(lane, a);
    fifo_add(&lane->ready, a);
    lane->granted++;
    count_in(lane, a);
}

// Where its recipients waited, if it was for a limit: their room may have been kept.
static struct bytes place_of(const struct attempt *a) {
    const struct recipient *r = &a->job->recipients[a->which[0]].record;
    return r->state == RECIPIENT_PARKED && waiters_place_is(r->lane) ? r->lane : BYTES("");
}

static void ask_for_grant(struct lane *lane, struct attempt *a) {
    fifo_add(&lane->asking, a);
    count_in(lane, a);
    lane->asked++;
    a->lane = lane;
    a->grant = grant_ask(lane->lanes->worker, a->plan, a->count, a->job->message.id, place_of(a), on_grant, a);
}

// Chooses the next ones as late as can be, so that an urgent one that comes has few before it: one that may go, and as many as
// there are connections where a grant has to be asked for first.
static void choose(struct lane *lane) {
    for (struct attempt *a; (a = order_peek(&lane->order));) {
        bool limited = a->plan->spend_count > 0;
        if (limited ? lane->asked + lane->granted >= connections_allowed(lane) : lane->ready.first != NULL) return;
        take_from_line(lane);
        if (limited) {
            ask_for_grant(lane, a);
        } else {
            fifo_add(&lane->ready, a);
            count_in(lane, a);
        }
    }
}

static struct attempt *take_ready(struct lane *lane) {
    struct attempt *a = take_chosen(lane);
    choose(lane);
    return a;
}

// ---- connections ----------------------------------------------------------------------------------------------------------------

// False: not yet, it comes again by itself.
static bool is_in_pace(struct lane *lane) {
    int64_t left = brake_pace_left(&lane->brake, now_ms(lane));
    if (left) timer_set(lane->timer, left);
    return !left;
}

static struct attempt *start_one(struct lane *lane) {
    lane->taken++;
    brake_went(&lane->brake, now_ms(lane));
    struct attempt *a = take_ready(lane);
    count_gone(lane, a->count);
    return a;
}

struct attempt *lane_take(struct lane *lane, uint64_t same) {
    if (closed_until(lane)) return NULL;
    choose(lane);
    if (!lane->ready.first || lane->ready.first->plan->same != same || !is_in_pace(lane)) return NULL;
    if (!gateway_may_send(lane->lanes->worker->gateway)) return NULL;
    touch(lane);
    return start_one(lane);
}

static struct courier *idle_courier(struct lane *lane, uint64_t same, struct courier **other) {
    for (size_t i = 0; i < lane->courier_count; i++) {
        struct courier *c = lane->couriers[i];
        if (!courier_is_idle(c)) continue;
        if (courier_same(c) == same) return c;
        *other = c;
    }
    return NULL;
}

static void add_courier(struct lane *lane) {
    if (lane->courier_count == lane->courier_room) {
        lane->courier_room = lane->courier_room ? lane->courier_room * 2 : 2;
        lane->couriers = must_realloc(lane->couriers, lane->courier_room * sizeof *lane->couriers);
    }
    lane->couriers[lane->courier_count++] = courier_new(lane, start_one(lane));
}

static bool wants_connection(struct lane *lane) {
    return lane->ready.first && lane->courier_count < connections_allowed(lane) && is_in_pace(lane);
}

// Stands in line where it has none at all; who has some goes on with them.
static bool get_slot(struct lane *lane) {
    uint64_t most = (uint64_t)lane->lanes->worker->site->conf->limits.connections_out;
    return slots_ask(lane->lanes->slots, &lane->wish, most, lane->courier_count == 0);
}

static void stop_waiting(struct lane *lane) {
    if (!lane->wish.waits) return;
    slots_forget(lane->lanes->slots, &lane->wish);
    slots_look(lane->lanes->slots);
}

static size_t idle_count(const struct lane *lane) {
    size_t n = 0;
    for (size_t i = 0; i < lane->courier_count; i++) n += courier_is_idle(lane->couriers[i]);
    return n;
}

// Idle couriers take from the line when woken; each gets to, then new ones are opened for what is left.
static void start_work(struct lane *lane) {
    size_t budget = idle_count(lane);
    struct courier *other = NULL;
    while (lane->ready.first && budget-- > 0 && is_in_pace(lane)) {
        struct courier *idle = idle_courier(lane, lane->ready.first->plan->same, &other);
        if (!idle) break;
        courier_wake(idle);
    }
    while (wants_connection(lane) && get_slot(lane)) add_courier(lane);
    if (!wants_connection(lane)) stop_waiting(lane);
    // No room, and one waits for work of another kind: it makes place.
    if (lane->ready.first && other && lane->courier_count >= connections_allowed(lane)) courier_dismiss(other);
}

void lane_left(struct lane *lane, struct courier *c) {
    for (size_t i = 0; i < lane->courier_count; i++)
        if (lane->couriers[i] == c) lane->couriers[i] = lane->couriers[--lane->courier_count];
    touch(lane);
}

// An event of its own kind: what a lane does, and why.
static struct jsonl *tell_begin(struct lane *lane, const char *state) {
    struct jsonl *j = event_begin(lane->lanes->worker->events, "lane");
    jsonl_textz(j, "lane", lane->key);
    jsonl_textz(j, "state", state);
    return j;
}

static void tell_why(struct lane *lane, struct jsonl *j, const struct reply *why, struct bytes because) {
    jsonl_open(j, "reply", '{');
    jsonl_int(j, "code", why->code);
    jsonl_textz(j, "text", why->text);
    jsonl_close(j, '}');
    jsonl_text(j, "because", because);
    event_end(lane->lanes->worker->events);
}

void lane_succeeded(struct lane *lane) {
    if (brake_succeeded(&lane->brake)) {
        log_info(&lane->lanes->worker->gateway->log, "lane %s: works again", lane->key);
        tell_begin(lane, "open");
        event_end(lane->lanes->worker->events);
    }
    touch(lane);
}

static size_t standing(const struct lane *lane) {
    size_t n = 0;
    for (size_t i = 0; i < lane->courier_count; i++) n += courier_stands(lane->couriers[i]);
    return n;
}

void lane_failed(struct lane *lane, const struct reply *why) {
    int64_t rest = brake_failed(&lane->brake, why, standing(lane), now_ms(lane));
    touch(lane);
    if (!rest) return;
    log_note(&lane->lanes->worker->gateway->log, "lane %s: rests for %lld s: %d %s", lane->key, (long long)rest / 1000,
             why->code, why->text);
    struct jsonl *j = tell_begin(lane, "resting");
    jsonl_time(j, "until", lane->brake.rest_until_ms);
    tell_why(lane, j, why, BYTES(""));
    empty_lines(lane, ATTEMPT_PARK);
}

// ---- what an operator asks for ---------------------------------------------------------------------------------------------------

void lanes_read_pauses(struct lanes *ls) {
    size_t at = 0;
    void *value;
    pauses_release(&ls->pauses);
    reader_begin(ls->worker->reader);
    pauses_read(ls->worker->reader, clock_ms(&ls->worker->gateway->clock), &ls->pauses);
    reader_end(ls->worker->reader);
    while (map_next(&ls->by_key, &at, NULL, &value)) {
        struct lane *lane = value;
        look_for_pause(lane);
        if (closed_until(lane)) empty_lines(lane, ATTEMPT_PARK);
        touch(lane);
    }
}

bool lanes_has_pause(const struct lanes *ls, struct bytes lane) {
    const struct pause *p = pauses_find(&ls->pauses, lane);
    return p && (!p->until_ms || p->until_ms > clock_ms(&ls->worker->gateway->clock));
}

size_t lanes_resume(struct lanes *ls, const struct pause *p) {
    size_t at = 0, count = 0;
    void *value;
    while (map_next(&ls->by_key, &at, NULL, &value)) {
        struct lane *lane = value;
        if (!pause_fits(p, bytes_of(lane->key))) continue;
        count += !brake_is_loose(&lane->brake, now_ms(lane));
        brake_end_rest(&lane->brake, true);
        touch(lane);
    }
    return count;
}

// ---- what the policy asks for ------------------------------------------------------------------------------------------------------

struct asked_for {
    struct reaction reaction;
    struct reply why;
    char key[512], because[200];
};

static void hear_reaction(struct worker *w, void *arg) {
    struct asked_for *asked = arg;
    const struct reaction *r = &asked->reaction;
    struct lane *lane = w->lanes && !w->lanes->stopped ? lane_get(w->lanes, bytes_of(asked->key)) : NULL;
    if (!lane) return free(asked);
    brake_react(&lane->brake, r, &asked->why, bytes_of(asked->because), now_ms(lane));
    struct jsonl *j = tell_begin(lane, r->rests ? "resting" : "slow");
    char rate[PACE_TEXT];
    if (r->connections) jsonl_int(j, "connections", (int64_t)r->connections);
    if (r->pace.n) {
        pace_text(&r->pace, rate);
        jsonl_textz(j, "rate", rate);
    }
    jsonl_time(j, "until", now_ms(lane) + r->seconds * 1000);
    tell_why(lane, j, &asked->why, bytes_of(asked->because));
    if (r->rests) empty_lines(lane, ATTEMPT_PARK);
    touch(lane);
    free(asked);
}

void lane_react(struct gateway *g, struct bytes key, const struct reaction *r, const struct reply *why, struct bytes because) {
    struct asked_for *asked = must_alloc(sizeof *asked);
    asked->reaction = *r;
    asked->why = *why;
    copy_text(asked->key, sizeof asked->key, key);
    copy_text(asked->because, sizeof asked->because, because);
    worker_post(gateway_worker_of_lane(g, key), hear_reaction, asked);
}

static bool has_work(const struct lane *lane) { return lane->ready.first || lane->order.attempts || lane->asking.first; }

// ---- one step --------------------------------------------------------------------------------------------------------------------

static void dismiss_idle(struct lane *lane) {
    for (size_t i = lane->courier_count; i-- > 0;)
        if (courier_is_idle(lane->couriers[i])) courier_dismiss(lane->couriers[i]);
}

// Nothing starts: it waits until it may.
static void stay_closed(struct lane *lane, int64_t until_ms) {
    int64_t left = until_ms - now_ms(lane);
    stop_waiting(lane);
    dismiss_idle(lane);
    timer_set(lane->timer, left < LOOK_MS ? left : LOOK_MS);
}

static void step(struct lane *lane) {
    if (lane->lanes->stopped) return;
    int64_t until = closed_until(lane);
    if (until) return stay_closed(lane, until);
    if (!gateway_may_send(lane->lanes->worker->gateway)) return timer_set(lane->timer, PAUSE_MS);
    choose(lane);
    start_work(lane);
    maybe_recall(lane);
    if (has_work(lane) || lane->courier_count || order_is_parked(&lane->order)) return;
    if (!brake_is_loose(&lane->brake, now_ms(lane))) return timer_set(lane->timer, LOOK_MS);
    lane_drop(lane);
}

static void on_soon(struct task *task) {
    struct lanes *ls = (struct lanes *)((char *)task - offsetof(struct lanes, soon));
    ls->scheduled = false;
    if (ls->freed) return free(ls);
    struct lane *lane = ls->dirty;
    ls->dirty = NULL;
    for (struct lane *next; lane; lane = next) {
        next = lane->dirty_next;
        lane->dirty = false;
        step(lane);
    }
}

// ---- connections of all lanes together -------------------------------------------------------------------------------------------

static void make_way(void *courier) { courier_dismiss(courier); }
static void come_again(void *lane) { touch(lane); }

static void give_one(struct worker *w, void *arg) {
    (void)arg;
    if (w->lanes && !w->lanes->stopped) slots_make_way(w->lanes->slots);
}

static void look_for_one(struct worker *w, void *arg) {
    (void)arg;
    if (w->lanes && !w->lanes->stopped) slots_look(w->lanes->slots);
}

static void post_to_others(struct lanes *ls, void (*fn)(struct worker *w, void *arg)) {
    struct gateway *g = ls->worker->gateway;
    for (int i = 0; i < g->worker_count; i++)
        if (g->workers[i] != ls->worker) worker_post(g->workers[i], fn, NULL);
}

static void ask_others(void *lanes) { post_to_others(lanes, give_one); }
static void tell_others(void *lanes) { post_to_others(lanes, look_for_one); }

struct lanes *lanes_new(struct worker *w) {
    struct lanes *ls = must_alloc(sizeof *ls);
    ls->worker = w;
    struct slots_events events = {make_way, come_again, ask_others, tell_others, ls};
    ls->slots = slots_new(&w->gateway->counters.connections_out, &events);
    ls->soon.run = on_soon;
    return ls;
}

void lanes_stop(struct lanes *ls) {
    size_t at = 0;
    void *value;
    ls->stopped = true;
    while (map_next(&ls->by_key, &at, NULL, &value)) {
        struct lane *lane = value;
        timer_stop(lane->timer);
        slots_forget(ls->slots, &lane->wish);
        empty_lines(lane, ATTEMPT_BACK);
        for (size_t i = lane->courier_count; i-- > 0;) courier_stop(lane->couriers[i]);
    }
}

void lanes_look_again(struct lanes *ls, bool end_rests) {
    size_t at = 0;
    void *value;
    while (map_next(&ls->by_key, &at, NULL, &value)) {
        struct lane *lane = value;
        if (end_rests) brake_end_rest(&lane->brake, false);
        touch(lane);
    }
}

void lanes_login_back(struct lanes *ls, struct bytes user) {
    size_t at = 0;
    void *value;
    while (map_next(&ls->by_key, &at, NULL, &value)) {
        struct lane *lane = value;
        const struct via *via = lane->plan ? &lane->plan->via : NULL;
        if (!via || !via->oauth.token_url.len || !bytes_equal(via->user, user)) continue;
        brake_end_rest(&lane->brake, false);
        touch(lane);
    }
}

bool lanes_is_idle(const struct lanes *ls) {
    size_t at = 0;
    void *value;
    while (map_next(&ls->by_key, &at, NULL, &value))
        if (((struct lane *)value)->courier_count || has_work(value)) return false;
    return true;
}

size_t lanes_count(const struct lanes *ls) { return ls->by_key.count; }

size_t lanes_pauses(struct lanes *ls) {
    int64_t now = clock_ms(&ls->worker->gateway->clock);
    size_t n = 0;
    for (size_t i = 0; i < ls->pauses.count; i++) n += !ls->pauses.at[i].until_ms || ls->pauses.at[i].until_ms > now;
    return n;
}

void lanes_show(struct lanes *ls, void (*row)(void *arg, struct bytes json), void *arg) {
    size_t at = 0;
    void *value;
    struct buf out = {0};
    while (map_next(&ls->by_key, &at, NULL, &value)) {
        struct lane *lane = value;
        buf_reset(&out);
        struct jsonl j = jsonl_begin(&out);
        jsonl_textz(&j, "lane", lane->key);
        brake_show(&lane->brake, now_ms(lane), &j);
        jsonl_int(&j, "waiting", (int64_t)waiting(lane));
        jsonl_bool(&j, "parked", order_is_parked(&lane->order));
        jsonl_int(&j, "connections", (int64_t)lane->courier_count);
        jsonl_int(&j, "connections_allowed", (int64_t)connections_allowed(lane));
        jsonl_int(&j, "attempts", (int64_t)lane->taken);
        jsonl_int(&j, "worker", lane->lanes->worker->index);
        order_show(&lane->order, &j);
        jsonl_end(&j);
        row(arg, buf_bytes(&out));
    }
    buf_release(&out);
}

bool lanes_look(struct lanes *ls, struct bytes key, struct way_state *out) {
    const struct lane *lane = map_get(&ls->by_key, key);
    *out = (struct way_state){0};
    if (!lane) return false;
    struct brake b = lane->brake; // a copy: it moves on by being asked
    int64_t until_ms = brake_closed_until(&b, clock_ms(&ls->worker->gateway->clock));
    out->rests_until_ms = until_ms;
    if (b.paused) snprintf(out->why, sizeof out->why, "paused: %s", b.paused_because);
    else if (until_ms && b.why.code) snprintf(out->why, sizeof out->why, "%d %s", b.why.code, b.why.text);
    return true;
}

void lanes_free(struct lanes **at) {
    struct lanes *ls = *at;
    size_t i = 0;
    void *value;
    *at = NULL;
    if (!ls) return;
    while (map_next(&ls->by_key, &i, NULL, &value)) {
        struct lane *lane = value;
        for (size_t k = 0; k < lane->courier_count; k++) courier_free(&lane->couriers[k]);
        for (struct attempt *a; (a = fifo_take(&lane->asking));) grant_cancel(&a->grant);
        lane_drop(lane);
    }
    map_release(&ls->by_key);
    slots_free(&ls->slots);
    pauses_release(&ls->pauses);
    if (ls->scheduled) ls->freed = true;
    else free(ls);
}
