// SPDX-License-Identifier: MIT
#include "base/jsonl.h"
#include "base/nearest.h"
#include "cli/ask.h"
#include "cli/show.h"
#include "cli/table.h"
#include "cli/tool.h"
#include "cli/verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

struct listing {
    const struct call *call;
    struct table *table;
    int64_t now;
    int shown;
};

static void cell(struct table *t, const struct json *row, const char *name) {
    struct buf text = {0};
    if (json_get(row, name)) show_value(&text, name, json_get(row, name));
    table_cell(t, buf_bytes(&text));
    buf_release(&text);
}

static void put_when(struct buf *out, const struct json *row, const char *name, int64_t now) {
    int64_t ms;
    const struct json *value = json_get(row, name);
    if (value && show_when(value, &ms)) show_relative(out, ms, now);
}

// "resting, 4 connections, 10/minute": what holds it back, in few words.
static void put_state(struct buf *out, const struct json *row) {
    show_value(out, "state", json_get(row, "state"));
    if (json_get(row, "narrow")) {
        buf_addz(out, ", narrow");
    }
    if (json_get(row, "rate")) {
        buf_addz(out, ", ");
        show_value(out, "rate", json_get(row, "rate"));
    }
}

static void state_cells(struct listing *l, const struct json *row) {
    static const char *const ends[] = {"paused_until", "rests_until", "rate_until", "narrow_until"};
    static const char *const words[] = {"paused_because", "because", "why"};
    struct buf text = {0};
    for (size_t i = 0; i < sizeof ends / sizeof *ends && !text.len; i++) put_when(&text, row, ends[i], l->now);
    table_cell(l->table, buf_bytes(&text));
    buf_reset(&text);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (show_is_empty(json_get(row, words[i]))) continue;
        if (text.len) buf_addz(&text, ": ");
        show_value(&text, words[i], json_get(row, words[i]));
    }
    table_cell(l->table, buf_bytes(&text));
    buf_release(&text);
}

static bool print_lane(void *arg, const struct json *row, struct bytes text) {
    struct listing *l = arg;
    struct buf state = {0};
    if (call_has(l->call, "json")) {
        printf("%.*s\n", BYTES_FMT(text));
        return true;
    }
    cell(l->table, row, "lane");
    put_state(&state, row);
    table_cell(l->table, buf_bytes(&state));
    buf_release(&state);
    cell(l->table, row, "waiting");
    cell(l->table, row, "parked");
    cell(l->table, row, "connections");
    cell(l->table, row, "connections_allowed");
    cell(l->table, row, "attempts");
    state_cells(l, row);
    table_row(l->table);
    return true;
}

static bool print_pause(void *arg, const struct json *row, struct bytes text) {
    struct listing *l = arg;
    struct buf line = {0};
    (void)text;
    buf_addz(&line, "paused: ");
    show_value(&line, "what", json_get(row, "what"));
    buf_byte(&line, ' ');
    show_value(&line, "name", json_get(row, "name"));
    if (json_get(row, "until")) {
        buf_addz(&line, ", ends ");
        put_when(&line, row, "until", l->now);
    }
    if (json_get(row, "because")) {
        buf_addz(&line, ": ");
        show_value(&line, "because", json_get(row, "because"));
    }
    printf("%s\n", buf_z(&line));
    buf_release(&line);
    return true;
}

int verb_lane_list(const struct call *call) {
    static const struct column columns[] = {
        {"LANE", false, true},     {"STATE", false, false}, {"IN MEMORY", true, false},
        {"PARKED", false, false},  {"OPEN", true, false},   {"ALLOWED", true, false},
        {"ATTEMPTS", true, false}, {"ENDS", true, false},   {"WHY", false, true}};
    int code = EX_OK;
    struct ask *ask = ask_open(call, &code);
    if (!ask) return code;
    struct listing l = {.call = call, .now = ask_now()};
    l.table = table_new(stdout, columns, sizeof columns / sizeof *columns, show_terminal_width());
    code = ask_run(ask, BYTES("{\"verb\":\"lane\"}\n"), 30, print_lane, &l, NULL);
    table_free(&l.table);
    if (code == EX_OK && !call_has(call, "json"))
        code = ask_run(ask, BYTES("{\"verb\":\"lane\",\"action\":\"pauses\"}\n"), 30, print_pause, &l, NULL);
    ask_close(&ask);
    return code;
}

// ---- one lane

static void print_field(const struct json *row, const char *name, const char *title, int64_t now) {
    struct buf text = {0};
    int64_t ms;
    const struct json *value = json_get(row, name);
    if (!value || show_is_empty(value)) return;
    show_value(&text, name, value);
    if (strstr(name, "until") && show_when(value, &ms)) {
        buf_addz(&text, " (");
        show_relative(&text, ms, now);
        buf_byte(&text, ')');
    }
    printf("%-14s %s\n", title, buf_z(&text));
    buf_release(&text);
}

static void print_turns(const struct json *classes) {
    static const struct column columns[] = {
        {"CLASS", false, false}, {"TURN", false, true}, {"IN MEMORY", true, false}, {"PARKED", false, false}};
    struct table *t = table_new(stdout, columns, sizeof columns / sizeof *columns, show_terminal_width());
    for (size_t i = 0; i < json_count(classes); i++) {
        const struct json *class = json_item(classes, i), *turns = json_get(class, "turns");
        for (size_t k = 0; k < json_count(turns); k++) {
            cell(t, class, "priority");
            cell(t, json_item(turns, k), "turn");
            cell(t, json_item(turns, k), "waiting");
            cell(t, json_item(turns, k), "parked");
            table_row(t);
        }
    }
    table_free(&t);
}

