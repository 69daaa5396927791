// SPDX-License-Identifier: MIT
#include "cli/warmup_table.h"

#include "cli/show.h"

struct table *warmup_table_new(int width) {
    static const struct column columns[] = {
        {"WARMUP", false, true}, {"PROVIDER", false, false}, {"DAY", true, false},     {"STEP", true, false},   {"CAP", true, false},
        {"USED", true, false},   {"LEFT", true, false},      {"BOUNCED", true, false}, {"COMPLAINTS", true, false}, {"STATE", false, false},
        {"NEXT", false, false},  {"WHY", false, true}};
    return table_new(stdout, columns, sizeof columns / sizeof *columns, width);
}

static void cell(struct table *t, const struct json *row, const char *name) {
    struct buf text = {0};
    if (json_get(row, name)) show_value(&text, name, json_get(row, name));
    table_cell(t, buf_bytes(&text));
    buf_release(&text);
}

// "3 of 14"
static void step_cell(struct table *t, const struct json *row) {
    struct buf text = {0};
    int64_t step = 0, steps = 0;
    json_int(json_get(row, "step"), &step);
    json_int(json_get(row, "steps"), &steps);
    if (step <= steps) buf_format(&text, "%lld of %lld", (long long)step, (long long)steps);
    else buf_format(&text, "above %lld", (long long)steps);
    table_cell(t, buf_bytes(&text));
    buf_release(&text);
}

// "500", "50/hour", "none"
static void cap_cell(struct table *t, const struct json *row) {
    struct buf text = {0};
    struct bytes unit = BYTES("");
    json_text(json_get(row, "unit"), &unit);
    if (show_is_empty(json_get(row, "cap"))) buf_addz(&text, "none");
    else show_value(&text, "cap", json_get(row, "cap"));
    if (text.len && bytes_equal(unit, BYTES("hour"))) buf_addz(&text, "/hour");
    table_cell(t, buf_bytes(&text));
    buf_release(&text);
}

// "0.6% (gate 2%)"
static void rate_cell(struct table *t, const struct json *row, const char *rate_name, const char *gate_name) {
    struct buf text = {0};
    double rate, gate;
    if (json_number(json_get(row, rate_name), &rate)) buf_format(&text, "%.3g%%", rate * 100);
    if (json_number(json_get(row, gate_name), &gate)) buf_format(&text, "%sgate %.3g%%", text.len ? ", " : "", gate * 100);
    table_cell(t, buf_bytes(&text));
    buf_release(&text);
}

// "100 in 7h"
static void next_cell(struct table *t, const struct json *row, int64_t now) {
    struct buf text = {0};
    int64_t ms;
    if (json_get(row, "next_at") && show_when(json_get(row, "next_at"), &ms)) {
        if (show_is_empty(json_get(row, "next_cap"))) buf_addz(&text, "no cap");
        else show_value(&text, "next_cap", json_get(row, "next_cap"));
        buf_byte(&text, ' ');
        show_relative(&text, ms, now);
    }
    table_cell(t, buf_bytes(&text));
    buf_release(&text);
}

static void why_cell(struct table *t, const struct json *row, int64_t now) {
    struct buf text = {0};
    int64_t ms;
    show_value(&text, "because", json_get(row, "because"));
    if (json_get(row, "full_until") && show_when(json_get(row, "full_until"), &ms)) {
        buf_addz(&text, "; the peer says there is no room, again ");
        show_relative(&text, ms, now);
    }
    table_cell(t, buf_bytes(&text));
    buf_release(&text);
}

void warmup_table_add(struct table *t, const struct json *row, int64_t now) {
    cell(t, row, "warmup");
    cell(t, row, "provider");
    cell(t, row, "day");
    step_cell(t, row);
    cap_cell(t, row);
    cell(t, row, "used");
    cell(t, row, "left");
    rate_cell(t, row, "bounce_rate", "bounce_gate");
    rate_cell(t, row, "complaint_rate", "complaint_gate");
    cell(t, row, "state");
    next_cell(t, row, now);
    why_cell(t, row, now);
    table_row(t);
}
