// SPDX-License-Identifier: MIT
#include "mail/returned.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

struct kit {
    struct arena arena;
    struct returned r;
};

static struct returned *reading(struct kit *k, const char *text) {
    arena_release(&k->arena);
    returned_read(bytes_of(text), &k->arena, &k->r);
    return &k->r;
}

#define expect_text(got, wanted)                                                                                                           \
    do {                                                                                                                                   \
        struct bytes g = (got);                                                                                                            \
        if (!bytes_equal(g, bytes_of(wanted))) fail_msg("'%.*s' is not '%s'", BYTES_FMT(g), wanted);                                        \
    } while (0)

static void expect(struct returned *r, enum returned_kind kind, const char *address, const char *status, int code) {
    if (r->kind != kind) fail_msg("it is %s: %s", returned_kind_name[r->kind], r->why);
    assert_int_equal(r->count, 1);
    expect_text(r->recipients[0].address, address);
    expect_text(r->recipients[0].status, status);
    assert_int_equal(r->recipients[0].code, code);
}

#define REPORT(fields)                                                                                                                     \
    "From: MAILER-DAEMON@mx.example\nTo: us@example.org\nSubject: x\nContent-Type: multipart/report; boundary=\"=_b\"\n\n--=_b\n\nwords\n"    \
    "--=_b\nContent-Type: message/delivery-status\n\n" fields "\n--=_b\nContent-Type: text/rfc822-headers\n\nMessage-ID: <1@example.org>\n"  \
    "To: bob@example.net\n--=_b--\n"

static void test_status(void **state) {
    struct kit *k = *state;
    struct returned *r = reading(k, REPORT("Reporting-MTA: dns; mx.example\nOriginal-Envelope-Id: e7\n\nFinal-Recipient: rfc822; bob@example.net\n"
                                           "Original-Recipient: rfc822;bobby@example.com\nAction: failed\nStatus: 5.0.0\n"
                                           "Remote-MTA: dns; [192.0.2.1]\nDiagnostic-Code: smtp; 550 5.2.1 disabled\n"));
    expect(r, RETURNED_BOUNCE, "bobby@example.com", "5.2.1", 550); // whom we wrote to, not where that led
    expect_text(r->recipients[0].original, "bobby@example.com");
    expect_text(r->recipients[0].final, "bob@example.net");
    expect_text(r->recipients[0].remote, "[192.0.2.1]");
    expect_text(r->envelope_id, "e7");
    expect_text(r->original.message_id, "<1@example.org>");
    r = reading(k, REPORT("Reporting-MTA: dns; a\n\nFinal-Recipient: rfc822;a@example.net\nAction: relayed\nStatus: 2.1.5\n\n"
                          "Final-Recipient: rfc822;b@example.net\nAction: Delayed\nStatus: 4.4.1\nDiagnostic-Code: X-Postfix; connection timed out\n"));
    assert_int_equal(r->kind, RETURNED_DELAYED);
    assert_int_equal(r->count, 2);
    assert_false(r->recipients[1].from_peer);
    r = reading(k, REPORT("Reporting-MTA: dns; a\n\nFinal-Recipient: rfc822;a@example.net\nAction: delivered\nStatus: 2.0.0\n"));
    assert_int_equal(r->kind, RETURNED_DELIVERED);
    r = reading(k, REPORT("Reporting-MTA: dns; a\n\nFinal-Recipient: rfc822;a@example.net\nAction: relayed\nStatus: 2.0.0\n"));
    assert_int_equal(r->kind, RETURNED_RELAYED);
}

