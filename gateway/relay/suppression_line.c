// SPDX-License-Identifier: MIT
#include "relay/suppression_line.h"

#include "base/clock.h"
#include "base/jsonl.h"
#include "base/nearest.h"
#include "base/utf8.h"
#include "mail/address.h"
#include "script/json.h"

static const char *const column_name[COLUMNS] = {"address", "scope", "reason", "until", "source", "added"};
const char suppression_csv_head[] = "address,scope,reason,until,source,added\n";

void suppression_reader_init(struct suppression_reader *r, enum suppression_format format,
                             const struct suppression *defaults) {
    *r = (struct suppression_reader){.format = format, .defaults = *defaults, .column_count = COLUMNS};
    for (int i = 0; i < COLUMNS; i++)
        r->columns[i] = i;
}

void suppression_reader_release(struct suppression_reader *r) {
    buf_release(&r->text);
    buf_release(&r->address);
    json_free(&r->value);
}

static bool known_column(struct bytes name, int *column, struct err *err) {
    for (*column = 0; *column < COLUMNS; ++*column)
        if (bytes_equal_nocase(name, bytes_of(column_name[*column]))) return true;
    if (!err) return false;
    struct nearest near = nearest_to(name);
    for (int i = 0; i < COLUMNS; i++)
        nearest_offer(&near, column_name[i]);
    struct buf hint = {0};
    nearest_hint(&near, &hint);
    err_set(err, "unknown field '%.*s'%s (known: address, scope, reason, until, source, added)",
            BYTES_FMT(bytes_first(name, 40)), buf_z(&hint));
    buf_release(&hint);
    return false;
}

// ---- fields to an entry -------------------------------------------------------------------------

static bool read_time(struct bytes text, const char *name, int64_t *ms, struct err *err) {
    return clock_from_iso(text, ms) ||
           err_set(err, "%s: '%.*s' is no time (as 2026-12-31 or 2026-12-31T15:04:05Z)", name,
                   BYTES_FMT(bytes_first(text, 40)));
}

static bool set(struct suppression_reader *r, struct suppression *out, int column, struct bytes text,
                struct err *err) {
    if (!text.len) return true;
    switch ((enum suppression_column)column) {
    case COLUMN_ADDRESS:
        buf_reset(&r->address);
        if (!address_listed(text, &r->address, err)) return false;
        out->address = buf_bytes(&r->address);
        return true;
    case COLUMN_SCOPE:
        out->scope = text;
        return true;
    case COLUMN_REASON:
        out->reason = utf8_first(text, SUPPRESSION_WORDS);
        return true;
    case COLUMN_SOURCE:
        out->source = utf8_first(text, SUPPRESSION_WORDS);
        return true;
    case COLUMN_UNTIL:
        return read_time(text, "until", &out->until_ms, err);
    case COLUMN_ADDED:
        return read_time(text, "added", &out->added_ms, err);
    case COLUMNS:
        break;
    }
    return true;
}

// ---- CSV ----------------------------------------------------------------------------------------

// Cuts a field off the front of *rest and gives its text, unquoted in place.
static bool cut_field(char **rest, size_t *left, struct bytes *field, bool *last, struct err *err) {
    char *at = *rest, *end = at + *left;
    while (at < end && *at == ' ')
        at++;
    bool quoted = at < end && *at == '"';
    char *to = at, *from = at + quoted;
    if (quoted) {
        for (;; *to++ = *from++) {
            if (from == end) return err_set(err, "a quoted field has no closing quote");
            if (*from != '"') continue;
            if (from + 1 == end || from[1] != '"') break;
            from++;
        }
        from++;
        while (from < end && *from == ' ')
            from++;
        if (from < end && *from != ',')
            return err_set(err, "behind a closing quote comes a comma or the end");
    } else {
        while (from < end && *from != ',')
            from++;
        to = from;
    }
    *field = bytes_range(at, (size_t)(to - at));
    if (!quoted) *field = bytes_trim(*field);
    *last = from == end;
    *rest = *last ? from : from + 1;
    *left = (size_t)(end - *rest);
    return true;
}

