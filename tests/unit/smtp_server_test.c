// SPDX-License-Identifier: MIT
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "smtp/server.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

// A dialogue is text, a line each:
//     C: line        the client sends it, with CRLF; \r \n \t \0 \\ \xHH are escapes
//     C= bytes       the client sends them, without CRLF
//     C+ 600 x       the client sends so many of a character
//     C> text        the client sends the base64 of it and CRLF; \0 as above. After "AUTH X " on the same line too
//     A: 550 no      answers the next question that is asked so; without one, NULL (the default words)
//     ! verb         tells the machine: dismiss REPLY, spoil REPLY (at the first content)
//     S: line        the server's next line starts so
//     E: event       what the machine wanted: "ask sender <a@b>", "reset", "message [content]", "tls", "close ERRORS"
// Consecutive C lines are one pipelined group. E lines are compared only where a dialogue has some; S and E are two
// separate sequences. Every dialogue runs with its groups in one piece, byte by byte and in odd pieces.
struct dialogue {
    const char *name;
    struct server_options options;
    bool whole; // only in one piece: what it shows depends on what comes together
    const char *text;
};

struct run {
    const struct dialogue *d;
    struct server *server;
    struct buf pending;   // sent by the client, not consumed yet
    struct buf said, done; // lines of the server, events
    struct buf content;
    struct reply answers[16];
    size_t answer_count, answer_next;
    struct reply spoil;
    bool closed, dismissed;
};

static void note(struct run *r, const char *format, ...) {
    va_list args;
    va_start(args, format);
    buf_formatv(&r->done, format, args);
    va_end(args);
    buf_byte(&r->done, '\n');
}

static void note_content(struct run *r, const char *name) {
    buf_format(&r->done, "%s [", name);
    for (size_t i = 0; i < r->content.len && i < 200; i++) {
        unsigned char c = (unsigned char)r->content.at[i];
        if (c == '\r') buf_addz(&r->done, "\\r");
        else if (c == '\n') buf_addz(&r->done, "\\n");
        else if (c < 32 || c > 126) buf_format(&r->done, "\\x%02x", c);
        else buf_byte(&r->done, (char)c);
    }
    buf_addz(&r->done, "]\n");
    buf_reset(&r->content);
}

static void ask(struct run *r, const struct server_want *want) {
    static const char *const names[] = {"connect", "login", "sender", "recipient", "message"};
    if (want->ask == ASK_MESSAGE) note_content(r, "message");
    else if (want->ask == ASK_LOGIN)
        note(r, "ask login %s %.*s|%.*s|%.*s", want->login.mechanism, BYTES_FMT(want->login.authzid),
             BYTES_FMT(want->login.user), BYTES_FMT(want->login.password));
    else if (want->ask == ASK_CONNECT) note(r, "ask connect");
    else note(r, "ask %s <%.*s>", names[want->ask], BYTES_FMT(want->path.address));

    struct bytes input = buf_bytes(&r->pending), was = input;
    struct server_want again;
    assert_int_equal(server_next(r->server, &input, &again), SERVER_READ); // consumes nothing until answered
    assert_int_equal(again.timeout_ms, 0);
    assert_int_equal(input.len, was.len);
    server_answer(r->server, r->answer_next < r->answer_count ? &r->answers[r->answer_next++] : NULL);
}

static void drive(struct run *r) {
    struct server_want want;
    while (!r->closed) {
        struct bytes input = buf_bytes(&r->pending);
        size_t had = input.len;
        enum server_next next = server_next(r->server, &input, &want);
        assert_true(input.len <= had);
        if (next == SERVER_BODY) {
            buf_add(&r->content, want.bytes);
            if (r->spoil.code) server_spoil(r->server, &r->spoil);
        }
        buf_drop(&r->pending, had - input.len);
        if (next == SERVER_ASK) ask(r, &want);
        if (next == SERVER_RESET) {
            buf_reset(&r->content);
            note(r, "reset");
        }
        if (next == SERVER_TLS) {
            note(r, "tls");
            assert_int_equal(r->pending.len, 0);
            server_secured(r->server);
        }
        if (next == SERVER_CLOSE) {
            note(r, "close %s", server_end_name(server_end(r->server)));
            r->closed = true;
        }
        if (next == SERVER_READ) {
            assert_int_equal(want.timeout_ms, 1000);
            break;
        }
    }
    struct buf *out = server_output(r->server);
    buf_add(&r->said, buf_bytes(out));
    buf_reset(out);
}

static void send_bytes(struct run *r, struct bytes b, size_t step) {
    unsigned seed = 1;
    while (b.len && !r->closed) {
        size_t n = step;
        if (step == 0) {
            seed = seed * 1103515245u + 12345u;
            n = 1 + (seed >> 16) % 13;
        }
        struct bytes piece = bytes_first(b, n);
        buf_add(&r->pending, piece);
        b = bytes_skip(b, piece.len);
        drive(r);
    }
}

static int hex(char c) { return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10; }

static void unescape(struct buf *out, struct bytes t) {
    for (size_t i = 0; i < t.len; i++) {
        if (t.at[i] != '\\' || i + 1 == t.len) {
            buf_byte(out, t.at[i]);
            continue;
        }
        char c = t.at[++i];
        if (c == 'x') {
            buf_byte(out, (char)(hex(t.at[i + 1]) << 4 | hex(t.at[i + 2])));
            i += 2;
        } else {
            buf_byte(out, c == 'r' ? '\r' : c == 'n' ? '\n' : c == 't' ? '\t' : c == '0' ? 0 : c);
        }
    }
}

