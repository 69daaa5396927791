// SPDX-License-Identifier: MIT
#include "relay/lane.h"

#include "policy/decision.h"
#include "relay/courier.h"
#include "relay/grant.h"
#include "relay/lane_inside.h"
#include "relay/recall.h"
#include "relay/runner.h"
#include "relay/waiters.h"

#include <stdlib.h>

enum {
    PAUSE_MS = 500,               // while the store can take no outcome
    LINE_MIN = 4,                 // attempts in line for each connection, however little room there is
    LOOK_MS = 60 * 1000,          // a lane that is kept for what is known of it is looked at
    LINE_FIRST = 64,              // recipients called back while it is not known how fast they go
    LINE_SECONDS = 4,             // and then as many as go in that time
    MOST_MS = 10 * 60 * 1000,     // so long a peer is not asked for more recipients at once than it took
};

struct worker *lane_worker(struct lane *lane) { return lane->lanes->worker; }
struct slots *lane_slots(struct lane *lane) { return lane->lanes->slots; }

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

size_t lane_waiting(const struct lane *lane) { return lane->chosen + lane->order.waiting; }

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

static void send_back(struct attempt *a, enum attempt_end end) {
    a->end = end;
    attempt_return(a);
}

void lane_put_back(struct lane *lane, struct attempt *a) {
    if (lane->lanes->stopped) return send_back(a, ATTEMPT_BACK); // whoever emptied the lines has been here
    fifo_add_front(&lane->ready, a);
    count_in(lane, a);
    if (a->grant) lane->granted++;
    lane_touch(lane);
}

int64_t lane_closed_until(struct lane *lane) { return brake_closed_until(&lane->brake, lane_now_ms(lane)); }

static void park(struct lane *lane, struct attempt *a) {
    a->rest_until_ms = lane_closed_until(lane);
    send_back(a, ATTEMPT_PARK);
}

