// SPDX-License-Identifier: MIT
// trace: the Received field is well formed whatever the client called itself.
#include "relay/trace.h"

#include "mail/header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct session_facts facts(void) {
    return (struct session_facts){
        .id = BYTES("c-1"), .listener = BYTES("submission-1"), .kind = BYTES("submission"), .client_ip = BYTES("192.0.2.7"),
        .client_port = 4711, .helo = BYTES("laptop.example"), .tls_version = BYTES("TLSv1.3"),
        .tls_cipher = BYTES("TLS_AES_256_GCM_SHA384"), .user = BYTES("demo"), .user_facts = BYTES("{\"team\":\"a\"}")};
}

static void received_says_it_all(void **state) {
    (void)state;
    struct session_facts s = facts();
    struct buf out = {0}, text = {0};
    struct header_field f;
    trace_received(&out, &s, "ESMTPSA", "mx.example", BYTES("0123456789abcdef"), BYTES("you@example.net"), 1770000000000);
    struct bytes rest = buf_bytes(&out);
    assert_true(header_next(&rest, &f));
    assert_int_equal(rest.len, 0);
    header_unfold(&text, f.value);
    assert_string_equal(buf_z(&text),
                        "from laptop.example ([192.0.2.7])\tby mx.example (Tidegate) with ESMTPSA id 0123456789abcdef\t"
                        "tls TLS_AES_256_GCM_SHA384 (TLSv1.3)\tfor <you@example.net>;\tMon, 2 Feb 2026 02:40:00 +0000");
    buf_release(&out);
    buf_release(&text);
}

static void a_helo_cannot_forge_a_field(void **state) {
    (void)state;
    struct session_facts s = facts();
    struct buf out = {0};
    struct header_field f;
    s.helo = BYTES("a\r\nSubject: forged (\"x\") <y>");
    trace_received(&out, &s, "SMTP", "mx.example", BYTES("1"), BYTES(""), 0);
    struct bytes rest = buf_bytes(&out);
    assert_true(header_next(&rest, &f));
    assert_int_equal(rest.len, 0);
    assert_true(bytes_search(buf_bytes(&out), BYTES("Subject: ")) < 0);
    buf_release(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(received_says_it_all), cmocka_unit_test(a_helo_cannot_forge_a_field)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
