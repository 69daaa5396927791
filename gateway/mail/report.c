// SPDX-License-Identifier: MIT
#include "mail/report.h"

#include "base/arena.h"
#include "base/bug.h"
#include "base/clock.h"
#include "base/utf8.h"
#include "mail/address.h"
#include "mail/digest.h"
#include "mail/header.h"
#include "mail/notice.h"
#include "mail/words.h"

enum {
    TEXT_MAX = 800,  // of a peer's words, a name, an address: with any field name it fits a line
    LINE_HARD = 998, // RFC 5322 2.1.1
    LINE_SOFT = 75,  // and the "=" of a soft break
};

struct report {
    const struct report_in *in;
    struct arena arena;
    bool utf8; // the sender's address needs SMTPUTF8, so the report may use it (RFC 6533)
    struct bytes host;
};

// ---- texts made harmless

// One line for a field: ASCII unless the whole report may be UTF-8.
static struct bytes line_of(struct report *r, struct bytes text) {
    struct bytes line = words_line(&r->arena, text, TEXT_MAX);
    if (r->utf8 || utf8_is_ascii(line)) return line;
    char *ascii = arena_alloc(&r->arena, line.len);
    size_t n = 0;
    for (; line.len; n++) {
        size_t step = utf8_step(line);
        ascii[n] = step == 1 ? line.at[0] : '?';
        line = bytes_skip(line, step);
    }
    return bytes_range(ascii, n);
}

