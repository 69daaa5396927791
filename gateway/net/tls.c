// SPDX-License-Identifier: MIT
#include "net/tls.h"

#include "base/bug.h"
#include "base/map.h"
#include "net/certificate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

// Which certificate for which name. Counted, since a handshake may outlive the context it began on.
struct wardrobe {
    atomic_int refs;
    struct map by_name; // SSL_CTX *
    SSL_CTX **more;
    size_t count;
};

// The file that roots were read from, as it was then. A file that takes another's place, or is written to, differs in one of these.
struct source {
    dev_t device;
    ino_t inode; // 0: there was none
    off_t size;
    struct timespec changed;
};

struct tls_context {
    SSL_CTX *ctx;
    struct wardrobe *wardrobe; // NULL where there is only one certificate
    struct source roots;       // of a client
};

struct tls_session {
    SSL *ssl;
    struct wardrobe *wardrobe; // of a server; NULL
    bool server;
    bool named;      // the peer's name is checked
    const char *impossible; // why the demand cannot be met, whatever the peer shows; NULL
    bool broken;     // after a fatal error nothing more is sent, not even a goodbye
    int os_error;    // of the system call that failed
};

// OpenSSL's queue of errors is the thread's: emptied here, so that the next call's result is its own.
static bool set_from_queue(struct err *err, const char *what) {
    unsigned long code = ERR_get_error();
    const char *reason =
        ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code)) : ERR_reason_error_string(code);
    ERR_clear_error();
    return err_set(err, "%s: %s", what, reason ? reason : "unknown error");
}

static SSL_CTX *ctx_new(const SSL_METHOD *method) {
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(method);
    bug_if(!ctx);
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    // A missing close_notify is an end like any other: SMTP's own framing tells a truncated message.
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1); // one read(2) for a record instead of two
    // Tickets are stateless; a cache of sessions would only be a lock and memory.
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    return ctx;
}

// Without it OpenSSL would ask for a passphrase on the terminal, and wait.
static int no_passphrase(char *into, int size, int writing, void *arg) {
    (void)into, (void)size, (void)writing, (void)arg;
    return -1;
}

static bool load_pair(SSL_CTX *ctx, const struct tls_pair *o, struct err *err) {
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    if (SSL_CTX_use_certificate_chain_file(ctx, o->certificate) != 1)
        return set_from_queue(err, "certificate") || err_within(err, "%s", o->certificate);
    bool loaded = SSL_CTX_use_PrivateKey_file(ctx, o->key, SSL_FILETYPE_PEM) == 1;
    bool mismatch = !loaded && ERR_GET_REASON(ERR_peek_error()) == X509_R_KEY_VALUES_MISMATCH;
    if (!loaded && !mismatch) return set_from_queue(err, "private key") || err_within(err, "%s", o->key);
    if (mismatch || SSL_CTX_check_private_key(ctx) != 1) {
        ERR_clear_error();
        return err_set(err, "%s: is not the key of the certificate %s", o->key, o->certificate);
    }
    return true;
}

static int let_pass(int ok, X509_STORE_CTX *store) {
    (void)ok, (void)store;
    return 1;
}

static bool ask_for_certificates(SSL_CTX *ctx, const char *client_ca, struct err *err) {
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(client_ca);
    if (!names || SSL_CTX_load_verify_locations(ctx, client_ca, NULL) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return set_from_queue(err, "certificates of client authorities") || err_within(err, "%s", client_ca);
    }
    SSL_CTX_set_client_CA_list(ctx, names);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, let_pass);
    return true;
}

static SSL_CTX *server_ctx(const struct tls_pair *pair, const char *client_ca, struct err *err) {
    SSL_CTX *ctx = ctx_new(TLS_server_method());
    SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_num_tickets(ctx, 1);
    SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"tidegate", 8);
    bool ok = load_pair(ctx, pair, err);
    if (ok && client_ca) ok = ask_for_certificates(ctx, client_ca, err);
    if (ok) return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

// ---- certificates by name

struct naming {
    struct map *by_name;
    SSL_CTX *ctx;
};

static void add_name(void *arg, struct bytes name) {
    struct naming *n = arg;
    if (!map_get(n->by_name, name)) map_put(n->by_name, name, n->ctx);
}

static void wardrobe_drop(struct wardrobe **at) {
    struct wardrobe *w = *at;
    *at = NULL;
    if (!w || atomic_fetch_sub(&w->refs, 1) > 1) return;
    for (size_t i = 0; i < w->count; i++) SSL_CTX_free(w->more[i]);
    map_release(&w->by_name);
    free(w->more);
    free(w);
}

