// SPDX-License-Identifier: MIT
// table: rows in aligned columns, no wider than the terminal.
//
// The first rows are held back to see how wide the columns must be; what comes after is printed as it comes,
// so that a million rows cost no memory. A column that shrinks gives up room first when the terminal is too
// narrow.
#pragma once

#include "base/bytes.h"

#include <stdio.h>

enum { TABLE_COLUMNS = 16, TABLE_SAMPLE = 500 };

struct column {
    const char *title;
    bool right;   // numbers
    bool shrinks; // may be cut when there is too little room
};

struct table;
struct table *table_new(FILE *out, const struct column *columns, int count, int width); // width 0: any
void table_cell(struct table *t, struct bytes text); // the next cell of the row; cleaned (show.h)
void table_cellz(struct table *t, const char *text);
void table_row(struct table *t); // ends the row; missing cells are empty
size_t table_rows(const struct table *t);
void table_free(struct table **t); // prints what was held back; nothing at all where no row came
