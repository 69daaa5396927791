// SPDX-License-Identifier: MIT
#include "net/tls.h"

#include "net_pem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/socket.h>

struct kit {
    struct pem_kit pem;
    struct tls_context *server, *client;
};

static int kit_setup(void **state) {
    struct kit *k = must_alloc(sizeof *k);
    struct err err = {""};
    signal(SIGPIPE, SIG_IGN);
    pem_kit_make(&k->pem);
    k->server = tls_server_new(
        &(struct tls_server_options){.certificate = k->pem.server.certificate_path, .key = k->pem.server.key_path}, &err);
    k->client = tls_client_new(k->pem.authority.certificate_path, &err);
    if (!k->server || !k->client) fail_msg("%s", err.text);
    *state = k;
    return 0;
}

static int kit_teardown(void **state) {
    struct kit *k = *state;
    tls_context_free(&k->server);
    tls_context_free(&k->client);
    pem_kit_release(&k->pem);
    free(k);
    return 0;
}

struct link {
    int fds[2];
    struct tls_session *server, *client;
    enum tls_result server_result, client_result;
    struct err server_err, client_err;
};

static void link_open_to(struct link *l, struct tls_context *server, struct tls_context *client, const struct tls_peer *peer) {
    *l = (struct link){.server_err = {""}};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, l->fds), 0);
    l->server = tls_accept(server, l->fds[0]);
    l->client = tls_connect(client, l->fds[1], peer);
    for (int i = 0; i < 10; i++) {
        if (l->client_result != TLS_FAILED) l->client_result = tls_handshake(l->client, &l->client_err);
        if (l->server_result != TLS_FAILED) l->server_result = tls_handshake(l->server, &l->server_err);
    }
}

static void link_open(struct link *l, struct tls_context *server, struct tls_context *client,
                      const char *host, enum tls_demand demand) {
    link_open_to(l, server, client, &(struct tls_peer){.host = host, .demand = demand});
}

static void link_close(struct link *l) {
    tls_session_free(&l->client);
    tls_session_free(&l->server);
    close(l->fds[0]);
    close(l->fds[1]);
}

static void verifies(void **state) {
    struct kit *k = *state;
    static const struct {
        const char *host;
        enum tls_demand demand;
        bool done, verified;
        const char *why;
    } rows[] = {
        {"mx.example", TLS_VERIFY, true, true, ""},
        {"MX.example.", TLS_VERIFY, true, true, ""},
        {"a.wild.example", TLS_VERIFY, true, true, ""},
        {"127.0.0.1", TLS_VERIFY, true, true, ""},
        {"a.b.wild.example", TLS_VERIFY, false, false, "ostname mismatch"},
        {"wild.example", TLS_VERIFY, false, false, "ostname mismatch"},
        {"other.example", TLS_VERIFY, false, false, "ostname mismatch"},
        {"127.0.0.2", TLS_VERIFY, false, false, "IP address mismatch"},
        {"", TLS_VERIFY, false, false, "no name"},
        {NULL, TLS_VERIFY, false, false, "no name"},
        {"mx.example", TLS_ANY, true, true, ""},
        {"other.example", TLS_ANY, true, false, "ostname mismatch"},
        {NULL, TLS_ANY, true, false, "no name"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct link l;
        struct tls_facts facts;
        link_open(&l, k->server, k->client, rows[i].host, rows[i].demand);
        assert_int_equal(l.client_result, rows[i].done ? TLS_DONE : TLS_FAILED);
        if (rows[i].done) {
            tls_get_facts(l.client, &facts);
            assert_string_equal(facts.version, "TLSv1.3");
            assert_string_equal(facts.peer_name, "mx.example");
            assert_int_equal(strlen(facts.peer_sha256), 64);
            assert_true(facts.cipher[0]);
            assert_int_equal(facts.verified, rows[i].verified);
            if (!strstr(facts.why_not, rows[i].why)) fail_msg("%s", facts.why_not);
            tls_get_facts(l.server, &facts);
            assert_string_equal(facts.peer_name, "");
            assert_false(facts.verified);
        } else if (!strstr(l.client_err.text, rows[i].why))
            fail_msg("%s", l.client_err.text);
        link_close(&l);
    }
}

enum pinned { PIN_CERTIFICATE, PIN_KEY, PIN_AUTHORITY, PIN_OTHER };

// A pin as a domain publishes it; data in memory that the caller frees.
static struct tls_pin pin_make(struct kit *k, const struct pem_pair *server, enum pinned what, uint8_t usage, uint8_t matching) {
    unsigned char *der = NULL, *data = must_alloc(4096);
    X509 *x = what == PIN_AUTHORITY ? k->pem.authority.certificate : server->certificate;
    int len = what == PIN_KEY ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der) : i2d_X509(x, &der);
    unsigned int size = (unsigned int)len;
    if (what == PIN_OTHER) der[len - 1] ^= 1;
    if (matching) EVP_Digest(der, (size_t)len, data, &size, matching == 1 ? EVP_sha256() : EVP_sha512(), NULL);
    else memcpy(data, der, size);
    OPENSSL_free(der);
    return (struct tls_pin){usage, what == PIN_KEY, matching, {(char *)data, size}};
}