static int hex_upper(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// RFC 3461 4: "+2B" stands for "+". What decodes to something other than a printable line stays as it came.
static struct bytes decode_xtext(struct report *r, struct bytes text) {
    struct bytes line = line_of(r, text);
    char *to = arena_alloc(&r->arena, line.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < line.len; i++) {
        char c = line.at[i];
        if (c == '+') {
            int high = i + 2 < line.len ? hex_upper(line.at[i + 1]) : -1,
                low = high < 0 ? -1 : hex_upper(line.at[i + 2]);
            c = low < 0 ? 0 : (char)(high << 4 | low);
            i += 2;
        }
        if (c < ' ' || c > '~') return line;
        to[n++] = c;
    }
    return bytes_range(to, n);
}

static uint32_t code_point(struct bytes character) {
    uint8_t first = (uint8_t)character.at[0];
    uint32_t u = character.len == 1 ? first : first & (0xffu >> (character.len + 1));
    for (size_t i = 1; i < character.len; i++)
        u = u << 6 | ((uint8_t)character.at[i] & 0x3f);
    return u;
}

// "rfc822; a@b", or for an address in UTF-8 what RFC 6533 3 has for it: as it is in a report that is UTF-8
// itself, else with its characters written as \x{F8}.
static struct bytes typed_address(struct report *r, struct bytes address) {
    struct bytes line = words_line(&r->arena, address, TEXT_MAX / 2);
    if (utf8_is_ascii(line)) return arena_format(&r->arena, "rfc822; %.*s", BYTES_FMT(line));
    if (r->utf8) return arena_format(&r->arena, "utf-8; %.*s", BYTES_FMT(line));
    struct buf text = {0};
    buf_addz(&text, "utf-8; ");
    while (line.len && text.len < TEXT_MAX) {
        size_t n = utf8_step(line);
        char c = line.at[0];
        bool plain = n == 1 && c > ' ' && c <= '~' && c != '+' && c != '=' && c != '\\';
        if (plain)
            buf_byte(&text, c);
        else
            buf_format(&text, "\\x{%02X}", (unsigned)code_point(bytes_first(line, n)));
        line = bytes_skip(line, n);
    }
    struct bytes copy = arena_copy(&r->arena, buf_bytes(&text));
    buf_release(&text);
    return copy;
}

// "rfc822;xtext" as it came with RCPT; without a type in front it is none.
static struct bytes typed_orcpt(struct report *r, struct bytes orcpt) {
    struct bytes address = orcpt, type = bytes_cut(&address, ';');
    if (type.len == 0 || type.len > 40 || address.len == 0) return (struct bytes){0};
    type = line_of(r, type);
    address = bytes_equal_nocase(type, BYTES("rfc822")) ? decode_xtext(r, address) : line_of(r, address);
    return arena_format(&r->arena, "%.*s; %.*s", BYTES_FMT(type), BYTES_FMT(address));
}

// RFC 3464 2.1.2: a domain name, or an address in brackets; neither a port nor what else helps a human reader.
static struct bytes mta_name(struct report *r, struct bytes remote) {
    struct bytes rest = line_of(r, remote), name = bytes_cut(&rest, ' ');
    const char *brackets = bytes_find(name, ':') < 0 ? "[%.*s]" : "[IPv6:%.*s]";
    struct bytes literal = arena_format(&r->arena, brackets, BYTES_FMT(name));
    int family;
    uint8_t ip[16];
    return domain_literal_ip(literal, &family, ip) ? literal : name;
}

// RFC 3464 2.3.4: class, subject and detail, where the class fits the action.
static struct bytes status_of(const struct report_recipient *to) {
    bool fails = to->action == REPORT_FAILED, waits = to->action == REPORT_DELAYED;
    struct bytes rest = to->status, class = bytes_cut(&rest, '.'), subject = bytes_cut(&rest, '.');
    uint64_t s = 0, d = 0;
    bool valid = class.len == 1 && subject.len <= 3 && rest.len <= 3 && bytes_to_u64(subject, &s) &&
                 bytes_to_u64(rest, &d);
    char c = valid ? class.at[0] : 0;
    if (fails ? c == '5' || c == '4' : c == (waits ? '4' : '2')) return to->status;
    return fails ? BYTES("5.0.0") : waits ? BYTES("4.0.0") : BYTES("2.0.0");
}

// ---- fields

// `out` holds one small group of fields: the edit walks it from its start.
static void put(struct buf *out, const char *name, struct bytes value) {
    if (value.len) bug_if(!header_append(out, bytes_of(name), value, NULL));
}

static void put_date(struct buf *out, const char *name, int64_t ms) {
    char date[32];
    if (ms == 0) return;
    clock_rfc5322(ms, date);
    put(out, name, bytes_of(date));
}

static void put_recipient(struct report *r, struct buf *out, const struct report_recipient *to) {
    static const char *const actions[] = {[REPORT_FAILED] = "failed",
                                          [REPORT_DELAYED] = "delayed",
                                          [REPORT_DELIVERED] = "delivered",
                                          [REPORT_RELAYED] = "relayed",
                                          [REPORT_EXPANDED] = "expanded"};
    put(out, "Original-Recipient", typed_orcpt(r, to->orcpt));
    put(out, "Final-Recipient", typed_address(r, to->address));
    put(out, "Action", bytes_of(actions[to->action]));
    put(out, "Status", status_of(to));
    struct bytes remote = mta_name(r, to->remote), words = line_of(r, to->diagnostic);
    if (remote.len) put(out, "Remote-MTA", arena_format(&r->arena, "dns; %.*s", BYTES_FMT(remote)));
    const char *kind = to->from_peer ? "smtp" : "x-tidegate";
    if (words.len) put(out, "Diagnostic-Code", arena_format(&r->arena, "%s; %.*s", kind, BYTES_FMT(words)));
    put_date(out, "Last-Attempt-Date", to->last_attempt_ms);
    if (to->action == REPORT_DELAYED) put_date(out, "Will-Retry-Until", to->will_retry_until_ms);
}

static void write_status(struct report *r, struct buf *out) {
    struct buf group = {0};
    put(&group, "Reporting-MTA", arena_format(&r->arena, "dns; %.*s", BYTES_FMT(r->host)));
    put(&group, "Original-Envelope-Id", decode_xtext(r, r->in->envelope_id));
    put_date(&group, "Arrival-Date", r->in->arrived_ms);
    buf_add(out, buf_bytes(&group));
    for (size_t i = 0; i < r->in->count; i++) {
        buf_reset(&group);
        put_recipient(r, &group, &r->in->recipients[i]);
        buf_addz(out, "\r\n");
        buf_add(out, buf_bytes(&group));
    }
    buf_release(&group);
}

// ---- parts

struct part {
    const char *type;
    struct buf content; // ends with CRLF
    bool encodable;     // RFC 2046 5.2: message/rfc822 takes no other transfer encoding than what it is
};

// CRLF lines of bounded length, no NUL, no stray CR or LF: what can go out as it is.
static bool is_sendable(struct bytes text) {
    if (bytes_find(text, 0) >= 0) return false;
    while (text.len) {
        ptrdiff_t at = bytes_find(text, '\n');
        size_t n = (size_t)at + 1;
        if (at < 1 || n > LINE_HARD + 2 || bytes_find(bytes_first(text, n), '\r') != at - 1) return false;
        text = bytes_skip(text, n);
    }
    return true;
}

static void quoted_printable(struct buf *out, struct bytes text) {
    size_t column = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = (uint8_t)text.at[i];
        if (c == '\r' && i + 1 < text.len && text.at[i + 1] == '\n') {
            buf_addz(out, "\r\n");
            column = 0, i++;
            continue;
        }
        bool last = i + 1 == text.len || text.at[i + 1] == '\r';
        bool plain = (c > ' ' && c <= '~' && c != '=') || ((c == ' ' || c == '\t') && !last);
        size_t width = plain ? 1 : 3;
        if (column + width > LINE_SOFT) {
            buf_addz(out, "=\r\n");
            column = 0;
        }
        if (plain)
            buf_byte(out, (char)c);
        else
            buf_format(out, "=%02X", c);
        column += width;
    }
}

