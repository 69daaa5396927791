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

void trace_received(struct buf *out, const struct session_facts *s, const char *protocol, const char *hostname,
                    struct bytes id, struct bytes recipient, int64_t now_ms) {
    char date[32];
    clock_rfc5322(now_ms, date);
    buf_addz(out, "Received: from ");
    if (s->helo.len) add_clean(out, s->helo);
    else buf_addz(out, "unknown");
    buf_addz(out, " (");
    add_literal(out, s->client_ip);
    buf_format(out, ")\r\n\tby %s (Tidegate) with %s id %.*s", hostname, protocol, BYTES_FMT(id));
    if (s->tls_version.len)
        buf_format(out, "\r\n\ttls %.*s (%.*s)", BYTES_FMT(s->tls_cipher), BYTES_FMT(s->tls_version));
    if (recipient.len && recipient.len < 256) buf_format(out, "\r\n\tfor <%.*s>", BYTES_FMT(recipient));
    buf_format(out, ";\r\n\t%s\r\n", date);
}