static bool hang(struct wardrobe *w, const char *file, SSL_CTX *ctx, struct err *err) {
    return certificate_names(file, add_name, &(struct naming){&w->by_name, ctx}, err);
}

static int choose(SSL *ssl, int *alert, void *arg) {
    (void)alert, (void)arg;
    const struct wardrobe *w = ((struct tls_session *)SSL_get_app_data(ssl))->wardrobe;
    const char *said = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    char name[256];
    size_t len = said ? strlen(said) : 0;
    if (len && said[len - 1] == '.') len--;
    if (!len || len >= sizeof name) return SSL_TLSEXT_ERR_NOACK;
    for (size_t i = 0; i < len; i++) name[i] = byte_lower(said[i]);
    SSL_CTX *found = map_get(&w->by_name, bytes_range(name, len));
    char *dot = memchr(name, '.', len);
    if (!found && dot && dot > name) { // RFC 6125 6.4.3: a wildcard is the whole of the first label
        dot[-1] = '*';
        found = map_get(&w->by_name, bytes_range(dot - 1, len - (size_t)(dot - 1 - name)));
    }
    if (!found) return SSL_TLSEXT_ERR_NOACK;
    SSL_set_SSL_CTX(ssl, found);
    return SSL_TLSEXT_ERR_OK;
}

static bool load_more(struct tls_context *c, const struct tls_server_options *o, struct err *err) {
    if (!o->more_count) return true;
    struct wardrobe *w = c->wardrobe = must_alloc(sizeof *w);
    atomic_init(&w->refs, 1);
    w->more = must_alloc(o->more_count * sizeof *w->more);
    if (!hang(w, o->certificate, c->ctx, err)) return false;
    for (size_t i = 0; i < o->more_count; i++) {
        SSL_CTX *ctx = server_ctx(&o->more[i], o->client_ca, err);
        if (!ctx) return false;
        w->more[w->count++] = ctx;
        if (!hang(w, o->more[i].certificate, ctx, err)) return false;
    }
    SSL_CTX_set_tlsext_servername_callback(c->ctx, choose);
    return true;
}

struct tls_context *tls_server_new(const struct tls_server_options *options, struct err *err) {
    SSL_CTX *ctx = server_ctx(&(struct tls_pair){options->certificate, options->key}, options->client_ca, err);
    if (!ctx) return NULL;
    struct tls_context *c = must_alloc(sizeof *c);
    c->ctx = ctx;
    if (!load_more(c, options, err)) tls_context_free(&c);
    return c;
}

// Looked at before it is read: if it changes in between, it is read once more next time.
static struct source source_of(const char *ca_file) {
    struct stat now;
    const char *system = getenv(X509_get_default_cert_file_env());
    const char *path = ca_file ? ca_file : system ? system : X509_get_default_cert_file();
    if (stat(path, &now) != 0) return (struct source){0};
    return (struct source){now.st_dev, now.st_ino, now.st_size, now.st_ctim};
}

