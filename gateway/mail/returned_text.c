// SPDX-License-Identifier: MIT
// Reports that only people were meant to read: who it is about, and why, out of their words.
//
// What mail servers write has few shapes: an address alone on its line with the reason behind or below it (qmail, Exim, sendmail, most others),
// a dialogue (">>> RCPT TO:<...>", "<<< 550 ..."), or a sentence that names the address. A line is worth more the less else stands in it.
#include "mail/returned_inside.h"

#include <ctype.h>
#include <strings.h>

enum { NAMES_MAX = 64, LINES_MAX = 2000, NEAR = 600 };

// ---- where the returned message begins

static bool is_marker(struct bytes line) {
    static const char *const phrases[] = {"copy of the message", "copy of your message", "original message", "unsent message", "returned message", "returned mail", "header follow", "headers follow", "header of the", "headers of the", "message header", "undelivered message",
                                          "message headers", "text of your message", "your message follows", "message follows", "your message reads", "start of your", "beginning of your", "your message was:", "copy of the original", "first few lines", "message text follows",
                                          "returned content", "message contents", "included below", "forwarded message", "attached below", NULL};
    static const char *const not[] = {"transcript", "error", "reason", "following address", "was received at", NULL};
    if (line.len > 160 || returned_has_any(line, not)) return false;
    bool ruled = line.len > 2 && strchr("-=*_+", line.at[0]) && line.at[0] == line.at[1];
    bool ends = line.len && (line.at[line.len - 1] == ':' || bytes_ends_nocase(line, BYTES("follows.")) || bytes_ends_nocase(line, BYTES("follows")));
    return (ruled || ends || bytes_starts_nocase(line, BYTES("Below this line"))) && returned_has_any(line, phrases);
}

static bool starts_any(struct bytes line, const char *const *names) {
    for (; *names; names++)
        if (bytes_starts_nocase(line, bytes_of(*names))) return true;
    return false;
}

// Fields that begin a header, with another field of mail not far below.
static bool is_header(struct bytes line, struct bytes rest) {
    static const char *const first[] = {"Received: ", "Return-Path: ", "Message-ID: ", "DKIM-Signature: ", "X-Originating-IP: ", "From: ", "Delivered-To: ", "MIME-Version: ", NULL};
    static const char *const others[] = {"Received: ", "From: ", "Subject: ", "Date: ", "Message-ID: ", "MIME-Version: ", "DKIM-Signature: ", "Content-Type: ", "To: ", NULL};
    if (!starts_any(line, first)) return false;
    int seen = 0;
    for (int i = 0; i < 12 && rest.len; i++) {
        struct bytes next = part_line(&rest);
        if (!next.len) break;
        seen += starts_any(bytes_trim(next), others);
    }
    return seen >= 2;
}

size_t returned_cut(struct bytes text) {
    struct bytes rest = text;
    for (int i = 0; i < LINES_MAX && rest.len; i++) {
        size_t at = (size_t)(rest.at - text.at);
        struct bytes raw = part_line(&rest), line = bytes_trim(raw);
        if (line.len && (is_marker(line) || is_header(raw, rest))) return at; // indented fields are a summary for people
    }
    return text.len;
}

// ---- who

struct name {
    struct bytes address;
    int worth;
    size_t at; // of its line
};

struct search {
    struct reading *r;
    struct bytes own[4]; // whom it cannot be about: to whom this was sent, who sent it
    struct name names[NAMES_MAX];
    size_t count;
};

static bool is_machine(struct bytes address) {
    static const char *const locals[] = {"mailer-daemon@", "postmaster@", "mailerdaemon@", "mail-daemon@", "mdaemon@", "abuse@", "support@", "helpdesk@", "admin@", "noreply@", "no-reply@", NULL};
    return starts_any(address, locals);
}

static bool is_own(const struct search *s, struct bytes address) {
    for (size_t i = 0; i < sizeof s->own / sizeof *s->own; i++)
        if (s->own[i].len && bytes_equal_nocase(s->own[i], address)) return true;
    return false;
}

// How sure it is that this line speaks of the address.
static int worth_of(struct bytes line, struct bytes address) {
    static const char *const leads[] = {"to:", "recipient", "final-recipient", "original-recipient", ">>> rcpt to", "rcpt to", "failed recipient", "<<< 5", "address:", "user:", "your message to", "delivery to", "unable to deliver to",
                                        "intended recipient", "the following recipient", "failed for", "message to", "envelope-to", "your mail to", "could not deliver", "unknown address", "undeliverable", "undelivered", NULL};
    static const char *const ids[] = {"message-id", "message id", "in-reply-to", "queue-id", "envelope-from", "sender:", "from:", "mail from", "contact", "please ", "reply-to", "subject:", "return-path", "help", NULL};
    ptrdiff_t at = bytes_search(line, address);
    static const char *const alias[] = {"expanded from", NULL}; // as it was addressed, sendmail and Postfix say
    if (at < 0) return 0;
    struct bytes ahead = bytes_first(line, (size_t)at);
    if (returned_has_any(ahead, alias)) return 4;
    if (returned_has_any(ahead, ids)) return 0;
    size_t before = 0, behind = line.len - (size_t)at - address.len;
    for (ptrdiff_t i = 0; i < at; i++) before += !strchr("<>[](){}'\"*-:;., \t", line.at[i]) || !line.at[i];
    if (before == 0 && behind <= 3) return 4;
    if (before == 0) return 3;
    if (starts_any(line, leads)) return 3;
    struct reason reason;
    if (returned_reply(line, &reason)) return 3;
    if (behind == 0 && ahead.len > 2 && bytes_trim(ahead).at[bytes_trim(ahead).len - 1] == ':') return 2; // "invalid user: bob@example.net"
    bool bracketed = at > 0 && (size_t)at + address.len < line.len && line.at[at - 1] == '<' && line.at[(size_t)at + address.len] == '>';
    return bracketed ? 2 : 1;
}