static void add_client_line(struct buf *group, struct bytes line) {
    struct bytes text = bytes_skip(line, line.len > 3 ? 3 : line.len);
    if (line.at[1] == '+') {
        uint64_t n = 0;
        struct bytes count = bytes_cut(&text, ' ');
        assert_true(bytes_to_u64(count, &n));
        while (n--) buf_byte(group, text.at[0]);
        return;
    }
    unescape(group, text);
    if (line.at[1] == ':') buf_addz(group, "\r\n");
}

static struct reply reply_of(struct bytes text) {
    struct reply r;
    struct err err;
    assert_true(reply_from_text(text, &r, &err));
    return r;
}

static void flush(struct run *r, struct buf *group, size_t step) {
    send_bytes(r, buf_bytes(group), step);
    buf_reset(group);
}

static void take_directive(struct run *r, struct bytes line) {
    struct bytes text = bytes_skip(line, 2);
    struct bytes verb = bytes_cut(&text, ' ');
    if (bytes_equal(verb, BYTES("spoil"))) {
        r->spoil = reply_of(text);
        return;
    }
    assert_true(bytes_equal(verb, BYTES("dismiss")));
    struct reply reply = reply_of(text);
    server_dismiss(r->server, &reply);
    drive(r);
}

// Compares the lines of one kind in order; a line of the dialogue is the beginning of what came.
static bool compare(const struct dialogue *d, char kind, struct buf *got) {
    struct bytes text = bytes_of(d->text), rest = buf_bytes(got);
    bool any = false;
    while (text.len) {
        struct bytes line = bytes_cut(&text, '\n');
        if (line.len < 2 || line.at[0] != kind || line.at[1] != ':') continue;
        any = true;
        struct bytes want = bytes_skip(line, line.len > 3 ? 3 : line.len), is = bytes_trim(bytes_cut(&rest, '\n'));
        if (bytes_starts(is, want) && (want.len || !is.len)) continue;
        print_error("%s: wanted %c: '%.*s', got '%.*s'\n", d->name, kind, BYTES_FMT(want), BYTES_FMT(is));
        return false;
    }
    if ((any || kind == 'S') && rest.len) {
        print_error("%s: unexpected %c: '%.*s'\n", d->name, kind, BYTES_FMT(rest));
        return false;
    }
    return true;
}

static bool play(const struct dialogue *d, size_t step) {
    struct run r = {.d = d};
    struct server_options o = d->options;
    o.hostname = "mx.test";
    o.idle_ms = 1000;
    r.server = server_new(&o);
    struct buf group = {0};
    bool started = false;
    for (struct bytes text = bytes_of(d->text); text.len;) {
        struct bytes line = bytes_cut(&text, '\n');
        if (line.len == 0) continue;
        if (line.at[0] == 'A') {
            flush(&r, &group, step);
            r.answers[r.answer_count++] = reply_of(bytes_skip(line, 3));
            continue;
        }
        if (!started && line.at[0] != '!') {
            if (line.at[0] == 'C') add_client_line(&group, line); // spoke before the greeting
            if (group.len) buf_add(&r.pending, buf_bytes(&group));
            buf_reset(&group);
            drive(&r);
            started = true;
            continue;
        }
        if (line.at[0] == 'C') add_client_line(&group, line);
        else flush(&r, &group, step);
        if (line.at[0] == '!') take_directive(&r, line);
    }
    flush(&r, &group, step);
    bool good = compare(d, 'S', &r.said) && compare(d, 'E', &r.done);
    server_free(&r.server);
    buf_release(&group);
    buf_release(&r.pending);
    buf_release(&r.said);
    buf_release(&r.done);
    buf_release(&r.content);
    return good;
}

#define HELLO "S: 220 mx.test ESMTP\nC: EHLO c.test\nS: 250-mx.test\nS: 250-PIPELINING\nS: 250-SIZE\n" \
              "S: 250-8BITMIME\nS: 250-SMTPUTF8\nS: 250-CHUNKING\nS: 250-DSN\nS: 250 ENHANCEDSTATUSCODES\n"
#define HELLO_AUTH "S: 220 mx.test ESMTP\nC: EHLO c.test\nS: 250-mx.test\nS: 250-PIPELINING\nS: 250-SIZE\n" \
              "S: 250-AUTH PLAIN LOGIN\nS: 250-8BITMIME\nS: 250-SMTPUTF8\nS: 250-CHUNKING\nS: 250-DSN\nS: 250 ENHANCEDSTATUSCODES\n"
#define OPEN "C: MAIL FROM:<a@a.test>\nC: RCPT TO:<b@b.test>\nS: 250 2.1.0 Ok\nS: 250 2.1.5 Ok\n"
#define LMTP_HELLO "S: 220 mx.test LMTP\nC: LHLO c.test\nS: 250-mx.test\nS: 250-PIPELINING\nS: 250-SIZE\n" \
              "S: 250-8BITMIME\nS: 250-SMTPUTF8\nS: 250-CHUNKING\nS: 250-DSN\nS: 250 ENHANCEDSTATUSCODES\n"