static void test_words(void **state) {
    struct kit *k = *state;
    expect(reading(k, "From: mailer-daemon@mx.example\r\nTo: us@example.org\r\nSubject: failure notice\r\n\r\n<bob@example.net>:\r\nSorry, no mailbox here by that name.\r\n"),
           RETURNED_BOUNCE, "bob@example.net", "5.1.1", 0);
    expect(reading(k, "From: mailer-daemon@mx.example\nTo: us@example.org\nSubject: Returned mail\n\n   ----- Transcript of session follows -----\n"
                      "... while talking to mx.example.net.:\n>>> RCPT To:<bob@example.net>\n<<< 552 5.2.2 Mailbox full\n554 <bob@example.net>... Service unavailable\n"),
           RETURNED_BOUNCE, "bob@example.net", "5.2.2", 552);
    expect(reading(k, "From: postmaster@mx.example\nTo: us@example.org\nSubject: Warning: could not send message for past 4 hours\n\n"
                      "bob@example.net: connection timed out, will be retried\n"),
           RETURNED_DELAYED, "bob@example.net", "4.4.1", 0);
}

// The reason before the address, a summary of fields before both, a sentence that names the address, a reply in brackets.
static void test_words_of_other_shapes(void **state) {
    struct kit *k = *state;
    static const struct {
        const char *words, *status;
        int code;
    } said[] = {
        {"Your message\n   Subject: hello\ncould not be delivered because of\n\n550 5.1.1 User unknown\n\nThe following recipients were affected:\n    bob@example.net\n", "5.1.1", 550},
        {"This is about a message with these fields:\n\n  Message-id: <1@example.org>\n  Date: today\n  From: us@example.org\n  To: bob@example.net\n\n"
         "  Recipient address: bob@example.net\n  Diagnostic code: smtp;552 5.2.2 full\n", "5.2.2", 552},
        {"Message was not delivered to 'bob@example.net'\n   for this reason:\n   unknown user\n", "5.1.1", 0},
        {"Server <mx.example.net> rejected recipient <bob@example.net>\n  (after RCPT). It responded: [550 5.7.1 blocked]\n", "5.7.1", 550},
        {"The user's account is over quota.\n\n<bob@example.net>\n\nPlease reply to postmaster@mx.example\n", "5.2.2", 0},
        {"  bob@example.net\n    retry timeout exceeded\n", "4.4.7", 0},
        {"Mailbox exceeds allowed size: bob@example.net\n\n\nOriginal message follows.\n\nReceived: x\nFrom: us@example.org\n", "5.2.2", 0},
        {"------ Reasons ------\n\nNo such user in the directory\nbob@example.net\n\n------ Returned Message ------\nTo: carl@example.net\n", "5.1.1", 0},
        {"bob@example.net\n    The domain example.net does not exist\n", "5.1.2", 0},
        {"bob@example.net\n    Host or user does not exist\n", "5.1.1", 0},
        {"bob@example.net\n    550 sender address does not exist\n", "5.1.7", 550},
        {"bob@example.net\n    550 your account has been suspended for sending too much\n", "5.7.1", 550},
        {"bob@example.net\n    550 account suspended\n", "5.2.1", 550},
        {"Your message\n\n  To:      list@example.org\n  Sent:    today\n\ndid not reach the following recipient(s):\n\n"
         "c=US;a= ;p=X;dda:SMTP=bob@example.net; on Friday\n    Unknown Recipient\n", "5.1.1", 0},
    };
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        struct buf mail = {0};
        buf_format(&mail, "From: mailer-daemon@mx.example\nTo: us@example.org\nSubject: Undeliverable\n\n%s", said[i].words);
        expect(reading(k, buf_z(&mail)), RETURNED_BOUNCE, "bob@example.net", said[i].status, said[i].code);
        buf_release(&mail);
    }
}

