// SPDX-License-Identifier: MIT
#include "smtp/envelope.h"

#include "base/utf8.h"

#include <inttypes.h>

bool envelope_is_sendable(struct bytes b) {
    for (size_t i = 0; i < b.len; i++)
        if ((unsigned char)b.at[i] < 32 || b.at[i] == 127) return false;
    return true;
}

static bool is_sendable(const struct client_message *m) {
    if (!envelope_is_sendable(m->sender) || !envelope_is_sendable(m->envid)) return false;
    for (size_t i = 0; i < m->count; i++)
        if (!envelope_is_sendable(m->recipients[i].address) || !envelope_is_sendable(m->recipients[i].orcpt))
            return false;
    return true;
}

static bool needs_smtputf8(const struct client_message *m) {
    bool ascii = !m->smtputf8 && utf8_is_ascii(m->sender);
    for (size_t i = 0; ascii && i < m->count; i++)
        ascii = utf8_is_ascii(m->recipients[i].address);
    return !ascii;
}

bool envelope_is_refused(const struct client_message *m, const struct capability *peer, bool send_8bit_anyway,
                         struct reply *why) {
    if (!is_sendable(m))
        *why = reply_make(553, "5.1.3", "An address has control characters");
    else if (peer->size && peer->size_max && m->size > peer->size_max)
        *why = reply_make(552, "5.3.4",
                          "Message is larger than the peer takes: %" PRIu64 " of %" PRIu64 " bytes", m->size,
                          peer->size_max);
    else if (!peer->smtputf8 && needs_smtputf8(m))
        *why = reply_make(553, "5.6.7", "Message needs SMTPUTF8, and the peer does not offer it");
    else if (m->has_8bit && !peer->eightbitmime && !send_8bit_anyway)
        *why = reply_make(554, "5.6.3", "Message has 8-bit content, and the peer does not offer 8BITMIME");
    else
        return false;
    return true;
}

void envelope_mail(struct buf *out, const struct client_message *m, const struct capability *peer) {
    buf_add(out, BYTES("MAIL FROM:<"));
    buf_add(out, m->sender);
    buf_byte(out, '>');
    if (peer->size) {
        buf_add(out, BYTES(" SIZE="));
        buf_decimal(out, (int64_t)m->size);
    }
    if (m->has_8bit && peer->eightbitmime) buf_add(out, BYTES(" BODY=8BITMIME"));
    if (peer->smtputf8 && needs_smtputf8(m)) buf_add(out, BYTES(" SMTPUTF8"));
    if (peer->dsn && m->ret) buf_addz(out, m->ret == 1 ? " RET=FULL" : " RET=HDRS");
    if (peer->dsn && m->envid.len) {
        buf_add(out, BYTES(" ENVID="));
        buf_add(out, m->envid);
    }
    buf_add(out, BYTES("\r\n"));
}

static void add_notify(struct buf *out, uint32_t notify) {
    static const char *const words[] = {"NEVER", "SUCCESS", "FAILURE", "DELAY"}; // NOTIFY_ bits in order
    const char *before = " NOTIFY=";
    for (int i = 0; i < 4; i++) {
        if (!(notify & 1u << i)) continue;
        buf_addz(out, before);
        buf_addz(out, words[i]);
        before = ",";
    }
}

void envelope_rcpt(struct buf *out, const struct client_recipient *r, const struct capability *peer) {
    buf_add(out, BYTES("RCPT TO:<"));
    buf_add(out, r->address);
    buf_byte(out, '>');
    if (peer->dsn) add_notify(out, r->notify);
    if (peer->dsn && r->orcpt.len) {
        buf_add(out, BYTES(" ORCPT="));
        buf_add(out, r->orcpt);
    }
    buf_add(out, BYTES("\r\n"));
}