static const struct dialogue dialogues[] = {
    {"a message", {0}, false,
     HELLO "E: ask connect\n"
     "C: MAIL FROM:<a@a.test>\nS: 250 2.1.0 Ok\nE: ask sender <a@a.test>\n"
     "C: RCPT TO:<b@b.test>\nS: 250 2.1.5 Ok\nE: ask recipient <b@b.test>\n"
     "C: DATA\nS: 354 End data with <CR><LF>.<CR><LF>\n"
     "A: 250 2.0.0 Ok: queued as 1\nC: Subject: x\nC:\nC: ..dot\nC: .\n"
     "E: message [Subject: x\\r\\n\\r\\n.dot\\r\\n]\nS: 250 2.0.0 Ok: queued as 1\nE: reset\n"
     "C: QUIT\nS: 221 2.0.0 Bye\nE: close quit\n"},
    {"everything in one group", {0}, false,
     HELLO "C: MAIL FROM:<a@a.test>\nC: RCPT TO:<b@b.test>\nC: DATA\nC: x\nC: .\nC: MAIL FROM:<>\nC: RCPT TO:<c@c.test>\n"
     "C: DATA\nC: .\nC: QUIT\n"
     "S: 250 2.1.0\nS: 250 2.1.5\nS: 354\nS: 250 2.0.0 Ok\nS: 250 2.1.0\nS: 250 2.1.5\nS: 354\nS: 250 2.0.0\nS: 221\n"
     "E: ask connect\nE: ask sender <a@a.test>\nE: ask recipient <b@b.test>\nE: message [x\\r\\n]\nE: reset\n"
     "E: ask sender <>\nE: ask recipient <c@c.test>\nE: message []\nE: reset\nE: close quit\n"},
    {"greeting text", {.greeting = "ready"}, false, "S: 220 mx.test ESMTP ready\n"},
    {"refused at connect", {0}, false,
     "A: 554 5.7.1 go away\nS: 554 5.7.1 go away\nC: EHLO c.test\nC: MAIL FROM:<>\nC: NOOP\nC: QUIT\n"
     "S: 503 5.5.1 No service\nS: 503 5.5.1 No service\nS: 503 5.5.1 No service\nS: 221\nE: ask connect\nE: close refused\n"},
    {"closed at connect", {0}, false, "A: 421 4.7.0 busy\nS: 421 4.7.0 busy\nE: ask connect\nE: close refused\n"},
    {"a policy's 521 closes", {0}, false, HELLO "A: 521 5.7.1 no\nC: MAIL FROM:<a@a.test>\nS: 521 5.7.1 no\nE: ask connect\nE: ask sender\nE: reset\nE: close refused\n"},
    {"HELO", {0}, false, "S: 220\nC: HELO c.test\nS: 250 mx.test\n" OPEN "C: DATA\nS: 354\nC: x\nC: .\nS: 250 2.0.0\n"},
    {"before EHLO", {0}, false,
     "S: 220\nC: MAIL FROM:<>\nC: RCPT TO:<a@a.test>\nC: DATA\nC: AUTH PLAIN\nC: RSET\nC: NOOP\nC: HELP\nC: VRFY x\nC: EXPN x\n"
     "S: 503 5.5.1\nS: 503 5.5.1\nS: 503 5.5.1\nS: 503 5.5.1\nS: 250 2.0.0\nS: 250 2.0.0\nS: 214 2.0.0\nS: 252 2.0.0\nS: 502 5.5.1\n"},
    {"order", {0}, false,
     HELLO "C: RCPT TO:<a@a.test>\nS: 503 5.5.1 MAIL first\nC: DATA\nS: 503 5.5.1\nC: MAIL FROM:<a@a.test>\nS: 250\nC: MAIL FROM:<b@b.test>\n"
     "S: 503 5.5.1 A transaction is open\nC: AUTH PLAIN\nS: 503 5.5.1\nC: STARTTLS\nS: 503 5.5.1\nC: DATA\nS: 503 5.5.1 No recipients\nC: RCPT TO:<b@b.test>\nS: 250\n"
     "C: MAIL FROM:<b@b.test>\nS: 503\nC: DATA\nS: 354\nC: .\nS: 250\nC: DATA\nS: 503\n"},
    {"RSET and EHLO forget", {0}, false,
     HELLO OPEN "E: ask connect\nE: ask sender\nE: ask recipient\nC: RSET\nS: 250 2.0.0\nE: reset\nC: DATA\nS: 503\n" OPEN
     "E: ask sender\nE: ask recipient\nC: HELO d.test\nS: 250 mx.test\nE: reset\nC: RCPT TO:<b@b.test>\nS: 503\n"},
    {"the policy refuses", {0}, false,
     HELLO "A: 550 5.7.1 not you\nC: MAIL FROM:<a@a.test>\nS: 550 5.7.1 not you\nC: RCPT TO:<b@b.test>\nS: 503\n"
     "C: MAIL FROM:<a@a.test>\nS: 250\nA: 550 5.1.1 no such\nA: 450 4.2.0 later\nC: RCPT TO:<b@b.test>\nC: RCPT TO:<c@c.test>\nC: DATA\n"
     "S: 550 5.1.1 no such\nS: 450 4.2.0 later\nS: 554 5.5.1 No valid\nA: 251 2.1.5 forwarded\nC: RCPT TO:<d@d.test>\nS: 251 2.1.5 forwarded\n"
     "C: DATA\nS: 354\nA: 554 5.7.1 spam\nC: .\nS: 554 5.7.1 spam\nC: DATA\nS: 503\n"},
    {"syntax", {0}, false,
     HELLO "C: FOO\nC:\nC: MAIL FROM:a\nC: MAIL FROM:<a@a.test> X=1\nC: EHLO\nC: NOOP \\0\nC: NOOP \\rx\nC: DATA x\n"
     "S: 500 5.5.2\nS: 500 5.5.2\nS: 501 5.5.4\nS: 555 5.5.4\nS: 501 5.5.4\nS: 500 5.5.2\nS: 500 5.5.2\nS: 501 5.5.4\n"},
    {"bare LF in commands", {0}, false,
     HELLO "C= NOOP\\nMAIL FROM:<a@a.test>\\nRSET\\r\\nNOOP\\r\\n\nS: 500 5.5.2 Lines end\nS: 250 2.0.0\n"
     "C: RCPT TO:<a\\r\\n@b.test>\nS: 501\nS: 500\nE: ask connect\n"},
    {"too long lines", {0}, false,
     HELLO "C= NOOP \nC+ 505 x\nC:\nS: 250\nC= NOOP \nC+ 506 x\nC:\nS: 500 5.5.2 Line too long\nC: NOOP\nS: 250\n"
     "C= MAIL FROM:<a@a.test> AUTH=\nC+ 500 x\nC:\nS: 250\n"
     "C= RCPT TO:<a@a.test> ORCPT=rfc822;\nC+ 480 x\nC:\nS: 250\nC= RCPT TO:<a@a.test> ORCPT=rfc822;\nC+ 1300 x\nC:\nS: 500 5.5.2 Line\n"
     "C+ 3000 x\nC= \\n\\n\\r\\r\\nNOOP\\r\\n\nS: 500 5.5.2 Line\nS: 250\n"},
    {"an endless line", {0}, false, HELLO "C+ 70000 x\nS: 500 5.5.2 Line too long\nS: 421 4.7.0 Endless line\nE: ask connect\nE: close endless-line\n"},
    {"HTTP", {0}, false, "S: 220\nC: GET / HTTP/1.1\nC: Host: mx.test\nC:\nS: 554 5.5.1 This is SMTP\nE: ask connect\nE: close http\n"},
    {"HTTP POST with commands in it", {0}, false,
     HELLO "C: POST / HTTP/1.1\nC:\nC: MAIL FROM:<a@a.test>\nS: 554 5.5.1\nE: ask connect\nE: close http\n"},
    {"a TLS handshake in the clear", {0}, false, "S: 220\nC= \\x16\\x03\\x01\\x02\\x00\\x01\nS: 554 5.5.1 TLS\nE: ask connect\nE: close tls-hello\n"},
    {"errors", {.errors_max = 2}, false,
     HELLO "C: FOO\nC: FOO\nC: FOO\nC: NOOP\nS: 500\nS: 500\nS: 500\nS: 421 4.7.0 Too many errors\nE: ask connect\nE: close errors\n"},
    {"a message pays for errors", {.errors_max = 2}, false,
     HELLO "C: FOO\nC: FOO\nS: 500\nS: 500\n" OPEN "C: DATA\nC: .\nS: 354\nS: 250\nC: FOO\nC: FOO\nC: NOOP\nS: 500\nS: 500\nS: 250\n"},
    {"commands", {.commands_max = 3}, false,
     HELLO "C: NOOP\nC: NOOP\nC: NOOP\nS: 250\nS: 250\nS: 421 4.7.0 Too many commands\nE: ask connect\nE: close commands\n"},
    {"commands that move a message are not counted", {.commands_max = 3}, false,
     HELLO "C: MAIL FROM:<>\nC: RCPT TO:<a@a.test>\nC: RCPT TO:<b@a.test>\nC: RCPT TO:<c@a.test>\nC: DATA\nC: .\n"
     "S: 250\nS: 250\nS: 250\nS: 250\nS: 354\nS: 250\nC: NOOP\nC: NOOP\nC: NOOP\nC: NOOP\nS: 250\nS: 250\nS: 250\nS: 421\n"},
    {"messages", {.messages_max = 1}, false,
     HELLO OPEN "C: DATA\nC: .\nS: 354\nS: 250\nC: MAIL FROM:<>\nS: 421 4.7.0 Enough\nE: ask connect\nE: ask sender\nE: ask recipient\nE: message []\nE: reset\nE: close messages\n"},
    {"recipients", {.recipients_max = 2}, false,
     HELLO "C: MAIL FROM:<>\nC: RCPT TO:<a@a.test>\nC: RCPT TO:<b@a.test>\nC: RCPT TO:<c@a.test>\nC: DATA\nC: .\n"
     "S: 250\nS: 250\nS: 250\nS: 452 4.5.3\nS: 354\nS: 250\n"},
    {"SIZE at MAIL", {.size_max = 100}, false,
     HELLO "C: MAIL FROM:<a@a.test> SIZE=101\nS: 552 5.3.4\nC: MAIL FROM:<a@a.test> SIZE=99999999999999999999\nS: 552 5.3.4\nC: MAIL FROM:<a@a.test> SIZE=100\nS: 250\n"},
    {"too big in DATA", {.size_max = 10}, false,
     HELLO OPEN "C: DATA\nC: 12345678\nC: .\nS: 354\nS: 250 2.0.0\n" OPEN "C: DATA\nC: 123456789\nC: .\nC: NOOP\nS: 354\nS: 552 5.3.4\nS: 250 2.0.0\n"},
    {"dots do not count", {.size_max = 10}, false, HELLO OPEN "C: DATA\nC: ..2345678\nC: .\nS: 354\nS: 250 2.0.0\n"},
    {"too much header", {.header_max = 12}, false,
     HELLO OPEN "C: DATA\nC: 12345678\nC:\nC: and more than that in the body\nC: .\nS: 354\nS: 250\n"
     OPEN "C: DATA\nC: 123456789\nC:\nC: .\nS: 354\nS: 552 5.3.4 Message header\n"
     OPEN "C: DATA\nC: 12345678\nC: x\nC: .\nS: 354\nS: 552 5.3.4\n"},
    {"loops", {.received_max = 2}, false,
     HELLO OPEN "C: DATA\nC: Received: 1\nC: RECEIVED: 2\nC: X-Received: 3\nC:\nC: Received: 4\nC: .\nS: 354\nS: 250\n"
     OPEN "C: DATA\nC: Received: 1\nC: received: 2\nC: Received:\nC: .\nS: 354\nS: 554 5.4.6\n"},
    {"long lines in content", {.text_line_max = 10}, false,
     HELLO OPEN "C: DATA\nC: 12345678\nC: .\nS: 354\nS: 250\n" OPEN "C: DATA\nC: 123456789\nC: .\nS: 354\nS: 554 5.6.0\n"},
    {"smuggling is refused and never ends the data", {0}, false,
     HELLO OPEN "C: DATA\nC= x\\n.\\nMAIL FROM:<evil@a.test>\\n\nC= x\\n.\\r\\nMAIL FROM:<evil@a.test>\\r\\n\nC= x\\r.\\r\\nMAIL FROM:<evil@a.test>\\r\\n\n"
     "C= x\\r\\n.\\nMAIL FROM:<evil@a.test>\\r\\n\nC= x\\r\\n.\\rMAIL FROM:<evil@a.test>\\r\\n\nC= x\\r.\\rMAIL FROM:<evil@a.test>\\r\\n.\\r\\n\n"
     "S: 354\nS: 550 5.6.0 Message contains a bare\nE: ask connect\nE: ask sender <a@a.test>\nE: ask recipient\nE: reset\n"},
    {"bare LF is kept where it may be", {.bare_newline = SERVER_BARE_KEEP}, false,
     HELLO OPEN "C: DATA\nC= a\\n.\\nb\\r\\n.\\r\\n\nS: 354\nS: 250\nE: ask connect\nE: ask sender\nE: ask recipient\n"
     "E: message [a\\n.\\nb\\r\\n]\nE: reset\n"},
    {"NUL in content", {.bare_newline = SERVER_BARE_KEEP}, false, HELLO OPEN "C: DATA\nC: a\\0b\nC: .\nS: 354\nS: 550 5.6.0 Message contains NUL\n"},
    {"spoilt", {0}, false,
     HELLO OPEN "! spoil 452 4.3.1 full\nC: DATA\nC: x\nC: y\nC: .\nS: 354\nS: 452 4.3.1 full\nE: ask connect\nE: ask sender\nE: ask recipient\nE: reset\n"},
    {"spoilt and bad says what is for good", {.size_max = 4}, false,
     HELLO OPEN "! spoil 452 4.3.1 full\nC: DATA\nC: x\nC: y\nC: .\nS: 354\nS: 552 5.3.4\n"},
    {"dismissed between commands", {0}, false, HELLO "! dismiss 421 4.3.2 shutting down\nS: 421 4.3.2 shutting down\nE: ask connect\nE: close dismissed\n"},
    {"dismissed before the greeting", {0}, false, "! dismiss 421 4.7.0 too many\nS: 421 4.7.0 too many\nE: close dismissed\n"},
    {"dismissed inside DATA", {0}, false,
     HELLO OPEN "C: DATA\nC: x\nS: 354\n! dismiss 421 4.4.2 idle\nS: 421 4.4.2 idle\n"},
    {"parameters", {0}, false,
     HELLO "C: MAIL FROM:<a@a.test> BODY=8BITMIME RET=HDRS ENVID=x SIZE=5\nC: RCPT TO:<b@b.test> NOTIFY=DELAY ORCPT=rfc822;b@b.test\nS: 250\nS: 250\n"
     "C: RCPT TO:<b@b.test> NOTIFY=WHAT\nS: 501 5.5.4\n"},
    {"SMTPUTF8", {0}, false,
     HELLO "C: MAIL FROM:<\xc3\xa9@a.test>\nS: 553 5.6.7\nC: MAIL FROM:<a@a.test>\nS: 250\nC: RCPT TO:<\xc3\xa9@b.test>\nS: 553 5.6.7\nC: RSET\nS: 250\n"
     "C: MAIL FROM:<a@a.test> SMTPUTF8\nS: 250\nC: RCPT TO:<\xc3\xa9@b.test>\nS: 250\n"},

    {"BDAT", {0}, false,
     HELLO OPEN "C: BDAT 6\nC= ab\\r\\n.\\r\nC: BDAT 1\nC= \\n\nC: BDAT 3 LAST\nC= .\\r\\n\n"
     "S: 250 2.0.0\nS: 250 2.0.0\nS: 250 2.0.0\nE: ask connect\nE: ask sender\nE: ask recipient\nE: message [ab\\r\\n.\\r\\n.\\r\\n]\nE: reset\n"},
    {"BDAT in one", {0}, false, HELLO OPEN "C: BDAT 3 LAST\nC= x\\r\\n\nC: QUIT\nS: 250\nS: 221\nE: ask connect\nE: ask sender\nE: ask recipient\nE: message [x\\r\\n]\nE: reset\nE: close quit\n"},
    {"BDAT 0 LAST", {0}, false, HELLO OPEN "C: BDAT 2\nC= \\r\\n\nC: BDAT 0 LAST\nS: 250\nS: 250\nC: NOOP\nS: 250\nE: ask connect\nE: ask sender\nE: ask recipient\nE: message [\\r\\n]\nE: reset\n"},
    {"BDAT of nothing", {0}, false, HELLO OPEN "C: BDAT 0 LAST\nS: 250\nE: ask connect\nE: ask sender\nE: ask recipient\nE: message []\nE: reset\n"},
    {"BDAT without the last CRLF", {0}, false, HELLO OPEN "C: BDAT 3 LAST\nC= abc\nS: 250\nE: ask connect\nE: ask sender\nE: ask recipient\nE: message [abc\\r\\n]\nE: reset\n"},
    {"BDAT whose content looks like commands", {0}, false,
     HELLO OPEN "C: BDAT 17 LAST\nC= .\\r\\nQUIT\\r\\nRSET\\r\\nx\\r\nS: 550 5.6.0\n"},
    {"BDAT without transaction", {0}, false,
     HELLO "C: BDAT 6 LAST\nC= QUIT\\r\\n\nC: NOOP\nS: 503 5.5.1 No transaction\nS: 250\nE: ask connect\n"},
    {"BDAT before EHLO", {0}, false, "S: 220\nC: BDAT 6\nC= QUIT\\r\\n\nC: NOOP\nS: 503 5.5.1\nS: 250\n"},
    {"BDAT without recipients", {0}, false,
     HELLO "C: MAIL FROM:<>\nC: BDAT 6\nC= QUIT\\r\\n\nC: BDAT 6 LAST\nC= QUIT\\r\\n\nS: 250\nS: 503 5.5.1 No recip\nS: 503 5.5.1\n"
     "A: 550 5.1.1 no\nC: RCPT TO:<a@a.test>\nC: BDAT 6 LAST\nC= QUIT\\r\\n\nC: RSET\nS: 550\nS: 554 5.5.1\nS: 250\n"},
    {"BDAT after DATA", {0}, false, HELLO OPEN "C: DATA\nC: .\nC: BDAT 6 LAST\nC= QUIT\\r\\n\nC: NOOP\nS: 354\nS: 250\nS: 503\nS: 250\n"},
    {"between chunks", {0}, false,
     HELLO OPEN "C: BDAT 2\nC= \\r\\n\nS: 250\nC: DATA\nC: RCPT TO:<a@a.test>\nC: MAIL FROM:<>\nC: NOOP\nC: AUTH PLAIN\nS: 503 5.5.1 Only\nS: 503 5.5.1 Only\nS: 503\nS: 250\nS: 503\n"
     "C: RSET\nS: 250\nC: BDAT 0 LAST\nS: 503\nE: ask connect\nE: ask sender\nE: ask recipient\nE: reset\n"},
    {"BDAT too big", {.size_max = 10}, false,
     HELLO OPEN "C: BDAT 8\nC= 123456\\r\\n\nC: BDAT 4\nC= 12\\r\\n\nC: BDAT 2 LAST\nC= \\r\\n\nC: NOOP\nS: 250\nS: 552 5.3.4\nS: 552 5.3.4\nS: 250\n"},
    {"BDAT far too big", {.size_max = 10}, false, HELLO OPEN "C: BDAT 44\nS: 552 5.3.4 Chunk\nE: ask connect\nE: ask sender\nE: ask recipient\nE: close bdat\n"},
    {"BDAT that nobody understands", {0}, false, HELLO OPEN "C: BDAT x\nC: QUIT\nS: 501 5.5.4\nE: ask connect\nE: ask sender\nE: ask recipient\nE: close bdat\n"},
    {"BDAT spoilt", {0}, false, HELLO OPEN "! spoil 452 4.3.1 full\nC: BDAT 3\nC= x\\r\\n\nC: BDAT 0 LAST\nS: 452 4.3.1\nS: 452 4.3.1\n"},
    {"small chunks are commands", {.commands_max = 4}, false,
     HELLO OPEN "C: BDAT 0\nC: BDAT 0\nC: BDAT 0\nS: 250\nS: 250\nS: 421\n"},

    {"STARTTLS", {.starttls = true, .auth = true, .tls_required = true}, false,
     "S: 220\nC: EHLO c.test\nS: 250-mx\nS: 250-PIPE\nS: 250-SIZE\nS: 250-STARTTLS\nS: 250-8BIT\nS: 250-SMTPUTF8\nS: 250-CHUNK\nS: 250-DSN\nS: 250 ENH\n"
     "C: MAIL FROM:<>\nS: 530 5.7.0\nC: AUTH PLAIN AGEAYg==\nS: 538 5.7.11\nC: STARTTLS\nS: 220 2.0.0\nC: MAIL FROM:<>\nS: 503 5.5.1\n"
     "C: EHLO c.test\nS: 250-mx\nS: 250-PIPE\nS: 250-SIZE\nS: 250-AUTH PLAIN LOGIN\nS: 250-8BIT\nS: 250-SMTPUTF8\nS: 250-CHUNK\nS: 250-DSN\nS: 250 ENH\n"
     "C: STARTTLS\nS: 503 5.5.1 TLS\nC: MAIL FROM:<>\nS: 250\nE: ask connect\nE: tls\nE: ask sender\n"},
    {"STARTTLS not offered", {0}, false, HELLO "C: STARTTLS\nS: 502 5.5.1\n"},
    {"STARTTLS with something behind it", {.starttls = true}, true,
     "S: 220\nC: STARTTLS\nC: MAIL FROM:<>\nS: 554 5.5.1 Nothing may\nE: ask connect\nE: close injection\n"},
    {"STARTTLS with a byte behind it", {.starttls = true}, true,
     "S: 220\nC= STARTTLS\\r\\nx\nS: 554 5.5.1 Nothing may\nE: ask connect\nE: close injection\n"},

    {"AUTH PLAIN at once", {.auth = true, .secured = true, .auth_required = true}, false,
     HELLO_AUTH "C: MAIL FROM:<>\nS: 530 5.7.0\nC: AUTH PLAIN egBqb2UAc2VjcmV0\nE: ask connect\nE: ask login PLAIN z|joe|secret\nS: 235 2.7.0\n"
     "C: AUTH PLAIN egBqb2UAc2VjcmV0\nS: 503 5.5.1 Authenticated already\nC: MAIL FROM:<>\nS: 250\nE: ask sender <>\n"
     "C: RSET\nC: EHLO c.test\nS: 250 2.0.0\n"
     "S: 250-mx\nS: 250-PIPE\nS: 250-SIZE\nS: 250-8BIT\nS: 250-SMTPUTF8\nS: 250-CHUNK\nS: 250-DSN\nS: 250 ENH\nE: reset\n"},
    {"AUTH PLAIN asked", {.auth = true, .secured = true}, false,
     HELLO_AUTH "C: AUTH plain\nS: 334\nC: AGpvZQBzZWNyZXQ=\nE: ask connect\nE: ask login PLAIN |joe|secret\nS: 235\n"},
    {"AUTH LOGIN", {.auth = true, .secured = true}, false,
     HELLO_AUTH "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: am9l\nS: 334 UGFzc3dvcmQ6\nC: c2VjcmV0\nE: ask connect\nE: ask login LOGIN |joe|secret\nS: 235\n"},
    {"AUTH LOGIN with the name", {.auth = true, .secured = true}, false,
     HELLO_AUTH "C: AUTH LOGIN am9l\nS: 334 UGFzc3dvcmQ6\nC: c2VjcmV0\nE: ask connect\nE: ask login LOGIN |joe|secret\nS: 235\n"},
    {"AUTH refused", {.auth = true, .secured = true, .errors_max = 1}, false,
     HELLO_AUTH "A: 535 5.7.8 wrong\nA: 454 4.7.0 busy\nA: 535 5.7.8 wrong\nC: AUTH PLAIN AGpvZQBzZWNyZXQ=\nS: 535 5.7.8 wrong\nC: AUTH PLAIN AGpvZQBzZWNyZXQ=\nS: 454 4.7.0\n"
     "C: AUTH PLAIN AGpvZQBzZWNyZXQ=\nS: 535\nS: 421 4.7.0 Too many errors\n"},
    {"AUTH faults", {.auth = true, .secured = true}, false,
     HELLO_AUTH "C: AUTH LOGIN\nC: *\nS: 334\nS: 501 5.7.0\nC: AUTH PLAIN\nC: %%%\nS: 334\nS: 501 5.5.2\nC: AUTH PLAIN =\nS: 501 5.5.2\nC: AUTH PLAIN am9l\nS: 501 5.5.2\n"
     "C: AUTH PLAIN AABhAGI=\nS: 501 5.5.2\nC: AUTH PLAIN AGEA\nS: 501 5.5.2\nC: AUTH LOGIN =\nS: 501 5.5.2\nC: AUTH CRAM-MD5\nS: 504 5.5.4\nC: AUTH LOGIN\nC:\nS: 334\nS: 501\n"
     "C: AUTH LOGIN YQA=\nC: YQ==\nS: 334\nS: 501\nC: NOOP\nS: 250\nE: ask connect\n"},
    {"AUTH after HELO", {.auth = true, .secured = true}, false, "S: 220\nC: HELO x\nC: AUTH PLAIN\nS: 250\nS: 503 5.5.1 Say EHLO\n"},
    {"AUTH not offered", {.secured = true}, false, HELLO "C: AUTH PLAIN AGEAYg==\nS: 502 5.5.1\n"},
    {"AUTH lines", {.auth = true, .secured = true}, false,
     HELLO_AUTH "C: AUTH PLAIN\nS: 334\nC+ 12286 A\nC:\nS: 501 5.5.2\nC: AUTH PLAIN\nS: 334\nC+ 12287 A\nC:\nS: 500 5.5.6\nC: NOOP\nS: 250\nC= AUTH PLAIN \nC+ 3000 A\nC:\nS: 501\n"
     "C: AUTH LOGIN\nS: 334\nC= am9l\\n\\r\\n\nS: 500 5.5.2\nC: NOOP\nS: 250\n"},

    {"LMTP", {.protocol = SERVER_LMTP}, false,
     LMTP_HELLO "C: EHLO x\nC: HELO x\nS: 500 5.5.1\nS: 500 5.5.1\nC: MAIL FROM:<>\nS: 250\nC: DATA\nS: 503 5.5.1\nA: 550 5.1.1 no\nC: RCPT TO:<a@a.test>\nC: DATA\nS: 550\nS: 503 5.5.1\n"
     "C: RCPT TO:<b@a.test>\nC: RCPT TO:<c@a.test>\nC: DATA\nC: .\nS: 250\nS: 250\nS: 354\nS: 250 2.0.0\nS: 250 2.0.0\n"
     "C: MAIL FROM:<>\nC: RCPT TO:<b@a.test>\nC: RCPT TO:<c@a.test>\nC: BDAT 0\nC: BDAT 0 LAST\nS: 250\nS: 250\nS: 250\nS: 250\nS: 250\nS: 250\n"
     "C: MAIL FROM:<>\nC: RCPT TO:<b@a.test>\nC: RCPT TO:<c@a.test>\nC: DATA\nC: \\0\nC: .\nS: 250\nS: 250\nS: 250\nS: 354\nS: 550 5.6.0\nS: 550 5.6.0\n"},
    {"LHLO in SMTP", {0}, false, "S: 220\nC: LHLO x\nS: 500 5.5.1\n"},
};

