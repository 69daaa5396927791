// SPDX-License-Identifier: MIT
#include "cli/ask.h"
#include "cli/show.h"
#include "cli/table.h"
#include "cli/verbs.h"

#include <stdio.h>
#include <sysexits.h>

struct listing {
    const struct call *call;
    struct table *table;
    int64_t now;
};

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
    if (token)
        cell(l, json_get(token, "state"));
    else
        table_cellz(l->table, !login ? "" : why ? "refused" : "good");
    time_cell(l, json_get(token, "expires_at"));
    time_cell(l, json_get(token, "refreshed_at"));
    time_cell(l, json_get(session, "accepted_at"));
    cell(l, why);
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
    code = ask_run(ask, BYTES("{\"verb\":\"identity\"}\n"), 30, print_identity, &l, NULL);
    table_free(&l.table);
    ask_close(&ask);
    return code;
}
