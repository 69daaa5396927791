// SPDX-License-Identifier: MIT
#include "cli/table.h"

#include "base/bug.h"
#include "cli/show.h"

#include <stdlib.h>

enum { GAP = 2, NARROWEST = 8 };

struct table {
    FILE *out;
    const struct column *columns;
    int count, width;
    size_t widths[TABLE_COLUMNS];
    bool settled; // widths are fixed, the head is out
    size_t rows;
    struct buf held; // cells, each ended by a NUL
    struct buf line;
    struct buf cell;
    int at; // cells in the row under way
};

struct table *table_new(FILE *out, const struct column *columns, int count, int width) {
    bug_if(count < 1 || count > TABLE_COLUMNS);
    struct table *t = must_alloc(sizeof *t);
    t->out = out;
    t->columns = columns;
    t->count = count;
    t->width = width;
    for (int i = 0; i < count; i++)
        t->widths[i] = strlen(columns[i].title);
    return t;
}

static void pad(struct table *t, size_t n) {
    while (n--)
        buf_byte(&t->line, ' ');
}

static void put_cell(struct table *t, int i, struct bytes text) {
    size_t width = t->widths[i];
    size_t before = t->line.len;
    show_cut(&t->line, text, width);
    size_t used = show_columns(bytes_skip(buf_bytes(&t->line), before));
    size_t missing = used < width ? width - used : 0;
    if (t->columns[i].right && missing) {
        struct bytes cut = bytes_skip(buf_bytes(&t->line), before);
        buf_reset(&t->cell);
        buf_add(&t->cell, cut);
        t->line.len = before;
        pad(t, missing);
        buf_add(&t->line, buf_bytes(&t->cell));
    } else if (i + 1 < t->count) {
        pad(t, missing);
    }
    if (i + 1 < t->count) pad(t, GAP);
}

static void put_line(struct table *t) {
    while (t->line.len && t->line.at[t->line.len - 1] == ' ')
        t->line.len--;
    buf_byte(&t->line, '\n');
    fwrite(t->line.at, 1, t->line.len, t->out);
    buf_reset(&t->line);
}

static size_t total(const struct table *t) {
    size_t sum = 0;
    for (int i = 0; i < t->count; i++)
        sum += t->widths[i] + (i ? GAP : 0);
    return sum;
}

// Takes columns off the widest of those that may shrink, one by one, until all fits.
static void shrink(struct table *t) {
    while (t->width && total(t) > (size_t)t->width) {
        int widest = -1;
        for (int i = 0; i < t->count; i++)
            if (t->columns[i].shrinks && t->widths[i] > NARROWEST &&
                (widest < 0 || t->widths[i] > t->widths[widest]))
                widest = i;
        if (widest < 0) return;
        t->widths[widest]--;
    }
}

static void settle(struct table *t) {
    shrink(t);
    t->settled = true;
    for (int i = 0; i < t->count; i++)
        put_cell(t, i, bytes_of(t->columns[i].title));
    put_line(t);
    int i = 0;
    for (struct bytes rest = buf_bytes(&t->held); rest.len;) {
        put_cell(t, i, bytes_cut(&rest, '\0'));
        if (++i < t->count) continue;
        put_line(t);
        i = 0;
    }
    buf_release(&t->held);
}

void table_cell(struct table *t, struct bytes text) {
    bug_if(t->at == t->count);
    struct buf clean = {0};
    show_clean(&clean, text);
    if (t->settled) {
        put_cell(t, t->at, buf_bytes(&clean));
    } else {
        size_t width = show_columns(buf_bytes(&clean));
        if (width > t->widths[t->at]) t->widths[t->at] = width;
        buf_add(&t->held, buf_bytes(&clean));
        buf_byte(&t->held, '\0');
    }
    t->at++;
    buf_release(&clean);
}

void table_cellz(struct table *t, const char *text) {
    table_cell(t, bytes_of(text));
}

void table_row(struct table *t) {
    while (t->at < t->count)
        table_cell(t, BYTES(""));
    t->at = 0;
    t->rows++;
    if (t->settled)
        put_line(t);
    else if (t->rows == TABLE_SAMPLE)
        settle(t);
}

size_t table_rows(const struct table *t) {
    return t->rows;
}

void table_free(struct table **t) {
    struct table *gone = *t;
    *t = NULL;
    if (!gone) return;
    if (!gone->settled && gone->rows) settle(gone);
    buf_release(&gone->held);
    buf_release(&gone->line);
    buf_release(&gone->cell);
    free(gone);
}
