// SPDX-License-Identifier: MIT
// dns_server: one resolver: the channel to it, what is on the wire, and whether it is alive. [c-ares]
//
// c-ares has no memory of dead servers and no say in the order of tries, so each server has a channel of its
// own that tries once; whom to ask, when and how often is decided in dns.c. What is peculiar to a server
// stays here: its sockets, its silence, its lack of EDNS.
#pragma once

#include "net/dns.h"

#include <sys/queue.h>

struct dns_server;
struct dns_flight; // one packet to one server

enum dns_landing {
    DNS_LANDED,      // an answer, good or bad
    DNS_LOST,        // ours to send again: its channel was replaced
    DNS_UNREACHABLE, // nobody listens there, no route
    DNS_UNSENDABLE,  // not a question to ask
};

// Who wants an answer; lives inside the question. `landed` may be called before dns_server_send has returned,
// and is not called any more after dns_asker_forget; a packet that stays without an answer is not reported.
struct dns_asker {
    const char *name; // lent until forgotten
    enum dns_type type;
    void (*landed)(struct dns_asker *asker, struct dns_server *server, enum dns_landing how,
                   struct bytes message, const char *why);
    LIST_HEAD(, dns_flight) flights;
};

struct dns_server_options {
    struct loop *loop;
    const struct log *log;
    const struct clock *clock;
    int timeout_ms; // silence shorter than this means nothing
    int life_ms;    // of a packet: answers count for so long
    bool ask_ad;
};

struct dns_server *dns_server_new(const struct addr *address, const struct dns_server_options *options,
                                  struct err *err);
void dns_server_free(struct dns_server **server); // every asker has forgotten before
const char *dns_server_text(const struct dns_server *server);

void dns_server_send(struct dns_server *server, struct dns_asker *asker);
void dns_asker_forget(struct dns_asker *asker);

bool dns_server_is_down(const struct dns_server *server);
bool dns_server_wants_probe(struct dns_server *server); // it is down, and this is the moment to look again
void dns_server_missed(struct dns_server *server);      // it let a try pass in silence

size_t dns_servers_of_system(struct addr *out, size_t max, struct err *err); // /etc/resolv.conf; 0 with err
