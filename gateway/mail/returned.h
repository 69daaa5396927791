// SPDX-License-Identifier: MIT
// returned: what a message that came back says: a bounce, a complaint, an answer by a machine, or none of these.
//
// Facts out of foreign bytes, no opinion: delivery status notifications (RFC 3464, 6533), feedback reports (RFC 5965), reports that people
// were meant to read (by their structure and the phrases that mail servers use), automatic replies (RFC 3834), unsubscriptions by mail. The
// content proves nothing about who wrote it: whether to believe it is the caller's question (mail/verify).
//
// Texts point into the message or live in the arena: trimmed, on one line, bounded, but otherwise as they came. Bounded: RETURNED_SCAN bytes of
// the message are looked at, RETURNED_RECIPIENTS recipients are kept; cost is linear in the size. Pure, any thread.
#pragma once

#include "base/arena.h"
#include "base/bytes.h"

enum { RETURNED_SCAN = 64 << 20, RETURNED_RECIPIENTS = 200, RETURNED_TEXT = 1000 };

enum returned_kind {
    RETURNED_OTHER,
    RETURNED_BOUNCE,      // failed for good, for one recipient at least
    RETURNED_DELAYED,     // a warning: still being tried
    RETURNED_DELIVERED,   // or expanded
    RETURNED_RELAYED,     // to where no notification can be asked for
    RETURNED_COMPLAINT,   // a feedback report
    RETURNED_AUTO_REPLY,  // vacation, read receipt, challenge
    RETURNED_UNSUBSCRIBE, // asked for by mail
};
extern const char *const returned_kind_name[];

struct returned_recipient {
    struct bytes address;  // the mailbox that we wrote to: `original` where that is told, else `final`, else out of words; empty: it does not say
    struct bytes original; // ORCPT, Original-Recipient, without its type, or the return path's (VERP); empty: it does not say
    struct bytes final;    // where that led, by aliases and forwards; empty: it does not say
    struct bytes action;   // "failed", "delayed", ...
    struct bytes status;   // "5.1.1"; of several that are told, the one that says most. Empty: none
    int code;              // 550; 0: no SMTP reply was told
    struct bytes text;     // the reply, or the words that stand for it
    struct bytes remote;   // the server that refused it
    const char *stage;     // where: "connect", "mail", "rcpt", "data", "content"; "dns"
    bool from_peer;        // a server refused it; false: nobody was reached
    bool guessed;          // the report does not say who: the returned message has only one recipient
};

struct returned {
    enum returned_kind kind;
    const char *form; // "dsn", "feedback", "text", "header", "disposition"; "" for other mail
    const char *why;  // what it was known by, in words
    struct bytes from, to, subject, date, message_id; // of the message itself
    struct bytes reporting_mta, envelope_id, arrival_date;
    // Of the mail that is spoken of.
    struct {
        struct bytes message_id, from, to, subject, date;
        struct bytes id;        // the gateway's, of its Received field; empty: none
        struct bytes id_host;   // and who said it gave it
        struct bytes head;      // its header, as it was sent back
    } original;
    struct bytes feedback_type, user_agent, source_ip, reported_domain, mail_from; // of feedback reports
    size_t count;
    struct returned_recipient recipients[RETURNED_RECIPIENTS];
};

void returned_read(struct bytes message, struct arena *arena, struct returned *out);
