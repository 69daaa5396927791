// SPDX-License-Identifier: MIT
#include "policy/decision.h"

#include "policy/spends.h"

#include <stdio.h>

const char *const answer_kind_name[] = {"accept", "reject", "defer", "hold", "discard", NULL};
const char *const verdict_kind_name[] = {"wait", "elsewhere", "give_up", NULL};

void decision_begin(struct jsonl *j, const char *hook, const char *kind) {
    jsonl_textz(j, "hook", hook);
    jsonl_textz(j, "kind", kind);
}

void decision_end(struct jsonl *j, const struct origin *o) {
    jsonl_text(j, "where", o->where);
    jsonl_text(j, "because", o->because);
    jsonl_text(j, "version", o->version);
    if (o->fault) jsonl_bool(j, "fault", true);
}

static void put_reply(struct jsonl *j, const struct reply *r) {
    if (!r->code) return;
    struct buf text = {0};
    char status[REPLY_STATUS];
    reply_text(r, &text);
    jsonl_text(j, "reply", buf_bytes(&text));
    jsonl_int(j, "code", r->code);
    jsonl_textz(j, "status", reply_status(r, status));
    buf_release(&text);
}

static void put_edits(struct jsonl *j, const struct answer *a) {
    static const char *const verbs[] = {
        [HEADER_ADD] = "add", [HEADER_SET] = "set", [HEADER_REMOVE] = "remove"};
    if (!a->edit_count) return;
    jsonl_open(j, "headers", '[');
    for (size_t i = 0; i < a->edit_count; i++) {
        const struct header_edit *e = &a->edits[i];
        jsonl_open(j, NULL, '{');
        jsonl_text(j, verbs[e->kind], e->name);
        if (e->kind != HEADER_REMOVE) jsonl_text(j, "value", e->value);
        jsonl_close(j, '}');
    }
    jsonl_close(j, ']');
}

static void put_suppress(struct jsonl *j, const struct suppress *s) {
    if (!s->scope.len) return;
    jsonl_open(j, "suppress", '{');
    jsonl_text(j, "scope", s->scope);
    if (s->reason.len) jsonl_text(j, "reason", s->reason);
    if (s->expires_s) jsonl_int(j, "expires_s", s->expires_s);
    jsonl_close(j, '}');
}

static void put_each_keep(struct jsonl *j, const struct keep *keeps, size_t count) {
    for (size_t i = 0; i < count; i++) {
        jsonl_open(j, NULL, '{');
        jsonl_text(j, "key", keeps[i].key);
        if (keeps[i].value.len) jsonl_raw(j, "value", keeps[i].value);
        else jsonl_bool(j, "drop", true);
        if (keeps[i].expires_s) jsonl_int(j, "expires_s", keeps[i].expires_s);
        jsonl_close(j, '}');
    }
}

static void put_keeps(struct jsonl *j, const struct keep *keeps, size_t count) {
    if (!count) return;
    jsonl_open(j, "shelf", '[');
    put_each_keep(j, keeps, count);
    jsonl_close(j, ']');
}

// Whichever of the alternatives is taken: all that any of them asks for.
static void put_plan_keeps(struct jsonl *j, const struct plan *plan) {
    size_t count = 0;
    for (const struct plan *p = plan; p; p = p->otherwise) count += p->keep_count;
    if (!count) return;
    jsonl_open(j, "shelf", '[');
    for (const struct plan *p = plan; p; p = p->otherwise) put_each_keep(j, p->keeps, p->keep_count);
    jsonl_close(j, ']');
}

static void put_copies(struct jsonl *j, const struct answer *a) {
    if (!a->copy_count) return;
    jsonl_open(j, "copies", '[');
    for (size_t i = 0; i < a->copy_count; i++) jsonl_text(j, NULL, a->copies[i]);
    jsonl_close(j, ']');
}

void decision_answer_members(struct jsonl *j, const struct answer *a) {
    put_reply(j, &a->reply);
    if (a->tags.len) jsonl_raw(j, "tags", a->tags);
    if (a->user_facts.len) jsonl_raw(j, "facts", a->user_facts);
    put_edits(j, a);
    if (a->expires_s) jsonl_int(j, "expires", a->expires_s);
    spends_put(j, a->spends, a->spend_count);
    put_keeps(j, a->keeps, a->keep_count);
    put_copies(j, a);
}

void decision_answer(struct jsonl *j, const char *hook, const struct answer *a) {
    decision_begin(j, hook, answer_kind_name[a->kind]);
    decision_answer_members(j, a);
    decision_end(j, &a->origin);
}

void decision_plan(struct jsonl *j, const struct plan *p) {
    decision_begin(j, "route", plan_kind_name[p->kind]);
    if (p->kind == PLAN_WAIT) jsonl_int(j, "wait", p->wait_s);
    put_reply(j, &p->reply);
    jsonl_raw(j, "plan", p->json);
    if (p->lane.len) jsonl_text(j, "lane", p->lane);
    put_plan_keeps(j, p);
    decision_end(j, &p->origin);
}

void pace_text(const struct pace *p, char out[PACE_TEXT]) {
    static const struct {
        uint32_t seconds;
        const char *name;
    } units[] = {{1, "second"}, {60, "minute"}, {3600, "hour"}, {86400, "day"}};
    size_t i = 0;
    while (i < 3 && units[i].seconds != p->window_s) i++;
    snprintf(out, PACE_TEXT, "%u/%s", p->n, units[i].name);
}

// As the field `lane`; nothing where nothing is asked.
static void reaction_put(struct jsonl *j, const struct reaction *r) {
    char rate[PACE_TEXT];
    if (!r->seconds) return;
    jsonl_open(j, "lane", '{');
    jsonl_int(j, r->rests ? "rest" : "lasts", r->seconds);
    if (r->connections) jsonl_int(j, "connections", (int64_t)r->connections);
    if (r->pace.n) {
        pace_text(&r->pace, rate);
        jsonl_textz(j, "rate", rate);
    }
    jsonl_close(j, '}');
}

void decision_verdict_members(struct jsonl *j, const struct verdict *v) {
    if (v->kind == VERDICT_WAIT) jsonl_int(j, "wait", v->wait_s);
    put_reply(j, &v->reply);
    jsonl_bool(j, "counts", v->counts);
    if (v->pause_s) jsonl_int(j, "pause", v->pause_s);
    if (v->tally_count) jsonl_open(j, "tally", '[');
    for (size_t i = 0; i < v->tally_count; i++) jsonl_text(j, NULL, v->tally[i].account);
    if (v->tally_count) jsonl_close(j, ']');
    put_suppress(j, &v->suppress);
    put_keeps(j, v->keeps, v->keep_count);
    if (v->exhaust.by.len) {
        jsonl_open(j, "exhaust", '{');
        jsonl_text(j, "by", v->exhaust.by);
        jsonl_int(j, "seconds", v->exhaust.seconds);
        jsonl_close(j, '}');
    }
    reaction_put(j, &v->lane);
}

void decision_verdict(struct jsonl *j, const struct verdict *v) {
    decision_begin(j, "retry", verdict_kind_name[v->kind]);
    decision_verdict_members(j, v);
    decision_end(j, &v->origin);
}
