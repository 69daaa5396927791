// SPDX-License-Identifier: MIT
#include "smtp/auth.h"

#include "base/base64.h"
#include "base/utf8.h"

bool auth_start(struct auth *a, struct bytes mechanism) {
    auth_wipe(a);
    bool plain = bytes_equal_nocase(mechanism, BYTES("PLAIN"));
    if (!plain && !bytes_equal_nocase(mechanism, BYTES("LOGIN"))) return false;
    a->step = plain ? AUTH_PLAIN : AUTH_USER;
    a->login.mechanism = plain ? "PLAIN" : "LOGIN";
    return true;
}

enum auth_result auth_ask(struct auth *a) {
    if (a->step == AUTH_PLAIN) a->challenge = BYTES("334 \r\n");
    if (a->step == AUTH_USER) a->challenge = BYTES("334 VXNlcm5hbWU6\r\n");     // "Username:"
    if (a->step == AUTH_PASSWORD) a->challenge = BYTES("334 UGFzc3dvcmQ6\r\n"); // "Password:"
    return AUTH_MORE;
}

// RFC 4616: [authzid] NUL authcid NUL passwd, all UTF-8.
static bool split_plain(struct auth *a) {
    struct bytes rest = buf_bytes(&a->text);
    if (!utf8_is_valid(rest)) return false;
    size_t nuls = 0;
    for (size_t i = 0; i < rest.len; i++)
        nuls += rest.at[i] == 0;
    if (nuls != 2) return false;
    a->login.authzid = bytes_cut(&rest, 0);
    a->login.user = bytes_cut(&rest, 0);
    a->login.password = rest;
    return true;
}

static bool split_login(struct auth *a) {
    struct bytes text = buf_bytes(&a->text);
    a->login.user = bytes_first(text, a->user_len);
    a->login.password = bytes_skip(text, a->user_len);
    return bytes_find(text, 0) < 0 && utf8_is_valid(a->login.user) && utf8_is_valid(a->login.password);
}

enum auth_result auth_feed(struct auth *a, struct bytes base64) {
    if (bytes_equal(base64, BYTES("*"))) return AUTH_CANCELLED;
    if (a->step == AUTH_PASSWORD) {
        // Growing would leave a copy of what was decoded so far behind: take the room before.
        buf_reserve(&a->text, base64.len);
    } else if (a->text.cap < base64.len) {
        buf_release(&a->text);
        buf_reserve(&a->text, base64.len);
    }
    if (!base64_decode(&a->text, base64)) return AUTH_BAD;
    if (a->step == AUTH_USER) {
        a->user_len = a->text.len;
        a->step = AUTH_PASSWORD;
        return a->user_len ? auth_ask(a) : AUTH_BAD;
    }
    bool good = a->step == AUTH_PLAIN ? split_plain(a) : split_login(a);
    return good && a->login.user.len && a->login.password.len ? AUTH_WHOLE : AUTH_BAD;
}

void auth_wipe(struct auth *a) {
    if (a->text.at) explicit_bzero(a->text.at, a->text.cap);
    buf_release(&a->text);
    *a = (struct auth){0};
}
