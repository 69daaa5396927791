// SPDX-License-Identifier: MIT
#include "mail/returned.h"

#include "mail/returned_inside.h"
#include "mail/words.h"

enum { TEXT_MAX = 128 * 1024, FIELDS_MAX = 512 * 1024, LOOK = 6000 };

const char *const returned_kind_name[] = {
    [RETURNED_OTHER] = "other",         [RETURNED_BOUNCE] = "bounce",         [RETURNED_DELAYED] = "delayed",       [RETURNED_DELIVERED] = "delivered",
    [RETURNED_RELAYED] = "relayed",     [RETURNED_COMPLAINT] = "complaint",   [RETURNED_AUTO_REPLY] = "auto_reply", [RETURNED_UNSUBSCRIBE] = "unsubscribe",
};

// Folds and tables leave runs of blanks behind: one is enough.
struct bytes returned_line(struct arena *arena, struct bytes text) {
    if (!text.len) return BYTES("");
    struct bytes line = words_line(arena, bytes_first(text, 2 * RETURNED_TEXT), RETURNED_TEXT);
    char *to = arena_alloc(arena, line.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < line.len; i++)
        if (line.at[i] != ' ' || !n || to[n - 1] != ' ') to[n++] = line.at[i];
    return bytes_range(to, n);
}

struct returned_recipient *returned_add(struct reading *r) {
    struct returned *out = r->out;
    if (out->count == RETURNED_RECIPIENTS) return NULL;
    struct returned_recipient *to = &out->recipients[out->count++];
    *to = (struct returned_recipient){.stage = "rcpt", .address = BYTES(""), .original = BYTES(""), .final = BYTES(""), .action = BYTES(""),
                                      .status = BYTES(""), .text = BYTES(""), .remote = BYTES("")};
    return to;
}

// ---- parts

// Tags out, entities of the commonest kind back, block ends as line ends: enough for addresses and replies to be found.
static void strip_html(struct bytes html, struct buf *out) {
    static const struct { const char *entity; char c; } entities[] = {{"&lt;", '<'}, {"&gt;", '>'}, {"&amp;", '&'}, {"&nbsp;", ' '}, {"&#64;", '@'}, {"&quot;", '"'}, {"&#39;", '\''}};
    for (size_t i = 0; i < html.len; i++) {
        struct bytes rest = bytes_skip(html, i);
        if (rest.at[0] == '<') {
            struct bytes tag = bytes_first(rest, 4000);
            ptrdiff_t end = bytes_find(tag, '>');
            static const char *const blocks[] = {"<br", "<p", "</p", "</div", "<div", "</tr", "</td", "<li", "</h", NULL};
            for (const char *const *b = blocks; *b; b++)
                if (bytes_starts_nocase(rest, bytes_of(*b))) {
                    buf_byte(out, '\n');
                    break;
                }
            if (end > 0) i += (size_t)end;
            continue;
        }
        size_t e = 0, count = sizeof entities / sizeof *entities;
        while (rest.at[0] == '&' && e < count && !bytes_starts_nocase(rest, bytes_of(entities[e].entity))) e++;
        bool known = rest.at[0] == '&' && e < count;
        buf_byte(out, known ? entities[e].c : rest.at[0]);
        if (known) i += strlen(entities[e].entity) - 1;
    }
}

static bool is_type(const struct part *p, const char *type) {
    return bytes_equal_nocase(p->type, bytes_of(type));
}

static struct bytes decoded(struct reading *r, const struct part *p, size_t max) {
    struct buf text = {0};
    part_decode(p, max, &text);
    struct bytes copy = arena_copy(r->arena, buf_bytes(&text));
    buf_release(&text);
    return copy;
}

static void take_text(struct reading *r, const struct part *p) {
    bool html = is_type(p, "text/html");
    if (r->text.len >= TEXT_MAX || (html && r->text.len > 40)) return; // the alternative says the same
    if (!html) part_text(p, TEXT_MAX - r->text.len, &r->text);
    else {
        struct buf raw = {0};
        part_text(p, TEXT_MAX, &raw);
        strip_html(buf_bytes(&raw), &r->text);
        buf_release(&raw);
    }
    buf_addz(&r->text, "\n\n");
}

static void take_original(struct reading *r, const struct part *p) {
    struct bytes message = decoded(r, p, FIELDS_MAX);
    returned_original(r, part_cut_head(&message));
}

// Some mark the fields as plain text, or as nothing.
static bool looks_like(struct bytes body, const char *one, const char *other) {
    body = bytes_first(body, 4000);
    const char *first[] = {one, NULL}, *second[] = {other, NULL};
    return returned_has_any(body, first) && returned_has_any(body, second);
}

