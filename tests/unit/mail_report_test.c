// SPDX-License-Identifier: MIT
#include "mail/report.h"

#include "mail/header.h"

#include "base/utf8.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define HEAD                                                                                                 \
    "Received: by us\r\nFrom: Ann <ann@example.org>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= "                \
    "there\r\nMessage-ID: <1@example.org>\r\n"

struct parsed {
    struct buf head, body;
    bool utf8, eight;
    struct bytes type[3], encoding[3], content[3];
};

static void check_lines(struct bytes text) {
    while (text.len) {
        ptrdiff_t at = bytes_search(text, BYTES("\r\n"));
        assert_true(at >= 0 && at <= 998);
        struct bytes line = bytes_first(text, (size_t)at);
        assert_true(bytes_find(line, '\r') < 0 && bytes_find(line, '\n') < 0 && bytes_find(line, 0) < 0);
        text = bytes_skip(text, (size_t)at + 2);
    }
}

static struct bytes value_of(struct bytes head, const char *name) {
    struct header_field f;
    if (header_count(head, bytes_of(name)) > 1) fail_msg("%s stands twice", name);
    if (!header_get(head, bytes_of(name), 0, &f)) return (struct bytes){0};
    return bytes_trim(f.value);
}

static void assert_value(struct bytes head, const char *name, const char *want) {
    struct bytes value = value_of(head, name);
    struct buf text = {0};
    header_unfold(&text, value);
    if (strcmp(buf_z(&text), want)) fail_msg("%s: '%s', not '%s'", name, text.at, want);
    buf_release(&text);
}

static ptrdiff_t behind_empty_line(struct bytes fields) {
    ptrdiff_t at = bytes_search(fields, BYTES("\r\n\r\n"));
    assert_true(at >= 0);
    return at + 4;
}

// Takes a report apart as a mail program does, and fails on anything that is not as RFC 2046 has it.
static struct parsed *build(const struct report_in *in) {
    struct parsed *p = must_alloc(sizeof *p);
    report_build(&p->head, &p->body, in, &p->utf8, &p->eight);
    struct bytes head = buf_bytes(&p->head), rest = buf_bytes(&p->body);
    check_lines(head);
    check_lines(rest);
    struct bytes whole = head;
    for (struct header_field f; header_next(&whole, &f);)
        assert_true(f.name.len > 0);
    assert_int_equal(whole.len, 0);
    assert_int_equal(p->eight, p->utf8 || !utf8_is_ascii(rest));
    struct bytes type = value_of(head, "Content-Type");
    assert_true(bytes_starts(type, BYTES("multipart/report; report-type=delivery-status;")));
    ptrdiff_t at = bytes_search(type, BYTES("boundary=\""));
    assert_true(at > 0);
    char mark[80];
    snprintf(mark, sizeof mark, "--%.*s", BYTES_FMT(bytes_first(bytes_skip(type, (size_t)at + 10), 31)));
    for (int i = 0; i < 3; i++) {
        assert_true(bytes_starts(rest, bytes_of(mark)));
        rest = bytes_skip(rest, strlen(mark) + 2);
        ptrdiff_t end = bytes_search(rest, bytes_of(mark)), content = behind_empty_line(rest);
        assert_true(end > 0 && content < end);
        struct bytes fields = bytes_first(rest, (size_t)content);
        p->type[i] = value_of(fields, "Content-Type");
        p->encoding[i] = value_of(fields, "Content-Transfer-Encoding");
        p->content[i] = bytes_range(rest.at + content, (size_t)(end - content - 2));
        bool ascii = utf8_is_ascii(p->content[i]);
        if (!ascii) assert_true(bytes_equal(p->encoding[i], BYTES("8bit")));
        rest = bytes_skip(rest, (size_t)end);
    }
    assert_true(bytes_starts(rest, bytes_of(mark)));
    assert_true(bytes_equal(bytes_skip(rest, strlen(mark)), BYTES("--\r\n")));
    return p;
}

static void drop(struct parsed *p) {
    buf_release(&p->head);
    buf_release(&p->body);
    free(p);
}

static bool has(struct bytes text, const char *needle) {
    return bytes_search(text, bytes_of(needle)) >= 0;
}

static struct bytes group(struct bytes status, int nth) {
    for (; nth > 0; nth--) {
        status = bytes_skip(status, (size_t)behind_empty_line(status));
    }
    return status;
}

