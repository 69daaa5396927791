// SPDX-License-Identifier: MIT
// The fields of delivery status notifications (RFC 3464), feedback reports (RFC 5965) and of what was sent back with them.
#include "mail/returned_inside.h"


// "rfc822; bob@example.net": what is behind the type; all of it where there is none.
static struct bytes untyped(struct bytes value) {
    ptrdiff_t at = bytes_find(value, ';');
    return at < 0 ? bytes_trim(value) : bytes_trim(bytes_skip(value, (size_t)at + 1));
}

// "<bob@example.net>", "\"Bob\" <bob@example.net>", "bob@example.net (was addressed to x)"; a name without a domain stays.
static struct bytes mailbox(struct bytes value, struct arena *arena) {
    struct bytes rest = value, address;
    if (returned_address(&rest, &address)) return returned_line(arena, address);
    value = bytes_trim(value);
    ptrdiff_t end = bytes_find(value, ' ');
    return returned_line(arena, end < 0 ? value : bytes_first(value, (size_t)end));
}

// The last group ends with the text.
static struct bytes cut_group(struct bytes *rest) {
    struct bytes start = *rest, line = {0};
    bool any = false;
    while (rest->len) {
        struct bytes before = *rest;
        line = bytes_trim(part_line(rest));
        if (line.len) {
            if (!any) start = before;
            any = true;
        } else if (any) {
            start.len = (size_t)(before.at - start.at);
            return start;
        }
    }
    if (!any) start.len = 0;
    return start;
}

static struct bytes field(struct reading *r, struct bytes group, const char *name) {
    return part_field(group, name, r->arena);
}

static bool is_vague(struct bytes status) {
    return status.len < 5 || bytes_ends_nocase(status, BYTES(".0.0"));
}

static bool is_reached(struct bytes status) {
    return !(bytes_starts(bytes_skip(status, status.len > 1), BYTES(".4.")));
}

// The status that says most: the report's own, or the one in the server's reply where the report's says only "5.0.0".
static void read_reply(struct reading *r, struct returned_recipient *to, struct bytes diagnostic) {
    struct reason reason;
    struct bytes words = untyped(diagnostic);
    ptrdiff_t semicolon = bytes_find(diagnostic, ';');
    struct bytes type = semicolon < 0 ? BYTES("") : bytes_trim(bytes_first(diagnostic, (size_t)semicolon));
    bool typed = type.len && bytes_find(type, ' ') < 0;
    to->text = returned_line(r->arena, typed ? words : diagnostic);
    if (returned_reply(to->text, &reason)) {
        to->code = reason.code;
        bool fits = reason.status.len && (!to->status.len || reason.status.at[0] == to->status.at[0] || to->status.at[0] == '2');
        if (fits && is_vague(to->status)) to->status = returned_line(r->arena, reason.status);
    }
    const char *known = is_vague(to->status) ? returned_status_of(to->text) : NULL;
    if (known && (!to->status.len || known[0] == to->status.at[0])) to->status = bytes_of(known);
    to->stage = returned_stage(to->text);
    to->from_peer = to->code || (to->status.len && is_reached(to->status));
}

static const char *const actions[] = {"failed", "delayed", "delivered", "relayed", "expanded"};

static struct bytes action_of(struct bytes value, struct bytes status) {
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
        if (bytes_starts_nocase(value, bytes_of(actions[i]))) return bytes_of(actions[i]);
    char class = status.len ? status.at[0] : 0;
    return class == '4' ? BYTES("delayed") : class == '2' ? BYTES("delivered") : BYTES("failed");
}

static void read_recipient(struct reading *r, struct bytes group) {
    struct bytes final = field(r, group, "Final-Recipient"), original = field(r, group, "Original-Recipient");
    struct bytes actual = field(r, group, "X-Actual-Recipient"), status = field(r, group, "Status");
    struct returned_recipient *to = returned_add(r);
    if (!to) return;
    to->original = mailbox(untyped(original), r->arena);
    to->final = mailbox(untyped(final), r->arena);
    if (bytes_find(to->final, '@') < 0 && actual.len) to->final = mailbox(untyped(actual), r->arena);
    to->address = bytes_find(to->original, '@') > 0 || !to->final.len ? to->original : to->final;
    struct reason reason;
    to->status = returned_reply(status, &reason) && reason.status.len ? reason.status : returned_is_status(status) ? status : BYTES("");
    if (!to->status.len && status.len >= 5 && returned_is_status(bytes_first(status, 5))) to->status = bytes_first(status, 5);
    to->action = action_of(field(r, group, "Action"), to->status);
    to->remote = returned_line(r->arena, untyped(field(r, group, "Remote-MTA")));
    struct bytes diagnostic = field(r, group, "Diagnostic-Code");
    if (!diagnostic.len && !returned_is_status(status)) diagnostic = status; // some put words there
    read_reply(r, to, diagnostic);
}

