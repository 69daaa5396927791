// SPDX-License-Identifier: MIT
// parcel: what of an attempt goes to the peer, to the byte, and what happens where it cannot be had.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "mail/sign.h"
#include "relay/job.h"
#include "relay/parcel.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { BODY = 150000 }; // more than one piece

#define HEAD "From: anna@sender.example\r\nSubject: x\r\n"

struct bench {
    char path[64];
    struct log log;
    struct gateway gateway;
    struct job job;
    struct job_recipient recipients[3];
    struct plan plan;
    struct attempt attempt;
    size_t which[2];
    struct parcel parcel;
    char *body;
};

struct mail {
    struct store_op op; // first
    struct message *message;
    struct recipient recipient;
    struct iovec part;
};

static bool apply(struct store_op *op, struct txn *txn, struct err *err) {
    struct mail *m = (struct mail *)op;
    m->message->body = op->place;
    return txn_put_message(txn, m->message, err) && txn_put_recipient(txn, &m->recipient, err);
}

static void finish(struct store_op *op, bool done, const struct err *why) {
    (void)op, (void)why;
    assert_true(done);
}

static void take(struct bench *b) {
    struct mail m = {.op = {.apply = apply, .finish = finish, .part_count = 1, .file = -1, .body_id = b->job.message.id},
                     .message = &b->job.message, .recipient = {.id = b->job.message.id, .state = RECIPIENT_DUE, .address = BYTES("bob@far.example")},
                     .part = {b->body, BODY}};
    m.op.parts = &m.part;
    store_submit(b->gateway.store, &m.op);
    while (store_turn(b->gateway.store)) continue;
}

static int set_up(void **state) {
    struct bench *b = must_alloc(sizeof *b);
    struct err err;
    snprintf(b->path, sizeof b->path, "/tmp/tidegate-parcel-XXXXXX");
    assert_non_null(mkdtemp(b->path));
    b->log = (struct log){.fd = -1, .level = LOG_FAULT, .clock = &b->gateway.clock};
    b->gateway.clock.frozen_ms = 1800000000000;
    char store[100];
    snprintf(store, sizeof store, "%s/store", b->path);
    b->gateway.store = store_open(&(struct store_options){.path = store, .fleeting = true, .clock = &b->gateway.clock, .log = &b->log}, &err);
    assert_non_null(b->gateway.store);
    b->body = must_alloc(BODY);
    for (size_t i = 0; i < BODY; i++) b->body[i] = i % 80 == 78 ? '\r' : i % 80 == 79 ? '\n' : (char)('a' + i / 80 % 26);
    memcpy(b->body + BODY - 2, "\r\n", 2);
    b->job.message = (struct message){.id = 1, .received_ms = 1, .expires_ms = 2, .recipients = 1, .sender = BYTES("anna@sender.example"),
                                      .head = BYTES(HEAD), .flags = MESSAGE_8BIT | MESSAGE_RET_HDRS, .envid = BYTES("env1")};
    b->recipients[0].record = (struct recipient){.n = 0, .address = BYTES("zero@far.example")};
    b->recipients[1].record = (struct recipient){.n = 1, .address = BYTES("one@far.example"), .notify = NOTIFY_FAILURE | 1 << 16,
                                                 .orcpt = BYTES("rfc822;one@x")};
    b->recipients[2].record = (struct recipient){.n = 2, .address = BYTES("two@far.example"), .notify = NOTIFY_NEVER};
    b->job.recipients = b->recipients;
    b->job.count = 3;
    snprintf(b->job.id_text, sizeof b->job.id_text, "id1");
    b->which[0] = 2;
    b->which[1] = 1;
    b->attempt = (struct attempt){.job = &b->job, .plan = &b->plan, .which = b->which, .count = 2};
    take(b);
    *state = b;
    return 0;
}

static int tear_down(void **state) {
    struct bench *b = *state;
    char command[128];
    parcel_release(&b->parcel);
    store_close(&b->gateway.store);
    snprintf(command, sizeof command, "rm -rf '%s'", b->path);
    assert_int_equal(system(command), 0);
    free(b->body);
    free(b);
    return 0;
}

