// SPDX-License-Identifier: MIT
// report: what the sender is told about a message, as a delivery status notification (RFC 3464, RFC 6533).
//
// Makes a whole new message out of facts. Nothing in them can break its form: texts of peers are stripped of
// control characters and cut, the original's header is cut to a bounded size. Whether a report is owed at all
// (never to a null sender, RFC 3461 NOTIFY) and its null return path are the caller's. Pure, any thread.
#pragma once

#include "base/bytes.h"

enum report_action { REPORT_FAILED, REPORT_DELAYED, REPORT_DELIVERED, REPORT_RELAYED, REPORT_EXPANDED };

struct report_recipient {
    struct bytes address; // as in RCPT
    struct bytes orcpt;   // ORCPT as it came, "rfc822;user+2Bx@example.org" (xtext); empty: none
    enum report_action action;
    struct bytes status;         // "5.1.1"; empty or malformed: "5.0.0", "4.0.0" or "2.0.0" by action
    struct bytes diagnostic;     // the peer's reply in full, lines joined, or our own words for the reason
    bool from_peer;              // diagnostic is an SMTP reply of the remote
    struct bytes remote;         // "mx.example.net", maybe with " [192.0.2.1]:25"; empty: none was reached
    int64_t last_attempt_ms;     // 0: never tried
    int64_t will_retry_until_ms; // 0: will not
};

struct report_in {
    struct bytes host;        // reporting MTA: our own name
    struct bytes sender;      // to whom this goes, as in MAIL
    struct bytes envelope_id; // ENVID (xtext, as it came); empty: none
    uint64_t id; // the original's, for the sender to quote and for the Message-ID; with `now_ms` unique
    int64_t arrived_ms;
    int64_t now_ms;
    struct bytes head; // the original's header block
    struct bytes body; // the original's body: sent along when return_full and not over REPORT_BODY_MAX
    bool return_full;  // RET=FULL (RFC 3461 4.3)
    const struct report_recipient *recipients;
    size_t count;
};

#define REPORT_HEAD_MAX (32 * 1024)
#define REPORT_BODY_MAX (128 * 1024)

// Appends header block (without its empty line) and body, CRLF lines, none over 998. *utf8 (NULL allowed)
// says that the report can go only to a peer with SMTPUTF8; *eight says it holds bytes above 127 (8BITMIME).
void report_build(struct buf *head, struct buf *body, const struct report_in *in, bool *utf8, bool *eight);