static void put_part(struct report *r, struct buf *out, const char *boundary, const struct part *part) {
    struct bytes content = buf_bytes(&part->content);
    bool ascii = utf8_is_ascii(content);
    bool encode = part->encodable && (!is_sendable(content) || (!ascii && !r->utf8));
    buf_format(out, "--%s\r\nContent-Type: %s\r\n", boundary, part->type);
    if (encode)
        buf_addz(out, "Content-Transfer-Encoding: quoted-printable\r\n");
    else if (!ascii)
        buf_addz(out, "Content-Transfer-Encoding: 8bit\r\n");
    buf_addz(out, "\r\n");
    if (encode)
        quoted_printable(out, content);
    else
        buf_add(out, content);
    buf_addz(out, "\r\n"); // belongs to the boundary, RFC 2046 5.1.1
}

// Whole fields until the room is used up; one that does not fit is left out, so that a giant among them does
// not hide those below it.
static void copy_head(struct buf *out, struct bytes head) {
    for (struct header_field field; header_next(&head, &field);) {
        if (field.name.len == 0 || out->len + field.whole.len > REPORT_HEAD_MAX) continue;
        buf_add(out, field.whole);
        if (!bytes_ends_nocase(field.whole, BYTES("\r\n"))) buf_addz(out, "\r\n");
    }
    if (out->len == 0) buf_addz(out, "\r\n");
}

// RFC 3461 4.3: RET=FULL is about failures only.
static bool returns_all(const struct report_in *in) {
    bool failed = false;
    for (size_t i = 0; i < in->count; i++)
        failed |= in->recipients[i].action == REPORT_FAILED;
    return failed && in->return_full && in->body.len && in->head.len <= REPORT_HEAD_MAX &&
           in->body.len <= REPORT_BODY_MAX && is_sendable(in->head) && is_sendable(in->body);
}

static void write_original(struct report *r, struct part *part) {
    if (returns_all(r->in)) {
        part->type = r->utf8 ? "message/global" : "message/rfc822";
        buf_add(&part->content, r->in->head);
        buf_addz(&part->content, "\r\n");
        buf_add(&part->content, r->in->body);
        return;
    }
    copy_head(&part->content, r->in->head);
    part->encodable = true;
    part->type = r->utf8                                    ? "message/global-headers"
                 : utf8_is_ascii(buf_bytes(&part->content)) ? "text/rfc822-headers"
                                                            : "text/rfc822-headers; charset=utf-8";
}

// ---- the whole

