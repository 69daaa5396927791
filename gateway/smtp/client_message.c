// SPDX-License-Identifier: MIT
#include "smtp/client_message.h"

#include "smtp/envelope.h"

// ---- fates --------------------------------------------------------------------------------------

static const struct client_result *result_new(struct client *c, const struct reply *r,
                                              enum client_stage stage, bool local) {
    struct client_result *result = arena_alloc(&c->arena, sizeof *result);
    *result = (struct client_result){.reply = *r, .stage = stage, .local = local};
    return result;
}

static void settle(struct client *c, size_t i, const struct client_result *result) {
    bug_if(c->results[i] || c->unsettled == 0);
    c->results[i] = result;
    c->unsettled--;
}

void client_settle_rest(struct client *c, const struct reply *r, enum client_stage stage, bool local) {
    if (c->unsettled == 0) return;
    const struct client_result *result = result_new(c, r, stage, local);
    for (size_t i = 0; i < c->count; i++)
        if (!c->results[i]) settle(c, i, result);
}

void client_end_message(struct client *c) {
    c->message = NULL;
    client_enter(c, AT_DONE);
}

// ---- the envelope -------------------------------------------------------------------------------

// The command whose reply is the one `step` waits for.
static void say_step(struct client *c) {
    switch (c->step) {
    case STEP_RSET:
        COMMAND(c, "RSET");
        break;
    case STEP_MAIL:
        envelope_mail(&c->queue, c->message, &c->offered);
        c->queued++;
        break;
    case STEP_RCPT:
        envelope_rcpt(&c->queue, &c->message->recipients[c->at], &c->offered);
        c->queued++;
        break;
    default:
        COMMAND(c, "DATA");
        break;
    }
}

static void next_step(struct client *c) {
    if (c->step == STEP_RCPT && ++c->at < c->count) return;
    if (c->step == STEP_MAIL) c->at = 0;
    c->step++;
}

static void say_envelope(struct client *c) {
    int first = c->step;
    say_step(c);
    if (!c->offered.pipelining) return;
    while (c->step != STEP_DATA) {
        next_step(c);
        say_step(c);
    }
    c->step = first;
    c->at = 0;
}

// All replies of the envelope are there, or none of the rest matters.
static void end_envelope(struct client *c) {
    c->dirty = true;
    client_end_message(c);
}

static void data_said(struct client *c, const struct reply *r) {
    if (is_refusal(r)) {
        client_settle_rest(c, r, STAGE_DATA, false);
        end_envelope(c);
    } else if (r->code != 354) {
        client_fail_by_reply(c, r);
    } else if (c->accepted) {
        c->dots = (struct dot_writer){0};
        client_enter(c, AT_CONTENT);
    } else if (c->options.lmtp) {
        client_fail_locally(c, 451, "4.5.0",
                            "Peer wants content without a recipient"); // and would owe no reply to it
    } else {
        c->dirty = true;
        COMMAND(c, "."); // RFC 2920 3.1: it said 354 and has nobody to give it to
        client_enter(c, AT_VERDICT);
    }
}

static void sender_said(struct client *c, const struct reply *r) {
    if (is_good(r)) return;
    if (!is_refusal(r)) {
        client_fail_by_reply(c, r);
        return;
    }
    c->sender_refused = true;
    client_settle_rest(c, r, STAGE_MAIL, false);
}

// RFC 5321 4.5.3.1.10: 552, of RFC 821's day, says "too many recipients" for now; so does 5.5.3 (RFC 3463 3.6). 552 is
// said of full mailboxes as well: without another code it is the first only behind recipients that were taken.
static bool is_one_too_many(const struct client *c, const struct reply *r) {
    static const int too_many[3] = {5, 5, 3};
    if (c->accepted == 0 || !reply_is_permanent(r)) return false;
    return r->status[0] ? memcmp(r->status, too_many, sizeof too_many) == 0 : r->code == 552;
}

static void recipient_said(struct client *c, const struct reply *r) {
    if (c->sender_refused) return;
    struct reply later;
    if (is_one_too_many(c, r)) {
        later = reply_make(452, "4.5.3", "%s (said with %d)", r->text, r->code);
        r = &later;
    }
    if (is_good(r))
        c->accepted++;
    else if (is_refusal(r))
        settle(c, c->at, result_new(c, r, STAGE_RCPT, false));
    else
        client_fail_by_reply(c, r);
}

void client_envelope_said(struct client *c, const struct reply *r) {
    switch (c->step) {
    case STEP_RSET:
        if (!is_good(r)) client_fail_locally(c, 451, "4.5.0", "Peer refused RSET");
        break;
    case STEP_MAIL:
        sender_said(c, r);
        break;
    case STEP_RCPT:
        recipient_said(c, r);
        break;
    default:
        data_said(c, r);
        return;
    }
    if (c->failed) return;
    next_step(c);
    if (c->offered.pipelining) return;
    if (c->sender_refused || (c->step == STEP_DATA && c->accepted == 0))
        end_envelope(c);
    else
        say_step(c);
}

void client_verdict_said(struct client *c, const struct reply *r) {
    if (c->unsettled == 0) { // to the lone dot
        client_end_message(c);
        return;
    }
    if (!is_good(r) && !is_refusal(r)) {
        client_fail_by_reply(c, r);
        return;
    }
    if (c->options.lmtp) {
        while (c->results[c->at])
            c->at++;
        settle(c, c->at, result_new(c, r, STAGE_CONTENT, false));
    } else {
        client_settle_rest(c, r, STAGE_CONTENT, false);
    }
    if (c->unsettled) return;
    c->dirty = !c->options.lmtp && !is_good(r);
    client_end_message(c);
}

// ---- the face -----------------------------------------------------------------------------------

void client_send(struct client *c, const struct client_message *m) {
    bug_if(c->state != AT_READY || m->count == 0);
    arena_reset(&c->arena);
    c->message = m;
    c->count = c->unsettled = m->count;
    c->results = must_realloc(c->results, c->count * sizeof *c->results);
    memset(c->results, 0, c->count * sizeof *c->results);
    c->at = c->accepted = 0;
    c->sender_refused = false;
    client_enter(c, AT_ENVELOPE);
    struct reply why;
    c->step = c->dirty ? STEP_RSET : STEP_MAIL;
    if (envelope_is_refused(m, &c->offered, c->options.send_8bit_anyway, &why)) {
        client_settle_rest(c, &why, STAGE_MAIL, true);
        client_end_message(c);
        return;
    }
    c->dirty = false;
    say_envelope(c);
}

void client_body(struct client *c, struct bytes piece) {
    if (c->state == AT_CONTENT) dot_write(&c->dots, &c->out, piece); // the peer may have failed us since
}

void client_body_end(struct client *c) {
    if (c->state != AT_CONTENT) return;
    dot_end(&c->dots, &c->queue);
    c->queued = c->options.lmtp ? c->accepted : 1;
    c->at = 0;
    client_enter(c, AT_VERDICT);
}

const struct client_result *client_result(const struct client *c, size_t i) {
    bug_if(i >= c->count || !c->results[i]);
    return c->results[i];
}
