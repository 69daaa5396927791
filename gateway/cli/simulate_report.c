// SPDX-License-Identifier: MIT
#include "cli/simulate_report.h"

#include "base/clock.h"
#include "base/jsonl.h"
#include "cli/chart.h"
#include "cli/table.h"

#include <stdlib.h>

enum { DATE = 11, NAMES_MOST = 6, STACKS_MOST = 10 };
static const int64_t day_ms = 86400 * 1000;

static const char *const cell_names[] = {"sent", "deferred", "bounced", "expired", "suppressed", "discarded", "waited", "elsewhere", "waiting"};
enum { CELLS = sizeof cell_names / sizeof cell_names[0] };

static void cell_values(const struct tally_cell *c, uint64_t out[CELLS]) {
    const uint64_t values[CELLS] = {c->sent, c->deferred, c->bounced, c->expired, c->suppressed, c->discarded, c->waited, c->elsewhere, c->waiting};
    memcpy(out, values, sizeof values);
}

static void date_of(const struct simulate_report *r, int day, char out[DATE]) {
    char iso[25];
    clock_iso(r->start_ms + day * day_ms, iso);
    snprintf(out, DATE, "%.10s", iso);
}

static void number(struct table *t, uint64_t value) {
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    table_cellz(t, text);
}

// ---- sums

struct sums {
    struct tally_cell *days;     // of all pairs
    uint64_t **sent;             // by identity, then by day
    uint64_t *total;             // sent by each identity
    const char **names;          // of identities
    size_t count;
};

static struct sums sums_of(const struct simulate_report *r) {
    int days = tally_days(r->tally);
    struct sums s = {.days = must_alloc((size_t)days * sizeof *s.days)};
    const char *identity, *provider;
    const struct tally_cell *cells;
    for (size_t i = 0; tally_pair(r->tally, i, &identity, &provider, &cells); i++) {
        if (!s.count || strcmp(s.names[s.count - 1], identity) != 0) {
            s.count++;
            s.names = must_realloc(s.names, s.count * sizeof *s.names);
            s.sent = must_realloc(s.sent, s.count * sizeof *s.sent);
            s.total = must_realloc(s.total, s.count * sizeof *s.total);
            s.names[s.count - 1] = identity;
            s.sent[s.count - 1] = must_alloc((size_t)days * sizeof **s.sent);
            s.total[s.count - 1] = 0;
        }
        for (int d = 0; d < days; d++) {
            tally_add(&s.days[d], &cells[d]);
            s.days[d].waiting += cells[d].waiting;
            s.sent[s.count - 1][d] += cells[d].sent;
            s.total[s.count - 1] += cells[d].sent;
        }
    }
    return s;
}

static void sums_release(struct sums *s) {
    for (size_t i = 0; i < s->count; i++) free(s->sent[i]);
    free(s->sent);
    free(s->total);
    free(s->names);
    free(s->days);
}

// ---- for people

static void print_days(const struct simulate_report *r, const struct sums *s, FILE *out) {
    struct column columns[TABLE_COLUMNS] = {{.title = "day"}, {.title = "received", .right = true}, {.title = "refused", .right = true},
                                            {.title = "sent", .right = true}, {.title = "deferred", .right = true}, {.title = "bounced", .right = true},
                                            {.title = "waited", .right = true}, {.title = "elsewhere", .right = true}, {.title = "waiting", .right = true}};
    size_t most = s->count < NAMES_MOST ? s->count : NAMES_MOST;
    int count = 9;
    for (size_t i = 0; i < most; i++) columns[count++] = (struct column){.title = s->names[i], .right = true};
    struct table *t = table_new(out, columns, count, 0);
    for (int d = 0; d < tally_days(r->tally); d++) {
        const struct tally_day *day = tally_day(r->tally, d);
        const struct tally_cell *c = &s->days[d];
        char date[DATE];
        date_of(r, d, date);
        table_cellz(t, date);
        const uint64_t values[] = {day->recipients, day->refused, c->sent, c->deferred, c->bounced + c->expired, c->waited, c->elsewhere, c->waiting};
        for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) number(t, values[i]);
        for (size_t i = 0; i < most; i++) number(t, s->sent[i][d]);
        table_row(t);
    }
    table_free(&t);
    if (s->count > most) fprintf(out, "(%zu more identities: --csv and --json have all)\n", s->count - most);
}

