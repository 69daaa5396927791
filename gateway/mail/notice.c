// SPDX-License-Identifier: MIT
#include "mail/notice.h"

#include "base/clock.h"
#include "mail/header.h"
#include "mail/words.h"

enum { WIDTH = 72, TEXT_MAX = 800 };

const char *notice_words(struct bytes status) {
    static const struct {
        const char *code, *words;
    } known[] = {
        {"1.1", "There is no such mailbox. Please check the address for typing mistakes."},
        {"1.2", "The domain behind the @ does not exist or cannot take mail. Please check the address."},
        {"1.3", "The recipient's server does not take an address of this form."},
        {"1.6", "The mailbox has moved and left no new address."},
        {"1.7", "The recipient's server does not accept the sender's address."},
        {"1.8", "The recipient's server cannot find the domain of the sender's address."},
        {"1.10", "The domain says of itself that it takes no mail at all."},
        {"2.1", "The mailbox exists but is disabled."},
        {"2.2", "The mailbox is full. The recipient may have to be told in another way."},
        {"2.3", "The message is larger than the mailbox accepts."},
        {"3.4", "The message is larger than the recipient's server accepts."},
        {"4.1", "The recipient's server does not answer."},
        {"4.2", "The connection to the recipient's server broke off."},
        {"4.3", "The names of the recipient's servers could not be looked up."},
        {"4.4", "No way to a server of the recipient's domain could be found."},
        {"4.6", "The message went in circles between servers."},
        {"4.7", "The message could not be delivered within the time allowed."},
        {"6.7", "The recipient's server cannot take addresses with international characters."},
        {"7.1", "The recipient's server refused the message by its policy."},
        {"7.23", "The recipient's server could not confirm that this mail comes from where it says (SPF)."},
        {"7.20", "The recipient's server could not confirm that this mail comes from where it says (DKIM)."},
        {"7.26", "The recipient's server could not confirm that this mail comes from where it says."},
        {"7.5", "The recipient's server could not be proven to be the right one, or the connection to it not secured."},
        {"7.10", "The connection could not be encrypted as it must be."},
    };
    static const char *const subjects[] = {
        "The mail system gives no closer reason.",
        "The recipient's server does not accept the address.",
        "The recipient's mailbox does not accept the message.",
        "The recipient's mail system has a problem of its own.",
        "The recipient's server could not be reached.",
        "The two servers could not agree on how to speak.",
        "The recipient's server cannot take the content of the message.",
        "The recipient's server refused the message for reasons of security or policy.",
    };
    struct bytes code = status;
    bytes_cut(&code, '.');
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (bytes_equal(code, bytes_of(known[i].code))) return known[i].words;
    uint64_t subject = 0;
    bytes_to_u64(bytes_cut(&code, '.'), &subject);
    return subjects[subject < sizeof subjects / sizeof *subjects ? subject : 0];
}

static void wrap(struct buf *out, const char *indent, struct bytes text) {
    size_t line = 0;
    while (text.len) {
        struct bytes word = bytes_cut(&text, ' ');
        if (word.len == 0) continue;
        if (line && line + 1 + word.len > WIDTH) {
            buf_addz(out, "\r\n");
            line = 0;
        }
        buf_addz(out, line ? " " : indent);
        buf_add(out, word);
        line += word.len + (line ? 1 : strlen(indent));
    }
    buf_addz(out, "\r\n");
}

static void say(struct buf *out, const char *indent, const char *words) {
    wrap(out, indent, bytes_of(words));
}

static const char *opening(enum report_action action, bool several) {
    switch (action) {
    case REPORT_FAILED:
        return several ? "Your message could not be delivered to the recipients below. It will not be tried "
                         "again for them."
                       : "Your message could not be delivered to the recipient below. It will not be tried "
                         "again.";
    case REPORT_DELAYED:
        return "Your message has not been delivered yet. You need not send it again: the mail system keeps "
               "trying, and "
               "will tell you if it has to give up.";
    case REPORT_DELIVERED:
        return "Your message has been delivered.";
    case REPORT_RELAYED:
        return "Your message has been handed to a mail system that sends no such confirmations. Whether it "
               "reaches the "
               "mailbox will not be reported.";
    case REPORT_EXPANDED:
        return "Your message has been delivered to a list and sent on to its members.";
    }
    return "";
}

static void write_subject(struct buf *out, struct arena *arena, const struct report_in *in) {
    struct header_field field;
    struct buf text = {0};
    char date[32];
    clock_rfc5322(in->arrived_ms, date);
    if (header_get(in->head, BYTES("Subject"), 0, &field)) {
        header_decode_words(&text, bytes_first(field.value, TEXT_MAX));
        struct bytes subject = words_line(arena, buf_bytes(&text), TEXT_MAX);
        buf_reset(&text);
        buf_format(&text, "Subject: %.*s", BYTES_FMT(subject));
        wrap(out, "    ", buf_bytes(&text));
    }
    buf_format(out, "    Received here: %s\r\n    Reference: %016llx\r\n\r\n", date,
               (unsigned long long)in->id);
    buf_release(&text);
}

static void write_recipient(struct buf *out, struct arena *arena, const struct report_recipient *r) {
    struct bytes address = words_line(arena, r->address, TEXT_MAX),
                 remote = words_line(arena, r->remote, TEXT_MAX);
    buf_format(out, "<%.*s>\r\n", BYTES_FMT(address));
    if (r->action == REPORT_FAILED || r->action == REPORT_DELAYED) say(out, "    ", notice_words(r->status));
    if (r->diagnostic.len) {
        struct buf lead = {0};
        if (r->from_peer && remote.len)
            buf_format(&lead, "The server %.*s said:", BYTES_FMT(remote));
        else
            buf_addz(&lead, r->from_peer ? "Its server said:" : "In detail:");
        wrap(out, "    ", buf_bytes(&lead));
        wrap(out, "        ", words_line(arena, r->diagnostic, TEXT_MAX));
        buf_release(&lead);
    }
    if (r->action == REPORT_DELAYED && r->will_retry_until_ms) {
        char date[32];
        clock_rfc5322(r->will_retry_until_ms, date);
        buf_format(out, "    It will be tried until %s.\r\n", date);
    }
    buf_addz(out, "\r\n");
}

void notice_write(struct buf *out, const struct report_in *in) {
    static const enum report_action order[] = {REPORT_FAILED, REPORT_DELAYED, REPORT_DELIVERED,
                                               REPORT_RELAYED, REPORT_EXPANDED};
    struct arena arena = {0};
    struct bytes host = words_line(&arena, in->host, TEXT_MAX);
    struct buf lead = {0};
    buf_format(&lead, "This is the mail system at %.*s, about a message you sent:", BYTES_FMT(host));
    wrap(out, "", buf_bytes(&lead));
    buf_addz(out, "\r\n");
    write_subject(out, &arena, in);
    for (size_t a = 0; a < sizeof order / sizeof *order; a++) {
        size_t of_this = 0;
        for (size_t i = 0; i < in->count; i++)
            of_this += in->recipients[i].action == order[a];
        if (of_this == 0) continue;
        say(out, "", opening(order[a], of_this > 1));
        buf_addz(out, "\r\n");
        for (size_t i = 0; i < in->count; i++)
            if (in->recipients[i].action == order[a]) write_recipient(out, &arena, &in->recipients[i]);
    }
    say(out, "", "If you ask for help, please send this whole report along: its technical part follows.");
    buf_release(&lead);
    arena_release(&arena);
}
