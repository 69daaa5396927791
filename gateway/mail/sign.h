// SPDX-License-Identifier: MIT
// sign: DKIM signatures (RFC 6376, 8301, 8463), relaxed/relaxed, rsa-sha256 and ed25519-sha256. [OpenSSL EVP]
//
// A key is parsed once and then shared: it is immutable, counted, and may sign in several threads at a time.
// The body is not needed here, only its hash (canon.h), so a retry or another identity signs without reading
// it. Verifying is the verify room's, and so is the proof of a key by a foreign eye (verify_key).
#pragma once

#include "base/bytes.h"
#include "base/err.h"
#include "mail/digest.h"

struct sign_key;

struct sign_options {           // a zeroed one, or NULL, is the defaults
    const char *const *headers;  // NULL-terminated names to sign where present; NULL: the room's own
    const char *const *oversign; // names listed once more than present, so that none can be added; NULL: the room's own
    const char *identity; // i=, "@sub.domain" or "local@sub.domain", within the key's domain; NULL: none
    int64_t expire_s;     // x= that long after t=; 0: none
};

// An unencrypted PEM private key (PKCS#8 or PKCS#1): RSA of 1024 to 4096 bits or Ed25519. Domain and selector
// are what d= and s= will say; a domain in UTF-8 becomes its A-labels. Checked: kind, size, that it is
// private and that its two halves belong together. Slow (half a millisecond and more): at load, never per
// message. NULL on failure.
must_use struct sign_key *sign_key_load(const char *domain, const char *selector, struct bytes pem,
                                        struct err *err);
// A new private key as PEM (PKCS#8), to be stored and loaded as above. rsa_bits 0: Ed25519. Takes a second
// for long RSA keys.
must_use bool sign_key_make(int rsa_bits, struct buf *pem, struct err *err);
struct sign_key *sign_key_ref(struct sign_key *key);
void sign_key_free(struct sign_key **key); // drops one reference; NULL inside is fine

const char *sign_key_domain(const struct sign_key *key);
const char *sign_key_selector(const struct sign_key *key);
const char *sign_key_algorithm(const struct sign_key *key); // "rsa-sha256" or "ed25519-sha256"
int sign_key_bits(const struct sign_key *key);              // of the RSA modulus; 256 for Ed25519
bool sign_key_is_weak(const struct sign_key *key); // RSA under 2048 bits (RFC 8301 3.2): worth a warning

// Appends the TXT record that goes to SELECTOR._domainkey.DOMAIN: "v=DKIM1; k=rsa; p=...". One string: who
// publishes it cuts it into pieces of 255.
void sign_public_record(const struct sign_key *key, struct buf *out);

// Appends one whole DKIM-Signature field (folded, CRLF) for each key, to be put before `head`, the block
// exactly as it will be sent. Names signed are taken bottom up when there are several. Fails, with nothing
// appended, when the message has no From, when i= is not of a key's domain, or when OpenSSL fails.
must_use bool sign_message(struct buf *out, struct sign_key *const *keys, size_t count, struct bytes head,
                           const uint8_t body_hash[DIGEST_SIZE], int64_t now_s,
                           const struct sign_options *options, struct err *err);
