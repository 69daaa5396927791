// SPDX-License-Identifier: MIT
#include "policy/facts.h"

#include "mail/address.h"

void facts_split_address(struct bytes address, struct arena *arena, struct bytes *local, struct bytes *domain) {
    struct address parts;
    if (address.len == 0 || !address_parse(address, &parts, NULL)) return;
    struct buf ascii = {0};
    *local = parts.local;
    *domain = address_domain_ascii(parts.domain, &ascii, NULL) ? arena_copy(arena, buf_bytes(&ascii)) : parts.domain;
    buf_release(&ascii);
}

static bool is_one_of(struct bytes stage, const char *const *names) {
    for (; *names; names++)
        if (bytes_equal(stage, bytes_of(*names))) return true;
    return false;
}

bool outcome_is_permanent(const struct outcome_facts *o) {
    static const char *const about_the_mail[] = {"dns", "mail", "rcpt", "data", "content", NULL};
    static const int about_our_login[] = {530, 534, 535, 538}; // RFC 4954 section 6
    if (!reply_is_permanent(&o->reply)) return false;
    if (o->reply.code == 521 && !o->local) return true;
    for (size_t i = 0; i < sizeof about_our_login / sizeof *about_our_login; i++)
        if (o->reply.code == about_our_login[i]) return false;
    return is_one_of(o->stage, about_the_mail);
}
