// SPDX-License-Identifier: MIT
#include "cli/ask.h"
#include "cli/metrics.h"
#include "cli/show.h"
#include "cli/verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

struct field {
    const char *name, *before, *after; // a field of the row, and the words around its value
};

enum { FIELDS = 12 };

// One line: a title, and those of its fields that the row has, or that an object in it has. Words that begin with a blank go on with
// the field before.
struct line {
    const char *title, *within; // the object's name; NULL: the row itself
    struct field fields[FIELDS]; // ends where the name is NULL, if it is not full
};

static const struct line lines[] = {
    {"gateway", NULL,
     {{"version", "tidegate ", ""},
      {"hostname", "on ", ""},
      {"pid", "pid ", ""},
      {"uptime_s", "up ", ""},
      {"workers", "", " workers"},
      {"memory_rss", "", " of memory"}}},
    {"state", NULL, {{"draining", "draining: ", ""}, {"stopping", "stopping: ", ""}, {"now", "at ", ""}}},
    {"policy", NULL,
     {{"policy", "", ""},
      {"previous_policy", "before it ", ""},
      {"hooks", "", " hooks asked"},
      {"faults", "", " faults"},
      {"script_memory", "", " of memory"}}},
    {"queue", NULL,
     {{"messages", "", " messages"},
      {"recipients", "", " recipients"},
      {"due", "", " due"},
      {"parked", "", " parked"},
      {"held", "", " held"},
      {"oldest_s", "the oldest for ", ""},
      {"lanes", "", " lanes"},
      {"pauses", "", " paused"},
      {"in_memory", "", " in memory"},
      {"memory_fresh", "", " of bodies"}}},
    {"connections", NULL,
     {{"connections", "", " in"},
      {"connections_out", "", " out"},
      {"memory_in_flight", "", " being received"}}},
    {"shared", "shared_limits", {{"redis", "limits in ", ""}, {"in_reach", "in reach: ", ""}}},
    {"so far", NULL,
     {{"accepted", "", " accepted"},
      {"refused", "", " refused"},
      {"delivered", "", " delivered"},
      {"deferred", "", " deferred"},
      {"bounced", "", " bounced"},
      {"suppressed", "", " suppressed"},
      {"expired", "", " expired"}}},
    {"disk", "disk",
     {{"path", "", ""},
      {"free_bytes", "", ""},
      {"whole_bytes", " of ", " free"},
      {"lasts_s", "full in ", " as it fills now"},
      {"reserve_bytes", "no new mail below ", ""},
      {"ceiling_bytes", "nor above ", " taken"}}},
    {"taken", "disk",
     {{"bodies_bytes", "", " of messages"},
      {"database_bytes", "", " of database"},
      {"journal_bytes", "", " of it journal"},
      {"journal_entries", " (", ""},
      {"journal_most", " of ", " entries)"},
      {"events_bytes", "", " of events"}}},
    {"memory", "memory",
     {{"resident_bytes", "", ""}, {"most_bytes", " of ", ""}, {"peak_bytes", "at most ", " so far"}}},
    {"limits", "limits",
     {{"connections", "", " connections in"},
      {"connections_out", "", " out"},
      {"memory_in_flight", "", " being received"},
      {"files", "", " files"},
      {"files_open", " (", " open)"}}},
};
enum { LINES = sizeof lines / sizeof *lines };

static void print_line(const struct json *row, const struct line *line) {
    struct buf out = {0};
    if (line->within) row = json_get(row, line->within);
    for (const struct field *f = line->fields; f < line->fields + FIELDS && f->name; f++) {
        const struct json *value = json_get(row, f->name);
        if (show_is_empty(value)) continue;
        if (out.len && f->before[0] != ' ') buf_addz(&out, ", ");
        buf_addz(&out, f->before);
        show_value(&out, f->name, value);
        buf_addz(&out, f->after);
    }
    if (out.len) printf("%-12s %s\n", line->title, buf_z(&out));
    buf_release(&out);
}