// By its structure alone: a daemon's autogenerated words, a mailbox that refuses by itself, a report that a filter sent on.
static void test_words_behind_another_form(void **state) {
    struct kit *k = *state;
    expect(reading(k, "From: MAILER-DAEMON@mx.example\nTo: us@example.org\nSubject: Processing Error\nX-Autogenerated: Mirror\n\nIntended recipient: bob@example.net\n\n"
                      "Your mail has been returned.\n"),
           RETURNED_BOUNCE, "bob@example.net", "", 0);
    expect(reading(k, "From: admin@mx.example\nTo: us@example.org\nSubject: Automatically rejected mail\nAuto-Submitted: auto-replied (rejected)\n"
                      "Content-Type: multipart/report; report-type=disposition-notification; boundary=b\n\n--b\n\nYour message to <bob@example.net> was automatically rejected:\n"
                      "Quota exceeded\n--b\nContent-Type: message/disposition-notification\n\nFinal-Recipient: rfc822; bob@example.net\n"
                      "Disposition: automatic-action/MDN-sent-automatically; deleted\n\n--b--\n"),
           RETURNED_BOUNCE, "bob@example.net", "5.2.2", 0);
    expect(reading(k, "From: filter@example.org\nTo: us@example.org\nSubject: x\nContent-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: message/rfc822\n\n"
                      "From: postmaster@mx.example\nContent-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example\n"
                      "Action: failed\n\nFinal-Recipient: rfc822; bob@example.net\nAction: failed\nStatus: 5.1.1\n\n--b--\n--a--\n"),
           RETURNED_BOUNCE, "bob@example.net", "5.1.1", 0);
    assert_int_equal(reading(k, "Return-Path: <>\nFrom: bob@example.net\nTo: us@example.org\nSubject: Thank you\n\nI shall read it soon.\n")->kind, RETURNED_AUTO_REPLY);
}

// Both the alias that was written to and where it led; a mere mention is a guess.
static void test_names_of_several_kinds(void **state) {
    struct kit *k = *state;
    struct returned *r = reading(k, "From: mailer-daemon@mx.example\nTo: us@example.org\nSubject: Returned mail\n\n  ----- The following addresses had permanent fatal errors -----\n"
                                    "bob@inner.example.net\n    (expanded from: bob@example.net)\n");
    assert_int_equal(r->count, 2);
    expect_text(r->recipients[1].address, "bob@example.net");
    r = reading(k, "From: mailer-daemon@mx.example\nTo: us@example.org\nSubject: Undeliverable\n\nIf the short form fails, you may try mike.fox@example.net instead.\n");
    assert_int_equal(r->count, 1);
    assert_true(r->recipients[0].guessed);
}

static void test_to_whom_nothing_says(void **state) {
    struct kit *k = *state;
    struct returned *r = reading(k, "From: mailer-daemon@mx.example\nTo: us@example.org\nSubject: Undeliverable mail\n\nIt was not delivered.\n\n"
                                    "--- Original message follows\n\nFrom: us@example.org\nTo: bob@example.net\nMessage-ID: <1@example.org>\nSubject: x\n");
    expect(r, RETURNED_BOUNCE, "bob@example.net", "", 0);
    assert_true(r->recipients[0].guessed);
}

// Names alone, of the daemon's own domain.
static void test_bare_names(void **state) {
    struct kit *k = *state;
    struct returned *r = reading(k, "From: Mail Delivery <MAILER-DAEMON@example.net>\nTo: us@example.org\nSubject: Mail Delivery Problem\n\n"
                                    "Sorry us@example.org. Your mail to the following recipients could not be delivered:\n\tbob\n\tann.b\n\nGoodbye\n");
    assert_int_equal(r->count, 2);
    expect_text(r->recipients[0].address, "bob@example.net");
    expect_text(r->recipients[1].address, "ann.b@example.net");
    assert_true(r->recipients[0].guessed && r->recipients[1].guessed);
}

#define BY_PATH(path, words) "From: mailer-daemon@mx.example\nTo: <" path ">\nSubject: Undeliverable mail\n\n" words

