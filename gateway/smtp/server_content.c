// SPDX-License-Identifier: MIT
#include "smtp/server_content.h"

// The driver hears of it as SERVER_RESET; until then the transaction can still be looked at.
void server_end_transaction(struct server *s) {
    s->reset_due = true;
    server_enter(s, AT_IDLE);
}

// What is said after the content: once, or in LMTP for each recipient (RFC 2033 section 4.2).
void server_say_verdict(struct server *s, struct bytes line) {
    for (size_t i = is_lmtp(s) ? s->now.count : 1; i; i--)
        say(s, line);
}

static struct bytes fault_of(const struct server *s) {
    return transaction_fault(&s->now, &s->limits);
}

// All content is there.
static int judge(struct server *s, struct server_want *want) {
    struct bytes fault = fault_of(s);
    if (fault.len == 0 && s->now.spoilt.len == 0) return ask(s, want, ASK_MESSAGE, AT_VERDICT);
    s->errors += fault.len > 0;
    server_say_verdict(s, fault.len ? fault : buf_bytes(&s->now.spoilt));
    server_end_transaction(s);
    return GO_ON;
}

static bool is_wanted(const struct server *s) {
    return s->now.spoilt.len == 0 && fault_of(s).len == 0;
}

static int hand_out(struct server *s, struct bytes run, struct server_want *want) {
    if (run.len == 0 || !is_wanted(s)) return GO_ON;
    want->bytes = run;
    return SERVER_BODY;
}

int server_read_content(struct server *s, struct bytes *input, struct server_want *want) {
    bool ended;
    if (input->len == 0) return SERVER_READ;
    struct bytes run = gauge_undot(&s->now.gauge, input, &ended);
    return ended ? judge(s, want) : hand_out(s, run, want);
}

// ---- BDAT ---------------------------------------------------------------------------------------

static int end_chunk(struct server *s, struct server_want *want) {
    if (s->chunk_refused.len) {
        server_enter(s, s->chunk_back);
        return complain(s, s->chunk_refused);
    }
    struct bytes fault = fault_of(s);
    if (s->chunk_last) {
        if (s->now.gauge.size == 0 || !gauge_note_end(&s->now.gauge)) return judge(s, want);
        gauge_note(&s->now.gauge, BYTES("\r\n")); // judged in the next round
        return hand_out(s, BYTES("\r\n"), want);
    }
    server_enter(s, AT_CHUNKS);
    if (fault.len) return complain(s, fault);
    if (s->now.spoilt.len)
        say(s, buf_bytes(&s->now.spoilt));
    else
        SAY(s, "250 2.0.0 Ok");
    return GO_ON;
}

int server_read_chunk(struct server *s, struct bytes *input, struct server_want *want) {
    if (s->chunk_left == 0) return end_chunk(s, want);
    if (input->len == 0) return SERVER_READ;
    struct bytes run = bytes_first(*input, s->chunk_left < input->len ? (size_t)s->chunk_left : input->len);
    *input = bytes_skip(*input, run.len);
    s->chunk_left -= run.len;
    if (s->chunk_refused.len) return GO_ON;
    gauge_note(&s->now.gauge, run);
    return hand_out(s, run, want);
}

int server_begin_chunk(struct server *s, uint64_t size, bool last) {
    uint64_t size_max = s->options.size_max;
    if (size_max && size / 4 > size_max)
        return FINISH(s, "552 5.3.4 Chunk is far larger than this server takes", SERVER_END_BDAT);
    s->chunk_left = size;
    s->chunk_last = last;
    s->chunk_back = s->state;
    s->chunk_refused = BYTES("");
    // Refused, its bytes still come: a client may send them without waiting (RFC 3030 section 2).
    if (s->state < AT_MAIL) s->chunk_refused = BYTES("503 5.5.1 No transaction: MAIL first\r\n");
    if (s->state == AT_MAIL)
        s->chunk_refused = s->now.refused_recipient && !is_lmtp(s)
                               ? BYTES("554 5.5.1 No valid recipients\r\n")
                               : BYTES("503 5.5.1 No recipients: RCPT first\r\n");
    server_enter(s, AT_CHUNK);
    return GO_ON;
}
