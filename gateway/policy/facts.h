// SPDX-License-Identifier: MIT
// facts: what a hook is told.
//
// Plain values, lent for the duration of the asking call: the wall copies what it hands to a script. The reference of every field as
// Lua sees it is in stdlib/README.md.
#pragma once

#include "base/arena.h"
#include "base/bytes.h"
#include "smtp/reply.h"

struct session_facts {
    struct bytes id;           // "c-3f2a": one connection, in every log line and event
    struct bytes listener;     // its name in the configuration
    struct bytes kind;         // "submission", "submissions", "relay", "lmtp"
    struct bytes client_ip;    // after PROXY protocol, where used
    int client_port;
    struct bytes local_ip;
    int local_port;
    struct bytes helo;         // "" before HELO
    struct bytes tls_version, tls_cipher, client_certificate; // "" without; the certificate's SHA-256 in hex when it verified
    struct bytes user;         // "" before AUTH
    struct bytes user_facts;   // JSON object text from authenticate's answer, "" for none
    bool trusted_network;      // the client's address is in the listener's `allow` networks
};

// Appends the facts as JSON object text: what the store keeps with a message, and route sees as message.session.
void session_facts_encode(const struct session_facts *s, struct buf *out);

struct login_facts {
    struct bytes mechanism, user, password, authzid;
    struct bytes known;        // JSON object text: what the users file says of this user ("" = not in it), without the hash
    bool password_matches;     // against the users file's hash; false where the user is not in it
};

struct address_facts {         // sender and recipient hooks
    struct bytes address, local, domain; // domain in lower case, as A-labels; address "" for the null sender
    uint64_t size;             // SIZE= of MAIL, 0
    bool smtputf8;
};

// The parts of an address as facts have them. `local` points into it, `domain` into the arena; both are left alone where it is no
// address with a domain.
void facts_split_address(struct bytes address, struct arena *arena, struct bytes *local, struct bytes *domain);

struct message_facts {
    uint64_t id;
    struct bytes id_text;      // 16 hex digits
    struct bytes sender;       // reverse-path
    struct bytes user;
    struct bytes session;      // JSON object text of the session's facts as stored with the message
    struct bytes tags;         // JSON object text, ""
    struct bytes head;         // header block (message:header(name) reads it)
    uint64_t size;
    int64_t received_ms, expires_ms;
    size_t recipient_count;
    const struct bytes *recipients; // message hook only, else NULL
    bool is_report;            // a delivery status notification of ours
};

struct recipient_facts {
    struct bytes address, local, domain; // domain lower case A-labels
    uint32_t n;
    uint32_t attempts;         // counted so far
    int64_t last_ms;           // 0: never tried
    struct bytes last_outcome; // JSON object text, ""
};

// What an attempt came to, for one recipient.
struct outcome_facts {
    struct reply reply;        // the peer's last word, or our own
    bool local;                // our own words: no peer said this
    struct bytes stage;        // "dns", "connect", "tls", "greeting", "ehlo", "auth", "mail", "rcpt", "data", "content", "lane"
    struct bytes peer;         // "mx.example.net [192.0.2.1]:25", ""
    struct bytes via;          // "direct", "relay", "lmtp", "capture"
    struct bytes identity;     // name, ""
    struct bytes exhaustible;  // JSON object text: {"quota":true}: what limits of its plan are `exhausted_by`, ""
    struct bytes lane;
    uint32_t attempt;          // this one's number, from 1
    int64_t age_ms;            // since the message was received
    int64_t expires_ms;
};

// The one place that tells a permanent outcome from a temporary one: true where trying again as we did cannot help, so that the
// sender should hear of it now. A 5xx about the recipient or the message is; a 5xx with which a host refuses us as such
// (greeting, EHLO, TLS, AUTH, 530 at MAIL) is about the session: another host, another day or a mended configuration
// can take the same message. The exception is 521, a host that takes no mail from anyone (RFC 7504).
bool outcome_is_permanent(const struct outcome_facts *o);
