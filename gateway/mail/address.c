// SPDX-License-Identifier: MIT
#include "mail/address.h"

#include "base/utf8.h"

#include <arpa/inet.h>
#include <idn2.h>
#include <stdlib.h>

enum { DOMAIN_MAX = 255, MAILBOX_MAX = 254, LABEL_MAX = 63, NAME_MAX_DNS = 253 };

static bool is_alnum(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}
static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
static bool is_atext(char c) {
    return is_alnum(c) || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

// Length of the non-ASCII character in front; 0 where there is none that may stand in an address. The
// controls U+0080 to U+009F may not: terminals and logs obey them.
static size_t wide_step(struct bytes text) {
    size_t n = utf8_step(text);
    if (n < 2) return 0;
    if (n == 2 && (uint8_t)text.at[0] == 0xc2 && (uint8_t)text.at[1] < 0xa0) return 0;
    return n;
}

static bool fault_at(struct err *err, const char *where, struct bytes rest) {
    if (rest.len == 0) return err_set(err, "%s ends too early", where);
    uint8_t c = (uint8_t)rest.at[0];
    if (c >= 0x80 && !utf8_step(rest)) return err_set(err, "%s is not valid UTF-8", where);
    if (c <= ' ' || c >= 0x7f) return err_set(err, "character 0x%02x is not allowed in %s", c, where);
    return err_set(err, "character '%c' is not allowed in %s", c, where);
}

static bool take_quoted(struct bytes *rest, struct err *err) {
    *rest = bytes_skip(*rest, 1);
    while (rest->len && rest->at[0] != '"') {
        size_t wide = wide_step(*rest);
        if (wide) {
            *rest = bytes_skip(*rest, wide);
            continue;
        }
        if (rest->at[0] == '\\') *rest = bytes_skip(*rest, 1);
        if (rest->len == 0 || rest->at[0] < ' ' || rest->at[0] > '~')
            return fault_at(err, "the quoted local part", *rest);
        *rest = bytes_skip(*rest, 1);
    }
    if (rest->len == 0) return err_set(err, "the quoted local part has no closing quote");
    *rest = bytes_skip(*rest, 1);
    return true;
}

// Dots may stand anywhere: RFC 5321 has them between atoms only, but a mobile carrier of Japan gave out "a..b" and "a." for
// years, and people write there.
static bool take_local(struct bytes *rest, struct err *err) {
    size_t whole = rest->len;
    while (rest->len && rest->at[0] != '@') {
        size_t n = is_atext(rest->at[0]) || rest->at[0] == '.' ? 1 : wide_step(*rest);
        if (n == 0) return fault_at(err, "the local part", *rest);
        *rest = bytes_skip(*rest, n);
    }
    if (rest->len == 0) return err_set(err, "there is no @ and domain");
    return rest->len < whole || err_set(err, "the local part is empty");
}

// A last label of digits only is no top-level domain but an address whose brackets were forgotten.
static bool is_bare_ip(struct bytes domain) {
    ptrdiff_t dot = bytes_find_last(domain, '.');
    struct bytes last = bytes_skip(domain, (size_t)(dot + 1));
    for (size_t i = 0; i < last.len; i++)
        if (!is_digit(last.at[i])) return false;
    return last.len > 0;
}

static bool check_wide_domain(struct bytes domain, struct err *err) {
    bool start = true;
    for (struct bytes rest = domain; rest.len;) {
        size_t n = is_alnum(rest.at[0]) || rest.at[0] == '-' || rest.at[0] == '_' ? 1 : wide_step(rest);
        if (n == 0 && rest.at[0] != '.') return fault_at(err, "the domain", rest);
        if (n == 0 && start) return err_set(err, "the domain has an empty label");
        start = n == 0;
        rest = bytes_skip(rest, n ? n : 1);
    }
    return start ? err_set(err, "the domain is empty or ends with a dot") : true;
}

static bool check_ascii_domain(struct bytes domain, struct err *err) {
    if (domain_is_valid(domain)) return true;
    if (!check_wide_domain(domain, err)) return false; // words for what is wrong, where it is a character
    return err_set(err, "a label of the domain is over 63 octets or starts or ends with a hyphen");
}

static bool check_domain(struct address *a, struct err *err) {
    if (a->domain.len == 0) return err_set(err, "there is no domain behind the @");
    if (a->domain.len > DOMAIN_MAX) return err_set(err, "the domain is longer than %d octets", DOMAIN_MAX);
    if (a->domain.at[0] == '[') {
        int family;
        uint8_t ip[16];
        a->literal = true;
        return domain_literal_ip(a->domain, &family, ip) ||
               err_set(err, "the address literal is neither [192.0.2.1] nor [IPv6:2001:db8::1]");
    }
    if (!utf8_is_ascii(a->domain)) return check_wide_domain(a->domain, err);
    if (!check_ascii_domain(a->domain, err)) return false;
    return !is_bare_ip(a->domain) || err_set(err, "an IP address in place of a domain needs brackets");
}

bool address_parse(struct bytes mailbox, struct address *out, struct err *err) {
    if (mailbox.len == 0) return err_set(err, "the address is empty");
    struct bytes rest = mailbox;
    if (!(rest.at[0] == '"' ? take_quoted(&rest, err) : take_local(&rest, err))) return false;
    struct address a = {.local = bytes_first(mailbox, mailbox.len - rest.len)};
    if (rest.len == 0) return err_set(err, "there is no @ and domain");
    if (rest.at[0] != '@') return fault_at(err, "the place of the @", rest);
    a.domain = bytes_skip(rest, 1);
    if (!check_domain(&a, err)) return false;
    if (mailbox.len > MAILBOX_MAX) return err_set(err, "the address is longer than %d octets", MAILBOX_MAX);
    a.utf8 = !utf8_is_ascii(mailbox);
    *out = a;
    return true;
}

static void add_lower(struct buf *out, struct bytes text) {
    buf_reserve(out, text.len);
    for (size_t i = 0; i < text.len; i++)
        out->at[out->len++] = byte_lower(text.at[i]);
}

// libidn2 lets empty labels and long names pass, and its mapping can make dots out of other characters, so
// its answer is looked at again.
static bool add_idn(struct buf *out, struct bytes domain, struct err *err) {
    char *z = bytes_dupz(domain), *ascii = NULL;
    int status = idn2_to_ascii_8z(z, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
    free(z);
    if (status != IDN2_OK)
        return err_set(err, "the domain is no internationalised name: %s", idn2_strerror(status));
    struct bytes name = bytes_of(ascii);
    bool valid = domain_is_valid(name) && !is_bare_ip(name);
    if (valid) add_lower(out, name);
    idn2_free(ascii);
    return valid || err_set(err, "the domain has an empty or too long label, or is longer than 253 octets");
}

bool address_domain_ascii(struct bytes domain, struct buf *out, struct err *err) {
    if (domain.len == 0) return err_set(err, "the domain is empty");
    if (domain.len > DOMAIN_MAX) return err_set(err, "the domain is longer than %d octets", DOMAIN_MAX);
    if (!utf8_is_ascii(domain)) return check_wide_domain(domain, err) && add_idn(out, domain, err);
    if (!check_ascii_domain(domain, err)) return false;
    add_lower(out, domain);
    return true;
}

bool domain_is_valid(struct bytes domain) {
    if (domain.len == 0 || domain.len > NAME_MAX_DNS) return false;
    size_t label = 0;
    for (size_t i = 0; i <= domain.len; i++) {
        if (i == domain.len || domain.at[i] == '.') {
            if (label == 0 || label > LABEL_MAX || domain.at[i - 1] == '-') return false;
            label = 0;
        } else {
            char c = domain.at[i];
            if (!is_alnum(c) && c != '_' && (c != '-' || label == 0)) return false;
            label++;
        }
    }
    return true;
}

bool domain_literal_ip(struct bytes domain, int *family, uint8_t ip[16]) {
    if (domain.len < 3 || domain.at[0] != '[' || domain.at[domain.len - 1] != ']') return false;
    struct bytes inner = {domain.at + 1, domain.len - 2};
    *family = bytes_starts_nocase(inner, BYTES("IPv6:")) ? AF_INET6 : AF_INET;
    if (*family == AF_INET6) inner = bytes_skip(inner, 5);
    char z[INET6_ADDRSTRLEN + 1];
    if (inner.len == 0 || inner.len >= sizeof z || memchr(inner.at, 0, inner.len)) return false;
    memcpy(z, inner.at, inner.len);
    z[inner.len] = 0;
    return inet_pton(*family, z, ip) == 1;
}

// RFC 5321 4.1.2: "a\b" and ab are one local part, and quotes are for what could not stand without them.
static void add_unquoted(struct buf *out, struct bytes local) {
    size_t start = out->len;
    struct bytes inner = bytes_range(local.at + 1, local.len - 2);
    for (size_t i = 0; i < inner.len; i++) {
        if (inner.at[i] == '\\' && i + 1 < inner.len) i++;
        buf_byte(out, inner.at[i]);
    }
    buf_byte(out, '@');
    struct bytes bare = bytes_skip(buf_bytes(out), start), rest = bare;
    bool plain = take_local(&rest, NULL) && rest.len == 1;
    out->len = plain ? out->len - 1 : start;
    if (!plain) buf_add(out, local);
}

bool address_listed(struct bytes text, struct buf *out, struct err *err) {
    struct address a = {.local = BYTES("")};
    size_t start = out->len;
    if (text.len && text.at[0] == '@') {
        a.domain = bytes_skip(text, 1);
        if (!check_domain(&a, err)) return false;
    } else if (!address_parse(text, &a, err)) {
        return false;
    }
    if (a.local.len && a.local.at[0] == '"') add_unquoted(out, a.local);
    else buf_add(out, a.local);
    for (size_t i = start; i < out->len; i++)
        out->at[i] = byte_lower(out->at[i]);
    buf_byte(out, '@');
    if (a.literal || !address_domain_ascii(a.domain, out, NULL)) add_lower(out, a.domain);
    return true;
}
