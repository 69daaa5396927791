// SPDX-License-Identifier: MIT
// packing: what is unpacked is what was packed, facts of sessions in few bytes; what is damaged is refused.
#include "relay/packing.h"

#include "policy/facts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static struct arena arena;

static void numbers(void **state) {
    (void)state;
    static const uint64_t some[] = {0, 1, 127, 128, 16383, 16384, 1763821804678, UINT64_MAX};
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        struct buf out = {0};
        pack_number(&out, some[i]);
        struct unpacking u = {.rest = buf_bytes(&out)};
        assert_true(unpack_number(&u) == some[i] && !u.bad && !u.rest.len);
        struct unpacking cut = {.rest = bytes_first(buf_bytes(&out), out.len - 1)};
        assert_true(unpack_number(&cut) == 0 && cut.bad);
        assert_true(unpack_text(&cut).len == 0 && unpack_number(&cut) == 0);
        buf_release(&out);
    }
    struct unpacking longest = {.rest = BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")};
    assert_true(unpack_number(&longest) == 0 && longest.bad);
}

static void texts(void **state) {
    (void)state;
    struct buf out = {0};
    pack_text(&out, BYTES("one"));
    size_t text = pack_open(&out);
    for (int i = 0; i < 300; i++) buf_byte(&out, 'x');
    pack_close(&out, text);
    pack_text(&out, BYTES(""));
    struct unpacking u = {.rest = buf_bytes(&out)};
    assert_true(bytes_equal(unpack_text(&u), BYTES("one")));
    assert_int_equal(unpack_text(&u).len, 300);
    assert_true(unpack_text(&u).len == 0 && !u.bad && !u.rest.len);
    buf_release(&out);
}

// The text that comes out, and how long it was meanwhile.
static size_t there_and_back(struct bytes facts) {
    struct buf out = {0};
    pack_session(&out, facts);
    struct unpacking u = {.rest = buf_bytes(&out)};
    assert_true(bytes_equal(unpack_session(&u, &arena), facts));
    assert_true(!u.bad && !u.rest.len);
    for (size_t n = 0; n < out.len; n++) {
        struct unpacking cut = {.rest = bytes_first(buf_bytes(&out), n)};
        unpack_session(&cut, &arena);
        assert_true(cut.bad);
    }
    size_t len = out.len;
    buf_release(&out);
    arena_release(&arena);
    return len;
}

static void sessions(void **state) {
    (void)state;
    struct session_facts s = {.id = BYTES("c-3f2a"), .listener = BYTES("submission-1"), .kind = BYTES("submission"), .client_ip = BYTES("192.0.2.1"),
                              .client_port = 50000, .local_ip = BYTES("192.0.2.2"), .local_port = 587, .helo = BYTES("client.example"),
                              .tls_version = BYTES("TLSv1.3"), .tls_cipher = BYTES("TLS_AES_256_GCM_SHA384"), .client_certificate = BYTES(""),
                              .user = BYTES("ann"), .user_facts = BYTES(""), .trusted_network = true};
    struct buf facts = {0};
    session_facts_encode(&s, &facts);
    assert_true(there_and_back(buf_bytes(&facts)) < 140); // of 290: the shape is still the one it was
    const struct bytes odd[] = {BYTES("a\"b"), BYTES("\\"), BYTES("\",\"listener\":\""), BYTES("\r\n"), BYTES("\",\"trusted_network\":true}")};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        buf_reset(&facts);
        s.helo = odd[i];
        s.user_facts = BYTES("{\"from\":\"\\\",\\\"trusted_network\\\":false}\",\"n\":[1,{\"trusted_network\":true}]}");
        s.trusted_network = i & 1;
        session_facts_encode(&s, &facts);
        there_and_back(buf_bytes(&facts));
    }
    const struct bytes other[] = {BYTES(""), BYTES("{}"), BYTES("{\"id\":\"c-1\"}"), BYTES("{\"id\":\""), BYTES("nonsense")};
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) there_and_back(other[i]);
    for (size_t n = 0; n < facts.len; n++) there_and_back(bytes_first(buf_bytes(&facts), n));
    buf_release(&facts);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(numbers), cmocka_unit_test(texts), cmocka_unit_test(sessions)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