static void test_return_path(void **state) {
    struct kit *k = *state;
    static const struct {
        const char *mail, *address, *final;
        bool guessed;
    } rows[] = {
        {BY_PATH("bounces+bob=example.net@example.org", "It was not delivered.\n"), "bob@example.net", "", false},
        {BY_PATH("news-bob=example.net@example.org", "It was not delivered.\n"), "bob@example.net", "", false},
        {BY_PATH("news-list-bob=example.net@example.org", "It was not delivered.\n"), "bob@example.net", "", true},
        {BY_PATH("b+mary-ann=example.net@example.org", "It was not delivered.\n"), "mary-ann@example.net", "", true},
        {BY_PATH("b+17-mary-ann=example.net@example.org", "Failed: mary-ann@example.net\n"), "mary-ann@example.net", "", false},
        {BY_PATH("bounces+bob=example.net@example.org", "<carl@other.example>:\n550 5.1.1 unknown user\n"), "bob@example.net", "carl@other.example", false},
        {BY_PATH("SRS0=a1b2=TT=example.net=bob@example.org", "<carl@other.example>:\n550 5.1.1 unknown user\n"), "carl@other.example", "", false},
        {BY_PATH("prvs=1234abcd=example.net@example.org", "<carl@other.example>:\n550 5.1.1 unknown user\n"), "carl@other.example", "", false},
        {BY_PATH("x+a=b@example.org", "<carl@other.example>:\n550 5.1.1 unknown user\n"), "carl@other.example", "", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct returned *r = reading(k, rows[i].mail);
        assert_int_equal(r->kind, RETURNED_BOUNCE);
        assert_int_equal(r->count, 1);
        expect_text(r->recipients[0].address, rows[i].address);
        expect_text(r->recipients[0].final, rows[i].final);
        assert_int_equal(r->recipients[0].guessed, rows[i].guessed);
    }
    struct returned *r = reading(k, "From: fbl@example.com\nSubject: x\nContent-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/feedback-report\n\n"
                                    "Feedback-Type: abuse\nOriginal-Mail-From: <b+bob=example.net@example.org>\n--b--\n");
    assert_int_equal(r->kind, RETURNED_COMPLAINT);
    expect_text(r->recipients[0].address, "bob@example.net");
}

// A report in Japanese (ISO-2022-JP), its subject in another; in UTF-16; one's own mail sent back by nobody who calls himself a daemon.
static void test_charsets(void **state) {
    struct kit *k = *state;
    struct returned *r = reading(k, "From: mailer-daemon@mx.example\nTo: us@example.org\nSubject: =?koi8-r?B?7cXTxA==?= =?iso-8859-2?q?=B1?=\n"
                                    "Content-Type: text/plain; charset=\"ISO-2022-JP\"\n\nThis mail could not be delivered\nbob@example.net\n\x1b$BB8:_$7$^$;$s\x1b(B\n");
    expect(r, RETURNED_BOUNCE, "bob@example.net", "5.1.1", 0);
    expect_text(r->subject, "\xd0\x9c\xd0\xb5\xd1\x81\xd0\xb4\xc4\x85");
    expect_text(r->recipients[0].text, "\xe5\xad\x98\xe5\x9c\xa8\xe3\x81\x97\xe3\x81\xbe\xe3\x81\x9b\xe3\x82\x93");
    expect(reading(k, "From: mailer-daemon@mx.example\nTo: us@example.org\nSubject: Undeliverable\nContent-Type: text/plain; charset=utf-16\n"
                      "Content-Transfer-Encoding: base64\n\n//5iAG8AYgBAAGUAeABhAG0AcABsAGUALgBuAGUAdAA6ACAANQA1ADIAIABmAHUAbABsAA==\n"),
           RETURNED_BOUNCE, "bob@example.net", "", 552);
    expect(reading(k, "From: no-reply@mx.example\nTo: us@example.org\nSubject: x\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nCould not be delivered to: <bob@example.net>\n"
                      "   As their mailbox is full.\n--b\nContent-Type: message/rfc822\n\nReturn-Path: <us@example.org>\nTo: carl@example.net\n\nhello\n--b--\n"),
           RETURNED_BOUNCE, "bob@example.net", "5.2.2", 0);
}

static void test_complaint(void **state) {
    struct kit *k = *state;
    struct returned *r = reading(k, "From: fbl@example.com\nSubject: x\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\n\n--b\n"
                                    "Content-Type: message/feedback-report\n\nFeedback-Type: abuse\nSource-IP: 192.0.2.1\nOriginal-Rcpt-To: <bob@example.net>\n"
                                    "--b\nContent-Type: message/rfc822\n\nReceived: from a\n\tby gate.example (Tidegate) with ESMTPS id 0065a4f81c008003\n\n--b--\n");
    expect(r, RETURNED_COMPLAINT, "bob@example.net", "", 0);
    expect_text(r->feedback_type, "abuse");
    expect_text(r->source_ip, "192.0.2.1");
    expect_text(r->original.id, "0065a4f81c008003");
    expect_text(r->original.id_host, "gate.example");
    r = reading(k, "From: staff@hotmail.com\nSubject: complaint about message from 192.0.2.1\nContent-Type: multipart/mixed; boundary=b\n\n--b\n"
                   "Content-Type: message/rfc822\n\nX-HmXmrOriginalRecipient: bob@hotmail.com\nFrom: us@example.org\n\n--b--\n");
    expect(r, RETURNED_COMPLAINT, "bob@hotmail.com", "", 0);
}

static void test_others(void **state) {
    struct kit *k = *state;
    assert_int_equal(reading(k, "From: bob@example.net\nTo: us@example.org\nSubject: Automatic reply: hello\n\nback on Monday\n")->kind, RETURNED_AUTO_REPLY);
    assert_int_equal(reading(k, "From: bob@example.net\nAuto-Submitted: auto-replied (vacation)\nSubject: hello\n\nx\n")->kind, RETURNED_AUTO_REPLY);
    assert_int_equal(reading(k, "From: bob@example.net\nTo: leave+unsubscribe@example.org\nSubject: x\n\n")->kind, RETURNED_UNSUBSCRIBE);
    assert_int_equal(reading(k, "From: bob@example.net\nTo: us@example.org\nSubject: lunch\n\nmy mailbox is full, 550 letters\n")->kind, RETURNED_OTHER);
    assert_int_equal(reading(k, "  \t\nFrom: bob@example.net\nTo: us@example.org\nSubject: Re: hello\n\nClick to be on my list of approved senders:\nhttps://x.example/1\n")->kind,
                     RETURNED_AUTO_REPLY);
    assert_int_equal(reading(k, "From: ann@example.org\nTo: us@example.org\nIn-Reply-To: <1@x>\nSubject: Re: Undelivered mail\n\nWhat does this mean?\n\n"
                                "> bob@example.net could not be delivered: 550 5.1.1 unknown user\n")->kind, RETURNED_OTHER);
    assert_int_equal(reading(k, "")->kind, RETURNED_OTHER);
    assert_int_equal(reading(k, "\n\n\n")->kind, RETURNED_OTHER);
}

// Ten thousand recipients, and boundaries that never end.
static void test_bounds(void **state) {
    struct kit *k = *state;
    struct buf many = {0};
    for (int i = 0; i < 10000; i++) buf_format(&many, "Final-Recipient: rfc822; bob%d@example.net\nAction: failed\nStatus: 5.1.1\n\n", i);
    struct buf report = {0};
    buf_addz(&report, "From: mailer-daemon@x.example\nContent-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; a\n\n");
    buf_add(&report, buf_bytes(&many));
    struct returned *r = reading(k, buf_z(&report));
    assert_int_equal(r->kind, RETURNED_BOUNCE);
    assert_int_equal(r->count, RETURNED_RECIPIENTS);
    buf_reset(&report);
    for (int i = 0; i < 5000; i++) buf_addz(&report, "Content-Type: multipart/mixed; boundary=b\n\n--b\n");
    assert_int_equal(reading(k, buf_z(&report))->kind, RETURNED_OTHER);
    buf_release(&many);
    buf_release(&report);
}

static int setup(void **state) {
    *state = must_alloc(sizeof(struct kit));
    return 0;
}

static int teardown(void **state) {
    arena_release(&((struct kit *)*state)->arena);
    free(*state);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_status, setup, teardown),    cmocka_unit_test_setup_teardown(test_words, setup, teardown),
        cmocka_unit_test_setup_teardown(test_words_of_other_shapes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_words_behind_another_form, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names_of_several_kinds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bare_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_return_path, setup, teardown), cmocka_unit_test_setup_teardown(test_charsets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_to_whom_nothing_says, setup, teardown), cmocka_unit_test_setup_teardown(test_complaint, setup, teardown),
        cmocka_unit_test_setup_teardown(test_others, setup, teardown),    cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
