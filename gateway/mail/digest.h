// SPDX-License-Identifier: MIT
// digest: SHA-256, piece by piece. [OpenSSL EVP]
//
// A zeroed digest is empty and valid and holds memory from its first bytes until digest_end or digest_drop.
// Belongs to one thread at a time.
#pragma once

#include "base/bytes.h"

#define DIGEST_SIZE 32

struct digest {
    void *context; // EVP_MD_CTX
};

void digest_add(struct digest *d, struct bytes what);
void digest_end(struct digest *d, uint8_t sha256[DIGEST_SIZE]); // gives the memory back; *d is empty again
void digest_drop(struct digest *d);                             // the same without a result
void digest_sha256(struct bytes what, uint8_t sha256[DIGEST_SIZE]);
