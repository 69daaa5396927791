// SPDX-License-Identifier: MIT
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "smtp/client.h"
#include "smtp/server.h"

#include <stdio.h>
#include <stdlib.h>

// A scripted peer is text, a line each, played from top to bottom:
//     S: line     the peer says it, with CRLF; S= without, \r \n \\ are escapes. Neighbours go out together
//     C: line     the client says just this next
//     > verb      what the driver does: "send N" (of messages below), "body TEXT", "end", "fail REPLY", "lost REPLY", "quit"
//     E: event    what the machine wants now: "read", "ready", "tls" (is then secured), "body", "done FATES", "close WHY"
// Before the peer speaks, and at the end, nothing that the client said may be left over. Played with the peer's words in
// one piece and byte by byte.
struct script {
    const char *name;
    struct client_options options;
    bool whole; // only in one piece: what it shows depends on what comes together
    const char *text;
};

#define TEXT(literal) {literal, sizeof(literal) - 1}
static const struct client_recipient one[] = {{.address = TEXT("b@b.test")}};
static const struct client_recipient three[] = {
    {.address = TEXT("b@b.test")},
    {.address = TEXT("c@b.test"), .notify = NOTIFY_SUCCESS | NOTIFY_DELAY, .orcpt = TEXT("rfc822;c")},
    {.address = TEXT("d@b.test"), .notify = NOTIFY_NEVER},
};
static const struct client_recipient utf8_one[] = {{.address = TEXT("\xc3\xa9@b.test")}};
static const struct client_recipient evil[] = {{.address = TEXT("b@b.test>\r\nRCPT TO:<x@x.test")}};
static const struct client_message messages[] = {
    {.sender = TEXT("a@a.test"), .size = 9, .recipients = one, .count = 1},
    {.sender = TEXT("a@a.test"), .size = 9, .recipients = three, .count = 3, .ret = 2, .envid = TEXT("e1")},
    {.sender = TEXT(""), .size = 9, .recipients = one, .count = 1, .has_8bit = true},
    {.sender = TEXT("a@a.test"), .size = 9, .recipients = utf8_one, .count = 1},
    {.sender = TEXT("a@a.test"), .size = 9, .recipients = one, .count = 1, .smtputf8 = true, .has_8bit = true},
    {.sender = TEXT("a@a.test"), .size = 9, .recipients = evil, .count = 1},
};

struct play {
    const struct script *script;
    struct client *client;
    struct buf pending, said; // the peer's words not consumed; the client's not compared
    struct buf event;
    size_t sending;           // recipients of the message under way
    enum client_next last;
    size_t step;
    bool bad;
};

static void wrong(struct play *p, const char *format, ...) {
    va_list args;
    va_start(args, format);
    struct buf text = {0};
    buf_formatv(&text, format, args);
    va_end(args);
    print_error("%s: %s\n", p->script->name, buf_z(&text));
    buf_release(&text);
    p->bad = true;
}

static void add_fate(struct buf *out, const struct client_result *r) {
    reply_text(&r->reply, out);
    buf_format(out, " @%s%s", client_stage_name(r->stage), r->local ? " local" : "");
}

static void describe(struct play *p, enum client_next next) {
    static const char *const names[] = {"read", "tls", "ready", "body", "done", "close"};
    buf_reset(&p->event);
    buf_addz(&p->event, names[next]);
    if (next == CLIENT_DONE)
        for (size_t i = 0; i < p->sending; i++) {
            buf_addz(&p->event, i ? " | " : " ");
            add_fate(&p->event, client_result(p->client, i));
        }
    const struct client_result *failure = client_failure(p->client);
    if (next == CLIENT_CLOSE && failure) {
        buf_byte(&p->event, ' ');
        add_fate(&p->event, failure);
    }
}

static enum client_next drive(struct play *p) {
    struct client_want want;
    struct bytes input = buf_bytes(&p->pending);
    size_t had = input.len;
    p->last = client_next(p->client, &input, &want);
    buf_drop(&p->pending, had - input.len);
    if (p->last == CLIENT_READ) assert_true(want.timeout_ms > 0);
    struct buf *out = client_output(p->client);
    buf_add(&p->said, buf_bytes(out));
    buf_reset(out);
    return p->last;
}

static void unescape(struct buf *out, struct bytes t) {
    for (size_t i = 0; i < t.len; i++) {
        if (t.at[i] != '\\') buf_byte(out, t.at[i]);
        else if (++i < t.len) buf_byte(out, t.at[i] == 'r' ? '\r' : t.at[i] == 'n' ? '\n' : t.at[i]);
    }
}

static void peer_says(struct play *p, struct buf *words) {
    if (words->len == 0) return;
    if (p->said.len) wrong(p, "left over before the peer speaks: '%.*s'", (int)p->said.len, p->said.at);
    struct bytes rest = buf_bytes(words);
    while (rest.len) {
        struct bytes piece = bytes_first(rest, p->step);
        buf_add(&p->pending, piece);
        rest = bytes_skip(rest, piece.len);
        if (p->last != CLIENT_READ && p->last != CLIENT_BODY && p->last != CLIENT_READY) continue;
        drive(p);
    }
    buf_reset(words);
}

