// SPDX-License-Identifier: MIT
// spf: may this address send mail of that domain, by what the domain has published? (RFC 7208)
//
// No I/O and nothing kept: records are asked for through a callback, which answers before it returns. Bounded
// as the RFC has it: ten terms that need look-ups, ten hosts of an MX or PTR, two look-ups that find nothing;
// so a hostile zone costs some 120 questions at the most. "exp" is not fetched: the verdict is for an
// operator, who gets better words here. The macro "p" is "unknown".
#pragma once

#include "base/bytes.h"

enum spf_result { SPF_NONE, SPF_NEUTRAL, SPF_PASS, SPF_FAIL, SPF_SOFTFAIL, SPF_TEMPERROR, SPF_PERMERROR };
extern const char *const spf_result_name[]; // "none", ...

enum spf_type { SPF_A = 1, SPF_PTR = 12, SPF_MX = 15, SPF_TXT = 16, SPF_AAAA = 28 }; // the numbers of DNS
enum spf_found { SPF_FOUND, SPF_ABSENT, SPF_TROUBLE }; // trouble: nobody answers

struct spf_record {
    struct bytes text; // TXT: its strings joined; PTR and MX: the name
    uint8_t ip[16];    // A: the first four
};

struct spf_answer { // memory is the callback's, good until spf_check returns
    const struct spf_record *records;
    size_t count;
};

struct spf_asked {
    int family; // AF_INET (4 bytes of ip) or AF_INET6 (16)
    uint8_t ip[16];
    const char *domain;  // of the envelope sender, or the HELO name
    struct bytes sender; // "ann@example.org"; "" stands for postmaster@domain
    const char *helo;
    enum spf_found (*look)(void *arg, const char *name, enum spf_type type, struct spf_answer *out);
    void *arg;
};

struct spf_verdict {
    enum spf_result result;
    int look_ups;      // terms that needed one: ten are allowed
    char domain[256];  // whose record decided
    char term[256];    // the term that matched, "" where none did
    char record[1024]; // that of the domain asked about, cut; "" where there is none
    char why[256];     // of the errors: what is wrong, in words
};

void spf_check(const struct spf_asked *asked, struct spf_verdict *out);
