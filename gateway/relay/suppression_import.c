// SPDX-License-Identifier: MIT
#include "relay/suppression_import.h"

#include "base/utf8.h"
#include "relay/deed.h"
#include "relay/suppression_line.h"

#include <stdlib.h>
#include <sysexits.h>

// Two windows: one is filled while the other is written. They are what an import costs, up to 30 MiB, so there are few at a time.
enum { IMPORTS_MOST = 4, WINDOW = 50000, WINDOW_TEXT = 8 << 20, BATCH = 4096, SHOWN = 200 };

struct listed {
    struct suppression entry;
    size_t line; // its place in the window: of equals the last one holds
};

struct window {
    struct listed *entries;
    size_t count, room;
    struct arena arena;
    struct bytes scope, reason, source; // of the last entry: the next one has often the same
};

struct import {
    struct deed deed; // first
    struct asker *asker;
    struct gateway *gateway;
    struct arena arena;
    struct suppression_reader reader;
    struct window windows[2];
    struct window *filling, *writing; // writing NULL: nothing is
    size_t written_up_to, batch;      // of that window
    uint64_t lines, written, malformed, past;
    int64_t now;
    bool last, failed, unusable;
    struct err why;
};

static void free_import(struct import *m) {
    m->gateway->imports--;
    for (int i = 0; i < 2; i++) {
        free(m->windows[i].entries);
        arena_release(&m->windows[i].arena);
    }
    suppression_reader_release(&m->reader);
    arena_release(&m->arena);
    free(m);
}

static void end(struct import *m) {
    struct asker *a = m->asker;
    if (m->failed) {
        asker_error(a, m->unusable ? EX_DATAERR : EX_IOERR, "stopped at line %llu (%llu entries are in): %s",
                    (unsigned long long)m->lines, (unsigned long long)m->written, m->why.text);
    } else {
        struct jsonl *j = asker_done_begin(a);
        jsonl_int(j, "lines", (int64_t)m->lines);
        jsonl_int(j, "written", (int64_t)m->written);
        jsonl_int(j, "malformed", (int64_t)m->malformed);
        jsonl_int(j, "past", (int64_t)m->past);
        asker_done_end(a);
    }
    free_import(m);
}

// ---- writing ------------------------------------------------------------------------------------

static int by_key(const void *a, const void *b) {
    const struct listed *x = a, *y = b;
    int order = bytes_compare(x->entry.address, y->entry.address);
    if (!order) order = bytes_compare(x->entry.scope, y->entry.scope);
    return order ? order : x->line < y->line ? -1 : 1;
}

static bool apply(struct store_op *op, struct txn *txn, struct err *err) {
    struct import *m = (struct import *)op;
    const struct listed *from = m->writing->entries + m->written_up_to;
    for (size_t i = 0; i < m->batch; i++)
        if (!txn_put_suppression(txn, &from[i].entry, SUPPRESSION_REPLACE, m->now, err)) return false;
    return true;
}

static void come_back(struct deed *deed);

static void write_batch(struct import *m) {
    size_t left = m->writing->count - m->written_up_to;
    m->batch = left < BATCH ? left : BATCH;
    deed_run(&m->deed, m->gateway, apply, come_back);
}

static bool is_full(const struct window *w) {
    return w->count == WINDOW || w->arena.total > WINDOW_TEXT;
}

// The filled window is next to be written; the other one, empty by now, is filled.
static void start_writing(struct import *m) {
    m->writing = m->filling;
    m->filling = &m->windows[m->writing == m->windows];
    m->written_up_to = 0;
    qsort(m->writing->entries, m->writing->count, sizeof *m->writing->entries, by_key);
    write_batch(m);
}

static void empty(struct window *w) {
    w->count = 0;
    w->scope = w->reason = w->source = BYTES("");
    arena_reset(&w->arena);
}

static void tell_progress(struct import *m) {
    struct buf row = {0};
    struct jsonl j = jsonl_begin(&row);
    jsonl_int(&j, "lines", (int64_t)m->lines);
    jsonl_int(&j, "written", (int64_t)m->written);
    jsonl_end(&j);
    asker_row(m->asker, buf_bytes(&row));
    buf_release(&row);
}

// The gateway is closing: this may be told when the store is gone already.
static bool is_abandoned(const struct import *m) {
    return m->gateway->stopping && asker_is_gone(m->asker);
}

static void on_ready(void *arg);

// What else there is to write, or to read. May free m.
static void go_on(struct import *m) {
    if (m->writing) return;
    if (m->failed || is_abandoned(m)) empty(m->filling);
    if (m->filling->count && (m->last || is_full(m->filling))) start_writing(m);
    if (m->last) {
        if (!m->writing) end(m);
    } else if (asker_is_full(m->asker)) {
        asker_when_ready(m->asker, on_ready, m);
    } else if (!is_full(m->filling)) {
        asker_more(m->asker);
    }
}

static void on_ready(void *arg) {
    struct import *m = arg;
    if (!is_full(m->filling)) asker_more(m->asker);
}

