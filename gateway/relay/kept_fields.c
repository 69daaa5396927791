// SPDX-License-Identifier: MIT
#include "relay/kept_fields.h"

#include <strings.h>

static bool is_wsp(char c) { return c == ' ' || c == '\t'; }

// Of the first letter and the third: "Received" and "Reply-To", "Message-ID" and "MIME-Version" differ in one of them.
static uint64_t pair(struct bytes name) {
    unsigned first = (unsigned char)name.at[0] | 32u, third = name.len > 2 ? (unsigned char)name.at[2] | 32u : 0;
    return (uint64_t)1 << ((first * 5 + third) & 63);
}

struct kept_fields kept_fields_of(struct bytes names, struct arena *arena) {
    struct kept_fields kept = {.names = names, .hash = (uint32_t)bytes_hash(names)};
    struct bytes *list = arena_alloc(arena, (names.len / 2 + 1) * sizeof *list);
    while (names.len) {
        struct bytes name = bytes_cut(&names, ' ');
        if (!name.len) continue;
        kept.letters |= pair(name) | (name.len < 3 ? ~(uint64_t)0 : 0);
        list[kept.count++] = name;
    }
    kept.list = list;
    return kept;
}

bool kept_fields_has(const struct kept_fields *kept, struct bytes name) {
    for (size_t i = 0; i < kept->count; i++)
        if (bytes_equal_nocase(kept->list[i], name)) return true;
    return false;
}

static bool begins_with_one(const struct kept_fields *kept, struct bytes field) {
    for (size_t i = 0; i < kept->count; i++) {
        size_t at = kept->list[i].len;
        if (at >= field.len || (field.at[at] != ':' && !is_wsp(field.at[at]))) continue;
        if (strncasecmp(field.at, kept->list[i].at, at) != 0) continue;
        while (at < field.len && is_wsp(field.at[at])) at++; // RFC 5322 4.5: white space before the colon
        return at < field.len && field.at[at] == ':';
    }
    return false;
}

// Where the field ends that begins at `at`: behind the first CRLF that no fold follows.
static const char *field_end(const char *at, const char *end) {
    const char *lf = at;
    while ((lf = memchr(lf, '\n', (size_t)(end - lf)))) {
        bool breaks = lf > at && lf[-1] == '\r';
        lf++;
        if (breaks && (lf == end || !is_wsp(*lf))) return lf;
    }
    return end;
}

void kept_fields_take(struct buf *out, struct bytes head, const struct kept_fields *kept) {
    const char *at = head.at, *end = head.at + head.len;
    while (at < end && kept->count) {
        struct bytes rest = bytes_range(at, (size_t)(end - at));
        if (*at == '\r' && bytes_starts(rest, BYTES("\r\n"))) return;
        at = field_end(at, end);
        if (kept->letters & pair(rest) && begins_with_one(kept, rest)) buf_add(out, bytes_first(rest, (size_t)(at - rest.at)));
    }
}
