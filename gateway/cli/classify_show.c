// SPDX-License-Identifier: MIT
#include "cli/classify_show.h"

#include "base/jsonl.h"
#include "cli/show.h"

#include <inttypes.h>

// ---- for programs

static void put(struct jsonl *j, const char *name, struct bytes text) {
    if (text.len) jsonl_text(j, name, text);
}

static void put_json(struct jsonl *j, const char *name, const struct json *value) {
    struct buf text = {0};
    if (json_kind(value) != JSON_MAP) return;
    json_write(value, &text);
    jsonl_raw(j, name, buf_bytes(&text));
    buf_release(&text);
}

static void put_fields(struct jsonl *j, struct bytes message_id, struct bytes from, struct bytes to, struct bytes subject, struct bytes date) {
    put(j, "message_id", message_id);
    put(j, "from", from);
    put(j, "to", to);
    put(j, "subject", subject);
    put(j, "date", date);
}

static void put_mail(struct jsonl *j, const struct returned *w) {
    jsonl_open(j, "message", '{');
    put_fields(j, w->message_id, w->from, w->to, w->subject, w->date);
    jsonl_close(j, '}');
    put(j, "reporting_mta", w->reporting_mta);
    put(j, "envelope_id", w->envelope_id);
    put(j, "arrival_date", w->arrival_date);
    if (!w->original.head.len) return;
    jsonl_open(j, "original", '{');
    put(j, "id", w->original.id);
    put(j, "id_host", w->original.id_host);
    put_fields(j, w->original.message_id, w->original.from, w->original.to, w->original.subject, w->original.date);
    jsonl_close(j, '}');
}

static void put_feedback(struct jsonl *j, const struct returned *w) {
    if (w->kind != RETURNED_COMPLAINT) return;
    jsonl_open(j, "feedback", '{');
    put(j, "type", w->feedback_type);
    put(j, "user_agent", w->user_agent);
    put(j, "source_ip", w->source_ip);
    put(j, "reported_domain", w->reported_domain);
    put(j, "mail_from", w->mail_from);
    jsonl_close(j, '}');
}

static void put_recipient(struct jsonl *j, const struct verdict_page *p, size_t n) {
    const struct returned_recipient *to = &p->what->recipients[n];
    jsonl_open(j, NULL, '{');
    jsonl_text(j, "address", to->address);
    put(j, "original_recipient", to->original);
    if (!bytes_equal(to->final, to->address)) put(j, "final_recipient", to->final);
    if (to->guessed) jsonl_bool(j, "guessed", true);
    put(j, "action", to->action);
    put(j, "status", to->status);
    if (to->code) jsonl_int(j, "code", to->code);
    put(j, "text", to->text);
    put(j, "remote_mta", to->remote);
    if (to->action.len) jsonl_textz(j, "stage", to->stage), jsonl_bool(j, "from_peer", to->from_peer);
    put_json(j, "verdict", judgement_verdict(p->judged, n));
    put_json(j, "suppress", judgement_entry(p->judged, n));
    jsonl_close(j, '}');
}

void classify_json(const struct verdict_page *p, struct buf *out) {
    const struct returned *w = p->what;
    struct jsonl j = jsonl_begin(out);
    jsonl_textz(&j, "file", p->name);
    jsonl_textz(&j, "kind", returned_kind_name[w->kind]);
    if (w->form[0]) jsonl_textz(&j, "form", w->form);
    jsonl_textz(&j, "why", w->why);
    put_mail(&j, w);
    put_feedback(&j, w);
    jsonl_open(&j, "recipients", '[');
    for (size_t i = 0; i < w->count; i++) put_recipient(&j, p, i);
    jsonl_close(&j, ']');
    if (p->belief->authentic == AUTHENTIC_UNKNOWN) jsonl_textz(&j, "authentic", NULL);
    else jsonl_bool(&j, "authentic", p->belief->authentic == AUTHENTIC_YES);
    jsonl_textz(&j, "authenticity", p->belief->why);
    if (p->belief->signer[0]) jsonl_textz(&j, "signed_by", p->belief->signer);
    if (p->applying) jsonl_int(&j, "applied", p->belief->applied), jsonl_int(&j, "not_believed", p->belief->refused);
    if (p->policy) jsonl_textz(&j, "policy", p->policy);
    jsonl_end(&j);
}

// ---- for people

static void clean(struct buf *out, const char *lead, struct bytes text) {
    if (!text.len) return;
    buf_addz(out, lead);
    show_clean(out, text);
}

static struct bytes text_of(const struct json *map, const char *name) {
    struct bytes text = BYTES("");
    json_text(json_get(map, name), &text);
    return text;
}

static void show_verdict(struct buf *out, const struct json *v) {
    if (!v) return;
    clean(out, "\n    fault: ", text_of(v, "fault"));
    clean(out, ", ", text_of(v, "class"));
    clean(out, " (", text_of(v, "rule"));
    buf_byte(out, ')');
}

static void show_entry(struct buf *out, const struct json *entry) {
    int64_t expires_s = 0;
    if (json_kind(entry) != JSON_MAP) return;
    clean(out, "\n    to be suppressed for ", text_of(entry, "scope"));
    if (json_int(json_get(entry, "expires_s"), &expires_s)) buf_format(out, ", for %" PRId64 " days", (expires_s + 86399) / 86400);
    clean(out, ": ", text_of(entry, "reason"));
}

static void show_recipient(struct buf *out, const struct verdict_page *p, size_t n) {
    const struct returned_recipient *to = &p->what->recipients[n];
    clean(out, "\n  ", to->address.len ? to->address : BYTES("(nobody is named)"));
    if (to->guessed) buf_addz(out, " (a guess: the returned message's only recipient)");
    clean(out, ": ", to->action);
    clean(out, " ", to->status);
    clean(out, "\n    ", to->text);
    clean(out, "\n    said by ", to->remote);
    show_verdict(out, judgement_verdict(p->judged, n));
    show_entry(out, judgement_entry(p->judged, n));
}

void classify_text(const struct verdict_page *p, struct buf *out) {
    const struct returned *w = p->what;
    show_clean(out, bytes_of(p->name));
    buf_format(out, ": %s: %s", returned_kind_name[w->kind], w->why);
    clean(out, "\n  from ", w->from);
    clean(out, "\n  about ", w->original.message_id);
    clean(out, ", queued as ", w->original.id);
    clean(out, "\n  type ", w->feedback_type);
    clean(out, ", about mail of ", w->source_ip);
    for (size_t i = 0; i < w->count; i++) show_recipient(out, p, i);
    if (w->kind != RETURNED_OTHER) {
        buf_format(out, "\n  authentic: %s: ", p->belief->authentic == AUTHENTIC_YES ? "yes" : p->belief->authentic == AUTHENTIC_NO ? "no" : "unknown");
        show_clean(out, bytes_of(p->belief->why));
    }
    if (p->applying) buf_format(out, "\n  added to the suppression list: %d; not believed: %d", p->belief->applied, p->belief->refused);
    buf_byte(out, '\n');
}
