// SPDX-License-Identifier: MIT
#include "cli/top_view.h"

#include "base/quantity.h"
#include "cli/show.h"
#include "cli/table.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { LANES_LEAST = 3, OTHER_LINES = 8, WHY_MOST = 200, REMEMBERED = 1000 };

static const char *const counted[TOP_COUNTS] = {"accepted", "delivered", "deferred", "bounced", "expired", "refused", "faults", "hooks"};
enum { ACCEPTED, DELIVERED, DEFERRED, BOUNCED, EXPIRED, REFUSED, FAULTS, HOOKS };

static int64_t number(const struct json *row, const char *name) {
    int64_t n = 0;
    json_int(json_get(row, name), &n);
    return n;
}

static char *text_of(const struct json *row, const char *name) {
    struct buf text = {0};
    struct buf clean = {0};
    if (json_get(row, name)) show_value(&text, name, json_get(row, name));
    show_clean(&clean, bytes_first(buf_bytes(&text), WHY_MOST));
    char *z = bytes_dupz(buf_bytes(&clean));
    buf_release(&text);
    buf_release(&clean);
    return z;
}

// ---- a frame

static void free_lane(struct top_lane *l) {
    free(l->key);
    free(l->state);
    free(l->why);
}

static void forget_rows(struct top_view *v) {
    while (v->lane_count) free_lane(&v->lanes[--v->lane_count]);
    while (v->limit_count) free(v->limits[--v->limit_count].key);
    v->lanes_in_all = 0;
}

void top_begin(struct top_view *v, int64_t monotonic_us) {
    if (v->attempts.count > 2 * v->lanes_in_all + REMEMBERED) map_release(&v->attempts); // lanes come and go
    forget_rows(v);
    v->before_us = v->at_us;
    v->at_us = monotonic_us;
    memcpy(v->counts_before, v->counts, sizeof v->counts);
}

void top_release(struct top_view *v) {
    forget_rows(v);
    top_forget_faults(v);
    map_release(&v->attempts);
    json_free(&v->status);
}

void top_take_status(struct top_view *v, struct bytes row) {
    json_free(&v->status);
    v->status = json_parse(row, NULL);
    for (size_t i = 0; i < TOP_COUNTS; i++) v->counts[i] = number(v->status, counted[i]);
}

// ---- lanes: those that sent most, then those where most waits

static bool is_before(const struct top_lane *a, const struct top_lane *b) {
    if (a->sent != b->sent) return a->sent > b->sent;
    if (a->waiting != b->waiting) return a->waiting > b->waiting;
    if (a->connections != b->connections) return a->connections > b->connections;
    return strcmp(a->key, b->key) < 0;
}

static int64_t sent_since(struct top_view *v, struct bytes key, int64_t attempts) {
    int64_t was = (int64_t)(uintptr_t)map_put(&v->attempts, key, (void *)(uintptr_t)(attempts + 1));
    return was && attempts >= was - 1 ? attempts - (was - 1) : 0;
}

void top_take_lane(struct top_view *v, const struct json *row) {
    struct bytes key;
    if (!json_text(json_get(row, "lane"), &key)) return;
    struct top_lane l = {.waiting = number(row, "waiting"), .connections = number(row, "connections"),
                         .sent = sent_since(v, key, number(row, "attempts"))};
    json_bool(json_get(row, "parked"), &l.parked);
    l.key = text_of(row, "lane");
    v->lanes_in_all++;
    size_t at = v->lane_count;
    while (at && is_before(&l, &v->lanes[at - 1])) at--;
    if (at == TOP_LANES) return free(l.key);
    l.state = text_of(row, "state");
    l.why = text_of(row, json_get(row, "paused_because") ? "paused_because" : json_get(row, "because") ? "because" : "why");
    if (v->lane_count == TOP_LANES) free_lane(&v->lanes[--v->lane_count]);
    memmove(&v->lanes[at + 1], &v->lanes[at], (v->lane_count - at) * sizeof l);
    v->lanes[at] = l;
    v->lane_count++;
}

// ---- limits: the fullest

static double fullness(const struct top_limit *l) { return l->cap ? (double)l->used / (double)l->cap : 0; }

void top_take_limit(struct top_view *v, const struct json *row) {
    struct top_limit l = {.window_s = number(row, "window_s"), .used = number(row, "used"), .cap = number(row, "cap")};
    size_t at = v->limit_count;
    if (!l.cap || !l.used) return;
    while (at && fullness(&l) > fullness(&v->limits[at - 1])) at--;
    if (at == TOP_LIMITS) return;
    l.key = text_of(row, "key");
    if (v->limit_count == TOP_LIMITS) free(v->limits[--v->limit_count].key);
    memmove(&v->limits[at + 1], &v->limits[at], (v->limit_count - at) * sizeof l);
    v->limits[at] = l;
    v->limit_count++;
}

// ---- faults

void top_forget_faults(struct top_view *v) {
    while (v->fault_count) free(v->faults[--v->fault_count]);
}

void top_take_fault(struct top_view *v, const struct json *event) {
    static const char *const names[] = {"time", "hook", "login", "where", "because"};
    struct buf line = {0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (show_is_empty(json_get(event, names[i]))) continue;
        char *text = text_of(event, names[i]);
        if (line.len) buf_byte(&line, ' ');
        buf_addz(&line, text);
        free(text);
    }
    if (v->fault_count == TOP_FAULTS) {
        free(v->faults[0]);
        memmove(v->faults, v->faults + 1, --v->fault_count * sizeof *v->faults);
    }
    v->faults[v->fault_count++] = bytes_dupz(buf_bytes(&line));
    buf_release(&line);
}

// ---- drawing