// Other services' names of the column that matters.
static bool is_address_column(struct bytes name) {
    static const char *const names[] = {"address", "email", "e-mail", "emailaddress", "email address", "email_address", "recipient"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (bytes_equal_nocase(name, bytes_of(names[i]))) return true;
    return false;
}

// A first line names the columns if one of its fields is such a name, and none an address.
static bool is_head(struct bytes line) {
    if (bytes_find(line, '@') >= 0) return false;
    while (line.len) {
        struct bytes name = bytes_trim(bytes_cut(&line, ','));
        if (name.len > 1 && name.at[0] == '"') name = bytes_range(name.at + 1, name.len - 2);
        int column;
        if (is_address_column(name) || known_column(name, &column, NULL)) return true;
    }
    return false;
}

static bool read_column(struct bytes name, int *column, struct err *err) {
    *column = bytes_equal(name, BYTES("-")) ? COLUMNS : COLUMN_ADDRESS;
    if (*column == COLUMNS || is_address_column(name) || known_column(name, column, err)) return true;
    if (!err) return false;
    struct err said = *err;
    return err_set(err, "%s; call a column that is to be left out \"-\"", said.text);
}

static enum suppression_said read_head(struct suppression_reader *r, struct err *err) {
    char *rest = r->text.at;
    size_t left = r->text.len;
    bool last = false, seen[COLUMNS + 1] = {false};
    for (r->column_count = 0; !last;) {
        struct bytes name;
        int column;
        if (!cut_field(&rest, &left, &name, &last, err) || !read_column(name, &column, err))
            return LINE_UNUSABLE;
        if (r->column_count == SUPPRESSION_FIELDS) return err_set(err, "more than %d columns", SUPPRESSION_FIELDS), LINE_UNUSABLE;
        if (column != COLUMNS && seen[column]) return err_set(err, "two columns '%s'", column_name[column]), LINE_UNUSABLE;
        seen[column] = true;
        r->columns[r->column_count++] = column;
    }
    if (!seen[COLUMN_ADDRESS]) return err_set(err, "no column is named 'address'"), LINE_UNUSABLE;
    return LINE_NOTHING;
}

static bool read_csv(struct suppression_reader *r, struct suppression *out, struct err *err) {
    char *rest = r->text.at;
    size_t left = r->text.len, count = 0;
    for (bool last = false; !last; count++) {
        struct bytes field;
        if (!cut_field(&rest, &left, &field, &last, err)) return false;
        if (count == r->column_count)
            return err_set(err, "more than %zu fields (a reason with a comma needs quotes)", r->column_count);
        if (!set(r, out, r->columns[count], field, err)) return false;
    }
    return true;
}

// ---- JSON ---------------------------------------------------------------------------------------

static bool read_json(struct suppression_reader *r, struct suppression *out, struct err *err) {
    void *at = NULL;
    struct bytes name, text;
    const struct json *value;
    json_free(&r->value);
    r->value = json_parse(buf_bytes(&r->text), err);
    if (!r->value) return false;
    if (json_kind(r->value) != JSON_MAP) return err_set(err, "a JSON object is expected");
    while (json_next(r->value, &at, &name, &value)) {
        int column;
        if (!known_column(name, &column, err)) return false;
        if (json_kind(value) == JSON_NOTHING) continue;
        if (!json_text(value, &text)) return err_set(err, "%s: a text is expected", column_name[column]);
        if (!set(r, out, column, text, err)) return false;
    }
    return true;
}

// ---- reading ------------------------------------------------------------------------------------

enum suppression_said suppression_line_read(struct suppression_reader *r, struct bytes line,
                                            struct suppression *out, struct err *err) {
    bool first = !r->begun;
    r->begun = true;
    if (first && bytes_starts(line, BYTES("\xef\xbb\xbf")))
        line = bytes_skip(line, 3); // as spreadsheets begin a file
    line = bytes_trim(line);
    if (!line.len) return LINE_NOTHING;
    if (line.len > SUPPRESSION_LINE) return err_set(err, "longer than %d bytes", SUPPRESSION_LINE), LINE_BAD;
    if (!utf8_is_valid(line)) return err_set(err, "not valid UTF-8"), LINE_BAD;
    buf_reset(&r->text);
    buf_add(&r->text, line);
    *out = r->defaults;
    out->address = BYTES("");
    if (r->format == SUPPRESSION_CSV && first && is_head(line)) return read_head(r, err);
    if (!(r->format == SUPPRESSION_CSV ? read_csv : read_json)(r, out, err)) return LINE_BAD;
    if (!out->address.len) return err_set(err, "there is no address"), LINE_BAD;
    return suppression_check(out, err) ? LINE_ENTRY : LINE_BAD;
}

// ---- writing ------------------------------------------------------------------------------------

void suppression_line_json(const struct suppression *s, struct buf *out) {
    struct jsonl j = jsonl_begin(out);
    jsonl_text(&j, "address", s->address);
    jsonl_text(&j, "scope", s->scope);
    jsonl_text(&j, "reason", s->reason);
    if (s->until_ms) jsonl_time(&j, "until", s->until_ms);
    jsonl_text(&j, "source", s->source);
    jsonl_time(&j, "added", s->added_ms);
    jsonl_end(&j);
}

static void put_field(struct buf *out, struct bytes text) {
    bool plain =
        bytes_find(text, ',') < 0 && bytes_find(text, '"') < 0 && bytes_equal(bytes_trim(text), text);
    if (plain) {
        buf_add(out, text);
        return;
    }
    buf_byte(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] == '"') buf_byte(out, '"');
        buf_byte(out, text.at[i]);
    }
    buf_byte(out, '"');
}

static void put_time(struct buf *out, int64_t ms) {
    char iso[25];
    clock_iso(ms, iso);
    buf_addz(out, iso);
}

void suppression_line_csv(const struct suppression *s, struct buf *out) {
    put_field(out, s->address);
    buf_byte(out, ',');
    put_field(out, s->scope);
    buf_byte(out, ',');
    put_field(out, s->reason);
    buf_byte(out, ',');
    if (s->until_ms) put_time(out, s->until_ms);
    buf_byte(out, ',');
    put_field(out, s->source);
    buf_byte(out, ',');
    put_time(out, s->added_ms);
    buf_byte(out, '\n');
}