static void print_pairs(const struct simulate_report *r, FILE *out) {
    struct column columns[2 + CELLS] = {{.title = "identity"}, {.title = "provider"}};
    for (int i = 0; i < CELLS; i++) columns[2 + i] = (struct column){.title = cell_names[i], .right = true};
    struct table *t = table_new(out, columns, 2 + CELLS, 0);
    const char *identity, *provider;
    const struct tally_cell *cells;
    for (size_t i = 0; tally_pair(r->tally, i, &identity, &provider, &cells); i++) {
        struct tally_cell sum = {0};
        uint64_t values[CELLS];
        for (int d = 0; d < tally_days(r->tally); d++) tally_add(&sum, &cells[d]);
        sum.waiting = cells[tally_days(r->tally) - 1].waiting;
        cell_values(&sum, values);
        table_cellz(t, identity);
        table_cellz(t, provider);
        for (int k = 0; k < CELLS; k++) number(t, values[k]);
        table_row(t);
    }
    table_free(&t);
}

void simulate_report_print(const struct simulate_report *r, FILE *out) {
    struct sums s = sums_of(r);
    struct tally_limits l = tally_limits(r->tally);
    uint64_t messages = 0;
    for (int d = 0; d < tally_days(r->tally); d++) messages += tally_day(r->tally, d)->messages;
    print_days(r, &s, out);
    fputc('\n', out);
    print_pairs(r, out);
    fprintf(out, "\n%llu messages in %d days, played by policy %s with seed %llu\n", (unsigned long long)messages,
            tally_days(r->tally), r->policy, (unsigned long long)r->seed);
    if (!l.accounts) fprintf(out, "limits: the plans name none\n");
    else if (!l.broken) fprintf(out, "limits: none of %zu was over its cap in any window, as the peers counted at %llu moments\n", l.accounts, (unsigned long long)l.checked);
    else fprintf(out, "limits: OVER THE CAP %zu times, first %s\n", l.broken, l.worst);
    sums_release(&s);
}

// ---- for programs

static void each_row(const struct simulate_report *r, void (*row)(void *arg, int day, const char *identity, const char *provider, const struct tally_cell *c), void *arg) {
    const char *identity, *provider;
    const struct tally_cell *cells;
    for (int d = 0; d < tally_days(r->tally); d++)
        for (size_t i = 0; tally_pair(r->tally, i, &identity, &provider, &cells); i++) row(arg, d, identity, provider, &cells[d]);
}

struct rows {
    const struct simulate_report *report;
    struct buf *out;
};

// RFC 4180: quoted where it has to be.
static void csv_text(struct buf *out, const char *text) {
    if (!strpbrk(text, ",\"\r\n")) return buf_addz(out, text);
    buf_byte(out, '"');
    for (; *text; text++) {
        if (*text == '"') buf_byte(out, '"');
        buf_byte(out, *text);
    }
    buf_byte(out, '"');
}

static void csv_row(void *arg, int day, const char *identity, const char *provider, const struct tally_cell *c) {
    struct rows *r = arg;
    uint64_t values[CELLS];
    char date[DATE];
    cell_values(c, values);
    date_of(r->report, day, date);
    buf_format(r->out, "%d,%s,", day + 1, date);
    csv_text(r->out, identity);
    buf_byte(r->out, ',');
    csv_text(r->out, provider);
    for (int i = 0; i < CELLS; i++) buf_format(r->out, ",%llu", (unsigned long long)values[i]);
    buf_byte(r->out, '\n');
}

void simulate_report_csv(const struct simulate_report *r, struct buf *out) {
    buf_addz(out, "day,date,identity,provider");
    for (int i = 0; i < CELLS; i++) buf_format(out, ",%s", cell_names[i]);
    buf_byte(out, '\n');
    each_row(r, csv_row, &(struct rows){r, out});
}

