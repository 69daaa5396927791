// SPDX-License-Identifier: MIT
#include "relay/lanes.h"

#include "relay/courier.h"
#include "relay/lane_inside.h"
#include "relay/recall.h"
#include "relay/waiters.h"

#include <stdio.h>
#include <stdlib.h>

struct lane *lanes_get(struct lanes *ls, struct bytes key) {
    struct lane *lane = map_get(&ls->by_key, key);
    if (lane) return lane;
    lane = lane_new(ls, key);
    map_put(&ls->by_key, key, lane);
    return lane;
}

// ---- stepping: soon, once, for every lane that something happened to -----------------------------------------------------------

void lane_touch(struct lane *lane) {
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

static void on_soon(struct task *task) {
    struct lanes *ls = (struct lanes *)((char *)task - offsetof(struct lanes, soon));
    ls->scheduled = false;
    if (ls->freed) return free(ls);
    struct lane *lane = ls->dirty;
    ls->dirty = NULL;
    for (struct lane *next; lane; lane = next) {
        next = lane->dirty_next;
        lane->dirty = false;
        lane_step(lane);
    }
}

// ---- what waits ----------------------------------------------------------------------------------------------------------------

void lanes_offer(struct lanes *ls, struct attempt *a) {
    if (!ls->stopped) return lane_offer(lanes_get(ls, a->plan->lane), a);
    a->end = ATTEMPT_BACK;
    attempt_return(a);
}

void lanes_remind(struct lanes *ls, struct bytes key) {
    if (ls->stopped) return;
    struct lane *lane = lanes_get(ls, key);
    if (!order_is_parked(&lane->order)) recall_all_unread(&lane->order);
    lane_touch(lane);
}

static bool note_lane(void *arg, struct bytes key) {
    struct lanes *ls = arg;
    if (!waiters_place_is(key) && gateway_worker_of_lane(ls->worker->gateway, key) == ls->worker) lanes_remind(ls, key);
    return true;
}

void lanes_recover(struct lanes *ls) {
    lanes_read_pauses(ls);
    reader_begin(ls->worker->reader);
    reader_parked_lanes(ls->worker->reader, BYTES(""), note_lane, ls);
    reader_end(ls->worker->reader);
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
        lane_read_pause(lane);
        if (lane_closed_until(lane)) lane_empty(lane, ATTEMPT_PARK);
        lane_touch(lane);
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
        count += !brake_is_loose(&lane->brake, lane_now_ms(lane));
        brake_end_rest(&lane->brake, true);
        lane_touch(lane);
    }
    return count;
}

// ---- connections of all lanes together -------------------------------------------------------------------------------------------

static void make_way(void *courier) { courier_dismiss(courier); }
static void come_again(void *lane) { lane_touch(lane); }

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

// ---- news from elsewhere -------------------------------------------------------------------------------------------------------

void lanes_look_again(struct lanes *ls, bool end_rests) {
    size_t at = 0;
    void *value;
    while (map_next(&ls->by_key, &at, NULL, &value)) {
        struct lane *lane = value;
        if (end_rests) brake_end_rest(&lane->brake, false);
        if (end_rests) recall_probe_soon(&lane->probe);
        lane_touch(lane);
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
        lane_touch(lane);
    }
}

// ---- what is asked -------------------------------------------------------------------------------------------------------------

bool lanes_is_idle(const struct lanes *ls) {
    size_t at = 0;
    void *value;
    while (map_next(&ls->by_key, &at, NULL, &value))
        if (((struct lane *)value)->courier_count || lane_has_work(value)) return false;
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
        brake_show(&lane->brake, lane_now_ms(lane), &j);
        jsonl_int(&j, "waiting", (int64_t)lane_waiting(lane));
        jsonl_bool(&j, "parked", order_is_parked(&lane->order));
        jsonl_int(&j, "connections", (int64_t)lane->courier_count);
        jsonl_int(&j, "connections_allowed", (int64_t)lane_connections_allowed(lane));
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

// ---- life ----------------------------------------------------------------------------------------------------------------------

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
        lane_empty(lane, ATTEMPT_BACK);
        for (size_t i = lane->courier_count; i-- > 0;) courier_stop(lane->couriers[i]);
    }
}

void lanes_free(struct lanes **at) {
    struct lanes *ls = *at;
    size_t i = 0;
    void *value;
    *at = NULL;
    if (!ls) return;
    while (map_next(&ls->by_key, &i, NULL, &value)) lane_free(value);
    map_release(&ls->by_key);
    slots_free(&ls->slots);
    pauses_release(&ls->pauses);
    if (ls->scheduled) ls->freed = true;
    else free(ls);
}
