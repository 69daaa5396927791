// SPDX-License-Identifier: MIT
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "smtp/command.h"

#include <stdio.h>
#include <stdlib.h>

// Says the command in one line of text, so that a case is a line and its reading.
static void describe(const struct command *c, struct buf *out) {
    static const char *const names[] = {"?",    "HELO", "EHLO", "LHLO", "MAIL", "RCPT", "DATA",     "BDAT",
                                        "RSET", "NOOP", "QUIT", "VRFY", "EXPN", "HELP", "STARTTLS", "AUTH"};
    buf_addz(out, names[c->verb]);
    if (c->argument.len) buf_format(out, " [%.*s]", BYTES_FMT(c->argument));
    if (c->initial.at) buf_format(out, " initial [%.*s]", BYTES_FMT(c->initial));
    if (c->verb == VERB_BDAT) buf_format(out, " %llu%s", (unsigned long long)c->chunk, c->last ? " last" : "");
    if (c->verb != VERB_MAIL && c->verb != VERB_RCPT) return;
    const struct server_path *p = &c->path;
    buf_format(out, " <%.*s>", BYTES_FMT(p->address));
    if (p->size) buf_format(out, " size %llu", (unsigned long long)p->size);
    if (p->body_8bit) buf_addz(out, " 8bit");
    if (p->smtputf8) buf_addz(out, " utf8");
    if (p->ret) buf_format(out, " ret %d", p->ret);
    if (p->envid.len) buf_format(out, " envid [%.*s]", BYTES_FMT(p->envid));
    if (p->notify) buf_format(out, " notify %u", p->notify);
    if (p->orcpt.len) buf_format(out, " orcpt [%.*s]", BYTES_FMT(p->orcpt));
}

