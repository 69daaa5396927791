// SPDX-License-Identifier: MIT
// tls: TLS contexts for both roles, and one TLS session on a descriptor. [OpenSSL]
//
// Contexts are made once and shared by all workers; a live session keeps what it needs of its own, so a certificate
// reload may free them under it. TLS 1.2 and newer. Sessions sit directly on the socket. Used by conn only; others
// hold contexts and read facts.
#pragma once

#include "base/bytes.h"
#include "base/err.h"

struct tls_context;
struct tls_session;

// Server: certificate chain and key in PEM files. client_ca: ask for client certificates signed by it (NULL: do not ask); one
// that does not verify neither fails the handshake nor decides anything: the facts say so.
//
// A client that says to which name it connects (SNI, RFC 6066 section 3) is shown the first certificate of all that has this name, else the first
// that has the wildcard right above it; `certificate` where none has, or no name is said.
struct tls_pair {
    const char *certificate, *key;
};
struct tls_server_options {
    const char *certificate, *key;
    const char *client_ca;
    const struct tls_pair *more;
    size_t more_count;
};
struct tls_context *tls_server_new(const struct tls_server_options *options, struct err *err);

// Client: ca_file NULL = the system's store. One context serves all demands; the demand is per session.
struct tls_context *tls_client_new(const char *ca_file, struct err *err);
// The same, with the roots of `was` (NULL: none) while their file is what it was then: to read a system's takes 30 ms.
struct tls_context *tls_client_renew(const struct tls_context *was, const char *ca_file, struct err *err);
void tls_context_free(struct tls_context **context); // any thread

// A TLSA record (RFC 6698 section 2.1): which certificate or key a peer shows, as its domain has published.
struct tls_pin {
    uint8_t usage, selector, matching;
    struct bytes data;
};
// One that mail goes by: usages 2 and 3 (RFC 7672 section 3.1), and nothing in it that is unknown here.
bool tls_pin_is_usable(const struct tls_pin *pin);

// How much a client session demands of the peer's certificate.
enum tls_demand {
    TLS_ANY,    // any certificate
    TLS_VERIFY, // chain to a trusted root and the host's name (RFC 6125)
    TLS_MATCH,  // one of the pins, by which alone it is judged (RFC 7672 section 3)
};
struct tls_peer { // read by tls_connect only
    // For SNI and name check, a name (A-labels) or an IP address; NULL gives neither, and TLS_VERIFY and TLS_MATCH then fail.
    const char *host;
    enum tls_demand demand;
    const struct tls_pin *pins; // TLS_MATCH; those that are not usable are passed over, where none is the handshake fails
    size_t pin_count;
    const char *domain; // TLS_MATCH: the other name that a certificate below a pinned authority may have (RFC 7672 section 3.2.2); NULL
};

struct tls_facts {       // texts live as long as the session
    const char *version; // "TLSv1.3"
    const char *cipher;  // "TLS_AES_256_GCM_SHA384"
    bool verified;       // chain and name held, or a pin
    char peer_name[256]; // the subject's common name, "" where there is no certificate
    char peer_sha256[65]; // hex of the peer certificate's fingerprint, ""
    char why_not[160];   // why it did not verify, ""
};

struct tls_session *tls_accept(struct tls_context *context, int fd);
struct tls_session *tls_connect(struct tls_context *context, int fd, const struct tls_peer *peer);

enum tls_result { TLS_DONE, TLS_WANT_READ, TLS_WANT_WRITE, TLS_CLOSED, TLS_FAILED };
enum tls_result tls_handshake(struct tls_session *s, struct err *err);
enum tls_result tls_read(struct tls_session *s, void *into, size_t size, size_t *got, struct err *err);
// CLOSED: the peer takes no more; what it sent before may still be there to read.
enum tls_result tls_write(struct tls_session *s, struct bytes what, size_t *put, struct err *err);
bool tls_has_pending(const struct tls_session *s); // bytes wait inside: read without waiting for the socket
enum tls_result tls_bye(struct tls_session *s);    // sends close_notify, once: DONE, WANT_WRITE or FAILED
void tls_get_facts(const struct tls_session *s, struct tls_facts *out);
void tls_session_free(struct tls_session **s); // says bye where it can without waiting
