// SPDX-License-Identifier: MIT
#include "relay/lanes.h"

#include "relay/courier.h"
#include "relay/lane_inside.h"
#include "relay/recall.h"
#include "relay/waiters.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    WAKE_TOGETHER = 64,      // sleepers woken at once; each calls some of its recipients
    LOOK_TOGETHER = 1024,    // or looked at
    AWAKE_MANY = 1024,       // lanes: while more are awake, others are woken one by one
    WAKE_PAUSE_MS = 20,
    LOOK_MS = 60 * 1000,
    SHOWN_WITH_TURNS = 500,  // sleepers whose senders are looked up in the store to be shown
};

static int64_t now_ms(const struct lanes *ls) { return clock_ms(&ls->worker->gateway->clock); }

// ---- awake, and asleep ---------------------------------------------------------------------------------------------------------

void lanes_read_pause(struct lanes *ls, struct brake *brake, const char *key) {
    const struct pause *p = pauses_find(&ls->pauses, bytes_of(key));
    brake_pause(brake, p != NULL, p ? p->until_ms : 0, p ? p->because : BYTES(""));
}

static struct lane *wake(struct lanes *ls, struct sleeper *s) {
    struct lane *lane = lane_new(ls, bytes_of(s->key));
    brake_release(&lane->brake);
    lane->brake = s->brake;
    lane->probe = s->probe;
    lane->taken = s->taken;
    if (s->parked) recall_all_unread(&lane->order);
    map_put(&ls->by_key, bytes_of(lane->key), lane);
    s->brake = (struct brake){0};
    asleep_drop(&ls->asleep, s);
    lane_touch(lane);
    return lane;
}

struct lane *lanes_get(struct lanes *ls, struct bytes key) {
    struct lane *lane = map_get(&ls->by_key, key);
    struct sleeper *s = lane ? NULL : asleep_find(&ls->asleep, key);
    if (lane || s) return lane ? lane : wake(ls, s);
    lane = lane_new(ls, key);
    map_put(&ls->by_key, key, lane);
    return lane;
}

// At the latest in a minute: the machine's clock may be set.
static void set_alarm(struct lanes *ls) {
    int64_t next = asleep_next(&ls->asleep), left = next - now_ms(ls);
    if (next < INT64_MAX) timer_set(ls->alarm, left < 1 ? 1 : left < LOOK_MS ? left : LOOK_MS);
}

void lanes_lull(struct lane *lane, int64_t until_ms) {
    struct lanes *ls = lane->lanes;
    struct sleeper *s = asleep_add(&ls->asleep, bytes_of(lane->key), until_ms);
    s->brake = lane->brake;
    s->probe = lane->probe;
    s->taken = lane->taken;
    s->planned = lane->plan ? (uint32_t)lane->plan->connections : 1;
    s->parked = order_is_parked(&lane->order);
    lane->brake = (struct brake){0};
    map_remove(&ls->by_key, bytes_of(lane->key));
    lane_free(lane);
    set_alarm(ls);
}

// Its alarm has come. True: it was woken.
static bool look_at(struct lanes *ls, struct sleeper *s) {
    int64_t now = now_ms(ls), closed = brake_closed_until(&s->brake, now);
    if (!closed && s->parked) return wake(ls, s);
    if (!closed && brake_is_loose(&s->brake, now)) {
        asleep_drop(&ls->asleep, s);
        return false;
    }
    if (closed && s->parked) recall_probe(&s->probe, ls->worker, bytes_of(s->key), now);
    int64_t next = !closed ? now + LOOK_MS : s->parked && s->probe.at_ms < closed ? s->probe.at_ms : closed;
    asleep_until(&ls->asleep, s, next > now ? next : now + 1);
    return false;
}

static void on_alarm(void *arg) {
    struct lanes *ls = arg;
    struct sleeper *s = NULL;
    int64_t now = now_ms(ls);
    size_t most = ls->by_key.count > AWAKE_MANY ? 1 : WAKE_TOGETHER;
    for (size_t looked = 0, woken = 0; looked < LOOK_TOGETHER && woken < most && (s = asleep_due(&ls->asleep, now)); looked++)
        woken += look_at(ls, s);
    if (asleep_due(&ls->asleep, now)) timer_set(ls->alarm, WAKE_PAUSE_MS);
    else set_alarm(ls);
}

