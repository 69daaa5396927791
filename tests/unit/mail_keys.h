// SPDX-License-Identifier: MIT
// mail_keys: private keys made for one run of a test, as PEM.
#pragma once

#include "base/bug.h"
#include "base/bytes.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

static inline void keys_write(EVP_PKEY *pkey, bool public_half, struct buf *pem) {
    BIO *bio = BIO_new(BIO_s_mem());
    bug_if(!pkey || !bio);
    if (public_half) PEM_write_bio_PUBKEY(bio, pkey);
    else PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL);
    char *at;
    long len = BIO_get_mem_data(bio, &at);
    buf_add(pem, bytes_range(at, (size_t)len));
    BIO_free(bio);
}

static inline void keys_rsa(unsigned bits, struct buf *pem) {
    EVP_PKEY *pkey = EVP_RSA_gen(bits);
    keys_write(pkey, false, pem);
    EVP_PKEY_free(pkey);
}

static inline void keys_ed25519(struct buf *pem) {
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    keys_write(pkey, false, pem);
    EVP_PKEY_free(pkey);
}
