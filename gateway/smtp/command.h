// SPDX-License-Identifier: MIT
// command: one command line of SMTP or LMTP, taken apart. A pure parser (RFC 5321 4.1, RFC 4954, 3030, 3461, 6531).
//
// No allocation: everything in `struct command` points into the line. Strict: control characters are refused, paths
// need their angle brackets, parameters come once and have the syntax of their RFC. Any thread.
#pragma once

#include "base/bytes.h"
#include "smtp/reply.h"
#include "smtp/server.h"

enum verb { VERB_UNKNOWN, VERB_HELO, VERB_EHLO, VERB_LHLO, VERB_MAIL, VERB_RCPT, VERB_DATA, VERB_BDAT, VERB_RSET, VERB_NOOP,
            VERB_QUIT, VERB_VRFY, VERB_EXPN, VERB_HELP, VERB_STARTTLS, VERB_AUTH };

struct command {
    enum verb verb;          // also right where the parse fails: the verb whose line was bad
    struct bytes argument;   // HELO name, AUTH mechanism, VRFY text
    struct bytes initial;    // AUTH initial response; NULL at where not given ("=" gives an empty one)
    struct server_path path; // MAIL, RCPT: validated mailbox; source routes are dropped (RFC 5321 4.1.2, C)
    uint64_t chunk;          // BDAT
    bool last;               // BDAT LAST
};

// `line` without CRLF. False: say `*fault` to the client (500, 501, 504, 553, 555 with their enhanced codes).
// smtputf8_allowed: for RCPT, that the transaction was opened with SMTPUTF8; for the others, that it is offered.
must_use bool command_parse(struct bytes line, bool smtputf8_allowed, struct command *out, struct reply *fault);
// The verb at the front of an unfinished line, for what depends on it before the line is whole (its length).
enum verb command_verb(struct bytes line);
