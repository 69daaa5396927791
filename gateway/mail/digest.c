// SPDX-License-Identifier: MIT
#include "mail/digest.h"

#include "base/bug.h"

#include <openssl/evp.h>

static void start(struct digest *d) {
    d->context = EVP_MD_CTX_new();
    bug_if(!d->context || !EVP_DigestInit_ex(d->context, EVP_sha256(), NULL));
}

void digest_add(struct digest *d, struct bytes what) {
    if (!d->context) start(d);
    bug_if(!EVP_DigestUpdate(d->context, what.at, what.len));
}

void digest_end(struct digest *d, uint8_t sha256[DIGEST_SIZE]) {
    if (!d->context) start(d);
    bug_if(!EVP_DigestFinal_ex(d->context, sha256, NULL));
    digest_drop(d);
}

void digest_drop(struct digest *d) {
    EVP_MD_CTX_free(d->context);
    d->context = NULL;
}

void digest_sha256(struct bytes what, uint8_t sha256[DIGEST_SIZE]) {
    bug_if(!EVP_Digest(what.at, what.len, sha256, NULL, EVP_sha256(), NULL));
}