void lane_empty(struct lane *lane, enum attempt_end end) {
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

size_t lane_connections_allowed(struct lane *lane) {
    const struct plan *plan = lane->ready.first ? lane->ready.first->plan : lane->plan; // plans of one lane may differ in it
    return brake_width(&lane->brake, plan && plan->connections > 0 ? (size_t)plan->connections : 1, lane_now_ms(lane));
}

static void count_gone(struct lane *lane, size_t recipients) {
    int64_t now = lane_now_ms(lane), since = now - lane->second_ms;
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
    size_t room = class_room(lane), held = brake_line(&lane->brake, lane_connections_allowed(lane), lane_now_ms(lane));
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
    return turn && order_takes(&lane->order, turn, a->count, waited ? line_room(lane, false) : class_room(lane));
}

// In pieces of as many as the peer takes at once.
static void line_up(struct lane *lane, struct attempt *a, bool front) {
    size_t most = lane->most && lane_now_ms(lane) < lane->most_until_ms ? lane->most : a->count;
    while (a->count > most) {
        struct attempt *last = attempt_split(a, (a->count - 1) / most * most);
        if (!put_into_line(lane, last, front)) park(lane, last);
    }
    if (!put_into_line(lane, a, front)) park(lane, a);
}

void lane_offer(struct lane *lane, struct attempt *a) {
    plan_free(&lane->plan);
    lane->plan = plan_ref(a->plan);
    if (!has_place(lane, a) || lane_closed_until(lane)) park(lane, a);
    else line_up(lane, a, false);
    lane_touch(lane);
}

void lane_resume(struct lane *lane, struct attempt *a, size_t most) {
    if (most) {
        lane->most = most;
        lane->most_until_ms = lane_now_ms(lane) + MOST_MS;
    }
    if (lane->lanes->stopped) return send_back(a, ATTEMPT_BACK);
    if (lane_closed_until(lane)) park(lane, a);
    else line_up(lane, a, true);
    lane_touch(lane);
}

// ---- calling back what is parked ----------------------------------------------------------------------------------------------

static void maybe_recall(struct lane *lane) {
    struct worker *w = lane->lanes->worker;
    if (!order_is_parked(&lane->order)) return;
    int64_t now = lane_now_ms(lane), since = now - lane->recalled_ms;
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
    struct lane *lane = w->lanes ? map_get(&w->lanes->by_key, bytes_of(told->key)) : NULL;
    if (lane) {
        recall_note(&lane->order, told->priority, bytes_of(told->turn));
        lane_touch(lane);
    } else if (w->lanes) {
        lanes_remind(w->lanes, bytes_of(told->key));
    }
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
    lane_touch(lane);
    struct turn *turn = order_turn(&lane->order, a->plan->priority, turn_of(a), false);
    if (turn && why && why->spend) recall_limited(turn, lane_now_ms(lane));
    if (turn && !why) recall_granted(turn);
    if (why) return refused(lane, a, why);
    if (lane->lanes->stopped) return send_back(a, ATTEMPT_BACK);
    if (lane_closed_until(lane)) return park(lane, a);
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
        if (limited ? lane->asked + lane->granted >= lane_connections_allowed(lane) : lane->ready.first != NULL) return;
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
    int64_t left = brake_pace_left(&lane->brake, lane_now_ms(lane));
    if (left) timer_set(lane->timer, left);
    return !left;
}

static struct attempt *start_one(struct lane *lane) {
    lane->taken++;
    brake_went(&lane->brake, lane_now_ms(lane));
    struct attempt *a = take_ready(lane);
    count_gone(lane, a->count);
    return a;
}

struct attempt *lane_take(struct lane *lane, uint64_t same) {
    if (lane_closed_until(lane)) return NULL;
    choose(lane);
    if (!lane->ready.first || lane->ready.first->plan->same != same || !is_in_pace(lane)) return NULL;
    if (!gateway_may_send(lane->lanes->worker->gateway)) return NULL;
    lane_touch(lane);
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
    return lane->ready.first && lane->courier_count < lane_connections_allowed(lane) && is_in_pace(lane);
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
    if (lane->ready.first && other && lane->courier_count >= lane_connections_allowed(lane)) courier_dismiss(other);
}

void lane_left(struct lane *lane, struct courier *c) {
    for (size_t i = 0; i < lane->courier_count; i++)
        if (lane->couriers[i] == c) lane->couriers[i] = lane->couriers[--lane->courier_count];
    lane_touch(lane);
}

// An event of its own kind: what a lane does, and why.
static struct jsonl *tell_begin(struct lane *lane, const char *state) {
    struct jsonl *j = event_begin(lane->lanes->worker->events, "lane");
    jsonl_textz(j, "lane", lane->key);
    jsonl_textz(j, "state", state);
    return j;
}

static void tell_why(struct lane *lane, struct jsonl *j, const struct reply *why, struct bytes because) {
    event_put_reply(j, why);
    jsonl_text(j, "because", because);
    event_end(lane->lanes->worker->events);
}

void lane_succeeded(struct lane *lane) {
    if (brake_succeeded(&lane->brake)) {
        log_info(&lane->lanes->worker->gateway->log, "lane %s: works again", lane->key);
        tell_begin(lane, "open");
        event_end(lane->lanes->worker->events);
    }
    lane_touch(lane);
}

static size_t standing(const struct lane *lane) {
    size_t n = 0;
    for (size_t i = 0; i < lane->courier_count; i++) n += courier_stands(lane->couriers[i]);
    return n;
}

void lane_failed(struct lane *lane, const struct reply *why) {
    int64_t rest = brake_failed(&lane->brake, why, standing(lane), lane_now_ms(lane));
    lane_touch(lane);
    if (!rest) return;
    log_note(&lane->lanes->worker->gateway->log, "lane %s: rests for %lld s: %d %s", lane->key, (long long)rest / 1000,
             why->code, why->text);
    struct jsonl *j = tell_begin(lane, "resting");
    jsonl_time(j, "until", lane->brake.rest_until_ms);
    tell_why(lane, j, why, BYTES(""));
    lane_empty(lane, ATTEMPT_PARK);
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
    struct lane *lane = w->lanes && !w->lanes->stopped ? lanes_get(w->lanes, bytes_of(asked->key)) : NULL;
    if (!lane) return free(asked);
    brake_react(&lane->brake, r, &asked->why, bytes_of(asked->because), lane_now_ms(lane));
    struct jsonl *j = tell_begin(lane, r->rests ? "resting" : "slow");
    char rate[PACE_TEXT];
    if (r->connections) jsonl_int(j, "connections", (int64_t)r->connections);
    if (r->pace.n) {
        pace_text(&r->pace, rate);
        jsonl_textz(j, "rate", rate);
    }
    jsonl_time(j, "until", lane_now_ms(lane) + r->seconds * 1000);
    tell_why(lane, j, &asked->why, bytes_of(asked->because));
    if (r->rests) lane_empty(lane, ATTEMPT_PARK);
    lane_touch(lane);
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

bool lane_has_work(const struct lane *lane) { return lane->ready.first || lane->order.attempts || lane->asking.first; }

// ---- life ------------------------------------------------------------------------------------------------------------------------

static void on_timer(void *arg) { lane_touch(arg); }

struct lane *lane_new(struct lanes *ls, struct bytes key) {
    struct lane *lane = must_alloc(sizeof *lane);
    lane->lanes = ls;
    lane->key = bytes_dupz(key);
    lane->timer = timer_new(ls->worker->loop, on_timer, lane);
    lane->wish.owner = lane;
    lanes_read_pause(ls, &lane->brake, lane->key);
    return lane;
}

void lane_free(struct lane *lane) {
    for (size_t i = 0; i < lane->courier_count; i++) courier_free(&lane->couriers[i]);
    for (struct attempt *a; (a = fifo_take(&lane->asking));) grant_cancel(&a->grant);
    slots_forget(lane->lanes->slots, &lane->wish);
    timer_free(&lane->timer);
    plan_free(&lane->plan);
    brake_release(&lane->brake);
    order_release(&lane->order);
    free(lane->couriers);
    free(lane->key);
    free(lane);
}

// ---- one step --------------------------------------------------------------------------------------------------------------------

static void dismiss_idle(struct lane *lane) {
    for (size_t i = lane->courier_count; i-- > 0;)
        if (courier_is_idle(lane->couriers[i])) courier_dismiss(lane->couriers[i]);
}

// Nothing of it is in memory. One whose login is to come back is found by its plan (lanes_login_back).
static bool only_waits(const struct lane *lane) {
    bool login = lane->plan && lane->plan->via.oauth.token_url.len;
    return !lane_has_work(lane) && !lane->courier_count && !lane->wish.waits && !lane->dirty && !login;
}

// Nothing starts: it waits until it may.
static void stay_closed(struct lane *lane, int64_t until_ms) {
    int64_t left = until_ms - lane_now_ms(lane);
    stop_waiting(lane);
    dismiss_idle(lane);
    if (only_waits(lane)) return lanes_lull(lane, lane_now_ms(lane));
    if (order_is_parked(&lane->order)) recall_probe(&lane->probe, lane->lanes->worker, bytes_of(lane->key), lane_now_ms(lane));
    int64_t probe_in = lane->probe.at_ms - lane_now_ms(lane);
    if (order_is_parked(&lane->order) && probe_in < left) left = probe_in;
    timer_set(lane->timer, left < 1 ? 1 : left < LOOK_MS ? left : LOOK_MS);
}

void lane_step(struct lane *lane) {
    if (lane->lanes->stopped) return;
    int64_t until = lane_closed_until(lane);
    if (until) return stay_closed(lane, until);
    lane->probe = (struct probe){0};
    if (!gateway_may_send(lane->lanes->worker->gateway)) return timer_set(lane->timer, PAUSE_MS);
    choose(lane);
    start_work(lane);
    maybe_recall(lane);
    if (lane_has_work(lane) || lane->courier_count || order_is_parked(&lane->order)) return;
    if (!brake_is_loose(&lane->brake, lane_now_ms(lane)))
        return only_waits(lane) ? lanes_lull(lane, lane_now_ms(lane) + LOOK_MS) : timer_set(lane->timer, LOOK_MS);
    map_remove(&lane->lanes->by_key, bytes_of(lane->key));
    lane_free(lane);
}
