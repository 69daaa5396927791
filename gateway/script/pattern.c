// SPDX-License-Identifier: MIT
#include "script/pattern.h"

#include <ctype.h>

enum { OPEN = -1 }; // len of a capture whose ")" has not come yet

bool pattern_is_plain(struct bytes text) {
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] && strchr("^$*+?.([%-", text.at[i])) return false;
    return true;
}

static const char *subject_end(const struct pattern *p) {
    return p->subject.at + p->subject.len;
}
static const char *text_end(const struct pattern *p) {
    return p->text.at + p->text.len;
}

static const char *refuse(struct pattern *p, const char *why) {
    if (!p->fault) p->fault = why;
    return NULL;
}

static const char dear[] = "takes too many steps";

static bool spend(struct pattern *p, int64_t steps) {
    p->steps -= steps;
    if (p->steps >= 0) return true;
    refuse(p, dear);
    return false;
}

// ---- one character

static bool class_has(char letter, unsigned char c) {
    bool in;
    switch (tolower((unsigned char)letter)) {
    case 'a':
        in = isalpha(c);
        break;
    case 'c':
        in = iscntrl(c);
        break;
    case 'd':
        in = isdigit(c);
        break;
    case 'g':
        in = isgraph(c);
        break;
    case 'l':
        in = islower(c);
        break;
    case 'p':
        in = ispunct(c);
        break;
    case 's':
        in = isspace(c);
        break;
    case 'u':
        in = isupper(c);
        break;
    case 'w':
        in = isalnum(c);
        break;
    case 'x':
        in = isxdigit(c);
        break;
    case 'z': // of older Lua, and still understood
        in = c == 0;
        break;
    default:
        return (unsigned char)letter == c; // an escaped character
    }
    return isupper((unsigned char)letter) ? !in : in;
}

// Behind the item (a character, a class or a set) that starts at `t`; NULL where it is malformed.
static const char *item_end(struct pattern *p, const char *t) {
    const char *end = text_end(p);
    if (*t == '%') return t + 1 < end ? t + 2 : refuse(p, "ends with '%'");
    if (*t++ != '[') return t;
    if (t < end && *t == '^') t++;
    for (bool first = true; t < end && (first || *t != ']'); first = false)
        t += *t == '%' && t + 1 < end ? 2 : 1;
    return t < end ? t + 1 : refuse(p, "has a '[' without its ']'");
}

// Is c in the set from `t` ('[') to `end` (behind its ']')?
static bool set_has(const char *t, const char *end, unsigned char c) {
    bool wanted = true;
    end--;
    if (*++t == '^') {
        wanted = false;
        t++;
    }
    while (t < end) {
        if (*t == '%') { // behind a range it may stand before the ']' itself
            if (class_has(t[1], c)) return wanted;
            t += 2;
        } else if (t + 2 < end && t[1] == '-') {
            if ((unsigned char)t[0] <= c && c <= (unsigned char)t[2]) return wanted;
            t += 3;
        } else if ((unsigned char)*t++ == c) {
            return wanted;
        }
    }
    return !wanted;
}

static bool item_has(const char *t, const char *end, unsigned char c) {
    switch (*t) {
    case '.':
        return true;
    case '%':
        return class_has(t[1], c);
    case '[':
        return set_has(t, end, c);
    default:
        return (unsigned char)*t == c;
    }
}

static bool one(struct pattern *p, const char *s, const char *t, const char *end) {
    return s < subject_end(p) && spend(p, 1 + (end - t) / 8) && item_has(t, end, (unsigned char)*s);
}

// ---- the rest of the pattern, from `t`, at `s`: the end of the match, or NULL

static const char *rest(struct pattern *p, const char *s, const char *t, int depth);

static const char *most(struct pattern *p, const char *s, const char *t, const char *end, int depth) {
    ptrdiff_t n = 0;
    while (one(p, s + n, t, end))
        n++;
    for (; n >= 0 && !p->fault; n--) {
        const char *found = rest(p, s + n, end + 1, depth);
        if (found) return found;
    }
    return NULL;
}

static const char *least(struct pattern *p, const char *s, const char *t, const char *end, int depth) {
    while (!p->fault) {
        const char *found = rest(p, s, end + 1, depth);
        if (found) return found;
        if (p->fault || !one(p, s, t, end)) return NULL;
        s++;
    }
    return NULL;
}

static const char *open_capture(struct pattern *p, const char *s, const char *t, ptrdiff_t len, int depth) {
    if (p->count >= PATTERN_CAPTURES) return refuse(p, "has too many captures");
    p->captures[p->count++] = (struct pattern_capture){s, len};
    const char *found = rest(p, s, t, depth);
    if (!found) p->count--;
    return found;
}

static const char *close_capture(struct pattern *p, const char *s, const char *t, int depth) {
    int i = p->count - 1;
    while (i >= 0 && p->captures[i].len != OPEN)
        i--;
    if (i < 0) return refuse(p, "has a ')' without its '('");
    p->captures[i].len = s - p->captures[i].at;
    const char *found = rest(p, s, t, depth);
    if (!found) p->captures[i].len = OPEN;
    return found;
}

