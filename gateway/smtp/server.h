// SPDX-License-Identifier: MIT
// server: the receiving side of SMTP and LMTP, without sockets.
//
// The driver (relay/session) feeds what the client sent and obeys what the machine wants, in one switch:
//
//     for (;;) switch (server_next(s, &input, &want)) {       // takes bytes off the front of input
//         case SERVER_READ:  write server_output, wait for more input (want.timeout_ms at the most)
//         case SERVER_ASK:   a question (want.ask); answer it with server_answer, now or later; feed nothing until then
//         case SERVER_TLS:   write the output, handshake, then server_secured
//         case SERVER_BODY:  keep want.bytes: message content, CRLF lines, dots undone; points into input
//         case SERVER_RESET: forget the transaction (sender, recipients, body)
//         case SERVER_CLOSE: write the output, close
//     }
//
// Output collects in server_output(): the driver writes it out at READ, ASK, TLS and CLOSE, so replies to a
// pipelined group leave together (RFC 2920). The machine never looks at a clock, a socket or a file.
//
// Every ASK_SENDER is followed by exactly one RESET, whatever came of it (refused, delivered, abandoned), before
// the next ASK_SENDER; only CLOSE may come instead and means it too. Content always ends with CRLF: where BDAT's
// does not, the machine hands out the missing CRLF. While a question is open, server_next consumes nothing and
// returns READ with timeout_ms 0. A driver that will not secure the connection (bytes came behind STARTTLS, the
// handshake failed) closes.
//
//     new -> (greeting) -> fresh -> idle -> (sender) -> mail -> (recipient) -> rcpt -> data -> (verdict) -> idle
//                 |           ^      | ^                 ^----------|---------' |  ^            ^
//              unwanted      tls <---' `-- login, (login)           `--> chunks <-> chunk ------'
//
//     (in brackets: a question is open)   EHLO, RSET: from fresh..chunks to idle   any -> closing
//
// Hostile input: only CRLF ends a line and only CRLF.CRLF ends DATA; a bare CR or LF or a NUL in a command is 500,
// in the content it is refused at the end of data with 550 5.6.0 (a bare CR or LF may be kept as content, option
// bare_newline; it never ends anything). Lines, recipients, commands, errors and size are bounded, each with its own reply.
#pragma once

#include "base/bytes.h"
#include "base/log.h"
#include "smtp/gauge.h"
#include "smtp/reply.h"

struct server;

enum server_protocol { SERVER_SMTP, SERVER_LMTP };
enum server_bare { SERVER_BARE_REFUSE, SERVER_BARE_KEEP };

struct server_options { // texts must outlive the server; a limit of 0 is none
    enum server_protocol protocol;
    const char *hostname;     // in the banner and EHLO
    const char *greeting;     // text behind "220 hostname ESMTP "; "" for none
    bool starttls;            // offered (until secured)
    bool auth;                // AUTH is offered, once secured
    bool auth_required;       // MAIL needs AUTH first: 530 5.7.0
    bool tls_required;        // MAIL and AUTH need TLS first: 530 5.7.0
    bool secured;             // implicit TLS: secured from the start
    enum server_bare bare_newline;
    uint64_t size_max;        // bytes of content, SIZE (RFC 1870)
    int line_max;             // command line incl. CRLF; AUTH lines and MAIL/RCPT with parameters get what their RFCs add; 0: 512
    int text_line_max;        // line of content incl. CRLF; longer: 554 5.6.0 at the end
    int header_max;           // bytes of header block; longer: 552 5.3.4 at the end
    int recipients_max;       // per transaction: 452 4.5.3
    int commands_max;         // since the last message, what moves one forward (RCPT, DATA, BDAT) not counted: 421 4.7.0
    int errors_max;           // since the last message: 421 4.7.0
    int messages_max;         // per session: 421 4.7.0 after so many; 0: any
    int received_max;         // Received fields: more is a loop, 554 5.4.6
    int idle_ms;              // between commands; and for each piece of content
    const struct log *log;    // changes of state at LOG_TRACE; NULL: none
};

