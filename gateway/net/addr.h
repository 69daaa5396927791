// SPDX-License-Identifier: MIT
// addr: an IP address with a port, or a unix socket path; networks of addresses.
//
// Values: copy them freely, nothing to release, any thread. Parsing is strict and asks nobody; a text that is no address fails, and the
// words say what would be one.
#pragma once

#include "base/bytes.h"
#include "base/err.h"

#include <sys/socket.h>

struct addr {
    struct sockaddr_storage sa;
    socklen_t len; // 0: none
};

enum { ADDR_TEXT = 128 };
// "127.0.0.1:2525", "[::1]:25", "127.0.0.1" (port 0), "::1", "unix:/run/x"; no names, no DNS.
bool addr_parse(struct bytes text, struct addr *out, struct err *err);
bool addr_from_ip(int family, const void *ip, uint16_t port, struct addr *out); // AF_INET: 4 bytes, AF_INET6: 16
void addr_text(const struct addr *a, char out[ADDR_TEXT]);    // with port: "127.0.0.1:25", "[::1]:25"
void addr_ip_text(const struct addr *a, char out[ADDR_TEXT]); // without port; an IPv4-mapped address as IPv4; a unix path as is
uint16_t addr_port(const struct addr *a);
void addr_set_port(struct addr *a, uint16_t port);
int addr_family(const struct addr *a);
bool addr_same_ip(const struct addr *a, const struct addr *b); // IPv4-mapped equals IPv4; unix: the same path
bool addr_is_loopback(const struct addr *a);                   // true of a unix socket too: it cannot leave the machine
// Neither loopback nor private, link-local, shared (RFC 6598), multicast, reserved or unspecified; false of a unix socket.
bool addr_is_public(const struct addr *a);

enum { ADDR_REVERSE = 80 };
// Where DNS has the PTR of an IP address given as text (RFC 1035 3.5, RFC 3596 2.5); false: it is none.
bool addr_reverse(const char *ip, char name[ADDR_REVERSE]);

struct network {
    struct addr base;
    int bits;
};
// "10.0.0.0/8", "2001:db8::/32", a bare address; not "10.0.0.1/8", which is more likely a slip than a wish.
bool network_parse(struct bytes text, struct network *out, struct err *err);
bool network_has(const struct network *n, const struct addr *a);             // IPv4-mapped IPv6 matches IPv4 networks
