// SPDX-License-Identifier: MIT
#include "mail/verify.h"

#include "mail/canon.h"
#include "mail/header.h"

#include <opendkim/dkim.h>
#include <stdio.h>
#include <time.h>

// What libopendkim's callbacks need; it hands the pointer back as the message's user context.
struct asker {
    bool (*txt)(void *arg, const char *name, struct buf *out);
    void *arg;
    size_t max;
};

// Everything behind the first `max` signatures is left unprocessed: a message can carry thousands.
static DKIM_CBSTAT keep_first(DKIM *dkim, DKIM_SIGINFO **signatures, int count) {
    const struct asker *asker = dkim_get_user_context(dkim);
    for (int i = 0; i < count; i++)
        if ((size_t)i >= asker->max) dkim_sig_ignore(signatures[i]);
    return DKIM_CBSTAT_CONTINUE;
}

// The library's buffer holds 1024 characters; a longer record is none (RSA-4096 needs 740).
static DKIM_CBSTAT look_up(DKIM *dkim, DKIM_SIGINFO *signature, u_char *out, size_t size) {
    const struct asker *asker = dkim_get_user_context(dkim);
    struct buf name = {0}, text = {0};
    buf_format(&name, "%s._domainkey.%s", dkim_sig_getselector(signature), dkim_sig_getdomain(signature));
    bool found =
        asker->txt(asker->arg, buf_z(&name), &text) && text.len < size && bytes_find(buf_bytes(&text), 0) < 0;
    if (found) memcpy(out, buf_z(&text), text.len + 1);
    buf_release(&name);
    buf_release(&text);
    return found ? DKIM_CBSTAT_CONTINUE : DKIM_CBSTAT_NOTFOUND;
}

static DKIM_LIB *open_library(struct err *err) {
    DKIM_LIB *lib = dkim_init(NULL, NULL);
    unsigned flags = DKIM_LIBFLAGS_DELAYSIGPROC;
    if (lib && dkim_options(lib, DKIM_OP_SETOPT, DKIM_OPTS_FLAGS, &flags, sizeof flags) == DKIM_STAT_OK &&
        dkim_set_key_lookup(lib, look_up) == DKIM_STAT_OK &&
        dkim_set_prescreen(lib, keep_first) == DKIM_STAT_OK)
        return lib;
    if (lib) dkim_close(lib);
    err_set(err, "libopendkim does not start");
    return NULL;
}

// Lines that are no fields are not shown to the library, which would give up the message for them.
static DKIM_STAT feed(DKIM *dkim, struct bytes head, struct bytes body) {
    DKIM_STAT status = DKIM_STAT_OK;
    for (struct header_field field; status == DKIM_STAT_OK && header_next(&head, &field);) {
        if (field.name.len == 0) continue;
        size_t len = (size_t)(field.value.at + field.value.len - field.whole.at);
        status = dkim_header(dkim, (u_char *)field.whole.at, len);
    }
    if (status == DKIM_STAT_OK) status = dkim_eoh(dkim);
    if (status != DKIM_STAT_OK) return status;
    if (body.len) status = dkim_body(dkim, (u_char *)body.at, body.len);
    if (status == DKIM_STAT_OK && body.len && !bytes_ends_nocase(body, BYTES("\r\n")))
        status = dkim_body(dkim, (u_char *)"\r\n", 2);
    return status == DKIM_STAT_OK ? dkim_eom(dkim, NULL) : status;
}

static void copy_z(char *out, size_t size, const void *z) {
    snprintf(out, size, "%s", z ? (const char *)z : "");
}

