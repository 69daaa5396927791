// SPDX-License-Identifier: MIT
// The server machine with a driver that answers by the first bytes of the input: bounded memory, nothing handed out
// outside of a transaction, and the same conversation however the network cuts it.
#include "base/bug.h"
#include "smtp/server.h"

struct talk {
    struct buf said, content, events;
    enum server_end end;
};

static struct reply answer(unsigned choice) {
    static const int codes[] = {250, 250, 250, 550, 450, 250, 250, 250};
    return reply_make(codes[choice % 8], NULL, "so");
}

static void obey(struct server *s, enum server_next next, const struct server_want *want, struct talk *t, unsigned *choice,
                 bool *open) {
    struct reply r = answer(*choice);
    switch (next) {
    case SERVER_ASK:
        bug_if(want->ask == ASK_MESSAGE && server_recipient_count(s) == 0);
        bug_if(want->ask == ASK_RECIPIENT && !*open);
        buf_format(&t->events, "ask %d <%.*s>\n", want->ask, BYTES_FMT(want->path.address));
        if (want->ask == ASK_MESSAGE) buf_add(&t->events, buf_bytes(&t->content));
        if (want->ask == ASK_MESSAGE) bug_if(t->content.len && !bytes_ends_nocase(buf_bytes(&t->content), BYTES("\r\n")));
        if (want->ask == ASK_SENDER) {
            bug_if(*open);
            *open = true;
        }
        server_answer(s, want->ask == ASK_CONNECT || *choice & 8 ? NULL : &r);
        *choice = *choice >> 1 | (*choice & 1) << 15;
        return;
    case SERVER_BODY:
        bug_if(!*open || server_recipient_count(s) == 0 || want->bytes.len == 0);
        buf_add(&t->content, want->bytes);
        return;
    case SERVER_RESET:
        bug_if(!*open);
        *open = false;
        buf_reset(&t->content);
        buf_addz(&t->events, "reset\n");
        return;
    case SERVER_TLS: bug_if(true); return; // not offered: what comes in one piece with STARTTLS makes a difference
    default: return;
    }
}

static struct talk converse(const struct server_options *options, unsigned choice, struct bytes in, size_t step) {
    struct talk t = {0};
    struct server *s = server_new(options);
    struct buf pending = {0};
    bool open = false;
    enum server_next next = SERVER_READ;
    while (next != SERVER_CLOSE) {
        struct bytes piece = bytes_first(in, step);
        buf_add(&pending, piece);
        in = bytes_skip(in, piece.len);
        do {
            struct server_want want;
            struct bytes input = buf_bytes(&pending);
            size_t had = input.len;
            next = server_next(s, &input, &want);
            bug_if(input.len > had);
            obey(s, next, &want, &t, &choice, &open);
            buf_drop(&pending, had - input.len);
        } while (next != SERVER_READ && next != SERVER_CLOSE);
        bug_if(next == SERVER_READ && pending.len > 12288 + 16);
        buf_add(&t.said, buf_bytes(server_output(s)));
        buf_reset(server_output(s));
        if (piece.len == 0) break;
    }
    t.end = server_end(s);
    server_free(&s);
    buf_release(&pending);
    return t;
}

static void release(struct talk *t) {
    buf_release(&t->said);
    buf_release(&t->content);
    buf_release(&t->events);
}

// A reply line for each line: nothing of the client's can open one of its own.
static void check_replies(struct bytes said) {
    while (said.len) {
        struct bytes line = bytes_cut(&said, '\n');
        bug_if(line.len < 4 || line.at[line.len - 1] != '\r' || line.len > 511);
        for (int i = 0; i < 3; i++) bug_if(line.at[i] < '0' || line.at[i] > '9');
        bug_if(bytes_find(bytes_first(line, line.len - 1), '\r') >= 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 4) return 0;
    unsigned choice = (unsigned)data[0] << 8 | data[1];
    struct server_options o = {
        .protocol = data[2] & 1 ? SERVER_LMTP : SERVER_SMTP,
        .hostname = "mx.test",
        .auth = data[2] & 2,
        .secured = data[2] & 4,
        .bare_newline = data[2] & 8 ? SERVER_BARE_KEEP : SERVER_BARE_REFUSE,
        .size_max = data[2] & 16 ? 64 : 0,
        .errors_max = data[2] & 32 ? 5 : 0,
        .commands_max = data[2] & 64 ? 20 : 0,
        .recipients_max = 3,
        .header_max = data[2] & 128 ? 40 : 0,
        .text_line_max = 50,
        .received_max = 2,
    };
    struct bytes in = bytes_range(data + 4, size - 4);
    struct talk whole = converse(&o, choice, in, SIZE_MAX), pieces = converse(&o, choice, in, 1 + data[3] % 9);
    bug_if(!bytes_equal(buf_bytes(&whole.said), buf_bytes(&pieces.said)));
    bug_if(!bytes_equal(buf_bytes(&whole.events), buf_bytes(&pieces.events)));
    bug_if(whole.end != pieces.end);
    check_replies(buf_bytes(&whole.said));
    release(&whole);
    release(&pieces);
    return 0;
}