static void take_part(struct reading *r, const struct part *p) {
    bool text = bytes_starts_nocase(p->type, BYTES("text/"));
    if (is_type(p, "message/delivery-status") || is_type(p, "message/global-delivery-status") || is_type(p, "text/delivery-status") ||
        (text && looks_like(p->body, "\nFinal-Recipient:", "\nAction:"))) {
        r->out->form = "dsn";
        if (text && !is_type(p, "text/delivery-status")) take_text(r, p);
        returned_status(r, decoded(r, p, FIELDS_MAX));
    } else if (is_type(p, "message/feedback-report") || (text && bytes_starts_nocase(bytes_trim(p->body), BYTES("Feedback-Type:")))) {
        r->out->form = "feedback";
        returned_feedback(r, decoded(r, p, 64 * 1024));
    } else if (is_type(p, "message/disposition-notification")) {
        r->out->form = "disposition";
    } else if (is_type(p, "message/rfc822") || is_type(p, "message/global") || is_type(p, "text/rfc822-headers") || is_type(p, "text/rfc822-header") ||
               is_type(p, "message/rfc822-headers") || is_type(p, "message/global-headers") || is_type(p, "text/rfc822")) {
        take_original(r, p);
    } else if (text) {
        take_text(r, p);
    }
}

// ---- what it is

static bool is_daemon(struct bytes from) {
    static const char *const names[] = {"mailer-daemon", "mailer_daemon", "mailerdaemon", "mail delivery", "mail-daemon", "mdaemon", "postmaster", "mail administrator", "mailadmin", "system administrator", "mmdf", "maildelivery", "mail deliverer",
                                        "microsoftexchange", "post_master", "mail deliver system", "delivery subsystem", "bounce", "mailer@", "mail system", "mailmaster", "mail_daemon", "daemon@", "mailgate", "smtpd", "administrator@", "mail router", "postoffice", NULL};
    return returned_has_any(bytes_first(from, 300), names);
}

static bool is_auto_submitted(struct reading *r) {
    struct bytes head = r->parts.head, auto_submitted = part_field(head, "Auto-Submitted", r->arena), precedence = part_field(head, "Precedence", r->arena);
    if (bytes_starts_nocase(auto_submitted, BYTES("auto-replied")) || bytes_starts_nocase(precedence, BYTES("auto_reply"))) return true;
    return part_has_field(head, "X-Autoreply") || part_has_field(head, "X-Autorespond") || part_has_field(head, "X-Auto-Reply") || part_has_field(head, "X-Mail-Autoreply") ||
           part_has_field(head, "X-Autogenerated") || part_has_field(head, "X-FC-MachineGenerated");
}

static void settle(struct returned *out, enum returned_kind kind, const char *form, const char *why) {
    out->kind = kind;
    out->why = why;
    bool of_delivery = kind >= RETURNED_BOUNCE && kind <= RETURNED_RELAYED;
    for (size_t i = 0; !of_delivery && i < out->count; i++) out->recipients[i].action = BYTES(""); // a status part beside it is not what it is about
    if (form) out->form = form;
}

static bool has_action(const struct returned *out, const char *action) {
    for (size_t i = 0; i < out->count; i++)
        if (bytes_equal(out->recipients[i].action, bytes_of(action))) return true;
    return false;
}

static void settle_status(struct reading *r, struct bytes text) {
    struct returned *out = r->out;
    if (!out->count) returned_names(r, text);
    returned_path(r);
    returned_reasons(r, text);
    for (size_t i = 0; i < out->count; i++)
        if (!out->recipients[i].action.len) out->recipients[i].action = returned_is_delay(bytes_first(text, LOOK)) ? BYTES("delayed") : BYTES("failed");
    const char *why = "a delivery status notification (RFC 3464)";
    if (has_action(out, "failed") || !out->count) settle(out, RETURNED_BOUNCE, NULL, why);
    else if (has_action(out, "delayed")) settle(out, RETURNED_DELAYED, NULL, why);
    else settle(out, has_action(out, "relayed") ? RETURNED_RELAYED : RETURNED_DELIVERED, NULL, why);
}

// Hotmail's reports name the recipient in a field they add to the returned header; others leave only To there.
static void settle_complaint(struct reading *r, const char *why) {
    struct returned *out = r->out;
    static const char *const fields[] = {"X-HmXmrOriginalRecipient", "X-Original-To", "X-Rcpt-To", "Delivered-To", "Envelope-To", "To"};
    struct bytes address;
    settle(out, RETURNED_COMPLAINT, "feedback", why);
    for (size_t i = 0; !out->count && i < sizeof fields / sizeof *fields; i++) {
        struct bytes value = part_field(out->original.head, fields[i], r->arena);
        struct returned_recipient *to = returned_address(&value, &address) ? returned_add(r) : NULL;
        if (!to) continue;
        to->address = returned_line(r->arena, address);
        to->guessed = i == sizeof fields / sizeof *fields - 1;
    }
    returned_path(r);
    if (!out->feedback_type.len) out->feedback_type = BYTES("abuse");
    if (!out->source_ip.len) out->source_ip = part_field(out->original.head, "X-Originating-IP", r->arena);
}

