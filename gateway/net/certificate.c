// SPDX-License-Identifier: MIT
#include "net/certificate.h"

#include "base/bug.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <time.h>

enum { CHAIN_MAX = 20 };

// The file's certificates, own one first; NULL where there is none.
static STACK_OF(X509) * read_file(const char *file, struct err *err) {
    FILE *in = fopen(file, "re");
    if (!in) {
        err_errno(err, "%s", file);
        return NULL;
    }
    STACK_OF(X509) *chain = sk_X509_new_null();
    bug_if(!chain);
    for (X509 *one; sk_X509_num(chain) < CHAIN_MAX && (one = PEM_read_X509(in, NULL, NULL, NULL));)
        sk_X509_push(chain, one);
    fclose(in);
    ERR_clear_error();
    if (sk_X509_num(chain) > 0) return chain;
    sk_X509_free(chain);
    err_set(err, "%s: there is no certificate in PEM format in it", file);
    return NULL;
}

static int64_t seconds(const ASN1_TIME *time) {
    struct tm tm;
    return ASN1_TIME_to_tm(time, &tm) == 1 ? timegm(&tm) : 0;
}

static void put_names(X509 *own, struct certificate *out) {
    size_t used = 0;
    GENERAL_NAMES *names = X509_get_ext_d2i(own, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_DNS) continue;
        int n = snprintf(out->names + used, sizeof out->names - used, "%s%.*s", used ? ", " : "",
                         ASN1_STRING_length(name->d.dNSName),
                         (const char *)ASN1_STRING_get0_data(name->d.dNSName));
        used += (size_t)n;
        if (used >= sizeof out->names) break;
    }
    GENERAL_NAMES_free(names);
    if (!used)
        X509_NAME_get_text_by_NID(X509_get_subject_name(own), NID_commonName, out->names, sizeof out->names);
}

static void put_issuer(X509 *own, struct certificate *out) {
    const X509_NAME *issuer = X509_get_issuer_name(own);
    if (X509_NAME_get_text_by_NID((X509_NAME *)issuer, NID_organizationName, out->issuer,
                                  sizeof out->issuer) < 0 &&
        X509_NAME_get_text_by_NID((X509_NAME *)issuer, NID_commonName, out->issuer, sizeof out->issuer) < 0)
        snprintf(out->issuer, sizeof out->issuer, "nobody who gives a name");
}

static void judge_chain(X509 *own, STACK_OF(X509) * chain, const char *ca, struct certificate *out) {
    X509_STORE *roots = X509_STORE_new();
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    bug_if(!roots || !context);
    int good = ca ? X509_STORE_load_file(roots, ca) : X509_STORE_set_default_paths(roots);
    if (good == 1 && X509_STORE_CTX_init(context, roots, own, chain) == 1) {
        X509_STORE_CTX_set_flags(context, X509_V_FLAG_NO_CHECK_TIME);
        X509_STORE_CTX_set_purpose(context, X509_PURPOSE_SSL_SERVER);
        out->trusted = X509_verify_cert(context) == 1;
        if (!out->trusted)
            snprintf(out->why_not, sizeof out->why_not, "%s",
                     X509_verify_cert_error_string(X509_STORE_CTX_get_error(context)));
    } else {
        snprintf(out->why_not, sizeof out->why_not, "the trusted roots cannot be read");
    }
    X509_STORE_CTX_free(context);
    X509_STORE_free(roots);
    ERR_clear_error();
}

bool certificate_look(const char *file, const char *host, const char *ca, struct certificate *out,
                      struct err *err) {
    *out = (struct certificate){0};
    STACK_OF(X509) *chain = read_file(file, err);
    if (!chain) return false;
    X509 *own = sk_X509_value(chain, 0);
    out->from_s = seconds(X509_get0_notBefore(own));
    out->until_s = seconds(X509_get0_notAfter(own));
    out->names_host = !host || X509_check_host(own, host, 0, 0, NULL) == 1;
    out->self_signed = X509_self_signed(own, 0) == 1;
    put_names(own, out);
    put_issuer(own, out);
    judge_chain(own, chain, ca, out);
    sk_X509_pop_free(chain, X509_free);
    return true;
}

static bool is_name(struct bytes text) {
    struct bytes rest = bytes_starts(text, BYTES("*.")) ? bytes_skip(text, 2) : text;
    for (size_t i = 0; i < rest.len; i++) {
        char c = rest.at[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.')) return false;
    }
    return rest.len > 0 && text.len < 256;
}

static void tell_name(const ASN1_STRING *from, void (*name)(void *arg, struct bytes name), void *arg) {
    struct buf text = {0};
    const char *at = (const char *)ASN1_STRING_get0_data(from);
    for (int i = 0; i < ASN1_STRING_length(from); i++) buf_byte(&text, byte_lower(at[i]));
    if (is_name(buf_bytes(&text))) name(arg, buf_bytes(&text));
    buf_release(&text);
}

bool certificate_names(const char *file, void (*name)(void *arg, struct bytes name), void *arg, struct err *err) {
    STACK_OF(X509) *chain = read_file(file, err);
    if (!chain) return false;
    X509 *own = sk_X509_value(chain, 0);
    GENERAL_NAMES *names = X509_get_ext_d2i(own, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *one = sk_GENERAL_NAME_value(names, i);
        if (one->type == GEN_DNS) tell_name(one->d.dNSName, name, arg);
    }
    const X509_NAME *subject = X509_get_subject_name(own);
    int at = names ? -1 : X509_NAME_get_index_by_NID((X509_NAME *)subject, NID_commonName, -1);
    if (at >= 0) tell_name(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)), name, arg);
    GENERAL_NAMES_free(names);
    sk_X509_pop_free(chain, X509_free);
    ERR_clear_error();
    return true;
}
