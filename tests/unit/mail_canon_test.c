// SPDX-License-Identifier: MIT
#include "mail/canon.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

// RFC 6376 3.4.4 as it is written, one line after the other, on a body in one piece: what the streaming form
// is held against.
static void canon_plainly(struct buf *out, struct bytes body) {
    size_t content = 0; // length of out behind the last line that is not empty
    while (body.len) {
        ptrdiff_t at = bytes_search(body, BYTES("\r\n"));
        struct bytes line = bytes_first(body, at < 0 ? body.len : (size_t)at);
        body = bytes_skip(body, at < 0 ? body.len : (size_t)at + 2);
        while (line.len && (line.at[line.len - 1] == ' ' || line.at[line.len - 1] == '\t'))
            line.len--;
        for (size_t i = 0; i < line.len; i++) {
            bool blank = line.at[i] == ' ' || line.at[i] == '\t';
            bool again = blank && i && (line.at[i - 1] == ' ' || line.at[i - 1] == '\t');
            if (!again) buf_byte(out, blank ? ' ' : line.at[i]);
        }
        buf_addz(out, "\r\n");
        if (line.len) content = out->len;
    }
    out->len = content;
}

static void hash_in_pieces(struct bytes body, size_t piece, uint8_t hash[DIGEST_SIZE], uint64_t *length) {
    struct canon_body c;
    canon_body_init(&c);
    while (body.len) {
        struct bytes first = bytes_first(body, piece);
        char *copy = bytes_dupz(first); // its own memory, so that a look beyond the piece is seen by ASan
        canon_body_add(&c, bytes_range(copy, first.len));
        free(copy);
        body = bytes_skip(body, first.len);
    }
    canon_body_finish(&c, hash, length);
}

static void check(struct bytes body) {
    static const size_t pieces[] = {1, 2, 3, 7, 63, 64, 65, 128, 1000, 65536, 1 << 30};
    struct buf plain = {0};
    uint8_t want[DIGEST_SIZE], got[DIGEST_SIZE];
    canon_plainly(&plain, body);
    digest_sha256(buf_bytes(&plain), want);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        uint64_t length;
        hash_in_pieces(body, pieces[i], got, &length);
        if (length != plain.len || memcmp(want, got, sizeof want))
            fail_msg("pieces of %zu: %zu, not %zu", pieces[i], (size_t)length, plain.len);
    }
    buf_release(&plain);
}

#define TEXT(literal)                                                                                        \
    { (literal), sizeof(literal) - 1 }

static void hashes_known_bodies(void **state) {
    (void)state;
    static const struct {
        struct bytes body, canon;
    } rows[] = {
        {TEXT(""), TEXT("")},
        {TEXT(" C \r\nD \t E\r\n\r\n\r\n"), TEXT(" C\r\nD E\r\n")}, // RFC 6376 3.4.5
        {TEXT("\r\n\r\n"), TEXT("")},
        {TEXT(" \t \r\n \r\n"), TEXT("")},
        {TEXT(" "), TEXT("")},
        {TEXT("a"), TEXT("a\r\n")},
        {TEXT("a "), TEXT("a\r\n")},
        {TEXT("a\r"), TEXT("a\r\r\n")},
        {TEXT("a\r\r\n"), TEXT("a\r\r\n")},
        {TEXT("a\n\r\n"), TEXT("a\n\r\n")},
        {TEXT("\r\na\r\n"), TEXT("\r\na\r\n")},
        {TEXT(" a\0\xff b"), TEXT(" a\0\xff b\r\n")},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf plain = {0};
        canon_plainly(&plain, rows[i].body);
        assert_true(bytes_equal(buf_bytes(&plain), rows[i].canon));
        buf_release(&plain);
        check(rows[i].body);
    }
    uint8_t hash[DIGEST_SIZE]; // the hash of nothing, as RFC 6376 3.4.4 prints it
    hash_in_pieces(BYTES(""), 1, hash, NULL);
    assert_memory_equal(hash, "\xe3\xb0\xc4\x42\x98\xfc\x1c\x14", 8);
}

