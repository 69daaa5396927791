// SPDX-License-Identifier: MIT
// oauth: what is said to a token endpoint (RFC 6749) and what it says, without the wire.
//
// Two grants: a refresh token (section 6), and a client's own credentials (section 4.4). The answer is
// foreign bytes: bounded, and what is taken from it has visible ASCII only, so that it fits into AUTH and
// into the next request.
#pragma once

#include "base/arena.h"
#include "base/err.h"

struct oauth_grant {
    struct bytes client_id, client_secret, scope; // the latter two may be ""
    struct bytes refresh_token;                   // "": the client's credentials are the grant
};
void oauth_request(struct buf *body, const struct oauth_grant *grant); // application/x-www-form-urlencoded

enum { OAUTH_TOKEN_MAX = 8000 }; // of a token, ours or theirs

struct oauth_answer {
    struct bytes access_token;
    struct bytes refresh_token; // a new one that replaces the old; "": the old one stays good
    int64_t life_s;             // of the access token
    int64_t refresh_life_s;     // of the refresh token, where the provider tells; 0: it does not
};
// False with words: no token came. *lasting: asking again in the same way will not help, a person has to do
// something. Texts of *out live in the arena.
bool must_use oauth_read(int status, struct bytes body, struct arena *arena, struct oauth_answer *out,
                         bool *lasting, struct err *err);
