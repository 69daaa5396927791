// SPDX-License-Identifier: MIT
// dialogue_fuzz: whole SMTP dialogues, made from the input rather than being it: a byte is a command, or a piece of content chosen for
// where line ends and dots go wrong. The maker knows what each content is, by a reading of RFC 5321 4.1.1.4 that shares no code with ours:
//
//   what the server hands over is one of the contents sent, in order, whole, and ends where the first CRLF.CRLF is, nowhere else;
//   it has no bare CR or LF where those are refused; a command hidden in it is never obeyed (no sender it names is ever asked about);
//   written out again by the client's half (smtp/dot) it comes back the same; and memory stays bounded.
#include "base/bug.h"
#include "smtp/dot.h"
#include "smtp/server.h"

#include <stdlib.h>

enum { CONTENTS = 32, PENDING_MOST = 16384 };

static const char *const commands[] = {
    "EHLO client.test\r\n", "HELO client.test\r\n",  "MAIL FROM:<a@b.test>\r\n", "MAIL FROM:<>\r\n", "RCPT TO:<c@d.test>\r\n",
    "RSET\r\n",             "NOOP\r\n",              "VRFY x\r\n",               "nonsense\r\n",     "MAIL FROM:<a@b.test> SIZE=10\r\n",
    "RCPT TO:<e@f.test>\n", "RCPT TO:<\xc3\xa9@f.test>\r\n", "BDAT 5 LAST\r\nab\r\nc", "\r\n",      "RCPT TO:<g@h.test>\r\nRCPT TO:<i@j.test>\r\n",
};
enum { COMMANDS = sizeof commands / sizeof *commands };

// The hidden dialogue is one that nobody may ever be asked about.
#define HIDDEN "MAIL FROM:<hidden@evil.test>\r\nRCPT TO:<hidden@evil.test>\r\nDATA\r\nhidden\r\n"
static const struct bytes pieces[] = {
    BYTES("text"),   BYTES("\r\n"),    BYTES("\n"),     BYTES("\r"),       BYTES("."),         BYTES(".."),       BYTES("\n.\n"), BYTES("\n.\r\n"),
    BYTES("\r.\r"),  BYTES("\r\n.\n"), BYTES("\r.\r\n"), BYTES("\r\n.\r"), BYTES("\n.\r\n" HIDDEN), BYTES("\r\n..\r\n"), BYTES("\xff"),  BYTES("Subject: x\r\n\r\n"),
};
enum { PIECES = sizeof pieces / sizeof *pieces };

struct dialogue {
    struct buf stream;
    struct buf sent[CONTENTS];                       // what each DATA means
    size_t begins[CONTENTS + 1], ends[CONTENTS + 1]; // where its content lies in the stream: sent only after 354
    size_t count, met;
    char code[3];                                    // of the last reply
    struct buf content;
    bool keep_bare;
};

// RFC 5321 4.5.2, the slow way: a line is what ends in CRLF; one that is "." ends it all, of others a first dot goes.
static bool read_slowly(struct bytes raw, struct buf *out, size_t *used) {
    for (size_t at = 0; at < raw.len;) {
        size_t end = at;
        while (end + 1 < raw.len && !(raw.at[end] == '\r' && raw.at[end + 1] == '\n')) end++;
        if (end + 1 >= raw.len) return false;
        struct bytes line = bytes_range(raw.at + at, end - at);
        at = end + 2;
        if (line.len == 1 && line.at[0] == '.') {
            *used = at;
            return true;
        }
        if (line.len && line.at[0] == '.') line = bytes_skip(line, 1);
        buf_add(out, line);
        buf_addz(out, "\r\n");
    }
    return false;
}

// DATA and its pieces up to the next byte above 127. What a piece makes of the end is cut off: behind it begins the next command.
static void make_content(struct dialogue *d, struct bytes *program) {
    struct buf raw = {0};
    size_t used = 0;
    while (program->len && (unsigned char)program->at[0] < 128 && raw.len < 4096) {
        buf_add(&raw, pieces[(unsigned char)program->at[0] % PIECES]);
        *program = bytes_skip(*program, 1);
    }
    buf_addz(&raw, "\r\n.\r\n");
    buf_reset(&d->sent[d->count]);
    bug_if(!read_slowly(buf_bytes(&raw), &d->sent[d->count], &used));
    buf_addz(&d->stream, "DATA\r\n");
    d->begins[d->count] = d->stream.len;
    buf_add(&d->stream, bytes_first(buf_bytes(&raw), used));
    d->ends[d->count++] = d->stream.len;
    buf_release(&raw);
}

static void make(struct dialogue *d, struct bytes program) {
    buf_addz(&d->stream, "EHLO client.test\r\n");
    while (program.len && d->count < CONTENTS) {
        unsigned char op = (unsigned char)program.at[0];
        program = bytes_skip(program, 1);
        if (op >= 192)
            buf_addz(&d->stream, commands[op % COMMANDS]);
        else if (op >= 128)
            buf_addz(&d->stream, "MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\n");
        else
            make_content(d, &program);
    }
}

