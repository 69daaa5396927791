// SPDX-License-Identifier: MIT
// The client machine against a peer that says anything: it ends, everyone gets one fate, an acceptance is only ever what
// a 2xx after the dot was, and what it says cannot be bent by what the peer says.
#include "base/bug.h"
#include "smtp/client.h"

static const struct client_recipient recipients[] = {
    {.address = {"b@b.test", 8}}, {.address = {"c@b.test", 8}, .notify = 6, .orcpt = {"rfc822;c", 8}}, {.address = {"d@b.test", 8}}};
static const struct client_message message = {
    .sender = {"a@a.test", 8}, .size = 9, .recipients = recipients, .count = 3, .has_8bit = true, .ret = 1};

struct talk {
    struct buf said, fates;
    bool dot; // since the message began
};

static void note_fates(struct client *c, struct talk *t) {
    for (size_t i = 0; i < message.count; i++) {
        const struct client_result *r = client_result(c, i);
        bug_if(r->reply.code < 200 || r->reply.code > 599);
        bool accepted = r->reply.code < 300;
        bug_if(accepted && (r->stage != STAGE_CONTENT || r->local || !t->dot));
        bug_if(r->reply.code >= 300 && r->reply.code < 400);
        buf_format(&t->fates, "%d@%s%s ", r->reply.code, client_stage_name(r->stage), r->local ? " local" : "");
    }
}

static void take_output(struct client *c, struct talk *t) {
    struct buf *out = client_output(c);
    buf_add(&t->said, buf_bytes(out));
    buf_reset(out);
    if (bytes_ends_nocase(buf_bytes(&t->said), BYTES("\r\n.\r\n"))) t->dot = true;
}

// step 0: all in one piece.
static struct talk converse(const struct client_options *options, struct bytes in, size_t step, int *reads) {
    struct talk t = {0};
    struct client *c = client_new(options);
    struct buf pending = {0};
    int messages = 0, turns = 0;
    for (;;) {
        bug_if(turns++ > 100000);
        struct client_want want;
        struct bytes input = buf_bytes(&pending);
        size_t had = input.len;
        enum client_next next = client_next(c, &input, &want);
        bug_if(input.len > had);
        buf_drop(&pending, had - input.len);
        take_output(c, &t);
        if (next == CLIENT_CLOSE) break;
        if (next == CLIENT_TLS) {
            client_secured(c);
        } else if (next == CLIENT_READY) {
            t.dot = false;
            if (messages++ < 3) client_send(c, &message);
            else client_quit(c);
        } else if (next == CLIENT_DONE) {
            note_fates(c, &t);
        } else if (next == CLIENT_BODY) {
            client_body(c, BYTES("A: b\r\n\r\n.\r\nx"));
            client_body_end(c);
        } else if (in.len == 0) {
            bug_if(pending.len >= REPLY_LINE);
            struct reply why = reply_make(421, "4.4.2", "lost");
            client_lost(c, &why);
        } else {
            // A peer that waits for its turn: it says one line when it is read. Never more comes than one asks for.
            ptrdiff_t lf = bytes_find(in, '\n');
            size_t n = lf < 0 ? in.len : (size_t)lf + 1;
            if (step && n > step) n = step;
            buf_add(&pending, bytes_first(in, n));
            in = bytes_skip(in, n);
            ++*reads;
        }
    }
    client_free(&c);
    buf_release(&pending);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    struct client_options o = {
        .lmtp = data[0] & 1,
        .helo = "me",
        .secured = data[0] & 2,
        .tls = data[0] & 4 ? CLIENT_TLS_MUST : CLIENT_TLS_MAY,
        .login = data[0] & 8 ? data[0] & 16 ? LOGIN_XOAUTH2 : LOGIN_PASSWORD : LOGIN_NONE,
        .login_plaintext_ok = data[0] & 32,
        .user = "joe",
        .secret = "secret",
        .send_8bit_anyway = data[0] & 64,
    };
    struct bytes in = bytes_range(data + 2, size - 2);
    int reads = 0;
    struct talk whole = converse(&o, in, 0, &reads), pieces = converse(&o, in, 1 + data[1] % 5, &reads);
    bug_if(!bytes_equal(buf_bytes(&whole.said), buf_bytes(&pieces.said)));
    bug_if(!bytes_equal(buf_bytes(&whole.fates), buf_bytes(&pieces.fates)));
    if (!o.secured && !o.login_plaintext_ok) {
        ptrdiff_t tls = bytes_search(buf_bytes(&whole.said), BYTES("STARTTLS\r\n"));
        ptrdiff_t auth = bytes_search(buf_bytes(&whole.said), BYTES("\r\nAUTH "));
        bug_if(auth >= 0 && (tls < 0 || auth < tls)); // never a secret in the clear
    }
    buf_release(&whole.said);
    buf_release(&whole.fates);
    buf_release(&pieces.said);
    buf_release(&pieces.fates);
    return 0;
}
