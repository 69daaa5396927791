// SPDX-License-Identifier: MIT
// fetch: asks web servers. [libcurl]
//
// One per worker, on its loop, nothing of it starts before the first request. HTTP/1.1 over verified TLS 1.2
// or newer; a redirect is an answer like any other; no proxy, no cookies, no compression, whatever the
// environment says.
//
// Where a request may go: names are asked for through our own resolver and the connection is pinned to what
// it said, and a loopback, private or otherwise not public address is refused (server-side request forgery),
// looked at once more when the socket is made. fetch_options.private_ok lifts that.
//
// Equal GETs (URL, headers, bounds) that are asked while one is under way share its answer, and what is left of its time: a
// thousand messages to one new domain are one request. Nothing is kept behind the answer.
//
// The answer comes from the loop, at most once, never before fetch_ask has returned. Texts of requests are
// copied, and what may be secret of them (body, headers, URL) is in no words of ours.
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "net/addr.h"
#include "net/dns.h"
#include "net/loop.h"

struct fetch;
struct fetch_ticket; // owned by who asked; dead after the answer

struct fetch_request;
struct fetch_answer;

struct fetch_options {
    const char *ca_file; // PEM: the trusted roots; NULL: the system's
    bool private_ok;     // addresses that are not public, too
    bool plain_ok;       // http:// as well
    int connections;     // at once, in all; 0: 64
    int requests;        // under way at once, those that wait for a connection included; 0: 1,000
    // Answers in place of the network (tests of a policy): what `out` points to is in the arena. NULL: the network.
    void (*instead)(void *arg, const struct fetch_request *request, struct arena *arena, struct fetch_answer *out);
    void *instead_arg;
};

struct fetch_header {
    struct bytes name, value;
};

struct fetch_request {
    const char *method; // NULL: GET; HEAD, POST, PUT, PATCH, DELETE
    struct bytes url;
    const struct fetch_header
        *headers; // Host, Content-Length and what else belongs to the connection are not possible
    size_t header_count;
    struct bytes body;  // POST, PUT, PATCH, DELETE
    int64_t timeout_ms; // of all together; 0: 30 s
    size_t answer_max;  // bytes of the answer's body; 0: 1 MiB
};

struct fetch_answer {                   // lent for the duration of the callback
    int status;                         // of HTTP; 0: there is no answer, and `why` says why not
    const struct fetch_header *headers; // names in lower case
    size_t header_count;
    struct bytes body;
    const char *why; // "" where there is an answer
    bool temporary;  // no answer now, perhaps another time
};

struct fetch *fetch_new(struct loop *loop, struct dns *dns, const struct fetch_options *options);
struct fetch_ticket *fetch_ask(struct fetch *fetch, const struct fetch_request *request,
                               void (*answer)(void *arg, const struct fetch_answer *answer), void *arg);
void fetch_cancel(struct fetch_ticket **ticket); // no answer will come; NULL inside is fine
// What is under way is dropped without an answer, its tickets are dead. Not from inside an answer; before its
// dns.
void fetch_free(struct fetch **fetch);

// Where a URL leads. False with words for what is no absolute https (or http) URL, carries a user, or has a
// host that is neither a name in ASCII nor an IP address.
struct fetch_place {
    bool tls;
    char host[256]; // lower case, IPv6 addresses without brackets
    uint16_t port;
    bool literal;
    struct addr address; // of a literal
};
bool must_use fetch_place(struct bytes url, struct fetch_place *out, struct err *err);
