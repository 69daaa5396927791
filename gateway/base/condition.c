// SPDX-License-Identifier: MIT
#include "base/condition.h"

#include "base/nearest.h"

#include <stdio.h>
#include <stdlib.h>

struct parser {
    struct bytes rest;
    const struct figure *figures;
    double whole;
    struct buf *why;
    struct err *err;
    int depth;
};

static void skip_blanks(struct parser *p) {
    while (p->rest.len && (p->rest.at[0] == ' ' || p->rest.at[0] == '\t')) p->rest = bytes_skip(p->rest, 1);
}

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || c == '_'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Takes `word` off the front, not the beginning of a longer one.
static bool take(struct parser *p, const char *word) {
    size_t len = strlen(word);
    skip_blanks(p);
    if (!bytes_starts(p->rest, bytes_of(word))) return false;
    if (is_letter(*word) && p->rest.len > len && (is_letter(p->rest.at[len]) || is_digit(p->rest.at[len]))) return false;
    p->rest = bytes_skip(p->rest, len);
    return true;
}

static bool expected(struct parser *p, const char *what) {
    return err_set(p->err, "%s is expected at '%.*s'", what, BYTES_FMT(bytes_first(p->rest, 40)));
}

static bool read_figure(struct parser *p, const struct figure **out) {
    struct nearest near;
    size_t len = 0;
    skip_blanks(p);
    while (len < p->rest.len && (is_letter(p->rest.at[len]) || (len && is_digit(p->rest.at[len])))) len++;
    struct bytes name = bytes_first(p->rest, len);
    if (!len) return expected(p, "the name of a figure");
    near = nearest_to(name);
    for (const struct figure *f = p->figures; f->name; f++) {
        nearest_offer(&near, f->name);
        if (!bytes_equal(name, bytes_of(f->name))) continue;
        p->rest = bytes_skip(p->rest, len);
        *out = f;
        return true;
    }
    struct buf hint = {0};
    nearest_hint(&near, &hint);
    err_set(p->err, "there is no figure '%.*s'%s", BYTES_FMT(bytes_first(name, 40)), buf_z(&hint));
    buf_release(&hint);
    return false;
}

static bool read_number(struct parser *p, double *out, bool *percent) {
    char text[32];
    size_t len = 0;
    skip_blanks(p);
    while (len < p->rest.len && len < sizeof text - 1 && (is_digit(p->rest.at[len]) || p->rest.at[len] == '.')) len++;
    snprintf(text, sizeof text, "%.*s", BYTES_FMT(bytes_first(p->rest, len)));
    char *end = text;
    *out = len ? strtod(text, &end) : 0;
    if (!len || *end) return expected(p, "a number");
    p->rest = bytes_skip(p->rest, len);
    *percent = take(p, "%");
    return true;
}

static void explain(struct parser *p, struct bytes words, double value, bool percent) {
    if (!p->why || p->why->len) return;
    if (percent) buf_format(p->why, "%.*s: %.3g%%", BYTES_FMT(bytes_trim(words)), p->whole > 0 ? value / p->whole * 100 : 0);
    else buf_format(p->why, "%.*s: %.6g", BYTES_FMT(bytes_trim(words)), value);
}

static bool compare(struct parser *p, bool *holds) {
    static const char *const ops[] = {">=", "<=", "!=", "==", ">", "<", "=", NULL};
    const struct figure *f = NULL;
    double number = 0;
    bool percent = false;
    skip_blanks(p);
    struct bytes from = p->rest;
    int op = 0;
    if (!read_figure(p, &f)) return false;
    while (ops[op] && !take(p, ops[op])) op++;
    if (!ops[op]) return expected(p, "one of > >= < <= = !=");
    if (!read_number(p, &number, &percent)) return false;
    double bound = percent ? number / 100 * p->whole : number, value = f->value;
    bool results[] = {value >= bound, value <= bound, value != bound, value == bound, value > bound, value < bound, value == bound};
    *holds = results[op];
    if (*holds) explain(p, bytes_first(from, from.len - p->rest.len), value, percent);
    return true;
}

static bool read_any(struct parser *p, bool *holds);

static bool read_factor(struct parser *p, bool *holds) {
    if (!take(p, "(")) return compare(p, holds);
    if (++p->depth > CONDITION_DEPTH) return err_set(p->err, "more than %d brackets within each other", CONDITION_DEPTH);
    if (!read_any(p, holds)) return false;
    p->depth--;
    return take(p, ")") || expected(p, "a closing bracket");
}

static bool read_all(struct parser *p, bool *holds) {
    bool next;
    if (!read_factor(p, holds)) return false;
    while (take(p, "and")) {
        if (!read_factor(p, &next)) return false;
        *holds = *holds && next;
    }
    return true;
}

static bool read_any(struct parser *p, bool *holds) {
    bool next;
    if (!read_all(p, holds)) return false;
    while (take(p, "or")) {
        if (!read_all(p, &next)) return false;
        *holds = *holds || next;
    }
    return true;
}

bool condition_holds(struct bytes text, const struct figure *figures, double whole, bool *holds, struct buf *why, struct err *err) {
    struct parser p = {.rest = text, .figures = figures, .whole = whole, .why = why, .err = err};
    if (text.len > CONDITION_MAX) return err_set(err, "longer than %d bytes", CONDITION_MAX);
    if (!read_any(&p, holds)) return false;
    skip_blanks(&p);
    if (p.rest.len) return expected(&p, "'and', 'or' or the end");
    return true;
}