static void dialogues_go_as_written(void **state) {
    (void)state;
    int bad = 0;
    for (size_t i = 0; i < sizeof dialogues / sizeof *dialogues; i++) {
        const struct dialogue *d = &dialogues[i];
        if (!play(d, SIZE_MAX) || (!d->whole && (!play(d, 1) || !play(d, 0)))) bad++;
    }
    assert_int_equal(bad, 0);
}

static void drain(struct server *s, const char *input) {
    struct bytes in = bytes_of(input);
    struct server_want want;
    for (;;) {
        enum server_next next = server_next(s, &in, &want);
        if (next == SERVER_ASK) server_answer(s, NULL);
        if (next == SERVER_TLS) server_secured(s);
        if (next == SERVER_READ || next == SERVER_CLOSE) break;
    }
    buf_reset(server_output(s));
}

static void names_its_protocol(void **state) {
    (void)state;
    struct server_options o = {.hostname = "mx.test", .starttls = true, .auth = true};
    struct server *s = server_new(&o);
    drain(s, "HELO x\r\n");
    assert_string_equal(server_protocol_name(s), "SMTP");
    drain(s, "EHLO y\r\n");
    assert_string_equal(server_protocol_name(s), "ESMTP");
    assert_true(bytes_equal(server_helo(s), BYTES("y")));
    drain(s, "STARTTLS\r\n");
    assert_true(server_is_secured(s));
    assert_int_equal(server_helo(s).len, 0);
    assert_false(server_is_esmtp(s)); // all as at the start
    drain(s, "EHLO z\r\n");
    assert_string_equal(server_protocol_name(s), "ESMTPS");
    drain(s, "AUTH PLAIN AGEAYg==\r\n");
    assert_string_equal(server_protocol_name(s), "ESMTPSA");
    assert_true(bytes_equal(server_user(s), BYTES("a")));
    drain(s, "MAIL FROM:<a@a.test> SMTPUTF8\r\n");
    assert_string_equal(server_protocol_name(s), "UTF8SMTPSA");
    server_free(&s);
    o.protocol = SERVER_LMTP;
    s = server_new(&o);
    drain(s, "LHLO x\r\n");
    assert_string_equal(server_protocol_name(s), "LMTP");
    server_free(&s);
    assert_null(s);
    server_free(&s);
}

