// SPDX-License-Identifier: MIT
// The input, cut at LFs, is all the records that a hostile zone answers with, in the order they are asked
// for; the first byte chooses the family. However they read, the number of questions stays within the RFC's
// bounds.
#include "mail/spf.h"

#include "base/bug.h"

#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct zone {
    struct bytes rest;
    size_t asked;
    struct spf_record records[200];
};

static enum spf_found look(void *arg, const char *name, enum spf_type type, struct spf_answer *out) {
    struct zone *z = arg;
    bug_if(!name[0] || strlen(name) > 253 || z->asked >= 200);
    struct spf_record *r = &z->records[z->asked++];
    struct bytes line = bytes_cut(&z->rest, '\n');
    if (line.len == 0) return z->rest.len % 3 ? SPF_ABSENT : SPF_TROUBLE;
    r->text = line;
    memcpy(r->ip, line.at, line.len < 16 ? line.len : 16);
    // The same record many times is what a long list is, for A and MX; a TXT answer with two would only be an
    // error.
    static const struct spf_record many[12];
    *out = (struct spf_answer){r, 1};
    if (type == SPF_A && line.len % 5 == 0) *out = (struct spf_answer){many, 12};
    return SPF_FOUND;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    struct zone z = {.rest = bytes_range(data + 1, size - 1)};
    struct spf_asked asked = {.family = data[0] % 2 ? AF_INET6 : AF_INET,
                              .domain = "example.org",
                              .helo = "mail.example.org",
                              .look = look,
                              .arg = &z};
    if (data[0] & 2) asked.sender = BYTES("strong-bad.user@a.very.long.example.org");
    struct spf_verdict v;
    spf_check(&asked, &v);
    bug_if(v.result > SPF_PERMERROR || v.look_ups > 11);
    bug_if((v.result == SPF_TEMPERROR || v.result == SPF_PERMERROR) && !v.why[0]);
    return 0;
}
