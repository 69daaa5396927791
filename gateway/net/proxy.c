// SPDX-License-Identifier: MIT
#include "net/proxy.h"

#include <netinet/in.h>
#include <sys/un.h>

enum {
    V1_MAX = 107, // with CRLF (specification, section 2.1)
    V2_HEAD = 16, // signature, version and command, family, length
    UNIX_PATH = 108,
};

static const struct bytes signature = {"\r\n\r\n\0\r\nQUIT\n", 12};

static enum proxy_result bad(struct err *err, const char *why) {
    err_set(err, "PROXY header: %s", why);
    return PROXY_BAD;
}

// ---- version 1: a line of text ----

static bool v1_address(int family, struct bytes ip, struct bytes port, struct addr *out) {
    uint64_t number;
    struct bytes colon = BYTES(":");
    // addr_parse would take a port or brackets of its own, so these are looked for first.
    if (family == AF_INET && bytes_search(ip, colon) >= 0) return false;
    if (bytes_starts(ip, BYTES("[")) || !addr_parse(ip, out, NULL) || addr_family(out) != family)
        return false;
    if (port.len == 0 || port.len > 5 || (port.len > 1 && port.at[0] == '0')) return false;
    if (!bytes_to_u64(port, &number) || number > 65535) return false;
    addr_set_port(out, (uint16_t)number);
    return true;
}

static enum proxy_result v1_line(struct bytes line, struct addr *peer, struct addr *local, struct err *err) {
    struct bytes kind = bytes_cut(&line, ' ');
    if (bytes_equal(kind, BYTES("UNKNOWN"))) return PROXY_DONE; // whatever follows it
    int family = bytes_equal(kind, BYTES("TCP4")) ? AF_INET : bytes_equal(kind, BYTES("TCP6")) ? AF_INET6 : 0;
    if (!family) return bad(err, "an unknown protocol");
    struct bytes from_ip = bytes_cut(&line, ' '), to_ip = bytes_cut(&line, ' '),
                 from_port = bytes_cut(&line, ' ');
    struct addr from, to; // the last port is all that is left of the line, spaces and all
    if (!v1_address(family, from_ip, from_port, &from) || !v1_address(family, to_ip, line, &to))
        return bad(err, "an address or a port is malformed");
    *peer = from;
    *local = to;
    return PROXY_DONE;
}

static enum proxy_result v1(struct bytes in, size_t *used, struct addr *peer, struct addr *local,
                            struct err *err) {
    struct bytes front = bytes_first(in, V1_MAX);
    ptrdiff_t lf = bytes_find(front, '\n');
    if (lf < 0) return in.len < V1_MAX ? PROXY_MORE : bad(err, "the line does not end");
    if (lf < 1 || front.at[lf - 1] != '\r') return bad(err, "the line does not end in CRLF");
    size_t head = strlen("PROXY ");
    struct bytes line = bytes_range(in.at + head, (size_t)lf - 1 - head);
    if (bytes_find(line, '\r') >= 0 || bytes_find(line, 0) >= 0)
        return bad(err, "a control character in the line");
    enum proxy_result result = v1_line(line, peer, local, err);
    if (result == PROXY_DONE) *used = (size_t)lf + 1;
    return result;
}

// ---- version 2: binary ----

static void unix_address(const char *path, struct addr *out) {
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    memcpy(sun.sun_path, path, sizeof sun.sun_path < UNIX_PATH ? sizeof sun.sun_path : UNIX_PATH);
    *out = (struct addr){.len = sizeof sun};
    memcpy(&out->sa, &sun, sizeof sun);
}

static bool v2_addresses(int family, struct bytes body, struct addr *peer, struct addr *local) {
    const char *p = body.at;
    switch (family) {
    case 1:
        if (body.len < 12) return false;
        addr_from_ip(AF_INET, p, get_be16(p + 8), peer);
        addr_from_ip(AF_INET, p + 4, get_be16(p + 10), local);
        return true;
    case 2:
        if (body.len < 36) return false;
        addr_from_ip(AF_INET6, p, get_be16(p + 32), peer);
        addr_from_ip(AF_INET6, p + 16, get_be16(p + 34), local);
        return true;
    case 3:
        if (body.len < 2 * UNIX_PATH) return false;
        unix_address(p, peer);
        unix_address(p + UNIX_PATH, local);
        return true;
    default: // unspecified: the receiver keeps what its socket says
        return true;
    }
}

static enum proxy_result v2(struct bytes in, size_t *used, struct addr *peer, struct addr *local,
                            struct err *err) {
    if (in.len < V2_HEAD) return PROXY_MORE;
    int version = (uint8_t)in.at[12] >> 4, command = in.at[12] & 15, family = (uint8_t)in.at[13] >> 4;
    int transport = in.at[13] & 15;
    size_t length = get_be16(in.at + 14);
    if (version != 2 || command > 1) return bad(err, "an unknown version or command");
    // LOCAL (0) is the balancer's own, a health check: what it says of addresses is not looked at.
    if (command == 1 && (family > 3 || transport > 1)) return bad(err, "not of a stream over IP or unix");
    if (V2_HEAD + length > PROXY_MAX) return bad(err, "too long");
    if (in.len < V2_HEAD + length) return PROXY_MORE;
    bool proxied = command == 1 && transport == 1;
    if (proxied && !v2_addresses(family, bytes_range(in.at + V2_HEAD, length), peer, local))
        return bad(err, "too short for its addresses");
    *used = V2_HEAD + length;
    return PROXY_DONE;
}

enum proxy_result proxy_parse(struct bytes in, size_t *used, struct addr *peer, struct addr *local,
                              struct err *err) {
    struct bytes text = BYTES("PROXY ");
    *used = 0;
    *peer = *local = (struct addr){0};
    if (bytes_starts(in, text)) return v1(in, used, peer, local, err);
    if (bytes_starts(in, signature)) return v2(in, used, peer, local, err);
    if (bytes_starts(text, in) || bytes_starts(signature, in)) return PROXY_MORE; // "" too
    return bad(err, "there is none");
}
