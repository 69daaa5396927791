// SPDX-License-Identifier: MIT
// suppression_line: one line of a list of addresses, as CSV or JSON, to an entry and back.
//
// CSV (RFC 4180, an entry a line): address,scope,reason,until,source,added, of which all but the address may
// be missing; or a first line (the one without an @) names the columns: these, "email" and its like for the address, "-" for one that is
// left out. JSON:
// {"address":"bob@example.net","scope":"all","reason":"...","until":"2026-12-31","source":"...","added":"..."}.
// What a line does not say is the reader's default. Columns and fields that are not known are refused: of
// `untill` nobody would notice that it did not work. A bare list of addresses is CSV.
#pragma once

#include "store/suppression.h"

enum { SUPPRESSION_LINE = 4096, SUPPRESSION_FIELDS = 32 }; // bytes and CSV fields of a line at most

enum suppression_format { SUPPRESSION_CSV, SUPPRESSION_JSON };

enum suppression_column {
    COLUMN_ADDRESS,
    COLUMN_SCOPE,
    COLUMN_REASON,
    COLUMN_UNTIL,
    COLUMN_SOURCE,
    COLUMN_ADDED,
    COLUMNS
};

struct suppression_reader {
    enum suppression_format format;
    struct suppression
        defaults; // scope, reason, source, added, until of lines that do not say; texts are the caller's
    bool begun;   // the first line has been seen
    int columns[SUPPRESSION_FIELDS]; // of the CSV's fields in their order; COLUMNS: left out
    size_t column_count;
    struct buf text; // of the line at hand
    struct buf address;
    struct json *value;
};
void suppression_reader_init(struct suppression_reader *r, enum suppression_format format,
                             const struct suppression *defaults);
void suppression_reader_release(struct suppression_reader *r);

enum suppression_said {
    LINE_ENTRY,
    LINE_NOTHING,
    LINE_BAD,
    LINE_UNUSABLE
}; // empty or a header; malformed; so is all that follows
// Texts of *out are good until the next call; the address is in its listed form and all is checked. `line`
// has no line end (a CR is taken off).
enum suppression_said suppression_line_read(struct suppression_reader *r, struct bytes line,
                                            struct suppression *out, struct err *err);

void suppression_line_json(const struct suppression *s, struct buf *out); // one object and LF
void suppression_line_csv(const struct suppression *s, struct buf *out);  // one line and LF
extern const char suppression_csv_head[]; // names the columns of suppression_line_csv; LF