static void make_boundary(const struct report_in *in, const struct part *parts, size_t count, char out[40]) {
    uint8_t hash[DIGEST_SIZE];
    struct digest digest = {0};
    for (uint32_t round = 0;; round++) {
        digest_add(&digest, bytes_range(&round, sizeof round));
        digest_add(&digest, bytes_range(&in->now_ms, sizeof in->now_ms));
        digest_add(&digest, bytes_range(&in->id, sizeof in->id));
        for (size_t i = 0; i < count; i++)
            digest_add(&digest, buf_bytes(&parts[i].content));
        digest_end(&digest, hash);
        memcpy(out, "=_tide_", 8);
        for (size_t i = 0; i < 12; i++) {
            out[7 + 2 * i] = "0123456789abcdef"[hash[i] >> 4];
            out[8 + 2 * i] = "0123456789abcdef"[hash[i] & 15];
        }
        out[31] = 0;
        bool taken = false;
        for (size_t i = 0; i < count; i++)
            taken |= bytes_search(buf_bytes(&parts[i].content), bytes_of(out)) >= 0;
        if (!taken) return;
    }
}

static const char *subject_of(const struct report_in *in) {
    bool failed = false, delayed = false;
    for (size_t i = 0; i < in->count; i++) {
        failed |= in->recipients[i].action == REPORT_FAILED;
        delayed |= in->recipients[i].action == REPORT_DELAYED;
    }
    return failed    ? "Delivery Status Notification (Failure)"
           : delayed ? "Delivery Status Notification (Delay)"
                     : "Delivery Status Notification (Success)";
}

// So that mail programs show the report beside what it is about (RFC 3834 3.1.5).
static void put_thread(struct report *r, struct buf *head) {
    struct header_field field;
    if (!header_get(r->in->head, BYTES("Message-ID"), 0, &field)) return;
    struct bytes id = bytes_trim(field.value);
    bool sane = id.len > 2 && id.len < 256 && id.at[0] == '<' && id.at[id.len - 1] == '>';
    for (size_t i = 0; sane && i < id.len; i++)
        sane = id.at[i] > ' ' && id.at[i] <= '~';
    if (!sane) return;
    put(head, "In-Reply-To", id);
    put(head, "References", id);
}

static void write_head(struct report *r, struct buf *out, const char *boundary, bool eight) {
    struct buf head = {0};
    const struct report_in *in = r->in;
    struct bytes host = r->host;
    put_date(&head, "Date", in->now_ms);
    put(&head, "From", arena_format(&r->arena, "Mail Delivery System <MAILER-DAEMON@%.*s>", BYTES_FMT(host)));
    put(&head, "To", arena_format(&r->arena, "<%.*s>", BYTES_FMT(line_of(r, in->sender))));
    put(&head, "Subject", bytes_of(subject_of(in)));
    put(&head, "Message-ID",
        arena_format(&r->arena, "<%llx.%llx.report@%.*s>", (unsigned long long)in->id,
                     (unsigned long long)in->now_ms, BYTES_FMT(host)));
    put_thread(r, &head);
    put(&head, "Auto-Submitted", BYTES("auto-replied"));
    put(&head, "MIME-Version", BYTES("1.0"));
    put(&head, "Content-Type",
        arena_format(&r->arena, "multipart/report; report-type=delivery-status; boundary=\"%s\"", boundary));
    if (eight) put(&head, "Content-Transfer-Encoding", BYTES("8bit"));
    buf_add(out, buf_bytes(&head));
    buf_release(&head);
}

void report_build(struct buf *head, struct buf *body, const struct report_in *in, bool *utf8, bool *eight) {
    struct report r = {.in = in, .utf8 = !utf8_is_ascii(in->sender) && utf8_is_valid(in->sender)};
    struct part parts[3] = {{.type = "text/plain; charset=utf-8", .encodable = true},
                            {.type = r.utf8 ? "message/global-delivery-status" : "message/delivery-status"}};
    struct buf made = {0};
    char boundary[40];
    r.host = line_of(&r, in->host);
    notice_write(&parts[0].content, in);
    write_status(&r, &parts[1].content);
    write_original(&r, &parts[2]);
    make_boundary(in, parts, 3, boundary);
    for (size_t i = 0; i < 3; i++) {
        put_part(&r, &made, boundary, &parts[i]);
        buf_release(&parts[i].content);
    }
    buf_format(&made, "--%s--\r\n", boundary);
    bool wide = !utf8_is_ascii(buf_bytes(&made));
    write_head(&r, head, boundary, wide);
    buf_add(body, buf_bytes(&made));
    if (utf8) *utf8 = r.utf8;
    if (eight) *eight = wide || r.utf8;
    buf_release(&made);
    arena_release(&r.arena);
}