static void client_said(struct play *p, struct bytes want) {
    struct bytes rest = buf_bytes(&p->said);
    ptrdiff_t end = bytes_search(rest, BYTES("\r\n"));
    struct bytes line = end < 0 ? rest : bytes_first(rest, (size_t)end);
    if (end < 0 || !bytes_equal(line, want)) wrong(p, "wanted '%.*s', client said '%.*s'", BYTES_FMT(want), BYTES_FMT(line));
    buf_drop(&p->said, end < 0 ? rest.len : (size_t)end + 2);
}

static struct reply reply_of(struct bytes text) {
    struct reply r;
    struct err err;
    assert_true(reply_from_text(text, &r, &err));
    return r;
}

static void do_verb(struct play *p, struct bytes text) {
    struct bytes verb = bytes_cut(&text, ' ');
    uint64_t n = 0;
    if (bytes_equal(verb, BYTES("send")) && bytes_to_u64(text, &n)) {
        p->sending = messages[n].count;
        client_send(p->client, &messages[n]);
    } else if (bytes_equal(verb, BYTES("body"))) {
        struct buf body = {0};
        unescape(&body, text);
        client_body(p->client, buf_bytes(&body));
        buf_release(&body);
    } else if (bytes_equal(verb, BYTES("end"))) {
        client_body_end(p->client);
    } else if (bytes_equal(verb, BYTES("quit"))) {
        client_quit(p->client);
    } else {
        struct reply r = reply_of(text);
        if (bytes_equal(verb, BYTES("fail"))) client_body_fail(p->client, &r);
        else if (bytes_equal(verb, BYTES("lost"))) client_lost(p->client, &r);
        else fail_msg("no verb %.*s", BYTES_FMT(verb));
    }
    drive(p);
}

static void wants(struct play *p, struct bytes event) {
    describe(p, p->last);
    if (!bytes_equal(buf_bytes(&p->event), event))
        wrong(p, "wanted E: %.*s, it is '%s'", BYTES_FMT(event), buf_z(&p->event));
    if (p->last == CLIENT_TLS) {
        client_secured(p->client);
        drive(p);
    } else if (p->last == CLIENT_DONE) {
        drive(p);
    }
}

static bool act(const struct script *s, size_t step) {
    struct play p = {.script = s, .client = client_new(&s->options), .step = step};
    struct buf words = {0};
    drive(&p);
    for (struct bytes text = bytes_of(s->text); text.len && !p.bad;) {
        struct bytes line = bytes_cut(&text, '\n');
        struct bytes rest = bytes_skip(line, line.len > 3 ? 3 : line.len);
        if (line.at[0] != 'S') peer_says(&p, &words);
        if (line.at[0] == 'S') unescape(&words, rest);
        if (line.at[0] == 'S' && line.at[1] == ':') buf_addz(&words, "\r\n");
        if (line.at[0] == 'C') client_said(&p, rest);
        if (line.at[0] == 'E') wants(&p, rest);
        if (line.at[0] == '>') do_verb(&p, bytes_skip(line, 2));
    }
    peer_says(&p, &words);
    if (p.said.len && !p.bad) wrong(&p, "left over: '%.*s'", (int)p.said.len, p.said.at);
    client_free(&p.client);
    buf_release(&words);
    buf_release(&p.pending);
    buf_release(&p.said);
    buf_release(&p.event);
    return !p.bad;
}

#define OLD_PEER "S: 220 mx\nC: EHLO me\nS: 250 mx\nE: ready\n"
#define PIPE_PEER "S: 220 mx\nC: EHLO me\nS: 250-mx\nS: 250-PIPELINING\nS: 250-SIZE 100\nS: 250-DSN\nS: 250 8BITMIME\nE: ready\n"
#define PIPE_ONE "> send 0\nC: MAIL FROM:<a@a.test> SIZE=9\nC: RCPT TO:<b@b.test>\nC: DATA\n"
#define PIPE_THREE "> send 1\nC: MAIL FROM:<a@a.test> SIZE=9 RET=HDRS ENVID=e1\nC: RCPT TO:<b@b.test>\n" \
                   "C: RCPT TO:<c@b.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;c\nC: RCPT TO:<d@b.test> NOTIFY=NEVER\nC: DATA\n"
#define BODY "E: body\n> body .x\\r\\n\n> end\nC: ..x\nC: .\n"
#define LMTP_PEER "S: 220 mx\nC: LHLO me\nS: 250-mx\nS: 250 PIPELINING\nE: ready\n"
#define LMTP_THREE "> send 1\nC: MAIL FROM:<a@a.test>\nC: RCPT TO:<b@b.test>\nC: RCPT TO:<c@b.test>\nC: RCPT TO:<d@b.test>\nC: DATA\n"

