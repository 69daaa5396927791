// SPDX-License-Identifier: MIT
// certificate: what a certificate file has to say to those who connect: for whom, until when, by whom.
// [OpenSSL]
//
// For checks, not for connections (tls.h): the first certificate of the file is looked at as a client would,
// with the others as its chain.
#pragma once

#include "base/bytes.h"
#include "base/err.h"

struct certificate {
    int64_t from_s, until_s; // when it is good, since 1970
    bool names_host;         // RFC 6125, wildcards included; true where host is NULL
    bool self_signed;
    bool trusted;      // chains to a root
    char why_not[128]; // it is not trusted; "" where it is. The time is judged by until_s, not here
    char names[256];   // the DNS names in it, joined by ", ", cut
    char issuer[128];
};

// ca: PEM file of roots, NULL: the system's.
must_use bool certificate_look(const char *file, const char *host, const char *ca, struct certificate *out,
                               struct err *err);
// The names it is for, each in lower case: the DNS names, or where it has no alternative names at all the subject's (RFC 6125 6.4.4). What
// is no name of a host, or of all hosts right below one ("*.example.org"), is passed over.
must_use bool certificate_names(const char *file, void (*name)(void *arg, struct bytes name), void *arg, struct err *err);
