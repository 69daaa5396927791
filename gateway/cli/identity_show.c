// SPDX-License-Identifier: MIT
#include "base/jsonl.h"
#include "cli/ask.h"
#include "cli/show.h"
#include "cli/table.h"
#include "cli/verbs.h"
#include "cli/warmup_table.h"

#include <stdio.h>
#include <sysexits.h>

struct showing {
    const struct call *call;
    int64_t now;
};

static void line(const char *title, struct buf *text) {
    if (text->len) printf("%-14s %s\n", title, buf_z(text));
    buf_release(text);
}

static void field(const struct json *row, const char *name, const char *title) {
    struct buf text = {0};
    if (!show_is_empty(json_get(row, name))) show_value(&text, name, json_get(row, name));
    line(title, &text);
}

// ", TITLE in 4m" where there is such a time.
static void put_when(struct buf *out, const struct json *of, const char *name, const char *title, int64_t now) {
    int64_t ms;
    if (!json_get(of, name) || !show_when(json_get(of, name), &ms)) return;
    buf_format(out, "%s%s ", out->len ? ", " : "", title);
    show_relative(out, ms, now);
}

// What it is, by what it has: one identity may be all of them.
static void print_kind(const struct json *row) {
    struct buf text = {0};
    bool source = json_get(row, "source4") || json_get(row, "source6");
    if (source) buf_addz(&text, "source address");
    if (json_count(json_get(row, "keys"))) buf_format(&text, "%ssending domain", text.len ? ", " : "");
    if (json_count(json_get(row, "logins"))) buf_format(&text, "%slogin", text.len ? ", " : "");
    if (!text.len) buf_addz(&text, "a name");
    line("kind", &text);
}

static void print_keys(const struct json *keys) {
    for (size_t i = 0; i < json_count(keys); i++) {
        const struct json *key = json_item(keys, i);
        struct buf text = {0};
        bool weak = false;
        json_bool(json_get(key, "weak"), &weak);
        show_value(&text, "domain", json_get(key, "domain"));
        buf_addz(&text, ", selector ");
        show_value(&text, "selector", json_get(key, "selector"));
        buf_addz(&text, ", bits ");
        show_value(&text, "bits", json_get(key, "bits"));
        buf_addz(&text, weak ? ": signs, too weak for many receivers" : ": signs");
        line(i ? "" : "dkim", &text);
    }
}

static void put_login(struct buf *out, const struct json *login, int64_t now) {
    const struct json *token = json_get(login, "token"), *session = json_get(login, "session");
    show_value(out, "login", json_get(login, "login"));
    buf_addz(out, " by ");
    show_value(out, "kind", json_get(login, "kind"));
    if (token) {
        buf_addz(out, ", token ");
        show_value(out, "state", json_get(token, "state"));
    }
    put_when(out, token, "expires_at", "ends", now);
    put_when(out, token, "next_at", "renewed", now);
    put_when(out, token, "refreshed_at", "last renewed", now);
    put_when(out, token, "refresh_expires_at", "refresh token ends", now);
    put_when(out, session, "accepted_at", "taken by the peer", now);
    put_when(out, session, "refused_at", "refused", now);
}

static void print_logins(const struct json *logins, int64_t now) {
    for (size_t i = 0; i < json_count(logins); i++) {
        const struct json *login = json_item(logins, i);
        struct buf text = {0};
        put_login(&text, login, now);
        line(i ? "" : "login", &text);
        field(json_get(login, "token"), "last_error", "  no token");
        field(json_get(login, "session"), "refused", "  was said");
    }
}

static void print_pause(const struct json *pause, int64_t now) {
    struct buf text = {0};
    if (!pause) {
        buf_addz(&text, "no");
        return line("paused", &text);
    }
    put_when(&text, pause, "since", "since", now);
    put_when(&text, pause, "until", "goes on", now);
    if (!json_get(pause, "until")) buf_addz(&text, ", until it is resumed");
    if (json_get(pause, "because")) {
        buf_addz(&text, ": ");
        show_value(&text, "because", json_get(pause, "because"));
    }
    line("paused", &text);
}

// ---- tables

