// SPDX-License-Identifier: MIT
#include "net/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/un.h>

static const struct sockaddr_in *v4(const struct addr *a) {
    return (const struct sockaddr_in *)&a->sa;
}
static const struct sockaddr_in6 *v6(const struct addr *a) {
    return (const struct sockaddr_in6 *)&a->sa;
}
static const struct sockaddr_un *un(const struct addr *a) {
    return (const struct sockaddr_un *)&a->sa;
}

// The address bits as IPv4 where they are IPv4 in any dress; the count of bytes, 0 where it is not an IP
// address.
static int ip_bytes(const struct addr *a, uint8_t out[16]) {
    if (addr_family(a) == AF_INET) {
        memcpy(out, &v4(a)->sin_addr, 4);
        return 4;
    }
    if (addr_family(a) != AF_INET6) return 0;
    if (IN6_IS_ADDR_V4MAPPED(&v6(a)->sin6_addr)) {
        memcpy(out, v6(a)->sin6_addr.s6_addr + 12, 4);
        return 4;
    }
    memcpy(out, &v6(a)->sin6_addr, 16);
    return 16;
}

static bool parse_unix(struct bytes path, struct addr *out, struct err *err) {
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    if (path.len == 0 || path.at[0] != '/')
        return err_set(err, "'unix:%.*s': a unix socket needs an absolute path", BYTES_FMT(path));
    if (path.len >= sizeof sun.sun_path)
        return err_set(err, "'unix:%.40s...': a unix socket's path has at most %zu bytes", path.at,
                       sizeof sun.sun_path - 1);
    if (bytes_find(path, 0) >= 0) return err_set(err, "a unix socket's path with a NUL byte in it");
    memcpy(sun.sun_path, path.at, path.len);
    *out = (struct addr){.len = sizeof sun};
    memcpy(&out->sa, &sun, sizeof sun);
    return true;
}

static bool parse_ip(struct bytes text, uint16_t port, struct addr *out) {
    char z[INET6_ADDRSTRLEN + 1];
    uint8_t ip[16];
    if (text.len == 0 || text.len >= sizeof z || bytes_find(text, 0) >= 0) return false;
    memcpy(z, text.at, text.len);
    z[text.len] = 0;
    int family = bytes_find(text, ':') >= 0 ? AF_INET6 : AF_INET;
    return inet_pton(family, z, ip) == 1 && addr_from_ip(family, ip, port, out);
}

static bool parse_port(struct bytes text, uint16_t *port) {
    uint64_t value;
    if (text.len > 5 || !bytes_to_u64(text, &value) || value > 65535) return false;
    *port = (uint16_t)value;
    return true;
}

// Cuts `text` into the part that is an IP address and its port, if it has one.
static bool split_port(struct bytes text, struct bytes *ip, uint16_t *port) {
    *port = 0;
    *ip = text;
    if (bytes_starts(text, BYTES("["))) {
        ptrdiff_t end = bytes_find(text, ']');
        if (end < 0) return false;
        *ip = bytes_range(text.at + 1, (size_t)end - 1);
        struct bytes rest = bytes_skip(text, (size_t)end + 1);
        if (bytes_find(*ip, ':') < 0) return false;
        return rest.len == 0 || (rest.at[0] == ':' && parse_port(bytes_skip(rest, 1), port));
    }
    ptrdiff_t colon = bytes_find(text, ':');
    if (colon < 0 || colon != bytes_find_last(text, ':')) return true;
    *ip = bytes_first(text, (size_t)colon);
    return parse_port(bytes_skip(text, (size_t)colon + 1), port);
}

bool addr_parse(struct bytes text, struct addr *out, struct err *err) {
    struct bytes ip;
    uint16_t port;
    if (bytes_starts(text, BYTES("unix:"))) return parse_unix(bytes_skip(text, 5), out, err);
    if (split_port(text, &ip, &port) && parse_ip(ip, port, out)) return true;
    return err_set(err, "'%.*s': not an address; write 127.0.0.1:25, [::1]:25 or unix:/path",
                   BYTES_FMT(bytes_first(text, 100)));
}

