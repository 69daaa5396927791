// SPDX-License-Identifier: MIT
#include "smtp/capability.h"

static void offer_auth(struct capability *c, struct bytes mechanisms) {
    while (mechanisms.len) {
        struct bytes word = bytes_cut(&mechanisms, ' ');
        if (bytes_equal_nocase(word, BYTES("PLAIN"))) c->auth_plain = true;
        if (bytes_equal_nocase(word, BYTES("LOGIN"))) c->auth_login = true;
        if (bytes_equal_nocase(word, BYTES("XOAUTH2"))) c->auth_xoauth2 = true;
    }
}

void capability_line(void *capability, struct bytes line) {
    struct capability *c = capability;
    if (c->lines++ == 0) return;
    struct bytes rest = bytes_trim(line);
    // "AUTH=PLAIN" is how servers said it before the RFC, and some still say it both ways.
    if (bytes_starts_nocase(rest, BYTES("AUTH="))) {
        offer_auth(c, bytes_skip(rest, 5));
        return;
    }
    struct bytes word = bytes_cut(&rest, ' ');
    const struct {
        struct bytes name;
        bool *offered;
    } plain[] = {
        {BYTES("PIPELINING"), &c->pipelining},
        {BYTES("8BITMIME"), &c->eightbitmime},
        {BYTES("SMTPUTF8"), &c->smtputf8},
        {BYTES("DSN"), &c->dsn},
        {BYTES("STARTTLS"), &c->starttls},
        {BYTES("CHUNKING"), &c->chunking},
        {BYTES("SIZE"), &c->size},
        {BYTES("ENHANCEDSTATUSCODES"), &c->enhanced},
    };
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (bytes_equal_nocase(word, plain[i].name)) *plain[i].offered = true;
    if (bytes_equal_nocase(word, BYTES("AUTH"))) offer_auth(c, rest);
    if (bytes_equal_nocase(word, BYTES("SIZE")) && !bytes_to_u64(rest, &c->size_max)) c->size_max = 0;
}
