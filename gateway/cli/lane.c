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

static void cell(struct listing *l, const struct json *row, const char *name) {
    struct buf text = {0};
    if (json_get(row, name)) show_value(&text, name, json_get(row, name));
    table_cell(l->table, buf_bytes(&text));
    buf_release(&text);
}

static void rest_cell(struct listing *l, const struct json *until) {
    struct buf text = {0};
    int64_t ms;
    if (until && show_when(until, &ms)) show_relative(&text, ms, l->now);
    table_cell(l->table, buf_bytes(&text));
    buf_release(&text);
}

static bool print_lane(void *arg, const struct json *row, struct bytes text) {
    struct listing *l = arg;
    if (call_has(l->call, "json")) {
        printf("%.*s\n", BYTES_FMT(text));
        return true;
    }
    cell(l, row, "lane");
    cell(l, row, "state");
    cell(l, row, "waiting");
    cell(l, row, "parked");
    cell(l, row, "connections");
    cell(l, row, "connections_allowed");
    cell(l, row, "attempts");
    rest_cell(l, json_get(row, "rests_until"));
    cell(l, row, "why");
    table_row(l->table);
    return true;
}

int verb_lane(const struct call *call) {
    static const struct column columns[] = {
        {"LANE", false, true},     {"STATE", false, false}, {"IN MEMORY", true, false},
        {"PARKED", false, false},  {"OPEN", true, false},   {"ALLOWED", true, false},
        {"ATTEMPTS", true, false}, {"RESTS", true, false},  {"WHY", false, true}};
    int code = EX_OK;
    struct ask *ask = ask_open(call, &code);
    if (!ask) return code;
    struct listing l = {.call = call, .now = ask_now()};
    l.table = table_new(stdout, columns, sizeof columns / sizeof *columns, show_terminal_width());
    code = ask_run(ask, BYTES("{\"verb\":\"lane\"}\n"), 30, print_lane, &l, NULL);
    table_free(&l.table);
    ask_close(&ask);
    return code;
}