static const struct script scripts[] = {
    {"one message to an old peer", {0}, false,
     OLD_PEER "> send 0\nC: MAIL FROM:<a@a.test>\nS: 250 ok\nC: RCPT TO:<b@b.test>\nS: 250 ok\nC: DATA\nS: 354 go\n" BODY
     "S: 250 2.0.0 queued\nE: done 250 2.0.0 queued @content\nE: ready\n> quit\nC: QUIT\nS: 221 bye\nE: close\n"},
    {"pipelined, twice", {0}, false,
     PIPE_PEER PIPE_ONE "S: 250 ok\nS: 250 ok\nS: 354 go\n" BODY "S: 250 a\nE: done 250 a @content\nE: ready\n"
     PIPE_ONE "S: 250 ok\nS: 250 ok\nS: 354 go\n" BODY "S: 250 b\nE: done 250 b @content\nE: ready\n"},
    {"some recipients", {0}, false,
     PIPE_PEER PIPE_THREE "S: 250 ok\nS: 550 5.1.1 no\nS: 250 ok\nS: 452 4.2.2 full\nS: 354 go\n" BODY
     "S: 250 kept\nE: done 550 5.1.1 no @rcpt | 250 kept @content | 452 4.2.2 full @rcpt\nE: ready\n"},
    {"no recipient, and yet 354", {0}, false,
     PIPE_PEER PIPE_ONE "S: 250 ok\nS: 550 5.1.1 no\nS: 354 go\nC: .\nS: 250 kept nothing\nE: done 550 5.1.1 no @rcpt\nE: ready\n"
     "> send 0\nC: RSET\nC: MAIL FROM:<a@a.test> SIZE=9\nC: RCPT TO:<b@b.test>\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\n" BODY
     "S: 250 a\nE: done 250 a @content\n"},
    {"no recipient, DATA refused", {0}, false,
     PIPE_PEER PIPE_ONE "S: 250 ok\nS: 550 5.1.1 no\nS: 554 no recipients\nE: done 550 5.1.1 no @rcpt\nE: ready\n"},
    {"no sender, pipelined", {0}, false,
     PIPE_PEER PIPE_THREE "S: 550 5.7.1 not you\nS: 503 a\nS: 503 b\nS: 503 c\nS: 503 d\n"
     "E: done 550 5.7.1 not you @mail | 550 5.7.1 not you @mail | 550 5.7.1 not you @mail\nE: ready\n"},
    {"no sender, one by one", {0}, false,
     OLD_PEER "> send 1\nC: MAIL FROM:<a@a.test>\nS: 451 later\nE: done 451 later @mail | 451 later @mail | 451 later @mail\nE: ready\n"
     "> send 0\nC: RSET\nS: 250 ok\nC: MAIL FROM:<a@a.test>\n"},
    {"no recipient, one by one", {0}, false,
     OLD_PEER "> send 0\nC: MAIL FROM:<a@a.test>\nS: 250 ok\nC: RCPT TO:<b@b.test>\nS: 550 no\nE: done 550 no @rcpt\nE: ready\n"},
    {"one recipient too many", {0}, false,
     PIPE_PEER PIPE_THREE "S: 250 ok\nS: 250 ok\nS: 552 too many\nS: 550 5.5.3 too many\nS: 354\n" BODY
     "S: 250 ok\nE: done 250 ok @content | 452 4.5.3 too many (said with 552) @rcpt | 452 4.5.3 too many (said with 550) @rcpt\nE: ready\n"},
    {"a full mailbox behind one that is not", {0}, false,
     PIPE_PEER PIPE_THREE "S: 250 ok\nS: 250 ok\nS: 552 5.2.2 full\nS: 250 ok\nS: 354\n" BODY
     "S: 250 ok\nE: done 250 ok @content | 552 5.2.2 full @rcpt | 250 ok @content\nE: ready\n"},
    {"the first is not one too many", {0}, false,
     OLD_PEER "> send 0\nC: MAIL FROM:<a@a.test>\nS: 250 ok\nC: RCPT TO:<b@b.test>\nS: 552 full\nE: done 552 full @rcpt\nE: ready\n"},
    {"DATA refused", {0}, false,
     PIPE_PEER PIPE_THREE "S: 250 ok\nS: 250 ok\nS: 550 no\nS: 250 ok\nS: 451 4.3.0 disk\n"
     "E: done 451 4.3.0 disk @data | 550 no @rcpt | 451 4.3.0 disk @data\nE: ready\n"},
    {"content refused", {0}, false, PIPE_PEER PIPE_ONE "S: 250\nS: 250\nS: 354\n" BODY "S: 550 5.7.1 spam\nE: done 550 5.7.1 spam @content\nE: ready\n"},
    {"RSET refused", {0}, false,
     PIPE_PEER PIPE_ONE "S: 250\nS: 250\nS: 354\n" BODY "S: 550 spam\nE: done 550 spam @content\nE: ready\n"
     "> send 0\nC: RSET\nC: MAIL FROM:<a@a.test> SIZE=9\nC: RCPT TO:<b@b.test>\nC: DATA\nS: 500 what\n"
     "E: done 451 4.5.0 Peer refused RSET @mail local\nE: close 451 4.5.0 Peer refused RSET @mail local\n"},

    {"refused at the door", {0}, false, "S: 554 5.7.1 go away\nE: close 554 5.7.1 go away @greeting\n"},
    {"busy at the door", {0}, false, "S: 421 4.7.0 busy\nE: close 421 4.7.0 busy @greeting\n"},
    {"a strange greeting", {0}, false, "S: 354 go\nE: close 451 4.5.0 Peer answered out of protocol: 354 go @greeting local\n"},
    {"a long greeting", {0}, false, "S: 220-mx\nS: 220 and more\nC: EHLO me\n"},
    {"HELO", {0}, false, "S: 220 mx\nC: EHLO me\nS: 500 what\nC: HELO me\nS: 250 mx\nE: ready\n> send 0\nC: MAIL FROM:<a@a.test>\n"},
    {"HELO refused", {0}, false, "S: 220 mx\nC: EHLO me\nS: 500 what\nC: HELO me\nS: 550 no\nE: close 550 no @ehlo\n"},
    {"EHLO refused, and gone at HELO", {0}, false, "S: 220 mx\nC: EHLO me\nS: 550 not you\nC: HELO me\n> lost 451 4.4.2 lost\nE: close 451 4.4.2 lost, having refused EHLO: 550 not you @ehlo local\n"},
    {"EHLO deferred", {0}, false, "S: 220 mx\nC: EHLO me\nS: 450 wait\nE: close 450 wait @ehlo\n"},
    {"no HELO in LMTP", {.lmtp = true}, false, "S: 220 mx\nC: LHLO me\nS: 500 what\nE: close 500 what @ehlo\n"},
    {"a HELO name that would speak SMTP", {.helo = "me\r\nRSET"}, false,
     "S: 220 mx\nE: close 451 4.3.5 The HELO name has control characters @ehlo local\n"},

    {"421 at MAIL", {0}, false, PIPE_PEER PIPE_ONE "S: 421 4.3.2 bye\nE: done 421 4.3.2 bye @mail\nE: close 421 4.3.2 bye @mail\n"},
    {"421 at RCPT", {0}, false,
     PIPE_PEER PIPE_THREE "S: 250 ok\nS: 550 no\nS: 421 bye\nE: done 550 no @rcpt | 421 bye @rcpt | 421 bye @rcpt\nE: close 421 bye @rcpt\n"},
    {"421 at DATA", {0}, false, PIPE_PEER PIPE_ONE "S: 250\nS: 250\nS: 421 bye\nE: done 421 bye @data\nE: close 421 bye @data\n"},
    {"421 inside the content", {0}, false,
     PIPE_PEER PIPE_ONE "S: 250\nS: 250\nS: 354\nE: body\n> body x\\r\\n\nC: x\nS: 421 bye\nE: done 421 bye @content\nE: close 421 bye @content\n"},
    {"552 inside the content", {0}, false,
     PIPE_PEER PIPE_ONE "S: 250\nS: 250\nS: 354\nE: body\n> body x\\r\\n\nC: x\nS: 552 5.3.4 enough\nE: done 552 5.3.4 enough @content\nE: close 552 5.3.4 enough @content\n"},
    {"421 at the end", {0}, false, PIPE_PEER PIPE_ONE "S: 250\nS: 250\nS: 354\n" BODY "S: 421 bye\nE: done 421 bye @content\nE: close 421 bye @content\n"},
    {"421 behind an acceptance", {0}, false,
     PIPE_PEER PIPE_ONE "S: 250\nS: 250\nS: 354\n" BODY "S: 250 kept\nS: 421 bye\nE: done 250 kept @content\nE: close 421 bye @mail\n"},
    {"421 while idle", {0}, false, PIPE_PEER "S: 421 idle\nE: close 421 idle @mail\n"},
    {"421 that waits when a message comes", {0}, true,
     PIPE_PEER "> send 0\nC: MAIL FROM:<a@a.test> SIZE=9\nC: RCPT TO:<b@b.test>\nC: DATA\nS: 421 idle\nE: done 421 idle @mail\nE: close 421 idle @mail\n"},

    {"spoke before its turn: 250 before the dot", {0}, false,
     PIPE_PEER PIPE_ONE "S: 250\nS: 250\nS: 354\nE: body\n> body x\\r\\n\nC: x\nS: 250 kept\n"
     "E: done 451 4.5.0 Peer spoke out of turn @content local\nE: close 451 4.5.0 Peer spoke out of turn @content local\n"},
    {"spoke before its turn: half a 250 before the dot", {0}, false,
     PIPE_PEER PIPE_ONE "S: 250\nS: 250\nS: 354\nE: body\n> body x\\r\\n\nC: x\nS= 250 ke\nE: body\n> end\n"
     "E: done 451 4.5.0 Peer spoke out of turn @content local\nE: close 451 4.5.0 Peer spoke out of turn @content local\n"},
    {"spoke before its turn: all at once", {0}, true,
     PIPE_PEER PIPE_ONE "S: 250\nS: 250\nS: 354\nS: 250 kept\n"
     "E: done 451 4.5.0 Peer spoke out of turn @content local\nE: close 451 4.5.0 Peer spoke out of turn @content local\n"},
    {"spoke before its turn: one by one", {0}, true,
     OLD_PEER "> send 0\nC: MAIL FROM:<a@a.test>\nS: 250\nS: 250\n"
     "E: done 451 4.5.0 Peer spoke out of turn @rcpt local\nE: close 451 4.5.0 Peer spoke out of turn @rcpt local\n"},
    {"spoke before EHLO", {0}, true, "S: 220 mx\nS: 250 mx\nE: close 451 4.5.0 Peer spoke out of turn @ehlo local\n"},
    {"spoke while idle", {0}, false, PIPE_PEER "S: 250 hm\nE: close 451 4.5.0 Peer spoke out of turn @mail local\n"},
    {"refused while idle, for good", {0}, false, PIPE_PEER "S: 550 5.1.1 nobody asked\nE: close 451 4.5.0 Peer spoke out of turn @mail local\n"},
    {"an extra reply shifts nothing into an acceptance", {0}, false,
     PIPE_PEER PIPE_ONE "S: 250\nS: 250\nS: 250\nE: done 451 4.5.0 Peer answered out of protocol: 250 @data local\nE: close 451 4.5.0 Peer answered out of protocol: 250 @data local\n"},
    {"354 to everything", {0}, false,
     PIPE_PEER PIPE_ONE "S: 354\nE: done 451 4.5.0 Peer answered out of protocol: 354 @mail local\nE: close 451 4.5.0 Peer answered out of protocol: 354 @mail local\n"},
    {"354 to the content", {0}, false,
     PIPE_PEER PIPE_ONE "S: 250\nS: 250\nS: 354\n" BODY "S: 354\nE: done 451 4.5.0 Peer answered out of protocol: 354 @content local\nE: close 451 4.5.0 Peer answered out of protocol: 354 @content local\n"},
    {"garbage", {0}, false, PIPE_PEER PIPE_ONE "S: hello?\nE: done 451 4.5.0 Peer's answer is not SMTP, or endless @mail local\nE: close 451 4.5.0 Peer's answer is not SMTP, or endless @mail local\n"},
    {"garbage at the door", {0}, false, "S: HTTP/1.1 400 Bad Request\nE: close 451 4.5.0 Peer's answer is not SMTP, or endless @greeting local\n"},

    {"lost at the door", {0}, false, "> lost 421 4.4.1 refused\nE: close 421 4.4.1 refused @greeting local\n"},
    {"lost in the envelope", {0}, false, PIPE_PEER PIPE_THREE "S: 250\nS: 550 no\n> lost 421 4.4.2 lost\nE: done 550 no @rcpt | 421 4.4.2 lost @rcpt local | 421 4.4.2 lost @rcpt local\nE: close 421 4.4.2 lost @rcpt local\n"},
    {"lost after the dot", {0}, false, PIPE_PEER PIPE_ONE "S: 250\nS: 250\nS: 354\n" BODY "> lost 421 4.4.2 lost\nE: done 421 4.4.2 lost @content local\nE: close 421 4.4.2 lost @content local\n"},
    {"lost while idle", {0}, false, PIPE_PEER "> lost 421 4.4.2 lost\nE: close 421 4.4.2 lost @mail local\n"},
    {"lost after QUIT", {0}, false, PIPE_PEER "> quit\nC: QUIT\n> lost 421 4.4.2 lost\nE: close\n"},
    {"garbage after QUIT", {0}, false, PIPE_PEER "> quit\nC: QUIT\nS: bye!\nE: close\n"},
    {"content that can't be read", {0}, false,
     PIPE_PEER PIPE_ONE "S: 250\nS: 250\nS: 354\nE: body\n> body x\\r\\n\nC: x\n> fail 451 4.3.0 disk\nE: done 451 4.3.0 disk @content local\nE: close 451 4.3.0 disk @content local\n"},

    {"too large", {0}, false, "S: 220 mx\nC: EHLO me\nS: 250-mx\nS: 250 SIZE 8\nE: ready\n> send 0\nE: done 552 5.3.4 Message is larger than the peer takes: 9 of 8 bytes @mail local\nE: ready\n"},
    {"no limit named", {0}, false, "S: 220 mx\nC: EHLO me\nS: 250-mx\nS: 250 SIZE\nE: ready\n> send 0\nC: MAIL FROM:<a@a.test> SIZE=9\n"},
    {"8-bit", {0}, false, PIPE_PEER "> send 2\nC: MAIL FROM:<> SIZE=9 BODY=8BITMIME\nC: RCPT TO:<b@b.test>\nC: DATA\n"},
    {"8-bit to an old peer", {0}, false, OLD_PEER "> send 2\nE: done 554 5.6.3 Message has 8-bit content, and the peer does not offer 8BITMIME @mail local\nE: ready\n"},
    {"8-bit to an old peer, by order", {.send_8bit_anyway = true}, false, OLD_PEER "> send 2\nC: MAIL FROM:<>\n"},
    {"SMTPUTF8 missing", {0}, false, PIPE_PEER "> send 3\nE: done 553 5.6.7 Message needs SMTPUTF8, and the peer does not offer it @mail local\nE: ready\n> send 4\nE: done 553 5.6.7 Message needs SMTPUTF8, and the peer does not offer it @mail local\n"},
    {"SMTPUTF8", {0}, false,
     "S: 220 mx\nC: EHLO me\nS: 250-mx\nS: 250-8BITMIME\nS: 250 smtputf8\nE: ready\n> send 4\nC: MAIL FROM:<a@a.test> BODY=8BITMIME SMTPUTF8\n"},
    {"an address that would speak SMTP", {0}, false, PIPE_PEER "> send 5\nE: done 553 5.1.3 An address has control characters @mail local\nE: ready\n"},

    {"STARTTLS", {.tls = CLIENT_TLS_MAY}, false,
     "S: 220 mx\nC: EHLO me\nS: 250-mx\nS: 250-PIPELINING\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nE: tls\nC: EHLO me\nS: 250 mx\nE: ready\n> send 0\nC: MAIL FROM:<a@a.test>\n"},
    {"STARTTLS not offered, fine", {.tls = CLIENT_TLS_MAY}, false, OLD_PEER},
    {"STARTTLS not wanted", {.tls = CLIENT_TLS_NONE}, false, "S: 220 mx\nC: EHLO me\nS: 250-mx\nS: 250 STARTTLS\nE: ready\n"},
    {"STARTTLS not offered, demanded", {.tls = CLIENT_TLS_MUST}, false,
     "S: 220 mx\nC: EHLO me\nS: 250 mx\nE: close 451 4.7.10 TLS is demanded, and the peer does not offer STARTTLS @ehlo local\n"},
    {"STARTTLS demanded of a HELO peer", {.tls = CLIENT_TLS_MUST}, false,
     "S: 220 mx\nC: EHLO me\nS: 502 what\nE: close 451 4.7.10 TLS is demanded, and the peer refused EHLO @ehlo local\n"},
    {"STARTTLS refused, fine", {.tls = CLIENT_TLS_MAY}, false,
     "S: 220 mx\nC: EHLO me\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nS: 454 not now\nE: ready\n"},
    {"STARTTLS refused, demanded", {.tls = CLIENT_TLS_MUST}, false,
     "S: 220 mx\nC: EHLO me\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nS: 554 never\nE: close 451 4.7.10 TLS is demanded, and the peer refused STARTTLS: 554 never @tls local\n"},
    {"bytes behind STARTTLS", {.tls = CLIENT_TLS_MAY}, true,
     "S: 220 mx\nC: EHLO me\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nS: 250 injected\nE: close 451 4.7.0 Peer sent bytes between STARTTLS and the handshake @tls local\n"},
    {"implicit TLS", {.tls = CLIENT_TLS_MUST, .secured = true}, false, OLD_PEER},

    {"AUTH PLAIN", {.secured = true, .login = LOGIN_PASSWORD, .user = "joe", .secret = "secret"}, false,
     "S: 220 mx\nC: EHLO me\nS: 250-mx\nS: 250 AUTH LOGIN PLAIN\nC: AUTH PLAIN AGpvZQBzZWNyZXQ=\nS: 235 ok\nE: ready\n"},
    {"AUTH PLAIN asked again", {.secured = true, .login = LOGIN_PASSWORD, .user = "joe", .secret = "secret"}, false,
     "S: 220 mx\nC: EHLO me\nS: 250-mx\nS: 250 AUTH=PLAIN\nC: AUTH PLAIN AGpvZQBzZWNyZXQ=\nS: 334\nC: AGpvZQBzZWNyZXQ=\nS: 334\nE: close 451 4.5.0 Peer asks for more than its AUTH mechanism has @auth local\n"},
    {"AUTH LOGIN", {.secured = true, .login = LOGIN_PASSWORD, .user = "joe", .secret = "secret"}, false,
     "S: 220 mx\nC: EHLO me\nS: 250-mx\nS: 250 AUTH LOGIN\nC: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: am9l\nS: 334 UGFzc3dvcmQ6\nC: c2VjcmV0\nS: 235 ok\nE: ready\n"},
    {"AUTH refused", {.secured = true, .login = LOGIN_PASSWORD, .user = "joe", .secret = "wrong"}, false,
     "S: 220 mx\nC: EHLO me\nS: 250-mx\nS: 250 AUTH PLAIN\nC: AUTH PLAIN AGpvZQB3cm9uZw==\nS: 535 5.7.8 no\nE: close 535 5.7.8 no @auth\n"},
    {"AUTH XOAUTH2", {.secured = true, .login = LOGIN_XOAUTH2, .user = "joe", .secret = "tok"}, false,
     "S: 220 mx\nC: EHLO me\nS: 250-mx\nS: 250 AUTH PLAIN XOAUTH2\nC: AUTH XOAUTH2 dXNlcj1qb2UBYXV0aD1CZWFyZXIgdG9rAQE=\nS: 235 ok\nE: ready\n"},
    {"AUTH XOAUTH2 refused", {.secured = true, .login = LOGIN_XOAUTH2, .user = "joe", .secret = "tok"}, false,
     "S: 220 mx\nC: EHLO me\nS: 250-mx\nS: 250 AUTH XOAUTH2\nC: AUTH XOAUTH2 dXNlcj1qb2UBYXV0aD1CZWFyZXIgdG9rAQE=\nS: 334 e30=\nC: \nS: 535 5.7.8 expired\nE: close 535 5.7.8 expired @auth\n"},
    {"AUTH in the clear", {.login = LOGIN_PASSWORD, .user = "joe", .secret = "secret"}, false,
     "S: 220 mx\nC: EHLO me\nS: 250-mx\nS: 250 AUTH PLAIN\nE: close 451 4.7.11 A login is configured, and the connection is not encrypted: not sent in the clear @auth local\n"},
    {"AUTH in the clear, by order", {.login = LOGIN_PASSWORD, .login_plaintext_ok = true, .user = "joe", .secret = "secret"}, false,
     "S: 220 mx\nC: EHLO me\nS: 250-mx\nS: 250 AUTH PLAIN\nC: AUTH PLAIN AGpvZQBzZWNyZXQ=\n"},
    {"AUTH only after STARTTLS", {.tls = CLIENT_TLS_MAY, .login = LOGIN_PASSWORD, .user = "joe", .secret = "secret"}, false,
     "S: 220 mx\nC: EHLO me\nS: 250-mx\nS: 250-AUTH PLAIN\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nE: tls\nC: EHLO me\nS: 250-mx\nS: 250 AUTH PLAIN\nC: AUTH PLAIN AGpvZQBzZWNyZXQ=\nS: 235 ok\nE: ready\n"},
    {"AUTH not in the clear when STARTTLS fails", {.tls = CLIENT_TLS_MAY, .login = LOGIN_PASSWORD, .user = "joe", .secret = "secret"}, false,
     "S: 220 mx\nC: EHLO me\nS: 250-mx\nS: 250-AUTH PLAIN\nS: 250 STARTTLS\nC: STARTTLS\nS: 454 no\nE: close 451 4.7.11 A login is configured, and the connection is not encrypted: not sent in the clear @auth local\n"},
    {"AUTH not offered", {.secured = true, .login = LOGIN_XOAUTH2, .user = "joe", .secret = "tok"}, false,
     "S: 220 mx\nC: EHLO me\nS: 250-mx\nS: 250 AUTH PLAIN\nE: close 451 4.7.4 A login is configured, and the peer offers no mechanism for it @auth local\n"},
    {"AUTH of a HELO peer", {.secured = true, .login = LOGIN_PASSWORD, .user = "joe", .secret = "secret"}, false,
     "S: 220 mx\nC: EHLO me\nS: 500 what\nE: close 451 4.7.4 A login is configured, and the peer refused EHLO @ehlo local\n"},

    {"LMTP", {.lmtp = true}, false,
     LMTP_PEER LMTP_THREE "S: 250\nS: 250\nS: 550 no\nS: 250\nS: 354\n" BODY
     "S: 250 kept\nS: 452 4.2.2 full\nE: done 250 kept @content | 550 no @rcpt | 452 4.2.2 full @content\nE: ready\n"},
    {"LMTP, 421 between the verdicts", {.lmtp = true}, false,
     LMTP_PEER LMTP_THREE "S: 250\nS: 250\nS: 250\nS: 250\nS: 354\n" BODY
     "S: 250 kept\nS: 421 bye\nE: done 250 kept @content | 421 bye @content | 421 bye @content\nE: close 421 bye @content\n"},
    {"LMTP, lost between the verdicts", {.lmtp = true}, false,
     LMTP_PEER LMTP_THREE "S: 250\nS: 250\nS: 250\nS: 250\nS: 354\n" BODY
     "S: 250 kept\n> lost 421 4.4.2 lost\nE: done 250 kept @content | 421 4.4.2 lost @content local | 421 4.4.2 lost @content local\nE: close 421 4.4.2 lost @content local\n"},
    {"LMTP, nobody and 354", {.lmtp = true}, false,
     LMTP_PEER LMTP_THREE "S: 250\nS: 550 a\nS: 550 b\nS: 550 c\nS: 354\nE: done 550 a @rcpt | 550 b @rcpt | 550 c @rcpt\nE: close 451 4.5.0 Peer wants content without a recipient @data local\n"},
};

