// SPDX-License-Identifier: MIT
#include "cli/letter.h"

#include "base/base64.h"
#include "base/clock.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <sys/random.h>

enum { WORD_BYTES = 45 }; // of text in one encoded word: 60 in base64, within RFC 2047's 75

static bool is_field_name(struct bytes name) {
    for (size_t i = 0; i < name.len; i++)
        if (name.at[i] <= ' ' || name.at[i] >= 0x7f) return false;
    return name.len > 0;
}

bool letter_check_header(const char *header, struct err *err) {
    struct bytes rest = bytes_of(header);
    ptrdiff_t colon = bytes_find(rest, ':');
    if (colon < 0 || !is_field_name(bytes_first(rest, (size_t)colon)))
        return err_set(err, "'%.60s' is not a header field (it must read 'Name: text')", header);
    if (bytes_find(rest, '\n') >= 0 || bytes_find(rest, '\r') >= 0)
        return err_set(err, "a header field must be one line");
    return true;
}

// RFC 2047: as it is where it is ASCII, else in encoded words that hold whole characters.
static void put_unstructured(struct buf *out, struct bytes text) {
    if (utf8_is_ascii(text)) {
        buf_add(out, text);
        return;
    }
    for (bool first = true; text.len; first = false) {
        size_t n = 0;
        while (n < text.len) {
            size_t step = utf8_step(bytes_skip(text, n));
            if (step == 0) step = 1;
            if (n + step > WORD_BYTES) break;
            n += step;
        }
        buf_addz(out, first ? "=?utf-8?B?" : "\r\n =?utf-8?B?");
        base64_encode(out, bytes_first(text, n));
        buf_addz(out, "?=");
        text = bytes_skip(text, n);
    }
}

static bool has_header(const struct letter *l, const char *name) {
    size_t len = strlen(name);
    for (size_t i = 0; i < l->header_count; i++) {
        struct bytes header = bytes_of(l->headers[i]);
        if (header.len > len && header.at[len] == ':' && bytes_starts_nocase(header, bytes_of(name)))
            return true;
    }
    return false;
}

static void put_addresses(const struct letter *l, struct buf *out) {
    buf_addz(out, "To:");
    for (size_t i = 0; i < l->to_count; i++)
        buf_format(out, "%s <%s>", i ? ",\r\n" : "", l->to[i]);
    buf_addz(out, "\r\n");
}

void letter_write(const struct letter *l, int64_t now_ms, struct buf *out) {
    uint64_t random = 0;
    char date[32];
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        random = (uint64_t)clock_monotonic_us();
    clock_rfc5322(now_ms, date);
    if (!has_header(l, "Date")) buf_format(out, "Date: %s\r\n", date);
    if (!has_header(l, "From")) buf_format(out, "From: <%s>\r\n", l->from[0] ? l->from : "MAILER-DAEMON");
    if (!has_header(l, "To")) put_addresses(l, out);
    if (!has_header(l, "Subject")) {
        buf_addz(out, "Subject: ");
        put_unstructured(out, bytes_of(l->subject));
        buf_addz(out, "\r\n");
    }
    if (!has_header(l, "Message-ID"))
        buf_format(out, "Message-ID: <%" PRIx64 ".%016" PRIx64 "@%s>\r\n", (uint64_t)now_ms, random, l->host);
    if (!has_header(l, "MIME-Version")) buf_addz(out, "MIME-Version: 1.0\r\n");
    if (!has_header(l, "Content-Type")) buf_addz(out, "Content-Type: text/plain; charset=utf-8\r\n");
    bool plain = utf8_is_ascii(l->body);
    if (!has_header(l, "Content-Transfer-Encoding"))
        buf_format(out, "Content-Transfer-Encoding: %s\r\n", plain ? "7bit" : "8bit");
    for (size_t i = 0; i < l->header_count; i++)
        buf_format(out, "%s\r\n", l->headers[i]);
    buf_addz(out, "\r\n");
    letter_lines(l->body, out);
}

void letter_lines(struct bytes text, struct buf *out) {
    while (text.len) {
        struct bytes line = bytes_cut(&text, '\n');
        if (line.len && line.at[line.len - 1] == '\r') line.len--;
        buf_add(out, line);
        buf_addz(out, "\r\n");
    }
}

bool letter_has_8bit(struct bytes content) {
    return !utf8_is_ascii(content);
}
