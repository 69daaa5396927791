// SPDX-License-Identifier: MIT
#include "cli/ask.h"
#include "cli/show.h"
#include "cli/table.h"
#include "cli/tool.h"
#include "cli/verbs.h"

#include "base/jsonl.h"

#include <stdio.h>
#include <sysexits.h>

struct listing {
    const struct call *call;
    struct table *table;
    int64_t now;
    int shown;
};

static bool is_wanted(const struct call *call, const struct json *row) {
    struct bytes key;
    if (call->argument_count == 0) return true;
    if (!json_text(json_get(row, "key"), &key)) return false;
    for (int i = 0; i < call->argument_count; i++)
        if (bytes_equal(key, bytes_of(call->arguments[i]))) return true;
    return false;
}

static void cell(struct listing *l, const struct json *row, const char *name) {
    struct buf text = {0};
    int64_t ms;
    const struct json *value = json_get(row, name);
    if (value && show_when(value, &ms) && strstr(name, "free")) show_relative(&text, ms, l->now);
    else if (value) show_value(&text, name, value);
    if (strcmp(name, "used") == 0 && json_get(row, "elsewhere")) {
        buf_addz(&text, ", elsewhere ");
        show_value(&text, name, json_get(row, "elsewhere"));
    }
    table_cell(l->table, buf_bytes(&text));
    buf_release(&text);
}

static bool print_limit(void *arg, const struct json *row, struct bytes text) {
    struct listing *l = arg;
    if (!is_wanted(l->call, row)) return true;
    l->shown++;
    if (call_has(l->call, "json")) {
        printf("%.*s\n", BYTES_FMT(text));
        return true;
    }
    static const char *const names[] = {"key", "window_s", "used", "cap", "in_flight", "next_free", "all_free"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) cell(l, row, names[i]);
    table_cellz(l->table, json_get(row, "waiting") ? "yes" : "");
    table_row(l->table);
    return true;
}

// Adds to accounts instead of listing them.
static int count(const struct call *call, struct ask *ask) {
    int code = call->argument_count ? EX_OK : tool_fail(call, EX_USAGE, "--count: the KEY of a limit is missing");
    for (int i = 0; code == EX_OK && i < call->argument_count; i++) {
        struct buf text = {0};
        struct jsonl j = jsonl_begin(&text);
        jsonl_textz(&j, "verb", "limit");
        jsonl_textz(&j, "key", call->arguments[i]);
        jsonl_int(&j, "count", call_number(call, "count", 1));
        jsonl_int(&j, "window_s", call_number(call, "window", 86400));
        jsonl_end(&j);
        code = ask_run(ask, buf_bytes(&text), 30, NULL, NULL, NULL);
        buf_release(&text);
    }
    return code;
}

int verb_limit(const struct call *call) {
    static const struct column columns[] = {{"KEY", false, true},         {"WINDOW", true, false},   {"USED", true, false},
                                            {"CAP", true, false},         {"IN FLIGHT", true, false}, {"NEXT FREE", true, false},
                                            {"ALL FREE", true, false},    {"WAITED FOR", false, false}};
    int code = EX_OK;
    struct ask *ask = ask_open(call, &code);
    if (!ask) return code;
    if (call_has(call, "count")) {
        code = count(call, ask);
        ask_close(&ask);
        return code;
    }
    struct listing l = {.call = call, .now = ask_now()};
    l.table = table_new(stdout, columns, sizeof columns / sizeof *columns, show_terminal_width());
    code = ask_run(ask, BYTES("{\"verb\":\"limit\"}\n"), 30, print_limit, &l, NULL);
    table_free(&l.table);
    ask_close(&ask);
    if (code == EX_OK && call->argument_count && !l.shown)
        return tool_fail(call, 1, "nothing was asked of a limit '%s' yet (`tidegate limit` lists those in use)", call->arguments[0]);
    return code;
}