// The edges of blocks and of the stage, with each short run of interesting bytes at each place around them.
static void hashes_every_edge(void **state) {
    (void)state;
    static const char *const runs[] = {"\r\n",     " ",     "\t",    "  ",         "\r",     "\n",
                                       "\r\n\r\n", " \r\n", "\r\n ", "\r\n\t\r\n", "\r\r\n", "\n\r\n \r\n"};
    struct buf body = {0};
    for (size_t r = 0; r < sizeof runs / sizeof *runs; r++)
        for (size_t before = 56; before < 72; before++)
            for (size_t after = 0; after < 140; after += after < 3 ? 1 : 61) {
                buf_reset(&body);
                for (size_t i = 0; i < before; i++)
                    buf_byte(&body, 'x');
                buf_addz(&body, runs[r]);
                for (size_t i = 0; i < after; i++)
                    buf_byte(&body, i % 9 == 5 ? ' ' : 'y');
                check(buf_bytes(&body));
            }
    buf_release(&body);
}

static void hashes_random_bodies(void **state) {
    (void)state;
    static const char *const parts[] = {
        "\r\n",
        "\r\n",
        " ",
        " ",
        "\t",
        "\r",
        "\n",
        "word",
        "a",
        "line of words to fill a block with\r\n",
        "dGhlIGdhdGUgb3BlbnMgb3V0d2FyZCBhbmQgbm90aGluZyBjb21lcyBiYWNrIGluIGFnYWluIGV2ZXIK\r\n"};
    uint32_t seed = 2463534242u;
    struct buf body = {0};
    for (int round = 0; round < 400; round++) {
        buf_reset(&body);
        size_t most = sizeof parts / sizeof *parts - (round % 3 ? 0 : 2);
        for (int i = 0; i < round; i++) {
            seed ^= seed << 13, seed ^= seed >> 17, seed ^= seed << 5;
            buf_addz(&body, parts[seed % most]);
        }
        check(buf_bytes(&body));
    }
    buf_release(&body);
}

static void can_be_dropped_and_used_again(void **state) {
    (void)state;
    struct canon_body c;
    uint8_t one[DIGEST_SIZE], two[DIGEST_SIZE];
    canon_body_init(&c);
    for (int i = 0; i < 1000; i++)
        canon_body_add(&c, BYTES("not this one  \r\n\r\n\r"));
    canon_body_drop(&c);
    canon_body_add(&c, BYTES("this\r\n"));
    canon_body_finish(&c, one, NULL);
    canon_body_add(&c, BYTES("this\r\n"));
    canon_body_finish(&c, two, NULL);
    assert_memory_equal(one, two, sizeof one);
}

static void relaxes_headers(void **state) {
    (void)state;
    static const struct {
        const char *field, *canon;
    } rows[] = {
        {"A: X\r\n", "a:X\r\n"},
        {"B : Y\t\r\n\tZ  \r\n", "b:Y Z\r\n"}, // RFC 6376 3.4.5
        {"SubJect:\r\n folded\r\n\t \t again : \r\n", "subject:folded again :\r\n"},
        {"X:\r\n", "x:\r\n"},
        {"X: \r\n \r\n", "x:\r\n"},
        {"X:no end", "x:no end\r\n"},
        {"X:a\r\nb", "x:ab\r\n"},
        {"X:a\rb\nc\r\n", "x:a\rb\nc\r\n"},
        {"", ":\r\n"},
    };
    struct buf out = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        buf_reset(&out);
        canon_header_relaxed(&out, bytes_of(rows[i].field));
        assert_string_equal(buf_z(&out), rows[i].canon);
    }
    buf_release(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_known_bodies),  cmocka_unit_test(hashes_every_edge),
        cmocka_unit_test(hashes_random_bodies), cmocka_unit_test(can_be_dropped_and_used_again),
        cmocka_unit_test(relaxes_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
