// SPDX-License-Identifier: MIT
#include "store/record.h"

#include "base/bug.h"

#include <stdio.h>

enum { MESSAGE_VERSION = 3 /* 1: without trail; 2: always with a body hash */, RECIPIENT_VERSION = 2, RECIPIENT_PLAIN = 1 /* without priority and turn */ };
enum {
    MESSAGE_FIXED = 1 + 8 + 8 + 4 + 4 + 4 + 8 + 8 + 32, // version .. body_hash
    RECIPIENT_FIXED = 1 + 1 + 4 + 8 + 8 + 4,            // version .. notify
    TEXT_PREFIX = 4,
};

const char *const priority_name[] = {"", "urgent", "normal", "bulk"};
const char *const recipient_state_name[] = {"", "due", "parked", "held"};

static void add_be32(struct buf *out, uint32_t v) {
    put_be32(out->at + out->len, v);
    out->len += 4;
}

static void add_be64(struct buf *out, uint64_t v) {
    put_be64(out->at + out->len, v);
    out->len += 8;
}

static void add_text(struct buf *out, struct bytes text) {
    bug_if(text.len > UINT32_MAX);
    buf_reserve(out, TEXT_PREFIX + text.len);
    add_be32(out, (uint32_t)text.len);
    buf_add(out, text);
}

// Cuts fixed-size and prefixed fields off the front; once something was missing, all that follow are empty.
struct cutter {
    struct bytes rest;
    bool short_of;
};

static const char *cut(struct cutter *c, size_t size) {
    static const char zeros[32];
    if (c->rest.len < size) {
        c->short_of = true;
        return zeros;
    }
    const char *at = c->rest.at;
    c->rest = bytes_skip(c->rest, size);
    return at;
}

static struct bytes cut_text(struct cutter *c) {
    uint32_t len = get_be32(cut(c, TEXT_PREFIX));
    if (c->short_of || c->rest.len < len) {
        c->short_of = true;
        return BYTES("");
    }
    struct bytes text = bytes_first(c->rest, len);
    c->rest = bytes_skip(c->rest, len);
    return text;
}

void message_encode(const struct message *m, struct buf *out) {
    buf_reserve(out, MESSAGE_FIXED);
    out->at[out->len++] = MESSAGE_VERSION;
    add_be64(out, (uint64_t)m->received_ms);
    add_be64(out, (uint64_t)m->expires_ms);
    add_be32(out, m->flags);
    add_be32(out, m->recipients);
    add_be32(out, m->body.segment);
    add_be64(out, m->body.offset);
    add_be64(out, m->body.length);
    memcpy(out->at + out->len, m->body_hash, sizeof m->body_hash);
    out->len += sizeof m->body_hash;
    add_text(out, m->sender);
    add_text(out, m->envid);
    add_text(out, m->user);
    add_text(out, m->facts);
    add_text(out, m->tags);
    add_text(out, m->policy);
    add_text(out, m->head);
    add_text(out, m->trail);
}

bool message_decode(uint64_t id, struct bytes from, struct message *out, struct err *err) {
    struct cutter c = {from, false};
    uint8_t version = (uint8_t)*cut(&c, 1);
    if (from.len && (version < 1 || version > MESSAGE_VERSION))
        return err_set(err, "message %016llx: encoding version %u, this program knows %d",
                       (unsigned long long)id, version, MESSAGE_VERSION);
    *out = (struct message){.id = id};
    out->received_ms = (int64_t)get_be64(cut(&c, 8));
    out->expires_ms = (int64_t)get_be64(cut(&c, 8));
    out->flags = get_be32(cut(&c, 4));
    out->recipients = get_be32(cut(&c, 4));
    out->body.segment = get_be32(cut(&c, 4));
    out->body.offset = get_be64(cut(&c, 8));
    out->body.length = get_be64(cut(&c, 8));
    memcpy(out->body_hash, cut(&c, sizeof out->body_hash), sizeof out->body_hash);
    out->sender = cut_text(&c);
    out->envid = cut_text(&c);
    out->user = cut_text(&c);
    out->facts = cut_text(&c);
    out->tags = cut_text(&c);
    out->policy = cut_text(&c);
    out->head = cut_text(&c);
    out->trail = version > 1 ? cut_text(&c) : BYTES("");
    if (c.short_of || c.rest.len)
        return err_set(err, "message %016llx: the record is %s", (unsigned long long)id,
                       c.short_of ? "cut short" : "longer than its fields");
    return true;
}

void recipient_encode(const struct recipient *r, struct buf *out) {
    bug_if(r->state < RECIPIENT_DUE || r->state > RECIPIENT_HELD);
    bool ranked = r->state == RECIPIENT_PARKED && r->priority != PRIORITY_NONE;
    bug_if(r->priority >= PRIORITY_COUNT);
    buf_reserve(out, RECIPIENT_FIXED);
    out->at[out->len++] = ranked ? RECIPIENT_VERSION : RECIPIENT_PLAIN;
    out->at[out->len++] = (char)r->state;
    add_be32(out, r->attempts);
    add_be64(out, (uint64_t)r->due_ms);
    add_be64(out, (uint64_t)r->last_ms);
    add_be32(out, r->notify);
    add_text(out, r->address);
    add_text(out, r->orcpt);
    add_text(out, r->lane);
    add_text(out, r->outcome);
    add_text(out, r->decision);
    if (!ranked) return;
    buf_byte(out, (char)r->priority);
    add_text(out, r->turn);
}

