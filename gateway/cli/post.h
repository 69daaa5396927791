// SPDX-License-Identifier: MIT
// post: one conversation with one server, from connect to QUIT, for `tidegate send`. Blocks until it is over.
//
// The protocol is smtp/client's, the bytes are net/conn's, on a loop of its own. Addresses are tried in order
// until one can be connected to.
#pragma once

#include "net/addr.h"
#include "smtp/client.h"

enum post_tls { POST_TLS_NONE, POST_TLS_MAY, POST_TLS_STARTTLS, POST_TLS_IMPLICIT };

struct post_options {
    const char *host; // for the certificate
    const struct addr *addresses;
    size_t address_count;
    enum post_tls tls;
    bool insecure;                // any certificate
    int timeout_ms;               // of each step
    struct client_options client; // tls and secured are filled in here
    void (*line)(void *arg, char who,
                 struct bytes text); // each line of the dialogue, 'C' or 'S'; NULL: not wanted
    // The next message: envelope, and its content as it is to be sent. NULL: there is no more. Both live
    // until the next call.
    const struct client_message *(*next)(void *arg, struct bytes *content);
    void (*result)(void *arg, const struct client_message *m, size_t i,
                   const struct client_result *result); // of each recipient
    void *arg;
};

enum post_end { POST_DONE, POST_UNREACHED, POST_FAILED };
// POST_UNREACHED: no address could be connected to, why says so. POST_FAILED: the session failed, in *why and
// *stage; recipients of a message under way have had their result.
enum post_end post_run(const struct post_options *options, struct reply *why, enum client_stage *stage,
                       struct err *err);