bool addr_from_ip(int family, const void *ip, uint16_t port, struct addr *out) {
    *out = (struct addr){0};
    if (family == AF_INET) {
        struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(port)};
        memcpy(&sin.sin_addr, ip, 4);
        memcpy(&out->sa, &sin, sizeof sin);
        out->len = sizeof sin;
    } else if (family == AF_INET6) {
        struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
        memcpy(&sin6.sin6_addr, ip, 16);
        memcpy(&out->sa, &sin6, sizeof sin6);
        out->len = sizeof sin6;
    }
    return out->len > 0;
}

// A unix address from the kernel may be unnamed or lack the NUL at the end of its path.
static struct bytes unix_path(const struct addr *a) {
    size_t head = offsetof(struct sockaddr_un, sun_path);
    size_t room = a->len > head ? a->len - head : 0;
    return bytes_range(un(a)->sun_path, strnlen(un(a)->sun_path, room));
}

void addr_text(const struct addr *a, char out[ADDR_TEXT]) {
    char ip[INET6_ADDRSTRLEN] = "";
    out[0] = 0;
    switch (addr_family(a)) {
    case AF_INET:
        inet_ntop(AF_INET, &v4(a)->sin_addr, ip, sizeof ip);
        snprintf(out, ADDR_TEXT, "%s:%u", ip, addr_port(a));
        break;
    case AF_INET6:
        inet_ntop(AF_INET6, &v6(a)->sin6_addr, ip, sizeof ip);
        snprintf(out, ADDR_TEXT, "[%s]:%u", ip, addr_port(a));
        break;
    case AF_UNIX:
        snprintf(out, ADDR_TEXT, "unix:%.*s", BYTES_FMT(unix_path(a)));
        break;
    }
}

void addr_ip_text(const struct addr *a, char out[ADDR_TEXT]) {
    uint8_t ip[16];
    out[0] = 0;
    int n = ip_bytes(a, ip);
    if (n)
        inet_ntop(n == 4 ? AF_INET : AF_INET6, ip, out, ADDR_TEXT);
    else if (addr_family(a) == AF_UNIX)
        snprintf(out, ADDR_TEXT, "%.*s", BYTES_FMT(unix_path(a)));
}

uint16_t addr_port(const struct addr *a) {
    int family = addr_family(a);
    return family == AF_INET ? ntohs(v4(a)->sin_port) : family == AF_INET6 ? ntohs(v6(a)->sin6_port) : 0;
}

void addr_set_port(struct addr *a, uint16_t port) {
    int family = addr_family(a);
    if (family == AF_INET)
        ((struct sockaddr_in *)&a->sa)->sin_port = htons(port);
    else if (family == AF_INET6)
        ((struct sockaddr_in6 *)&a->sa)->sin6_port = htons(port);
}

int addr_family(const struct addr *a) {
    return a->len ? a->sa.ss_family : AF_UNSPEC;
}

bool addr_same_ip(const struct addr *a, const struct addr *b) {
    uint8_t x[16], y[16];
    int n = ip_bytes(a, x), m = ip_bytes(b, y);
    if (n || m) return n == m && memcmp(x, y, (size_t)n) == 0;
    return addr_family(a) == AF_UNIX && addr_family(b) == AF_UNIX && bytes_equal(unix_path(a), unix_path(b));
}

bool addr_is_loopback(const struct addr *a) {
    static const uint8_t one[16] = {[15] = 1};
    uint8_t ip[16];
    int n = ip_bytes(a, ip);
    if (n == 4) return ip[0] == 127;
    return n == 16 ? memcmp(ip, one, 16) == 0 : addr_family(a) == AF_UNIX;
}

static bool is_public_v4(uint32_t ip) {
    static const struct {
        uint32_t base;
        int bits;
    } others[] = {{0x00000000, 8},  {0x0a000000, 8},  {0x64400000, 10}, {0x7f000000, 8},  {0xa9fe0000, 16},
                  {0xac100000, 12}, {0xc0000000, 24}, {0xc0a80000, 16}, {0xc6120000, 15}, {0xe0000000, 3}};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if ((ip ^ others[i].base) >> (32 - others[i].bits) == 0) return false;
    return true;
}