static bool is_complaint(struct reading *r) {
    static const char *const phrases[] = {"complaint about message", "spam complaint", "abuse complaint", "abuse report", "email feedback report", "feedback loop", NULL};
    struct returned *out = r->out;
    return out->original.head.len && (returned_has_any(out->subject, phrases) || part_has_field(out->original.head, "X-HmXmrOriginalRecipient"));
}

static bool starts_unsubscribe(struct bytes subject) {
    static const char *const words[] = {"unsubscribe", "remove me", "please remove", "opt out", "opt-out", "please unsubscribe", "remove", "abmelden"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (bytes_starts_nocase(subject, bytes_of(words[i]))) return true;
    return false;
}

static bool is_unsubscription(const struct returned *out, struct bytes text) {
    static const char *const names[] = {"unsubscribe", "unsub", "remove", "opt-out", "optout", "abmelden", "désabonner", NULL};
    struct bytes to = out->to, address, subject = bytes_trim(out->subject);
    if (bytes_starts_nocase(subject, BYTES("re:")) || text.len > LOOK) return false;
    bool addressed = returned_address(&to, &address) && returned_has_any(bytes_first(address, 60), names);
    return addressed || (subject.len < 120 && starts_unsubscribe(subject));
}

static bool has_null_path(struct reading *r) {
    return bytes_equal(bytes_trim(part_field(r->parts.head, "Return-Path", r->arena)), BYTES("<>"));
}

static bool is_answer_subject(struct bytes subject) {
    static const char *const marks[] = {"re:", "aw:", "fw:", "fwd:", "wg:", "sv:", "antw:", "odp:", "tr:", "rv:"};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (bytes_starts_nocase(bytes_trim(subject), bytes_of(marks[i]))) return true;
    return false;
}

static bool is_ours(struct bytes field, struct bytes to) {
    struct bytes one, other;
    return returned_address(&field, &one) && returned_address(&to, &other) && bytes_equal_nocase(one, other);
}

// What came back is what he sent to whom it comes back.
static bool is_own_mail(struct reading *r) {
    struct bytes head = r->out->original.head, to = r->out->to;
    return head.len && (is_ours(r->out->original.from, to) || is_ours(part_field(head, "Return-Path", r->arena), to));
}

// Signs of a report that has no fields; three points are enough.
static int signs_of(struct reading *r, struct bytes text) {
    struct returned *out = r->out;
    struct bytes look = bytes_first(text, LOOK);
    static const char *const daemon[] = {"mailer-daemon@", NULL};
    struct reason reason;
    int signs = 0;
    signs += r->failed.len ? 3 : 0;
    signs += is_daemon(out->from) ? 2 : 0;
    signs += returned_has_any(bytes_first(out->from, 300), daemon) ? 1 : 0; // nobody else is called that
    signs += has_null_path(r) ? 1 : 0;
    bool human = signs == 0 && is_answer_subject(out->subject) && part_has_field(r->parts.head, "In-Reply-To"); // who answers a report has its subject
    signs += !human && (returned_is_failure(out->subject) || returned_is_delay(out->subject)) ? 2 : 0;
    signs += returned_is_failure(look) || returned_is_delay(look) ? 1 : 0;
    signs += returned_reply(look, &reason) && (reason.status.len || is_daemon(out->from)) ? 1 : 0;
    signs += out->original.head.len ? 1 : 0;
    signs += !human && is_own_mail(r) ? 1 : 0;
    return signs;
}

static void settle_text(struct reading *r, struct bytes text) {
    struct returned *out = r->out;
    bool delayed = returned_is_delay(out->subject) || returned_is_delay(bytes_first(text, LOOK));
    returned_names(r, text);
    returned_path(r);
    returned_reasons(r, text);
    for (size_t i = 0; i < out->count; i++)
        out->recipients[i].action = delayed ? BYTES("delayed") : BYTES("failed");
    settle(out, delayed ? RETURNED_DELAYED : RETURNED_BOUNCE, "text", "the words of a mail server");
}

static void settle_sender(struct reading *r, enum returned_kind kind, const char *why) {
    struct bytes from = r->out->from, address;
    settle(r->out, kind, "header", why);
    struct returned_recipient *to = returned_address(&from, &address) ? returned_add(r) : NULL;
    if (to) to->address = returned_line(r->arena, address);
}

static bool is_answer(struct reading *r) {
    return is_answer_subject(r->out->subject) || part_has_field(r->parts.head, "Precedence") || part_has_field(r->parts.head, "In-Reply-To");
}

static bool is_rejection(struct reading *r) {
    static const char *const words[] = {"rejected", NULL};
    return returned_has_any(part_field(r->parts.head, "Auto-Submitted", r->arena), words);
}

static void decide(struct reading *r, struct bytes text) {
    struct returned *out = r->out;
    bool report = r->failed.len || is_daemon(out->from);
    if (strcmp(out->form, "feedback") == 0) settle_complaint(r, "a feedback report (RFC 5965)");
    else if (strcmp(out->form, "dsn") == 0) settle_status(r, text);
    else if (strcmp(out->form, "disposition") == 0 && is_rejection(r)) settle_text(r, text); // a mailbox's own refusal: Dovecot's sieve and quota
    else if (strcmp(out->form, "disposition") == 0) settle_sender(r, RETURNED_AUTO_REPLY, "a disposition notification (RFC 8098)");
    else if (is_complaint(r)) settle_complaint(r, "a complaint in the provider's own form");
    else if (!report && returned_is_away(out->subject)) settle_sender(r, RETURNED_AUTO_REPLY, "its subject: somebody is away");
    else if (signs_of(r, text) >= 3) settle_text(r, text);
    else if (is_unsubscription(out, text)) settle_sender(r, RETURNED_UNSUBSCRIBE, "its subject or address asks for no more mail");
    else if (is_auto_submitted(r)) {
        bool challenge = returned_is_challenge(out->subject) || returned_is_challenge(bytes_first(text, LOOK));
        settle_sender(r, RETURNED_AUTO_REPLY, challenge ? "a challenge: somebody is to prove that he sent the mail" : "Auto-Submitted or the like (RFC 3834)");
    } else if (!report && has_null_path(r)) settle_sender(r, RETURNED_AUTO_REPLY, "a null return path, and no report (RFC 3834 3.3)");
    else if (is_answer(r) && returned_is_pure_challenge(bytes_first(text, LOOK))) settle_sender(r, RETURNED_AUTO_REPLY, "the words of a challenge: somebody is to prove that he sent the mail");
    else settle(out, RETURNED_OTHER, "", "nothing in it says that it is a report");
}

// A filter on the way, or a person, has sent the report on as an attachment. Empty: nothing like it.
static struct bytes attached_report(struct reading *r) {
    static const char *const report[] = {"multipart/report", NULL};
    for (size_t i = 0; i < r->parts.count && !r->out->form[0]; i++) {
        if (!is_type(&r->parts.list[i], "message/rfc822")) continue;
        struct bytes message = decoded(r, &r->parts.list[i], FIELDS_MAX), rest = message;
        if (returned_has_any(part_field(part_cut_head(&rest), "Content-Type", r->arena), report)) return message;
    }
    return BYTES("");
}

static void read_head(struct reading *r) {
    struct returned *out = r->out;
    struct arena *arena = r->arena;
    struct bytes head = r->parts.head;
    struct buf words = {0};
    words_decode(&words, part_field(head, "Subject", arena));
    out->subject = returned_line(arena, buf_bytes(&words));
    buf_release(&words);
    out->from = returned_line(arena, part_field(head, "From", arena));
    out->to = returned_line(arena, part_field(head, "To", arena));
    out->date = returned_line(arena, part_field(head, "Date", arena));
    out->message_id = returned_line(arena, part_field(head, "Message-ID", arena));
    r->failed = part_field(head, "X-Failed-Recipients", arena);
}

void returned_read(struct bytes message, struct arena *arena, struct returned *out) {
    memset(out, 0, sizeof *out);
    out->form = "";
    struct reading r = {.out = out, .arena = arena}, inner = {.out = out, .arena = arena};
    parts_of(bytes_first(message, RETURNED_SCAN), &r.parts);
    read_head(&r);
    for (size_t i = 0; i < r.parts.count; i++) take_part(&r, &r.parts.list[i]);
    struct bytes attached = attached_report(&r);
    if (attached.len) parts_of(attached, &inner.parts);
    for (size_t i = 0; i < inner.parts.count; i++) take_part(&inner, &inner.parts.list[i]);
    if (inner.text.len) buf_add(&r.text, buf_bytes(&inner.text));
    buf_release(&inner.text);
    struct bytes text = buf_bytes(&r.text);
    size_t cut = returned_cut(text);
    if (cut < text.len && !out->original.head.len) {
        struct bytes rest = bytes_skip(text, cut);
        for (int i = 0; i < 4 && rest.len; i++) { // the marker, and blank lines behind it
            struct bytes try = rest, found = part_cut_head(&try);
            if (found.len) {
                returned_original(&r, arena_copy(arena, found));
                break;
            }
            (void)part_line(&rest);
        }
    }
    decide(&r, bytes_first(text, cut));
    buf_release(&r.text);
}