static void note(struct search *s, struct bytes address, int worth, size_t at) {
    if (worth <= 0 || is_own(s, address) || (is_machine(address) && worth < 3)) return;
    for (size_t i = 0; i < s->count; i++)
        if (bytes_equal_nocase(s->names[i].address, address)) {
            if (worth > s->names[i].worth) s->names[i].worth = worth, s->names[i].at = at;
            return;
        }
    if (s->count < NAMES_MAX) s->names[s->count++] = (struct name){address, worth, at};
}

static void search(struct search *s, struct bytes text) {
    struct bytes rest = text;
    for (int i = 0; i < LINES_MAX && rest.len; i++) {
        size_t at = (size_t)(rest.at - text.at);
        struct bytes line = bytes_trim(bytes_first(part_line(&rest), 2000)), in = line, address;
        for (int n = 0; n < 4 && returned_address(&in, &address); n++) note(s, address, worth_of(line, address), at);
    }
}

// Of whom the returned message's To speaks is likely meant.
static void favour_original(struct search *s) {
    struct bytes to = s->r->out->original.to, address;
    for (int i = 0; i < 20 && returned_address(&to, &address); i++)
        for (size_t n = 0; n < s->count; n++)
            if (bytes_equal_nocase(s->names[n].address, address)) s->names[n].worth += 2;
}

static void own_of(struct search *s, struct bytes field, size_t at) {
    struct bytes address;
    if (returned_address(&field, &address)) s->own[at] = address;
}

static void add_name(struct reading *r, struct bytes address, bool guessed) {
    struct returned_recipient *to = returned_add(r);
    if (!to) return;
    to->address = returned_line(r->arena, address);
    to->guessed = guessed;
}

// What stands behind the line that announces who failed; a summary of the message, with its To, may stand before. Empty: no such line.
static struct bytes announced(struct bytes text, struct bytes *behind) {
    static const char *const phrases[] = {"following recipient", "following address", "following user", "intended recipient", NULL};
    static const char *const not[] = {"contact", "write to", "reply to", "send ", NULL};
    struct bytes rest = text;
    for (int i = 0; i < LINES_MAX && rest.len; i++) {
        struct bytes here = rest, line = part_line(&rest), address;
        if (!returned_has_any(line, phrases) || returned_has_any(line, not)) continue;
        *behind = rest;
        return returned_address(&line, &address) ? here : rest;
    }
    *behind = BYTES("");
    return BYTES("");
}

// AOL's: names alone, of mailboxes at the domain that writes. As good as a guess.
static void add_bare_names(struct reading *r, struct bytes rest) {
    struct bytes from = r->out->from, daemon;
    if (!returned_address(&from, &daemon)) return;
    struct bytes domain = bytes_skip(daemon, (size_t)bytes_find_last(daemon, '@'));
    for (int i = 0; i < NAMES_MAX && rest.len; i++) {
        struct bytes line = bytes_trim(part_line(&rest));
        bool plain = line.len > 1 && line.len <= 64;
        for (size_t n = 0; plain && n < line.len; n++) plain = isalnum((unsigned char)line.at[n]) || (n && strchr("._-+", line.at[n]) && line.at[n]);
        if (line.len ? !plain : r->out->count > 0) return;
        if (plain) add_name(r, arena_format(r->arena, "%.*s%.*s", BYTES_FMT(line), BYTES_FMT(domain)), true);
    }
}

void returned_names(struct reading *r, struct bytes text) {
    struct search s = {.r = r};
    struct bytes failed = r->failed, address;
    while (returned_address(&failed, &address)) add_name(r, address, false);
    if (r->out->count) return;
    own_of(&s, r->out->from, 0);
    own_of(&s, r->out->to, 1);
    own_of(&s, r->out->original.from, 2);
    struct bytes behind, list = announced(text, &behind);
    search(&s, list);
    if (!s.count) search(&s, text);
    favour_original(&s);
    int best = 0;
    for (size_t i = 0; i < s.count; i++)
        if (s.names[i].worth > best) best = s.names[i].worth;
    for (size_t i = 0; best > 0 && i < s.count; i++) {
        bool taken = best >= 3 ? s.names[i].worth >= best - (best > 4) && s.names[i].worth >= 3 : s.names[i].worth == best;
        if (taken) add_name(r, s.names[i].address, best == 1); // named in passing
        if (taken && best < 3) break;
    }
    struct bytes to = r->out->original.to, one, more;
    if (!r->out->count && returned_address(&to, &one) && !returned_address(&to, &more)) add_name(r, one, true);
    if (!r->out->count) add_bare_names(r, behind);
}

