// SPDX-License-Identifier: MIT
#include "cli/ask.h"
#include "cli/show.h"
#include "cli/table.h"
#include "cli/verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

// An identity that is paused (`tidegate lane pauses` has them all).
struct paused {
    struct paused *next;
    char *name, *why;
};

struct listing {
    const struct call *call;
    struct table *table;
    int64_t now;
    struct paused *paused;
};

static bool note_pause(void *arg, const struct json *row, struct bytes text) {
    struct listing *l = arg;
    struct bytes what, name;
    (void)text;
    if (!json_text(json_get(row, "what"), &what) || !bytes_equal(what, BYTES("identity"))) return true;
    if (!json_text(json_get(row, "name"), &name)) return true;
    struct paused *p = must_alloc(sizeof *p);
    struct buf why = {0};
    int64_t until;
    buf_addz(&why, "paused");
    if (json_get(row, "until") && show_when(json_get(row, "until"), &until)) {
        buf_addz(&why, ", goes on ");
        show_relative(&why, until, l->now);
    }
    if (json_get(row, "because")) {
        buf_addz(&why, ": ");
        show_value(&why, "because", json_get(row, "because"));
    }
    *p = (struct paused){.next = l->paused, .name = bytes_dupz(name), .why = bytes_dupz(buf_bytes(&why))};
    l->paused = p;
    buf_release(&why);
    return true;
}

static const struct paused *pause_of(const struct listing *l, const struct json *row) {
    struct bytes name;
    if (!json_text(json_get(row, "identity"), &name)) return NULL;
    const struct paused *p = l->paused;
    while (p && !bytes_equal(bytes_of(p->name), name)) p = p->next;
    return p;
}

static void forget_pauses(struct listing *l) {
    for (struct paused *p; (p = l->paused);) {
        l->paused = p->next;
        free(p->name);
        free(p->why);
        free(p);
    }
}

static void cell(struct listing *l, const struct json *value) {
    struct buf text = {0};
    if (value) show_value(&text, "", value);
    table_cell(l->table, buf_bytes(&text));
    buf_release(&text);
}

static void time_cell(struct listing *l, const struct json *value) {
    struct buf text = {0};
    int64_t ms;
    if (value && show_when(value, &ms)) show_relative(&text, ms, l->now);
    table_cell(l->table, buf_bytes(&text));
    buf_release(&text);
}

static bool is_later(const struct json *a, const struct json *b) {
    int64_t x = 0, y = 0;
    if (!a || !show_when(a, &x)) return false;
    return !b || !show_when(b, &y) || x > y;
}

// A token that cannot be had explains a login that does not work; else what the peer said, if that was its
// last word.
static const struct json *why_not(const struct json *token, const struct json *session) {
    if (json_get(token, "failures")) return json_get(token, "last_error");
    bool refused = is_later(json_get(session, "refused_at"), json_get(session, "accepted_at"));
    return refused ? json_get(session, "refused") : NULL;
}

static void print_login(struct listing *l, const struct json *row, const struct json *login) {
    const struct json *token = json_get(login, "token"), *session = json_get(login, "session");
    const struct json *why = why_not(token, session);
    cell(l, json_get(row, "identity"));
    cell(l, json_get(login, "login"));
    cell(l, json_get(login, "kind"));
    const struct paused *paused = pause_of(l, row);
    if (paused)
        table_cellz(l->table, "paused");
    else if (token)
        cell(l, json_get(token, "state"));
    else
        table_cellz(l->table, !login ? "" : why ? "refused" : "good");
    time_cell(l, json_get(token, "expires_at"));
    time_cell(l, json_get(token, "refreshed_at"));
    time_cell(l, json_get(session, "accepted_at"));
    if (paused) table_cellz(l->table, paused->why);
    else cell(l, why);
    table_row(l->table);
}

static bool print_identity(void *arg, const struct json *row, struct bytes text) {
    struct listing *l = arg;
    const struct json *logins = json_get(row, "logins");
    if (call_has(l->call, "json")) {
        printf("%.*s\n", BYTES_FMT(text));
        return true;
    }
    if (!json_count(logins)) print_login(l, row, NULL);
    for (size_t i = 0; i < json_count(logins); i++)
        print_login(l, row, json_item(logins, i));
    return true;
}

int verb_identity(const struct call *call) {
    static const struct column columns[] = {{"IDENTITY", false, true},   {"LOGIN", false, true},
                                            {"KIND", false, false},      {"STATE", false, false},
                                            {"ENDS", true, false},       {"REFRESHED", true, false},
                                            {"LAST LOGIN", true, false}, {"WHY", false, true}};
    int code = EX_OK;
    struct ask *ask = ask_open(call, &code);
    if (!ask) return code;
    struct listing l = {.call = call, .now = ask_now()};
    l.table = table_new(stdout, columns, sizeof columns / sizeof *columns, show_terminal_width());
    code = ask_run(ask, BYTES("{\"verb\":\"lane\",\"action\":\"pauses\"}\n"), 30, note_pause, &l, NULL);
    if (code == EX_OK) code = ask_run(ask, BYTES("{\"verb\":\"identity\"}\n"), 30, print_identity, &l, NULL);
    forget_pauses(&l);
    table_free(&l.table);
    ask_close(&ask);
    return code;
}
