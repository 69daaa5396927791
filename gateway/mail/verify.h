// SPDX-License-Identifier: MIT
// verify: does a message carry DKIM signatures that hold. [libopendkim]
//
// Synchronous, and not for the loop: it hashes the whole body and asks for key records through a callback, which
// answers from what the caller has fetched. Each call stands alone, so any thread may call. Drains the thread's
// OpenSSL error queue.
#pragma once

#include "base/bytes.h"
#include "base/err.h"
#include "mail/sign.h"

struct verify_result {
    char domain[256];   // d=
    char selector[256]; // s=
    char algorithm[24]; // "rsa-sha256", "ed25519-sha256"
    int bits;           // of an RSA key; 0 for Ed25519 or where there was no key
    bool passed;
    char why[128];      // "" when passed
};

// Fills results in the order of the fields, at most `max` (further signatures are not looked at: each costs a
// public key operation), *count says how many. `txt` is asked for "selector._domainkey.domain", appends the
// record's text with its strings joined and returns true, or false when there is none. A message without
// signature is true with *count 0; false is a message or a library that cannot be worked with.
must_use bool verify_message(struct bytes head, struct bytes body,
                             bool (*txt)(void *arg, const char *name, struct buf *out), void *arg,
                             struct verify_result *results, size_t max, size_t *count, struct err *err);

// Signs a sample with the key and has libopendkim verify it against sign_public_record: the check a key gets
// when it is loaded.
must_use bool verify_key(struct sign_key *key, struct err *err);
