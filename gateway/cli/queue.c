// SPDX-License-Identifier: MIT
// queue: the verbs that list what waits and change it.

#include "cli/ask.h"
#include "cli/progress.h"
#include "cli/show.h"
#include "cli/table.h"
#include "cli/tool.h"
#include "cli/verbs.h"

#include "base/jsonl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

// ---- requests -----------------------------------------------------------------------------------

// The ids of the command line: arguments, then --id. NULL: there are no more.
static const char *nth_id(const struct call *call, int n) {
    if (n < call->argument_count) return call->arguments[n];
    return call_nth(call, "id", n - call->argument_count);
}

static bool has_filter(const struct call *call) {
    static const char *const names[] = {"sender", "recipient", "domain",     "identity",
                                        "lane",   "state",     "older-than", "tag"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (call_has(call, names[i])) return true;
    return nth_id(call, 0) != NULL;
}

static void put_tags(struct jsonl *j, const struct call *call) {
    if (!call_has(call, "tag")) return;
    jsonl_open(j, "tag", '{');
    const char *pair;
    for (int i = 0; (pair = call_nth(call, "tag", i)); i++) {
        struct bytes rest = bytes_of(pair);
        char *key = bytes_dupz(bytes_cut(&rest, '='));
        jsonl_text(j, key, rest);
        free(key);
    }
    jsonl_close(j, '}');
}

static void put_filter(struct jsonl *j, const struct call *call, const char *id) {
    static const char *const names[] = {"sender", "recipient", "domain", "identity", "lane", "state"};
    jsonl_open(j, "filter", '{');
    if (id) jsonl_textz(j, "id", id);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (call_has(call, names[i])) jsonl_textz(j, names[i], call_text(call, names[i]));
    if (call_has(call, "older-than")) jsonl_int(j, "older_than", call_number(call, "older-than", 0));
    put_tags(j, call);
    jsonl_close(j, '}');
}

struct request {
    const char *action;
    bool count_only;
    int64_t limit; // of a list; 0: any
    const char *doing; // a long walk: what its progress is called; NULL: it says nothing until its end
    uint64_t total;    // recipients that it is about; 0: not known
};

struct answers {
    struct progress progress;
    int64_t before; // counted by earlier requests
    ask_row_fn row;
    void *arg;
};

static bool take_row(void *arg, const struct json *row, struct bytes text) {
    struct answers *a = arg;
    const struct json *progress = json_get(row, "progress");
    int64_t looked = 0, count = 0;
    if (!progress) return !a->row || a->row(a->arg, row, text);
    json_int(json_get(progress, "looked"), &looked);
    json_int(json_get(progress, "count"), &count);
    uint64_t at = (uint64_t)(a->progress.total ? a->before + count : looked);
    progress_at(&a->progress, at, at, "recipients");
    return true;
}

// Runs the request once, or once for each id. What `done` says of a count is added to *count.
static int run_for_ids(struct ask *ask, const struct call *call, const struct request *r, ask_row_fn row,
                       void *arg, int64_t *count) {
    int code = EX_OK;
    struct answers answers = {.row = row, .arg = arg};
    answers.progress = progress_begin(r->doing ? r->doing : "", r->total);
    for (int i = 0; code == EX_OK && (i == 0 || nth_id(call, i)); i++) {
        struct buf text = {0};
        struct jsonl j = jsonl_begin(&text);
        jsonl_textz(&j, "verb", "queue");
        jsonl_textz(&j, "action", r->action);
        put_filter(&j, call, nth_id(call, i));
        if (r->count_only)
            jsonl_bool(&j, "count_only", true);
        else
            jsonl_int(&j, "limit", r->limit);
        if (r->doing) jsonl_bool(&j, "progress", true);
        jsonl_end(&j);
        struct json *done = NULL;
        int64_t n = 0;
        // A change of a million recipients takes minutes; to give up would stop it half-way.
        // A gateway that ends closes the connection.
        answers.before = *count;
        code = ask_run(ask, buf_bytes(&text), 0, take_row, &answers, &done);
        if (json_int(json_get(done, "count"), &n)) *count += n;
        json_free(&done);
        buf_release(&text);
    }
    progress_end(&answers.progress);
    return code;
}

// ---- list ---------------------------------------------------------------------------------------

struct listing {
    const struct call *call;
    struct table *table;
    int64_t now, rows;
};

static void cell(struct table *t, const char *name, const struct json *value) {
    struct buf text = {0};
    if (json_kind(value) != JSON_NOTHING) show_value(&text, name, value);
    table_cell(t, buf_bytes(&text));
    buf_release(&text);
}

static void time_cell(struct listing *l, const struct json *value) {
    struct buf text = {0};
    int64_t ms;
    if (value && show_when(value, &ms) && ms) show_relative(&text, ms, l->now);
    table_cell(l->table, buf_bytes(&text));
    buf_release(&text);
}

static bool is_state(const struct json *row, const char *name) {
    struct bytes state;
    return json_text(json_get(row, "state"), &state) && bytes_equal(state, bytes_of(name));
}

// A recipient that is parked is called as soon as there is room; the time it has is that of its end.
static void next_cell(struct listing *l, const struct json *row) {
    int64_t ms;
    const struct json *due = json_get(row, "due");
    if (is_state(row, "held")) due = NULL; // the time of its expiry, which is not what comes next
    bool waits = is_state(row, "parked") && due && show_when(due, &ms) && ms > l->now;
    if (waits) table_cell(l->table, BYTES("when there is room"));
    else time_cell(l, due);
}

// A place is "limit:KEY/SECONDS/CAP" (gateway/relay/README.md), or a lane's key.
static void put_place(struct buf *out, const struct json *row) {
    struct bytes lane;
    if (!is_state(row, "parked") || !json_text(json_get(row, "lane"), &lane)) return;
    buf_addz(out, bytes_starts(lane, BYTES("limit:")) ? "waits for the limit; " : "waits for its lane; ");
}

// What it waits for; then what the peer said last, or else what the policy said.
static void put_why(struct buf *out, const struct json *row) {
    put_place(out, row);
    const struct json *last = json_get(row, "last"), *reply = json_get(last, "reply");
    if (json_kind(last) == JSON_TEXT) {
        show_value(out, "last", last);
    } else if (reply) {
        show_value(out, "reply", reply);
    } else if (json_kind(json_get(row, "because")) == JSON_TEXT) {
        show_value(out, "because", json_get(row, "because"));
    }
}

static bool print_recipient(void *arg, const struct json *row, struct bytes text) {
    struct listing *l = arg;
    l->rows++;
    if (call_has(l->call, "json")) {
        printf("%.*s\n", BYTES_FMT(text));
        return true;
    }
    struct buf why = {0};
    put_why(&why, row);
    cell(l->table, "id", json_get(row, "id"));
    cell(l->table, "state", json_get(row, "state"));
    time_cell(l, json_get(row, "received"));
    cell(l->table, "size", json_get(row, "size"));
    cell(l->table, "sender", json_get(row, "sender"));
    cell(l->table, "recipient", json_get(row, "recipient"));
    next_cell(l, row);
    cell(l->table, "attempts", json_get(row, "attempts"));
    cell(l->table, "lane", json_get(row, "lane"));
    table_cell(l->table, buf_bytes(&why));
    table_row(l->table);
    buf_release(&why);
    return true;
}

static int print_count(const struct call *call, struct ask *ask) {
    int64_t count = 0;
    struct request request = {.action = "list", .count_only = true, .doing = "counting"};
    int code = run_for_ids(ask, call, &request, NULL, NULL, &count);
    if (code == EX_OK) printf(call_has(call, "json") ? "{\"count\":%" PRId64 "}\n" : "%" PRId64 "\n", count);
    return code;
}

int verb_queue_list(const struct call *call) {
    static const struct column columns[] = {{"ID", false, false},      {"STATE", false, false},
                                            {"RECEIVED", true, false}, {"SIZE", true, false},
                                            {"SENDER", false, true},   {"RECIPIENT", false, true},
                                            {"NEXT", true, false},     {"TRIES", true, false},
                                            {"LANE", false, true},     {"WHY", false, true}};
    int code = EX_OK;
    struct ask *ask = ask_open(call, &code);
    if (!ask) return code;
    if (call_has(call, "count")) {
        code = print_count(call, ask);
        ask_close(&ask);
        return code;
    }
    struct listing l = {.call = call, .now = ask_now()};
    int64_t count = 0;
    struct request request = {.action = "list", .limit = call_number(call, "limit", 100)};
    l.table = table_new(stdout, columns, sizeof columns / sizeof *columns, show_terminal_width());
    code = run_for_ids(ask, call, &request, print_recipient, &l, &count);
    table_free(&l.table);
    if (code == EX_OK && request.limit && l.rows >= request.limit && !call_has(call, "json"))
        fprintf(stderr, "(the first %" PRId64 "; --limit 0 lists all, --count says how many)\n",
                request.limit);
    ask_close(&ask);
    return code;
}

// ---- show ---------------------------------------------------------------------------------------

static void print_line(const char *name, const struct json *value) {
    struct buf text = {0};
    if (show_is_empty(value) && strcmp(name, "sender") != 0) return;
    show_value(&text, name, value);
    printf("  %-14s %s\n", name, buf_z(&text));
    buf_release(&text);
}

static void print_head(const struct json *value) {
    struct bytes head;
    if (!json_text(value, &head)) return;
    printf("  header\n");
    while (head.len) {
        struct buf line = {0};
        struct bytes text = bytes_cut(&head, '\n');
        while (text.len && text.at[text.len - 1] == '\r')
            text.len--;
        show_clean(&line, text);
        printf("    %s\n", buf_z(&line));
        buf_release(&line);
    }
}

static bool is_in(const char *const *names, struct bytes name) {
    for (; *names; names++)
        if (bytes_equal(bytes_of(*names), name)) return true;
    return false;
}

// A line for each field: those of `first` in their order, then what else there is but for `skipped`.
static void print_all(const struct json *row, const char *const *first, const char *const *skipped) {
    for (const char *const *name = first; *name; name++)
        print_line(*name, json_get(row, *name));
    void *at = NULL;
    struct bytes name;
    const struct json *value;
    while (json_next(row, &at, &name, &value)) {
        if (is_in(first, name) || is_in(skipped, name)) continue;
        char *z = bytes_dupz(name);
        print_line(z, value);
        free(z);
    }
}

static void print_journal(const struct json *event) {
    static const char *const first[] = {"because", "where", "policy", "reply", "peer", NULL};
    static const char *const skipped[] = {"time", "type", "id", "sender", "recipient", "n", NULL};
    struct buf line = {0};
    show_value(&line, "time", json_get(event, "time"));
    buf_addz(&line, "  ");
    show_value(&line, "type", json_get(event, "type"));
    if (json_get(event, "recipient")) {
        buf_byte(&line, ' ');
        show_value(&line, "recipient", json_get(event, "recipient"));
    }
    printf("%s\n", buf_z(&line));
    buf_release(&line);
    print_all(event, first, skipped);
}

static bool print_row(void *arg, const struct json *row, struct bytes text) {
    static const char *const of_message[] = {"id",   "sender", "user", "received", "expires",
                                             "size", "policy", "tags", NULL};
    static const char *const of_recipient[] = {"n",    "recipient", "state", "due", "attempts",
                                               "lane", "because",   "last",  NULL};
    static const char *const headless[] = {"head", NULL}, *const without_id[] = {"id", NULL};
    const struct call *call = arg;
    const struct json *journal = json_get(row, "journal");
    if (call_has(call, "json")) {
        printf("%.*s\n", BYTES_FMT(text));
    } else if (journal) {
        print_journal(journal);
    } else if (json_get(row, "recipient")) {
        printf("recipient\n");
        print_all(row, of_recipient, without_id);
    } else {
        printf("message\n");
        print_all(row, of_message, headless);
        print_head(json_get(row, "head"));
    }
    return true;
}

int verb_queue_show(const struct call *call) {
    int code = EX_OK;
    struct ask *ask = ask_open(call, &code);
    if (!ask) return code;
    struct buf request = {0};
    struct jsonl j = jsonl_begin(&request);
    jsonl_textz(&j, "verb", "queue");
    jsonl_textz(&j, "action", "show");
    jsonl_textz(&j, "id", call->arguments[0]);
    jsonl_end(&j);
    code = ask_run(ask, buf_bytes(&request), 30, print_row, (void *)call, NULL);
    buf_release(&request);
    ask_close(&ask);
    return code;
}

// ---- change -------------------------------------------------------------------------------------

static int may_change(const struct call *call, const char *action, int64_t count) {
    char question[128];
    const char *words = count == 1 ? "recipient" : "recipients";
    if (call_has(call, "yes")) return EX_OK;
    if (!isatty(STDIN_FILENO))
        return tool_fail(call, EX_USAGE,
                         "would %s %" PRId64 " %s: say --yes to do it (there is no terminal to ask on)",
                         action, count, words);
    snprintf(question, sizeof question, "%s %" PRId64 " %s?", action, count, words);
    return tool_confirm(question) ? EX_OK : tool_fail(call, EX_USAGE, "nothing was done");
}

static int change(const struct call *call, struct ask *ask) {
    const char *action = call->verb->name;
    int64_t count = 0, changed = 0;
    struct request look = {.action = action, .count_only = true, .doing = "counting"};
    int code = run_for_ids(ask, call, &look, NULL, NULL, &count);
    if (code == EX_OK && count > 0) code = may_change(call, action, count);
    if (code != EX_OK) return code;
    struct request act = {.action = action, .doing = action, .total = (uint64_t)count};
    if (count > 0) code = run_for_ids(ask, call, &act, NULL, NULL, &changed);
    if (code == EX_OK)
        printf(call_has(call, "json") ? "{\"action\":\"%s\",\"count\":%" PRId64 "}\n" : "%s: %" PRId64 "\n",
               action, changed);
    return code;
}

int verb_queue_change(const struct call *call) {
    if (!has_filter(call) && !call_has(call, "all"))
        return tool_fail(call, EX_USAGE, "which ones? name IDs or a filter (--all means the whole queue)");
    int code = EX_OK;
    struct ask *ask = ask_open(call, &code);
    if (!ask) return code;
    code = change(call, ask);
    ask_close(&ask);
    return code;
}