static void remembers_the_transaction(void **state) {
    (void)state;
    struct server_options o = {.hostname = "mx.test"};
    struct server *s = server_new(&o);
    drain(s, "EHLO x\r\n");
    assert_true(server_is_between(s));
    drain(s, "MAIL FROM:<a@a.test> SIZE=7 RET=FULL ENVID=e BODY=8BITMIME\r\nRCPT TO:<b@b.test> NOTIFY=NEVER ORCPT=rfc822;o\r\n");
    assert_false(server_is_between(s));
    const struct server_path *p = server_sender(s);
    assert_true(bytes_equal(p->address, BYTES("a@a.test")) && bytes_equal(p->envid, BYTES("e")));
    assert_true(p->size == 7 && p->ret == 1 && p->body_8bit && !p->smtputf8);
    for (int i = 0; i < 100; i++) {
        char line[64];
        snprintf(line, sizeof line, "RCPT TO:<c%d@c.test>\r\n", i % 99);
        drain(s, line);
    }
    assert_int_equal(server_recipient_count(s), 100); // one of them was named twice
    drain(s, "RCPT TO:<PostMaster>\r\n");
    assert_true(bytes_equal(server_recipient(s, 100)->address, BYTES("PostMaster@mx.test")));
    p = server_recipient(s, 0);
    assert_true(bytes_equal(p->address, BYTES("b@b.test")) && bytes_equal(p->orcpt, BYTES("rfc822;o")));
    assert_int_equal(p->notify, NOTIFY_NEVER);
    drain(s, "DATA\r\nA: b\r\n\r\nf\xc3\xbcr\r\n");
    assert_true(server_gauge(s)->dots.eight);
    assert_int_equal(server_gauge(s)->header_size, 8);
    drain(s, ".\r\n");
    assert_int_equal(server_recipient_count(s), 0);
    assert_int_equal(server_sender(s)->address.len, 0);
    server_free(&s);
}