// The two sides of a trial below each other.
static void print_canary(const struct json *canary) {
    static const char *const sides[] = {"on_trial", "in_force"}, *const words[] = {"on trial", "in force"};
    if (!canary) return;
    struct buf line = {0};
    buf_format(&line, "%-12s ", "canary");
    show_value(&line, "policy", json_get(canary, "policy"));
    buf_addz(&line, " has ");
    show_value(&line, "share", json_get(canary, "share"));
    buf_addz(&line, "% of new messages until ");
    show_value(&line, "until", json_get(canary, "until"));
    for (int i = 0; i < 2; i++) {
        static const char *const counts[] = {"decided", "faults", "refused", "delivered", "deferred", "bounced"};
        buf_format(&line, "\n%-12s %s:", "", words[i]);
        for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
            buf_addz(&line, k ? ", " : " ");
            show_value(&line, counts[k], json_get(json_get(canary, sides[i]), counts[k]));
            buf_format(&line, " %s", counts[k]);
        }
    }
    printf("%s\n", buf_z(&line));
    buf_release(&line);
}

static void print_listeners(const struct json *listeners) {
    for (size_t i = 0; i < json_count(listeners); i++) {
        const struct json *one = json_item(listeners, i);
        struct buf line = {0};
        buf_format(&line, "%-12s ", i ? "" : "listeners");
        show_value(&line, "name", json_get(one, "name"));
        buf_addz(&line, " at ");
        show_value(&line, "address", json_get(one, "address"));
        printf("%s\n", buf_z(&line));
        buf_release(&line);
    }
}

static bool is_shown(struct bytes name) {
    for (int i = 0; i < LINES; i++) {
        if (lines[i].within && bytes_equal(bytes_of(lines[i].within), name)) return true;
        for (const struct field *f = lines[i].fields; f->name && !lines[i].within; f++)
            if (bytes_equal(bytes_of(f->name), name)) return true;
    }
    return bytes_equal(name, BYTES("listeners")) || bytes_equal(name, BYTES("canary"));
}

// What this version of the tool does not know by name is shown all the same.
static void print_rest(const struct json *row) {
    void *at = NULL;
    struct bytes name;
    const struct json *value;
    while (json_next(row, &at, &name, &value)) {
        if (is_shown(name) || show_is_empty(value)) continue;
        char *z = bytes_dupz(name);
        struct buf line = {0};
        buf_format(&line, "%-12s ", z);
        show_value(&line, z, value);
        printf("%s\n", buf_z(&line));
        buf_release(&line);
        free(z);
    }
}

static bool print_status(void *arg, const struct json *row, struct bytes text) {
    const struct call *call = arg;
    if (call_has(call, "json")) {
        printf("%.*s\n", BYTES_FMT(text));
        return true;
    }
    for (int i = 0; i < LINES; i++) {
        print_line(row, &lines[i]);
        if (i == 0) print_listeners(json_get(row, "listeners"));
    }
    print_canary(json_get(row, "canary"));
    print_rest(row);
    return true;
}

static bool take_metrics(void *arg, const struct json *row, struct bytes text) {
    (void)text;
    metrics_of_status(arg, row);
    return true;
}

// Whole or not at all, since a file is made of it; and that nobody answers is a figure, too.
static int print_metrics(struct ask *ask, int code) {
    struct buf out = {0};
    if (ask) code = ask_run(ask, BYTES("{\"verb\":\"status\"}\n"), 30, take_metrics, &out, NULL);
    if (code != EX_OK) {
        buf_reset(&out);
        metrics_nobody(&out);
    }
    printf("%s", buf_z(&out));
    buf_release(&out);
    ask_close(&ask);
    return code;
}

int verb_status(const struct call *call) {
    int code = EX_OK;
    struct ask *ask = ask_open(call, &code);
    if (call_has(call, "prometheus")) return print_metrics(ask, code);
    if (!ask) return code;
    code = ask_run(ask, BYTES("{\"verb\":\"status\"}\n"), 30, print_status, (void *)call, NULL);
    ask_close(&ask);
    return code;
}
