// SPDX-License-Identifier: MIT
// net_pem: certificates for the tests, made on the spot in a folder of their own.
#pragma once

#include "base/bug.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct pem_pair {
    EVP_PKEY *key;
    X509 *certificate;
    char certificate_path[64], key_path[64];
};

static inline void pem_extend(X509 *certificate, int nid, const char *value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bug_if(!extension || X509_add_ext(certificate, extension, -1) != 1);
    X509_EXTENSION_free(extension);
}

static inline void pem_write(struct pem_pair *p) {
    FILE *f = fopen(p->certificate_path, "w");
    bug_if(!f || PEM_write_X509(f, p->certificate) != 1 || fclose(f) != 0);
    f = fopen(p->key_path, "w");
    bug_if(!f || PEM_write_PrivateKey(f, p->key, NULL, NULL, 0, NULL, NULL) != 1 || fclose(f) != 0);
}

// Issued by `issuer`, or an authority by itself where that is NULL. days < 0: it has expired.
static inline void pem_make(struct pem_pair *p, const char *dir, const char *file, const char *name,
                            const char *alternatives, struct pem_pair *issuer, int days) {
    *p = (struct pem_pair){.key = EVP_EC_gen("P-256"), .certificate = X509_new()};
    bug_if(!p->key || !p->certificate);
    snprintf(p->certificate_path, sizeof p->certificate_path, "%s/%s.pem", dir, file);
    snprintf(p->key_path, sizeof p->key_path, "%s/%s.key", dir, file);
    X509 *x = p->certificate;
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1 + (long)(name[0] << 8 | file[0]));
    X509_gmtime_adj(X509_getm_notBefore(x), -86400 * 30);
    X509_gmtime_adj(X509_getm_notAfter(x), 86400L * days);
    X509_set_pubkey(x, p->key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8, (const unsigned char *)name, -1,
                               -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(issuer ? issuer->certificate : x));
    pem_extend(x, NID_basic_constraints, issuer ? "critical,CA:FALSE" : "critical,CA:TRUE");
    if (alternatives) pem_extend(x, NID_subject_alt_name, alternatives);
    bug_if(X509_sign(x, issuer ? issuer->key : p->key, EVP_sha256()) <= 0);
    pem_write(p);
}

static inline void pem_release(struct pem_pair *p) {
    unlink(p->certificate_path);
    unlink(p->key_path);
    EVP_PKEY_free(p->key);
    X509_free(p->certificate);
}

// What most tests need: an authority, a server "mx.example" (also 127.0.0.1) of its own, contexts for both
// roles.
struct pem_kit {
    char dir[32];
    struct pem_pair authority, server;
};

static inline void pem_kit_make(struct pem_kit *k) {
    snprintf(k->dir, sizeof k->dir, "/tmp/pem-XXXXXX");
    bug_if(!mkdtemp(k->dir));
    pem_make(&k->authority, k->dir, "authority", "Test Authority", NULL, NULL, 10);
    pem_make(&k->server, k->dir, "server", "mx.example", "DNS:mx.example,DNS:*.wild.example,IP:127.0.0.1",
             &k->authority, 10);
}

static inline void pem_kit_release(struct pem_kit *k) {
    pem_release(&k->authority);
    pem_release(&k->server);
    rmdir(k->dir);
}
