// SPDX-License-Identifier: MIT
#include "smtp/credential.h"

#include "base/base64.h"

// The response that carries user and secret, for PLAIN and XOAUTH2.
static void add_response(const struct credential *c, struct buf *out) {
    struct buf text = {0};
    if (c->kind == LOGIN_XOAUTH2)
        buf_format(&text, "user=%s\1auth=Bearer %s\1\1", c->user, c->secret);
    else
        buf_format(&text, "%c%s%c%s", 0, c->user, 0, c->secret);
    base64_encode(out, buf_bytes(&text));
    buf_release(&text);
}

bool credential_begin(struct credential *c, const struct capability *offered, struct buf *out) {
    bool oauth = c->kind == LOGIN_XOAUTH2;
    if (oauth ? offered->auth_xoauth2 : offered->auth_plain) {
        buf_addz(out, oauth ? "AUTH XOAUTH2 " : "AUTH PLAIN ");
        add_response(c, out);
        return true;
    }
    if (oauth || !offered->auth_login) return false;
    c->by_login = true;
    buf_addz(out, "AUTH LOGIN");
    return true;
}

// LOGIN: the name, then the password. PLAIN: a peer that did not read the initial response asks for it once.
// XOAUTH2: a challenge is the error in JSON, to be answered with an empty line so that the final reply comes.
bool credential_answer(struct credential *c, struct buf *out) {
    int turn = c->turns++;
    if (turn >= (c->by_login ? 2 : 1)) return false;
    if (c->by_login)
        base64_encode(out, bytes_of(turn == 0 ? c->user : c->secret));
    else if (c->kind == LOGIN_PASSWORD)
        add_response(c, out);
    return true;
}
