// SPDX-License-Identifier: MIT
#include "relay/parcel.h"

#include "mail/canon.h"
#include "mail/sign.h"
#include "relay/job.h"
#include "relay/maildir.h"

#include <stdio.h>
#include <stdlib.h>

enum { BODY_PIECE = 64 * 1024, DOTS = 256 }; // at once to the peer; and room for what transparency may add, and the end

static struct bytes envelope_sender(const struct attempt *a) {
    const struct message *m = &a->job->message;
    // The null sender of reports stays null, whatever the identity says: a bounce must not bounce.
    bool replace = m->sender.len && a->plan->identity.return_path.len;
    return replace ? a->plan->identity.return_path : m->sender;
}

static const struct recipient *recipient_of(const struct attempt *a, size_t i) { return &a->job->recipients[a->which[i]].record; }

static void fill_envelope(struct parcel *p, const struct attempt *a) {
    const struct message *m = &a->job->message;
    p->recipients = must_alloc(a->count * sizeof *p->recipients);
    for (size_t i = 0; i < a->count; i++) {
        const struct recipient *r = recipient_of(a, i);
        p->recipients[i] = (struct client_recipient){.address = r->address, .notify = r->notify & 15, .orcpt = r->orcpt};
    }
    p->message = (struct client_message){
        .sender = envelope_sender(a), .size = p->prefix.len + body_length(p->body), .has_8bit = m->flags & MESSAGE_8BIT,
        .smtputf8 = m->flags & MESSAGE_SMTPUTF8, .ret = m->flags & MESSAGE_RET_FULL ? 1 : m->flags & MESSAGE_RET_HDRS ? 2 : 0,
        .envid = m->envid, .recipients = p->recipients, .count = a->count,
    };
}

// What a signature says of the body. Reads all of it where that was not done while it came (relay/content): it is no large one then.
static bool hash_body(struct body *body, const struct message *m, uint8_t hash[DIGEST_SIZE], struct err *err) {
    char room[BODY_PIECE];
    struct canon_body canon;
    struct bytes piece;
    if (!(m->flags & MESSAGE_UNHASHED)) {
        memcpy(hash, m->body_hash, DIGEST_SIZE);
        return true;
    }
    canon_body_init(&canon);
    bool good;
    for (uint64_t at = 0; (good = body_piece(body, at, room, sizeof room, &piece, err)) && piece.len; at += piece.len)
        canon_body_add(&canon, piece);
    if (good) canon_body_finish(&canon, hash, NULL);
    else canon_body_drop(&canon);
    return good;
}

static bool sign(struct parcel *p, const struct attempt *a, int64_t now_s, struct err *err) {
    const struct message *m = &a->job->message;
    const struct identity *who = &a->plan->identity;
    uint8_t hash[DIGEST_SIZE];
    if (!who->key_count) return true;
    return hash_body(p->body, m, hash, err) && sign_message(&p->prefix, who->keys, who->key_count, m->head, hash, now_s, NULL, err);
}

bool parcel_pack(struct parcel *p, struct gateway *g, const struct attempt *a, struct err *err) {
    const struct message *m = &a->job->message;
    const struct fresh_body *fresh = a->job->fresh;
    p->body = fresh ? body_in_memory(fresh->parts, fresh->part_count) : body_open(g->store, m->id, &m->body, err);
    if (!p->body || !sign(p, a, clock_ms(&g->clock) / 1000, err)) return false;
    buf_add(&p->prefix, m->head);
    buf_add(&p->prefix, BYTES("\r\n"));
    fill_envelope(p, a);
    return true;
}

bool parcel_pour(struct parcel *p, struct client *client, struct err *err) {
    char room[BODY_PIECE];
    uint64_t length = body_length(p->body), until = p->poured + BODY_PIECE < length ? p->poured + BODY_PIECE : length;
    buf_reserve(client_output(client), p->prefix.len + (size_t)(until - p->poured) + DOTS);
    client_body(client, buf_bytes(&p->prefix));
    buf_reset(&p->prefix);
    while (p->poured < until) {
        struct bytes piece;
        if (!body_piece(p->body, p->poured, room, (size_t)(until - p->poured), &piece, err)) return false;
        p->poured += piece.len;
        client_body(client, piece);
    }
    if (p->poured >= length) client_body_end(client);
    return true;
}

bool parcel_capture(struct parcel *p, const struct attempt *a, size_t i, const char *dir, struct err *err) {
    const struct recipient *r = recipient_of(a, i);
    struct buf prefix = {0};
    char unique[64];
    snprintf(unique, sizeof unique, "%s.%u.tidegate", a->job->id_text, r->n);
    buf_format(&prefix, "Return-Path: <%.*s>\r\nDelivered-To: %.*s\r\n", BYTES_FMT(p->message.sender), BYTES_FMT(r->address));
    buf_add(&prefix, buf_bytes(&p->prefix));
    bool good = maildir_deliver(dir, unique, buf_bytes(&prefix), p->body, err);
    buf_release(&prefix);
    return good;
}

void parcel_release(struct parcel *p) {
    buf_release(&p->prefix);
    if (p->body) body_close(&p->body);
    free(p->recipients);
    *p = (struct parcel){0};
}
