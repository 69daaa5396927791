// SPDX-License-Identifier: MIT
#include "store/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct message full_message(void) {
    struct message m = {.id = 77,
                        .received_ms = 1700000000123,
                        .expires_ms = -1,
                        .flags = MESSAGE_8BIT | MESSAGE_REPORT,
                        .sender = BYTES("a@b.example"),
                        .envid = BYTES("QQ314159"),
                        .user = BYTES("demo"),
                        .facts = BYTES("{\"helo\":\"x\"}"),
                        .tags = BYTES("{}"),
                        .policy = BYTES("abc"),
                        .head = BYTES("Subject: nul \0 inside\r\n"),
                        .trail = BYTES("\1\0x"),
                        .recipients = UINT32_MAX,
                        .body = {.segment = 9, .offset = UINT64_C(1) << 40, .length = 12345}};
    for (int i = 0; i < 32; i++)
        m.body_hash[i] = (uint8_t)(255 - i);
    return m;
}

static struct recipient full_recipient(void) {
    return (struct recipient){.id = 77,
                              .n = 3,
                              .state = RECIPIENT_PARKED,
                              .attempts = 4,
                              .due_ms = 1700000000999,
                              .last_ms = 5,
                              .notify = 6,
                              .address = BYTES("c@d.example"),
                              .orcpt = BYTES("rfc822;c@d"),
                              .lane = BYTES("acme/google/verify"),
                              .outcome = BYTES("{\"code\":421}"),
                              .decision = BYTES("{\"because\":\"warm\"}")};
}

static void a_message_comes_back_as_it_went(void **state) {
    (void)state;
    struct message m = full_message(), back;
    struct buf out = {0};
    message_encode(&m, &out);
    assert_true(message_decode(77, buf_bytes(&out), &back, NULL));
    assert_int_equal(back.id, 77);
    assert_true(back.received_ms == m.received_ms && back.expires_ms == -1);
    assert_int_equal(back.flags, m.flags);
    assert_int_equal(back.recipients, UINT32_MAX);
    assert_int_equal(back.body.segment, 9);
    assert_true(back.body.offset == m.body.offset && back.body.length == m.body.length);
    assert_memory_equal(back.body_hash, m.body_hash, 32);
    assert_true(bytes_equal(back.sender, m.sender) && bytes_equal(back.envid, m.envid));
    assert_true(bytes_equal(back.user, m.user) && bytes_equal(back.facts, m.facts));
    assert_true(bytes_equal(back.tags, m.tags) && bytes_equal(back.policy, m.policy));
    assert_true(bytes_equal(back.head, m.head) && bytes_equal(back.trail, m.trail));
    buf_release(&out);
}

static void a_recipient_comes_back_as_it_went(void **state) {
    (void)state;
    struct recipient r = full_recipient(), back;
    struct buf out = {0};
    recipient_encode(&r, &out);
    assert_true(recipient_decode(77, 3, buf_bytes(&out), &back, NULL));
    assert_int_equal(back.state, RECIPIENT_PARKED);
    assert_int_equal(back.attempts, 4);
    assert_true(back.due_ms == r.due_ms && back.last_ms == 5 && back.notify == 6 && back.n == 3);
    assert_true(bytes_equal(back.address, r.address) && bytes_equal(back.orcpt, r.orcpt));
    assert_true(bytes_equal(back.lane, r.lane) && bytes_equal(back.outcome, r.outcome));
    assert_true(bytes_equal(back.decision, r.decision));
    buf_release(&out);
}

static void one_that_waits_in_turns_says_whose(void **state) {
    (void)state;
    struct recipient r = full_recipient(), back;
    struct buf out = {0};
    recipient_encode(&r, &out);
    assert_int_equal(out.at[0], 1); // as versions before turns wrote it, and read it
    r.priority = PRIORITY_BULK;
    r.turn = BYTES("tenant");
    buf_reset(&out);
    recipient_encode(&r, &out);
    assert_int_equal(out.at[0], 2);
    for (size_t len = 0; len < out.len; len++) {
        char *piece = calloc(1, len ? len : 1);
        memcpy(piece, out.at, len);
        assert_false(recipient_decode(77, 3, bytes_range(piece, len), &back, NULL));
        free(piece);
    }
    assert_true(recipient_decode(77, 3, buf_bytes(&out), &back, NULL));
    assert_int_equal(back.priority, PRIORITY_BULK);
    assert_true(bytes_equal(back.turn, BYTES("tenant")) && bytes_equal(back.decision, r.decision));
    out.at[out.len - 4 - 6 - 1] = 4;
    assert_false(recipient_decode(77, 3, buf_bytes(&out), &back, NULL));
    r.state = RECIPIENT_DUE; // whoever no longer waits there keeps none of it
    buf_reset(&out);
    recipient_encode(&r, &out);
    assert_true(recipient_decode(77, 3, buf_bytes(&out), &back, NULL));
    assert_int_equal(back.priority, PRIORITY_NONE);
    buf_release(&out);
}

static void empty_ones_too(void **state) {
    (void)state;
    struct message m = {.id = 1}, m_back;
    struct recipient r = {.id = 1, .state = RECIPIENT_HELD}, r_back;
    struct buf out = {0};
    message_encode(&m, &out);
    assert_true(message_decode(1, buf_bytes(&out), &m_back, NULL));
    assert_int_equal(m_back.head.len, 0);
    buf_reset(&out);
    recipient_encode(&r, &out);
    assert_true(recipient_decode(1, 0, buf_bytes(&out), &r_back, NULL));
    assert_int_equal(r_back.state, RECIPIENT_HELD);
    buf_release(&out);
}