static bool is_same_source(const struct source *a, const struct source *b) {
    return a->inode && a->inode == b->inode && a->device == b->device && a->size == b->size &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

struct tls_context *tls_client_new(const char *ca_file, struct err *err) {
    return tls_client_renew(NULL, ca_file, err);
}

struct tls_context *tls_client_renew(const struct tls_context *was, const char *ca_file, struct err *err) {
    struct tls_context *c = must_alloc(sizeof *c);
    c->ctx = ctx_new(TLS_client_method());
    c->roots = source_of(ca_file);
    bug_if(SSL_CTX_dane_enable(c->ctx) != 1);
    if (was && is_same_source(&was->roots, &c->roots)) {
        SSL_CTX_set1_cert_store(c->ctx, SSL_CTX_get_cert_store(was->ctx));
        return c;
    }
    int ok = ca_file ? SSL_CTX_load_verify_locations(c->ctx, ca_file, NULL)
                     : SSL_CTX_set_default_verify_paths(c->ctx);
    if (ok == 1) return c;
    set_from_queue(err, "trusted certificates");
    if (ca_file) err_within(err, "%s", ca_file);
    tls_context_free(&c);
    return NULL;
}

void tls_context_free(struct tls_context **context) {
    struct tls_context *c = *context;
    *context = NULL;
    if (!c) return;
    wardrobe_drop(&c->wardrobe);
    SSL_CTX_free(c->ctx);
    free(c);
}

// The session keeps the SSL_CTX by OpenSSL's own count.
static struct tls_session *session_new(struct tls_context *context, int fd) {
    struct tls_session *s = must_alloc(sizeof *s);
    ERR_clear_error();
    s->ssl = SSL_new(context->ctx);
    bug_if(!s->ssl || SSL_set_fd(s->ssl, fd) != 1);
    return s;
}

struct tls_session *tls_accept(struct tls_context *context, int fd) {
    struct tls_session *s = session_new(context, fd);
    s->server = true;
    s->wardrobe = context->wardrobe;
    if (s->wardrobe) atomic_fetch_add(&s->wardrobe->refs, 1);
    SSL_set_app_data(s->ssl, s); // for choose
    SSL_set_accept_state(s->ssl);
    return s;
}

// RFC 6066 section 3: no trailing dot and no address literal in SNI.
static bool set_name(SSL *ssl, const char *host) {
    char name[256];
    size_t len = strlen(host);
    if (len && host[len - 1] == '.') len--;
    if (len == 0 || len >= sizeof name) return false;
    memcpy(name, host, len);
    name[len] = 0;
    uint8_t ip[16];
    bool literal = inet_pton(AF_INET, name, ip) == 1 || inet_pton(AF_INET6, name, ip) == 1;
    if (!literal) SSL_set_tlsext_host_name(ssl, name);
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, name) == 1;
}

static size_t digest_length(uint8_t matching) {
    return matching == 1 ? 32 : matching == 2 ? 64 : 0;
}

bool tls_pin_is_usable(const struct tls_pin *p) {
    if ((p->usage != 2 && p->usage != 3) || p->selector > 1 || p->matching > 2 || !p->data.len) return false;
    return p->matching == 0 || p->data.len == digest_length(p->matching);
}

// False: no pin that anything could match.
static bool set_pins(struct tls_session *s, const struct tls_peer *peer) {
    size_t set = 0;
    if (SSL_dane_enable(s->ssl, peer->host) != 1) return false; // takes the place of the name that was set
    // RFC 7672 section 3.1.1: whose key it is has been said in DNS; the name in the certificate adds nothing.
    SSL_dane_set_flags(s->ssl, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
    if (peer->domain) SSL_add1_host(s->ssl, peer->domain);
    for (size_t i = 0; i < peer->pin_count; i++) {
        const struct tls_pin *p = &peer->pins[i];
        if (!tls_pin_is_usable(p)) continue;
        set += SSL_dane_tlsa_add(s->ssl, p->usage, p->selector, p->matching, (const unsigned char *)p->data.at, p->data.len) > 0;
    }
    ERR_clear_error();
    return set > 0;
}

struct tls_session *tls_connect(struct tls_context *context, int fd, const struct tls_peer *peer) {
    struct tls_session *s = session_new(context, fd);
    SSL_set_connect_state(s->ssl);
    s->named = peer->host && set_name(s->ssl, peer->host);
    if (peer->demand != TLS_ANY) {
        SSL_set_verify(s->ssl, SSL_VERIFY_PEER, NULL);
        if (!s->named) s->impossible = "the peer must be verified and has no name to verify";
        else if (peer->demand == TLS_MATCH && !set_pins(s, peer)) s->impossible = "no TLSA record can be used";
    } else {
        // The chain is looked at for the facts, not for the outcome. Level 1 because the alternative to an
        // old peer's short key is no encryption at all.
        SSL_set_verify(s->ssl, SSL_VERIFY_NONE, NULL);
        SSL_set_security_level(s->ssl, 1);
    }
    return s;
}

static enum tls_result failed(struct tls_session *s, const char *what, struct err *err) {
    long verdict = SSL_get_verify_result(s->ssl);
    bool chain = ERR_GET_REASON(ERR_peek_error()) == SSL_R_CERTIFICATE_VERIFY_FAILED;
    s->broken = true;
    set_from_queue(err, what);
    if (chain) err_set(err, "%s: certificate: %s", what, X509_verify_cert_error_string(verdict));
    return TLS_FAILED;
}

static enum tls_result result_of(struct tls_session *s, int returned, const char *what, struct err *err) {
    int os_error = errno;
    switch (SSL_get_error(s->ssl, returned)) {
    case SSL_ERROR_NONE:
        return TLS_DONE;
    case SSL_ERROR_WANT_READ:
        return TLS_WANT_READ;
    case SSL_ERROR_WANT_WRITE:
        return TLS_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        return TLS_CLOSED;
    case SSL_ERROR_SYSCALL:
        s->broken = true;
        if (os_error == 0) return TLS_CLOSED;
        errno = s->os_error = os_error;
        err_errno(err, "%s", what);
        return TLS_FAILED;
    default:
        return failed(s, what, err);
    }
}

enum tls_result tls_handshake(struct tls_session *s, struct err *err) {
    if (s->impossible) {
        err_set(err, "TLS handshake: %s", s->impossible);
        return TLS_FAILED;
    }
    ERR_clear_error();
    errno = 0;
    enum tls_result result = result_of(s, SSL_do_handshake(s->ssl), "TLS handshake", err);
    if (result != TLS_CLOSED) return result;
    err_set(err, "TLS handshake: the peer closed the connection");
    s->broken = true;
    return TLS_FAILED;
}

enum tls_result tls_read(struct tls_session *s, void *into, size_t size, size_t *got, struct err *err) {
    *got = 0;
    ERR_clear_error();
    errno = 0;
    return result_of(s, SSL_read_ex(s->ssl, into, size, got), "TLS read", err);
}

enum tls_result tls_write(struct tls_session *s, struct bytes what, size_t *put, struct err *err) {
    *put = 0;
    ERR_clear_error();
    errno = 0;
    enum tls_result result = result_of(s, SSL_write_ex(s->ssl, what.at, what.len, put), "TLS write", err);
    if (result == TLS_CLOSED) err_set(err, "TLS write: the peer closed the connection");
    bool ended = s->os_error == EPIPE || s->os_error == ECONNRESET;
    return result == TLS_FAILED && ended ? TLS_CLOSED : result;
}

bool tls_has_pending(const struct tls_session *s) {
    return SSL_has_pending(s->ssl);
}

// A name is for logs and facts: what is not printable ASCII or UTF-8's upper half becomes '?'.
static void common_name(X509 *certificate, char *out, size_t size) {
    X509_NAME *subject = X509_get_subject_name(certificate);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at < 0) return;
    unsigned char *text = NULL;
    int len = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    size_t n = 0;
    for (int i = 0; i < len && n + 1 < size; i++)
        out[n++] = text[i] < 32 || text[i] == 127 ? '?' : (char)text[i];
    out[n] = 0;
    OPENSSL_free(text);
}