// What carries an IPv4 address inside is as public as that one: mapped, NAT64 (RFC 6052), 6to4 (RFC 3056).
static bool is_public_v6(const uint8_t ip[16]) {
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}, nat64[12] = {0, 0x64, 0xff, 0x9b},
                         zero[12] = {0};
    if (!memcmp(ip, mapped, 12) || !memcmp(ip, nat64, 12)) return is_public_v4(get_be32(ip + 12));
    if (ip[0] == 0x20 && ip[1] == 0x02) return is_public_v4(get_be32(ip + 2));
    bool local =
        (ip[0] & 0xfe) == 0xfc || (ip[0] == 0xfe && ip[1] & 0x80); // fc00::/7; fe80::/10 and fec0::/10
    return !local && ip[0] != 0xff && memcmp(ip, zero, 12) != 0;
}

bool addr_is_public(const struct addr *a) {
    if (addr_family(a) == AF_INET)
        return is_public_v4(ntohl(v4(a)->sin_addr.s_addr));
    if (addr_family(a) == AF_INET6)
        return is_public_v6(v6(a)->sin6_addr.s6_addr);
    return false;
}

static bool bits_equal(const uint8_t *a, const uint8_t *b, int bits) {
    int whole = bits / 8, rest = bits % 8;
    if (memcmp(a, b, (size_t)whole) != 0) return false;
    return rest == 0 || ((a[whole] ^ b[whole]) & (0xff00 >> rest) & 0xff) == 0;
}

// Bits behind the mask are most often a slip of the pen for another network: refused, with what it would have
// meant.
static bool network_is_clean(struct bytes text, const struct network *n, struct err *err) {
    uint8_t ip[16], masked[16] = {0};
    int len = ip_bytes(&n->base, ip);
    memcpy(masked, ip, (size_t)(n->bits / 8));
    if (n->bits % 8) masked[n->bits / 8] = (uint8_t)(ip[n->bits / 8] & 0xff00 >> n->bits % 8);
    if (memcmp(ip, masked, (size_t)len) == 0) return true;
    char meant[INET6_ADDRSTRLEN] = "";
    inet_ntop(len == 4 ? AF_INET : AF_INET6, masked, meant, sizeof meant);
    return err_set(err, "'%.*s': has bits behind its mask; is %s/%d meant?", BYTES_FMT(text), meant, n->bits);
}

bool network_parse(struct bytes text, struct network *out, struct err *err) {
    ptrdiff_t slash = bytes_find(text, '/');
    struct bytes ip = slash < 0 ? text : bytes_first(text, (size_t)slash);
    struct addr base;
    uint8_t raw[16];
    uint64_t bits = 0;
    bool ok = parse_ip(ip, 0, &base);
    uint64_t most = ok && addr_family(&base) == AF_INET ? 32 : 128;
    if (slash < 0)
        bits = most;
    else
        ok = ok && text.len - (size_t)slash <= 4 && bytes_to_u64(bytes_skip(text, (size_t)slash + 1), &bits);
    if (!ok || bits > most)
        return err_set(err, "'%.*s': not a network; write 10.0.0.0/8, 2001:db8::/32 or an address",
                       BYTES_FMT(bytes_first(text, 100)));
    if (most == 128 && bits >= 96 && ip_bytes(&base, raw) == 4) { // ::ffff:10.0.0.0/104
        addr_from_ip(AF_INET, raw, 0, &base);
        bits -= 96;
    }
    struct network made = {.base = base, .bits = (int)bits};
    if (addr_family(&base) == AF_INET6 && ip_bytes(&base, raw) == 4)
        return err_set(err, "'%.*s': too wide for an IPv4-mapped network", BYTES_FMT(text));
    if (!network_is_clean(text, &made, err)) return false;
    *out = made;
    return true;
}

bool network_has(const struct network *n, const struct addr *a) {
    uint8_t x[16], y[16];
    int len = ip_bytes(&n->base, x);
    return len && len == ip_bytes(a, y) && bits_equal(x, y, n->bits);
}

bool addr_reverse(const char *ip, char name[ADDR_REVERSE]) {
    uint8_t b[16];
    size_t at = 0;
    if (inet_pton(AF_INET, ip, b) == 1) {
        snprintf(name, ADDR_REVERSE, "%d.%d.%d.%d.in-addr.arpa", b[3], b[2], b[1], b[0]);
        return true;
    }
    if (inet_pton(AF_INET6, ip, b) != 1) return false;
    for (int i = 15; i >= 0; i--)
        at += (size_t)snprintf(name + at, ADDR_REVERSE - at, "%x.%x.", b[i] & 15, b[i] >> 4);
    snprintf(name + at, ADDR_REVERSE - at, "ip6.arpa");
    return true;
}