bool recipient_decode(uint64_t id, uint32_t n, struct bytes from, struct recipient *out, struct err *err) {
    struct cutter c = {from, false};
    uint8_t version = (uint8_t)*cut(&c, 1);
    if (from.len && version != RECIPIENT_VERSION && version != RECIPIENT_PLAIN)
        return err_set(err, "recipient %016llx/%u: encoding version %u, this program knows %d",
                       (unsigned long long)id, n, version, RECIPIENT_VERSION);
    *out = (struct recipient){.id = id, .n = n};
    uint8_t state = (uint8_t)*cut(&c, 1);
    out->attempts = get_be32(cut(&c, 4));
    out->due_ms = (int64_t)get_be64(cut(&c, 8));
    out->last_ms = (int64_t)get_be64(cut(&c, 8));
    out->notify = get_be32(cut(&c, 4));
    out->address = cut_text(&c);
    out->orcpt = cut_text(&c);
    out->lane = cut_text(&c);
    out->outcome = cut_text(&c);
    out->decision = cut_text(&c);
    uint8_t priority = version == RECIPIENT_PLAIN ? PRIORITY_NONE : (uint8_t)*cut(&c, 1);
    out->turn = version == RECIPIENT_PLAIN ? BYTES("") : cut_text(&c);
    if (c.short_of || c.rest.len)
        return err_set(err, "recipient %016llx/%u: the record is %s", (unsigned long long)id, n,
                       c.short_of ? "cut short" : "longer than its fields");
    if (state < RECIPIENT_DUE || state > RECIPIENT_HELD)
        return err_set(err, "recipient %016llx/%u: unknown state %u", (unsigned long long)id, n, state);
    if (priority >= PRIORITY_COUNT)
        return err_set(err, "recipient %016llx/%u: unknown priority %u", (unsigned long long)id, n, priority);
    out->state = (enum recipient_state)state;
    out->priority = (enum priority)priority;
    return true;
}

enum { ID_MS_BITS = 41, ID_WORKER_BITS = 8, ID_SEQUENCE_BITS = 15 };
static const int64_t id_epoch_ms = 1577836800000; // 2020-01-01T00:00:00Z

uint64_t id_make(int64_t ms, unsigned worker, unsigned sequence) {
    const int64_t most = (INT64_C(1) << ID_MS_BITS) - 1;
    int64_t since = ms < id_epoch_ms ? 0 : ms - id_epoch_ms;
    if (since > most) since = most;
    bug_if(worker >> ID_WORKER_BITS || sequence >> ID_SEQUENCE_BITS);
    return (uint64_t)since << (ID_WORKER_BITS + ID_SEQUENCE_BITS) | (uint64_t)worker << ID_SEQUENCE_BITS |
           sequence;
}

unsigned id_worker(uint64_t id) {
    return (unsigned)(id >> ID_SEQUENCE_BITS) & ((1u << ID_WORKER_BITS) - 1);
}

int64_t id_ms(uint64_t id) {
    return (int64_t)(id >> (ID_WORKER_BITS + ID_SEQUENCE_BITS)) + id_epoch_ms;
}

void id_text(uint64_t id, char out[ID_TEXT]) {
    snprintf(out, ID_TEXT, "%016llx", (unsigned long long)id);
}

bool id_parse(struct bytes text, uint64_t *id) {
    if (text.len != ID_TEXT - 1) return false;
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        unsigned digit;
        if (c >= '0' && c <= '9')
            digit = (unsigned)(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = (unsigned)(c - 'a') + 10;
        else if (c >= 'A' && c <= 'F')
            digit = (unsigned)(c - 'A') + 10;
        else
            return false;
        value = value << 4 | digit;
    }
    *id = value;
    return true;
}

static struct bytes kept(struct arena *arena, struct bytes text) {
    return text.len ? arena_copy(arena, text) : BYTES("");
}

void message_copy(struct arena *arena, const struct message *from, struct message *to) {
    *to = *from;
    to->sender = kept(arena, from->sender);
    to->envid = kept(arena, from->envid);
    to->user = kept(arena, from->user);
    to->facts = kept(arena, from->facts);
    to->tags = kept(arena, from->tags);
    to->policy = kept(arena, from->policy);
    to->head = kept(arena, from->head);
    to->trail = kept(arena, from->trail);
}

void recipient_copy(struct arena *arena, const struct recipient *from, struct recipient *to) {
    *to = *from;
    to->address = kept(arena, from->address);
    to->orcpt = kept(arena, from->orcpt);
    to->lane = kept(arena, from->lane);
    to->turn = kept(arena, from->turn);
    to->outcome = kept(arena, from->outcome);
    to->decision = kept(arena, from->decision);
}