static const char *const cases[][2] = {
    {"EHLO mx.example.com", "EHLO [mx.example.com]"},
    {"ehlo [192.0.2.1]", "EHLO [[192.0.2.1]]"},
    {"HELO [IPv6:2001:db8::1]", "HELO [[IPv6:2001:db8::1]]"},
    {"LHLO a_b  ", "LHLO [a_b]"},
    {"EHLO", "501 5.5.4"},
    {"EHLO ", "501 5.5.4"},
    {"EHLO a b", "EHLO [a b]"},
    {"EHLO a)(b", "EHLO [a)(b]"},
    {"EHLO b\xc3\xbcro", "EHLO [b\xc3\xbcro]"},
    {"MAIL FROM:<a@b.example>", "MAIL <a@b.example>"},
    {"mail from: <a@b.example>", "MAIL <a@b.example>"},
    {"MAIL FROM:<>", "MAIL <>"},
    {"MAIL FROM:<@x.example,@y.example:a@b.example>", "MAIL <a@b.example>"},
    {"MAIL FROM:<@x.example:>", "MAIL <>"},
    {"MAIL FROM:<@x example:a@b.example>", "501 5.5.4"},
    {"MAIL FROM:<@:a@b.example>", "501 5.5.4"},
    {"MAIL FROM:<\"a>b\"@c.example>", "MAIL <\"a>b\"@c.example>"},
    {"MAIL FROM:<\"a\\\"> b\"@c.example> SIZE=1", "MAIL <\"a\\\"> b\"@c.example> size 1"},
    {"MAIL FROM:<\"a>b@c.example>", "501 5.5.4"},
    {"MAIL FROM:<a@b.example", "501 5.5.4"},
    {"MAIL FROM:<a@b.example>SIZE=1", "501 5.5.4"},
    {"MAIL FROM:a@b.example", "MAIL <a@b.example>"}, // no <>: devices do that
    {"MAIL FROM: a@b.example SIZE=1", "MAIL <a@b.example> size 1"},
    {"MAIL FROM:a", "501 5.5.4"},
    {"MAIL FROM:a@b.example>", "501 5.5.4"},
    {"MAIL FROM:SIZE=1", "501 5.5.4"},
    {"MAIL FROM <a@b.example>", "501 5.5.4"},
    {"MAIL TO:<a@b.example>", "501 5.5.4"},
    {"MAIL", "501 5.5.4"},
    {"MAIL FROM:<a>", "501 5.1.7"},
    {"MAIL FROM:<postmaster>", "501 5.1.7"},
    {"MAIL FROM:<a@b@c.example>", "501 5.1.7"},
    {"MAIL FROM:<a b@c.example>", "501 5.1.7"},
    {"MAIL FROM:<a@>", "501 5.1.7"},
    {"MAIL FROM:<@b.example>", "501 5.5.4"},
    {"MAIL FROM:<a@b..example>", "501 5.1.7"},
    {"MAIL FROM:<a@b.example> SIZE=1234 BODY=8BITMIME", "MAIL <a@b.example> size 1234 8bit"},
    {"MAIL FROM:<a@b.example>  size=99999999999999999999  body=7bit",
     "MAIL <a@b.example> size 18446744073709551615"},
    {"MAIL FROM:<a@b.example> SIZE=", "501 5.5.4"},
    {"MAIL FROM:<a@b.example> SIZE", "501 5.5.4"},
    {"MAIL FROM:<a@b.example> SIZE=-1", "501 5.5.4"},
    {"MAIL FROM:<a@b.example> SIZE=100000000000000000000", "501 5.5.4"},
    {"MAIL FROM:<a@b.example> SIZE=1 SIZE=1", "501 5.5.4"},
    {"MAIL FROM:<a@b.example> BODY=BINARYMIME", "501 5.5.4"},
    {"MAIL FROM:<a@b.example> FOO=1", "555 5.5.4"},
    {"MAIL FROM:<a@b.example> =", "555 5.5.4"},
    {"MAIL FROM:<a@b.example> NOTIFY=NEVER", "555 5.5.4"},
    {"MAIL FROM:<a@b.example> RET=FULL ENVID=x+20y", "MAIL <a@b.example> ret 1 envid [x+20y]"},
    {"MAIL FROM:<a@b.example> RET=hdrs", "MAIL <a@b.example> ret 2"},
    {"MAIL FROM:<a@b.example> RET=ALL", "501 5.5.4"},
    {"MAIL FROM:<a@b.example> ENVID=", "501 5.5.4"},
    {"MAIL FROM:<a@b.example> ENVID=a+0Db", "501 5.5.4"}, // would decode to a line break
    {"MAIL FROM:<a@b.example> ENVID=a+2", "501 5.5.4"},
    {"MAIL FROM:<a@b.example> ENVID=a+2b", "501 5.5.4"},
    {"MAIL FROM:<a@b.example> ENVID=a=b", "501 5.5.4"},
    {"MAIL FROM:<a@b.example> AUTH=<>", "MAIL <a@b.example>"},
    {"MAIL FROM:<a@b.example> AUTH=e+3Dmc2@example.com", "MAIL <a@b.example>"},
    {"MAIL FROM:<a@b.example> AUTH=", "501 5.5.4"},
    {"MAIL FROM:<a@b.example> SMTPUTF8", "MAIL <a@b.example> utf8"},
    {"MAIL FROM:<a@b.example> SMTPUTF8=yes", "501 5.5.4"},
    {"MAIL FROM:<\xc3\xa9@b.example> SMTPUTF8", "MAIL <\xc3\xa9@b.example> utf8"},
    {"MAIL FROM:<\xc3\xa9@b.example>", "553 5.6.7"},
    {"MAIL FROM:<\xc3@b.example> SMTPUTF8", "501 5.1.7"},
    {"RCPT TO:<a@b.example>", "RCPT <a@b.example>"},
    {"RCPT TO:<\xc3\xa9@b.example>", "RCPT <\xc3\xa9@b.example>"},
    {"RCPT TO:<PostMaster>", "RCPT <PostMaster>"},
    {"RCPT TO:<>", "501 5.1.3"},
    {"RCPT TO:<a>", "501 5.1.3"},
    {"RCPT TO:<a@b.example> SIZE=1", "555 5.5.4"},
    {"RCPT TO:<a@b.example> NOTIFY=NEVER", "RCPT <a@b.example> notify 1"},
    {"RCPT TO:<a@b.example> NOTIFY=success,Failure,DELAY", "RCPT <a@b.example> notify 14"},
    {"RCPT TO:<a@b.example> NOTIFY=NEVER,DELAY", "501 5.5.4"},
    {"RCPT TO:<a@b.example> NOTIFY=DELAY,DELAY", "501 5.5.4"},
    {"RCPT TO:<a@b.example> NOTIFY=DELAY,", "501 5.5.4"},
    {"RCPT TO:<a@b.example> NOTIFY=", "501 5.5.4"},
    {"RCPT TO:<a@b.example> ORCPT=rfc822;Bob+2B1@b.example", "RCPT <a@b.example> orcpt [rfc822;Bob+2B1@b.example]"},
    {"RCPT TO:<a@b.example> ORCPT=utf-8;\xc3\xa9\\x{E9}@b.example",
     "RCPT <a@b.example> orcpt [utf-8;\xc3\xa9\\x{E9}@b.example]"},
    {"RCPT TO:<a@b.example> ORCPT=utf-8;\\x{0D}@b.example", "501 5.5.4"},
    {"RCPT TO:<a@b.example> ORCPT=utf-8;\\x{E9", "501 5.5.4"},
    {"RCPT TO:<a@b.example> ORCPT=rfc822", "501 5.5.4"},
    {"RCPT TO:<a@b.example> ORCPT=;x", "501 5.5.4"},
    {"RCPT TO:<a@b.example> ORCPT", "501 5.5.4"},
    {"RCPT TO:<a@b.example> NOTIFY", "501 5.5.4"},
    {"MAIL FROM:<a@b.example> BODY RET ENVID", "501 5.5.4"},
    {"RCPT TO:<a@b.example> ORCPT=rfc822;a+0Ab", "501 5.5.4"},
    {"RCPT TO:<a@b.example> ORCPT=rf c;a", "501 5.5.4"},
    {"DATA", "DATA"},
    {"data  ", "DATA"},
    {"DATA x", "501 5.5.4"},
    {"DATAX", "500 5.5.2"},
    {"BDAT 0", "BDAT 0"},
    {"BDAT 1000 last", "BDAT 1000 last"},
    {"BDAT 18446744073709551615", "BDAT 18446744073709551615"},
    {"BDAT 18446744073709551616", "501 5.5.4"},
    {"BDAT", "501 5.5.4"},
    {"BDAT -1", "501 5.5.4"},
    {"BDAT 1 LAST x", "501 5.5.4"},
    {"BDAT 1 2", "501 5.5.4"},
    {"RSET", "RSET"},
    {"RSET x", "501 5.5.4"},
    {"NOOP", "NOOP"},
    {"NOOP what ever", "NOOP [what ever]"},
    {"QUIT", "QUIT"},
    {"VRFY bob", "VRFY [bob]"},
    {"VRFY", "501 5.5.4"},
    {"EXPN list", "EXPN [list]"},
    {"HELP", "HELP"},
    {"HELP MAIL", "HELP [MAIL]"},
    {"STARTTLS", "STARTTLS"},
    {"STARTTLS x", "501 5.5.4"},
    {"AUTH PLAIN", "AUTH [PLAIN]"},
    {"AUTH PLAIN AGEAYg==", "AUTH [PLAIN] initial [AGEAYg==]"},
    {"AUTH LOGIN =", "AUTH [LOGIN] initial []"},
    {"AUTH", "501 5.5.4"},
    {"AUTH PLAIN a b", "501 5.5.4"},
    {"AUTH ABCDEFGHIJKLMNOPQRSTUVW", "501 5.5.4"},
    {"", "500 5.5.2"},
    {" ", "500 5.5.2"},
    {" MAIL FROM:<>", "500 5.5.2"},
    {"GET / HTTP/1.1", "500 5.5.2"},
    {"NOOP\tx", "500 5.5.2"},
    {"NOOP x\ry", "500 5.5.2"},
    {"RCPT TO:<a\n@b.example>", "500 5.5.2"},
    {"MAIL FROM:<a@b.example>\x7f", "500 5.5.2"},
};

