// SPDX-License-Identifier: MIT
// dane: what a domain has published of its mail hosts' certificates, and what that demands of a session (RFC 7672).
//
// Asked for one host whose own records came signed (exchange_host.authentic); whose did not has nothing to say here. Then:
//
//     no TLSA records, or not signed             DANE_NOTHING   any TLS the host offers, or none
//     some that can be used                      DANE_MATCH     STARTTLS, and a certificate that matches one
//     only such as mail does not go by           DANE_TLS       STARTTLS, whatever the certificate (section 2.2)
//     the question failed                        DANE_UNKNOWN   this host must not be used now (section 2.1.1)
//
// A host that is an alias is asked for under the name it leads to, then under its own (section 2.2.2): the certificate is that one's.
//
// One per question, on the loop of its resolver; the answer comes at most once and never before dane_ask has returned.
#pragma once

#include "net/dns.h"
#include "net/tls.h"

enum dane_demand { DANE_NOTHING, DANE_TLS, DANE_MATCH, DANE_UNKNOWN };

struct dane_answer { // lent for the duration of the callback
    enum dane_demand demand;
    const struct tls_pin *pins; // DANE_MATCH: the usable ones
    size_t count;
    const char *base; // MATCH, TLS: under which of the two names they stand, as it was given to dane_ask
    const char *why;  // DANE_UNKNOWN: a person's words; ""
};

enum { DANE_PINS_MAX = 32 }; // of more only the first are looked at

struct dane_ticket; // owned by who asked; dead when the answer comes
// Both names are lent until the answer. canonical: what the host is an alias of; NULL: it is none.
struct dane_ticket *dane_ask(struct dns *dns, const char *host, const char *canonical, uint16_t port,
                             void (*answer)(void *arg, const struct dane_answer *answer), void *arg);
void dane_cancel(struct dane_ticket **ticket); // no answer will come; NULL inside is fine
