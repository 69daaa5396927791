// SPDX-License-Identifier: MIT
// content: header and body are parted the same way however the bytes are cut, and large bodies go to a file.
#include "relay/content.h"

#include "base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

static _Atomic uint64_t in_flight;

static void collect(const struct content *c, struct buf *body) {
    for (size_t i = 0; i < c->part_count; i++) buf_add(body, bytes_range(c->parts[i].iov_base, c->parts[i].iov_len));
    if (c->file < 0) return;
    buf_reserve(body, c->file_length);
    assert_int_equal(pread(c->file, body->at + body->len, c->file_length, 0), (ssize_t)c->file_length);
    body->len += c->file_length;
}

static void check(struct bytes in, size_t step, const char *head, const char *body) {
    struct content c;
    struct err err;
    struct buf got = {0};
    content_init(&c, "/tmp", &in_flight);
    for (size_t i = 0; i < in.len; i += step)
        assert_true(content_add(&c, bytes_first(bytes_skip(in, i), step), &err));
    assert_true(content_finish(&c, &err));
    collect(&c, &got);
    if (!bytes_equal(buf_bytes(&c.head), bytes_of(head)) || !bytes_equal(buf_bytes(&got), bytes_of(body)))
        fail_msg("cut every %zu bytes: head '%.*s', body '%.*s'; expected '%s' and '%s'", step, BYTES_FMT(buf_bytes(&c.head)),
                 BYTES_FMT(buf_bytes(&got)), head, body);
    assert_int_equal(c.body_length, got.len);
    assert_false(c.hashed);
    buf_release(&got);
    content_release(&c);
}

static void assert_hash(const struct content *c, struct bytes body) {
    struct canon_body canon;
    uint8_t hash[DIGEST_SIZE];
    canon_body_init(&canon);
    canon_body_add(&canon, body);
    canon_body_finish(&canon, hash, NULL);
    assert_true(c->hashed);
    assert_memory_equal(hash, c->body_hash, sizeof hash);
}

static void parts_header_and_body(void **state) {
    (void)state;
    static const struct {
        const char *in, *head, *body;
    } cases[] = {
        {"A: 1\r\nB: 2\r\n\r\nbody\r\n", "A: 1\r\nB: 2\r\n", "body\r\n"},
        {"A: 1\r\n folded\r\n\r\n\r\nbody\r\n", "A: 1\r\n folded\r\n", "\r\nbody\r\n"},
        {"\r\nbody only\r\n", "", "body only\r\n"},
        {"no header here\r\nsecond: line\r\n", "", "no header here\r\nsecond: line\r\n"},
        {" starts with a fold\r\nA: 1\r\n", "", " starts with a fold\r\nA: 1\r\n"},
        {"A: 1\r\nnot a field\r\n\r\nx\r\n", "A: 1\r\n", "not a field\r\n\r\nx\r\n"},
        {"A: 1\r\n", "A: 1\r\n", ""},
        {"A: 1", "A: 1\r\n", ""},
        {"A: 1\r\n\r\nno end", "A: 1\r\n", "no end\r\n"},
        {"A: 1\r\n\r\nends in cr\r", "A: 1\r\n", "ends in cr\r\r\n"},
        {"", "", ""},
        {"\r\n", "", ""},
        {"From sender Mon\r\nA: 1\r\n\r\nx\r\n", "A: 1\r\n", "x\r\n"},
        {"A: 1\r\nFrom sender Mon\r\n\r\nx\r\n", "A: 1\r\n", "From sender Mon\r\n\r\nx\r\n"},
        {"From \r\n", "", ""},
        {"A : 1\r\n\r\nx\r\n", "A : 1\r\n", "x\r\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t step = 1; step < 12; step++) check(bytes_of(cases[i].in), step, cases[i].head, cases[i].body);
    assert_int_equal(in_flight, 0);
}

static void a_large_body_goes_to_a_file(void **state) {
    (void)state;
    struct content c;
    struct err err;
    struct buf want = {0}, got = {0};
    content_init(&c, "/tmp", &in_flight);
    assert_true(content_add(&c, BYTES("A: 1\r\n\r\n"), &err));
    for (int i = 0; i < 60000; i++) {
        char line[80];
        int n = snprintf(line, sizeof line, "line %d of a body that does not fit in memory any more, by far\r\n", i);
        buf_add(&want, bytes_range(line, (size_t)n));
        assert_true(content_add(&c, bytes_range(line, (size_t)n), &err));
    }
    assert_true(content_finish(&c, &err));
    assert_true(c.file >= 0);
    assert_true(in_flight < CONTENT_MEMORY + 256 * 1024);
    collect(&c, &got);
    assert_true(bytes_equal(buf_bytes(&want), buf_bytes(&got)));
    assert_hash(&c, buf_bytes(&want));
    content_release(&c);
    assert_int_equal(in_flight, 0);
    buf_release(&want);
    buf_release(&got);
}

static void says_when_the_file_cannot_be_made(void **state) {
    (void)state;
    struct content c;
    struct err err = {.text = ""};
    char piece[65536] = {0};
    bool good = true;
    content_init(&c, "/nonexistent/folder", &in_flight);
    assert_true(content_add(&c, BYTES("\r\n"), &err));
    for (int i = 0; good && i < 64; i++) good = content_add(&c, bytes_range(piece, sizeof piece), &err);
    assert_false(good);
    assert_non_null(strstr(err.text, "/nonexistent/folder"));
    content_release(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_header_and_body),
        cmocka_unit_test(a_large_body_goes_to_a_file),
        cmocka_unit_test(says_when_the_file_cannot_be_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