// ---- why

// The paragraph behind the address, and the one below where that has no code.
static struct bytes near(struct bytes text, struct bytes address) {
    if (!address.len) return BYTES("");
    for (size_t i = 0; i + address.len <= text.len; i++)
        if (strncasecmp(text.at + i, address.at, address.len) == 0) {
            struct bytes around = bytes_skip(text, i + address.len);
            return bytes_first(around, NEAR);
        }
    return BYTES("");
}

// The line with the code and those that go on with it; up to a blank line.
static struct bytes words_at(struct bytes text, size_t at) {
    size_t from = at, to = at;
    bool code = bytes_skip(text, at).len > 3 && text.at[at + 1] != '.';
    while (!code && from > 0 && text.at[from - 1] != '\n' && at - from < 200) from--;
    while (to < text.len && to - from < RETURNED_TEXT) {
        if (text.at[to] == '\n') {
            struct bytes rest = bytes_skip(text, to + 1), next = bytes_trim(part_line(&rest));
            if (!next.len || strchr("<>-=", next.at[0]) || bytes_find(next, '@') >= 0) break;
        }
        to++;
    }
    return (struct bytes){text.at + from, to - from};
}

static bool is_ruled(struct bytes line) {
    return line.len > 3 && strchr("-=*_+", line.at[0]) && line.at[0] == line.at[1];
}

static struct bytes first_words(struct bytes text) {
    while (text.len) {
        struct bytes line = bytes_trim(part_line(&text));
        while (line.len && strchr("<>:;,.)]", line.at[0])) line = bytes_skip(line, 1);
        if (line.len <= 8 || is_ruled(line)) continue;
        struct bytes next = line.at[line.len - 1] == ':' ? bytes_trim(part_line(&text)) : BYTES(""); // "was rejected:", and then why
        return next.len ? (struct bytes){line.at, (size_t)(next.at - line.at) + next.len} : line;
    }
    return BYTES("");
}

// What stands ahead of the address: on its line, or on the one above where the line has nothing else.
static struct bytes words_ahead(struct bytes text, struct bytes address) {
    size_t at = 0;
    while (address.len && at + address.len <= text.len && strncasecmp(text.at + at, address.at, address.len)) at++;
    if (!address.len || at + address.len > text.len) return BYTES("");
    for (int lines = 0; lines < 3; lines++) {
        struct bytes before = bytes_first(text, at);
        ptrdiff_t end = bytes_find_last(before, '\n');
        struct bytes line = bytes_trim(bytes_skip(before, (size_t)(end + 1)));
        while (line.len && strchr("<([\"':- ", line.at[line.len - 1])) line.len--;
        if (line.len > 8 && !is_ruled(line)) return line;
        if (end <= 0) break;
        at = (size_t)end;
    }
    return BYTES("");
}

static void explain(struct reading *r, struct returned_recipient *to, struct bytes around, struct bytes all) {
    static const struct reason none = {.status = {"", 0}};
    struct reason reason, here;
    struct bytes words = BYTES(""), ahead = words_ahead(all, to->address);
    bool told = returned_reply(around, &here);
    if (told) words = words_at(around, here.at), reason = here;
    else if (returned_status_of(first_words(around))) words = first_words(around), reason = none;
    else if (returned_status_of(ahead)) words = ahead, reason = none;
    else if (returned_reply(all, &reason)) words = words_at(all, reason.at);
    else reason = none, words = first_words(around).len ? first_words(around) : ahead;
    if (!to->text.len) to->text = returned_line(r->arena, words.len ? words : first_words(all));
    if (!to->code) to->code = reason.code;
    if (!to->status.len) to->status = returned_line(r->arena, reason.status);
    const char *known = to->status.len ? NULL : returned_status_of(to->text.len ? to->text : all);
    if (!known && !to->status.len) known = returned_status_of(bytes_first(all, 4000));
    bool fits = known && (!to->code || known[0] - '0' == to->code / 100);
    if (fits) to->status = bytes_of(known);
    to->stage = returned_stage(to->text);
    to->from_peer = to->code || (to->status.len > 2 && to->status.at[2] != '4');
}

void returned_reasons(struct reading *r, struct bytes text) {
    for (size_t i = 0; i < r->out->count; i++) {
        struct returned_recipient *to = &r->out->recipients[i];
        bool vague = !to->status.len || bytes_ends_nocase(to->status, BYTES(".0.0"));
        if (to->text.len && !vague) continue;
        struct bytes status = to->status;
        if (vague) to->status = BYTES("");
        struct bytes around = near(text, to->address);
        explain(r, to, around.len || !to->final.len ? around : near(text, to->final), text);
        bool worse = !to->status.len || (status.len && status.at[0] != to->status.at[0]);
        if (vague && status.len && worse) to->status = status;
    }
}