// Each prefix in a block of its own size, so that reading past it is seen by the sanitizer.
static void nothing_shorter_or_longer_decodes(void **state) {
    (void)state;
    struct message m = full_message();
    struct recipient r = full_recipient();
    struct buf out[2] = {{0}, {0}};
    struct err err;
    message_encode(&m, &out[0]);
    recipient_encode(&r, &out[1]);
    for (int which = 0; which < 2; which++) {
        for (size_t len = 0; len <= out[which].len + 1; len++) {
            char *piece = calloc(1, len ? len : 1);
            memcpy(piece, out[which].at, len < out[which].len ? len : out[which].len);
            bool good = which ? recipient_decode(1, 1, bytes_range(piece, len), &r, &err)
                              : message_decode(1, bytes_range(piece, len), &m, &err);
            assert_true(good == (len == out[which].len));
            free(piece);
        }
        buf_release(&out[which]);
    }
}

static void the_first_version_has_no_trail(void **state) {
    (void)state;
    struct message m = full_message(), back;
    struct buf out = {0};
    m.trail = BYTES("");
    message_encode(&m, &out);
    out.at[0] = 1;
    assert_true(message_decode(1, bytes_first(buf_bytes(&out), out.len - 4), &back, NULL));
    assert_true(bytes_equal(back.head, m.head));
    assert_int_equal(back.trail.len, 0);
    buf_release(&out);
}

static void the_version_before_reads_as_this_one(void **state) {
    (void)state;
    struct message m = full_message(), back;
    struct buf out = {0};
    message_encode(&m, &out);
    out.at[0] = 2; // which always had a body hash
    assert_true(message_decode(1, buf_bytes(&out), &back, NULL));
    assert_true(!(back.flags & MESSAGE_UNHASHED) && bytes_equal(back.trail, m.trail));
    assert_memory_equal(back.body_hash, m.body_hash, sizeof m.body_hash);
    buf_release(&out);
}

static void another_version_or_state_is_refused_in_words(void **state) {
    (void)state;
    struct message m = full_message();
    struct recipient r = full_recipient();
    struct buf out = {0};
    struct err err;
    message_encode(&m, &out);
    out.at[0] = 4;
    assert_false(message_decode(1, buf_bytes(&out), &m, &err));
    assert_non_null(strstr(err.text, "encoding version 4"));
    buf_reset(&out);
    recipient_encode(&r, &out);
    for (int was = 0; was < 256; was++) {
        out.at[1] = (char)was;
        assert_true(recipient_decode(1, 1, buf_bytes(&out), &r, &err) == (was >= 1 && was <= 3));
    }
    out.at[0] = 9;
    assert_false(recipient_decode(1, 1, buf_bytes(&out), &r, &err));
    assert_non_null(strstr(err.text, "encoding version 9"));
    buf_release(&out);
}

static void random_damage_never_reads_outside(void **state) {
    (void)state;
    struct message m = full_message();
    struct buf out = {0};
    uint32_t seed = 1;
    message_encode(&m, &out);
    char *copy = malloc(out.len);
    for (int round = 0; round < 5000; round++) {
        memcpy(copy, out.at, out.len);
        for (int hit = 0; hit < 3; hit++) {
            seed = seed * 1664525 + 1013904223;
            copy[(seed >> 8) % out.len] = (char)seed;
        }
        struct message back;
        if (message_decode(1, bytes_range(copy, out.len), &back, NULL))
            assert_true(back.head.len == 0 ||
                        (back.head.at >= copy && back.head.at + back.head.len <= copy + out.len));
    }
    free(copy);
    buf_release(&out);
}

static void ids_are_ordered_by_time_and_readable(void **state) {
    (void)state;
    uint64_t a = id_make(1700000000000, 3, 5), b = id_make(1700000000001, 0, 0), back;
    char text[ID_TEXT];
    assert_true(a < b);
    assert_true(id_ms(a) == 1700000000000 && id_worker(a) == 3);
    assert_true(id_make(1700000000000, 3, 6) == a + 1);
    assert_int_equal(id_make(0, 0, 0), 0); // before 2020: as 2020
    assert_true(id_ms(id_make(INT64_MAX, 255, ID_SEQUENCES - 1)) > 3700000000000);
    id_text(a, text);
    assert_int_equal(strlen(text), 16);
    assert_true(id_parse(bytes_of(text), &back) && back == a);
    assert_true(id_parse(BYTES("00000000000000fF"), &back) && back == 255);
    assert_false(id_parse(BYTES(""), &back));
    assert_false(id_parse(BYTES("00000000000000f"), &back));
    assert_false(id_parse(BYTES("00000000000000fff"), &back));
    assert_false(id_parse(BYTES("00000000000000fg"), &back));
    assert_false(id_parse(BYTES("-000000000000001"), &back));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_comes_back_as_it_went),
        cmocka_unit_test(a_recipient_comes_back_as_it_went), cmocka_unit_test(one_that_waits_in_turns_says_whose),
        cmocka_unit_test(empty_ones_too),
        cmocka_unit_test(nothing_shorter_or_longer_decodes),
        cmocka_unit_test(the_first_version_has_no_trail),
        cmocka_unit_test(the_version_before_reads_as_this_one),
        cmocka_unit_test(another_version_or_state_is_refused_in_words),
        cmocka_unit_test(random_damage_never_reads_outside),
        cmocka_unit_test(ids_are_ordered_by_time_and_readable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