static void scripts_go_as_written(void **state) {
    (void)state;
    int bad = 0;
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        struct script s = scripts[i];
        if (!s.options.helo) s.options.helo = "me";
        if (!act(&s, SIZE_MAX) || (!s.whole && !act(&s, 1))) bad++;
    }
    assert_int_equal(bad, 0);
}

static enum client_next feed(struct client *c, struct bytes in, struct client_want *want) {
    enum client_next next = client_next(c, &in, want);
    buf_reset(client_output(c));
    return next;
}

static void waits_as_long_as_the_rfc_says(void **state) {
    (void)state;
    struct client_options o = {.helo = "me"};
    struct client *c = client_new(&o);
    struct client_want want;
    feed(c, BYTES(""), &want);
    assert_int_equal(want.timeout_ms, 300000);
    feed(c, BYTES("220 x\r\n"), &want);
    assert_int_equal(feed(c, BYTES("250 x\r\n"), &want), CLIENT_READY);
    client_send(c, &messages[0]);
    feed(c, BYTES(""), &want);
    assert_int_equal(want.timeout_ms, 300000);
    feed(c, BYTES("250 x\r\n"), &want);
    assert_int_equal(want.timeout_ms, 300000);
    feed(c, BYTES("250 x\r\n"), &want);
    assert_int_equal(want.timeout_ms, 120000);
    assert_int_equal(feed(c, BYTES("354 x\r\n"), &want), CLIENT_BODY);
    assert_int_equal(want.timeout_ms, 180000);
    client_body_end(c);
    feed(c, BYTES(""), &want);
    assert_int_equal(want.timeout_ms, 600000);
    client_free(&c);
    o.timeout_ms = 5000;
    c = client_new(&o);
    feed(c, BYTES(""), &want);
    assert_int_equal(want.timeout_ms, 5000);
    client_free(&c);
}

