// SPDX-License-Identifier: MIT
#include "relay/identity_control.h"

#include "policy/hooks.h"
#include "relay/lanes.h"
#include "relay/ledger.h"
#include "relay/login.h"
#include "relay/pause.h"
#include "relay/token.h"
#include "relay/worker.h"

#include <stdlib.h>
#include <sysexits.h>

static const char warmup[] = "warmup"; // what is described, and what the keys of its accounts begin with

// Goes round the workers, then to the first one's scripts, and home.
struct look {
    struct task task; // first
    struct asker *asker;
    struct gateway *gateway;
    struct worker *asked; // whose scripts are; it does not end meanwhile
    struct arena arena;
    struct bytes name; // "": all
    bool show;         // the identity; else its warmups
    int next;
    struct buf identities, logins; // lines of JSON, as relay/login joins them
    struct buf accounts, lanes;    // lists without their brackets: those that name it
    struct buf warming;            // the accounts of warmups, likewise
    struct buf question;
    struct bytes told;
    const char *why;
    bool found;
};

static void end(struct look *k) {
    buf_release(&k->identities);
    buf_release(&k->logins);
    buf_release(&k->accounts);
    buf_release(&k->lanes);
    buf_release(&k->warming);
    buf_release(&k->question);
    arena_release(&k->arena);
    free(k);
}

// ---- gathering

static void add_line(void *arg, struct bytes json) { buf_add(arg, json); }

static void add_item(struct buf *list, struct bytes json) {
    if (list->len) buf_byte(list, ',');
    buf_add(list, bytes_trim(json));
}

// "acme" in "acme/google", "warmup/acme/google", "identity/acme".
static bool names_it(struct bytes key, struct bytes name) {
    while (key.len)
        if (bytes_equal(bytes_cut(&key, '/'), name)) return true;
    return false;
}

static void take_account(void *arg, struct bytes line) {
    struct look *k = arg;
    struct json *row = json_parse(line, NULL);
    struct bytes key = BYTES(""), of = {.at = NULL};
    json_text(json_get(row, "key"), &key);
    if (k->show && names_it(key, k->name)) add_item(&k->accounts, line);
    of = key;
    if (bytes_equal(bytes_cut(&of, '/'), bytes_of(warmup)) && (!k->name.len || names_it(key, k->name))) add_item(&k->warming, line);
    json_free(&row);
}

static void take_lane(void *arg, struct bytes line) {
    struct look *k = arg;
    struct json *row = json_parse(line, NULL);
    struct bytes key = BYTES("");
    json_text(json_get(row, "lane"), &key);
    if (bytes_equal(bytes_cut(&key, '|'), k->name)) add_item(&k->lanes, line);
    json_free(&row);
}

static void come_home(struct task *task);

static void told(void *arg, struct bytes json, const char *why) {
    struct look *k = arg;
    k->told = arena_copy(&k->arena, json);
    if (why) k->why = arena_z(&k->arena, bytes_of(why));
    if (k->asked) k->asked->grants--;
    k->task.run = come_home;
    loop_post(k->gateway->loop, &k->task);
}

static void ask_scripts(struct worker *w, void *arg) {
    struct look *k = arg;
    if (w->stopping) return told(k, BYTES("[]"), "the gateway is stopping");
    k->asked = w;
    w->grants++;
    struct jsonl j = jsonl_begin(&k->question);
    if (k->name.len) jsonl_text(&j, "name", k->name);
    jsonl_open(&j, "accounts", '[');
    buf_add(&k->question, buf_bytes(&k->warming));
    jsonl_close(&j, ']');
    jsonl_close(&j, '}');
    hook_describe(w->generation, bytes_of(warmup), buf_bytes(&k->question), told, k);
}

