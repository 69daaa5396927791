// SPDX-License-Identifier: MIT
// auth: the server's half of an AUTH exchange (RFC 4954): PLAIN (RFC 4616) and LOGIN.
//
// One exchange at a time; a zeroed one is none. The facts it yields point into its own memory and are good until
// auth_wipe, which leaves no secret behind.
#pragma once

#include "base/bytes.h"
#include "smtp/server.h"

enum auth_result {
    AUTH_MORE,      // say `challenge` and feed the next line
    AUTH_WHOLE,     // `login` is there
    AUTH_CANCELLED, // the client said "*"
    AUTH_BAD,       // not base64, or not what the mechanism wants
};

enum auth_step { AUTH_NONE, AUTH_PLAIN, AUTH_USER, AUTH_PASSWORD };

struct auth {
    enum auth_step step;
    struct buf text;          // decoded
    size_t user_len;          // LOGIN: where the password begins in text
    struct bytes challenge;   // the whole 334 line
    struct server_login login;
};

bool auth_start(struct auth *a, struct bytes mechanism); // false: no such mechanism
enum auth_result auth_ask(struct auth *a);               // no initial response: the first challenge
enum auth_result auth_feed(struct auth *a, struct bytes base64);
void auth_wipe(struct auth *a);