static const struct report_recipient bob = {.address = {"bob@example.net", 15},
                                            .orcpt = {"rfc822;bob+2Bx@example.com", 26},
                                            .status = {"5.1.1", 5},
                                            .diagnostic = {"550 5.1.1 no such user", 22},
                                            .from_peer = true,
                                            .remote = {"mx.example.net", 14},
                                            .last_attempt_ms = 1795359846000};

static struct report_in plain(const struct report_recipient *to, size_t count) {
    return (struct report_in){.host = BYTES("gate.example.org"),
                              .sender = BYTES("ann@example.org"),
                              .envelope_id = BYTES("order+2B17"),
                              .id = 0xabc,
                              .arrived_ms = 1795359845000,
                              .now_ms = 1795359847000,
                              .head = BYTES(HEAD),
                              .body = BYTES("hello\r\n"),
                              .recipients = to,
                              .count = count};
}

static void reports_a_failure(void **state) {
    (void)state;
    struct report_in in = plain(&bob, 1);
    struct parsed *p = build(&in);
    struct bytes head = buf_bytes(&p->head), to = group(p->content[1], 1);
    assert_false(p->utf8 || p->eight);
    assert_value(head, "From", "Mail Delivery System <MAILER-DAEMON@gate.example.org>");
    assert_value(head, "To", "<ann@example.org>");
    assert_value(head, "Subject", "Delivery Status Notification (Failure)");
    assert_value(head, "Auto-Submitted", "auto-replied");
    assert_value(head, "In-Reply-To", "<1@example.org>");
    assert_value(head, "Date", "Sun, 22 Nov 2026 15:04:07 +0000");
    assert_value(head, "MIME-Version", "1.0");
    assert_true(has(value_of(head, "Message-ID"), "@gate.example.org>"));
    assert_true(has(p->type[1], "message/delivery-status"));
    assert_value(p->content[1], "Reporting-MTA", "dns; gate.example.org");
    assert_value(p->content[1], "Original-Envelope-Id", "order+17");
    assert_value(p->content[1], "Arrival-Date", "Sun, 22 Nov 2026 15:04:05 +0000");
    assert_value(to, "Original-Recipient", "rfc822; bob+x@example.com");
    assert_value(to, "Final-Recipient", "rfc822; bob@example.net");
    assert_value(to, "Action", "failed");
    assert_value(to, "Status", "5.1.1");
    assert_value(to, "Remote-MTA", "dns; mx.example.net");
    assert_value(to, "Diagnostic-Code", "smtp; 550 5.1.1 no such user");
    assert_value(to, "Last-Attempt-Date", "Sun, 22 Nov 2026 15:04:06 +0000");
    assert_int_equal(value_of(to, "Will-Retry-Until").len, 0);
    assert_true(has(p->type[2], "text/rfc822-headers"));
    assert_true(bytes_equal(p->content[2], BYTES(HEAD)));
    assert_true(bytes_equal(p->encoding[0], BYTES("quoted-printable")));
    assert_true(has(p->content[0], "Gr=C3=BC=C3=9Fe there"));
    assert_true(has(p->content[0], "There is no such mailbox."));
    assert_true(has(p->content[0], "550 5.1.1 no such user"));
    drop(p);
}