static void endless_replies_end(void **state) {
    (void)state;
    struct client_options o = {.helo = "me"};
    struct client_want want;
    struct client *c = client_new(&o);
    int lines = 0;
    while (feed(c, BYTES("220-more\r\n"), &want) == CLIENT_READ) lines++;
    assert_true(lines <= REPLY_LINES);
    assert_int_equal(client_failure(c)->reply.code, 451);
    client_free(&c);

    c = client_new(&o);
    struct buf line = {0};
    buf_addz(&line, "220 ");
    while (feed(c, buf_bytes(&line), &want) == CLIENT_READ) buf_byte(&line, 'x');
    assert_true(line.len <= REPLY_LINE);
    assert_true(client_failure(c)->local);
    buf_release(&line);
    client_free(&c);
}

// Client and server machine face to face: what goes in at one end comes out at the other.
struct pair {
    struct client *client;
    struct server *server;
    struct buf to_server, to_client, received;
    struct bytes content;
    size_t sent, step; // bytes at a time, each way
    int messages;
    bool ready, closed;
};

static void move(struct buf *from, struct buf *to, size_t step) {
    size_t n = from->len < step ? from->len : step;
    buf_add(to, bytes_first(buf_bytes(from), n));
    buf_drop(from, n);
}

static void turn_server(struct pair *p) {
    struct server_want want;
    for (;;) {
        struct bytes in = buf_bytes(&p->to_server);
        size_t had = in.len;
        enum server_next next = server_next(p->server, &in, &want);
        if (next == SERVER_BODY) buf_add(&p->received, want.bytes);
        buf_drop(&p->to_server, had - in.len);
        struct reply no = reply_make(550, "5.1.1", "no such");
        if (next == SERVER_ASK) {
            bool refuse = want.ask == ASK_RECIPIENT && bytes_starts(want.path.address, BYTES("c@"));
            if (want.ask == ASK_MESSAGE) p->messages++;
            server_answer(p->server, refuse ? &no : NULL);
        }
        if (next == SERVER_TLS) {
            move(server_output(p->server), &p->to_client, SIZE_MAX);
            assert_int_equal(p->to_server.len, 0);
            server_secured(p->server);
        }
        if (next == SERVER_CLOSE) return;
        if (next == SERVER_READ) return;
    }
}

