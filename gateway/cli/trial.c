// SPDX-License-Identifier: MIT
#include "cli/trial.h"

#include "base/jsonl.h"
#include "base/map.h"
#include "mail/address.h"
#include "relay/explain.h"
#include "relay/lab_ledger.h"

#include <stdio.h>

enum { SENDER_MAX = 330 }; // the longest address, and what a hostname of 255 makes

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

// As whom the user may send, as users.may_send_as reads the key `from` of the line ("*@domain" and addresses, with commas between): a message that
// is refused at MAIL would not come to the hooks behind it. `usual` where the line says nothing or allows anything.
static void sender_of(const struct users *users, struct bytes user, const char *usual, char out[static SENDER_MAX]) {
    struct bytes facts = {0};
    if (user.len) users_hash(users, user, &facts);
    struct json *map = json_parse(facts, NULL);
    struct bytes all = text_of(map, "from"), from = bytes_trim(bytes_cut(&all, ','));
    struct address parsed;
    struct err err;
    bool any_of_domain = bytes_starts(from, BYTES("*@"));
    snprintf(out, SENDER_MAX, "%s%.*s", any_of_domain ? "trial" : "", BYTES_FMT(bytes_skip(from, any_of_domain ? 1 : 0)));
    if (!address_parse(bytes_of(out), &parsed, &err)) snprintf(out, SENDER_MAX, "%s", usual);
    json_free(&map);
}

static bool lets_log_in(const struct conf_listener *l) { return l->kind == LISTENER_SUBMISSION || l->kind == LISTENER_SUBMISSIONS; }

static bool try_listeners(struct trial *t, const struct explain_place *place, struct err *err) {
    static const struct bytes recipients[] = {{"someone@example.net", 19}, {"someone@gmail.com", 17}, {"someone@example.com", 19}};
    const char *usual = t->sender;
    struct buf head = {0};
    bool good = true;
    for (size_t i = 0; good && i < place->conf->listener_count; i++) {
        const struct conf_listener *l = &place->conf->listeners[i];
        for (int login = l->auth_required; good && login <= lets_log_in(l); login++) {
            struct bytes user = login ? trial_user(place->conf, place->users) : BYTES("");
            char sender[SENDER_MAX];
            if (login && !user.len) break; // nobody can log in
            sender_of(place->users, user, usual, sender);
            t->sender = sender;
            buf_reset(&head);
            buf_format(&head, "From: <%s>\r\nTo: <someone@example.net>\r\nSubject: trial\r\n", sender);
            // Machines that log in nowhere are known by their network: the trial comes from the first that the listener allows.
            char client[ADDR_TEXT] = "";
            if (!login && l->allow_count) addr_ip_text(&l->allow[0].base, client);
            struct explain_ask ask = {.client = bytes_of(client), .sender = bytes_of(sender), .recipients = recipients, .recipient_count = sizeof recipients / sizeof *recipients,
                                      .user = user, .listener = bytes_of(l->name), .head = buf_bytes(&head),
                                      .body_size = 100};
            good = explain_message(place, &ask, on_row, t, err);
        }
    }
    t->sender = usual;
    buf_release(&head);
    return good;
}

struct bytes trial_user(const struct conf *conf, const struct users *users) {
    struct bytes name, facts, other = BYTES("");
    size_t l = 0;
    while (l < conf->listener_count && !lets_log_in(&conf->listeners[l])) l++;
    if (l == conf->listener_count) return other;
    for (size_t at = 0; users_next(users, &at, &name, &facts);) {
        const char *hash = users_hash(users, name, NULL);
        if (*hash == '!' || *hash == '*') continue; // locked: refused at AUTH, and nothing behind that is asked
        if (bytes_search(facts, BYTES("\"per_")) >= 0) return name;
        other = name;
    }
    return other.len ? other : users_first(users);
}

bool trial_run(const struct conf *conf, const struct users *users, struct bundle *bundle, const struct trial_eyes *eyes, struct buf *reached,
               struct err *err) {
    struct generation_options usual;
    conf_script_options(conf, &usual);
    char sender[SENDER_MAX];
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