static bool show_lane(void *arg, const struct json *row, struct bytes text) {
    static const char *const fields[][2] = {
        {"lane", "lane"}, {"state", "state"}, {"paused_until", "until"}, {"paused_because", "because"}, {"rests_until", "rests until"},
        {"narrow", "narrow"}, {"narrow_until", "narrow until"}, {"rate", "rate"}, {"rate_until", "rate until"},
        {"failures", "failures"}, {"why", "was said"}, {"because", "because"}, {"connections", "connections"},
        {"connections_allowed", "allowed"}, {"waiting", "in memory"}, {"parked", "parked"}, {"attempts", "attempts"}, {"worker", "worker"}};
    struct listing *l = arg;
    struct bytes key, wanted = bytes_of(l->call->arguments[0]);
    if (!json_text(json_get(row, "lane"), &key)) return true;
    if (!bytes_equal(key, wanted) && bytes_search(key, wanted) < 0) return true;
    if (call_has(l->call, "json")) {
        printf("%.*s\n", BYTES_FMT(text));
    } else {
        if (l->shown) printf("\n");
        for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) print_field(row, fields[i][0], fields[i][1], l->now);
        print_turns(json_get(row, "classes"));
    }
    l->shown++;
    return true;
}

int verb_lane_show(const struct call *call) {
    int code = EX_OK;
    struct ask *ask = ask_open(call, &code);
    if (!ask) return code;
    struct listing l = {.call = call, .now = ask_now()};
    code = ask_run(ask, BYTES("{\"verb\":\"lane\"}\n"), 30, show_lane, &l, NULL);
    ask_close(&ask);
    if (code == EX_OK && !l.shown) return tool_fail(call, 1, "no lane in use has '%s' in its key", call->arguments[0]);
    return code;
}

// ---- pause, resume

struct known {
    bool found;
    struct nearest near;
    char *name; // what is near
};

static bool compare_name(void *arg, const struct json *row, struct bytes text) {
    struct known *k = arg;
    struct bytes name;
    (void)text;
    if (!json_text(json_get(row, "identity"), &name)) return true;
    if (bytes_equal(name, k->near.wanted)) k->found = true;
    char *z = bytes_dupz(name);
    nearest_offer(&k->near, z);
    if (k->near.name != z) {
        free(z);
        return true;
    }
    free(k->name);
    k->name = z;
    return true;
}

// A slip in the name would pause nobody, and look as if it had. What an older policy called so, `lane pause --identity` reaches.
static int must_be_known(const struct call *call, struct ask *ask, const char *name) {
    struct known k = {.near = nearest_to(bytes_of(name))};
    struct buf hint = {0};
    int code = ask_run(ask, BYTES("{\"verb\":\"identity\"}\n"), 30, compare_name, &k, NULL);
    nearest_hint(&k.near, &hint);
    if (code == EX_OK && !k.found) code = tool_fail(call, EX_DATAERR, "the policy has no identity '%s'%s", name, buf_z(&hint));
    buf_release(&hint);
    free(k.name);
    return code;
}

int verb_lane_change(const struct call *call) {
    bool resume = strcmp(call->verb->name, "resume") == 0;
    const char *argument = call->argument_count ? call->arguments[0] : NULL;
    bool whole = strncmp(call->path, "identity ", 9) == 0; // `identity pause NAME`: all of its lanes
    const char *names[] = {whole ? NULL : argument, whole ? argument : call_text(call, "identity"), call_text(call, "domain")};
    static const char *const members[] = {"lane", "identity", "domain"};
    int code = EX_OK, given = 0;
    for (size_t i = 0; i < 3; i++) given += names[i] != NULL;
    if (given != 1) return tool_fail(call, EX_USAGE, "one of LANE (its whole key), --identity and --domain is expected");
    struct ask *ask = ask_open(call, &code);
    if (!ask) return code;
    if (whole && !resume && (code = must_be_known(call, ask, argument)) != EX_OK) {
        ask_close(&ask);
        return code;
    }
    struct buf request = {0};
    struct jsonl j = jsonl_begin(&request);
    jsonl_textz(&j, "verb", "lane");
    jsonl_textz(&j, "action", call->verb->name);
    for (size_t i = 0; i < 3; i++)
        if (names[i]) jsonl_textz(&j, members[i], names[i]);
    if (!resume && call_has(call, "for")) jsonl_int(&j, "for_s", call_number(call, "for", 0));
    if (!resume && call_has(call, "because")) jsonl_textz(&j, "because", call_text(call, "because"));
    jsonl_end(&j);
    struct json *done = NULL;
    bool was = true;
    int64_t lanes = 0;
    code = ask_run(ask, buf_bytes(&request), 30, NULL, NULL, &done);
    json_bool(json_get(done, "was_paused"), &was);
    json_int(json_get(done, "lanes"), &lanes);
    if (code == EX_OK && resume && !was && !lanes) printf("nothing of that name was paused, and none of its lanes rests\n");
    if (code == EX_OK && !resume && !call_has(call, "json"))
        printf("paused%s: `tidegate lane list` shows it, `tidegate %sresume` ends it%s\n", whole ? ", all its mail" : "", whole ? "identity " : "lane ",
               call_has(call, "for") ? " before its time" : "");
    json_free(&done);
    buf_release(&request);
    ask_close(&ask);
    return code;
}
