// SPDX-License-Identifier: MIT
#include "cli/trial.h"

#include "base/jsonl.h"
#include "base/map.h"
#include "relay/explain.h"
#include "relay/lab_ledger.h"

#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *name, *type, *records;
} zone[] = {
    {"example.net", "mx", "[[10,\"mx.example.net\"]]"}, {"mx.example.net", "a", "[\"192.0.2.25\"]"},
    {"example.com", "mx", "[[10,\"aspmx.l.google.com\"]]"},
};

// What attempts come to: stage, whether a peer said it, reply.
static const struct {
    const char *stage, *reply;
    bool from_peer;
} ends[] = {
    {"rcpt", "450 4.7.1 greylisted", true}, {"rcpt", "550 5.1.1 no such user", true}, {"connect", "450 4.4.1 no answer", false},
    {"content", "552 5.2.2 quota exceeded", true},
};

struct trial {
    struct lab *lab;
    struct map said; // faults
    const struct trial_eyes *eyes;
    const char *sender;
    struct buf decision, *reached;
};

static struct bytes text_of(const struct json *map, const char *name) {
    struct bytes text = BYTES("");
    json_text(json_get(map, name), &text);
    return text;
}

static void tell_fault(struct trial *t, struct bytes hook, const struct json *decision, struct bytes of) {
    struct buf words = {0};
    buf_add(&words, hook);
    buf_addz(&words, ": ");
    buf_add(&words, text_of(decision, "because"));
    if (!map_get(&t->said, buf_bytes(&words))) {
        map_put(&t->said, buf_bytes(&words), t);
        buf_format(&words, " (on a trial message from %s, asked about %.*s)", t->sender, BYTES_FMT(of));
        t->eyes->fault(t->eyes->arg, buf_z(&words));
    }
    buf_release(&words);
}

static void note_reached(struct trial *t, struct bytes hook) {
    if (bytes_search(buf_bytes(t->reached), hook) >= 0) return;
    buf_addz(t->reached, t->reached->len ? " " : "");
    buf_add(t->reached, hook);
}

static bool is_fault(const struct json *decision) {
    bool fault = false;
    return json_bool(json_get(decision, "fault"), &fault) && fault;
}

// The same facts with an outcome are what retry is asked.
static void ask_retry(struct trial *t, const struct json *facts, const struct json *plan) {
    struct bytes via = text_of(json_get(plan, "via"), "kind");
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        struct buf told = {0};
        struct err err;
        struct jsonl j = jsonl_begin(&told);
        static const char *const kept[] = {"session", "message", "recipient"};
        for (size_t k = 0; k < sizeof kept / sizeof *kept; k++) {
            struct buf part = {0};
            if (json_get(facts, kept[k])) json_write(json_get(facts, kept[k]), &part);
            if (part.len) jsonl_raw(&j, kept[k], buf_bytes(&part));
            buf_release(&part);
        }
        jsonl_open(&j, "outcome", '{');
        jsonl_textz(&j, "reply", ends[i].reply);
        jsonl_textz(&j, "stage", ends[i].stage);
        jsonl_bool(&j, "from_peer", ends[i].from_peer);
        jsonl_text(&j, "via", via);
        jsonl_text(&j, "identity", text_of(json_get(plan, "identity"), "name"));
        jsonl_textz(&j, "peer", ends[i].from_peer ? "mx.example.net [192.0.2.25]:25" : "");
        jsonl_int(&j, "attempt", 1);
        jsonl_close(&j, '}');
        jsonl_close(&j, '}');
        buf_reset(&t->decision);
        note_reached(t, BYTES("retry"));
        if (lab_ask(t->lab, "retry", buf_bytes(&told), &t->decision, &err)) {
            struct json *decision = json_parse(buf_bytes(&t->decision), NULL);
            t->eyes->decided(t->eyes->arg, decision);
            if (is_fault(decision)) tell_fault(t, BYTES("retry"), decision, bytes_of(ends[i].reply));
            json_free(&decision);
        }
        buf_release(&told);
    }
}

static void on_row(void *arg, struct bytes text) {
    struct trial *t = arg;
    struct json *row = json_parse(text, NULL);
    const struct json *decision = json_get(row, "decision");
    if (decision) note_reached(t, text_of(row, "hook"));
    if (decision) t->eyes->decided(t->eyes->arg, decision);
    if (is_fault(decision)) tell_fault(t, text_of(row, "hook"), decision, text_of(row, "of"));
    else if (json_get(decision, "ways")) ask_retry(t, json_get(row, "facts"), json_get(decision, "plan"));
    json_free(&row);
}

static bool teach(struct lab *lab, struct err *err) {
    for (size_t i = 0; i < sizeof zone / sizeof *zone; i++) {
        struct json *records = json_parse(bytes_of(zone[i].records), err);
        bool good = records && lab_teach(lab, zone[i].name, zone[i].type, records, err);
        json_free(&records);
        if (!good) return false;
    }
    return true;
}

static bool try_listeners(struct trial *t, const struct explain_place *place, struct err *err) {
    static const struct bytes recipients[] = {{"someone@example.net", 19}, {"someone@gmail.com", 17}, {"someone@example.com", 19}};
    struct buf head = {0};
    buf_format(&head, "From: <%s>\r\nTo: <someone@example.net>\r\nSubject: trial\r\n", t->sender);
    bool good = true;
    for (size_t i = 0; good && i < place->conf->listener_count; i++) {
        const struct conf_listener *l = &place->conf->listeners[i];
        for (int login = l->auth_required; good && login <= (l->kind == LISTENER_SUBMISSION || l->kind == LISTENER_SUBMISSIONS); login++) {
            struct explain_ask ask = {.sender = bytes_of(t->sender), .recipients = recipients, .recipient_count = sizeof recipients / sizeof *recipients,
                                      .user = login ? trial_user(place->users) : BYTES(""), .listener = bytes_of(l->name), .head = buf_bytes(&head),
                                      .body_size = 100};
            if (login && !ask.user.len) break; // nobody can log in
            good = explain_message(place, &ask, on_row, t, err);
        }
    }
    buf_release(&head);
    return good;
}

struct bytes trial_user(const struct users *users) {
    struct bytes name, facts;
    for (size_t at = 0; users_next(users, &at, &name, &facts);)
        if (bytes_search(facts, BYTES("\"per_")) >= 0) return name;
    return users_first(users);
}

bool trial_run(const struct conf *conf, const struct users *users, struct bundle *bundle, const struct trial_eyes *eyes, struct buf *reached,
               struct err *err) {
    struct generation_options usual = {.memory_max = conf->limits.script_memory, .steps_max = (uint64_t)conf->limits.hook_steps,
                                       .time_max_ms = (int64_t)conf->limits.hook_time_s * 1000, .key_dir = conf->base,
                                       .http_hosts = conf->http_hosts, .hostname = conf->hostname};
    char sender[300];
    snprintf(sender, sizeof sender, "trial@%.255s", conf->hostname);
    struct lab_ledger *ledger = lab_ledger_new();
    struct lab_options options = {.usual = &usual, .limits = lab_ledger_limits(ledger)};
    struct trial t = {.lab = lab_new(&options, err), .eyes = eyes, .sender = sender, .reached = reached};
    struct explain_place place = {.lab = t.lab, .conf = conf, .users = users};
    bool good = t.lab && teach(t.lab, err) && lab_use(t.lab, bundle, false, err) && try_listeners(&t, &place, err);
    lab_free(&t.lab);
    lab_ledger_free(&ledger);
    map_release(&t.said);
    buf_release(&t.decision);
    return good;
}
