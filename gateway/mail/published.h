// SPDX-License-Identifier: MIT
// published: what a domain says in DNS of its own mail: DKIM keys (RFC 6376 3.6.1) and its DMARC policy (RFC
// 7489 6.3), read
//
// Both are lists of tags. What is read lends from the record.
#pragma once

#include "base/bytes.h"
#include "base/err.h"

struct dkim_published {
    struct bytes kind; // "rsa" where k= is missing
    struct bytes key;  // p=, with any white space; "" is a key that was revoked
    bool testing;      // t=y: receivers treat failures as if there were no signature
    bool exact;        // t=s: i= must be the very domain
    bool sha256;       // h= leaves sha256 in
    bool email;        // s= leaves email in
};
must_use bool dkim_published_read(struct bytes record, struct dkim_published *out, struct err *err);
// Do both records hold the same key? White space does not count.
bool dkim_published_same(struct bytes record, struct bytes other);

enum dmarc_policy { DMARC_NONE, DMARC_QUARANTINE, DMARC_REJECT };
extern const char *const dmarc_policy_name[];

struct dmarc_published {
    enum dmarc_policy policy, below; // below: of subdomains
    bool strict_dkim, strict_spf;    // the very domain, not one of the same organisation
    int percent;
    struct bytes reports; // rua=, "" where there is none
};
bool dmarc_published_is(struct bytes record); // of all TXT records of _dmarc.DOMAIN, this is the one
must_use bool dmarc_published_read(struct bytes record, struct dmarc_published *out, struct err *err);
