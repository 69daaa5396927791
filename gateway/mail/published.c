// SPDX-License-Identifier: MIT
#include "mail/published.h"

#include <ctype.h>

const char *const dmarc_policy_name[] = {"none", "quarantine", "reject"};

// The next "name=value" of a list, both trimmed; false at its end. A part without '=' has name "".
static bool next_tag(struct bytes *rest, struct bytes *name, struct bytes *value) {
    while (rest->len) {
        struct bytes tag = bytes_trim(bytes_cut(rest, ';'));
        if (!tag.len) continue;
        ptrdiff_t at = bytes_find(tag, '=');
        *name = at < 0 ? BYTES("") : bytes_trim(bytes_first(tag, (size_t)at));
        *value = at < 0 ? tag : bytes_trim(bytes_skip(tag, (size_t)at + 1));
        return true;
    }
    return false;
}

static bool is(struct bytes name, const char *want) {
    return bytes_equal(name, bytes_of(want));
}

static bool lists(struct bytes list, const char *want) {
    while (list.len)
        if (bytes_equal_nocase(bytes_trim(bytes_cut(&list, ':')), bytes_of(want))) return true;
    return false;
}

static bool wrong_tag(struct bytes name, struct bytes value, struct err *err) {
    if (name.len)
        return err_set(err, "%.*s= cannot be '%.*s'", BYTES_FMT(bytes_first(name, 40)),
                       BYTES_FMT(bytes_first(value, 80)));
    return err_set(err, "'%.*s' is no tag", BYTES_FMT(bytes_first(value, 80)));
}

static bool is_base64(struct bytes text) {
    for (size_t i = 0; i < text.len; i++)
        if (!isalnum((unsigned char)text.at[i]) && (!text.at[i] || !strchr("+/= \t\r\n", text.at[i])))
            return false;
    return true;
}

bool dkim_published_read(struct bytes record, struct dkim_published *out, struct err *err) {
    struct bytes name, value;
    bool first = true, key = false;
    *out = (struct dkim_published){.kind = BYTES("rsa"), .sha256 = true, .email = true};
    for (; next_tag(&record, &name, &value); first = false) {
        bool good = name.len > 0;
        if (is(name, "v")) good = first && is(value, "DKIM1");
        if (is(name, "k")) out->kind = value;
        if (is(name, "p")) good = is_base64(value), key = true, out->key = value;
        if (is(name, "h")) out->sha256 = lists(value, "sha256");
        if (is(name, "s")) out->email = lists(value, "email") || lists(value, "*");
        if (is(name, "t")) out->testing = lists(value, "y"), out->exact = lists(value, "s");
        if (!good) return wrong_tag(name, value, err);
    }
    return key || err_set(err, "there is no p=, which holds the key");
}

bool dkim_published_same(struct bytes record, struct bytes other) {
    struct dkim_published a, b;
    if (!dkim_published_read(record, &a, NULL) || !dkim_published_read(other, &b, NULL)) return false;
    struct bytes x = a.key, y = b.key;
    for (;;) {
        while (x.len && isspace((unsigned char)x.at[0]))
            x = bytes_skip(x, 1);
        while (y.len && isspace((unsigned char)y.at[0]))
            y = bytes_skip(y, 1);
        if (!x.len || !y.len) return !x.len && !y.len && bytes_equal_nocase(a.kind, b.kind);
        if (x.at[0] != y.at[0]) return false;
        x = bytes_skip(x, 1);
        y = bytes_skip(y, 1);
    }
}

static bool read_policy(struct bytes value, enum dmarc_policy *out) {
    for (int i = DMARC_NONE; i <= DMARC_REJECT; i++)
        if (bytes_equal_nocase(value, bytes_of(dmarc_policy_name[i]))) {
            *out = (enum dmarc_policy)i;
            return true;
        }
    return false;
}

static bool read_strict(struct bytes value, bool *strict) {
    *strict = bytes_equal_nocase(value, BYTES("s"));
    return *strict || bytes_equal_nocase(value, BYTES("r"));
}

static bool read_percent(struct bytes value, int *percent) {
    uint64_t n;
    if (!bytes_to_u64(value, &n) || n > 100) return false;
    *percent = (int)n;
    return true;
}

bool dmarc_published_is(struct bytes record) {
    struct bytes name, value;
    return next_tag(&record, &name, &value) && bytes_equal_nocase(name, BYTES("v")) && is(value, "DMARC1");
}

bool dmarc_published_read(struct bytes record, struct dmarc_published *out, struct err *err) {
    struct bytes name, value;
    bool policy = false, below = false;
    *out = (struct dmarc_published){.percent = 100};
    if (!dmarc_published_is(record)) return err_set(err, "it does not begin with v=DMARC1");
    while (next_tag(&record, &name, &value)) {
        bool good = name.len > 0;
        if (is(name, "p")) good = policy = read_policy(value, &out->policy);
        if (is(name, "sp")) good = below = read_policy(value, &out->below);
        if (is(name, "adkim")) good = read_strict(value, &out->strict_dkim);
        if (is(name, "aspf")) good = read_strict(value, &out->strict_spf);
        if (is(name, "pct")) good = read_percent(value, &out->percent);
        if (is(name, "rua")) out->reports = value;
        if (!good) return wrong_tag(name, value, err);
    }
    if (!policy) return err_set(err, "there is no p=, which says what receivers should do");
    if (!below) out->below = out->policy;
    return true;
}