static double rate(const struct top_view *v, int what) {
    double seconds = (double)(v->at_us - v->before_us) / 1e6;
    if (!v->before_us || seconds <= 0 || v->counts[what] < v->counts_before[what]) return 0;
    return (double)(v->counts[what] - v->counts_before[what]) / seconds;
}

static void draw_rate(const struct top_view *v, struct buf *out, const char *before, int what) {
    double r = rate(v, what);
    buf_format(out, r < 10 && r > 0 ? "%s%.1f/s" : "%s%.0f/s", before, r);
}

static void value(const struct top_view *v, struct buf *out, const char *before, const char *name, const char *after) {
    buf_addz(out, before);
    if (json_get(v->status, name)) show_value(out, name, json_get(v->status, name));
    buf_addz(out, after);
}

static void draw_head(const struct top_view *v, FILE *f) {
    struct buf out = {0};
    bool draining = false, sick = false;
    json_bool(json_get(v->status, "draining"), &draining);
    json_bool(json_get(json_get(v->status, "store"), "sick"), &sick);
    value(v, &out, "tidegate ", "hostname", "");
    value(v, &out, ", up ", "uptime_s", "");
    value(v, &out, ", policy ", "policy", "");
    if (draining) buf_addz(&out, ", DRAINING");
    if (sick) buf_addz(&out, ", THE STORE CANNOT BE WRITTEN");
    if (number(v->status, "pauses")) value(v, &out, ", ", "pauses", " PAUSED");
    buf_byte(&out, '\n');
    draw_rate(v, &out, "in ", ACCEPTED);
    draw_rate(v, &out, ", refused ", REFUSED);
    draw_rate(v, &out, " | out ", DELIVERED);
    draw_rate(v, &out, ", deferred ", DEFERRED);
    draw_rate(v, &out, ", bounced ", BOUNCED);
    draw_rate(v, &out, ", expired ", EXPIRED);
    buf_byte(&out, '\n');
    value(v, &out, "queue ", "recipients", "");
    value(v, &out, ": ", "due", " due");
    value(v, &out, ", ", "parked", " parked");
    value(v, &out, ", ", "held", " held");
    value(v, &out, " (", "in_memory", " in memory)");
    value(v, &out, " | connections ", "connections", " in");
    value(v, &out, ", ", "connections_out", " out");
    value(v, &out, " | memory ", "memory_rss", "");
    fprintf(f, "%s\n\n", buf_z(&out));
    buf_release(&out);
}

static void cell_number(struct table *t, int64_t n) {
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, n);
    table_cellz(t, text);
}

static void draw_lanes(const struct top_view *v, FILE *f, int width, size_t most) {
    static const struct column columns[] = {{"LANE", false, true},  {"STATE", false, false}, {"SENT/S", true, false}, {"IN MEMORY", true, false},
                                            {"PARKED", false, false}, {"OPEN", true, false},   {"WHY", false, true}};
    struct table *t = table_new(f, columns, sizeof columns / sizeof *columns, width);
    double seconds = (double)(v->at_us - v->before_us) / 1e6;
    for (size_t i = 0; i < v->lane_count && i < most; i++) {
        const struct top_lane *l = &v->lanes[i];
        table_cellz(t, l->key);
        table_cellz(t, l->state);
        cell_number(t, v->before_us && seconds > 0 ? (int64_t)((double)l->sent / seconds + 0.5) : 0);
        cell_number(t, l->waiting);
        table_cellz(t, l->parked ? "yes" : "");
        cell_number(t, l->connections);
        table_cellz(t, l->why);
        table_row(t);
    }
    table_free(&t);
    if (v->lanes_in_all > most) fprintf(f, "... and %zu more lanes\n", v->lanes_in_all - (v->lane_count < most ? v->lane_count : most));
    if (!v->lanes_in_all) fputs("no lane has work\n", f);
}

static void draw_limits(const struct top_view *v, FILE *f, int width) {
    static const struct column columns[] = {{"LIMIT", false, true}, {"WINDOW", true, false}, {"USED", true, false}, {"OF", true, false}, {"%", true, false}};
    struct table *t = table_new(f, columns, sizeof columns / sizeof *columns, width);
    for (size_t i = 0; i < v->limit_count; i++) {
        char window[QUANTITY_TEXT];
        quantity_duration_human(v->limits[i].window_s, window);
        table_cellz(t, v->limits[i].key);
        table_cellz(t, window);
        cell_number(t, v->limits[i].used);
        cell_number(t, v->limits[i].cap);
        cell_number(t, (int64_t)(fullness(&v->limits[i]) * 100));
        table_row(t);
    }
    if (v->limit_count) fputc('\n', f);
    table_free(&t);
}

// What does not fit is cut: at the right, and at the bottom.
static void put_lines(struct bytes all, int width, int height, struct buf *out) {
    for (int n = 0; all.len && (!height || n < height); n++) {
        struct bytes line = bytes_cut(&all, '\n');
        if (width) show_cut(out, line, (size_t)width);
        else buf_add(out, line);
        buf_byte(out, '\n');
    }
}

static size_t lanes_shown(const struct top_view *v, int height) {
    size_t others = OTHER_LINES + v->limit_count + v->fault_count;
    if (!height) return TOP_LANES;
    return (size_t)height > others + LANES_LEAST ? (size_t)height - others : LANES_LEAST;
}

void top_draw(struct top_view *v, int width, int height, struct buf *out) {
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    if (!f) return;
    draw_head(v, f);
    draw_lanes(v, f, width, lanes_shown(v, height));
    draw_limits(v, f, width);
    if (v->fault_count) fputs("\nlast faults\n", f);
    for (size_t i = 0; i < v->fault_count; i++) fprintf(f, "%s\n", v->faults[i]);
    fclose(f);
    put_lines(bytes_range(text, len), width, height, out);
    free(text);
}