static void pack(struct bench *b) {
    struct err err;
    if (!parcel_pack(&b->parcel, &b->gateway, &b->attempt, &err)) fail_msg("%s", err.text);
}

static void assert_bytes(struct bytes got, const char *want) {
    if (!bytes_equal(got, bytes_of(want))) fail_msg("'%.*s', not '%s'", BYTES_FMT(got), want);
}

static void the_envelope_is_that_of_the_attempt(void **state) {
    struct bench *b = *state;
    pack(b);
    const struct client_message *m = &b->parcel.message;
    assert_bytes(m->sender, "anna@sender.example");
    assert_int_equal(m->size, strlen(HEAD) + 2 + BODY);
    assert_true(m->has_8bit && !m->smtputf8);
    assert_int_equal(m->ret, 2);
    assert_bytes(m->envid, "env1");
    assert_int_equal(m->count, 2);
    assert_bytes(m->recipients[0].address, "two@far.example");
    assert_int_equal(m->recipients[0].notify, NOTIFY_NEVER);
    assert_bytes(m->recipients[1].address, "one@far.example");
    assert_int_equal(m->recipients[1].notify, NOTIFY_FAILURE); // what we keep beside it is ours
    assert_bytes(m->recipients[1].orcpt, "rfc822;one@x");
}

static void an_identity_has_its_return_path(void **state) {
    struct bench *b = *state;
    b->plan.identity.return_path = BYTES("bounces@acme.example");
    pack(b);
    assert_bytes(b->parcel.message.sender, "bounces@acme.example");
    parcel_release(&b->parcel);
    b->job.message.sender = BYTES(""); // a report must not bounce
    pack(b);
    assert_bytes(b->parcel.message.sender, "");
}

static enum client_next say(struct client *c, const char *line) {
    struct bytes in = bytes_of(line);
    struct client_want want;
    return client_next(c, &in, &want);
}

static void assert_poured_whole(struct bench *b) {
    struct client_options options = {.helo = "gate.example"};
    struct client *c = client_new(&options);
    struct buf *out = client_output(c), want = {0};
    struct err err;
    int pieces = 0;
    pack(b);
    say(c, "220 x\r\n");
    assert_int_equal(say(c, "250-x\r\n250 8BITMIME\r\n"), CLIENT_READY);
    client_send(c, &b->parcel.message);
    say(c, "");
    say(c, "250 x\r\n");
    say(c, "250 x\r\n");
    say(c, "250 x\r\n");
    buf_reset(out);
    for (enum client_next next = say(c, "354 x\r\n"); next == CLIENT_BODY; next = say(c, "")) {
        assert_true(parcel_pour(&b->parcel, c, &err));
        pieces++;
    }
    assert_true(pieces > 1);
    buf_addz(&want, HEAD "\r\n");
    buf_add(&want, bytes_range(b->body, BODY));
    buf_addz(&want, ".\r\n");
    assert_int_equal(out->len, want.len);
    assert_memory_equal(out->at, want.at, want.len);
    buf_release(&want);
    client_free(&c);
}

static void it_is_poured_whole(void **state) { assert_poured_whole(*state); }

// The store does not have it, so what comes has not been read there.
static void a_fresh_one_is_poured_from_memory(void **state) {
    struct bench *b = *state;
    struct iovec parts[3] = {{b->body, 4096}, {b->body + 4096, 100000}, {b->body + 104096, BODY - 104096}};
    struct fresh_body fresh = {.parts = parts, .part_count = 3};
    b->job.message.id = 2;
    b->job.fresh = &fresh;
    assert_poured_whole(b);
}

static void hash_of_body(struct bench *b, uint8_t hash[DIGEST_SIZE]) {
    struct canon_body canon;
    canon_body_init(&canon);
    canon_body_add(&canon, bytes_range(b->body, BODY));
    canon_body_finish(&canon, hash, NULL);
}

