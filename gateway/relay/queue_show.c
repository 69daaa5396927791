// SPDX-License-Identifier: MIT
#include "relay/queue_show.h"

#include "relay/journal.h"

#include <sysexits.h>

static void put_recipient(struct jsonl *j, const struct recipient *r) {
    char id[ID_TEXT];
    id_text(r->id, id);
    jsonl_textz(j, "id", id);
    jsonl_int(j, "n", r->n);
    jsonl_textz(j, "state", recipient_state_name[r->state]);
    jsonl_text(j, "recipient", r->address);
    jsonl_time(j, "due", r->due_ms);
    jsonl_int(j, "attempts", r->attempts);
    if (r->last_ms) jsonl_time(j, "last_attempt", r->last_ms);
    jsonl_text(j, "lane", r->lane);
    if (r->decision.len) {
        struct json *d = json_parse(r->decision, NULL);
        struct bytes because = BYTES("");
        json_text(json_get(d, "because"), &because);
        jsonl_text(j, "because", because);
        json_free(&d);
        jsonl_raw(j, "decision", r->decision);
    }
    if (r->outcome.len) jsonl_raw(j, "last", r->outcome);
}

static void put_message(struct jsonl *j, const struct message *m) {
    jsonl_text(j, "sender", m->sender);
    jsonl_text(j, "user", m->user);
    jsonl_time(j, "received", m->received_ms);
    jsonl_time(j, "expires", m->expires_ms);
    jsonl_int(j, "size", (int64_t)(m->head.len + 2 + m->body.length));
}

void queue_show_recipient(struct asker *a, const struct recipient *r, const struct message *m) {
    struct buf out = {0};
    struct jsonl j = jsonl_begin(&out);
    put_recipient(&j, r);
    if (m) {
        put_message(&j, m);
        if (m->tags.len) jsonl_raw(&j, "tags", m->tags);
    }
    jsonl_end(&j);
    asker_row(a, buf_bytes(&out));
    buf_release(&out);
}

static void show_message(struct asker *a, const struct message *m) {
    struct buf out = {0};
    struct jsonl j = jsonl_begin(&out);
    char id[ID_TEXT];
    id_text(m->id, id);
    jsonl_textz(&j, "id", id);
    put_message(&j, m);
    jsonl_int(&j, "recipient_count", m->recipients);
    jsonl_text(&j, "policy", m->policy);
    jsonl_bool(&j, "report", m->flags & MESSAGE_REPORT);
    if (m->tags.len) jsonl_raw(&j, "tags", m->tags);
    if (m->facts.len) jsonl_raw(&j, "facts", m->facts);
    jsonl_text(&j, "head", m->head);
    jsonl_end(&j);
    asker_row(a, buf_bytes(&out));
    buf_release(&out);
}

static bool each_recipient(void *arg, const struct recipient *r) {
    struct buf out = {0};
    struct jsonl j = jsonl_begin(&out);
    put_recipient(&j, r);
    jsonl_end(&j);
    asker_row(arg, buf_bytes(&out));
    buf_release(&out);
    return true;
}

struct past {
    struct asker *asker;
    uint64_t count;
};

static bool each_journal(void *arg, int64_t at_ms, struct bytes entry) {
    struct past *past = arg;
    struct bytes event = journal_event(entry);
    if (!event.len) return true; // of the session's hooks
    struct buf out = {0};
    struct jsonl j = jsonl_begin(&out);
    (void)at_ms;
    jsonl_raw(&j, "journal", event);
    jsonl_end(&j);
    asker_row(past->asker, buf_bytes(&out));
    past->count++;
    buf_release(&out);
    return true;
}

void queue_show(struct asker *a, uint64_t id) {
    struct message m;
    struct err err;
    struct past past = {.asker = a};
    struct reader *reader = reader_new(asker_gateway(a)->store, &err);
    if (!reader) return asker_error(a, EX_IOERR, "%s", err.text);
    reader_begin(reader);
    bool queued = reader_message(reader, id, &m);
    if (queued) {
        show_message(a, &m);
        reader_recipients_of(reader, id, each_recipient, a);
    }
    reader_journal_of(reader, id, each_journal, &past);
    reader_end(reader);
    reader_free(&reader);
    char text[ID_TEXT];
    id_text(id, text);
    if (!queued && !past.count) return asker_error(a, EX_DATAERR, "%s is neither in the queue nor in the journal", text);
    struct jsonl *j = asker_done_begin(a);
    jsonl_int(j, "count", (int64_t)past.count);
    asker_done_end(a);
}