static void cell(struct table *t, const struct json *row, const char *name, int64_t now) {
    struct buf text = {0};
    const struct json *value = json_get(row, name);
    int64_t ms;
    if (value && (strstr(name, "free") || strstr(name, "until")) && show_when(value, &ms)) show_relative(&text, ms, now);
    else if (value) show_value(&text, name, value);
    table_cell(t, buf_bytes(&text));
    buf_release(&text);
}

static void print_limits(const struct json *limits, int64_t now) {
    static const struct column columns[] = {{"LIMIT", false, true},  {"WINDOW", true, false},    {"USED", true, false},
                                            {"CAP", true, false},    {"LEFT", true, false},      {"IN FLIGHT", true, false},
                                            {"NEXT FREE", true, false}, {"FULL UNTIL", true, false}};
    static const char *const names[] = {"key", "window_s", "used", "cap", NULL, "in_flight", "next_free", "full_until"};
    if (json_count(limits)) printf("\n");
    struct table *t = table_new(stdout, columns, sizeof columns / sizeof *columns, show_terminal_width());
    for (size_t i = 0; i < json_count(limits); i++) {
        const struct json *row = json_item(limits, i);
        int64_t cap = 0, used = 0;
        bool capped = json_int(json_get(row, "cap"), &cap);
        char left[24] = "";
        json_int(json_get(row, "used"), &used);
        if (capped) snprintf(left, sizeof left, "%lld", (long long)(json_get(row, "full_until") || used > cap ? 0 : cap - used));
        for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
            if (names[k]) cell(t, row, names[k], now);
            else table_cellz(t, left);
        }
        table_row(t);
    }
    table_free(&t);
}

static void print_lanes(const struct json *lanes, int64_t now) {
    static const struct column columns[] = {{"LANE", false, true}, {"STATE", false, false}, {"IN MEMORY", true, false},
                                            {"OPEN", true, false}, {"RESTS UNTIL", true, false}, {"WHY", false, true}};
    static const char *const names[] = {"lane", "state", "waiting", "connections", "rests_until", "why"};
    if (json_count(lanes)) printf("\n");
    struct table *t = table_new(stdout, columns, sizeof columns / sizeof *columns, show_terminal_width());
    for (size_t i = 0; i < json_count(lanes); i++) {
        for (size_t k = 0; k < sizeof names / sizeof *names; k++) cell(t, json_item(lanes, i), names[k], now);
        table_row(t);
    }
    table_free(&t);
}

static void print_warmups(const struct json *rows, int64_t now) {
    if (json_count(rows)) printf("\n");
    struct table *t = warmup_table_new(show_terminal_width());
    for (size_t i = 0; i < json_count(rows); i++) warmup_table_add(t, json_item(rows, i), now);
    table_free(&t);
}

static bool show_identity(void *arg, const struct json *row, struct bytes text) {
    struct showing *s = arg;
    if (call_has(s->call, "json")) {
        printf("%.*s\n", BYTES_FMT(text));
        return true;
    }
    field(row, "identity", "identity");
    field(row, "where", "defined at");
    print_kind(row);
    field(row, "source4", "source");
    field(row, "source6", "source");
    field(row, "helo", "helo");
    field(row, "return_path", "return path");
    print_keys(json_get(row, "keys"));
    print_logins(json_get(row, "logins"), s->now);
    print_pause(json_get(row, "paused"), s->now);
    print_lanes(json_get(row, "lanes"), s->now);
    print_limits(json_get(row, "limits"), s->now);
    print_warmups(json_get(row, "warmup"), s->now);
    return true;
}

int verb_identity_show(const struct call *call) {
    int code = EX_OK;
    struct ask *ask = ask_open(call, &code);
    if (!ask) return code;
    struct showing s = {.call = call, .now = ask_now()};
    struct buf request = {0};
    struct jsonl j = jsonl_begin(&request);
    jsonl_textz(&j, "verb", "identity");
    jsonl_textz(&j, "name", call->arguments[0]);
    jsonl_end(&j);
    code = ask_run(ask, buf_bytes(&request), 30, show_identity, &s, NULL);
    buf_release(&request);
    ask_close(&ask);
    return code;
}