// Something has changed for it: looked at soon.
static void stir(struct lanes *ls, struct sleeper *s) {
    asleep_until(&ls->asleep, s, now_ms(ls));
    set_alarm(ls);
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
    struct lane *lane = map_get(&ls->by_key, key);
    struct sleeper *s = lane ? NULL : asleep_find(&ls->asleep, key);
    if (lane) {
        if (!order_is_parked(&lane->order)) recall_all_unread(&lane->order);
        return lane_touch(lane);
    }
    if (s && s->parked) return;
    if (!s) {
        s = asleep_add(&ls->asleep, key, 0);
        s->planned = 1;
        lanes_read_pause(ls, &s->brake, s->key);
    }
    s->parked = true;
    stir(ls, s);
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

static void read_pause(void *lanes, struct sleeper *s) {
    struct lanes *ls = lanes;
    lanes_read_pause(ls, &s->brake, s->key);
    stir(ls, s);
}

void lanes_read_pauses(struct lanes *ls) {
    size_t at = 0;
    void *value;
    pauses_release(&ls->pauses);
    reader_begin(ls->worker->reader);
    pauses_read(ls->worker->reader, clock_ms(&ls->worker->gateway->clock), &ls->pauses);
    reader_end(ls->worker->reader);
    while (map_next(&ls->by_key, &at, NULL, &value)) {
        struct lane *lane = value;
        lanes_read_pause(ls, &lane->brake, lane->key);
        if (lane_closed_until(lane)) lane_empty(lane, ATTEMPT_PARK);
        lane_touch(lane);
    }
    asleep_each(&ls->asleep, read_pause, ls);
}

bool lanes_has_pause(const struct lanes *ls, struct bytes lane) {
    const struct pause *p = pauses_find(&ls->pauses, lane);
    return p && (!p->until_ms || p->until_ms > clock_ms(&ls->worker->gateway->clock));
}

struct resuming {
    struct lanes *lanes;
    const struct pause *pause;
    size_t count;
};

static void resume(void *arg, struct sleeper *s) {
    struct resuming *r = arg;
    if (!pause_fits(r->pause, bytes_of(s->key))) return;
    r->count += !brake_is_loose(&s->brake, now_ms(r->lanes));
    brake_end_rest(&s->brake, true);
    stir(r->lanes, s);
}

size_t lanes_resume(struct lanes *ls, const struct pause *p) {
    size_t at = 0, count = 0;
    void *value;
    struct resuming resuming = {ls, p, 0};
    asleep_each(&ls->asleep, resume, &resuming);
    while (map_next(&ls->by_key, &at, NULL, &value)) {
        struct lane *lane = value;
        if (!pause_fits(p, bytes_of(lane->key))) continue;
        count += !brake_is_loose(&lane->brake, lane_now_ms(lane));
        brake_end_rest(&lane->brake, true);
        lane_touch(lane);
    }
    return count + resuming.count;
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

static void look_again(void *lanes, struct sleeper *s) { stir(lanes, s); }

static void end_rest(void *lanes, struct sleeper *s) {
    brake_end_rest(&s->brake, false);
    recall_probe_soon(&s->probe);
    stir(lanes, s);
}

void lanes_look_again(struct lanes *ls, bool end_rests) {
    size_t at = 0;
    void *value;
    asleep_each(&ls->asleep, end_rests ? end_rest : look_again, ls);
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

size_t lanes_count(const struct lanes *ls) { return ls->by_key.count + asleep_count(&ls->asleep); }

size_t lanes_pauses(struct lanes *ls) {
    int64_t now = clock_ms(&ls->worker->gateway->clock);
    size_t n = 0;
    for (size_t i = 0; i < ls->pauses.count; i++) n += !ls->pauses.at[i].until_ms || ls->pauses.at[i].until_ms > now;
    return n;
}

struct showing {
    struct lanes *lanes;
    void (*row)(void *arg, struct bytes json);
    void *arg;
    size_t read;
};

static void show_sleeper(void *arg, struct sleeper *s) {
    struct showing *show = arg;
    struct buf out = {0};
    struct order order = {0};
    struct jsonl j = jsonl_begin(&out);
    int64_t now = now_ms(show->lanes);
    jsonl_textz(&j, "lane", s->key);
    brake_show(&s->brake, now, &j);
    jsonl_int(&j, "waiting", 0);
    jsonl_bool(&j, "parked", s->parked);
    jsonl_int(&j, "connections", 0);
    jsonl_int(&j, "connections_allowed", (int64_t)brake_width(&s->brake, s->planned, now));
    jsonl_int(&j, "attempts", (int64_t)s->taken);
    jsonl_int(&j, "worker", show->lanes->worker->index);
    if (s->parked && show->read++ < SHOWN_WITH_TURNS) recall_look(&order, show->lanes->worker, bytes_of(s->key));
    order_show(&order, &j);
    order_release(&order);
    jsonl_end(&j);
    show->row(show->arg, buf_bytes(&out));
    buf_release(&out);
}

void lanes_show(struct lanes *ls, void (*row)(void *arg, struct bytes json), void *arg) {
    size_t at = 0;
    void *value;
    struct buf out = {0};
    asleep_each(&ls->asleep, show_sleeper, &(struct showing){ls, row, arg, 0});
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
    const struct sleeper *s = lane ? NULL : asleep_find(&ls->asleep, key);
    *out = (struct way_state){0};
    if (!lane && !s) return false;
    struct brake b = lane ? lane->brake : s->brake; // a copy: it moves on by being asked
    int64_t until_ms = brake_closed_until(&b, clock_ms(&ls->worker->gateway->clock));
    out->rests_until_ms = until_ms;
    if (b.paused) snprintf(out->why, sizeof out->why, "paused: %s", b.paused_because ? b.paused_because : "");
    else if (until_ms && b.why_code) snprintf(out->why, sizeof out->why, "%d %s", b.why_code, b.why ? b.why : "");
    return true;
}

// ---- life ----------------------------------------------------------------------------------------------------------------------

struct lanes *lanes_new(struct worker *w) {
    struct lanes *ls = must_alloc(sizeof *ls);
    ls->worker = w;
    struct slots_events events = {make_way, come_again, ask_others, tell_others, ls};
    ls->slots = slots_new(&w->gateway->counters.connections_out, &events);
    ls->soon.run = on_soon;
    ls->alarm = timer_new(w->loop, on_alarm, ls);
    return ls;
}

void lanes_stop(struct lanes *ls) {
    size_t at = 0;
    void *value;
    ls->stopped = true;
    timer_stop(ls->alarm);
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
    asleep_release(&ls->asleep);
    timer_free(&ls->alarm);
    slots_free(&ls->slots);
    pauses_release(&ls->pauses);
    if (ls->scheduled) ls->freed = true;
    else free(ls);
}
