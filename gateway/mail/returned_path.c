// SPDX-License-Identifier: MIT
// The recipient as the return path tells him: bounces+ann=example.net@lists.example.org (VERP). Who sends so knows to whom a bounce belongs whatever its
// words say, also behind an alias or a forward that the report alone speaks of.
#include "mail/address.h"
#include "mail/returned_inside.h"

#include <ctype.h>
#include <strings.h>

// Signed and rewritten return paths (BATV, SRS) have the same look, and name a sender.
static bool is_other_code(struct bytes local) {
    static const char *const starts[] = {"srs0", "srs1", "prvs=", "btv1=", "msprvs1="};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        if (bytes_starts_nocase(local, bytes_of(starts[i]))) return true;
    return false;
}

static bool is_public_domain(struct bytes domain) {
    ptrdiff_t dot = bytes_find_last(domain, '.');
    return dot > 0 && (size_t)dot + 2 < domain.len && isalpha((unsigned char)domain.at[dot + 1]) && domain_is_valid(domain);
}

static bool has_mailbox(struct bytes text, struct bytes mailbox) {
    for (struct bytes address; returned_address(&text, &address);)
        if (bytes_equal_nocase(address, mailbox)) return true;
    return false;
}

static bool is_named(struct reading *r, struct bytes mailbox) {
    for (size_t i = 0; i < r->out->count; i++)
        if (bytes_equal_nocase(r->out->recipients[i].address, mailbox)) return true;
    return has_mailbox(r->out->original.to, mailbox);
}

// "list-bounces+mary-ann=example.net": where the name begins is not said. What the report or the returned mail names decides; else the first plus
// sign does, or the last hyphen, and is sure where there is but one.
static struct bytes read_path(struct reading *r, struct bytes path, bool *sure) {
    ptrdiff_t at = bytes_find_last(path, '@');
    struct bytes local = bytes_first(path, at < 0 ? 0 : (size_t)at);
    ptrdiff_t equals = bytes_find_last(local, '='), plus = bytes_find(local, '+');
    if (equals < 3 || local.len > 250 || is_other_code(local)) return BYTES("");
    struct bytes domain = bytes_skip(local, (size_t)equals + 1), head = bytes_first(local, (size_t)equals), best = BYTES("");
    if (!is_public_domain(domain)) return BYTES("");
    size_t choices = 0;
    for (size_t i = 1; i + 1 < head.len; i++) {
        bool first_plus = (ptrdiff_t)i == plus;
        if ((head.at[i] != '+' && head.at[i] != '-') || (ptrdiff_t)i < plus) continue;
        struct bytes user = bytes_skip(head, i + 1), mailbox = arena_format(r->arena, "%.*s@%.*s", BYTES_FMT(user), BYTES_FMT(domain));
        *sure = is_named(r, mailbox);
        if (*sure) return mailbox;
        if (plus < 0 || first_plus) best = mailbox;
        choices++;
    }
    *sure = choices == 1;
    return best;
}

static struct bytes find_path(struct reading *r, bool *sure) {
    static const char *const fields[] = {"To", "Delivered-To", "X-Original-To", "Envelope-To", "X-Envelope-To"};
    static const char *const sent[] = {"Return-Path"};
    bool complaint = strcmp(r->out->form, "feedback") == 0; // comes to another address, and is about mail that shows the path
    const char *const *names = complaint ? sent : fields;
    size_t count = complaint ? 1 : sizeof fields / sizeof *fields;
    struct bytes found = complaint ? read_path(r, r->out->mail_from, sure) : BYTES(""), address;
    for (size_t i = 0; !found.len && i < count; i++) {
        struct bytes value = part_field(complaint ? r->out->original.head : r->parts.head, names[i], r->arena);
        if (returned_address(&value, &address)) found = read_path(r, address, sure);
    }
    return returned_line(r->arena, found);
}

void returned_path(struct reading *r) {
    struct returned *out = r->out;
    bool sure = false;
    struct returned_recipient *to = &out->recipients[0];
    struct bytes found = out->count < 2 ? find_path(r, &sure) : BYTES("");
    bool told = out->count && !to->guessed;
    if (!found.len || (!sure && out->count) || (told && to->original.len)) return;
    if (!out->count) to = returned_add(r);
    else if (told && !to->final.len && !bytes_equal_nocase(to->address, found)) to->final = to->address;
    to->address = found;
    if (sure) to->original = found;
    to->guessed = !sure;
}