static void fingerprint(X509 *certificate, char out[65]) {
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned int len = 0;
    if (X509_digest(certificate, EVP_sha256(), hash, &len) != 1 || len != 32) return;
    for (unsigned int i = 0; i < len; i++)
        snprintf(out + (size_t)i * 2, 3, "%02x", hash[i]);
}

void tls_get_facts(const struct tls_session *s, struct tls_facts *out) {
    *out = (struct tls_facts){.version = SSL_get_version(s->ssl), .cipher = SSL_get_cipher_name(s->ssl)};
    X509 *certificate = SSL_get0_peer_certificate(s->ssl);
    if (!certificate) return;
    common_name(certificate, out->peer_name, sizeof out->peer_name);
    fingerprint(certificate, out->peer_sha256);
    long verdict = SSL_get_verify_result(s->ssl);
    out->verified = verdict == X509_V_OK && (s->server || s->named);
    if (verdict != X509_V_OK)
        snprintf(out->why_not, sizeof out->why_not, "%s", X509_verify_cert_error_string(verdict));
    else if (!out->verified)
        snprintf(out->why_not, sizeof out->why_not, "no name to verify");
    ERR_clear_error();
}

enum tls_result tls_bye(struct tls_session *s) {
    if (s->broken || !SSL_is_init_finished(s->ssl)) return TLS_FAILED;
    if (SSL_get_shutdown(s->ssl) & SSL_SENT_SHUTDOWN) return TLS_DONE;
    ERR_clear_error();
    errno = 0;
    int returned = SSL_shutdown(s->ssl); // 0: ours is sent, the peer's has not come
    if (returned >= 0) return TLS_DONE;
    enum tls_result result = result_of(s, returned, "TLS close", NULL);
    return result == TLS_WANT_WRITE ? result : TLS_FAILED;
}

void tls_session_free(struct tls_session **session) {
    struct tls_session *s = *session;
    if (!s) return;
    tls_bye(s);
    SSL_free(s->ssl);
    wardrobe_drop(&s->wardrobe);
    ERR_clear_error();
    free(s);
    *session = NULL;
}