static void sees_who_talks_first(void **state) {
    (void)state;
    struct server_options o = {.hostname = "mx.test"};
    struct server *s = server_new(&o);
    drain(s, "");
    drain(s, "EHLO x\r\n");
    assert_false(server_spoke_early(s));
    server_free(&s);
    s = server_new(&o);
    drain(s, "EHLO x\r\n");
    assert_true(server_spoke_early(s));
    assert_true(bytes_equal(server_helo(s), BYTES("x"))); // and is answered
    server_free(&s);
}

static void hands_out_content_without_copying(void **state) {
    (void)state;
    struct server_options o = {.hostname = "mx.test"};
    struct server *s = server_new(&o);
    drain(s, "EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<b@b.test>\r\nDATA\r\n");
    const char *text = "Subject: x\r\n\r\nmany\r\nlines\r\nin one run\r\n..and another\r\n";
    struct bytes in = bytes_of(text);
    struct server_want want;
    assert_int_equal(server_next(s, &in, &want), SERVER_BODY);
    assert_ptr_equal(want.bytes.at, text);
    assert_int_equal(want.bytes.len, strstr(text, "..") - text);
    assert_int_equal(server_next(s, &in, &want), SERVER_BODY);
    assert_int_equal(server_next(s, &in, &want), SERVER_READ);
    server_free(&s);
}

