// SPDX-License-Identifier: MIT
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "smtp/envelope.h"

#define TEXT(literal) {literal, sizeof(literal) - 1}
static const struct client_recipient to = {.address = TEXT("b@b.test"), .notify = 14, .orcpt = TEXT("rfc822;b")};
static const struct client_message message = {
    .sender = TEXT("a@a.test"), .size = 10, .has_8bit = true, .ret = 1, .envid = TEXT("e"), .recipients = &to, .count = 1};

static void assert_said(struct buf *b, const char *want) {
    assert_string_equal(buf_z(b), want);
    buf_reset(b);
}

static void says_what_the_peer_knows(void **state) {
    (void)state;
    struct capability none = {0}, all = {.size = true, .eightbitmime = true, .dsn = true, .smtputf8 = true};
    struct client_message m = message;
    struct buf b = {0};
    envelope_mail(&b, &m, &none);
    assert_said(&b, "MAIL FROM:<a@a.test>\r\n");
    envelope_mail(&b, &m, &all);
    assert_said(&b, "MAIL FROM:<a@a.test> SIZE=10 BODY=8BITMIME RET=FULL ENVID=e\r\n");
    m.smtputf8 = true;
    m.ret = 2;
    m.envid.len = 0;
    envelope_mail(&b, &m, &all);
    assert_said(&b, "MAIL FROM:<a@a.test> SIZE=10 BODY=8BITMIME SMTPUTF8 RET=HDRS\r\n");
    envelope_rcpt(&b, &to, &none);
    assert_said(&b, "RCPT TO:<b@b.test>\r\n");
    envelope_rcpt(&b, &to, &all);
    assert_said(&b, "RCPT TO:<b@b.test> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;b\r\n");
    buf_release(&b);
}

static void refuses_what_the_peer_can_not_take(void **state) {
    (void)state;
    struct capability peer = {.size = true, .size_max = 10, .eightbitmime = true};
    struct client_message m = message;
    struct reply why;
    assert_false(envelope_is_refused(&m, &peer, false, &why));
    m.size = 11;
    assert_true(envelope_is_refused(&m, &peer, false, &why));
    assert_int_equal(why.code, 552);
    m = message;
    peer.eightbitmime = false;
    assert_true(envelope_is_refused(&m, &peer, false, &why));
    assert_int_equal(why.code, 554);
    assert_false(envelope_is_refused(&m, &peer, true, &why));
    struct client_recipient utf8 = {.address = TEXT("\xc3\xa9@b.test")};
    m.recipients = &utf8;
    assert_true(envelope_is_refused(&m, &peer, true, &why));
    assert_int_equal(why.code, 553);
    peer.smtputf8 = true;
    assert_false(envelope_is_refused(&m, &peer, true, &why));
    m.envid = BYTES("e\r\nRSET");
    assert_true(envelope_is_refused(&m, &peer, true, &why));
    m = message;
    struct client_recipient evil = {.address = TEXT("b@b.test"), .orcpt = TEXT("x\ny")};
    m.recipients = &evil;
    assert_true(envelope_is_refused(&m, &peer, true, &why));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_the_peer_knows),
        cmocka_unit_test(refuses_what_the_peer_can_not_take),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