static bool is_bare(struct bytes b) {
    for (size_t i = 0; i < b.len; i++) {
        if (b.at[i] == '\n' && (i == 0 || b.at[i - 1] != '\r')) return true;
        if (b.at[i] == '\r' && (i + 1 == b.len || b.at[i + 1] != '\n')) return true;
    }
    return false;
}

static void check_again(struct bytes content) {
    struct dot_writer writer = {0};
    struct dot_reader reader = {0};
    struct buf wire = {0}, back = {0};
    bool ended = false;
    for (struct bytes rest = content; rest.len;) { // in odd cuts
        struct bytes piece = bytes_first(rest, 1 + rest.len % 7);
        dot_write(&writer, &wire, piece);
        rest = bytes_skip(rest, piece.len);
    }
    dot_end(&writer, &wire);
    for (struct bytes rest = buf_bytes(&wire); !ended;) {
        bug_if(!rest.len);
        buf_add(&back, dot_read(&reader, &rest, &ended));
        bug_if(ended && rest.len);
    }
    // A dot behind a bare line end was stuffed, and a strict reader leaves it in: only without those is it the same.
    if (!is_bare(content)) bug_if(!bytes_equal(buf_bytes(&back), content));
    buf_release(&wire);
    buf_release(&back);
}

static void check_content(struct dialogue *d, bool by_bdat) {
    struct bytes got = buf_bytes(&d->content);
    bug_if(!d->keep_bare && is_bare(got));
    check_again(got);
    if (by_bdat && bytes_equal(got, BYTES("ab\r\nc\r\n"))) return;
    while (d->met < d->count && !bytes_equal(buf_bytes(&d->sent[d->met]), got)) d->met++;
    bug_if(d->met == d->count);
    d->met++;
}

static void obey(struct dialogue *d, struct server *s, enum server_next next, const struct server_want *want) {
    if (next == SERVER_BODY) buf_add(&d->content, want->bytes);
    if (next == SERVER_RESET) buf_reset(&d->content);
    if (next != SERVER_ASK) return;
    bug_if(bytes_find_last(want->path.address, 'h') == 0); // hidden@
    if (want->ask == ASK_MESSAGE) check_content(d, true);
    server_answer(s, NULL);
}

static void hear(struct dialogue *d, struct buf *said) {
    struct bytes all = buf_bytes(said);
    if (all.len < 5) return;
    ptrdiff_t before = bytes_find_last(bytes_first(all, all.len - 1), '\n');
    memcpy(d->code, all.at + before + 1, sizeof d->code);
    buf_reset(said);
}

// False once the server has closed.
static bool feed(struct dialogue *d, struct server *s, struct buf *pending, struct bytes in, size_t step) {
    for (struct bytes piece; (piece = bytes_first(in, step)).len; in = bytes_skip(in, piece.len)) {
        enum server_next next;
        buf_add(pending, piece);
        do {
            struct server_want want;
            struct bytes input = buf_bytes(pending);
            size_t had = input.len;
            next = server_next(s, &input, &want);
            obey(d, s, next, &want);
            buf_drop(pending, had - input.len);
        } while (next != SERVER_READ && next != SERVER_CLOSE);
        if (next == SERVER_CLOSE) return false;
        bug_if(pending->len > PENDING_MOST);
        hear(d, server_output(s));
    }
    return true;
}

static void converse(struct dialogue *d, const struct server_options *options, size_t step) {
    struct server *s = server_new(options);
    struct buf pending = {0};
    struct bytes all = buf_bytes(&d->stream);
    size_t at = 0;
    bool open = true;
    d->met = 0;
    buf_reset(&d->content);
    for (size_t i = 0; open && i < d->count; at = d->ends[i++]) {
        open = feed(d, s, &pending, bytes_range(all.at + at, d->begins[i] - at), step);
        if (open && memcmp(d->code, "354", 3) == 0)
            open = feed(d, s, &pending, bytes_range(all.at + d->begins[i], d->ends[i] - d->begins[i]), step);
    }
    if (open) feed(d, s, &pending, bytes_skip(all, at), step);
    server_free(&s);
    buf_release(&pending);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3 || size > 4096) return 0;
    struct dialogue *d = calloc(1, sizeof *d);
    d->keep_bare = data[0] & 1;
    struct server_options o = {.protocol = data[0] & 2 ? SERVER_LMTP : SERVER_SMTP,
                               .hostname = "mx.test",
                               .bare_newline = d->keep_bare ? SERVER_BARE_KEEP : SERVER_BARE_REFUSE,
                               .recipients_max = 5,
                               .received_max = 20};
    if (data[0] & 2) buf_addz(&d->stream, "LHLO client.test\r\n");
    make(d, bytes_range(data + 2, size - 2));
    converse(d, &o, SIZE_MAX);
    converse(d, &o, 1 + data[1] % 13);
    for (size_t i = 0; i < CONTENTS; i++) buf_release(&d->sent[i]);
    buf_release(&d->stream);
    buf_release(&d->content);
    free(d);
    return 0;
}