// Whoever took the hash, and wherever the body is: it is the same signature.
static void a_signature_is_of_the_body_that_goes(void **state) {
    struct bench *b = *state;
    struct buf pem = {0};
    struct err err;
    assert_true(sign_key_make(0, &pem, &err));
    struct sign_key *key = sign_key_load("sender.example", "s1", buf_bytes(&pem), &err);
    b->plan.identity.keys = &key;
    b->plan.identity.key_count = 1;
    hash_of_body(b, b->job.message.body_hash);
    pack(b);
    char *want = bytes_dupz(buf_bytes(&b->parcel.prefix));
    parcel_release(&b->parcel);

    memset(b->job.message.body_hash, 0, sizeof b->job.message.body_hash);
    b->job.message.flags |= MESSAGE_UNHASHED;
    pack(b);
    assert_bytes(buf_bytes(&b->parcel.prefix), want);
    struct bytes piece;
    char room[100]; // the body is still to be had from its beginning
    assert_true(body_piece(b->parcel.body, 0, room, sizeof room, &piece, &err) && piece.len == sizeof room);
    assert_memory_equal(piece.at, b->body, sizeof room);
    parcel_release(&b->parcel);

    struct iovec parts[2] = {{b->body, 70000}, {b->body + 70000, BODY - 70000}};
    struct fresh_body fresh = {.parts = parts, .part_count = 2};
    b->job.fresh = &fresh;
    pack(b);
    assert_bytes(buf_bytes(&b->parcel.prefix), want);
    free(want);
    sign_key_free(&key);
    buf_release(&pem);
}

static void signatures_stand_before_the_head(void **state) {
    struct bench *b = *state;
    struct buf pem = {0};
    struct err err;
    assert_true(sign_key_make(0, &pem, &err));
    struct sign_key *key = sign_key_load("sender.example", "s1", buf_bytes(&pem), &err);
    assert_non_null(key);
    b->plan.identity.keys = &key;
    b->plan.identity.key_count = 1;
    pack(b);
    struct bytes prefix = buf_bytes(&b->parcel.prefix);
    assert_true(bytes_starts(prefix, BYTES("DKIM-Signature:")) && bytes_ends_nocase(prefix, BYTES(HEAD "\r\n")));
    assert_int_equal(b->parcel.message.size, prefix.len + BODY);
    parcel_release(&b->parcel);
    b->job.message.head = BYTES("Subject: x\r\n"); // nothing to sign
    assert_false(parcel_pack(&b->parcel, &b->gateway, &b->attempt, &err));
    sign_key_free(&key);
    buf_release(&pem);
}

static void a_body_that_is_gone_is_told_of(void **state) {
    struct bench *b = *state;
    struct err err = {""};
    b->job.message.id = 2; // another's is there
    assert_false(parcel_pack(&b->parcel, &b->gateway, &b->attempt, &err));
    assert_true(err.text[0]);
}

static void assert_captured(struct bench *b) {
    char dir[80], name[160], got[BODY + 300];
    struct buf want = {0};
    struct err err;
    snprintf(dir, sizeof dir, "%s/mail", b->path);
    pack(b);
    assert_true(parcel_capture(&b->parcel, &b->attempt, 1, dir, &err));
    snprintf(name, sizeof name, "%s/new/id1.1.tidegate", dir);
    FILE *f = fopen(name, "r");
    assert_non_null(f);
    size_t len = fread(got, 1, sizeof got, f);
    fclose(f);
    buf_addz(&want, "Return-Path: <anna@sender.example>\nDelivered-To: one@far.example\nFrom: anna@sender.example\nSubject: x\n\n");
    for (size_t i = 0; i < BODY; i++) // lines of a file end with LF
        if (b->body[i] != '\r') buf_byte(&want, b->body[i]);
    assert_int_equal(len, want.len);
    assert_memory_equal(got, want.at, len);
    buf_release(&want);
}

static void it_can_be_captured(void **state) { assert_captured(*state); }

static void a_fresh_one_can_be_captured(void **state) {
    struct bench *b = *state;
    struct iovec parts[2] = {{b->body, BODY - 1}, {b->body + BODY - 1, 1}}; // parted inside a CRLF
    struct fresh_body fresh = {.parts = parts, .part_count = 2};
    b->job.message.id = 2;
    b->job.fresh = &fresh;
    assert_captured(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_envelope_is_that_of_the_attempt, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_identity_has_its_return_path, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_is_poured_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_fresh_one_is_poured_from_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_signature_is_of_the_body_that_goes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(signatures_stand_before_the_head, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_body_that_is_gone_is_told_of, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_can_be_captured, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_fresh_one_can_be_captured, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
