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
// One per question, on the loop of its resolver; the answer comes at most once and never before dane_ask has returned.
#pragma once

#include "net/dns.h"
#include "net/tls.h"

enum dane_demand { DANE_NOTHING, DANE_TLS, DANE_MATCH, DANE_UNKNOWN };

struct dane_answer { // lent for the duration of the callback
    enum dane_demand demand;
    const struct tls_pin *pins; // DANE_MATCH: the usable ones
    size_t count;
    const char *why; // DANE_UNKNOWN: a person's words; ""
};

enum { DANE_PINS_MAX = 32 }; // of more only the first are looked at

struct dane_ticket; // owned by who asked; dead when the answer comes
struct dane_ticket *dane_ask(struct dns *dns, const char *host, uint16_t port, void (*answer)(void *arg, const struct dane_answer *answer), void *arg);
void dane_cancel(struct dane_ticket **ticket); // no answer will come; NULL inside is fine