static void at_worker(struct worker *w, void *arg) {
    struct look *k = arg;
    ledger_show(w->ledger, take_account, k);
    if (k->show) {
        if (w->index == 0) buf_add(&k->identities, generation_identities(w->generation));
        logins_show(w->logins, add_line, &k->logins);
        tokens_show(w->tokens, add_line, &k->logins);
        lanes_show(w->lanes, take_lane, k);
    }
    bool last = ++k->next == k->gateway->worker_count;
    worker_post(k->gateway->workers[last ? 0 : k->next], last ? ask_scripts : at_worker, k);
}

// ---- telling

static void put_pause(struct look *k, struct jsonl *j) {
    struct pauses all;
    struct err err;
    struct reader *reader = reader_new(k->gateway->store, &err);
    if (!reader) return;
    reader_begin(reader);
    pauses_read(reader, clock_ms(&k->gateway->clock), &all);
    reader_end(reader);
    reader_free(&reader);
    for (size_t i = 0; i < all.count; i++) {
        const struct pause *p = &all.at[i];
        if (p->kind != PAUSE_IDENTITY || !bytes_equal(p->name, k->name)) continue;
        jsonl_open(j, "paused", '{');
        pause_show(p, j);
        jsonl_close(j, '}');
    }
    pauses_release(&all);
}

static void put_list(struct jsonl *j, const char *name, const struct buf *items) {
    jsonl_open(j, name, '[');
    buf_add(j->out, buf_bytes(items));
    jsonl_close(j, ']');
}

// A row of relay/login, and what else is known.
static void show_one(void *arg, struct bytes line) {
    struct look *k = arg;
    struct json *row = json_parse(line, NULL);
    struct bytes name;
    struct buf out = {0};
    bool wanted = json_text(json_get(row, "identity"), &name) && bytes_equal(name, k->name);
    json_free(&row);
    if (!wanted) return;
    k->found = true;
    line = bytes_trim(line);
    buf_add(&out, bytes_first(line, line.len - 1)); // all but its '}'
    struct jsonl j = {.out = &out, .comma = true};
    put_pause(k, &j);
    put_list(&j, "lanes", &k->lanes);
    put_list(&j, "limits", &k->accounts);
    jsonl_raw(&j, "warmup", k->told);
    jsonl_end(&j);
    asker_row(k->asker, buf_bytes(&out));
    buf_release(&out);
}

static void show_warmups(struct look *k) {
    struct json *list = json_parse(k->told, NULL);
    struct buf row = {0};
    for (size_t i = 0; i < json_count(list); i++) {
        buf_reset(&row);
        json_write(json_item(list, i), &row);
        asker_row(k->asker, buf_bytes(&row));
    }
    k->found = json_count(list) || !k->name.len;
    buf_release(&row);
    json_free(&list);
}

static void come_home(struct task *task) {
    struct look *k = (struct look *)task;
    if (k->why) {
        asker_error(k->asker, EX_SOFTWARE, "the policy's warmups could not be told of: %s", k->why);
        return end(k);
    }
    if (k->show) logins_join(buf_bytes(&k->identities), buf_bytes(&k->logins), show_one, k);
    else show_warmups(k);
    if (k->found) {
        asker_done_begin(k->asker);
        asker_done_end(k->asker);
    } else {
        asker_error(k->asker, EX_DATAERR, "the policy has no %s '%.*s'", k->show ? "identity" : "warmup", BYTES_FMT(bytes_first(k->name, 100)));
    }
    end(k);
}

static void start(struct asker *a, const struct json *request, bool show) {
    struct look *k = must_alloc(sizeof *k);
    struct bytes name = BYTES("");
    k->asker = a;
    k->gateway = asker_gateway(a);
    k->show = show;
    json_text(json_get(request, "name"), &name);
    k->name = arena_copy(&k->arena, name);
    worker_post(k->gateway->workers[0], at_worker, k);
}

void identity_control_show(struct asker *a, const struct json *request) { start(a, request, true); }
void identity_control_warmup(struct asker *a, const struct json *request) { start(a, request, false); }
