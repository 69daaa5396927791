// SPDX-License-Identifier: MIT
#include "base/jsonl.h"
#include "cli/ask.h"
#include "cli/show.h"
#include "cli/table.h"
#include "cli/tool.h"
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
    int64_t ms;
    const struct json *value = json_get(row, name);
    if (value && strstr(name, "_at") && show_when(value, &ms)) show_relative(&text, ms, l->now);
    else if (value && strcmp(name, "value") == 0) json_write(value, &text);
    else if (value) show_value(&text, name, value);
    table_cell(l->table, buf_bytes(&text));
    buf_release(&text);
}

static bool print_entry(void *arg, const struct json *row, struct bytes text) {
    static const char *const names[] = {"key", "value", "put_at", "expires_at", "by"};
    struct listing *l = arg;
    if (call_has(l->call, "json")) {
        printf("%.*s\n", BYTES_FMT(text));
        return true;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) cell(l, row, names[i]);
    table_row(l->table);
    return true;
}

static bool print_value(void *arg, const struct json *row, struct bytes text) {
    const struct call *call = arg;
    struct buf value = {0};
    if (call_has(call, "json")) buf_add(&value, text);
    else json_write(json_get(row, "value"), &value);
    printf("%s\n", buf_z(&value));
    buf_release(&value);
    return true;
}

// Asks for one action; the rows go to `row`. `value` is JSON, "" for none.
static int run(const struct call *call, struct bytes value, ask_row_fn row, void *arg, struct json **done) {
    int code = EX_OK;
    struct ask *ask = ask_open(call, &code);
    struct buf request = {0};
    struct jsonl j = jsonl_begin(&request);
    if (!ask) return code;
    bool lists = strcmp(call->verb->name, "list") == 0;
    jsonl_textz(&j, "verb", "shelf");
    jsonl_textz(&j, "action", call->verb->name);
    if (call->argument_count) jsonl_textz(&j, lists ? "prefix" : "key", call->arguments[0]);
    if (value.len) jsonl_raw(&j, "value", value);
    if (call_has(call, "expires")) jsonl_int(&j, "expires_s", call_number(call, "expires", 0));
    if (lists) jsonl_int(&j, "limit", call_number(call, "limit", 100));
    jsonl_end(&j);
    code = ask_run(ask, buf_bytes(&request), 30, row, arg, done);
    buf_release(&request);
    ask_close(&ask);
    return code;
}

int verb_shelf_list(const struct call *call) {
    static const struct column columns[] = {{"KEY", false, true}, {"VALUE", false, true}, {"PUT", true, false}, {"ENDS", true, false}, {"BY", false, true}};
    struct listing l = {.call = call, .now = ask_now()};
    struct json *done = NULL;
    int64_t count = 0;
    bool more = false;
    l.table = table_new(stdout, columns, sizeof columns / sizeof *columns, show_terminal_width());
    int code = run(call, BYTES(""), print_entry, &l, &done);
    table_free(&l.table);
    json_bool(json_get(done, "more"), &more);
    json_int(json_get(done, "count"), &count);
    if (more && !call_has(call, "json")) printf("%lld in all; --limit 0 shows them\n", (long long)count);
    json_free(&done);
    return code;
}

static int change(const struct call *call, struct bytes value, ask_row_fn row, bool must_be) {
    struct json *done = NULL;
    bool found = true;
    int code = run(call, value, row, (void *)call, &done);
    json_bool(json_get(done, "found"), &found);
    json_free(&done);
    if (code == EX_OK && must_be && !found) return tool_fail(call, 1, "there is nothing under '%s'", call->arguments[0]);
    return code;
}

int verb_shelf_get(const struct call *call) { return change(call, BYTES(""), print_value, true); }
int verb_shelf_delete(const struct call *call) { return change(call, BYTES(""), NULL, true); }

// VALUE is JSON; what is none is taken as a text, so that quotes are needed where JSON would be meant otherwise only.
int verb_shelf_set(const struct call *call) {
    struct bytes text = bytes_of(call->arguments[1]);
    struct json *value = json_parse(text, NULL);
    struct buf quoted = {0};
    if (value) json_write(value, &quoted);
    else jsonl_escape(&quoted, text);
    json_free(&value);
    int code = change(call, buf_bytes(&quoted), NULL, false);
    buf_release(&quoted);
    return code;
}
