// SPDX-License-Identifier: MIT
// exchange: where mail for a domain goes: its MX hosts, or one host by name, down to addresses in the order
// to try.
//
// RFC 5321 section 5.1: lowest preference first, equals shuffled, a domain without MX is its own, whoever is
// not nearer than we are ourselves is left out (loops). RFC 7505: null MX. IPv6 and IPv4 of a host take
// turns. Bounded in hosts and addresses, whatever a zone lists. One per question, on the loop of its
// resolver; the answer comes at most once and never before exchange_find has returned.
#pragma once

#include "net/dns.h"
#include "smtp/reply.h"

enum exchange_how {
    EXCHANGE_MX,   // a domain, in ASCII
    EXCHANGE_HOST, // a host name, an IP address (with or without port), "[192.0.2.1]", "[IPv6:2001:db8::1]",
                   // "unix:/path"
};

struct exchange_options {
    uint16_t port;        // 0: 25
    int family;           // AF_INET or AF_INET6: no other; 0: both, IPv6 first
    size_t hosts_max;     // whose addresses are asked for at a time (four times, as long as none has one); 0: 5
    size_t addresses_max; // of all hosts together; 0: 10
    // EXCHANGE_MX: the hosts that it may be, as via.mx of a plan has them, lent until the answer; "" or NULL: any. A domain with none of them
    // gets a temporary failure (4.7.5): its owner or a thief of its MX records is at work, and time will tell which.
    struct bytes allowed;
    bool public_only;     // loopback, private, link-local, multicast and unspecified addresses are left out
    // Who we are, lent until the answer: an MX that is us ends the list. Port 0 is any port.
    const struct addr *own_addresses;
    size_t own_address_count;
    const char *const *own_names;
    size_t own_name_count;
};

struct exchange_host {
    const char *name; // for SNI and certificate: lower case, no final dot; an address or path as text
    int preference;
    const char *canonical;        // where the name is an alias: the name its addresses came under; else NULL
    bool authentic;               // its MX record and all its addresses came signed (dns_options.trust_ad)
    const struct addr *addresses; // in the order to try, with the port
    size_t count;                 // at least 1
};

struct exchange_answer { // lent for the duration of the callback
    const struct exchange_host *hosts;
    size_t count;
    bool implicit;  // EXCHANGE_MX: there was no MX record
    bool authentic; // the MX answer itself came signed
    uint32_t ttl_s; // how long this stays true
    // Why there is none; code 0 where there are hosts. A domain's own fault is permanent (5.1.2 no such
    // domain, 5.1.10 null MX, 5.4.4 no usable host, 5.4.6 loops back to us), trouble with DNS temporary
    // (4.4.3). A host by name is the operator's choice, not the recipient's: temporary (4.4.4) whatever is
    // wrong with it, unless in brackets.
    struct reply failure;
};

struct exchange_ticket; // owned by who asked; dead when the answer comes

struct exchange_ticket *exchange_find(struct dns *dns, const char *domain_or_host, enum exchange_how how,
                                      const struct exchange_options *options,
                                      void (*answer)(void *arg, const struct exchange_answer *answer),
                                      void *arg);
// Is the host one of these, as via.mx of a plan has them? "*." stands for one label, no more and no less (RFC 8461 4.1).
bool exchange_allows(struct bytes allowed, const char *host);
void exchange_cancel(struct exchange_ticket **ticket); // no answer will come; NULL inside is fine