// RFC 7672 section 3: what the pins say is all that counts; an authority that the system trusts does not, nor, for usage 3, names and dates.
static void matches_pins(void **state) {
    struct kit *k = *state;
    struct pem_pair old;
    pem_make(&old, k->pem.dir, "old", "mx.example", "DNS:mx.example", &k->pem.authority, -1);
    struct tls_context *expired = tls_server_new(&(struct tls_server_options){.certificate = old.certificate_path, .key = old.key_path}, NULL);
    struct tls_context *stranger = tls_client_new(NULL, NULL); // has not heard of our authority
    static const struct {
        enum pinned what;
        uint8_t usage, matching;
        const char *host, *domain;
        bool is_old;
        const char *why_not; // "" where it holds
    } rows[] = {
        {PIN_KEY, 3, 1, "mx.example", NULL, false, ""},
        {PIN_KEY, 3, 2, "mx.example", NULL, false, ""},
        {PIN_CERTIFICATE, 3, 0, "mx.example", NULL, false, ""},
        {PIN_KEY, 3, 1, "other.example", NULL, false, ""},
        {PIN_KEY, 3, 1, "mx.example", NULL, true, ""},
        {PIN_OTHER, 3, 1, "mx.example", NULL, false, "certificate"},
        {PIN_AUTHORITY, 2, 0, "mx.example", NULL, false, ""},
        {PIN_AUTHORITY, 2, 0, "other.example", "mx.example", false, ""},
        {PIN_AUTHORITY, 2, 0, "other.example", NULL, false, "ostname mismatch"},
        {PIN_AUTHORITY, 2, 0, "mx.example", NULL, true, "expired"},
        {PIN_KEY, 1, 1, "mx.example", NULL, false, "no TLSA record can be used"},
        {PIN_KEY, 3, 1, NULL, NULL, false, "no name"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct link l;
        struct tls_facts facts;
        struct tls_pin pin = pin_make(k, rows[i].is_old ? &old : &k->pem.server, rows[i].what, rows[i].usage, rows[i].matching);
        struct tls_peer peer = {.host = rows[i].host, .demand = TLS_MATCH, .pins = &pin, .pin_count = 1, .domain = rows[i].domain};
        bool holds = !rows[i].why_not[0];
        link_open_to(&l, rows[i].is_old ? expired : k->server, stranger, &peer);
        if (l.client_result != (holds ? TLS_DONE : TLS_FAILED)) fail_msg("row %zu: %s", i, l.client_err.text);
        if (holds) {
            tls_get_facts(l.client, &facts);
            assert_true(facts.verified);
            assert_string_equal(facts.why_not, "");
        } else if (!strstr(l.client_err.text, rows[i].why_not))
            fail_msg("row %zu: %s", i, l.client_err.text);
        link_close(&l);
        free((char *)(uintptr_t)pin.data.at);
    }
    tls_context_free(&expired);
    tls_context_free(&stranger);
    pem_release(&old);
}

static void knows_usable_pins(void **state) {
    (void)state;
    char zeros[64] = {0};
    struct bytes d32 = {zeros, 32}, d64 = {zeros, 64}, none = {zeros, 0};
    assert_true(tls_pin_is_usable(&(struct tls_pin){3, 1, 1, d32}));
    assert_true(tls_pin_is_usable(&(struct tls_pin){2, 0, 2, d64}));
    assert_true(tls_pin_is_usable(&(struct tls_pin){3, 0, 0, d64}));
    assert_false(tls_pin_is_usable(&(struct tls_pin){0, 1, 1, d32}));
    assert_false(tls_pin_is_usable(&(struct tls_pin){1, 1, 1, d32}));
    assert_false(tls_pin_is_usable(&(struct tls_pin){4, 1, 1, d32}));
    assert_false(tls_pin_is_usable(&(struct tls_pin){3, 2, 1, d32}));
    assert_false(tls_pin_is_usable(&(struct tls_pin){3, 1, 3, d32}));
    assert_false(tls_pin_is_usable(&(struct tls_pin){3, 1, 1, d64}));
    assert_false(tls_pin_is_usable(&(struct tls_pin){3, 1, 2, d32}));
    assert_false(tls_pin_is_usable(&(struct tls_pin){3, 1, 0, none}));
}

static void distrusts(void **state) {
    struct kit *k = *state;
    struct tls_facts facts;
    struct link l;
    struct tls_context *client =
        tls_client_new(NULL, NULL); // the system's store has not heard of our authority
    assert_non_null(client);
    link_open(&l, k->server, client, "mx.example", TLS_VERIFY);
    assert_int_equal(l.client_result, TLS_FAILED);
    assert_non_null(strstr(l.client_err.text, "certificate"));
    assert_int_equal(l.server_result, TLS_FAILED); // it was told
    link_close(&l);
    link_open(&l, k->server, client, "mx.example", TLS_ANY);
    assert_int_equal(l.client_result, TLS_DONE);
    tls_get_facts(l.client, &facts);
    assert_false(facts.verified);
    assert_true(facts.why_not[0]);
    link_close(&l);
    tls_context_free(&client);

    struct pem_pair old;
    pem_make(&old, k->pem.dir, "old", "mx.example", "DNS:mx.example", &k->pem.authority, -1);
    struct tls_context *server =
        tls_server_new(&(struct tls_server_options){.certificate = old.certificate_path, .key = old.key_path}, NULL);
    link_open(&l, server, k->client, "mx.example", TLS_VERIFY);
    assert_non_null(strstr(l.client_err.text, "expired"));
    link_close(&l);
    tls_context_free(&server);
    pem_release(&old);
}

static void moves_bytes(void **state) {
    struct kit *k = *state;
    struct link l;
    struct err err;
    size_t put, got;
    char text[64];
    link_open(&l, k->server, k->client, NULL, TLS_ANY);
    assert_int_equal(tls_read(l.server, text, sizeof text, &got, &err), TLS_WANT_READ);
    assert_int_equal(tls_write(l.client, BYTES("hello"), &put, &err), TLS_DONE);
    assert_int_equal(put, 5);
    assert_int_equal(tls_read(l.server, text, 3, &got, &err), TLS_DONE);
    assert_int_equal(got, 3);
    assert_true(tls_has_pending(l.server));
    assert_int_equal(tls_read(l.server, text, sizeof text, &got, &err), TLS_DONE);
    assert_int_equal(got, 2);
    assert_false(tls_has_pending(l.server));
    assert_int_equal(tls_bye(l.client), TLS_DONE);
    assert_int_equal(tls_bye(l.client), TLS_DONE);
    assert_int_equal(tls_read(l.server, text, sizeof text, &got, &err), TLS_CLOSED);
    assert_int_equal(tls_read(l.server, text, sizeof text, &got, &err), TLS_CLOSED);
    link_close(&l);
}

static void ends_without_goodbye(void **state) {
    struct kit *k = *state;
    struct link l;
    struct err err;
    size_t got, put;
    char text[64];
    link_open(&l, k->server, k->client, NULL, TLS_ANY);
    shutdown(l.fds[1], SHUT_RDWR);
    assert_int_equal(tls_read(l.server, text, sizeof text, &got, &err), TLS_CLOSED);
    assert_int_equal(tls_write(l.server, BYTES("x"), &put, &err), TLS_CLOSED);
    assert_non_null(strstr(err.text, "TLS write"));
    assert_int_equal(tls_bye(l.server), TLS_FAILED);
    link_close(&l);
    link_open(&l, k->server, k->client, NULL, TLS_ANY);
    assert_int_equal(write(l.fds[1], "\x17\x03\x03\x00\x10garbagegarbageg.", 21), 21);
    assert_int_equal(tls_read(l.server, text, sizeof text, &got, &err), TLS_FAILED);
    assert_int_equal(tls_bye(l.server), TLS_FAILED);
    link_close(&l);
}

static void garbage_for_a_handshake(void **state) {
    struct kit *k = *state;
    static const struct bytes rows[] = {
        {"EHLO x\r\nMAIL FROM:<>\r\n", 22}, {"GET / HTTP/1.0\r\n\r\n", 18}, {"\x16\x03\x01\x00\x00zzzz", 9}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int fds[2];
        struct err err = {""};
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
        struct tls_session *s = tls_accept(k->server, fds[0]);
        assert_int_equal(tls_handshake(s, &err), TLS_WANT_READ);
        assert_int_equal(write(fds[1], rows[i].at, rows[i].len), rows[i].len);
        close(fds[1]);
        assert_int_equal(tls_handshake(s, &err), TLS_FAILED);
        assert_non_null(strstr(err.text, "TLS handshake: "));
        tls_session_free(&s);
        close(fds[0]);
    }
}

static void server_refuses(const char *certificate, const char *key, const char *client_ca, const char *why) {
    struct err err = {""};
    assert_null(tls_server_new(&(struct tls_server_options){.certificate = certificate, .key = key, .client_ca = client_ca}, &err));
    if (!strstr(err.text, why)) fail_msg("%s", err.text);
}

static void bad_files(void **state) {
    struct kit *k = *state;
    const char *certificate = k->pem.server.certificate_path, *key = k->pem.server.key_path;
    server_refuses("/nonexistent.pem", key, NULL, "/nonexistent.pem: certificate: No such file");
    server_refuses(certificate, "/nonexistent.key", NULL, "/nonexistent.key: private key: No such file");
    server_refuses(key, key, NULL, "certificate: ");
    server_refuses(certificate, certificate, NULL, "private key: ");
    server_refuses(certificate, k->pem.authority.key_path, NULL, "is not the key of the certificate");
    server_refuses(certificate, key, "/nonexistent.pem", "/nonexistent.pem: certificates of client");
    struct err err = {""};
    assert_null(tls_client_new("/nonexistent.pem", &err));
    assert_non_null(strstr(err.text, "/nonexistent.pem: trusted certificates: No such file"));
    assert_null(tls_client_new(key, &err));

    // A key behind a passphrase must not make us ask on the terminal.
    char path[64];
    snprintf(path, sizeof path, "%s/locked.key", k->pem.dir);
    FILE *f = fopen(path, "w");
    assert_int_equal(
        PEM_write_PKCS8PrivateKey(f, k->pem.server.key, EVP_aes_128_cbc(), "secret", 6, NULL, NULL), 1);
    fclose(f);
    server_refuses(certificate, path, NULL, "private key");
    unlink(path);
}

static void context_outlived(void **state) {
    struct kit *k = *state;
    struct link l;
    struct tls_context *client = tls_client_new(k->pem.authority.certificate_path, NULL);
    link_open(&l, k->server, client, "mx.example", TLS_VERIFY);
    tls_context_free(&client); // a session keeps what it needs
    struct err err;
    size_t put, got;
    char text[8];
    assert_int_equal(tls_write(l.client, BYTES("hello"), &put, &err), TLS_DONE);
    assert_int_equal(tls_read(l.server, text, sizeof text, &got, &err), TLS_DONE);
    link_close(&l);
}

static void copy(const char *from, const char *to) {
    char text[16384];
    FILE *in = fopen(from, "r"), *out = fopen(to, "w");
    assert_non_null(in);
    assert_non_null(out);
    size_t size = fread(text, 1, sizeof text, in);
    assert_in_range(size, 1, sizeof text - 1);
    assert_int_equal(fwrite(text, 1, size, out), size);
    fclose(in);
    fclose(out);
}

static enum tls_result verified_by(struct kit *k, struct tls_context *client) {
    struct link l;
    link_open(&l, k->server, client, "mx.example", TLS_VERIFY);
    enum tls_result result = l.client_result;
    link_close(&l);
    return result;
}

// What is lent from the context before must not outlive its file.
static void roots_are_renewed_with_their_file(void **state) {
    struct kit *k = *state;
    char roots[64], next[64];
    snprintf(roots, sizeof roots, "%s/roots.pem", k->pem.dir);
    snprintf(next, sizeof next, "%s/next.pem", k->pem.dir);
    copy(k->pem.authority.certificate_path, roots);
    struct tls_context *first = tls_client_new(roots, NULL), *second = tls_client_renew(first, roots, NULL);
    assert_non_null(second);
    tls_context_free(&first); // the roots stay
    assert_int_equal(verified_by(k, second), TLS_DONE);
    copy(k->pem.server.certificate_path, next); // a certificate, but no authority's
    assert_int_equal(rename(next, roots), 0);
    struct tls_context *third = tls_client_renew(second, roots, NULL);
    assert_non_null(third);
    assert_int_equal(verified_by(k, third), TLS_FAILED);
    assert_int_equal(verified_by(k, second), TLS_DONE);
    struct tls_context *other = tls_client_renew(third, k->pem.authority.certificate_path, NULL); // another file
    assert_non_null(other);
    assert_int_equal(verified_by(k, other), TLS_DONE);
    assert_int_equal(unlink(roots), 0);
    assert_null(tls_client_renew(third, roots, NULL)); // as on a first start
    tls_context_free(&second);
    tls_context_free(&third);
    tls_context_free(&other);
}

static void old_protocols_are_refused(void **state) {
    struct kit *k = *state;
    SSL_CTX *old = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(old, 0);
    for (int version = TLS1_VERSION; version <= TLS1_3_VERSION; version++) {
        int fds[2];
        struct err err = {""};
        enum tls_result result = TLS_WANT_READ;
        SSL_CTX_set_min_proto_version(old, version);
        SSL_CTX_set_max_proto_version(old, version);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
        struct tls_session *s = tls_accept(k->server, fds[0]);
        SSL *ssl = SSL_new(old);
        SSL_set_fd(ssl, fds[1]);
        for (int i = 0; i < 4 && result != TLS_FAILED; i++) {
            (void)!SSL_connect(ssl);
            result = tls_handshake(s, &err);
        }
        assert_int_equal(result, version >= TLS1_2_VERSION ? TLS_DONE : TLS_FAILED);
        SSL_free(ssl);
        tls_session_free(&s);
        close(fds[0]);
        close(fds[1]);
    }
    SSL_CTX_free(old);
}

static void client_certificates(void **state) {
    struct kit *k = *state;
    struct pem_pair good, stranger;
    pem_make(&good, k->pem.dir, "good", "client.example", NULL, &k->pem.authority, 5);
    pem_make(&stranger, k->pem.dir, "stranger", "bad\ncn", NULL, NULL, 5);
    struct tls_context *server =
        tls_server_new(&(struct tls_server_options){.certificate = k->pem.server.certificate_path, .key = k->pem.server.key_path, .client_ca = k->pem.authority.certificate_path},
                       NULL);
    assert_non_null(server);
    struct pem_pair *const shown[] = {&good, &stranger, NULL};
    for (int i = 0; i < 3; i++) {
        int fds[2];
        struct err err = {""};
        struct tls_facts facts;
        enum tls_result result = TLS_WANT_READ;
        SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
        if (shown[i]) {
            SSL_CTX_use_certificate(ctx, shown[i]->certificate);
            SSL_CTX_use_PrivateKey(ctx, shown[i]->key);
        }
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
        struct tls_session *s = tls_accept(server, fds[0]);
        SSL *ssl = SSL_new(ctx);
        SSL_set_fd(ssl, fds[1]);
        for (int round = 0; round < 5 && result == TLS_WANT_READ; round++) {
            (void)!SSL_connect(ssl);
            result = tls_handshake(s, &err);
        }
        assert_int_equal(result, TLS_DONE);
        tls_get_facts(s, &facts);
        assert_int_equal(facts.verified, i == 0);
        assert_string_equal(facts.peer_name, i == 0 ? "client.example" : i == 1 ? "bad?cn" : "");
        assert_int_equal(facts.why_not[0] != 0, i == 1);
        SSL_free(ssl);
        SSL_CTX_free(ctx);
        tls_session_free(&s);
        close(fds[0]);
        close(fds[1]);
    }
    tls_context_free(&server);
    pem_release(&good);
    pem_release(&stranger);
}

static void shows_who_fits_the_name(void **state) {
    struct kit *k = *state;
    struct pem_pair ann, wild, more;
    pem_make(&ann, k->pem.dir, "ann", "Ann", "DNS:ANN.example,DNS:a.shared.example", &k->pem.authority, 5);
    pem_make(&wild, k->pem.dir, "wild", "Wild", "DNS:*.shared.example,DNS:mx.example", &k->pem.authority, 5);
    pem_make(&more, k->pem.dir, "more", "old.example", NULL, &k->pem.authority, 5); // its subject is all it has
    struct tls_pair pairs[] = {{wild.certificate_path, wild.key_path}, {ann.certificate_path, ann.key_path}, {more.certificate_path, more.key_path}};
    struct tls_server_options options = {.certificate = k->pem.server.certificate_path, .key = k->pem.server.key_path, .more = pairs, .more_count = 3};
    struct err err = {""};
    struct tls_context *server = tls_server_new(&options, &err);
    if (!server) fail_msg("%s", err.text);
    static const struct {
        const char *said, *shown;
    } rows[] = {
        {"ann.example", "Ann"},           {"Ann.EXAMPLE.", "Ann"},      {"a.shared.example", "Ann"}, // by itself before by a wildcard
        {"b.shared.example", "Wild"},     {"mx.example", "mx.example"}, // of two the first
        {"a.b.shared.example", "mx.example"}, {"shared.example", "mx.example"}, {"x.wild.example", "mx.example"},
        {"old.example", "old.example"},   {"nobody.example", "mx.example"}, {"192.0.2.1", "mx.example"}, {NULL, "mx.example"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct link l;
        struct tls_facts facts;
        link_open(&l, server, k->client, rows[i].said, TLS_ANY);
        assert_int_equal(l.client_result, TLS_DONE);
        tls_get_facts(l.client, &facts);
        if (strcmp(facts.peer_name, rows[i].shown) != 0) fail_msg("%s is shown %s", rows[i].said ? rows[i].said : "nobody", facts.peer_name);
        link_close(&l);
    }
    // A handshake under way when a reload lets go of the context ends as it began.
    struct link l = {.server_err = {""}};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, l.fds), 0);
    l.server = tls_accept(server, l.fds[0]);
    tls_context_free(&server);
    l.client = tls_connect(k->client, l.fds[1], &(struct tls_peer){.host = "ann.example", .demand = TLS_VERIFY});
    for (int i = 0; i < 10; i++) {
        l.client_result = tls_handshake(l.client, &l.client_err);
        l.server_result = tls_handshake(l.server, &l.server_err);
    }
    assert_int_equal(l.client_result, TLS_DONE);
    link_close(&l);
    pairs[1].key = wild.key_path;
    assert_null(tls_server_new(&options, &err));
    assert_non_null(strstr(err.text, "is not the key of the certificate"));
    pem_release(&ann);
    pem_release(&wild);
    pem_release(&more);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verifies),
        cmocka_unit_test(matches_pins),
        cmocka_unit_test(knows_usable_pins),
        cmocka_unit_test(distrusts),
        cmocka_unit_test(moves_bytes),
        cmocka_unit_test(ends_without_goodbye),
        cmocka_unit_test(garbage_for_a_handshake),
        cmocka_unit_test(bad_files),
        cmocka_unit_test(context_outlived),
        cmocka_unit_test(roots_are_renewed_with_their_file),
        cmocka_unit_test(old_protocols_are_refused),
        cmocka_unit_test(client_certificates),
        cmocka_unit_test(shows_who_fits_the_name),
    };
    return cmocka_run_group_tests(tests, kit_setup, kit_teardown);
}