static void json_row(void *arg, int day, const char *identity, const char *provider, const struct tally_cell *c) {
    struct rows *r = arg;
    uint64_t values[CELLS];
    char date[DATE];
    cell_values(c, values);
    date_of(r->report, day, date);
    struct jsonl j = jsonl_begin(r->out);
    jsonl_int(&j, "day", day + 1);
    jsonl_textz(&j, "date", date);
    jsonl_textz(&j, "identity", identity);
    jsonl_textz(&j, "provider", provider);
    for (int i = 0; i < CELLS; i++) jsonl_int(&j, cell_names[i], (int64_t)values[i]);
    jsonl_end(&j);
}

void simulate_report_json(const struct simulate_report *r, FILE *out) {
    struct buf text = {0};
    struct tally_limits l = tally_limits(r->tally);
    struct tally_day sum = {0};
    each_row(r, json_row, &(struct rows){r, &text});
    for (int d = 0; d < tally_days(r->tally); d++) {
        const struct tally_day *day = tally_day(r->tally, d);
        sum.messages += day->messages;
        sum.recipients += day->recipients;
        sum.refused += day->refused;
    }
    struct jsonl j = jsonl_begin(&text);
    jsonl_textz(&j, "type", "summary");
    jsonl_int(&j, "days", tally_days(r->tally));
    jsonl_int(&j, "messages", (int64_t)sum.messages);
    jsonl_int(&j, "recipients", (int64_t)sum.recipients);
    jsonl_int(&j, "refused", (int64_t)sum.refused);
    jsonl_textz(&j, "policy", r->policy);
    jsonl_int(&j, "seed", (int64_t)r->seed);
    jsonl_int(&j, "limits", (int64_t)l.accounts);
    jsonl_int(&j, "over_cap", (int64_t)l.broken);
    if (l.broken) jsonl_textz(&j, "over_cap_first", l.worst);
    jsonl_end(&j);
    fwrite(text.at, 1, text.len, out);
    buf_release(&text);
}

// ---- the picture

// Those who sent most have a colour of their own; the others share the last.
static size_t stacks_of(const struct simulate_report *r, const struct sums *s, struct chart_series stacks[STACKS_MOST], uint64_t *rest) {
    size_t count = 0;
    for (size_t i = 0; i < s->count; i++) {
        size_t before = 0;
        for (size_t k = 0; k < s->count; k++) before += s->total[k] > s->total[i] || (s->total[k] == s->total[i] && k < i);
        if (s->total[i] && before < STACKS_MOST - 1) stacks[count++] = (struct chart_series){s->names[i], s->sent[i]};
        else for (int d = 0; d < tally_days(r->tally); d++) rest[d] += s->sent[i][d];
    }
    bool others = false;
    for (int d = 0; d < tally_days(r->tally); d++) others |= rest[d] > 0;
    if (others) stacks[count++] = (struct chart_series){"others", rest};
    return count;
}

void simulate_report_svg(const struct simulate_report *r, struct buf *out) {
    size_t days = (size_t)tally_days(r->tally);
    struct sums s = sums_of(r);
    struct chart_series stacks[STACKS_MOST];
    uint64_t *waiting = must_alloc(days * sizeof *waiting), *rest = must_alloc(days * sizeof *rest);
    char(*dates)[DATE] = must_alloc(days * sizeof *dates), subtitle[120];
    const char **columns = must_alloc(days * sizeof *columns);
    for (size_t d = 0; d < days; d++) {
        date_of(r, (int)d, dates[d]);
        columns[d] = dates[d] + 5; // month and day
        waiting[d] = s.days[d].waiting;
    }
    snprintf(subtitle, sizeof subtitle, "%zu days from %s, policy %s, seed %llu", days, dates[0], r->policy, (unsigned long long)r->seed);
    struct chart chart = {.title = "Recipients sent a day, by identity", .subtitle = subtitle, .columns = columns, .column_count = days,
                          .stack_label = "sent", .stacks = stacks, .stack_count = stacks_of(r, &s, stacks, rest),
                          .below = {"waiting", waiting}};
    chart_draw(&chart, out);
    free(columns);
    free(dates);
    free(rest);
    free(waiting);
    sums_release(&s);
}
