// SPDX-License-Identifier: MIT
// client: the sending side of SMTP and LMTP, without sockets.
//
// One machine a connection, any number of messages, one after the other:
//
//     for (;;) switch (client_next(c, &input, &want)) {
//         case CLIENT_READ:   write client_output, wait for input, want.timeout_ms at the most (RFC 5321 4.5.3.2)
//         case CLIENT_TLS:    write the output, handshake, then client_secured
//         case CLIENT_READY:  the session stands; client_send a message, or client_quit
//         case CLIENT_BODY:   give content with client_body, piece by piece as the socket takes it, then client_body_end;
//                             give what the peer says meanwhile to client_next, it may have had enough
//         case CLIENT_DONE:   the message has its fate: client_result(c, i) of each recipient; then READY or CLOSE follows
//         case CLIENT_CLOSE:  write the output, close; client_failure says why where it was not our QUIT
//     }
//
// Uses what the peer offers: PIPELINING (RSET, MAIL, RCPT and DATA in one go), SIZE (too large: refused here, 552 5.3.4,
// before any byte), 8BITMIME (8-bit content to a peer without it: refused here with 554 5.6.3 unless options say send
// anyway), SMTPUTF8 (needed and missing: 553 5.6.7), DSN. Not CHUNKING: stuffing dots costs next to nothing
// (smtp/dot.h), a chunk that fails leaves a transaction in a state nobody can tell, and DATA works everywhere.
// A recipient that is one too many for a transaction (552, 5.5.3) is refused for now: 452 4.5.3.
// EHLO refused -> HELO. 421 at any point ends the session: recipients without a final reply are temporary.
// After the content is out, only the peer's reply decides; a connection lost there is temporary (the peer may have it).
//
//     greeting -> ehlo -> [starttls -> tls -> ehlo] -> [auth] -> ready -> envelope -> content -> verdict -> done -> ready
//                  `-> helo                                       |          `-> (refused) ----------------^     |
//     any -> [done ->] closing                                    `-> quit -> closing            closing <-------'
//
// Hostile peers: a reply is bounded (smtp/reply.h); what is no reply, has a code that makes no sense where it came, or
// comes before its turn ends the session as a temporary failure and is never taken for an acceptance. Bytes between the
// reply to STARTTLS and the handshake end it too (CVE-2011-0411). A 5xx said while content is still going out is believed.
#pragma once

#include "base/bytes.h"
#include "base/log.h"
#include "smtp/capability.h"
#include "smtp/reply.h"

struct client;

enum client_tls { CLIENT_TLS_NONE, CLIENT_TLS_MAY, CLIENT_TLS_MUST }; // STARTTLS: never, if offered, or fail (4.7.10-style)
enum client_login_kind { LOGIN_NONE, LOGIN_PASSWORD, LOGIN_XOAUTH2 };

struct client_options {   // texts must outlive the client
    bool lmtp;
    const char *helo;
    bool secured;         // implicit TLS: the handshake has been done
    enum client_tls tls;
    enum client_login_kind login; // not offered, or not secured: the session fails with our configuration's words; never sends without
    bool login_plaintext_ok;      // allow AUTH without TLS (loopback relays of a lab; default no)
    const char *user, *secret;    // password or access token
    bool send_8bit_anyway; // to a peer without 8BITMIME; else 554 5.6.3
    int timeout_ms;       // upper bound over RFC 5321's; 0: the RFC's own
    const struct log *log; // changes of state at LOG_TRACE; NULL: none
};

struct client_recipient {
    struct bytes address;
    uint32_t notify;      // as in server.h
    struct bytes orcpt;
};

struct client_message {   // lent until CLIENT_DONE
    struct bytes sender;  // "" for the null sender
    uint64_t size;        // of the content as it will be sent, before dot-stuffing
    bool has_8bit;        // content has bytes above 127
    bool smtputf8;        // an address or a header needs SMTPUTF8
    int ret;
    struct bytes envid;
    const struct client_recipient *recipients;
    size_t count;
};

enum client_stage { STAGE_DNS, STAGE_CONNECT, STAGE_GREETING, STAGE_EHLO, STAGE_TLS, STAGE_AUTH, STAGE_MAIL, STAGE_RCPT, STAGE_DATA, STAGE_CONTENT, STAGE_QUIT };
const char *client_stage_name(enum client_stage stage); // "dns", "connect", "greeting", ...

struct client_result {
    struct reply reply;      // the peer's, or ours (then local is true)
    enum client_stage stage; // where it was said
    bool local;
};

enum client_next { CLIENT_READ, CLIENT_TLS, CLIENT_READY, CLIENT_BODY, CLIENT_DONE, CLIENT_CLOSE };
struct client_want {
    int timeout_ms; // READ, TLS, BODY (for each piece); 0 at the others
};

struct client *client_new(const struct client_options *options);
void client_free(struct client **c);
enum client_next client_next(struct client *c, struct bytes *input, struct client_want *want);
void client_secured(struct client *c);
// The connection ended, timed out or could not be secured: every recipient without a final reply gets `why`.
void client_lost(struct client *c, const struct reply *why); // then DONE (if a message was under way) and CLOSE follow
void client_send(struct client *c, const struct client_message *message);
void client_body(struct client *c, struct bytes piece);
void client_body_end(struct client *c);
// The content could not be read: the transaction must not complete. Ends the connection without the final dot.
void client_body_fail(struct client *c, const struct reply *why);
void client_quit(struct client *c); // at READY: says QUIT and waits a little for its reply; elsewhere: closes
struct buf *client_output(struct client *c);
const struct client_result *client_result(const struct client *c, size_t i); // from CLIENT_DONE to the next client_send
const struct client_result *client_failure(const struct client *c); // why the session as such failed; NULL: it did not
bool client_has_dsn(const struct client *c);      // the peer offers DSN: it took over NOTIFY, RET, ENVID and ORCPT