// %bxy: from x to the y that balances it.
static const char *balance(struct pattern *p, const char *s, const char *t) {
    if (text_end(p) - t < 4) return refuse(p, "needs two characters behind '%b'");
    if (s >= subject_end(p) || *s != t[2]) return NULL;
    int64_t open = 1;
    for (s++; s < subject_end(p); s++) {
        if (!spend(p, 1)) return NULL;
        if (*s == t[3]) {
            if (--open == 0) return s + 1;
        } else if (*s == t[2]) {
            open++;
        }
    }
    return NULL;
}

// %f[set]: where the character before is not in the set and the one here is; the ends count as '\0'.
static bool frontier(struct pattern *p, const char *s, const char *set, const char *end) {
    unsigned char before = s > p->subject.at ? (unsigned char)s[-1] : 0;
    unsigned char here = s < subject_end(p) ? (unsigned char)*s : 0;
    return spend(p, 1 + (end - set) / 4) && !set_has(set, end, before) && set_has(set, end, here);
}

// %1: what a capture before has taken, once more.
static const char *again(struct pattern *p, const char *s, char digit) {
    int i = digit - '1';
    if (i < 0 || i >= p->count || p->captures[i].len < 0)
        return refuse(p, "refers to a capture that is not there");
    struct pattern_capture c = p->captures[i];
    if (subject_end(p) - s < c.len || !spend(p, 1 + c.len / 16)) return NULL;
    return memcmp(c.at, s, (size_t)c.len) == 0 ? s + c.len : NULL;
}

// Items that are neither a single character nor a capture. True: it was one, and *s (NULL: no match) and *t have moved.
static bool special(struct pattern *p, const char **s, const char **t) {
    if (**t != '%' || *t + 1 >= text_end(p)) return false;
    char c = (*t)[1];
    if (c == 'b') {
        *s = balance(p, *s, *t);
        *t += 4;
    } else if (c == 'f') {
        const char *set = *t + 2;
        if (set >= text_end(p) || *set != '[') {
            *s = refuse(p, "needs a '[' behind '%f'");
            return true;
        }
        const char *end = item_end(p, set);
        *s = end && frontier(p, *s, set, end) ? *s : NULL;
        *t = end;
    } else if (isdigit((unsigned char)c)) {
        *s = again(p, *s, c);
        *t += 2;
    } else {
        return false;
    }
    return true;
}

static const char *rest(struct pattern *p, const char *s, const char *t, int depth) {
    if (depth > PATTERN_DEPTH) return refuse(p, "is too complex");
    while (!p->fault && spend(p, 1)) {
        if (t == text_end(p)) return s;
        if (*t == '(') {
            bool position = t + 1 < text_end(p) && t[1] == ')';
            return open_capture(p, s, t + 1 + position, position ? PATTERN_POSITION : OPEN, depth + 1);
        }
        if (*t == ')') return close_capture(p, s, t + 1, depth + 1);
        if (*t == '$' && t + 1 == text_end(p)) return s == subject_end(p) ? s : NULL;
        if (special(p, &s, &t)) {
            if (!s) return NULL;
            continue;
        }
        const char *end = item_end(p, t);
        if (!end) return NULL;
        char how = end < text_end(p) ? *end : 0;
        if (how == '*') return most(p, s, t, end, depth + 1);
        if (how == '-') return least(p, s, t, end, depth + 1);
        if (how == '+') return one(p, s, t, end) ? most(p, s + 1, t, end, depth + 1) : NULL;
        bool fits = one(p, s, t, end);
        if (how == '?') {
            const char *found = fits ? rest(p, s + 1, end + 1, depth + 1) : NULL;
            if (found) return found;
            t = end + 1;
        } else if (fits) {
            s++;
            t = end;
        } else {
            return NULL;
        }
    }
    return NULL;
}

enum pattern_result pattern_at(struct pattern *p, size_t at, size_t *end) {
    p->count = 0;
    p->fault = NULL;
    const char *found = rest(p, p->subject.at + at, p->text.at, 0);
    if (p->fault) return p->fault == dear ? PATTERN_DEAR : PATTERN_BAD;
    if (!found) return PATTERN_NO;
    for (int i = 0; i < p->count; i++)
        if (p->captures[i].len == OPEN) {
            p->fault = "has a '(' without its ')'";
            return PATTERN_BAD;
        }
    *end = (size_t)(found - p->subject.at);
    return PATTERN_YES;
}

enum pattern_result pattern_search(struct pattern *p, size_t from, size_t *start, size_t *end) {
    for (size_t at = from; at <= p->subject.len; at++) {
        enum pattern_result result = pattern_at(p, at, end);
        *start = at;
        if (result != PATTERN_NO) return result;
    }
    return PATTERN_NO;
}