static void waits_with_a_dismissal_for_the_answer(void **state) {
    (void)state;
    struct server_options o = {.hostname = "mx.test"};
    struct server *s = server_new(&o);
    struct server_want want;
    drain(s, "EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<b@b.test>\r\nDATA\r\n");
    struct bytes in = BYTES(".\r\n");
    assert_int_equal(server_next(s, &in, &want), SERVER_ASK);
    struct reply bye = reply_make(421, "4.3.2", "bye"), ok = reply_make(250, "2.0.0", "kept");
    server_dismiss(s, &bye);
    assert_int_equal(server_next(s, &in, &want), SERVER_READ);
    server_answer(s, &ok);
    assert_int_equal(server_next(s, &in, &want), SERVER_RESET);
    assert_int_equal(server_next(s, &in, &want), SERVER_CLOSE);
    assert_string_equal(buf_z(server_output(s)), "250 2.0.0 kept\r\n421 4.3.2 bye\r\n");
    server_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dialogues_go_as_written),
        cmocka_unit_test(names_its_protocol),
        cmocka_unit_test(remembers_the_transaction),
        cmocka_unit_test(sees_who_talks_first),
        cmocka_unit_test(hands_out_content_without_copying),
        cmocka_unit_test(waits_with_a_dismissal_for_the_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
