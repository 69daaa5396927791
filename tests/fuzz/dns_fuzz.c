// SPDX-License-Identifier: MIT
// Any bytes as a DNS message. The first byte chooses the type asked for; the name is taken from the message's own
// question, so that the parser gets past its first check.
#include "net/dns.h"

#include <arpa/nameser.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void touch(const struct dns_answer *a, enum dns_type type) {
    size_t sum = strlen(a->why) + a->ttl_s;
    for (size_t i = 0; i < a->count; i++) {
        const struct dns_record *r = &a->records[i];
        if (type == DNS_MX) sum += strlen(r->mx.host);
        if (type == DNS_CNAME || type == DNS_PTR) sum += strlen(r->name);
        if (type == DNS_TXT) sum += (size_t)bytes_hash(r->text);
        if (type == DNS_TLSA) sum += (size_t)bytes_hash(r->tlsa.data);
    }
    if (a->status == DNS_OK ? !a->count : a->count > 0) abort();
    if (a->status == DNS_TEMPORARY && !a->why[0]) abort();
    __asm__ volatile("" : : "r"(sum));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const enum dns_type types[] = {DNS_A, DNS_AAAA, DNS_MX, DNS_TXT, DNS_CNAME, DNS_PTR, DNS_TLSA};
    if (!size) return 0;
    enum dns_type type = types[data[0] % (sizeof types / sizeof types[0])];
    struct bytes message = bytes_range(data + 1, size - 1);
    char name[NS_MAXDNAME] = "example.com";
    if (size > 13) {
        const uint8_t *base = data + 1, *end = data + size;
        if (ns_name_uncompress(base, end, base + 12, name, sizeof name) < 0) strcpy(name, "example.com");
    }
    struct arena arena = {0};
    struct dns_answer answer;
    dns_parse(&arena, message, name, type, &answer);
    touch(&answer, type);
    arena_release(&arena);
    return 0;
}