enum server_ask { ASK_CONNECT, ASK_LOGIN, ASK_SENDER, ASK_RECIPIENT, ASK_MESSAGE };
enum server_next { SERVER_READ, SERVER_ASK, SERVER_TLS, SERVER_BODY, SERVER_RESET, SERVER_CLOSE };

struct server_path {       // an envelope address with its parameters
    struct bytes address;  // without <>, "" for the null sender
    uint64_t size;         // MAIL SIZE=, 0 where not given
    bool body_8bit;        // MAIL BODY=8BITMIME (or BINARYMIME is refused)
    bool smtputf8;         // MAIL SMTPUTF8
    int ret;               // MAIL RET=: 0 not given, 1 FULL, 2 HDRS
    struct bytes envid;    // MAIL ENVID=, xtext as it came
    uint32_t notify;       // RCPT NOTIFY=: bits below; 0 not given
    struct bytes orcpt;    // RCPT ORCPT=, as it came ("rfc822;...")
};
enum { NOTIFY_NEVER = 1, NOTIFY_SUCCESS = 2, NOTIFY_FAILURE = 4, NOTIFY_DELAY = 8 };

struct server_login {
    const char *mechanism; // "PLAIN" or "LOGIN"
    struct bytes authzid, user, password;
};

struct server_want {
    enum server_ask ask;
    struct server_path path;   // ASK_SENDER, ASK_RECIPIENT; until the transaction ends
    struct server_login login; // ASK_LOGIN; until server_answer
    struct bytes bytes;        // SERVER_BODY; until the next server_next
    int timeout_ms;            // SERVER_READ
};

struct server *server_new(const struct server_options *options);
void server_free(struct server **s);
// Consumes from the front of *input (shortens it). What it left is to be given again, with more behind it.
enum server_next server_next(struct server *s, struct bytes *input, struct server_want *want);
// The answer to what was asked. 4xx, 5xx: refused; 421 and 521 also close. 2xx, or NULL for the default words: go on
// (to ASK_CONNECT and ASK_LOGIN only the default words are said: the banner, 235).
// ASK_MESSAGE: the reply after the content; in LMTP it is said once for each recipient.
void server_answer(struct server *s, const struct reply *reply);
void server_secured(struct server *s);
// The content can't be kept (disk full, memory): swallow the rest and say this at the end instead of asking.
// Only between SERVER_BODY of a transaction and its end. What is wrong with the content itself is said in its stead.
void server_spoil(struct server *s, const struct reply *reply);
// Ends the session with this reply at the next chance (shutdown 421 4.3.2, idle 421 4.4.2), then SERVER_CLOSE.
// An open question is waited for; content that is half here is not.
void server_dismiss(struct server *s, const struct reply *reply);
struct buf *server_output(struct server *s);      // the driver empties it

bool server_is_between(const struct server *s);   // no transaction open: a good moment to dismiss
bool server_is_esmtp(const struct server *s);      // tests
struct bytes server_helo(const struct server *s); // "" before HELO
bool server_is_secured(const struct server *s);    // tests
struct bytes server_user(const struct server *s); // tests: who logged in, ""
const struct server_path *server_sender(const struct server *s);
size_t server_recipient_count(const struct server *s);
const struct server_path *server_recipient(const struct server *s, size_t i);
const struct gauge *server_gauge(const struct server *s); // size, header size, 8-bit: whole at ASK_MESSAGE
bool server_spoke_early(const struct server *s);  // tests: the client talked before the greeting could have reached it
// Why the machine closed: SERVER_END_NONE until it did.
enum server_end { SERVER_END_NONE, SERVER_END_QUIT, SERVER_END_REFUSED, SERVER_END_DISMISSED, SERVER_END_ERRORS,
                  SERVER_END_COMMANDS, SERVER_END_MESSAGES, SERVER_END_INJECTION, SERVER_END_HTTP, SERVER_END_TLS_HELLO,
                  SERVER_END_BDAT, SERVER_END_ENDLESS_LINE };
enum server_end server_end(const struct server *s);
const char *server_end_name(enum server_end end); // tests: "quit", "injection" (bytes behind STARTTLS), ...
const char *server_protocol_name(const struct server *s); // RFC 3848: "ESMTPSA", "LMTPS", "UTF8SMTPS" ...
