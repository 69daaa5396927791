// SPDX-License-Identifier: MIT
// The verbs that work on the list itself; those on whole files are in suppression_file.c.

#include "cli/ask.h"
#include "cli/show.h"
#include "cli/suppression.h"
#include "cli/table.h"
#include "cli/tool.h"
#include "cli/verbs.h"

#include "base/jsonl.h"

#include <inttypes.h>
#include <stdio.h>
#include <sysexits.h>

struct jsonl suppression_begin(struct buf *request, const char *action) {
    struct jsonl j = jsonl_begin(request);
    jsonl_textz(&j, "verb", "suppression");
    jsonl_textz(&j, "action", action);
    return j;
}

static void put_texts(struct jsonl *j, const struct call *call, const char *const *names) {
    for (; *names; names++)
        if (call_has(call, *names)) jsonl_textz(j, *names, call_text(call, *names));
}

void suppression_put_entry(struct jsonl *j, const struct call *call) {
    static const char *const names[] = {"scope", "reason", NULL};
    put_texts(j, call, names);
    if (call_has(call, "expires")) jsonl_int(j, "expires_s", call_number(call, "expires", 0));
}

int64_t suppression_count(const struct json *done, const char *name) {
    int64_t n = 0;
    json_int(json_get(done, name), &n);
    return n;
}

// ---- add, remove --------------------------------------------------------------------------------

static int change_one(struct ask *ask, const struct call *call, const char *address, int64_t *count) {
    struct buf request = {0};
    struct jsonl j = suppression_begin(&request, call->verb->name);
    jsonl_textz(&j, "address", address);
    suppression_put_entry(&j, call);
    jsonl_end(&j);
    struct json *done = NULL;
    int code = ask_run(ask, buf_bytes(&request), SUPPRESSION_WAIT_S, NULL, NULL, &done);
    *count += suppression_count(done, "count");
    json_free(&done);
    buf_release(&request);
    return code;
}

int verb_suppression_change(const struct call *call) {
    int code = EX_OK;
    int64_t count = 0;
    struct ask *ask = ask_open(call, &code);
    if (!ask) return code;
    for (int i = 0; code == EX_OK && i < call->argument_count; i++)
        code = change_one(ask, call, call->arguments[i], &count);
    ask_close(&ask);
    if (code != EX_OK) return code;
    printf(call_has(call, "json") ? "{\"action\":\"%s\",\"count\":%" PRId64 "}\n" : "%s: %" PRId64 "\n",
           call->verb->name, count);
    return EX_OK;
}

// ---- has, list ----------------------------------------------------------------------------------

struct listing {
    const struct call *call;
    struct table *table;
    int64_t now, rows;
};

static void text_cell(struct table *t, const struct json *value) {
    struct bytes text = BYTES("");
    json_text(value, &text);
    table_cell(t, text);
}

static void time_cell(struct listing *l, const struct json *value, const char *otherwise) {
    struct buf text = {0};
    int64_t ms;
    if (value && show_when(value, &ms))
        show_relative(&text, ms, l->now);
    else
        buf_addz(&text, otherwise);
    table_cell(l->table, buf_bytes(&text));
    buf_release(&text);
}

static bool print_entry(void *arg, const struct json *row, struct bytes text) {
    struct listing *l = arg;
    l->rows++;
    if (call_has(l->call, "json")) {
        printf("%.*s\n", BYTES_FMT(text));
        return true;
    }
    text_cell(l->table, json_get(row, "address"));
    text_cell(l->table, json_get(row, "scope"));
    text_cell(l->table, json_get(row, "reason"));
    time_cell(l, json_get(row, "added"), "");
    time_cell(l, json_get(row, "until"), "never");
    text_cell(l->table, json_get(row, "source"));
    table_row(l->table);
    return true;
}

static int list(const struct call *call, struct bytes request, int64_t *rows) {
    static const struct column columns[] = {{"ADDRESS", false, true}, {"SCOPE", false, true},
                                            {"REASON", false, true},  {"ADDED", true, false},
                                            {"ENDS", true, false},    {"SOURCE", false, true}};
    int code = EX_OK;
    struct ask *ask = ask_open(call, &code);
    if (!ask) return code;
    struct listing l = {.call = call, .now = ask_now()};
    l.table = table_new(stdout, columns, sizeof columns / sizeof *columns, show_terminal_width());
    code = ask_run(ask, request, SUPPRESSION_WAIT_S, print_entry, &l, NULL);
    table_free(&l.table);
    ask_close(&ask);
    *rows = l.rows;
    return code;
}

int verb_suppression_has(const struct call *call) {
    struct buf request = {0};
    struct jsonl j = suppression_begin(&request, "has");
    jsonl_textz(&j, "address", call->arguments[0]);
    jsonl_end(&j);
    int64_t rows = 0;
    int code = list(call, buf_bytes(&request), &rows);
    buf_release(&request);
    return code == EX_OK && rows == 0 ? 1 : code;
}

void suppression_put_filter(struct jsonl *j, const struct call *call) {
    static const char *const names[] = {"address", "domain", "scope", "reason", NULL};
    jsonl_open(j, "filter", '{');
    put_texts(j, call, names);
    jsonl_close(j, '}');
}

static int print_count(const struct call *call) {
    struct buf request = {0};
    struct jsonl j = suppression_begin(&request, "count");
    suppression_put_filter(&j, call);
    jsonl_end(&j);
    int code = EX_OK;
    struct json *done = NULL;
    struct ask *ask = ask_open(call, &code);
    if (ask) code = ask_run(ask, buf_bytes(&request), SUPPRESSION_WAIT_S, NULL, NULL, &done);
    if (code == EX_OK)
        printf(call_has(call, "json") ? "{\"count\":%" PRId64 "}\n" : "%" PRId64 "\n",
               suppression_count(done, "count"));
    json_free(&done);
    ask_close(&ask);
    buf_release(&request);
    return code;
}

int verb_suppression_list(const struct call *call) {
    if (call_has(call, "count")) return print_count(call);
    int64_t rows = 0, limit = call_number(call, "limit", 100);
    struct buf request = {0};
    struct jsonl j = suppression_begin(&request, "list");
    suppression_put_filter(&j, call);
    jsonl_int(&j, "limit", limit);
    jsonl_end(&j);
    int code = list(call, buf_bytes(&request), &rows);
    buf_release(&request);
    if (code == EX_OK && limit && rows >= limit && !call_has(call, "json"))
        fprintf(stderr, "(the first %" PRId64 "; --limit 0 lists all, --count says how many)\n", limit);
    return code;
}
