// SPDX-License-Identifier: MIT
#include "relay/contrast.h"

#include "base/utf8.h"

#include <stdio.h>

enum { VALUE_SHOWN = 60, DEPTH = 6 };

const char *const contrast_name[CONTRASTS] = {"same", "route", "identity", "limit", "refusal", "fault", "other", "unknown"};

static bool is_about_itself(struct bytes name) {
    static const char *const passed_over[] = {"hook", "where", "because", "version", "looked", "requests", "log", "head", "head_failed",
                                              "lane", "fault", "limits", "room", "until", "waits_for", NULL}; // the last four: how full limits are, told by a lab alone
    for (int i = 0; passed_over[i]; i++)
        if (bytes_equal(name, bytes_of(passed_over[i]))) return true;
    return false;
}

static bool same_value(const struct json *a, const struct json *b) {
    struct buf x = {0}, y = {0};
    if (a) json_write(a, &x);
    if (b) json_write(b, &y);
    bool same = bytes_equal(buf_bytes(&x), buf_bytes(&y));
    buf_release(&x);
    buf_release(&y);
    return same;
}

static bool differ(const struct json *a, const struct json *b, const char *name) {
    return !same_value(json_get(a, name), json_get(b, name));
}

static bool has_all_of(const struct json *a, const struct json *b) {
    void *at = NULL;
    struct bytes name;
    const struct json *value;
    char z[100];
    while (json_next(a, &at, &name, &value)) {
        snprintf(z, sizeof z, "%.*s", BYTES_FMT(bytes_first(name, sizeof z - 1)));
        if (!is_about_itself(name) && !same_value(value, json_get(b, z))) return false;
    }
    return true;
}

static bool is_any(const struct json *j, const char *name, const char *const *values) {
    struct bytes text;
    if (!json_text(json_get(j, name), &text)) return false;
    for (; *values; values++)
        if (bytes_equal(text, bytes_of(*values))) return true;
    return false;
}

static enum contrast of_plans(const struct json *a, const struct json *b) {
    static const char *const not_sent[] = {"fail", "suppress", "discard", "hold", NULL};
    if (differ(a, b, "do")) return is_any(a, "do", not_sent) || is_any(b, "do", not_sent) ? CONTRAST_REFUSAL : CONTRAST_ROUTE;
    if (differ(a, b, "identity")) return CONTRAST_IDENTITY;
    if (differ(a, b, "via") || differ(a, b, "tls") || differ(a, b, "otherwise")) return CONTRAST_ROUTE;
    if (differ(a, b, "spend")) return CONTRAST_LIMIT;
    if (differ(a, b, "reply")) return CONTRAST_REFUSAL;
    return CONTRAST_OTHER;
}

static enum contrast of_verdicts(const struct json *a, const struct json *b) {
    static const char *const over[] = {"give_up", NULL};
    if (differ(a, b, "kind") && (is_any(a, "kind", over) || is_any(b, "kind", over))) return CONTRAST_REFUSAL;
    if (differ(a, b, "kind")) return CONTRAST_ROUTE;
    return differ(a, b, "exhaust") ? CONTRAST_LIMIT : CONTRAST_OTHER;
}

static enum contrast of_answers(const struct json *a, const struct json *b) {
    if (differ(a, b, "kind") || differ(a, b, "code") || differ(a, b, "reply")) return CONTRAST_REFUSAL;
    return differ(a, b, "spend") ? CONTRAST_LIMIT : CONTRAST_OTHER;
}

enum contrast contrast_of(enum journal_hook hook, const struct json *before, const struct json *after) {
    if (has_all_of(before, after) && has_all_of(after, before)) return CONTRAST_NONE;
    if (hook == JOURNAL_ROUTE) return of_plans(before, after);
    return hook == JOURNAL_RETRY ? of_verdicts(before, after) : of_answers(before, after);
}

// ---- in words

struct words {
    struct buf *out;
    int left;
    size_t began;
};

static void put_value(struct buf *out, const struct json *j) {
    struct bytes text;
    struct buf whole = {0};
    if (!j) return buf_addz(out, "nothing");
    if (json_text(j, &text)) buf_add(&whole, text);
    else json_write(j, &whole);
    buf_add(out, utf8_first(buf_bytes(&whole), VALUE_SHOWN));
    if (whole.len > VALUE_SHOWN) buf_addz(out, "...");
    buf_release(&whole);
}

static void put_difference(struct words *w, const char *path, const struct json *a, const struct json *b, int depth);

static void put_members(struct words *w, const char *path, const struct json *of, const struct json *a, const struct json *b, bool new_only,
                        int depth) {
    void *at = NULL;
    struct bytes name;
    const struct json *value;
    while (json_next(of, &at, &name, &value)) {
        char inner[200], z[100];
        snprintf(z, sizeof z, "%.*s", BYTES_FMT(bytes_first(name, sizeof z - 1)));
        if (is_about_itself(name) || (new_only && json_get(a, z))) continue;
        snprintf(inner, sizeof inner, "%s%s%s", path, *path ? "." : "", z);
        put_difference(w, inner, json_get(a, z), json_get(b, z), depth + 1);
    }
}

static void put_difference(struct words *w, const char *path, const struct json *a, const struct json *b, int depth) {
    if (!w->left || same_value(a, b)) return;
    if (json_kind(a) == JSON_MAP && json_kind(b) == JSON_MAP && depth < DEPTH) {
        put_members(w, path, a, a, b, false, depth);
        put_members(w, path, b, a, b, true, depth);
        return;
    }
    w->left--;
    buf_format(w->out, "%s%s: ", w->out->len > w->began ? ", " : "", path);
    put_value(w->out, a);
    buf_addz(w->out, " -> ");
    put_value(w->out, b);
}

void contrast_words(const struct json *before, const struct json *after, int most, struct buf *out) {
    struct words w = {out, most, out->len};
    put_members(&w, "", before, before, after, false, 0);
    put_members(&w, "", after, before, after, true, 0);
}
