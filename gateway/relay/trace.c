// SPDX-License-Identifier: MIT
#include "relay/trace.h"

#include "base/clock.h"

// What a client calls itself goes into a header of ours: only what a name or an address literal is made of.
static void add_clean(struct buf *out, struct bytes text) {
    for (size_t i = 0; i < text.len && i < 255; i++) {
        unsigned char c = (unsigned char)text.at[i];
        bool fine = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                    strchr(".-_:[]", c);
        buf_byte(out, c && fine ? (char)c : '?');
    }
}

static void add_literal(struct buf *out, struct bytes ip) {
    buf_addz(out, bytes_find(ip, ':') >= 0 ? "[IPv6:" : "[");
    buf_add(out, ip);
    buf_byte(out, ']');
}

static void add_all(struct buf *out, const struct bytes *parts, size_t count) {
    for (size_t i = 0; i < count; i++) buf_add(out, parts[i]);
}

void trace_received(struct buf *out, const struct session_facts *s, const char *protocol, const char *hostname,
                    struct bytes id, struct bytes recipient, int64_t now_ms) {
    char date[32];
    clock_rfc5322(now_ms, date);
    buf_addz(out, "Received: from ");
    if (s->helo.len) add_clean(out, s->helo);
    else buf_addz(out, "unknown");
    buf_addz(out, " (");
    add_literal(out, s->client_ip);
    add_all(out, (struct bytes[]){BYTES(")\r\n\tby "), bytes_of(hostname), BYTES(" (Tidegate) with "), bytes_of(protocol), BYTES(" id "), id}, 6);
    if (s->tls_version.len)
        add_all(out, (struct bytes[]){BYTES("\r\n\ttls "), s->tls_cipher, BYTES(" ("), s->tls_version, BYTES(")")}, 5);
    if (recipient.len && recipient.len < 256) add_all(out, (struct bytes[]){BYTES("\r\n\tfor <"), recipient, BYTES(">")}, 3);
    add_all(out, (struct bytes[]){BYTES(";\r\n\t"), bytes_of(date), BYTES("\r\n")}, 3);
}