static void turn_client(struct pair *p) {
    struct client_want want;
    struct bytes in = buf_bytes(&p->to_client);
    size_t had = in.len;
    enum client_next next = client_next(p->client, &in, &want);
    buf_drop(&p->to_client, had - in.len);
    p->ready = next == CLIENT_READY;
    p->closed = next == CLIENT_CLOSE;
    if (next == CLIENT_TLS) client_secured(p->client);
    if (next != CLIENT_BODY) return;
    struct bytes piece = bytes_first(bytes_skip(p->content, p->sent), p->step);
    client_body(p->client, piece);
    p->sent += piece.len;
    if (p->sent == p->content.len) client_body_end(p->client);
}

static void run_until(struct pair *p, const bool *flag) {
    for (int turns = 0; !*flag; turns++) {
        assert_true(turns < 100000);
        turn_client(p);
        if (*flag) break;
        move(client_output(p->client), &p->to_server, p->step);
        turn_server(p);
        move(server_output(p->server), &p->to_client, p->step);
    }
}

static void both_machines_understand_each_other(void **state) {
    (void)state;
    static const size_t steps[] = {1, 7, SIZE_MAX};
    for (int lmtp = 0; lmtp < 2; lmtp++)
        for (size_t i = 0; i < 3; i++) {
            struct server_options so = {.hostname = "mx.test", .protocol = lmtp ? SERVER_LMTP : SERVER_SMTP, .starttls = true,
                                        .auth = true, .auth_required = true, .tls_required = true, .size_max = 1000};
            struct client_options co = {.helo = "me.test", .lmtp = lmtp, .tls = CLIENT_TLS_MUST, .login = LOGIN_PASSWORD,
                                        .user = "joe", .secret = "secret"};
            struct pair p = {.client = client_new(&co), .server = server_new(&so), .step = steps[i],
                             .content = BYTES("A: b\r\n\r\n.\r\n..\r\n.x\r\nend\r\n")};
            for (int round = 0; round < 3; round++) {
                p.ready = false;
                run_until(&p, &p.ready);
                p.sent = p.ready = 0;
                buf_reset(&p.received);
                client_send(p.client, &messages[1]);
                run_until(&p, &p.ready);
                assert_int_equal(client_result(p.client, 0)->reply.code, 250);
                assert_int_equal(client_result(p.client, 1)->reply.code, 550);
                assert_int_equal(client_result(p.client, 2)->reply.code, 250);
                assert_true(bytes_equal(buf_bytes(&p.received), p.content));
                assert_int_equal(p.messages, round + 1);
            }
            client_quit(p.client);
            run_until(&p, &p.closed);
            assert_null(client_failure(p.client));
            assert_true(server_is_secured(p.server));
            client_free(&p.client);
            server_free(&p.server);
            buf_release(&p.to_client);
            buf_release(&p.to_server);
            buf_release(&p.received);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scripts_go_as_written),
        cmocka_unit_test(waits_as_long_as_the_rfc_says),
        cmocka_unit_test(endless_replies_end),
        cmocka_unit_test(both_machines_understand_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