static void reports_each_action(void **state) {
    (void)state;
    static const struct {
        enum report_action action;
        const char *status, *name, *said, *subject;
    } rows[] = {
        {REPORT_FAILED, "4.4.7", "failed", "4.4.7", "(Failure)"},
        {REPORT_FAILED, "2.0.0", "failed", "5.0.0", "(Failure)"},
        {REPORT_DELAYED, "4.2.2", "delayed", "4.2.2", "(Delay)"},
        {REPORT_DELAYED, "", "delayed", "4.0.0", "(Delay)"},
        {REPORT_DELIVERED, "2.1.5", "delivered", "2.1.5", "(Success)"},
        {REPORT_RELAYED, "5.1.1", "relayed", "2.0.0", "(Success)"},
        {REPORT_EXPANDED, "2.x.0", "expanded", "2.0.0", "(Success)"},
        {REPORT_FAILED, "5.1.1\r\nX: y", "failed", "5.0.0", "(Failure)"},
        {REPORT_FAILED, "5.1000.1", "failed", "5.0.0", "(Failure)"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct report_recipient to = {.address = BYTES("bob@example.net"),
                                      .action = rows[i].action,
                                      .status = bytes_of(rows[i].status),
                                      .will_retry_until_ms = 1795959846000};
        struct report_in in = plain(&to, 1);
        struct parsed *p = build(&in);
        assert_value(group(p->content[1], 1), "Action", rows[i].name);
        assert_value(group(p->content[1], 1), "Status", rows[i].said);
        assert_int_equal(value_of(group(p->content[1], 1), "Will-Retry-Until").len > 0,
                         rows[i].action == REPORT_DELAYED);
        assert_true(has(value_of(buf_bytes(&p->head), "Subject"), rows[i].subject));
        drop(p);
    }
}

static void reports_many_recipients(void **state) {
    (void)state;
    enum { MANY = 3000 };
    struct report_recipient *to = must_alloc(MANY * sizeof *to);
    for (int i = 0; i < MANY; i++) {
        to[i] = bob;
        to[i].action = i % 5;
    }
    struct report_in in = plain(to, MANY);
    in.head = BYTES("Subject: in plain ASCII\r\n"); // and so the part for people can be searched as it is
    struct parsed *p = build(&in);
    for (int i = 1; i <= MANY; i += 777)
        assert_value(group(p->content[1], i), "Final-Recipient", "rfc822; bob@example.net");
    for (const char *const *z = (const char *const[]){"recipients below", "keeps trying",
                                                      "has been delivered.", "handed to", "a list", NULL};
         *z; z++)
        assert_true(has(p->content[0], *z));
    drop(p);
    free(to);
}

static void returns_the_whole_when_asked(void **state) {
    (void)state;
    struct report_recipient late = bob;
    late.action = REPORT_DELAYED;
    struct report_in in = plain(&bob, 1);
    in.return_full = true;
    struct parsed *p = build(&in);
    assert_true(bytes_equal(p->type[2], BYTES("message/rfc822")));
    assert_true(bytes_equal(p->content[2], BYTES(HEAD "\r\nhello\r\n")));
    drop(p);
    in.body = BYTES("gr\xc3\xbc\xc3\x9f"
                    "e\r\n");
    p = build(&in);
    assert_true(p->eight);
    assert_value(buf_bytes(&p->head), "Content-Transfer-Encoding", "8bit");
    drop(p);
    static const struct bytes unfit[] = {
        {"NUL \0\r\n", 7}, {"bare \r cr\r\n", 11}, {"bare \n lf\r\n", 11}, {"no end", 6}};
    for (size_t i = 0; i < sizeof unfit / sizeof *unfit; i++) {
        in.body = unfit[i];
        p = build(&in);
        assert_true(bytes_equal(p->type[2], BYTES("text/rfc822-headers")));
        drop(p);
    }
    struct buf big = {0};
    while (big.len <= REPORT_BODY_MAX)
        buf_addz(&big, "line\r\n");
    in.body = buf_bytes(&big);
    p = build(&in);
    assert_true(bytes_equal(p->type[2], BYTES("text/rfc822-headers")));
    drop(p);
    buf_release(&big);
    in = plain(&late, 1); // RFC 3461 4.3: only a failure returns the body
    in.return_full = true;
    p = build(&in);
    assert_true(bytes_equal(p->type[2], BYTES("text/rfc822-headers")));
    drop(p);
}

static void names_the_remote_as_a_domain_or_an_address(void **state) {
    (void)state;
    static const struct {
        const char *remote, *field;
    } cases[] = {
        {"mx.example.net [192.0.2.1]:25", "dns; mx.example.net"},
        {"192.0.2.1 [192.0.2.1]:25", "dns; [192.0.2.1]"},
        {"2001:db8::1 [2001:db8::1]:25", "dns; [IPv6:2001:db8::1]"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct report_recipient to = bob;
        to.remote = bytes_of(cases[i].remote);
        struct report_in in = plain(&to, 1);
        struct parsed *p = build(&in);
        assert_value(group(p->content[1], 1), "Remote-MTA", cases[i].field);
        drop(p);
    }
}

static void cuts_large_header_blocks(void **state) {
    (void)state;
    struct buf head = {0};
    buf_addz(&head, "X-Giant: ");
    for (int i = 0; i < 200000; i++)
        buf_byte(&head, 'g');
    buf_addz(&head, "\r\nX-Line: ");
    for (int i = 0; i < 5000; i++)
        buf_byte(&head, i % 50 ? 'l' : ' ');
    buf_addz(&head, "\r\ngarbage\r\nFrom: ann@example.org\r\n");
    for (int i = 0; i < 5000; i++)
        buf_addz(&head, "X-Small: 12345\r\n");
    buf_addz(&head, "Last: one");
    struct report_in in = plain(&bob, 1);
    in.head = buf_bytes(&head);
    struct parsed *p = build(&in);
    assert_true(p->content[2].len < REPORT_HEAD_MAX * 2);
    assert_true(has(p->content[2], "From: ann@example.org"));
    assert_false(has(p->content[2], "gggg"));
    assert_true(bytes_equal(p->encoding[2], BYTES("quoted-printable"))); // for the line of 5,000
    drop(p);
    in.head = BYTES("");
    drop(build(&in));
    in.head = BYTES("Subject: raw \xff 8-bit \xc3\xb8\r\n");
    p = build(&in);
    assert_false(p->eight);
    assert_true(has(p->content[2], "raw =FF 8-bit =C3=B8"));
    drop(p);
    buf_release(&head);
}

static void speaks_utf8_to_those_who_do(void **state) {
    (void)state;
    struct report_recipient to = bob;
    to.address = BYTES("j\xc3\xb8rn+x@b\xc3\xbc"
                       "cher.example");
    to.orcpt = (struct bytes){0};
    struct report_in in = plain(&to, 1);
    struct parsed *p = build(&in); // an ASCII sender gets an ASCII report
    assert_false(p->utf8 || p->eight);
    assert_value(group(p->content[1], 1), "Final-Recipient",
                 "utf-8; j\\x{F8}rn\\x{2B}x@b\\x{FC}cher.example");
    drop(p);
    in.sender = BYTES("\xc3\xa5sa@example.org");
    p = build(&in);
    assert_true(p->utf8 && p->eight);
    assert_value(buf_bytes(&p->head), "To", "<\xc3\xa5sa@example.org>");
    assert_value(group(p->content[1], 1), "Final-Recipient",
                 "utf-8; j\xc3\xb8rn+x@b\xc3\xbc"
                 "cher.example");
    assert_true(bytes_equal(p->type[1], BYTES("message/global-delivery-status")));
    assert_true(bytes_equal(p->type[2], BYTES("message/global-headers")));
    drop(p);
}

// Everything a peer or a client can choose, with what it might choose to break out of its place.
static void keeps_its_form_against_hostile_facts(void **state) {
    (void)state;
    struct buf longest = {0};
    for (int i = 0; i < 100000; i++)
        buf_addz(&longest, i % 3 ? "\xff" : "\xc3\xb8");
    const struct bytes texts[] = {
        BYTES("a\r\nX-Evil: 1"),
        BYTES("\r\n\r\n--=_tide_\r\n"),
        BYTES("NUL \0 here"),
        BYTES("\x1b[31m \x7f \xc2\x9b"),
        BYTES("+"),
        BYTES("+ZZ"),
        BYTES("a+0D+0AX:y"),
        BYTES("rfc822;"),
        BYTES(";x"),
        BYTES("rfc822;+00"),
        BYTES("x\r\ny;z"),
        BYTES("   "),
        BYTES("> <evil@example.net>"),
        BYTES("\xff\xfe"),
        buf_bytes(&longest),
        BYTES(""),
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct bytes t = texts[i];
        struct report_recipient to[] = {
            {.address = t, .orcpt = t, .status = t, .diagnostic = t, .from_peer = true, .remote = t},
            {.address = t, .orcpt = t, .action = REPORT_DELAYED, .diagnostic = t}};
        struct report_in in = {.host = t,
                               .sender = t,
                               .envelope_id = t,
                               .now_ms = 1,
                               .head = t,
                               .body = t,
                               .return_full = true,
                               .recipients = to,
                               .count = 2};
        struct parsed *p = build(&in);
        assert_int_equal(header_count(buf_bytes(&p->head), BYTES("X-Evil")), 0);
        assert_int_equal(header_count(group(p->content[1], 1), BYTES("X-Evil")), 0);
        assert_value(group(p->content[1], 2), "Action", "delayed");
        drop(p);
    }
    buf_release(&longest);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reports_a_failure),
        cmocka_unit_test(reports_each_action),
        cmocka_unit_test(reports_many_recipients),
        cmocka_unit_test(returns_the_whole_when_asked),
        cmocka_unit_test(names_the_remote_as_a_domain_or_an_address),
        cmocka_unit_test(cuts_large_header_blocks),
        cmocka_unit_test(speaks_utf8_to_those_who_do),
        cmocka_unit_test(keeps_its_form_against_hostile_facts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
