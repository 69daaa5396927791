// SPDX-License-Identifier: MIT
// address: a mailbox of the envelope and the domain in it. [libidn2]
//
// An `address` points into the text it was parsed from and is good as long as that text. Pure functions, any thread.
// Limits are those of RFC 5321 4.5.3.1: domain 255 octets, the whole 254 (a path of 256 with its <>). A local part may be longer than the
// 64 octets there, as that section asks of who can: return paths that carry a recipient are.
//
// Domains are LDH labels, and underscores are tolerated everywhere: hosts named by Windows and by DNS itself carry
// them, and whether such a name leads anywhere is for DNS to say. A domain in UTF-8 is only checked for its shape
// here; address_domain_ascii, which anything that goes to DNS or to a peer needs, decides whether it is a name. What
// is ASCII already is not put to libidn2: an A-label that IDNA 2008 dislikes (an emoji) still is a name in DNS.
#pragma once

#include "base/bytes.h"
#include "base/err.h"

struct address {
    struct bytes local;  // as written; a quoted string keeps its quotes
    struct bytes domain; // as written; an address literal keeps its brackets
    bool literal;        // domain is [192.0.2.1] or [IPv6:2001:db8::1]
    bool utf8;           // a byte above 127 somewhere: only for peers with SMTPUTF8
};

// RFC 5321 Mailbox (RFC 6531 for UTF-8), without angle brackets and without source route. Neither "" (the null
// sender) nor "postmaster" without a domain is a mailbox: the command's parser knows where those may stand.
must_use bool address_parse(struct bytes mailbox, struct address *out, struct err *err);

// Appends the domain as DNS and peers want it: A-labels, lower case. A literal is not a domain and fails.
// Nothing is appended on failure.
must_use bool address_domain_ascii(struct bytes domain, struct buf *out, struct err *err);

// ASCII letters, digits, inner hyphens, underscores; no empty label, no final dot; 63 a label, 253 in all.
bool domain_is_valid(struct bytes domain);

// The address inside [..] or [IPv6:..], brackets included: AF_INET or AF_INET6 in *family, 4 or 16 bytes of ip.
bool domain_literal_ip(struct bytes domain, int *family, uint8_t ip[16]);

// Appends the form by which lists of addresses know a mailbox, so that one and the same has one text: all in lower case, the domain in
// A-labels, quotes left out where none are needed. "@example.net" is taken too, for a whole domain. Nothing is appended on failure.
must_use bool address_listed(struct bytes text, struct buf *out, struct err *err);