static void reads_commands(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct command c;
        struct reply fault;
        struct buf got = {0};
        if (command_parse(bytes_of(cases[i][0]), true, &c, &fault))
            describe(&c, &got);
        else
            buf_format(&got, "%d %d.%d.%d", fault.code, fault.status[0], fault.status[1], fault.status[2]);
        if (strcmp(buf_z(&got), cases[i][1]) != 0) print_error("case: %s\n", cases[i][0]);
        assert_string_equal(buf_z(&got), cases[i][1]);
        buf_release(&got);
    }
}

static void refuses_nul(void **state) {
    (void)state;
    struct command c;
    struct reply fault;
    assert_false(command_parse(BYTES("NOOP a\0b"), true, &c, &fault));
    assert_int_equal(fault.code, 500);
    assert_false(command_parse(BYTES("NOOP\0"), true, &c, &fault));
}

static void asks_for_smtputf8(void **state) {
    (void)state;
    struct command c;
    struct reply fault;
    assert_false(command_parse(BYTES("RCPT TO:<\xc3\xa9@b.example>"), false, &c, &fault));
    assert_int_equal(fault.code, 553);
    assert_int_equal(fault.status[2], 7);
    assert_false(command_parse(BYTES("RCPT TO:<a@\xc3\xa9.example>"), false, &c, &fault));
    assert_int_equal(fault.code, 553);
    assert_false(command_parse(BYTES("RCPT TO:<a@b.example> ORCPT=utf-8;\xc3\xa9@b"), false, &c, &fault));
    assert_int_equal(fault.code, 501);
}

static void bounds_parameters(void **state) {
    (void)state;
    struct command c;
    struct reply fault;
    struct buf line = {0};
    buf_addz(&line, "MAIL FROM:<a@b.example> ENVID=");
    for (int i = 0; i < 100; i++) buf_byte(&line, 'x');
    assert_true(command_parse(buf_bytes(&line), true, &c, &fault));
    buf_byte(&line, 'x');
    assert_false(command_parse(buf_bytes(&line), true, &c, &fault));
    buf_reset(&line);
    buf_addz(&line, "EHLO ");
    for (int i = 0; i < 255; i++) buf_byte(&line, 'x');
    assert_true(command_parse(buf_bytes(&line), true, &c, &fault));
    buf_byte(&line, 'x');
    assert_false(command_parse(buf_bytes(&line), true, &c, &fault));
    buf_release(&line);
}

static void knows_the_verb_early(void **state) {
    (void)state;
    assert_int_equal(command_verb(BYTES("mail from:")), VERB_MAIL);
    assert_int_equal(command_verb(BYTES("AUTH PLAIN AAAA")), VERB_AUTH);
    assert_int_equal(command_verb(BYTES("STARTTLS")), VERB_STARTTLS);
    assert_int_equal(command_verb(BYTES("AUTHX")), VERB_UNKNOWN);
    assert_int_equal(command_verb(BYTES("")), VERB_UNKNOWN);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_commands),    cmocka_unit_test(refuses_nul),
        cmocka_unit_test(asks_for_smtputf8), cmocka_unit_test(bounds_parameters),
        cmocka_unit_test(knows_the_verb_early),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
