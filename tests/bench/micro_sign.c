// SPDX-License-Identifier: MIT
// micro_sign: a DKIM signature against the bare operation of the key, which no program can go below.
#include "micro.h"
#include "mail/sign.h"
#include "../unit/mail_keys.h"

struct signing {
    struct sign_key *key;
    struct bytes head;
    uint8_t hash[DIGEST_SIZE];
    struct buf out;
    EVP_PKEY *bare;
    const EVP_MD *md;
};

static void sign(void *arg) {
    struct signing *s = arg;
    struct err err;
    buf_reset(&s->out);
    bug_if(!sign_message(&s->out, &s->key, 1, s->head, s->hash, 1767268800, NULL, &err));
}

static void bare(void *arg) {
    struct signing *s = arg;
    unsigned char signature[512];
    size_t length = sizeof signature;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bug_if(EVP_DigestSignInit(context, NULL, s->md, NULL, s->bare) != 1 ||
           EVP_DigestSign(context, signature, &length, s->hash, sizeof s->hash) != 1);
    EVP_MD_CTX_free(context);
}

static void run(const char *name, void (*make)(struct buf *pem), const EVP_MD *md) {
    struct signing s = {.md = md};
    struct buf pem = {0}, head = {0};
    struct err err;
    char label[64];
    make(&pem);
    buf_addz(&head,
             "From: <sender@load.example>\r\nTo: <recipient@sink.example>\r\nSubject: a message\r\n"
             "Date: Thu, 01 Jan 2026 12:00:00 +0000\r\nMessage-ID: <1@load.example>\r\nMIME-Version: 1.0\r\n"
             "Content-Type: text/plain; charset=us-ascii\r\n");
    s.head = buf_bytes(&head);
    s.key = sign_key_load("load.example", "s1", buf_bytes(&pem), &err);
    BIO *bio = BIO_new_mem_buf(pem.at, (int)pem.len);
    s.bare = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    bug_if(!s.key || !s.bare);
    double whole = micro_run("sign", name, 0, sign, &s);
    snprintf(label, sizeof label, "%s, bare operation", name);
    double floor = micro_run("sign", label, 0, bare, &s);
    printf("{\"bench\": \"sign\", \"case\": \"%s, ratio to the bare operation\", \"ratio\": %.3f}\n", name,
           whole / floor);
    BIO_free(bio);
    EVP_PKEY_free(s.bare);
    sign_key_free(&s.key);
    buf_release(&pem);
    buf_release(&head);
    buf_release(&s.out);
}

static void rsa_2048(struct buf *pem) {
    keys_rsa(2048, pem);
}

int main(void) {
    run("RSA-2048", rsa_2048, EVP_sha256());
    run("Ed25519", keys_ed25519, NULL);
    return 0;
}
