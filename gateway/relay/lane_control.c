// SPDX-License-Identifier: MIT
#include "relay/lane_control.h"

#include "relay/deed.h"
#include "relay/lanes.h"
#include "relay/pause.h"
#include "relay/worker.h"

#include <stdlib.h>
#include <sysexits.h>

enum { FOR_MOST_S = 366 * 86400 };

// A pause or its end on its way: into the store, to each worker in turn, and home.
struct change {
    struct deed deed; // first
    struct task task; // home
    struct asker *asker; // NULL: the policy's own
    struct gateway *gateway;
    struct arena arena;
    struct pause pause;
    bool resume, found;
    int next;     // worker
    size_t lanes; // whose rest ended
};

static void end(struct change *c) {
    arena_release(&c->arena);
    free(c);
}

static void tell(struct change *c) {
    struct jsonl *j = event_begin(c->gateway->event_writer, "lane");
    jsonl_textz(j, "state", c->resume ? "resumed" : "paused");
    jsonl_text(j, pause_kind_name[c->pause.kind], c->pause.name);
    if (c->pause.until_ms) jsonl_time(j, "until", c->pause.until_ms);
    if (c->pause.because.len) jsonl_text(j, "because", c->pause.because);
    event_end(c->gateway->event_writer);
}

static void come_home(struct task *task) {
    struct change *c = (struct change *)((char *)task - offsetof(struct change, task));
    if (!c->asker && c->gateway->stopping) return end(c); // it is on disk: the next start finds it
    tell(c);
    if (!c->asker) return end(c);
    struct jsonl *j = asker_done_begin(c->asker);
    jsonl_bool(j, "paused", !c->resume);
    if (c->resume) jsonl_bool(j, "was_paused", c->found);
    if (c->resume) jsonl_int(j, "lanes", (int64_t)c->lanes);
    if (c->pause.until_ms) jsonl_time(j, "until", c->pause.until_ms);
    asker_done_end(c->asker);
    end(c);
}

static void at_worker(struct worker *w, void *arg) {
    struct change *c = arg;
    if (w->lanes) lanes_read_pauses(w->lanes);
    if (c->resume) c->lanes += lanes_resume(w->lanes, &c->pause);
    if (!w->stopping && ++c->next < c->gateway->worker_count) return worker_post(c->gateway->workers[c->next], at_worker, c);
    c->task.run = come_home;
    loop_post(c->gateway->loop, &c->task);
}

static void written(struct deed *e) {
    struct change *c = (struct change *)e;
    if (e->stored && !(c->gateway->stopping && !c->asker)) return worker_post(c->gateway->workers[0], at_worker, c);
    if (!c->asker) {
        if (!e->stored) log_fault(&c->gateway->log, "a pause of %.*s could not be stored: %s", BYTES_FMT(c->pause.name), e->why.text);
        return end(c);
    }
    asker_error(c->asker, EX_IOERR, "lane: %s", e->why.text);
    end(c);
}

static bool apply(struct store_op *op, struct txn *txn, struct err *err) {
    struct change *c = (struct change *)op;
    return c->resume ? txn_drop_pause(txn, &c->pause, &c->found, err) : txn_put_pause(txn, &c->pause, err);
}

// ---- requests

static bool read_pause(const struct json *request, int64_t now_ms, struct arena *arena, struct pause *out, struct err *err) {
    struct bytes text;
    int64_t for_s = 0;
    int named = 0;
    *out = (struct pause){.because = BYTES(""), .since_ms = now_ms};
    for (size_t i = 0; i < PAUSE_KINDS; i++) {
        if (!json_text(json_get(request, pause_kind_name[i]), &text) || !text.len) continue;
        out->kind = (enum pause_kind)i;
        out->name = arena_copy(arena, text);
        named++;
    }
    if (named != 1) return err_set(err, "one of lane (its whole key), identity and domain is expected");
    if (out->name.len > PAUSE_NAME) return err_set(err, "a name of more than %d bytes is no lane's", PAUSE_NAME);
    if (json_text(json_get(request, "because"), &text)) out->because = arena_copy(arena, bytes_first(text, PAUSE_BECAUSE));
    if (!json_get(request, "for_s")) return true;
    if (!json_int(json_get(request, "for_s"), &for_s) || for_s < 1 || for_s > FOR_MOST_S)
        return err_set(err, "for_s is a number of seconds, a year at the most");
    out->until_ms = now_ms + for_s * 1000;
    return true;
}

static struct change *change_new(struct gateway *g) {
    struct change *c = must_alloc(sizeof *c);
    c->gateway = g;
    return c;
}

void lane_control_pause(struct gateway *g, const struct pause *p) {
    struct change *c = change_new(g);
    c->pause = *p;
    c->pause.name = arena_copy(&c->arena, p->name);
    c->pause.because = arena_copy(&c->arena, bytes_first(p->because, PAUSE_BECAUSE));
    deed_run(&c->deed, g, apply, written);
}

static void change(struct asker *a, const struct json *request, bool resume) {
    struct err err;
    struct change *c = change_new(asker_gateway(a));
    c->asker = a;
    c->resume = resume;
    if (!read_pause(request, clock_ms(&c->gateway->clock), &c->arena, &c->pause, &err)) {
        end(c);
        return asker_error(a, EX_USAGE, "lane: %s", err.text);
    }
    deed_run(&c->deed, c->gateway, apply, written);
}

static void list_pauses(struct asker *a) {
    struct gateway *g = asker_gateway(a);
    struct pauses all;
    struct err err;
    struct buf row = {0};
    struct reader *reader = reader_new(g->store, &err);
    if (!reader) return asker_error(a, EX_UNAVAILABLE, "lane: %s", err.text);
    reader_begin(reader);
    pauses_read(reader, clock_ms(&g->clock), &all);
    reader_end(reader);
    reader_free(&reader);
    for (size_t i = 0; i < all.count; i++) {
        struct jsonl j = jsonl_begin(&row);
        pause_show(&all.at[i], &j);
        jsonl_end(&j);
        asker_row(a, buf_bytes(&row));
        buf_reset(&row);
    }
    buf_release(&row);
    pauses_release(&all);
    asker_done_begin(a);
    asker_done_end(a);
}

void lane_control(struct asker *a, const struct json *request) {
    struct bytes action = BYTES("");
    json_text(json_get(request, "action"), &action);
    if (bytes_equal(action, BYTES("pause"))) change(a, request, false);
    else if (bytes_equal(action, BYTES("resume"))) change(a, request, true);
    else if (bytes_equal(action, BYTES("pauses"))) list_pauses(a);
    else asker_error(a, EX_USAGE, "lane: action is list, pauses, pause or resume");
}