static void come_back(struct deed *deed) {
    struct import *m = (struct import *)deed;
    m->failed = !deed->stored;
    if (m->failed) {
        m->why = deed->why;
    } else {
        m->written += m->batch;
        m->written_up_to += m->batch;
        tell_progress(m);
    }
    if (!m->failed && !is_abandoned(m) && m->written_up_to < m->writing->count) return write_batch(m);
    empty(m->writing);
    m->writing = NULL;
    go_on(m);
}

// ---- reading ------------------------------------------------------------------------------------

static void keep(struct window *w, struct bytes *text, struct bytes *last) {
    if (!last->at || !bytes_equal(*text, *last)) *last = arena_copy(&w->arena, *text);
    *text = *last;
}

static void add(struct window *w, const struct suppression *s) {
    if (w->count == w->room) {
        w->room = w->room ? w->room * 2 : 64;
        w->entries = must_realloc(w->entries, w->room * sizeof *w->entries);
    }
    struct listed *l = &w->entries[w->count];
    *l = (struct listed){.entry = *s, .line = w->count};
    w->count++;
    l->entry.address = arena_copy(&w->arena, s->address);
    keep(w, &l->entry.scope, &w->scope);
    keep(w, &l->entry.reason, &w->reason);
    keep(w, &l->entry.source, &w->source);
}

static void tell_fault(struct import *m, struct bytes line, const char *why) {
    struct buf row = {0};
    struct jsonl j = jsonl_begin(&row);
    jsonl_int(&j, "line", (int64_t)m->lines);
    jsonl_textz(&j, "fault", why);
    char shown[SHOWN];
    struct bytes text = utf8_first(line, SHOWN);
    for (size_t i = 0; i < text.len; i++) // not every reader of JSON takes a NUL
        shown[i] = (unsigned char)text.at[i] < ' ' ? '?' : text.at[i];
    jsonl_text(&j, "text", bytes_range(shown, text.len));
    jsonl_end(&j);
    asker_row(m->asker, buf_bytes(&row));
    buf_release(&row);
}

static void read_line(struct import *m, struct bytes line) {
    struct suppression entry;
    struct err why;
    m->lines++;
    switch (suppression_line_read(&m->reader, line, &entry, &why)) {
    case LINE_NOTHING:
        break;
    case LINE_ENTRY:
        if (entry.until_ms && entry.until_ms <= m->now)
            m->past++;
        else
            add(m->filling, &entry);
        break;
    case LINE_BAD:
        m->malformed++;
        tell_fault(m, line, why.text);
        break;
    case LINE_UNUSABLE:
        m->failed = m->unusable = true;
        m->why = why;
        break;
    }
}

static bool take(void *arg, enum asker_said said, struct bytes line) {
    struct import *m = arg;
    if (said != ASKER_LINE) {
        m->last = true;
        go_on(m);
        return false;
    }
    if (m->failed) return true; // what still comes is passed over
    read_line(m, line);
    if (is_full(m->filling) && !m->writing) start_writing(m);
    if (is_full(m->filling)) return false; // until the other one is written
    if (!asker_is_full(m->asker)) return true;
    asker_when_ready(m->asker, on_ready, m);
    return false;
}

// ---- the request --------------------------------------------------------------------------------

static struct bytes text_of(struct import *m, const struct json *request, const char *name,
                            const char *otherwise) {
    struct bytes text;
    return arena_copy(&m->arena, json_text(json_get(request, name), &text) ? text : bytes_of(otherwise));
}

static bool read_request(struct import *m, const struct json *request, struct err *err) {
    int64_t until_ms;
    struct bytes format = text_of(m, request, "format", "csv");
    bool json = bytes_equal(format, BYTES("jsonl"));
    if (!json && !bytes_equal(format, BYTES("csv"))) return err_set(err, "format is csv or jsonl");
    if (!asker_until(request, m->now, &until_ms, err)) return false;
    struct suppression defaults = {.address = BYTES("@example"),
                                   .scope = text_of(m, request, "scope", "all"),
                                   .reason = text_of(m, request, "reason", ""),
                                   .source = text_of(m, request, "source", "import"),
                                   .added_ms = m->now,
                                   .until_ms = until_ms};
    suppression_reader_init(&m->reader, json ? SUPPRESSION_JSON : SUPPRESSION_CSV, &defaults);
    return suppression_check(&defaults, err);
}

void suppression_import(struct asker *a, const struct json *request) {
    struct err err;
    struct gateway *g = asker_gateway(a);
    if (g->imports >= IMPORTS_MOST)
        return asker_error(a, EX_TEMPFAIL, "suppression import: %d are under way already; try again when one has ended", IMPORTS_MOST);
    struct import *m = must_alloc(sizeof *m);
    g->imports++;
    m->asker = a;
    m->gateway = g;
    m->now = clock_ms(&m->gateway->clock);
    m->filling = m->windows;
    if (read_request(m, request, &err)) {
        asker_row(a, BYTES("{\"ready\":true}"));
        return asker_lines(a, take, m);
    }
    free_import(m);
    asker_error(a, EX_USAGE, "suppression import: %s", err.text);
}