static void read_result(DKIM *dkim, DKIM_SIGINFO *signature, struct verify_result *out) {
    *out = (struct verify_result){0};
    dkim_alg_t algorithm = DKIM_SIGN_UNKNOWN;
    unsigned bits = 0;
    if (!(dkim_sig_getflags(signature) & DKIM_SIGFLAG_PROCESSED)) (void)dkim_sig_process(dkim, signature);
    copy_z(out->domain, sizeof out->domain, dkim_sig_getdomain(signature));
    copy_z(out->selector, sizeof out->selector, dkim_sig_getselector(signature));
    dkim_sig_getsignalg(signature, &algorithm);
    copy_z(out->algorithm, sizeof out->algorithm,
           algorithm == DKIM_SIGN_RSASHA256       ? "rsa-sha256"
           : algorithm == DKIM_SIGN_ED25519SHA256 ? "ed25519-sha256"
           : algorithm == DKIM_SIGN_RSASHA1       ? "rsa-sha1"
                                                  : "unknown");
    if (dkim_sig_getkeysize(signature, &bits) == DKIM_STAT_OK) out->bits = (int)bits;
    bool body = dkim_sig_getbh(signature) == DKIM_SIGBH_MATCH;
    out->passed =
        body && (dkim_sig_getflags(signature) & DKIM_SIGFLAG_PASSED) && algorithm != DKIM_SIGN_RSASHA1;
    if (out->passed) return;
    int fault = dkim_sig_geterror(signature);
    const char *words = fault ? dkim_sig_geterrorstr(fault) : NULL;
    if (algorithm == DKIM_SIGN_RSASHA1)
        words = "rsa-sha1 proves nothing (RFC 8301)";
    else if (dkim_sig_getbh(signature) == DKIM_SIGBH_MISMATCH)
        words = "the body is not the one that was signed";
    copy_z(out->why, sizeof out->why, words && *words ? words : "the signature does not hold");
}

bool verify_message(struct bytes head, struct bytes body,
                    bool (*txt)(void *arg, const char *name, struct buf *out), void *arg,
                    struct verify_result *results, size_t max, size_t *count, struct err *err) {
    struct asker asker = {txt, arg, max};
    *count = 0;
    DKIM_LIB *lib = open_library(err);
    if (!lib) return false;
    DKIM_STAT status = DKIM_STAT_NORESOURCE;
    DKIM *dkim = dkim_verify(lib, (const unsigned char *)"tidegate", NULL, &status);
    if (dkim) {
        (void)dkim_set_user_context(dkim, &asker);
        status = feed(dkim, head, body);
    }
    DKIM_SIGINFO **signatures = NULL;
    int n = 0;
    bool listed = dkim && dkim_getsiglist(dkim, &signatures, &n) == DKIM_STAT_OK;
    for (; listed && *count < (size_t)n && *count < max; (*count)++)
        read_result(dkim, signatures[*count], &results[*count]);
    bool ok = *count > 0 || status == DKIM_STAT_OK || status == DKIM_STAT_NOSIG;
    if (!ok) {
        const char *words = dkim ? dkim_geterror(dkim) : NULL;
        err_set(err, "libopendkim: %s", words && *words ? words : dkim_getresultstr(status));
    }
    if (dkim) dkim_free(dkim);
    dkim_close(lib);
    return ok;
}

static bool own_record(void *key, const char *name, struct buf *out) {
    (void)name;
    sign_public_record(key, out);
    return true;
}

bool verify_key(struct sign_key *key, struct err *err) {
    struct bytes body = BYTES("The gate opens  outward.\r\n \r\n\r\n");
    struct buf head = {0}, sample = {0};
    uint8_t hash[DIGEST_SIZE];
    struct canon_body canon;
    struct verify_result result = {.why = "no signature was found"};
    size_t count = 0;
    canon_body_init(&canon);
    canon_body_add(&canon, body);
    canon_body_finish(&canon, hash, NULL);
    buf_format(&sample, "From: key check <check@%s>\r\nTo: nobody\r\nSubject: a sample\r\n\tof two lines\r\n",
               sign_key_domain(key));
    bool ok = sign_message(&head, &key, 1, buf_bytes(&sample), hash, time(NULL), NULL, err);
    if (ok) buf_add(&head, buf_bytes(&sample));
    ok = ok && verify_message(buf_bytes(&head), body, own_record, key, &result, 1, &count, err);
    if (ok && !result.passed)
        ok = err_set(err, "libopendkim does not accept a signature of this key: %s", result.why);
    buf_release(&head);
    buf_release(&sample);
    return ok;
}