void returned_status(struct reading *r, struct bytes fields) {
    struct returned *out = r->out;
    struct bytes group;
    while ((group = cut_group(&fields)).len) {
        if (!out->reporting_mta.len) out->reporting_mta = returned_line(r->arena, untyped(field(r, group, "Reporting-MTA")));
        if (!out->envelope_id.len) out->envelope_id = field(r, group, "Original-Envelope-Id");
        if (!out->arrival_date.len) out->arrival_date = field(r, group, "Arrival-Date");
        bool of_message = part_has_field(group, "Reporting-MTA"); // some put the action there, too
        if (part_has_field(group, "Final-Recipient") || part_has_field(group, "Original-Recipient") || (part_has_field(group, "Action") && !of_message))
            read_recipient(r, group);
    }
}

void returned_feedback(struct reading *r, struct bytes fields) {
    struct returned *out = r->out;
    struct bytes group = fields, recipient = field(r, group, "Original-Rcpt-To");
    out->feedback_type = field(r, group, "Feedback-Type");
    out->user_agent = field(r, group, "User-Agent");
    out->source_ip = field(r, group, "Source-IP");
    out->reported_domain = field(r, group, "Reported-Domain");
    out->mail_from = mailbox(field(r, group, "Original-Mail-From"), r->arena);
    out->envelope_id = field(r, group, "Original-Envelope-Id");
    out->arrival_date = field(r, group, "Arrival-Date");
    if (!out->arrival_date.len) out->arrival_date = field(r, group, "Received-Date");
    out->reporting_mta = returned_line(r->arena, untyped(field(r, group, "Reporting-MTA")));
    if (!recipient.len) recipient = field(r, group, "Removal-Recipient");
    struct bytes address;
    while (returned_address(&recipient, &address)) {
        struct returned_recipient *to = returned_add(r);
        if (to) to->address = returned_line(r->arena, address);
    }
}

// ---- the header that was sent back

// "by gate.example.org (Tidegate) with ESMTP id 0065a4f81c008003"
static void find_id(struct reading *r, struct bytes head) {
    static const struct bytes mark = {"(Tidegate)", 10}, id = {" id ", 4}, by = {"by ", 3};
    ptrdiff_t at = bytes_search(head, mark), behind;
    if (at < 4) return;
    struct bytes rest = bytes_skip(head, (size_t)at), before = bytes_trim(bytes_first(head, (size_t)at));
    rest = bytes_first(rest, 200);
    if ((behind = bytes_search(rest, id)) < 0 || rest.len < (size_t)behind + 20) return;
    struct bytes text = {rest.at + behind + 4, 16};
    for (size_t i = 0; i < text.len; i++)
        if (!strchr("0123456789abcdef", text.at[i]) || !text.at[i]) return;
    size_t host = before.len;
    while (host && before.at[host - 1] > ' ') host--;
    if (host >= by.len && memcmp(before.at + host - by.len, by.at, by.len) == 0)
        r->out->original.id_host = returned_line(r->arena, bytes_skip(before, host));
    r->out->original.id = arena_copy(r->arena, text);
}

void returned_original(struct reading *r, struct bytes head) {
    struct returned *out = r->out;
    if (!head.len || out->original.head.len) return;
    out->original.head = head;
    out->original.message_id = returned_line(r->arena, field(r, head, "Message-ID"));
    out->original.from = returned_line(r->arena, field(r, head, "From"));
    out->original.to = returned_line(r->arena, field(r, head, "To"));
    out->original.subject = returned_line(r->arena, field(r, head, "Subject"));
    out->original.date = returned_line(r->arena, field(r, head, "Date"));
    find_id(r, head);
}
