// SPDX-License-Identifier: MIT
#include "policy/prospect.h"

#include <stdint.h>

// Of the ways that have no room, the one that will have some first. So does relay/outcome.
struct soonest {
    int64_t at_ms;
    const struct spend *spend; // NULL: its lane rests
};

struct telling {
    struct jsonl *j;
    const struct prospect_eyes *eyes;
    int64_t now_ms;
    int number, goes; // of ways; 0: none goes yet
    int64_t pause_ms;
    struct soonest soonest;
};

static void offer(struct telling *t, int64_t at_ms, const struct spend *spend) {
    if (!t->soonest.at_ms || at_ms < t->soonest.at_ms) t->soonest = (struct soonest){at_ms, spend};
}

static void put_limit(struct jsonl *j, const struct spend *s, const struct limit_state *l, bool room,
                      int64_t now_ms) {
    uint64_t left = l->used < s->cap && !l->full_until_ms ? s->cap - l->used : 0;
    jsonl_open(j, NULL, '{');
    jsonl_text(j, "key", s->key);
    jsonl_int(j, "window_s", s->window_s);
    jsonl_int(j, "cap", (int64_t)s->cap);
    jsonl_int(j, "used", (int64_t)l->used);
    jsonl_int(j, "left", (int64_t)left);
    jsonl_bool(j, "room", room);
    if (!room) jsonl_time(j, "room_at", l->room_at_ms);
    if (!room) jsonl_int(j, "room_in_ms", l->room_at_ms - now_ms);
    if (l->next_free_ms) jsonl_time(j, "next_free", l->next_free_ms);
    if (l->full_until_ms) jsonl_time(j, "full_until", l->full_until_ms);
    jsonl_close(j, '}');
}

// The first that has no room stands for all: it is the one whose ledger refuses.
static bool tell_limits(struct telling *t, const struct spend *spends, size_t count, size_t recipients,
                        int64_t *pause_ms, struct soonest *none) {
    bool all = true;
    if (!count) return true;
    jsonl_open(t->j, "limits", '[');
    for (size_t i = 0; i < count; i++) {
        const struct spend *s = &spends[i];
        struct limit_state l = {0};
        if (t->eyes->limit) t->eyes->limit(t->eyes->arg, s, s->recipients ? recipients : 1, &l);
        int64_t pause = l.room_at_ms > t->now_ms ? l.room_at_ms - t->now_ms : 0;
        bool room = pause <= PROSPECT_PATIENCE_MS;
        if (room && pause > *pause_ms) *pause_ms = pause;
        if (!room && all) *none = (struct soonest){l.room_at_ms, s};
        all = all && room;
        put_limit(t->j, s, &l, room, t->now_ms);
    }
    jsonl_close(t->j, ']');
    return all;
}

void prospect_tell_spends(struct jsonl *j, const struct spend *spends, size_t count, size_t recipients,
                          const struct prospect_eyes *eyes, int64_t now_ms) {
    struct telling t = {.j = j, .eyes = eyes, .now_ms = now_ms};
    struct soonest none = {0};
    int64_t pause_ms = 0;
    bool room = tell_limits(&t, spends, count, recipients, &pause_ms, &none);
    jsonl_bool(j, "room", room);
    if (!room) jsonl_time(j, "until", none.at_ms);
    if (!room) jsonl_text(j, "waits_for", none.spend->key);
}

static bool tell_rest(struct telling *t, const struct plan *p, struct soonest *none) {
    struct way_state w = {0};
    if (!t->eyes->way || !t->eyes->way(t->eyes->arg, p->lane, &w) || w.rests_until_ms <= t->now_ms)
        return true;
    if (w.rests_until_ms < INT64_MAX)
        jsonl_time(t->j, "rests_until", w.rests_until_ms);
    else
        jsonl_bool(t->j, "paused", true);
    jsonl_textz(t->j, "rests_because", w.why);
    *none = (struct soonest){w.rests_until_ms, NULL};
    return false;
}

static void tell_way(struct telling *t, const struct plan *p) {
    int64_t pause_ms = 0;
    struct soonest none = {0};
    jsonl_open(t->j, NULL, '{');
    jsonl_textz(t->j, "do", plan_kind_name[p->kind]);
    bool room = true;
    if (p->kind == PLAN_SEND) {
        jsonl_text(t->j, "identity", p->identity.name);
        jsonl_text(t->j, "lane", p->lane);
        jsonl_textz(t->j, "tls", tls_level_name[p->tls]);
        // A lane that rests takes nobody, so its limits are not even asked; both are shown.
        room = tell_limits(t, p->spends, p->spend_count, 1, &pause_ms, &none);
        room = tell_rest(t, p, &none) && room;
    }
    jsonl_text(t->j, "where", p->origin.where);
    jsonl_text(t->j, "because", p->origin.because);
    jsonl_bool(t->j, "room", room);
    jsonl_close(t->j, '}');
    t->number++;
    if (room && !t->goes) {
        t->goes = t->number;
        t->pause_ms = pause_ms;
    }
    if (!room) offer(t, none.at_ms, none.spend);
}

void prospect_tell(struct jsonl *j, const struct plan *plan, const struct prospect_eyes *eyes,
                   int64_t now_ms) {
    struct telling t = {.j = j, .eyes = eyes, .now_ms = now_ms};
    jsonl_open(j, "ways", '[');
    for (const struct plan *p = plan; p; p = p->otherwise)
        tell_way(&t, p);
    jsonl_close(j, ']');
    if (t.goes) {
        jsonl_int(j, "goes", t.goes);
        if (t.pause_ms) jsonl_int(j, "pause_ms", t.pause_ms);
        return;
    }
    jsonl_text(j, "waits_for", t.soonest.spend ? t.soonest.spend->key : BYTES("lane"));
    if (t.soonest.at_ms == INT64_MAX) return;
    jsonl_int(j, "waits_s", (t.soonest.at_ms - now_ms + 999) / 1000);
    jsonl_time(j, "until", t.soonest.at_ms);
}
